# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that say nothing, nonsense, too much, or what is meant to hurt: nothing of it is a pass, a crash or a leak."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import tracemalloc

import handmade
import pytest
import zoo
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import (
    Credentials,
    ForcedDomain,
    from_document,
    listener,
)
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import CHECKS
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe import twin
from every_check import look, rows_of
from odd_certificates import NAME, der

PASSWORD = "correct horse \N{SNOWMAN} battery"
SECRETS = (
    PASSWORD, "correct horse", base64.b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(b"\0anna@example.test\0" + PASSWORD.encode()).decode(),
)
#: All that can be asked, so that every check has a server to fall for.
EVERYTHING = {
    "credentials": Credentials("anna@example.test", PASSWORD),
    "forced_domains": (ForcedDomain("forced.test", "TLS, please"),),
    "other_domain": "other.test",
    "local_domain": "example.test",
}
#: Seconds for servers that use up what they get; others have time enough to answer on a busy machine.
IMPATIENT = {"step_timeout": 0.3, "total_timeout": 1.2}
#: All but the many offers that name each suite.
QUICK = tuple(name for name in CHECKS if name != "suites")
#: Facts that a server without old suites does not have.
NOT_APPLICABLE = {
    "dh_bits", "server_preference", "encrypt_then_mac", "compression", "extended_master_secret", "secure_renegotiation",
}
#: What a server that can be connected to, but never says what SMTP says, has passed.
CONNECTED = {"reachable"}


def seen_of(port, tls="starttls", checks=CHECKS, host="127.0.0.1", **different):
    """The observation of a port, after everything that must hold for each of them."""
    where = listener(f"{host}:{port}", tls, NAME, **EVERYTHING)
    observation = look(where, checks, **different)
    # Beyond the budget is at most what is done between two looks at the clock.
    assert observation.seconds < different.get("total_timeout", 30.0) + 5.0
    document = observation.document()
    text = json.dumps(document, ensure_ascii=False)
    assert text.isprintable(), sorted({char for char in text if not char.isprintable()})
    assert not [secret for secret in SECRETS if secret in text or secret in repr(observation)]
    assert from_document(document).document() == document
    for name, fact in observation.facts.items():
        assert fact.seen, (name, fact)
        # Where there is nothing to look at, nobody is in the way.
        assert fact.observable or (fact.value is None and (fact.side or name in NOT_APPLICABLE)), (name, fact)
    assert observation.connections == len(observation.dialogues)
    return observation


def verdicts(observation):
    """The checks that passed, after those that could not be observed have said why."""
    rows = rows_of(observation)
    for row in rows:
        assert row.seen, row
        known = row.side or row.check in NOT_APPLICABLE | {"outside", "dh_size"}
        assert row.verdict != "unobservable" or known, row
    return {row.check for row in rows if row.verdict == "pass"}


def words_of(observation):
    """What was seen, each thing once with the facts that say it."""
    found = {}
    for name, fact in observation.facts.items():
        found.setdefault(f"{fact.seen} ({fact.side})", []).append(name)
    return "\n".join(f"{words} -- {' '.join(names)}" for words, names in found.items())


# ---- no SMTP server


def test_a_name_that_has_no_address():
    # RFC 6761 section 6.4: there is no such name, whoever is asked.
    observation = seen_of(25, host="no-such-host.invalid", **IMPATIENT)
    assert verdicts(observation) == set()
    assert observation.fact("reachable").value is False
    assert "no-such-host.invalid" in observation.fact("reachable").seen
    assert observation.connections == 1


def test_a_closed_port():
    with zoo.closed_port() as port:
        observation = seen_of(port)
    assert verdicts(observation) == set()
    assert observation.fact("reachable").value is False
    assert "refused" in observation.fact("reachable").seen
    # Nobody knocks again at a door that is not there.
    assert observation.connections == 1


def test_a_filtered_port():
    with zoo.filtered_port() as port:
        observation = seen_of(port, **IMPATIENT)
    assert verdicts(observation) == set()
    assert observation.fact("reachable").value is False
    assert "no answer" in observation.fact("reachable").seen
    assert observation.connections == 1


def http(caller):
    """Waits for a request as web servers do, and complains of what it gets."""
    caller.sock.recv(4096)
    caller.say(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>400</html>")


def echo(caller):
    while True:
        data = caller.sock.recv(4096)
        if not data:
            return
        caller.say(data)


def closes(unused):
    """Not a word."""


def resets(caller):
    caller.sock.setsockopt(zoo.socket.SOL_SOCKET, zoo.socket.SO_LINGER, struct.pack("ii", 1, 0))


def saying(data):
    def script(caller):
        caller.say(data)
        caller.hold()

    return script


def flooding(data, limit=200_000_000):
    def script(caller):
        caller.flood(data, limit)
        caller.hold()

    return script


def dripping(data, seconds=0.2):
    def script(caller):
        caller.drip(data, seconds)
        caller.hold()

    return script


NOT_SMTP = {
    "web server": (http, "network|server closed|server reply"),
    "web server that talks first": (saying(b"HTTP/1.1 408 Request Timeout\r\n\r\n"), "HTTP/1.1 408"),
    "SSH": (saying(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "SSH-2.0"),
    "IMAP": (saying(b"* OK [CAPABILITY IMAP4rev1] ready\r\n"), "IMAP4rev1"),
    "echo": (echo, "no answer"),
    "silence": (lambda caller: caller.hold(), "no answer"),
    "closes at once": (closes, "closed"),
    "resets": (resets, "closed|reset"),
    "no code": (saying(b"hello\r\n"), "hello"),
    "code of four digits": (saying(b"2200 hello\r\n"), "2200"),
    "code of another kind": (saying(b"999 hello\r\n"), "999"),
    "two codes": (saying(b"220-hello\r\n250 hello\r\n"), "not SMTP"),
    "NULs": (saying(b"\0" * 4096 + b"\r\n"), "not SMTP"),
    "bytes": (saying(bytes(range(256)) * 8 + b"\r\n"), "not SMTP"),
    "reply without end": (saying(b"220-hello\r\n220-hello\r\n"), "no answer"),
    "line without end": (saying(b"220 hello"), "no answer"),
    "tarpit": (dripping(b"220 welcome to the tarpit\r\n" * 3), "no answer"),
    "endless banner": (flooding(b"220-hello\r\n" * 100), "more than"),
    "endless line": (flooding(b"220 " + b"x" * 996), "line of more than"),
    "line of a megabyte": (saying(b"220 " + b"x" * 1_000_000 + b"\r\n"), "line of more than"),
}
#: Those that say nothing, or never come to an end.
MUTE = {"web server", "echo", "silence", "reply without end", "line without end", "tarpit"}


@pytest.mark.parametrize("name", sorted(NOT_SMTP))
def test_no_smtp_server(name):
    script, words = NOT_SMTP[name]
    with zoo.Place(script) as server:
        observation = seen_of(server.port, **(IMPATIENT if name in MUTE else {}))
    assert verdicts(observation) <= CONNECTED
    banner = observation.fact("banner")
    assert not banner.observable
    assert any(word in f"{banner.seen} {banner.side}" for word in words.split("|")), words_of(observation)


@pytest.mark.parametrize("name", sorted(NOT_SMTP))
def test_no_tls_server(name):
    script, unused = NOT_SMTP[name]
    with zoo.Place(script) as server:
        observation = seen_of(server.port, "implicit", **IMPATIENT)
    # Whoever says nothing in clear but closes has been silent.
    assert verdicts(observation) <= CONNECTED | {"silent_in_clear", "tls_mode"}, words_of(observation)


# ---- SMTP servers that are in no state to be judged


@pytest.fixture
def context(office):
    """A server's TLS, with nothing wrong."""
    return office.context(days=60)


def test_a_server_that_tempfails_everything(context):
    later = {verb: "451 4.3.0 Try again later" for verb in ("EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "RSET", "NOOP")}
    with zoo.smtp(context=context, overrule=later) as server:
        observation = seen_of(server.port)
    # It spoke first, so that "silent in clear" is nothing to ask of it.
    assert verdicts(observation) <= CONNECTED | {"greeting", "silent_in_clear"}, words_of(observation)
    assert "451 4.3.0 Try again later" in words_of(observation)
    assert observation.fact("keywords_clear").side == "server busy"


@pytest.mark.parametrize("greeting", ["421 4.3.2 Closed for today", "450 4.7.1 Not now", "421"])
def test_a_server_that_is_closed_for_today(context, greeting):
    with zoo.smtp(context=context, greeting=greeting) as server:
        observation = seen_of(server.port)
        # It was asked twice at most: who is turned away stops knocking.
        assert server.connections <= 2
    assert verdicts(observation) <= CONNECTED, words_of(observation)
    assert greeting in words_of(observation)


def test_a_server_that_takes_no_mail(context):
    # RFC 7504: a definite answer, unlike 421. It says nothing of what the server does to others.
    with zoo.smtp(context=context, greeting="521 5.3.2 No mail here") as server:
        observation = seen_of(server.port)
    assert verdicts(observation) <= CONNECTED | {"silent_in_clear"}, words_of(observation)
    assert "521 5.3.2 No mail here" in words_of(observation)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_greylisting_is_no_refusal(context, verb):
    with zoo.smtp(context=context, overrule={verb: "450 4.7.1 Greylisted, come back in 300 s"}) as server:
        observation = seen_of(server.port, checks=QUICK)
    passed = verdicts(observation)
    assert {"starttls_works", "certificate_valid"} <= passed
    assert not passed & {"open_relay", "forced_clear", "forced_tls", "other_clear"}, words_of(observation)
    for name in ("open_relay", "forced_clear.forced.test", "forced_tls.forced.test", "other_clear.other.test"):
        fact = observation.fact(name)
        assert (fact.observable, fact.side) == (False, "server busy"), (name, fact)
        assert "450 4.7.1 Greylisted" in fact.seen


def test_a_refusal_of_the_same_recipient_is_one(context):
    with zoo.smtp(context=context, overrule={"RCPT": "550 5.7.1 Not from you"}) as server:
        observation = seen_of(server.port, checks=("relay", "forced_domains"))
    assert observation.fact("forced_clear.forced.test").value == {"code": 550, "text": "Not from you"}


def test_starttls_that_is_not_available_now(context):
    with zoo.smtp(context=context, overrule={"STARTTLS": "454 4.7.0 TLS not available due to temporary reason"}) as server:
        observation = seen_of(server.port)
    assert observation.fact("starttls_offered").value is True
    fact = observation.fact("starttls_works")
    assert (fact.observable, fact.side) == (False, "server busy"), fact
    versions = [fact for name, fact in observation.facts.items() if name.startswith("version.")]
    assert versions
    for fact in versions:
        assert not fact.observable and "454 4.7.0" in fact.seen, fact


def _blocks(after, how):
    def before(caller):
        if caller.number > after:
            how(caller)
            raise EOFError

    return before


def turned_away(caller):
    caller.say(b"421 4.7.0 Too many connections from your address\r\n")


BLOCKS = {
    "421": ({"before": lambda after: _blocks(after, turned_away)}, "421 4.7.0 Too many connections"),
    "closed": ({"before": lambda after: _blocks(after, closes)}, "closed"),
    "refused": ({"limit": lambda after: after}, "refused"),
}


@pytest.mark.parametrize("after", [1, 2, 5])
@pytest.mark.parametrize("how", sorted(BLOCKS))
@pytest.mark.parametrize("implicit", [False, True])
def test_a_server_that_blocks_after_some_connections(context, how, after, implicit):
    make, words = BLOCKS[how]
    different = {key: value(after) for key, value in make.items()}
    with zoo.smtp(context=context, implicit=implicit, **different) as server:
        observation = seen_of(server.port, "implicit" if implicit else "starttls")
        # Two that were turned away are an answer, and whoever is blocked stops knocking. Where TLS comes first, closing may
        # be the answer to a version or a suite: it takes a few more to see that it is not.
        most = after + (8 if implicit and how == "closed" else 3 if implicit else 2)
        assert server.connections <= most
    assert observation.connections <= most
    rows = rows_of(observation)
    # What came too late for an answer is not observable, and no version was refused: nobody said so.
    for row in rows:
        if row.check == "version" and row.verdict != "unobservable":
            assert row.side in ("", "server alert", "server reply"), row
            assert max(row.evidence) <= after, row
    blocked = [row for row in rows if row.verdict == "unobservable" and (words in row.seen or row.side == "server busy")]
    assert len(blocked) > 10, [(row.title, row.verdict, row.seen) for row in rows]
    assert observation.fact("throttled").value is True, observation.fact("throttled")


def test_a_server_without_a_limit_does_not_throttle(context):
    with zoo.smtp(context=context) as server:
        observation = seen_of(server.port, checks=("dialogue", "versions"))
    assert observation.fact("throttled").value is False


def test_connections_that_the_probe_may_not_make(context):
    with zoo.smtp(context=context) as server:
        observation = seen_of(server.port, max_connections=3)
        assert server.connections == 3
    cut = [row for row in rows_of(observation) if row.side == "probe budget" and row.verdict == "unobservable"]
    assert len(cut) > 10
    assert all("the budget of 3 connections is used up" in row.seen for row in cut), cut
    # Of the versions, what was asked is known, and nothing else.
    for row in rows_of(observation):
        assert row.check != "version" or row.verdict == "unobservable" or max(row.evidence) <= 3, row
    assert observation.fact("throttled").value is False


def test_a_server_that_takes_its_time_over_each_reply(context):
    class Slow(zoo.Session):
        over = None

        def say(self, *lines):
            # Inside the time of a step each time, so that only the time for all of them ends it.
            if self.over.wait(0.1):
                raise EOFError
            super().say(*lines)

    def script(caller):
        session = Slow(caller.sock, zoo.Behaviour(context=context))
        session.over = caller.over
        with contextlib.closing(session.sock):
            session.serve()

    with zoo.Place(script) as server:
        observation = seen_of(server.port, step_timeout=5.0, total_timeout=1.2)
    assert observation.fact("banner").value["code"] == 220
    versions = [row for row in rows_of(observation) if row.check == "version"]
    assert {row.verdict for row in versions} == {"unobservable"}, versions
    assert all(row.side == "probe budget" and "1.2 s for this listener are used up" in row.seen for row in versions)


# ---- too much


@contextlib.contextmanager
def little_memory(limit=12_000_000):
    """What is allocated inside stays below ``limit`` bytes."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, peak


def hello(version=0x0303, suite=0xC02F, extensions=b""):
    return handmade.message(2, handmade.hello_body(version, suite, extensions))


#: In place of a handshake: bytes or a script.
TLS_NONSENSE = {
    "zeros": b"\0" * 4096,
    "bytes": bytes(range(256)) * 16,
    "text": b"500 5.5.1 This is no TLS\r\n" * 4,
    "the client's own words": lambda caller: caller.say(handmade.record(b"\x01\x00\x00\x02\x03\x03")) or caller.hold(),
    "record of 64 kB": b"\x16\x03\x03\xff\xff" + b"x" * 65535,
    "message of 16 MB": flooding(handmade.record(b"\x02\xff\xff\xff" + b"x" * 16380)),
    "chain of 16 MB": lambda caller: (
        caller.say(handmade.record(hello() + b"\x0b\xff\xff\xff")), flooding(handmade.record(b"c" * 16384))(caller)
    ),
    "record without end": b"\x16\x03\x03\x40\x00" + b"\x02\x00\x30\x00",
    "ServerHello cut off": handmade.record(handmade.message(2, b"\x03\x03" + b"r" * 20)),
    "session id longer than the message": handmade.record(handmade.message(2, b"\x03\x03" + b"r" * 32 + b"\xff")),
    "extension longer than the message": handmade.record(hello(extensions=b"\x00\x17\xff\xff")),
    "version from the future": handmade.record(hello(0x0399)),
    "suite of nobody": handmade.record(hello(suite=0xFEFE) + handmade.message(14, b"")),
    "no certificate": handmade.record(hello() + handmade.message(14, b"")),
    "empty certificate": handmade.record(hello() + handmade.message(11, b"\0\0\x03\0\0\0") + handmade.message(14, b"")),
    "certificate of noise": handmade.record(
        hello(suite=0x9C) + handmade.message(11, b"\0\x10\x03\0\x10\0" + b"\x30\x82" * 2048) + handmade.message(14, b"")
    ),
    "warnings without end": flooding(handmade.alert(112, level=1) * 1000),
    "ten thousand alerts": handmade.alert(112, level=1) * 10_000,
    "empty records": flooding(handmade.record(b"") * 1000),
    "requests without end": lambda caller: (
        caller.say(handmade.record(hello())), flooding(handmade.record(handmade.message(0, b"") * 1000))(caller)
    ),
    "unknown alert": handmade.record(b"\x02\xc8", kind=21),
    "alert of three bytes": handmade.record(b"\x02\x28\x00", kind=21),
    "application data": handmade.record(b"x" * 100, kind=23),
    "SSL 2.0 without end": b"\xff\xff\x04" + b"\0" * 100,
    "one byte at a time": dripping(handmade.record(hello()) + handmade.record(handmade.message(14, b""))),
    "closes": None,
}
#: Those of which memory must not become full. Tracing it is slow.
MUCH = {"message of 16 MB", "chain of 16 MB", "warnings without end", "empty records", "requests without end"}


#: Behind STARTTLS the same code reads it: some are enough.
BEHIND_STARTTLS = {"zeros", "text", "message of 16 MB", "ServerHello cut off", "warnings without end", "closes"}


@pytest.mark.parametrize(
    "name, implicit", [(name, True) for name in sorted(TLS_NONSENSE)] + [(name, False) for name in sorted(BEHIND_STARTTLS)]
)
def test_tls_that_is_none(name, implicit):
    make = zoo.from_the_first_byte if implicit else zoo.behind_starttls
    memory = little_memory() if name in MUCH else contextlib.nullcontext()
    with memory, make(TLS_NONSENSE[name]) as server:
        observation = seen_of(server.port, "implicit" if implicit else "starttls", **IMPATIENT)
    rows = rows_of(observation)
    passed = verdicts(observation)
    # The server has no TLS: nothing that needs a session inside is known.
    for row in rows:
        inside = row.check.startswith(("certificate", "auth_offered_tls", "auth_refused_tls", "login", "wrong", "forced_tls"))
        assert not (inside and row.verdict == "pass"), row
        assert not (row.check == "starttls_works" and row.verdict == "pass"), row
        if row.check == "version" and row.verdict == "pass" and row.parameters["accepted"] is False:
            # Refused is what the server refused: by an alert, by closing, with another version.
            assert row.side in ("server alert", "server closed", "server reply"), row
            assert "not a TLS record" not in row.seen, row
    assert not passed & {"injection", "late_plaintext", "ehlo_again", "transaction_forgotten"}


def test_ten_thousand_keywords(context):
    keywords = tuple(f"KEYWORD{number} with parameters" for number in range(10_000))
    with zoo.smtp(context=context, keywords=keywords) as server, little_memory():
        observation = seen_of(server.port)
    assert "auth_offered_clear" not in verdicts(observation)
    assert "256 lines" in observation.fact("keywords_clear").seen


def test_a_thousand_mechanisms(context):
    many = tuple(f"X-M{number}" for number in range(1000))
    with zoo.smtp(context=context, tls_mechanisms=many) as server:
        observation = seen_of(server.port, checks=("dialogue", "auth"), max_connections=60)
    assert len(observation.facts) < 200
    assert len(json.dumps(observation.document())) < 1_000_000


@pytest.mark.parametrize("implicit", [False, True])
def test_a_chain_of_a_thousand_certificates(office, implicit):
    path = office.odd("thousand.pem", chain=1000)
    context = office.context()
    context.load_cert_chain(path)
    with zoo.smtp(context=context, implicit=implicit) as server, little_memory(40_000_000):
        observation = seen_of(server.port, "implicit" if implicit else "starttls", ("dialogue", "versions", "certificate"))
    assert "certificate_trusted" not in verdicts(observation)
    # The hand-made ClientHello asks for no more than the version.
    assert observation.fact("version.TLSv1.2").value is True
    chain = observation.fact("chain")
    assert not chain.observable or len(chain.value) <= 100


# ---- words that are meant to hurt

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31m \u202eevil\u202c \u2066x\u2069 \x9b31m \u200b\ufeff <script>alert(1)</script> \x7f \x00"


def test_escapes_and_bidi_characters_are_shown_and_not_done(context):
    replies = {"MAIL": "250 " + HOSTILE, "RCPT": "550 5.7.1 " + HOSTILE, "AUTH": "538 " + HOSTILE}
    different = {"keywords": ("X-" + HOSTILE, HOSTILE, "AUTH " + HOSTILE), "greeting": "220 " + HOSTILE}
    with zoo.smtp(context=context, overrule=replies, **different) as server:
        # What is asserted of every observation: its words are printable.
        observation = seen_of(server.port, checks=QUICK)
    text = json.dumps(observation.document(), ensure_ascii=False) + "".join(str(row.document()) for row in rows_of(observation))
    assert not set(text) & set("\x1b\x07\x9b\u202e\u2066\u2069\u200b\ufeff\x7f\x00")
    assert "owned" in observation.fact("banner").seen or "owned" in str(observation.fact("banner").value)


@pytest.mark.parametrize("text", ["PLAIN\x00", "PLAIN\rLOGIN", "\u00fcmlaut", "A" * 3000, "../../etc/passwd", "%s%n", ".", "*", "="])
def test_mechanisms_with_strange_names(context, text):
    with zoo.smtp(context=context, clear_mechanisms=(text,), tls_mechanisms=(text, "PLAIN")) as server:
        observation = seen_of(server.port, checks=("dialogue", "auth", "login"))
    assert "auth_offered_clear" not in verdicts(observation), words_of(observation)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_server_that_repeats_what_it_is_told(context, implicit):
    class Parrot(zoo.Session):
        def do_auth(self, line):
            words = line.split(" ")
            if len(words) < 3:
                self.say("334 " + base64.b64encode(line.encode()).decode())
            heard = words[2] if len(words) > 2 else self.line()
            decoded = base64.b64decode(heard + "==", validate=False).decode("utf-8", "replace") if heard != "*" else "*"
            self.say(f"535-5.7.8 You said {line} and {heard}", f"535 5.7.8 which is {decoded!r} {decoded}")

    def script(caller):
        session = Parrot(caller.sock, zoo.Behaviour(context=context, implicit=implicit, tls_mechanisms=("PLAIN", "LOGIN")))
        with contextlib.closing(session.sock):
            session.serve()

    with zoo.Place(script) as server:
        observation = seen_of(server.port, "implicit" if implicit else "starttls", QUICK)
    assert observation.fact("login.PLAIN").value is False, words_of(observation)
    dialogue = "\n".join(line for part in observation.dialogues for line in part.lines)
    assert "C: AUTH PLAIN" in dialogue and "You said" in dialogue


# ---- certificates

def _context(path, office):
    found = office.context()
    found.set_ciphers("DEFAULT:@SECLEVEL=0")
    found.load_cert_chain(path)
    return found


CERTIFICATES = {
    "NUL": {"common_name": NAME + "\0.evil.test", "names": [NAME + "\0.evil.test"]},
    "no subject": {"common_name": None, "names": []},
    "20 kB of names": {"common_name": "x" * 20_000, "names": [f"{number}.example.test" for number in range(1000)]},
    "expired": {"after": -30, "days": -1},
    "not yet valid": {"after": 5},
    "valid from this evening": {"after": 0.25, "days": 90.25},
    "escapes": {"common_name": HOSTILE, "names": ["\x1b[2J.example.test"]},
    "Unicode in a name": {"common_name": "m\u00fcnchen.test", "names": []},
    "address of nobody": {"names": ["*", "*.test", "."]},
}


@pytest.mark.parametrize("name", sorted(CERTIFICATES))
def test_odd_certificates(office, name):
    path = office.odd(name.replace(" ", "_") + ".pem", **CERTIFICATES[name])
    with zoo.smtp(context=_context(path, office)) as server:
        observation = seen_of(server.port, checks=("dialogue", "certificate"))
    passed = verdicts(observation)
    dates = {"expired", "not yet valid", "valid from this evening"}
    assert ("certificate_name" in passed) == (name in dates), (name, observation.fact("certificate_name"))
    assert ("certificate_valid" in passed) == (name not in dates), (name, observation.fact("certificate"))
    # The authority is not one of this machine's.
    assert "certificate_trusted" not in passed
    certificate = observation.fact("certificate")
    assert certificate.observable, certificate
    assert len(json.dumps(certificate.document())) < 60_000


def test_a_key_of_a_kind_that_nobody_knows(office):
    # The object identifier of an RSA key, changed: 1.2.840.113549.1.1.1 becomes 1.2.840.113549.1.1.99.
    known, unknown = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d010163")
    certificate = der(office.odd("unknown_key.pem", "rsa2048"))
    assert certificate.count(known) == 1
    chain = (certificate.replace(known, unknown),)
    with zoo.by_hand(chain=chain, suites=("AES128-GCM-SHA256",)) as server:
        observation = seen_of(server.port, checks=("versions", "certificate"))
    assert observation.fact("certificate").observable
    assert "certificate_key" not in verdicts(observation)


def test_a_server_that_does_not_know_the_password_itself(context):
    # RFC 5802 section 3: the server's signature proves that it knows the password too. This one says 235 all the same.
    with zoo.smtp(context=context, tls_mechanisms=("SCRAM-SHA-256",), scram_lies=True) as server:
        where = listener(
            f"127.0.0.1:{server.port}", "starttls", NAME, credentials=Credentials(twin.ACCOUNT, twin.PASSWORD)
        )
        fact = look(where, ("login",)).fact("login.SCRAM-SHA-256")
    assert fact.value is not True and "signature" in fact.seen, fact


def test_a_name_with_umlauts_is_the_one_in_the_certificate(office):
    path = office.odd("idn.pem", names=["xn--mnchen-3ya.test"])
    with zoo.smtp(context=_context(path, office)) as server:
        for asked, right in (("m\u00fcnchen.test", True), ("M\u00dcNCHEN.test", True), ("munchen.test", False)):
            where = listener(f"127.0.0.1:{server.port}", "starttls", asked, ca_file=office.ca_file)
            observation = look(where, ("certificate",))
            assert observation.fact("certificate_name").value is right, (asked, observation.fact("certificate_name"))
            assert observation.fact("certificate_trusted").value is True


# ---- behind a handshake that works


INSIDE = {
    "closes": lambda session: None,
    "silence": lambda session: session.sock.recv(1),
    "no SMTP": lambda session: session.sock.sendall(b"hello\r\n" * 10),
    "421": lambda session: session.say("421 4.7.0 Not now"),
    "endless line": lambda session: [session.sock.sendall(b"220 " + b"x" * 60_000) for unused in range(100)],
}


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("name", sorted(INSIDE))
def test_nonsense_inside_tls(context, name, implicit):
    class Odd(zoo.Session):
        def handshake(self):
            super().handshake()
            INSIDE[name](self)
            raise EOFError

    def script(caller):
        session = Odd(caller.sock, zoo.Behaviour(context=context, implicit=implicit))
        try:
            session.serve()
        finally:
            session.sock.close()

    with zoo.Place(script) as server:
        observation = seen_of(server.port, "implicit" if implicit else "starttls", QUICK, step_timeout=1.5)
    passed = verdicts(observation)
    assert not passed & {
        "auth_offered_tls", "auth_refused_tls", "login", "wrong_password", "forced_tls", "ehlo_again",
        "transaction_forgotten", "injection",
    }, words_of(observation)
    # TLS facts are there, whatever SMTP does, unless the server wants to be left alone.
    version = observation.fact("version.TLSv1.3")
    assert version.value is True or (name == "421" and not version.observable), words_of(observation)
