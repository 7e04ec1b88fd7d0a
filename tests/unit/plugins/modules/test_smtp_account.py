# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module from its arguments to the lines on the wire; every line that it may send is written out."""

from __future__ import annotations

import json

import pytest

from ansible.module_utils.testing import patch_module_args

from ansible_collections.securemail.smtp.plugins.modules import smtp_account
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    LOGIN,
    ROOT,
    ScriptedServer,
    Step,
    err,
    logged_in,
    ok,
)

DOMAIN = b"<domain#> "
ACCOUNT = b"<domain-account#> "
SAVE = Step(b"SAVE CONFIG", ok(ROOT))


def table(*rows):
    return b"The list:\r\n\r\n\r\nname\r\n------\r\n" + b"".join(row + b"\r\n" for row in rows) + b"\r\n"


def domains(*names):
    return Step(b"LIST AllDomains", ok(ROOT, payload=table(*names)))


def reading(*accounts):
    """The domain is there, with these accounts."""
    return [
        domains(b"other.example", b"example.com"),
        Step(b"UPDATE Domain name example.com", ok(DOMAIN)),
        Step(b"LIST Accounts", ok(DOMAIN, payload=table(b"postmaster", *accounts))),
        Step(b"BACK", ok(ROOT)),
    ]


ADDING = [
    Step(b"UPDATE Domain name example.com", ok(DOMAIN)),
    Step(b'ADD Account name user1 password "Us-1234"', ok(ACCOUNT)),
    Step(b"COMMIT", ok(DOMAIN)),
    Step(b"COMMIT", ok(ROOT)),
]
CREATING = [
    Step(b'CREATE Domain name example.com postmasterPassword "Pm-1234"', ok(b"<domain-create#> ")),
    Step(b"COMMIT", ok(ROOT)),
]
SETTING = [
    Step(b"UPDATE Domain name example.com", ok(DOMAIN)),
    Step(b"UPDATE Account name user1", ok(ACCOUNT)),
    Step(b'SET password "Us-1234"', ok(ACCOUNT)),
    Step(b"COMMIT", ok(DOMAIN)),
    Step(b"COMMIT", ok(ROOT)),
]
REMOVING = [
    Step(b"UPDATE Domain name example.com", ok(DOMAIN)),
    Step(b"REMOVE Account name user1", ok(DOMAIN)),
    Step(b"COMMIT", ok(ROOT)),
]
ARGUMENTS = {"domain": "Example.COM.", "account": "user1", "password": "Us-1234", "postmaster_password": "Pm-1234"}


@pytest.fixture
def run(capfd):
    """Run the module against these steps and return its result; the last line of the session is QUIT."""

    def run(steps, check_mode=False, **changes):
        session = logged_in(*steps)
        session.insert(1, Step(b"GET VERSION", ok(LOGIN, payload=b"10.6.30\r\n")))
        arguments = dict(ARGUMENTS, admin_password="s3cret", _ansible_check_mode=check_mode, _ansible_diff=True)
        arguments.update(changes)
        arguments = {name: value for name, value in arguments.items() if value is not None}
        with ScriptedServer(session) as server:
            with patch_module_args(dict(arguments, admin_port=server.port)):
                with pytest.raises(SystemExit):
                    smtp_account.main()
        if steps:
            assert server.received[-1] == b"QUIT"
            assert len(server.received) == len(steps) + 4
        out = capfd.readouterr().out
        assert not any(secret in out for secret in ("s3cret", "Us-1234", "Pm-1234"))
        return json.loads(out)

    return run


def test_creates_domain_and_account(run):
    result = run([domains(), *CREATING, *ADDING, *reading(b"user1"), SAVE])
    assert result["changed"] is True
    assert result["actions"] == ["create domain example.com", "add account user1@example.com"]
    assert (result["domain"], result["account"]) == ("example.com", "user1@example.com")
    assert result["diff"] == {
        "before": {"domain": "example.com", "domain_state": "absent", "account": "user1", "account_state": "absent"},
        "after": {"domain": "example.com", "domain_state": "present", "account": "user1", "account_state": "present"},
    }


def test_creates_domain_and_account_in_check_mode(run):
    wet = run([domains(), *CREATING, *ADDING, *reading(b"user1"), SAVE])
    dry = run([domains()], check_mode=True)
    assert {name: dry[name] for name in ("changed", "actions", "diff")} == {
        name: wet[name] for name in ("changed", "actions", "diff")
    }


def test_no_change(run):
    result = run(reading(b"USER1"))
    assert (result["changed"], result["actions"]) == (False, [])
    assert result["diff"]["before"] == result["diff"]["after"]


def test_adds_an_account_without_saving(run):
    assert run([*reading(), *ADDING, *reading(b"user1")], save=False)["changed"] is True


def test_domain_alone(run):
    creating = [
        Step(
            b'CREATE Domain name example.com domainLocation "/srv/my mail" postmasterPassword "Pm-1234"',
            ok(b"<domain-create#> "),
        ),
        CREATING[1],
    ]
    result = run(
        [domains(), *creating, *reading(), SAVE], account=None, password=None, domain_location="/srv/my mail"
    )
    assert result["actions"] == ["create domain example.com"] and "account" not in result


def test_password_is_set_every_time_when_asked(run):
    for _time in range(2):
        steps = [*reading(b"user1"), *SETTING, *reading(b"user1"), SAVE]
        result = run(steps, update_password="always", postmaster_password=None)
        assert result["changed"] is True
        assert result["diff"]["before"]["password of user1"] != result["diff"]["after"]["password of user1"]


def test_password_is_not_set_in_check_mode(run):
    result = run(reading(b"user1"), update_password="always", postmaster_password=None, check_mode=True)
    assert result["actions"] == ["set password user1@example.com"]


def test_absent_account(run):
    result = run([*reading(b"user1"), *REMOVING, *reading(), SAVE], state="absent")
    assert result["actions"] == ["remove account user1@example.com"]
    assert [result["diff"][side]["account_state"] for side in ("before", "after")] == ["present", "absent"]


def test_absent_account_in_check_mode(run):
    assert run(reading(b"user1"), state="absent", check_mode=True)["changed"] is True


@pytest.mark.parametrize("steps", [reading(), [domains()]])
def test_absent_account_again(run, steps):
    assert run(steps, state="absent")["changed"] is False


def test_absent_domain(run):
    steps = [*reading(b"user1"), Step(b"DELETE Domain name example.com", ok(ROOT)), domains(), SAVE]
    result = run(steps, state="absent", account=None, password=None)
    assert result["actions"] == ["delete domain example.com"] and result["diff"]["after"]["domain_state"] == "absent"


def test_absent_domain_again(run):
    assert run([domains()], state="absent", account=None, password=None)["changed"] is False


def test_older_server_without_list_alldomains(run):
    steps = [Step(b"LIST AllDomains", err(ROOT)), Step(b"LIST Domains", ok(ROOT, payload=table()))]
    assert run(steps, state="absent")["changed"] is False


def test_refusal_drops_what_is_pending_and_tells_what_was_done(run):
    steps = [
        domains(),
        *CREATING,
        ADDING[0],
        Step(b'ADD Account name user1 password "Us-1234"', ok(ACCOUNT)),
        Step(b"COMMIT", err(ACCOUNT, b"password Us-1234 is too short")),
        Step(b"DONE", err(ACCOUNT, b"unknown command")),
        Step(b"BACK", ok(DOMAIN)),
        Step(b"BACK", ok(ROOT)),
    ]
    result = run(steps)
    assert result["failed"] is True and result["changed"] is True
    assert result["actions"] == ["create domain example.com"]
    assert result["msg"] == (
        "COMMIT in Account user1 in Domain example.com: password ******** is too short"
        " (done before: create domain example.com)"
    )


def test_server_that_takes_and_drops(run):
    result = run([*reading(), *ADDING, *reading()])
    assert result["failed"] is True and "account user1@example.com: it is not there" in result["msg"]


def test_missing_passwords(run):
    result = run([domains()], password=None, postmaster_password=None)
    assert result["failed"] is True and len(result["problems"]) == 2


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"domain": "not a domain"}, "domain"),
        ({"domain": "*.example.com"}, "subdomains"),
        ({"account": "a@b"}, "account"),
        ({"password": "a\nSET x"}, "control character"),
        ({"account": None}, "without account"),
        ({"account": "postmaster", "state": "absent"}, "postmaster"),
        ({"admin_host": "192.0.2.1"}, "clear"),
    ],
)
def test_bad_input_reaches_no_server(run, changes, word):
    result = run([], **changes)
    assert result["failed"] is True and word in result["msg"]
