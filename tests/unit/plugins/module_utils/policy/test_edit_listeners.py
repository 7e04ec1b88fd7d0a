# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of listeners, TLS settings and STARTTLS."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener, Policy, StartTls

PEM = "/etc/mail/mail.pem"

RELAY = Listener(
    "0.0.0.0:25", True, "starttls", ("TLSv1.2",), "HIGH:!aNULL", True, PEM, "", "", False, idle_timeout=300
)
PLAIN = Listener("127.0.0.1:2525", True, "none", ("TLSv1.2",), certificate="")
SUBMISSIONS = Listener("[::]:465", True, "implicit", certificate=PEM)

POLICY = Policy((RELAY, PLAIN, SUBMISSIONS), StartTls(inbound=True, outbound=False))


def problems_of(call, *arguments):
    with pytest.raises(PolicyError) as caught:
        call(*arguments)
    return caught.value.problems


# --- one listener -------------------------------------------------------------------------------


def test_a_new_listener_is_enabled_and_stands_in_order_of_address():
    edited = edit.put_listener(POLICY, Listener("0.0.0.0:587"))
    assert [listener.address for listener in edited.listeners] == [
        "0.0.0.0:25",
        "0.0.0.0:587",
        "127.0.0.1:2525",
        "[::]:465",
    ]
    assert edited.listener("0.0.0.0:587") == Listener("0.0.0.0:587", enabled=True, tls="none")
    assert POLICY.listener("0.0.0.0:587") is None


@pytest.mark.parametrize(
    ("wanted", "enabled", "tls"),
    [
        (Listener("0.0.0.0:587"), True, "none"),
        (Listener("0.0.0.0:587", certificate=""), True, "none"),
        (Listener("0.0.0.0:587", certificate=PEM), True, "starttls"),
        (Listener("0.0.0.0:587", certificate=PEM, tls="implicit"), True, "implicit"),
        (Listener("0.0.0.0:587", enabled=False), False, "none"),
    ],
)
def test_what_a_new_listener_becomes_when_nothing_is_said(wanted, enabled, tls):
    created = edit.put_listener(Policy(), wanted).listener("0.0.0.0:587")
    assert (created.enabled, created.tls) == (enabled, tls)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enabled", False),
        ("tls", "implicit"),
        ("versions", ("TLSv1.2", "TLSv1.3")),
        ("ciphers", "ECDHE+AESGCM"),
        ("prefer_server_ciphers", False),
        ("certificate", "/other.pem"),
        ("ca_file", "/ca.pem"),
        ("dh_params", "/dh.pem"),
        ("request_client_certificate", True),
        ("idle_timeout", 60),
        ("idle_timeout", 0),
        ("max_connections", 5),
        ("max_interval_connections", 0),
        ("interval", 30),
        ("peer_max_connections", 1),
        ("peer_max_interval_connections", 7),
        ("peer_interval", 90),
        ("allowed_networks", ("10.0.0.0/8",)),
        ("allowed_networks", ()),
        ("denied_networks", ("0.0.0.0/0",)),
    ],
)
def test_one_field_changes_and_all_others_stay(field, value):
    edited = edit.put_listener(POLICY, Listener("0.0.0.0:25", **{field: value}))
    listener = edited.listener("0.0.0.0:25")
    assert getattr(listener, field) == value
    unchanged = [name for name in vars(RELAY) if name != field]
    assert [getattr(listener, name) for name in unchanged] == [getattr(RELAY, name) for name in unchanged]
    assert edited.listeners[1:] == POLICY.listeners[1:]
    assert edit.put_listener(edited, Listener("0.0.0.0:25", **{field: value})) is edited


def test_an_empty_list_of_networks_is_not_the_same_as_none():
    limited = edit.put_listener(POLICY, Listener("0.0.0.0:25", denied_networks=("10.0.0.0/8",)))
    assert edit.put_listener(limited, Listener("0.0.0.0:25")) is limited
    opened = edit.put_listener(limited, Listener("0.0.0.0:25", denied_networks=()))
    assert opened.listener("0.0.0.0:25").denied_networks == ()


def test_nothing_asked_changes_nothing():
    assert edit.put_listener(POLICY, RELAY) is POLICY
    assert edit.put_listener(POLICY, Listener("0.0.0.0:25")) is POLICY


def test_a_certificate_for_a_listener_without_tls_is_meant_to_be_used():
    edited = edit.put_listener(POLICY, Listener("127.0.0.1:2525", certificate=PEM))
    assert edited.listener("127.0.0.1:2525").tls == "starttls"
    assert (
        edit.put_listener(POLICY, Listener("[::]:465", certificate="/new.pem")).listener("[::]:465").tls == "implicit"
    )


def test_tls_none_leaves_it_to_the_server_what_becomes_of_the_certificate():
    listener = edit.put_listener(POLICY, Listener("0.0.0.0:25", tls="none")).listener("0.0.0.0:25")
    assert (listener.tls, listener.certificate) == ("none", PEM)


def test_a_removed_listener_is_gone_and_absent_again_changes_nothing():
    edited = edit.remove_listener(POLICY, "127.0.0.1:2525")
    assert edited.listeners == (RELAY, SUBMISSIONS)
    assert edit.remove_listener(edited, "127.0.0.1:2525") is edited


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Listener("0.0.0.0:465", tls="implicit"), "tls: implicit needs a certificate; give certificate"),
        (Listener("0.0.0.0:465", tls="implicit", certificate=""), "tls: implicit needs a certificate"),
        (Listener("0.0.0.0:465", tls="starttls"), "tls: starttls needs a certificate"),
        (Listener("127.0.0.1:2525", tls="implicit"), "tls: implicit needs a certificate"),
        (Listener("127.0.0.1:2525", tls="starttls"), "tls: starttls needs a certificate"),
        (Listener("[::]:465", certificate=""), "tls: implicit needs a certificate; give certificate, or take TLS away with tls: none"),
        (
            Listener("0.0.0.0:25", certificate=""),
            "tls: starttls needs a certificate; give certificate, or take TLS away with tls: none",
        ),
        (Listener("0.0.0.0:25", tls="none", certificate=PEM), "tls: none and certificate: " + PEM + " contradict"),
        (Listener("0.0.0.0:587", tls="none", certificate=PEM), "contradict each other"),
    ],
)
def test_a_listener_that_contradicts_itself_is_refused(wanted, said):
    (problem,) = problems_of(edit.put_listener, POLICY, wanted)
    assert problem.startswith("listener %s: " % wanted.address)
    assert said in problem


def test_starttls_on_a_listener_while_it_is_off_for_the_server_names_both_options():
    off = Policy(POLICY.listeners, StartTls(inbound=False))
    wanted = Listener("0.0.0.0:587", tls="starttls", certificate=PEM)
    (problem,) = problems_of(edit.put_listener, off, wanted)
    assert "listener 0.0.0.0:587: tls: starttls while STARTTLS inbound is off" in problem
    assert "starttls.inbound" in problem and "starttls_inbound" in problem
    unknown = Policy(POLICY.listeners, StartTls(inbound=None))
    assert edit.put_listener(unknown, wanted).listener("0.0.0.0:587").tls == "starttls"


def test_old_contradictions_that_nobody_asked_about_do_not_stop_an_edit():
    odd = Policy((Listener("0.0.0.0:25", True, "implicit"), Listener("0.0.0.0:26", True, "starttls", certificate=PEM)))
    odd = Policy(odd.listeners, StartTls(inbound=False))
    edited = edit.put_listener(odd, Listener("0.0.0.0:25", idle_timeout=5))
    edited = edit.put_listener(edited, Listener("0.0.0.0:26", versions=("TLSv1.3",)))
    assert edited.listener("0.0.0.0:25").idle_timeout == 5
    assert edited.listener("0.0.0.0:26").versions == ("TLSv1.3",)


def test_the_check_looks_at_what_was_touched_only():
    odd = Policy((Listener("0.0.0.0:25", True, "implicit"), Listener("0.0.0.0:26", True, "implicit")))
    edit.check(odd, {})
    edit.check(odd, {"0.0.0.0:25": {"ciphers"}})
    assert len(problems_of(edit.check, odd, {"0.0.0.0:25": {"tls"}, "0.0.0.0:26": {"certificate"}})) == 2


# --- TLS settings of many -----------------------------------------------------------------------


def test_settings_of_all_listeners():
    edited = edit.put_tls(POLICY, None, {"versions": ("TLSv1.3",), "ciphers": None}, StartTls())
    assert [listener.versions for listener in edited.listeners] == [("TLSv1.3",)] * 3
    assert edited.listener("0.0.0.0:25").ciphers == "HIGH:!aNULL"
    assert edit.put_tls(edited, None, {"versions": ("TLSv1.3",)}, StartTls()) is edited


def test_settings_of_named_listeners():
    edited = edit.put_tls(POLICY, ("[::]:465", "0.0.0.0:25"), {"dh_params": "/dh.pem"}, StartTls())
    assert [listener.dh_params for listener in edited.listeners] == ["/dh.pem", None, "/dh.pem"]


def test_a_certificate_for_all_listeners_keeps_their_kinds_of_tls():
    edited = edit.put_tls(POLICY, None, {"certificate": "/new.pem"}, StartTls())
    assert [listener.tls for listener in edited.listeners] == ["starttls", "starttls", "implicit"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (StartTls(), StartTls(True, False)),
        (StartTls(inbound=False), StartTls(False, False)),
        (StartTls(outbound=True), StartTls(True, True)),
        (StartTls(False, True), StartTls(False, True)),
    ],
)
def test_starttls_in_both_directions(wanted, expected):
    edited = edit.put_tls(POLICY, None, {}, wanted)
    assert edited.starttls == expected
    assert edited.listeners == POLICY.listeners


def test_listeners_that_do_not_exist_are_all_named():
    problems = problems_of(
        edit.put_tls, POLICY, ("0.0.0.0:587", "0.0.0.0:25", "0.0.0.0:465"), {"ciphers": "x"}, StartTls()
    )
    assert [problem.split(" does")[0] for problem in problems] == ["listener 0.0.0.0:587", "listener 0.0.0.0:465"]
    assert "there are 0.0.0.0:25, 127.0.0.1:2525, [::]:465" in problems[0]


def test_settings_for_no_listener_at_all_are_refused_and_starttls_alone_is_not():
    assert "there is no listener" in problems_of(edit.put_tls, Policy(), None, {"ciphers": "x"}, StartTls())[0]
    assert edit.put_tls(Policy(), None, {}, StartTls(True, True)).starttls == StartTls(True, True)


def test_taking_all_certificates_away_names_every_listener_that_needs_one():
    problems = problems_of(edit.put_tls, POLICY, None, {"certificate": ""}, StartTls())
    assert [problem.split(": ")[0] for problem in problems] == ["listener 0.0.0.0:25", "listener [::]:465"]
