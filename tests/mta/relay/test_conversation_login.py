# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logging in at a relay host: with which words, and when not at all."""

from __future__ import annotations

import base64
import hashlib

import pytest
import scramp
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from conversation_harness import Line, Scripted, talk
from postern.delivery.conversation import HostFailed
from postern.delivery.login import MAX_ROUNDS

pytestmark = pytest.mark.filterwarnings("error")

USER, PASSWORD = "relay-user", 'pa"ss wörd\\'
LOGIN = {"user": USER, "password": PASSWORD}


def encoded(text: str) -> bytes:
    """Base64 of a text."""
    return base64.b64encode(text.encode())


@pytest.mark.parametrize("mechanisms", [("PLAIN", "LOGIN"), ("LOGIN",), ("CRAM-MD5", "XOAUTH2", "LOGIN", "PLAIN")])
@pytest.mark.parametrize("implicit", [False, True])
def test_a_login_inside_tls(mechanisms, implicit, ec_file):
    with Sink(certificate=ec_file, implicit=implicit, auth={USER: PASSWORD}, mechanisms=mechanisms) as sink:
        result = talk(sink, "encrypt", implicit=implicit, **LOGIN)
        session = sink.wait_session()
    assert result.outcomes["b@example.test"].kind == "sent" and sink.messages[0].user == USER
    assert [login.inside_tls for login in session.logins] == [True]
    assert session.logins[0].mechanism == ("PLAIN" if "PLAIN" in mechanisms else "LOGIN")


def test_a_wrong_password_is_temporary_and_not_told(ec_file):
    with Sink(certificate=ec_file, auth={USER: "another"}) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "encrypt", **LOGIN)
        assert sink.wait_session().verbs == ("EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT")
    assert (failed.value.status, failed.value.tls) == ("4.7.8", False)
    assert failed.value.reason == "the login was refused: 535 5.7.8 Wrong user name or password"
    assert failed.value.security.reached == "encrypt"


# Level, kind of peer, and how many connections are made; none of them hears credentials.
WITHOUT_TLS = [
    ("none", {"starttls": False, "clear_auth": True}, "4.7.4"),
    ("may", {"starttls": False, "clear_auth": True}, "4.7.4"),
    ("encrypt", {"starttls": False, "clear_auth": True}, "4.7.4"),
    ("may", {"starttls": "refused", "clear_auth": True}, "4.7.4"),
    ("may", {"starttls": "broken", "clear_auth": True}, "4.7.5"),
]


@pytest.mark.parametrize("level, behaviour, status", WITHOUT_TLS)
def test_credentials_are_never_sent_without_tls(level, behaviour, status):
    with Sink(auth={USER: PASSWORD}, **behaviour) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, level, **LOGIN)
        sessions = sink.wait_idle()
    assert failed.value.status == status and failed.value.tls
    assert len(sessions) == 1 and set(sessions[0].verbs) <= {"EHLO", "STARTTLS", "QUIT"} and not sessions[0].logins


def test_credentials_in_clear_only_when_that_is_allowed_and_tls_did_not_fail():
    with Sink(auth={USER: PASSWORD}, starttls=False, clear_auth=True) as sink:
        assert talk(sink, "may", clear_login=True, **LOGIN).outcomes["b@example.test"].kind == "sent"
        assert talk(sink, "none", clear_login=True, **LOGIN).security.reached == "clear"
        with pytest.raises(HostFailed):
            talk(sink, "encrypt", clear_login=True, **LOGIN)
    with Sink(auth={USER: PASSWORD}, starttls="broken", clear_auth=True) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "may", clear_login=True, **LOGIN)
        assert len(sink.wait_idle()) == 1
    assert failed.value.status == "4.7.5" and failed.value.tls


@pytest.mark.parametrize("mechanisms", [("CRAM-MD5",), ("XOAUTH2", "DIGEST-MD5", "NTLM"), ()])
def test_a_mechanism_that_is_not_known_here(mechanisms, ec_file):
    with Sink(certificate=ec_file, auth={USER: PASSWORD}, mechanisms=mechanisms) as sink:
        with pytest.raises(HostFailed, match="no login mechanism that is known here") as failed:
            talk(sink, "encrypt", **LOGIN)
        assert "AUTH" not in sink.wait_session().verbs
    assert failed.value.status == "4.7.4" and not failed.value.tls


def test_a_relay_host_that_offers_no_login(ec_file):
    with Sink(certificate=ec_file) as sink, pytest.raises(HostFailed) as failed:
        talk(sink, "encrypt", **LOGIN)
    assert failed.value.status == "4.7.4" and "offered: none" in failed.value.reason


@pytest.mark.parametrize(
    "reply, status",
    [(b"454 4.7.0 later", "4.7.0"), (b"534 5.7.9 too weak", "4.7.8"), (b"250 what", "4.7.8"), (b"421 bye", "4.3.2")],
)
def test_other_answers_to_a_login(reply, status):
    def act(line: Line):
        line.hello(b"AUTH PLAIN")
        line.answer(reply, b"221 bye")

    with Scripted(act) as peer, pytest.raises(HostFailed) as failed:
        talk(peer, "none", clear_login=True, **LOGIN)
    assert failed.value.status == status


@pytest.mark.parametrize("mechanism, prompts", [("PLAIN", 0), ("LOGIN", 2)])
@pytest.mark.parametrize("form", ["535 no: %s", "garbage %s", "535-%s\r\n535 no", "421 %s"])
def test_a_peer_that_repeats_the_credentials_brings_them_into_no_error(mechanism, prompts, form):
    everything = [encoded(f"\0{USER}\0{PASSWORD}").decode(), encoded(PASSWORD).decode(), PASSWORD]

    def act(line: Line):
        line.hello(b"AUTH " + mechanism.encode())
        line.answer(*[b"334 go"] * prompts)
        line.answer((form % " ".join(everything)).encode(), b"221 bye")

    with Scripted(act) as peer, pytest.raises(HostFailed) as failed:
        talk(peer, "none", clear_login=True, **LOGIN)
    shown = failed.value.reason + repr(failed.value) + repr(failed.value.__cause__) + repr(failed.value.__context__)
    assert not [secret for secret in everything if secret in shown]


@pytest.mark.parametrize("user, password", [("a\0b", "c"), ("a", "b\0c"), ("a", "\udcff")])
def test_credentials_that_no_mechanism_can_say(user, password, ec_file):
    with Sink(certificate=ec_file, auth={USER: PASSWORD}) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "encrypt", user=user, password=password)
        assert "AUTH" not in sink.wait_session().verbs
    assert failed.value.status == "4.7.8"


def test_a_password_that_scram_forbids():
    with Scripted(lambda line: (line.hello(b"AUTH SCRAM-SHA-256"), line.answer(b"221 bye"))) as peer:
        with pytest.raises(HostFailed, match="a character that it forbids") as failed:
            talk(peer, "none", clear_login=True, user=USER, password="bell\x07")
    assert failed.value.status == "4.7.8"


class ScramPeer:
    """A relay host that speaks SCRAM-SHA-256, honestly but for ``twist``."""

    def __init__(self, password: str = PASSWORD, rounds: int = 4096, twist: str = "") -> None:
        mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
        salt, stored, server, rounds = mechanism.make_auth_info(password, iteration_count=rounds, salt=b"salt" * 4)
        self._keys = {USER: (salt, stored, server, rounds)}
        self._mechanism = mechanism
        self._twist = twist
        self.said: list[bytes] = []

    def __call__(self, line: Line) -> None:
        scram = self._mechanism.make_server(self._keys.__getitem__)
        line.hello(b"AUTH LOGIN PLAIN scram-sha-256")
        words = line.line().split(b" ")
        self.said.append(words[1])
        scram.set_client_first(base64.b64decode(words[2]).decode())
        first = scram.get_server_first()
        if self._twist == "many rounds":
            first = first.replace("i=4096", f"i={MAX_ROUNDS + 1}")
        if self._twist == "other nonce":
            first = first.replace("r=", "r=x", 1)
        line.send(b"334 " + (b"%%%" if self._twist == "no base64" else encoded(first)) + b"\r\n")
        try:
            scram.set_client_final(base64.b64decode(line.line()).decode())
        except scramp.ScramException:
            line.send(b"535 5.7.8 no\r\n")
            line.answer(b"221 bye")
            return
        final = scram.get_server_final()
        if self._twist == "no proof":
            line.send(b"235 2.7.0 in you go\r\n")
        else:
            if self._twist == "wrong proof":
                final = "v=" + encoded(hashlib.sha256(b"guess").hexdigest()[:32]).decode()
            line.send(b"334 " + encoded(final) + b"\r\n")
            self.said.append(line.line())
            line.send(b"235 2.7.0 in you go\r\n")
        line.answer(b"550 no", b"221 bye")


@pytest.mark.parametrize("rounds", [4096, 100_000])
def test_scram_is_the_first_choice(rounds):
    act = ScramPeer(rounds=rounds)
    with Scripted(act) as peer:
        result = talk(peer, "none", clear_login=True, **LOGIN)
    assert result.outcomes["b@example.test"].code == 550
    # RFC 4954 section 4: the answer to the server's proof is an empty line.
    assert act.said == [b"SCRAM-SHA-256", b""]


def test_scram_with_a_wrong_password():
    with Scripted(ScramPeer(password="another")) as peer, pytest.raises(HostFailed) as failed:
        talk(peer, "none", clear_login=True, **LOGIN)
    assert failed.value.status == "4.7.8" and failed.value.reason == "the login was refused: 535 5.7.8 no"


@pytest.mark.parametrize(
    "twist, reason",
    [
        ("many rounds", "a number of rounds that cannot be meant"),
        ("other nonce", "did not prove that it knows the password"),
        ("no base64", "no base64"),
        ("no proof", "did not prove that it knows the password"),
        ("wrong proof", "did not prove that it knows the password"),
    ],
)
def test_a_peer_that_only_pretends_to_speak_scram_gets_no_mail(twist, reason):
    with Scripted(ScramPeer(twist=twist)) as peer, pytest.raises(HostFailed, match=reason) as failed:
        talk(peer, "none", clear_login=True, **LOGIN)
    assert failed.value.status == "4.7.8"
