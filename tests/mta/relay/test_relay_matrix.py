# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every kind of peer at every TLS level, through MX and through the relay host: what the peer sees, what the log says.

The table is written by hand and says what must come out, so that it can disagree with the program.
"""

from __future__ import annotations

import base64

import pytest

LEVELS = ("none", "may", "encrypt", "verify", "secure")
#: What must become of the message, in the order of LEVELS.
#: ``clear``: delivered in clear. ``fallback``: the same, on a second connection, after TLS failed on the first.
#: ``tls``: delivered inside TLS. A status: nothing delivered, nothing said past EHLO, tried again later.
NO_TLS = ("clear", "clear", "4.7.4", "4.7.4", "4.7.4")
REFUSED = ("clear", "fallback", "4.7.4", "4.7.4", "4.7.4")
BROKEN = ("clear", "fallback", "4.7.5", "4.7.5", "4.7.5")
GOOD = ("clear", "tls", "tls", "tls", "tls")
UNPROVEN = ("clear", "tls", "tls", "4.7.5", "4.7.5")
#: With TLS from the first byte there is no clear text: "none" and "may" are "encrypt".
IMPLICIT = {GOOD: ("tls",) * 5, BROKEN: ("4.7.5",) * 5, UNPROVEN: ("tls", "tls", "tls", "4.7.5", "4.7.5")}
#: With a login for the relay host nothing goes out in clear.
LOGIN = {
    NO_TLS: ("4.7.4",) * 5, REFUSED: ("4.7.4",) * 5, BROKEN: ("4.7.4", *("4.7.5",) * 4),
    GOOD: ("4.7.4", *("tls",) * 4), UNPROVEN: ("4.7.4", "tls", "tls", "4.7.5", "4.7.5"),
}  # fmt: skip

#: Kind of peer: what it does, the versions of the rule, what must come out.
PEERS = {
    "without STARTTLS": ({"starttls": False}, None, NO_TLS),
    "STARTTLS refused": ({"starttls": "refused"}, None, REFUSED),
    "handshake of garbage": ({"handshake": "garbage"}, None, BROKEN),
    "handshake ended by an alert": ({"handshake": "alert"}, None, BROKEN),
    "closed instead of the handshake": ({"closes": "HANDSHAKE"}, None, BROKEN),
    "injection behind the 220": ({"starttls": "inject"}, None, BROKEN),
    "TLS 1.0 only, allowed": ({"versions": ("TLSv1", "TLSv1")}, "tls10 tls11 tls12 ", GOOD),
    "TLS 1.1 only, allowed": ({"versions": ("TLSv1.1", "TLSv1.1")}, "tls11 tls12 ", GOOD),
    "TLS 1.2 only, allowed": ({"versions": ("TLSv1.2", "TLSv1.2")}, "tls11 tls12 ", GOOD),
    "TLS 1.3 only, allowed": ({"versions": ("TLSv1.3", "TLSv1.3")}, "tls13 ", GOOD),
    "TLS 1.0 only, not allowed": ({"versions": ("TLSv1", "TLSv1")}, "tls11 tls12 ", BROKEN),
    "TLS 1.1 only, not allowed": ({"versions": ("TLSv1.1", "TLSv1.1")}, None, BROKEN),
    "TLS 1.2 only, not allowed": ({"versions": ("TLSv1.2", "TLSv1.2")}, "tls13 ", BROKEN),
    "TLS 1.3 only, not allowed": ({"versions": ("TLSv1.3", "TLSv1.3")}, "tls11 tls12 ", BROKEN),
    "good certificate": ({}, None, GOOD),
    "expired certificate": ({"certificate": "expired"}, None, UNPROVEN),
    "self-signed certificate": ({"certificate": "self-signed"}, None, UNPROVEN),
    "certificate for another name": ({"certificate": "wrong name"}, None, UNPROVEN),
}
#: Kinds that exist only where TLS begins with a STARTTLS command.
STARTTLS_KINDS = ("without STARTTLS", "STARTTLS refused", "injection behind the 220")
LOGIN_USER, LOGIN_PASSWORD = "relay@example.test", 'zebra "crossing" \\ 1'


def cases(kinds=tuple(PEERS)):
    """All kinds at all levels."""
    return pytest.mark.parametrize(
        ("kind", "level"), [pytest.param(kind, level, id=f"{kind}, {level}") for kind in kinds for level in LEVELS]
    )


def make_peer(lab, peer, host, kind, **more):
    """A peer of this kind with this host name."""
    behaviour = {**PEERS[kind][0], **more}
    how = behaviour.get("certificate", "good")
    if how == "good":
        behaviour["certificate"] = lab.certificate(host)
    elif how == "expired":
        behaviour["certificate"] = lab.certificate(host, days=-1)
    elif how == "self-signed":
        behaviour["certificate"] = lab.authority.issue_self_signed(f"{host}-self.pem", host)
    else:
        behaviour["certificate"] = lab.certificate("mx.somebody-else.test")
    return peer(host, **behaviour)


def wishes(kind, level, **more):
    """The variables that a rule sets."""
    versions = PEERS[kind][1]
    # "none" takes both: the stricter of the two wishes holds.
    switch = {"allowStartTLS": "no"} if level == "none" else {}
    return {"tlsLevel": level, **switch, **({"allowedSSLVersions": versions} if versions else {}), **more}


def judge(lab, sink, domain, kind, level, expected, implicit=False):
    """Compare what the peer saw and what the log says with what was expected."""
    event = lab.attempt(domain)
    sessions = sink.wait_idle()
    messages = [message for session in sessions for message in session.messages]
    asked = "encrypt" if implicit and level in ("none", "may") else level
    assert (event["level"], event["host"], event["recipients"]) == (asked, sink.behaviour.name, 1)
    assert event["address"] == f"{sink.address}:{sink.port}"
    version = PEERS[kind][0].get("versions", ("", "TLSv1.3"))[1]
    if expected == "tls":
        reached = level if level in ("verify", "secure") else "encrypt"
        assert (event["result"], event["reached"], event["fallback"]) == ("sent", reached, False)
        (session,), (message,) = sessions, messages
        assert session.clear_verbs == (() if implicit else ("EHLO", "STARTTLS"))
        assert event["protocol"] == message.protocol == version
        assert event["cipher"] == message.cipher != ""
        assert session.sni == sink.behaviour.name
        assert event["subject"], "the log names the peer's certificate"
    elif expected in ("clear", "fallback"):
        fallback = expected == "fallback"
        assert (event["result"], event["reached"], event["fallback"]) == ("sent", "clear", fallback)
        assert (event["protocol"], event["cipher"], event["subject"]) == ("", "", "")
        assert [message.protocol for message in messages] == [None]
        assert len(sessions) == 1 + fallback
        # The message is on the second connection, and TLS is not tried there again.
        assert sessions[-1].verbs == ("EHLO", "MAIL", "RCPT", "DATA", "QUIT")
        assert {verb for session in sessions[:-1] for verb in session.verbs} <= {"EHLO", "STARTTLS", "QUIT"}
    else:
        assert (event["result"], event["fallback"]) == ("deferred", False)
        assert event["reason"].startswith(expected) and event["retry"] > 0
        assert len(sessions) == 1, "a required level is not tried again in another way"
        assert set(sessions[0].verbs) <= {"EHLO", "STARTTLS", "QUIT"} and not sessions[0].logins
        if implicit:
            assert sessions[0].clear_verbs == ()
    if messages:
        (message,) = messages
        assert message.recipients == (f"r@{domain}",) and message.data.count(b"body of hello") == 1


@cases()
def test_through_mx(lab, peer, domain, kind, level):
    sink = make_peer(lab, peer, f"mx.{domain}", kind)
    lab.mx(domain, sink.behaviour.name)
    lab.policy(**wishes(kind, level))
    lab.submit(f"r@{domain}")
    judge(lab, sink, domain, kind, level, PEERS[kind][2][LEVELS.index(level)])


@cases()
def test_through_the_relay_host(lab, peer, domain, kind, level):
    sink = make_peer(lab, peer, f"relay.{domain}", kind)
    # The domain itself does not exist: a relay host knows the way.
    lab.policy(**wishes(kind, level, remoteSmtpHost=sink.behaviour.name))
    lab.submit(f"r@{domain}")
    judge(lab, sink, domain, kind, level, PEERS[kind][2][LEVELS.index(level)])


@cases()
def test_through_the_relay_host_with_a_login(lab, peer, domain, kind, level):
    sink = make_peer(lab, peer, f"relay.{domain}", kind, auth={LOGIN_USER: LOGIN_PASSWORD}, clear_auth=True)
    lab.policy(**wishes(kind, level, **relay_host(sink.behaviour.name)))
    lab.submit(f"r@{domain}")
    judge(lab, sink, domain, kind, level, LOGIN[PEERS[kind][2]][LEVELS.index(level)])
    assert [login for session in sink.sessions for login in session.logins if not login.inside_tls] == []
    assert all(message.user == LOGIN_USER for message in sink.messages)


@cases([kind for kind in PEERS if kind not in STARTTLS_KINDS])
@pytest.mark.parametrize("login", [False, True], ids=["", "login"])
def test_through_the_relay_host_with_implicit_tls(lab, peer, domain, kind, level, login):
    auth = {"auth": {LOGIN_USER: LOGIN_PASSWORD}} if login else {}
    sink = make_peer(lab, peer, f"relay.{domain}", kind, implicit=True, **auth)
    host = relay_host(sink.behaviour.name) if login else {"remoteSmtpHost": sink.behaviour.name}
    lab.policy(**wishes(kind, level, remoteSmtpTls="implicit", **host))
    lab.submit(f"r@{domain}")
    judge(lab, sink, domain, kind, level, IMPLICIT[PEERS[kind][2]][LEVELS.index(level)], implicit=True)
    assert all(message.user == (LOGIN_USER if login else None) for message in sink.messages)


@pytest.mark.parametrize("level", LEVELS)
def test_a_peer_that_speaks_in_clear_where_tls_comes_first(lab, peer, domain, level):
    sink = peer(f"relay.{domain}", starttls=False)
    lab.policy(tlsLevel=level, remoteSmtpHost=sink.behaviour.name, remoteSmtpTls="implicit")
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reason"][:5]) == ("deferred", "4.7.5")
    assert not sink.messages and not [v for session in sink.wait_idle() for v in session.verbs if v in ("EHLO", "MAIL")]


@pytest.mark.parametrize(("level", "clear"), [("none", True), ("may", True), ("encrypt", False)])
def test_a_login_in_clear_only_when_it_is_allowed_by_name(lab, peer, domain, level, clear):
    sink = peer(f"relay.{domain}", starttls=False, auth={LOGIN_USER: LOGIN_PASSWORD}, clear_auth=True)
    switch = {"allowStartTLS": "no"} if level == "none" else {}
    lab.policy(tlsLevel=level, remoteSmtpClearLogin="yes", **switch, **relay_host(sink.behaviour.name))
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    if clear:
        assert (event["result"], event["reached"]) == ("sent", "clear")
        assert [message.user for message in sink.messages] == [LOGIN_USER]
    else:
        assert (event["result"], event["reason"][:5]) == ("deferred", "4.7.4")
        assert not [login for session in sink.wait_idle() for login in session.logins]


def test_a_login_that_is_refused_is_deferred_and_the_password_is_in_no_log(lab, peer, domain):
    sink = peer(f"relay.{domain}", certificate=lab.certificate(f"relay.{domain}"), auth={LOGIN_USER: "another"})
    lab.policy(tlsLevel="verify", **relay_host(sink.behaviour.name))
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reason"][:5], event["reached"]) == ("deferred", "4.7.8", "verify")
    assert [login.accepted for login in sink.wait_session().logins] == [False] and not sink.messages
    text = lab.events.text()
    assert "crossing" not in text and base64_of(LOGIN_PASSWORD) not in text


def test_two_recipients_of_one_domain_travel_together(lab, peer, domain):
    sink = peer(f"mx.{domain}", certificate=lab.certificate(f"mx.{domain}"))
    lab.mx(domain, sink.behaviour.name)
    lab.policy(tlsLevel="verify")
    lab.submit(f"a@{domain}", f"b@{domain}")
    assert lab.attempt(domain)["recipients"] == 2
    assert [message.recipients for message in sink.messages] == [(f"a@{domain}", f"b@{domain}")]


@pytest.mark.parametrize("settings", [
    {"tlsLevel": "dane"}, {"tlsLevel": "secur"}, {"tlsLevel": ""}, {"allowedSSLVersions": "tls11 tls13 "},
    {"allowedSSLVersions": ""}, {"allowedSSLVersions": "ssl3 "}, {"sslEnabled": "perhaps"},
    {"remoteSmtpHost": "two words"}, {"remoteSmtpTls": "maybe"}, {"remoteSmtpPort": "70000"},
], ids=str)  # fmt: skip
def test_a_rule_that_cannot_be_understood_sends_nothing(lab, peer, domain, settings):
    sink = peer(f"mx.{domain}", certificate=lab.certificate(f"mx.{domain}"))
    lab.mx(domain, sink.behaviour.name)
    lab.policy(**settings)
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert event["result"] == "deferred" and event["reason"][:5] in ("4.7.5", "4.3.5")
    assert sink.sessions == []


@pytest.mark.parametrize(("settings", "level"), [
    ({}, "may"), ({"allowStartTLS": "no"}, "none"), ({"allowStartTLS": "yes"}, "may"),
    ({"sslEnabled": "yes"}, "encrypt"),
    ({"sslEnabled": "yes", "allowStartTLS": "no"}, "encrypt"), ({"sslEnabled": "yes", "tlsLevel": "none"}, "encrypt"),
    ({"tlsLevel": "verify", "allowStartTLS": "no"}, "verify"), ({"tlsLevel": "none"}, "may"),
], ids=str)  # fmt: skip
def test_the_stricter_wish_holds(lab, peer, domain, settings, level):
    sink = peer(f"mx.{domain}", certificate=lab.certificate(f"mx.{domain}"))
    lab.mx(domain, sink.behaviour.name)
    lab.policy(**settings)
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["level"] == level
    assert (sink.wait_message().protocol is None) == (level == "none")


@pytest.mark.parametrize(("match", "good"), [
    (None, True), ("mx.{domain} ", True), (".{domain} ", True), ("other.test .{domain} ", True), ("other.test ", False),
    ("{domain} ", False), (".mx.{domain} ", False),
], ids=str)  # fmt: skip
def test_level_secure_accepts_the_names_of_the_rule(lab, peer, domain, match, good):
    sink = peer(f"mx.{domain}", certificate=lab.certificate(f"mx.{domain}"))
    lab.mx(domain, sink.behaviour.name)
    lab.policy(tlsLevel="secure", **({"tlsMatch": match.format(domain=domain)} if match else {}))
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert event["result"] == ("sent" if good else "deferred")
    assert len(sink.messages) == int(good)


def test_a_host_elsewhere_is_verified_but_not_secure(lab, peer, domain):
    """The name of an MX host comes over DNS: it proves the host, and nothing about the domain."""
    sink = peer(f"mx.hosting-{domain}", certificate=lab.certificate(f"mx.hosting-{domain}"))
    lab.mx(domain, sink.behaviour.name)
    lab.policy(tlsLevel="verify")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["reached"] == "verify"
    lab.policy(tlsLevel="secure")
    lab.submit(f"r2@{domain}")
    assert lab.attempt(domain, 2)["reason"].startswith("4.7.5")
    assert len(sink.messages) == 1


def relay_host(host):
    """The variables of a relay host with a login."""
    return {
        "remoteSmtpHost": host,
        "remoteSmtpUser": LOGIN_USER,
        "remoteSmtpPassword": f"base64:{base64_of(LOGIN_PASSWORD)}",
    }


def base64_of(text):
    """As the script has it."""
    return base64.b64encode(text.encode()).decode()
