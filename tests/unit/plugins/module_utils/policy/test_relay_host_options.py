# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay host: what a playbook says, and what is kept of the one that a server has."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy, RelayHost
from ansible_collections.securemail.smtp.plugins.module_utils._policy.relay_host import relay_host_name, relay_wish

SECRET = "p\"%\\ \u00fc\r\n'x"
PRESENT = RelayHost("relay.test", 587, "starttls", "verify", "user", SECRET)


def wish(**options):
    return relay_wish(dict({"host": "relay.test", "port": 587}, **options))


def put(current, **options):
    return edit.put_relay(Policy(relay=current), wish(**options)).relay


def problems_of(call, *arguments, **options):
    with pytest.raises(PolicyError) as caught:
        call(*arguments, **options)
    assert SECRET not in str(caught.value)
    return list(caught.value.problems)


# --- a new one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, RelayHost("relay.test", 587, "starttls", "may")),
        ({"port": 25}, RelayHost("relay.test", 25, "starttls", "may")),
        ({"port": 465}, RelayHost("relay.test", 465, "implicit", "encrypt")),
        ({"port": 465, "tls": "starttls"}, RelayHost("relay.test", 465, "starttls", "may")),
        ({"tls": " Implicit"}, RelayHost("relay.test", 587, "implicit", "encrypt")),
        ({"level": "NONE"}, RelayHost("relay.test", 587, "starttls", "none")),
        ({"level": False}, RelayHost("relay.test", 587, "starttls", "none")),
        ({"level": "secure"}, RelayHost("relay.test", 587, "starttls", "secure")),
        ({"username": "u", "password": SECRET}, RelayHost("relay.test", 587, "starttls", "encrypt", "u", SECRET)),
        ({"username": "", "password": ""}, RelayHost("relay.test", 587, "starttls", "may")),
        (
            {"username": "u", "password": "p", "level": "none", "allow_clear_text_login": True},
            RelayHost("relay.test", 587, "starttls", "none", "u", "p", True),
        ),
        ({"allow_clear_text_login": True}, RelayHost("relay.test", 587, "starttls", "may")),
    ],
)
def test_what_nobody_said_has_a_safe_value(options, expected):
    relay = put(None, **options)
    assert relay == expected
    assert edit.put_relay(Policy(relay=relay), wish(**options)).relay is relay


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Relay.Example.TEST.", "relay.example.test"),
        ("[relay.test]", "relay.test"),
        ("b\u00fccher.test", "xn--bcher-kva.test"),
        ("localhost", "localhost"),
        (" 192.0.2.25 ", "192.0.2.25"),
        ("[192.0.2.25]", "192.0.2.25"),
        ("2001:DB8:0::25", "2001:db8::25"),
        ("[2001:db8::25]", "2001:db8::25"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    ],
)
def test_a_host_has_one_spelling(given, expected):
    assert relay_host_name(given) == expected
    assert relay_host_name(expected) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "host must be the name or IP address of the relay host; got nothing"),
        ("", "host must be the name or IP address of the relay host; got nothing"),
        (5, "host must be the name or IP address of the relay host; got the number 5, quote it"),
        ("relay.test:587", 'host holds a port: write host: "relay.test" and port: 587'),
        ("[relay.test]:587", 'host holds a port: write host: "[relay.test]" and port: 587'),
        ("[2001:db8::25]:587", 'host holds a port: write host: "[2001:db8::25]" and port: 587'),
        ("192.0.2.25:25", 'host holds a port: write host: "192.0.2.25" and port: 25'),
        ("smtp://relay.test", 'host must be a name or an IP address and no URL; got "smtp://relay.test"'),
        (".relay.test", 'host must be one host; got ".relay.test", which is every subdomain'),
        ("192.0.2.256", "192.0.2.256 is not an IPv4 address"),
        ("192.0.02.5", "has leading zeros"),
        ("fe80::1%eth0", "addresses with a zone"),
        ("user@relay.test", "this is a mail address"),
        ("re lay.test", "there are blanks inside"),
    ],
)
def test_what_is_no_host(given, said):
    (problem,) = problems_of(relay_host_name, given)
    assert said in problem


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"port": None},
            "relay.port is missing; usual are 587 (submission) and 25 with STARTTLS, and 465 with TLS from the first byte",
        ),
        ({"port": 0}, "relay.port must be a number from 1 to 65535; got 0; usual are"),
        ({"port": 65536}, "relay.port must be a number from 1 to 65535; got 65536; usual are"),
        ({"port": True}, "relay.port must be a number from 1 to 65535; got the boolean true; usual are"),
        (
            {"tls": "none"},
            'relay.tls must be one of starttls, implicit; got "none"; whether TLS is needed is what level',
        ),
        ({"level": "dane"}, 'relay.level must be one of none, may, encrypt, verify, secure; got "dane"'),
        ({"level": "none", "tls": "implicit"}, "relay.tls: implicit and relay.level: none contradict each other"),
        ({"password": SECRET}, "relay.password is given without relay.username; give both"),
        ({"username": "", "password": SECRET}, "relay.password is given without relay.username; give both"),
        ({"username": 'a"b', "password": SECRET}, "relay.username must be printable ASCII on one line"),
        ({"username": "a%b", "password": SECRET}, "it holds a percent sign"),
        ({"username": "a\\b", "password": SECRET}, "it holds a backslash"),
        ({"username": "\u00fc", "password": SECRET}, "relay.username must be printable ASCII"),
        ({"username": "u" * 256, "password": SECRET}, "relay.username must have 255 characters at most; got 256"),
        ({"username": "u", "password": SECRET + "\0"}, "relay.password holds a NUL"),
        ({"username": "u", "password": "\udc80"}, "relay.password is not valid Unicode text"),
        ({"username": "u", "password": "\u00fc" * 128}, "relay.password must have 255 octets at most; got 256"),
        (
            {"username": "u", "password": SECRET, "level": "may"},
            "relay.level: may would let the credentials go out in clear text; say level: encrypt or better",
        ),
        ({"username": "u", "password": SECRET, "level": "none"}, "(or relay.allow_clear_text_login: true"),
    ],
)
def test_what_is_refused_without_asking_the_server(options, said):
    (problem,) = problems_of(wish, **options)
    assert said in problem


def test_all_problems_are_said_at_once():
    problems = problems_of(
        relay_wish,
        {"host": "a b", "tls": "ssl", "level": "x", "username": "%", "password": "\0"},
    )
    assert [problem.split(" ")[0] for problem in problems] == [
        "relay.host",
        "relay.port",
        "relay.tls",
        "relay.level",
        "relay.username",
        "relay.password",
    ]


def test_a_password_is_in_no_representation():
    given = wish(username="u", password="secret-word")
    assert "secret-word" not in repr(given) + repr(edit.put_relay(Policy(), given))


# --- one that is there --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, PRESENT),
        ({"username": "user"}, PRESENT),
        ({"username": "user", "password": SECRET}, PRESENT),
        ({"tls": "implicit"}, RelayHost("relay.test", 587, "implicit", "verify", "user", SECRET)),
        ({"level": "encrypt"}, RelayHost("relay.test", 587, "starttls", "encrypt", "user", SECRET)),
        ({"username": "user", "password": "new"}, RelayHost("relay.test", 587, "starttls", "verify", "user", "new")),
        ({"username": "other", "password": "new"}, RelayHost("relay.test", 587, "starttls", "verify", "other", "new")),
        ({"username": ""}, RelayHost("relay.test", 587, "starttls", "verify")),
    ],
)
def test_what_nobody_said_stays_for_the_same_host_and_port(options, expected):
    assert put(PRESENT, **options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"port": 25}, RelayHost("relay.test", 25, "starttls", "may")),
        ({"host": "other.test"}, RelayHost("other.test", 587, "starttls", "may")),
    ],
)
def test_nothing_of_it_goes_to_another_host_or_port(options, expected):
    assert put(PRESENT, **options) == expected


@pytest.mark.parametrize(
    ("current", "options", "reason"),
    [
        (None, {"username": "user"}, "the server has none for a relay host"),
        (RelayHost("relay.test", 587, "starttls", "may"), {"username": "user"}, "the server has none for a relay host"),
        (PRESENT, {"username": "other"}, "the one that the server has is for user user at relay.test port 587"),
        (
            PRESENT,
            {"username": "user", "port": 25},
            "is for user user at relay.test port 587 and is not sent elsewhere",
        ),
        (PRESENT, {"username": "user", "host": "evil.test"}, "is not sent elsewhere"),
        (PRESENT, {"username": "USER"}, "is not sent elsewhere"),
    ],
)
def test_a_password_is_kept_for_its_own_user_host_and_port_only(current, options, reason):
    (problem,) = problems_of(put, current, **options)
    assert problem.startswith("relay.password is needed for user %s: " % options["username"])
    assert reason in problem


def test_credentials_that_are_kept_do_not_go_out_in_clear_either():
    (problem,) = problems_of(put, PRESENT, level="may")
    assert problem.startswith("relay.level: may would let the credentials go out in clear text")
    assert put(PRESENT, level="may", allow_clear_text_login=True).level == "may"
    loose = RelayHost("relay.test", 587, "starttls", "may", "user", SECRET, True)
    assert put(loose) == RelayHost("relay.test", 587, "starttls", "encrypt", "user", SECRET)


def test_an_unknown_level_of_the_server_is_replaced():
    odd = RelayHost("relay.test", 587, "starttls", "dane")
    assert put(odd).level == "may"


def test_a_relay_host_is_removed():
    gone = relay_wish({"state": "absent", "host": None, "port": None})
    assert edit.put_relay(Policy(relay=PRESENT), gone) == Policy()
    nothing = Policy()
    assert edit.put_relay(nothing, gone) is nothing
    there = Policy(relay=PRESENT)
    assert edit.put_relay(there, None) is there
