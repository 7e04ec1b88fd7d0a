# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stranger on the network sees of a mail server, before and after it was hardened, as a table.

The looks are those of the module ``smtp_probe``, with the options of that module; what a server sends is looked at from the
other end (``relaying``). A row that is in order after the hardening proves something only if it was not in order before,
or if there is a reason why it could be.
"""

from __future__ import annotations

import json
import textwrap
import typing as t

from ansible_collections.securemail.smtp.plugins.module_utils._probe import inquiry, relaying
from ansible_collections.securemail.smtp.plugins.module_utils._probe.question import spelled_out
from ansible_collections.securemail.smtp.plugins.module_utils._probe.requirement import FAIL, PASS, Row
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import ARTICLE_SUITES
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import CHECKS

COLUMNS = ("check", "before", "expected", "after", "verdict")

#: Options of ``smtp_probe`` that nobody gave. All there is to see is looked at.
DEFAULTS = {"checks": list(CHECKS), "max_connections": 100, "timeout": 10.0, "total_timeout": 60.0, "pause": 0.0, "parallel": 5}

_ENGINE = "the program sees to it, not a setting"
_OFFERED = "a listener with a certificate offers it"
_SAME_CERTIFICATE = "the same certificate is in use before"
_UNHARDENED_TOO = "an unhardened server does too"
_LIBRARY = "TLS libraries of today cannot speak it"

#: Why a check may hold before, by its kind. Of a kind that is not here it must be seen that it did not.
HELD_BEFORE = {
    "reachable": "every mail server is",
    "greeting": "every mail server does",
    "tls_mode": _OFFERED,
    "starttls_offered": _OFFERED,
    "starttls_works": _OFFERED,
    "suite_offered": _UNHARDENED_TOO,
    "login": _UNHARDENED_TOO,
    "wrong_password": _UNHARDENED_TOO,
    "forced_tls": "nothing is forced before",
    "other_clear": "nothing is forced before",
    "groups": "the TLS library sees to it",
    "dh_size": "there is no DHE before",
    **dict.fromkeys(
        ("starttls_inside_tls", "injection", "late_plaintext", "ehlo_again", "transaction_forgotten", "open_relay",
         "compression", "extended_master_secret", "secure_renegotiation", "encrypt_then_mac"), _ENGINE
    ),
    **dict.fromkeys(
        ("certificate_trusted", "certificate_name", "certificate_valid", "certificate_lifetime", "certificate_key",
         "certificate_signature"), _SAME_CERTIFICATE
    ),
}


#: What a hardened server of each form is told. It is written here and not read from the role, which has to be wrong first.
FORMS = {
    "rfc9325": {"versions": ["TLSv1.2", "TLSv1.3"], "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20"},
    "article": {"versions": ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"], "ciphers": ":".join(ARTICLE_SUITES)},
}

#: The versions that mail is sent with.
RELAYED = {"rfc9325": ("TLSv1.2", "TLSv1.3"), "article": ("TLSv1.1", "TLSv1.2")}

#: Forms with strict submission, and what users hear on all listeners but the first one: RFC 4954 section 6, RFC 3207 section 4.
STRICT = ("rfc9325",)
LOGIN_FIRST = "530 5.7.0 Authentication required"
STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"


def options(form: str, mechanisms: t.Sequence[str], server: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Options of ``smtp_probe`` for a server that was hardened in this form, with these mechanisms over TLS.

    ``server``: ``listeners`` (address, tls; the first one is for other servers), ``server_name``, ``ca_file``,
    ``account`` and ``password``, ``local_domain``, ``forced_domain`` with ``explanation``, ``other_domain``.
    """
    target = {
        "server_name": server["server_name"],
        "username": server["account"],
        "password": server["password"],
        "local_domain": server["local_domain"],
        "other_domain": server["other_domain"],
    }
    policy = {
        "listeners": [{"enabled": True, **listener, **FORMS[form]} for listener in server["listeners"]],
        "starttls": {"inbound": True, "outbound": True},
        "auth_rules": [
            {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": [], "enabled": True},
            {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": list(mechanisms), "enabled": True},
        ],
        "rules": _submission(server["listeners"]) if form in STRICT else [],
        "forced_tls_domains": [
            {"domain": server["forced_domain"], "direction": "inbound", "reject_message": server["explanation"], "enabled": True}
        ],
    }
    return {
        "targets": [{**target, **listener} for listener in server["listeners"]],
        "ca_file": server["ca_file"],
        "expect": {"profile": form, **policy},
    }


def _submission(listeners: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """General rules: who may send mail where, and where nobody logs in."""
    relay, *others = (int(listener["address"].rpartition(":")[2]) for listener in listeners)
    nobody = [{"set": "plainConnAuthTypes", "value": "none"}, {"set": "secureConnAuthTypes", "value": "none"}]
    rules = [{"name": "no_login_there", "conditions": [{"variable": "smtpPort", "value": relay}], "actions": nobody}]
    for port in others:
        for variable, value, words in (("authUser", "", LOGIN_FIRST), ("isSSLConnection", "no", STARTTLS_FIRST)):
            rules.append({
                "name": f"{variable}_{port}", "event": "mail",
                "conditions": [{"variable": "smtpPort", "value": port}, {"variable": variable, "value": value}],
                "actions": [{"set": "smtpAction", "value": "reject"}, {"set": "smtpExplanation", "value": words}],
            })
    return rules


def question(options: t.Mapping[str, t.Any]) -> inquiry.Inquiry:
    """The inquiry that these options of ``smtp_probe`` describe."""
    return inquiry.inquiry(DEFAULTS | spelled_out(dict(options)))


def requirements(options: t.Mapping[str, t.Any]) -> list[tuple[str, t.Any]]:
    """All that is expected, each thing once: pairs of a listener's address and a requirement."""
    asked = question(options)
    found: dict[str, tuple[str, t.Any]] = {}
    for listener in asked.listeners:
        for requirement in asked.expectation.requirements(listener):
            if requirement.check != "outside":
                found.setdefault(key(listener.address, requirement), (listener.address, requirement))
    return list(found.values())


def key(address: str, wanted: t.Any) -> str:
    """What tells a requirement, or its row, from all others of a list."""
    return f"{address} {wanted.check} {json.dumps(dict(wanted.parameters), sort_keys=True)}"


def look(options: t.Mapping[str, t.Any]) -> dict[str, Row]:
    """One row for each thing that is expected, by :func:`key`; what nobody can see from outside is left out."""
    found: dict[str, Row] = {}
    for row in question(options).ask().rows:
        if row.check != "outside":
            found.setdefault(key(row.listener, row), row)
    return found


def look_at_relaying(
    options: t.Mapping[str, t.Any], partners: relaying.Partners, versions: t.Sequence[str]
) -> dict[str, Row]:
    """The same of mail that is sent; the first listener for users takes it."""
    asked = next(listener for listener in question(options).listeners[1:] if listener.credentials)
    found = {}
    for check in relaying.checks(asked, partners, versions):
        verdict = check.run()
        found["relaying " + check.name] = Row(
            "relaying", "relaying", {}, check.name, check.expected, str(verdict), verdict.outcome, "error", check.source,
            "policy", "", (),
        )
    return found


def compare(before: t.Mapping[str, Row], after: t.Mapping[str, Row], names: t.Mapping[str, str]) -> list[tuple[str, ...]]:
    """Rows for :func:`table` from two looks with the same options; ``names`` are words for listeners.

    The verdict is "ok" when the check passes after and did not before, "ok (held before: why)" when there is a reason why
    it may have passed, "FAILED" when it does not pass after, and "PROVES NOTHING" when it passed before without a reason.
    """
    rows = []
    for name, new in after.items():
        old = before[name]
        if new.verdict != PASS:
            verdict = "FAILED"
        elif old.verdict != PASS:
            verdict = "ok"
        else:
            reason = _reason(new)
            verdict = f"ok (held before: {reason})" if reason else "PROVES NOTHING"
        title = f"{names.get(new.listener, new.listener)}: {new.title}"
        rows.append((title, _marked(old), new.expected, _marked(new), verdict))
    return rows


def _reason(row: Row) -> str:
    if row.check == "version":
        if row.parameters["accepted"]:
            return _UNHARDENED_TOO
        return _LIBRARY if row.parameters["version"].startswith("SSL") else ""
    if row.check == "suites" and set(row.parameters.get("forbidden") or ("weak",)) <= {"anonymous", "null", "export", "rc2", "rc4", "des"}:
        return "the list before has none either"
    if row.check == "auth_refused_tls" and row.parameters["mechanism"] == "CRAM-MD5":
        return "the server never has it: the password would have to be kept in clear"
    return HELD_BEFORE.get(row.check, "")


def proven(rows: t.Iterable[t.Sequence[str]]) -> int:
    """How many rows of :func:`compare` are in order."""
    return sum(1 for row in rows if row[4].startswith("ok"))


def table(rows: t.Iterable[t.Sequence[str]], width: int = 34) -> str:
    """Rows as plain text with aligned columns. A cell longer than ``width`` characters goes on in the next line."""
    body = [[textwrap.wrap(str(cell), width) or [""] for cell in row] for row in rows]
    head = [[name] for name in COLUMNS]
    widths = [max(len(line) for row in [head, *body] for line in row[place]) for place in range(len(COLUMNS))]
    lines = _lines(head, widths)
    lines.append("  ".join("-" * size for size in widths))
    for row in body:
        lines += _lines(row, widths)
    return "\n".join(lines)


def _lines(row: t.Sequence[t.Sequence[str]], widths: t.Sequence[int]) -> list[str]:
    lines = []
    for number in range(max(len(cell) for cell in row)):
        cells = [cell[number] if number < len(cell) else "" for cell in row]
        lines.append("  ".join(cell.ljust(size) for cell, size in zip(cells, widths)).rstrip())
    return lines


def _marked(row: Row) -> str:
    return {PASS: "+", FAIL: "-"}.get(row.verdict, "?") + " " + row.seen
