# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Submission as a policy of the role: what a stranger sees of each port, and how the rules come and go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import shuffled
from ansible_collections.securemail.smtp.tests.mta.smtp.wire_peer import Peer, plain
from mta_process import PASSWORD, call, play

ROLE_README = Path(__file__).resolve().parents[2] / "roles" / "secure_smtp" / "README.md"
USER, USER_PASSWORD = "anna@example.test", "Zq7-anna-own"
STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first\r\n"
LOGIN_FIRST = "530 5.7.0 Authentication required\r\n"
MAIL = "MAIL FROM:<anna@example.test>"
#: A rule of the administrator's own.
THEIRS = {
    "name": "submission_of_theirs",
    "conditions": [{"variable": "mailFromDomain", "value": "spam.example"}],
    "actions": [{"set": "smtpAction", "value": "reject"}],
}


class Site:
    """A server with ports for other servers, for users with STARTTLS, and for users with implicit TLS."""

    def __init__(self, mta, folder, lab, ports):
        self.mta = mta
        self._lab = lab
        self._folder = folder
        self.relay, self.submission, self.submissions = ports
        self.variables = {
            "target": "all",
            "secure_smtp_admin_password": PASSWORD,
            "secure_smtp_admin_port": mta.port,
            "secure_smtp_certificate": lab.ecdsa,
            "secure_smtp_mechanisms": ["PLAIN"],
            "secure_smtp_relay_ports": [self.relay],
            "secure_smtp_listeners": [
                {"address": "127.0.0.1:%d" % self.relay, "tls": "starttls"},
                {"address": "127.0.0.1:%d" % self.submission, "tls": "starttls"},
                {"address": "127.0.0.1:%d" % self.submissions, "tls": "implicit"},
            ],
        }

    def run(self, name, /, **parameters):
        result = call(name, {"admin_port": self.mta.port, "admin_password": PASSWORD, **parameters}, False)
        assert "failed" not in result, result["msg"]
        return result

    def secure(self, **variables):
        """Run the role; what changed, and all that it printed."""
        given = self._folder / "given.json"
        given.write_text(json.dumps({**self.variables, **variables}))
        output = play("securemail.smtp.secure_smtp", self.mta.port, "-e", "@%s" % given)
        return int(re.search(r"changed=(\d+)", output).group(1)), output

    def refused(self, **variables):
        """Run the role, which fails; its words on one line."""
        with pytest.raises(AssertionError) as failed:
            self.secure(**variables)
        return " ".join(str(failed.value).replace("\\n", " ").split())

    def policy(self):
        return self.run("smtp_info")["policy"]

    def rules(self):
        return [rule["name"] for rule in self.policy()["rules"]]

    def said(self, port, *commands, tls=True, implicit=False):
        """The last reply on a new connection."""
        with Peer("127.0.0.1", port) as peer:
            if implicit:
                peer.secure()
            peer.start()
            if tls and not implicit:
                peer.starttls()
                peer.expect("EHLO client.example.test", 250)
            for command in commands[:-1]:
                assert peer.say(command)[0] < 400, command
            return peer.say(commands[-1])[1]

    def failing(self, policy, **more):
        """Rows of all listeners that do not pass when this policy is expected: pairs of port and title."""
        targets = [
            {"address": "127.0.0.1:%d" % port, "tls": tls, "server_name": "mail.example.test", "username": USER,
             "password": USER_PASSWORD, **more}
            for port, tls in ((self.relay, "starttls"), (self.submission, "starttls"), (self.submissions, "implicit"))
        ]
        found = call("smtp_probe", {"targets": targets, "expect": policy, "ca_file": self._lab.ca_file, "fail_on": "never"}, False)
        assert "rows" in found, found
        asked = {(int(row["listener"].rpartition(":")[2]), row["check"]) for row in found["rows"]}
        assert {(self.submission, "mail_refused_clear"), (self.submission, "mail_refused_tls")} <= asked
        return [
            (int(row["listener"].rpartition(":")[2]), row["title"])
            for row in found["rows"]
            if row["verdict"] != "pass" and row["check"] != "outside"
        ]


@pytest.fixture
def site(start_mta, tmp_path, lab, free_port, monkeypatch):
    """A function that makes a site; ``start`` are arguments of ``start_mta``."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def make(*start):
        made = Site(start_mta(*start), tmp_path, lab, [free_port() for _port in range(3)])
        made.run("smtp_account", domain="example.test", account="anna", password=USER_PASSWORD, postmaster_password=USER_PASSWORD)
        return made

    return make


def names(site):
    logins = ["submission_%d_needs_login" % port for port in (site.submission, site.submissions)]
    return [*logins, "submission_%d_needs_tls" % site.submission]


def test_what_a_stranger_sees_and_the_way_there_and_back(site):
    one = site()
    one.run("smtp_rule", **THEIRS)
    # Nobody said anything: a server that nobody has secured gets the safe form.
    assert one.secure()[0] == 1
    assert one.secure()[0] == 0
    assert sorted(one.rules()) == sorted([*names(one), "relay_%d_offers_no_login" % one.relay, THEIRS["name"]])

    assert one.said(one.submission, MAIL, tls=False) == STARTTLS_FIRST
    assert one.said(one.submission, MAIL) == LOGIN_FIRST
    assert one.said(one.submissions, MAIL, implicit=True) == LOGIN_FIRST
    for port in (one.submission, one.submissions):
        login = "AUTH PLAIN " + plain(USER, USER_PASSWORD)
        assert one.said(port, login, MAIL, implicit=port == one.submissions).startswith("250 ")
    assert " AUTH" not in one.said(one.relay, "EHLO x").replace("-AUTH", " AUTH")
    assert one.said(one.relay, "AUTH PLAIN").startswith("502 ")
    assert one.said(one.relay, "AUTH PLAIN", tls=False).startswith("538 ")
    for tls in (False, True):
        assert one.said(one.relay, MAIL, "RCPT TO:<anna@example.test>", tls=tls).startswith("250 ")

    # What is declared is what is seen, and a rule that is missing is seen to be missing.
    policy = one.policy()
    assert one.failing(policy) == []
    drift = {
        "submission_%d_needs_tls" % one.submission: (one.submission, "MAIL in clear"),
        "submission_%d_needs_login" % one.submissions: (one.submissions, "MAIL inside TLS without a login"),
        "relay_%d_offers_no_login" % one.relay: (one.relay, "AUTH inside TLS"),
    }
    for name in drift:
        one.run("smtp_rule", name=name, state="absent")
    # Each rule has a listener of its own, and so a row of its own.
    assert set(drift.values()) <= set(one.failing(policy))
    # The drift is healed by those who leave it to the role.
    assert one.secure()[0] == 1
    assert one.failing(policy) == []

    # Rules that are not needed any more go, and those of other people stay.
    assert one.secure(secure_smtp_submission="article")[0] == 1
    assert one.rules() == [THEIRS["name"]]
    assert one.secure(secure_smtp_submission="article")[0] == 0
    assert one.said(one.submission, MAIL, tls=False).startswith("250 ")
    assert "AUTH PLAIN" in one.said(one.relay, "EHLO x")
    assert one.secure(secure_smtp_submission="strict")[0] == 1
    assert one.policy() == policy


def test_a_listener_that_left_the_list_keeps_its_rules_and_one_that_is_removed_takes_them_along(site):
    one = site()
    one.secure(secure_smtp_submission="strict")
    rules = one.rules()
    everything = one.variables["secure_smtp_listeners"]
    shorter = everything[1:2]
    # What is not named stays: the listener, and what makes it safe.
    assert one.secure(secure_smtp_submission="strict", secure_smtp_listeners=shorter)[0] == 0
    assert one.rules() == rules
    assert one.said(one.submissions, MAIL, implicit=True) == LOGIN_FIRST
    gone = [*everything[:2], {**everything[2], "state": "absent"}]
    assert one.secure(secure_smtp_submission="strict", secure_smtp_listeners=gone)[0] == 1
    assert sorted(one.rules()) == sorted(set(rules) - {"submission_%d_needs_login" % one.submissions})
    # A port that changes sides takes what it needs there, and leaves what is wrong there.
    assert one.secure(secure_smtp_submission="strict", secure_smtp_listeners=shorter, secure_smtp_relay_ports=[one.submission])[0] == 1
    assert sorted(one.rules()) == sorted("relay_%d_offers_no_login" % port for port in (one.relay, one.submission))
    # Pruning listeners and rules of other kinds is another matter, and no general rule of others goes with it.
    one.run("smtp_rule", **THEIRS)
    changed, _output = one.secure(
        secure_smtp_submission="strict", secure_smtp_listeners=shorter, secure_smtp_relay_ports=[25], secure_smtp_prune="yes"
    )
    assert changed == 1
    assert sorted(one.rules()) == sorted([
        "relay_25_offers_no_login", "submission_%d_needs_login" % one.submission, "submission_%d_needs_tls" % one.submission, THEIRS["name"],
    ])
    assert [listener["address"] for listener in one.policy()["listeners"]] == ["127.0.0.1:%d" % one.submission]


def test_a_rule_for_all_connections_that_came_behind_is_put_right(site):
    one = site()
    one.secure(secure_smtp_submission="strict")
    one.run(
        "smtp_auth_rule", name="enableAUTH_on_SSL", connection="tls", mechanisms=["PLAIN"],
        position={"after": "relay_%d_offers_no_login" % one.relay},
    )
    assert "AUTH PLAIN" in one.said(one.relay, "EHLO x")
    assert one.secure(secure_smtp_submission="strict")[0] == 1
    assert "AUTH" not in one.said(one.relay, "EHLO x")
    assert one.secure(secure_smtp_submission="strict")[0] == 0


def test_a_server_of_an_earlier_version_is_asked_about_and_not_changed(site):
    one = site()
    one.secure(secure_smtp_submission="article")
    before = one.mta.script()
    words = one.refused()
    assert "Set secure_smtp_submission to" in words and "Nothing was changed" in words
    assert one.mta.script() == before
    # The form of the article knows nothing of submission, whoever made the server what it is.
    assert one.secure(secure_smtp_profile="article", secure_smtp_dh_params=one._lab.dh_params, secure_smtp_certificate=one._lab.rsa)[0] == 1
    assert one.rules() == []
    assert one.secure(secure_smtp_submission="strict")[0] == 1
    # From now on there is nothing to ask.
    assert one.secure()[0] == 0


#: What is said about a submission that nobody could use, by what was wrong with it.
NOBODY = "takes mail over TLS and after a login only"
WRONG = (
    ({"secure_smtp_listeners": [{"address": "127.0.0.1:2587", "tls": "none"}]}, NOBODY),
    ({"secure_smtp_listeners": [{"address": "127.0.0.1:2587", "tls": False}]}, NOBODY),
    ({"secure_smtp_starttls_inbound": False}, NOBODY),
    ({"secure_smtp_mechanisms": []}, NOBODY),
    ({"securemail_dialect_profile": {"format": 1, "encrypted_after_starttls": False}}, NOBODY),
    ({"secure_smtp_submission": "loose"}, "value of secure_smtp_submission must be one of: strict, article"),
)


def test_submission_that_nobody_could_use_is_refused(site, tmp_path):
    one = site()
    before = one.mta.script()
    # One run for all: most of its time goes by before the role has begun.
    tasks = [
        {
            "block": [{"ansible.builtin.include_role": {"name": "securemail.smtp.secure_smtp"}, "vars": wrong}],
            "rescue": [{"ansible.builtin.copy": {
                "dest": str(tmp_path / ("said-%d" % number)), "content": "{{ ansible_failed_result | string }}", "mode": "0600",
            }}],
        }
        for number, (wrong, _words) in enumerate(WRONG)
    ]
    variables = {**one.variables, "secure_smtp_submission": "strict"}
    (tmp_path / "wrong.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}]))
    play(tmp_path / "wrong.yml", one.mta.port)
    for number, (wrong, words) in enumerate(WRONG):
        said = (tmp_path / ("said-%d" % number)).read_text()
        assert words in " ".join(said.replace("\\n", " ").split()), wrong
    assert one.mta.script() == before and one.policy()["listeners"] == []


def test_an_axigen_whose_names_are_not_known_is_refused_by_name(site):
    one = site(shuffled.SCRIPT, shuffled.bootstrap())
    before = one.mta.script()
    words = one.refused(secure_smtp_submission="strict", secure_smtp_relay_tls=[])
    assert "plain_auth_variable" in words and "tls_auth_variable" in words and "dialect_profile" in words
    assert one.mta.script() == before


@pytest.mark.parametrize("known", [True, None])
def test_an_axigen_that_was_learned_is_strict(site, known):
    one = site(shuffled.SCRIPT, shuffled.bootstrap())
    given = {
        "securemail_dialect_profile": {**shuffled.PROFILE, "encrypted_after_starttls": known},
        "secure_smtp_submission": "strict",
        "secure_smtp_relay_tls": [],
    }
    changed, output = one.secure(**given)
    assert changed == 1
    # Whether a connection behind STARTTLS counts as encrypted nobody has said, so it is told.
    assert ("look with smtp_probe what the rule does" in output) is (known is None)
    assert one.secure(**given)[0] == 0
    assert one.said(one.submission, MAIL, tls=False) == STARTTLS_FIRST
    assert one.said(one.submission, MAIL) == LOGIN_FIRST
    assert one.said(one.submission, "AUTH PLAIN " + plain(USER, USER_PASSWORD), MAIL).startswith("250 ")
    assert one.said(one.relay, "AUTH PLAIN").startswith("502 ")
    if known is None:
        return
    assert one.secure(**{**given, "secure_smtp_submission": "article"})[0] == 1
    assert one.said(one.submission, MAIL, tls=False).startswith("250 ")


def test_the_playbook_of_the_readme(site, lab, tmp_path):
    """As it is pasted, but for host, ports, paths and the password; then with a server that does something else."""
    one = site()
    (text,) = re.findall(r"## Submission\n.*?```yaml\n(.*?)```", ROLE_README.read_text(), re.DOTALL)
    for old, new in (
        ("hosts: mail", "hosts: all\n  gather_facts: false"),
        ("  gather_facts: false\n  gather_facts: false", "  gather_facts: false"),
        ("/etc/mail/mail.example.com.pem", lab.ecdsa),
    ):
        text = text.replace(old, new)
    text = re.sub(r'targets: .*', 'targets: "{{ targets }}"', text)
    for port, real in ((25, one.relay), (465, one.submissions), (587, one.submission)):
        text = text.replace('"0.0.0.0:%d"' % port, '"127.0.0.1:%d"' % real).replace("_ports: [%d]" % port, "_ports: [%d]" % real)
    playbook = tmp_path / "pasted.yml"
    playbook.write_text(text)
    targets = [
        {"address": "127.0.0.1:%d" % port, "tls": tls, "server_name": "mail.example.test", "ca_file": lab.ca_file}
        for port, tls in ((one.relay, "starttls"), (one.submissions, "implicit"), (one.submission, "starttls"))
    ]
    (tmp_path / "given.json").write_text(json.dumps({"vault_admin_password": PASSWORD, "targets": targets}))
    for changed in ("changed=1", "changed=0"):
        assert changed in play(playbook, one.mta.port, "-e", "@%s" % (tmp_path / "given.json"))
    assert len(one.rules()) == 4
