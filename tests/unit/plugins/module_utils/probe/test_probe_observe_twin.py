# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at a twin: what each behaviour makes of the facts, and what becomes of them when a server will not have it."""

from __future__ import annotations

import base64
import json
import socket

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe.budget import Budget
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import (
    Credentials,
    ForcedDomain,
    listener,
)
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import (
    CHECKS,
    DEFAULT_CHECKS,
    asked,
    observe,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import (
    ACCOUNT,
    EXPLANATION,
    FORCED,
    LOCAL,
    OTHER,
    PASSWORD,
    SERVER_NAME,
    Server,
    smtp_twin,
)

#: All that needs no more than a few connections.
FEW = ("dialogue", "auth", "session", "relay", "forced_domains")
KNOWN = {
    "credentials": Credentials(ACCOUNT, PASSWORD),
    "forced_domains": (ForcedDomain(FORCED, EXPLANATION),),
    "other_domain": OTHER,
    "local_domain": LOCAL,
}


def looked(server, tls="starttls", checks=FEW, known=None, **limits):
    where = listener("127.0.0.1:%d" % server.port, tls, SERVER_NAME, **(KNOWN if known is None else known))
    budget = Budget(**{"step_timeout": 5, "total_timeout": 30, **limits})
    seen = observe(where, checks, budget)
    assert seen.connections == len(seen.dialogues) == budget.connections
    for name, fact in seen.facts.items():
        assert fact.seen, name
        assert fact.observable or fact.value is None, name
    return seen


def values(seen):
    return {name: fact.value for name, fact in seen.facts.items()}


def look_at_twin(context, tls="starttls", checks=FEW, known=None, **different):
    with smtp_twin(context=context, implicit=tls == "implicit", **different) as server:
        return looked(server, tls, checks, known)


HARDENED = {
    "reachable": True,
    "banner": {"code": 220, "text": "twin.example.test ESMTP"},
    "keywords_clear": {"8BITMIME": "", "PIPELINING": "", "STARTTLS": ""},
    "keywords_tls": {"8BITMIME": "", "PIPELINING": "", "AUTH": "PLAIN LOGIN"},
    "starttls_offered": True,
    "starttls_works": True,
    "starttls_inside_tls": False,
    "tls_session": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"},
    "size_limit": None,
    "auth_offered_clear": [],
    "auth_offered_tls": ["LOGIN", "PLAIN"],
    "auth_clear.PLAIN": "refused",
    "auth_clear.LOGIN": "refused",
    "auth_tls.PLAIN": "accepted",
    "auth_tls.LOGIN": "accepted",
    "auth_tls.SCRAM-SHA-256": "refused",
    "auth_tls.CRAM-MD5": "refused",
    "transaction_forgotten": True,
    "ehlo_again": True,
    "injection": False,
    "late_plaintext": False,
    "mail_clear": {"code": 250, "text": "OK"},
    "mail_tls": {"code": 250, "text": "OK"},
    "open_relay": False,
    "forced_clear." + FORCED: {"code": 550, "text": EXPLANATION},
    "forced_tls." + FORCED: {"code": 250, "text": "OK"},
    "other_clear." + OTHER: {"code": 250, "text": "OK"},
    "throttled": False,
}
CLEAR_ONLY = {
    name for name in HARDENED
    if name.startswith(("auth_clear", "auth_offered_clear", "forced_clear", "other_clear", "starttls_o", "starttls_w"))
} | {"keywords_clear", "mail_clear", "transaction_forgotten", "ehlo_again", "injection", "late_plaintext"}


def test_a_hardened_server_with_starttls(authority):
    seen = look_at_twin(authority.context())
    found = values(seen)
    timing = found.pop("timing")
    assert found == HARDENED
    assert sorted(timing) == ["banner", "connect", "ehlo", "handshake"]
    assert all(isinstance(seconds, float) for seconds in timing.values())
    # One conversation, one more where the errors of the first are enough, and the two attacks.
    assert [dialogue.purpose for dialogue in seen.dialogues] == [
        "conversation", "conversation inside TLS, continued",
        "command injected behind STARTTLS", "command between STARTTLS and the handshake",
    ]


def test_a_hardened_server_with_implicit_tls(authority):
    found = values(look_at_twin(authority.context(), "implicit"))
    found.pop("timing")
    assert found == {
        **{name: value for name, value in HARDENED.items() if name not in CLEAR_ONLY}, "silent_in_clear": True,
    }


def test_a_listener_without_tls():
    found = values(look_at_twin(None, "none", CHECKS))
    assert found.pop("timing")["handshake"] is None
    assert {name for name, value in found.items() if value is None} == {
        "size_limit",
        *("%s.%s" % (kind, name) for kind in ("login", "wrong_password") for name in ("PLAIN", "LOGIN", "SCRAM-SHA-256")),
    }
    assert found["starttls_offered"] is False
    assert found["forced_clear." + FORCED]["code"] == 550
    assert not any(name.startswith(("version", "suites", "certificate")) for name in found)


@pytest.mark.parametrize("different, fact, value", [
    ({"clear_mechanisms": ("PLAIN", "LOGIN")}, "auth_offered_clear", ["LOGIN", "PLAIN"]),
    ({"clear_mechanisms": ("PLAIN",)}, "auth_clear.PLAIN", "accepted"),
    ({"hidden_mechanisms": ("LOGIN",)}, "auth_clear.LOGIN", "accepted"),
    # Refused without credentials, looked at with them: 535, and the right ones would have passed.
    ({"overrule": {"AUTH": "535 5.7.8 Wrong"}}, "auth_clear.PLAIN", "accepted"),
    ({"tls_mechanisms": ("SCRAM-SHA-256",)}, "auth_offered_tls", ["SCRAM-SHA-256"]),
    ({"tls_mechanisms": ("SCRAM-SHA-256",)}, "auth_tls.SCRAM-SHA-256", "accepted"),
    ({"tls_mechanisms": ("SCRAM-SHA-256",)}, "auth_tls.PLAIN", "refused"),
    ({"hidden_mechanisms": ("PLAIN",), "wants_initial_response": True}, "auth_clear.PLAIN", "accepted"),
    (
        {"hidden_mechanisms": ("PLAIN",), "wants_initial_response": True, "no_password": True}, "auth_clear.PLAIN",
        "accepted",
    ),
    ({"starttls_inside_tls": True}, "starttls_inside_tls", True),
    ({"starttls_inside_tls": True, "hides_starttls_inside_tls": True}, "starttls_inside_tls", True),
    ({"offers_starttls": False}, "starttls_offered", False),
    ({"offers_starttls": False}, "starttls_works", False),
    ({"breaks_off_behind_hello": True}, "starttls_works", False),
    ({"keeps_state": True}, "transaction_forgotten", False),
    ({"keeps_state": True}, "ehlo_again", False),
    ({"keeps_buffer": True, "keeps_state": True}, "injection", True),
    ({"keeps_buffer": True}, "injection", True),
    ({"answers_buffer_in_clear": True}, "injection", True),
    ({"obeys_buffer_silently": True}, "injection", True),
    ({"cuts_off_injection": True}, "injection", False),
    ({"skips_late_plaintext": True}, "late_plaintext", True),
    ({"relays": True}, "open_relay", True),
    ({"forces": ()}, "forced_clear." + FORCED, {"code": 250, "text": "OK"}),
    ({"explanation": "Sch\u00f6n w\u00e4r's"}, "forced_clear." + FORCED, {"code": 550, "text": "Sch\u00f6n w\u00e4r's"}),
    ({"forces_inside_tls": True}, "forced_tls." + FORCED, {"code": 550, "text": EXPLANATION}),
    ({"forces": (FORCED, OTHER)}, "other_clear." + OTHER, {"code": 550, "text": EXPLANATION}),
    ({"greeting": "554 No service"}, "banner", {"code": 554, "text": "No service"}),
    ({"overrule": {"EHLO": "250-twin\n250-SIZE 1000\n250-AUTH=LOGIN\n250 STARTTLS"}}, "size_limit", 1000),
    ({"overrule": {"EHLO": "250-twin\n250-AUTH=LOGIN\n250 STARTTLS"}}, "auth_offered_clear", ["LOGIN"]),
])
def test_what_differs_is_seen(authority, different, fact, value):
    seen = look_at_twin(authority.context(), **different)
    assert seen.fact(fact).value == value, seen.fact(fact)
    assert seen.fact(fact).evidence
    if fact in HARDENED:
        assert HARDENED[fact] != value or fact == "injection"


@pytest.mark.parametrize("different", [
    {"answers_clear_on_implicit": True},
    {"talks_before_tls": True},
])
def test_an_implicit_listener_that_speaks_in_clear(authority, different):
    seen = look_at_twin(authority.context(), "implicit", **different)
    assert seen.fact("silent_in_clear").value is False


@pytest.mark.parametrize("overrule, facts", [
    ({"AUTH": "454 4.7.0 Later"}, ["auth_clear.PLAIN", "auth_clear.LOGIN", "auth_tls.PLAIN", "auth_tls.CRAM-MD5"]),
    ({"RCPT": "451 4.7.1 Greylisted"}, ["forced_clear." + FORCED, "forced_tls." + FORCED, "open_relay", "injection"]),
    ({"MAIL": "450 4.7.1 Later"}, ["forced_clear." + FORCED, "open_relay", "transaction_forgotten", "ehlo_again"]),
    ({"STARTTLS": "454 4.7.0 No TLS now"}, ["starttls_works", "keywords_tls", "auth_tls.PLAIN", "injection", "ehlo_again"]),
    ({"EHLO": "451 4.3.0 Later"}, ["keywords_clear", "starttls_offered", "auth_offered_clear", "starttls_works"]),
])
def test_a_temporary_refusal_decides_nothing(authority, overrule, facts):
    with smtp_twin(context=authority.context(), overrule=overrule) as server:
        seen = looked(server)
    (reply,) = overrule.values()
    for name in facts:
        assert not seen.fact(name).observable, name
        assert seen.fact(name).side == "server busy" or name == "injection", name
    assert any(reply[4:] in seen.fact(name).seen for name in facts)


def test_a_submission_server_wants_a_login_before_anything_else(authority):
    seen = look_at_twin(authority.context(), overrule={"MAIL": "530 5.7.0 Login first"})
    assert seen.fact("open_relay").value is False
    assert seen.fact("forced_clear." + FORCED).value == {"code": 530, "text": "Login first"}
    # Who must log in first is not told what is in sequence.
    assert not seen.fact("ehlo_again").observable
    assert seen.fact("transaction_forgotten").value is True
    assert "no transaction can begin in clear" in seen.fact("transaction_forgotten").seen


def test_a_refused_sender_says_nothing_about_other_senders(authority):
    seen = look_at_twin(authority.context(), overrule={"MAIL": "550 5.1.8 No empty sender"})
    assert not seen.fact("transaction_forgotten").observable


def test_a_server_that_asks_nobody_for_ehlo_has_not_remembered_it(authority):
    seen = look_at_twin(authority.context(), wants_ehlo=False)
    fact = seen.fact("ehlo_again")
    assert fact.value is True and "without any EHLO MAIL gets 250" in fact.seen
    assert [seen.dialogues[number - 1].purpose for number in fact.evidence] == ["conversation", "MAIL without any EHLO"]
    others = {name: fact.value for name, fact in seen.facts.items() if name in HARDENED}
    assert others == HARDENED
    # The rest is shown by the conversation, not by the connection for comparison.
    assert seen.fact("auth_tls.PLAIN").evidence == (1,) or seen.fact("auth_tls.PLAIN").evidence == (2,)


def test_a_server_that_is_gone_before_the_comparison_is_not_blamed(authority):
    seen = look_at_twin(authority.context(), keeps_state=True, admits=2)
    fact = seen.fact("ehlo_again")
    assert not fact.observable and "421" in fact.seen


@pytest.mark.parametrize("inside", [
    {"RCPT": "451 4.7.1 Greylisted"}, {"MAIL": "450 4.7.1 Later"}, {"EHLO": "421 4.3.2 Enough"}, {"RCPT": "421 4.3.2 Enough"},
])
def test_a_server_that_wants_tls_of_everybody_has_refused_no_relaying_yet(authority, inside):
    in_clear = {"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}
    seen = look_at_twin(authority.context(), overrule=in_clear, overrule_inside=inside)
    assert not seen.fact("open_relay").observable, seen.fact("open_relay")
    seen = look_at_twin(authority.context(), overrule=in_clear, overrule_inside={"VRFY": "252 Maybe"}, relays=True)
    assert seen.fact("open_relay").value is True
    seen = look_at_twin(authority.context(), overrule=in_clear, overrule_inside={"VRFY": "252 Maybe"})
    assert seen.fact("open_relay").value is False


def test_where_nobody_is_accepted_nothing_is_known_about_relaying(authority):
    seen = look_at_twin(authority.context(), overrule={"RCPT": "550 5.7.1 Blocked"})
    assert (seen.fact("open_relay").observable, "example.test gets 550" in seen.fact("open_relay").seen) == (False, True)
    without = look_at_twin(authority.context(), known={}, checks=["relay"], overrule={"RCPT": "550 5.7.1 Blocked"})
    assert without.fact("open_relay").value is False
    assert "without a control" in without.fact("open_relay").seen


# ---- servers that have enough


@pytest.mark.parametrize("patience", [3, 5, 9])
def test_a_server_that_hangs_up_after_some_errors_is_asked_the_rest_on_other_connections(authority, patience):
    seen = look_at_twin(authority.context(), patience=patience)
    missing = {name for name, fact in seen.facts.items() if not fact.observable}
    # What was said in clear counts on the first connection only.
    assert missing <= {"transaction_forgotten", "ehlo_again"}
    for name in set(HARDENED) - missing - {"throttled"}:
        assert seen.fact(name).value == HARDENED[name], name
    assert seen.connections < 20


def test_a_server_that_bears_no_error_at_all(authority):
    seen = look_at_twin(authority.context(), patience=0)
    assert seen.fact("auth_clear.PLAIN").observable is False
    assert "Too many errors" in seen.fact("auth_clear.PLAIN").seen
    assert seen.fact("keywords_tls").value == HARDENED["keywords_tls"]
    assert seen.connections < 40


@pytest.mark.parametrize("turns_away", ["421 4.7.0 Too many connections", "554 5.7.0 Blocked", ""])
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_server_that_blocks_after_some_connections(authority, tls, turns_away):
    context = authority.context()
    with smtp_twin(context=context, implicit=tls == "implicit", admits=5, turns_away=turns_away) as server:
        seen = looked(server, tls, CHECKS)
        made = server.connections
    assert seen.fact("banner").value["code"] == 220
    # What the block hides is not taken for a refusal.
    for name in ("version.SSLv2", "version.SSLv3", "version.TLSv1.1", "login.PLAIN"):
        assert not seen.fact(name).observable, (name, seen.fact(name))
    assert made == seen.connections
    # Two that are turned away are enough; behind implicit TLS one more, which is the control.
    assert made <= 5 + (2 if tls == "starttls" else 3)
    assert seen.fact("throttled").value is True


def test_a_server_that_turns_everybody_away():
    seen = look_at_twin(None, checks=CHECKS, known={}, admits=0)
    assert (seen.connections, seen.fact("throttled").value) == (2, True)
    assert seen.fact("reachable").value is True
    assert "Too many connections" in seen.fact("banner").seen
    assert "Too many connections" in seen.fact("version.TLSv1.2").seen


@pytest.mark.parametrize("limit", range(1, 8))
def test_a_small_budget(authority, limit):
    with smtp_twin(context=authority.context()) as server:
        seen = looked(server, checks=CHECKS, max_connections=limit)
        assert server.connections == seen.connections == limit
    assert "budget of %d connections" % limit in seen.fact("suites.TLSv1.2" if limit > 9 else "login.PLAIN").seen


# ---- servers that are none


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    seen = observe(listener("127.0.0.1:%d" % port, **KNOWN), CHECKS, Budget())
    assert (seen.connections, seen.fact("reachable").value, seen.fact("reachable").side) == (1, False, "network")
    for name, fact in seen.facts.items():
        if name not in ("reachable", "throttled"):
            assert (fact.observable, "refused" in fact.seen) == (False, True), name


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9\r\n", b"220 " + b"x" * 1000000, b"220-x\r\n" * 300])
def test_what_is_no_mail_server(tls, says):
    def serve(sock):
        sock.sendall(says)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    with Server(serve) as server:
        seen = looked(server, tls, CHECKS, step_timeout=1, total_timeout=10)
    assert seen.fact("reachable").value is True
    seen_of = {name for name, fact in seen.facts.items() if fact.observable}
    assert seen_of <= {"reachable", "timing", "throttled", "silent_in_clear"}
    assert seen.fact("silent_in_clear").value is not True


def test_a_server_that_never_answers_costs_a_few_steps():
    def silent(sock):
        while sock.recv(65536):
            pass

    for tls, most in (("starttls", 1), ("implicit", 20)):
        with Server(silent) as server:
            seen = looked(server, tls, CHECKS, step_timeout=0.1, total_timeout=1)
        assert seen.connections <= most
        assert {name for name, fact in seen.facts.items() if fact.observable} == {"reachable", "timing", "throttled"}


def test_a_tarpit_ends_with_the_budget():
    def tarpit(sock):
        sock.sendall(b"220 slow.test\r\n")
        while sock.recv(4096):
            for byte in b"250-x\r\n" * 100:
                sock.sendall(bytes([byte]))
                sock.settimeout(0.02)
                try:
                    if not sock.recv(1):
                        return
                except socket.timeout:
                    pass

    with Server(tarpit) as server:
        seen = looked(server, checks=CHECKS, step_timeout=0.2, total_timeout=0.5)
    assert seen.fact("banner").value["code"] == 220
    assert not seen.fact("keywords_clear").observable
    assert "no reply to EHLO" in seen.fact("keywords_clear").seen or "no answer" in seen.fact("keywords_clear").seen


def test_tls_is_seen_where_no_banner_comes(authority):
    context = authority.context()

    def mute(sock):
        with context.wrap_socket(sock, server_side=True) as inside:
            while inside.recv(4096):
                pass

    with Server(mute) as server:
        seen = looked(server, "implicit", CHECKS, step_timeout=0.5)
    assert (seen.fact("banner").observable, seen.fact("banner").side) == (False, "network")
    assert seen.fact("tls_session").value["version"] == "TLSv1.3"
    assert seen.fact("version.TLSv1.2").value is True
    assert seen.fact("version.TLSv1.1").value is False
    assert seen.fact("suites.TLSv1.3").value["complete"] is True
    # Silence in clear proves nothing of a server that is silent inside TLS too.
    assert seen.fact("silent_in_clear").observable is False


# ---- what is asked for


def test_what_joins_by_itself():
    plain, known = listener("127.0.0.1:25"), listener("127.0.0.1:25", **KNOWN)
    assert asked(plain) == DEFAULT_CHECKS
    assert set(asked(known)) == set(DEFAULT_CHECKS) | {"login", "forced_domains"}
    assert asked(known, ["relay", "dialogue"]) == ("dialogue", "relay")
    with pytest.raises(ValueError, match="unknown checks: tea"):
        asked(plain, ["tea"])


def test_a_group_that_is_not_asked_for_is_absent(authority):
    found = values(look_at_twin(authority.context(), checks=["relay"]))
    taken = {"code": 250, "text": "OK"}
    assert found == {"reachable": True, "mail_clear": taken, "mail_tls": taken, "open_relay": False, "throttled": False}


# ---- secrets


def test_no_secret_stays(authority):
    """A server that says everything again that it hears, in clear and inside TLS."""
    context = authority.context()
    passwords = [PASSWORD, base64.b64encode(PASSWORD.encode()).decode()]
    passwords.append(base64.b64encode(("\0%s\0%s" % (ACCOUNT, PASSWORD)).encode()).decode())

    def echo(sock):
        sock.sendall(b"220 echo.test\r\n")
        stream = sock.makefile("rwb", buffering=0)
        heard = b""
        while True:
            line = stream.readline().strip()
            if not line:
                return
            heard += b" " + line
            if line.startswith(b"EHLO"):
                stream.write(b"250-echo.test\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n")
            elif line == b"STARTTLS":
                stream.write(b"220 go\r\n")
                inside = context.wrap_socket(sock, server_side=True)
                stream = inside.makefile("rwb", buffering=0)
            elif line == b"AUTH LOGIN":
                stream.write(b"334 VXNlcm5hbWU6\r\n")
                heard += b" " + stream.readline().strip()
                stream.write(b"334 UGFzc3dvcmQ6\r\n")
                heard += b" " + stream.readline().strip()
                stream.write(b"535 no: %s %s\r\n" % (heard, PASSWORD.encode()))
            else:
                told = base64.b64decode(line[11:]).replace(b"\0", b" ") if line.startswith(b"AUTH PLAIN ") else b""
                stream.write(b"550 no: %s %s %s\r\n" % (heard[-300:], told, PASSWORD.encode()))

    with Server(echo) as server:
        seen = looked(server, checks=("dialogue", "auth", "login", "wrong_password", "relay"))
    text = json.dumps(seen.document())
    assert text.count("********") > 5
    # Made-up ones are nobody's secret, and are treated as if they were.
    for secret in passwords + ["wrong-", base64.b64encode(b"wrong-").decode()]:
        assert secret not in text
    assert seen.fact("login.PLAIN").value is False
    assert PASSWORD not in seen.fact("login.PLAIN").seen
