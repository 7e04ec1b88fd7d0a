# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths and parameters of MAIL and RCPT (RFC 5321 sections 4.1.1.2, 4.1.1.3, 4.1.2), and EHLO names.

With SMTPUTF8 the local part and the domain may hold letters beyond ASCII (RFC 6531 section 3.3). Inside the server a
local part is in composed form (NFC, RFC 6532 section 3.1) and a domain is always in A-labels, so that a name has one
spelling for rules, directory and queue.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from ..rules.domain import domain_name
from ..rules.errors import PolicyError
from .reply import Reply

# RFC 5321 section 4.5.3.1: octets, those of UTF-8 too.
MAX_LOCAL_PART = 64
MAX_DOMAIN = 255
MAX_PATH = 256

# Dots may stand anywhere in a local part: addresses of the real world have them at its end.
_ATOM = r"[^\s\"(),:;<>@\[\\\]\x00-\x20\x7f]+"
_QUOTED = r"\"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|[^\x00-\x7f]|\\[\x20-\x7e])*\""
# A label may hold "_" (hosts of the real world), never begin or end with ".": "example.com." is no SMTP domain,
# and taking it would let a recipient slip past a rule about "example.com".
_DOMAIN = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_WIDE_DOMAIN = r"(?:[A-Za-z0-9_-]|[^\x00-\x7f])+(?:\.(?:[A-Za-z0-9_-]|[^\x00-\x7f])+)*"
_LITERAL = r"\[[\x21-\x5a\x5e-\x7e]+\]"
_MAILBOX = re.compile(rf"({_QUOTED}|{_ATOM})(?:@({_DOMAIN}|{_LITERAL}))?")
_WIDE_MAILBOX = re.compile(rf"({_QUOTED}|{_ATOM})(?:@({_WIDE_DOMAIN}|{_LITERAL}))?")
_ROUTE = re.compile(rf"@{_WIDE_DOMAIN}(?:,@{_WIDE_DOMAIN})*:")
_PLAIN_LOCAL_PART = re.compile(_ATOM)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?")
# RFC 6531 section 3.3: esmtp-value.
_WIDE_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=((?:[\x21-\x3c\x3e-\x7e]|[^\x00-\x7f])+))?")
_ESCAPED = re.compile(r"\\(.)")
# RFC 3461 section 4: xtext. Letters beyond ASCII come only with SMTPUTF8.
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|[^\x00-\x7f]|\+[0-9A-F]{2})+")
_HEX = re.compile(rb"\+([0-9A-F]{2})")
# Words of several scripts hold them; no other invisible character belongs into an address.
_JOINERS = "\u200c\u200d"


class SyntaxRefused(Exception):
    """The argument breaks the grammar; ``reply`` says how."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


@dataclass(frozen=True)
class Mailbox:
    """``local_part`` without quotes, ``domain`` in lower case; both empty for the null path ``<>``.

    ``literal`` marks an address literal such as ``[192.0.2.1]``.
    """

    local_part: str
    domain: str
    literal: bool = False

    def __str__(self) -> str:
        if not self.local_part:
            return ""
        local = self.local_part
        if not _PLAIN_LOCAL_PART.fullmatch(local):
            local = '"%s"' % re.sub(r'(["\\])', r"\\\1", local)
        return f"{local}@{self.domain}" if self.domain else local


def parse_path(argument: str, keyword: str, sender: bool, utf8: bool) -> tuple[Mailbox, dict[str, str]]:
    """``FROM:<…> PARAMS`` or ``TO:<…> PARAMS``: the mailbox and the parameters (upper-case keys).

    ``utf8``: the address may go beyond ASCII; that of a sender only with the parameter SMTPUTF8 beside it. A blank
    behind the colon is accepted, as the large servers do. Raises :class:`SyntaxRefused`.
    """
    bad = "5.1.7" if sender else "5.1.3"
    if argument[: len(keyword)].upper() != keyword:
        raise SyntaxRefused(Reply(501, "5.5.4", f"syntax: {'MAIL' if sender else 'RCPT'} {keyword}<address>"))
    text = argument[len(keyword) :].lstrip(" ")
    if not text.startswith("<"):
        raise SyntaxRefused(Reply(501, bad, "the address must stand between < and >"))
    end = _closing(text)
    if end < 0:
        raise SyntaxRefused(Reply(501, bad, "the address must stand between < and >"))
    path, rest = text[1:end], text[end + 1 :]
    if rest and not rest.startswith(" "):
        raise SyntaxRefused(Reply(501, "5.5.4", "a blank must stand behind the address"))
    parameters = _parameters(rest, utf8)
    if not path.isascii() and not (utf8 and (not sender or "SMTPUTF8" in parameters)):
        # RFC 6531 section 3.5.
        raise SyntaxRefused(Reply(553, "5.6.7", "an address beyond ASCII needs SMTPUTF8"))
    return _mailbox(path, sender, bad), parameters


def _closing(text: str) -> int:
    """Where the path ends: the first ``>`` outside a quoted local part."""
    if '"' not in text:
        return text.find(">")
    quoted = False
    position = 1
    while position < len(text):
        character = text[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == ">" and not quoted:
            return position
        position += 1
    return -1


def _mailbox(path: str, sender: bool, bad: str) -> Mailbox:
    if not path:
        if sender:
            return Mailbox("", "")
        raise SyntaxRefused(Reply(501, bad, "a recipient is needed"))
    wide = not path.isascii()
    if wide and not all(character.isprintable() or character in _JOINERS for character in path):
        # Octets that are no UTF-8 too: they were read as surrogates, which nothing prints.
        raise SyntaxRefused(Reply(501, bad, "the address is malformed"))
    if _octets(path) + 2 > MAX_PATH:
        raise SyntaxRefused(Reply(501, bad, "the address is too long"))
    # RFC 5321 section 4.1.1.3 and appendix C: a source route is accepted and ignored.
    route = _ROUTE.match(path) if path[0] == "@" else None
    found = (_WIDE_MAILBOX if wide else _MAILBOX).fullmatch(path, route.end() if route else 0)
    if found is None:
        raise SyntaxRefused(Reply(501, bad, "the address is malformed"))
    local, domain = found.group(1), found.group(2)
    if local.startswith('"'):
        local = _ESCAPED.sub(r"\1", local[1:-1])
    if wide:
        local = unicodedata.normalize("NFC", local)
        domain = _a_labels(domain, bad)
    if not local or _octets(local) > MAX_LOCAL_PART or len(domain or "") > MAX_DOMAIN:
        raise SyntaxRefused(Reply(501, bad, "a part of the address is empty or too long"))
    if domain is None:
        # RFC 5321 section 4.5.1: only "Postmaster" may stand without a domain.
        if sender or local.lower() != "postmaster":
            raise SyntaxRefused(Reply(501, bad, "the address needs a domain"))
        return Mailbox(local, "")
    literal = domain.startswith("[")
    if literal and not _is_literal(domain):
        raise SyntaxRefused(Reply(501, bad, "the address literal is malformed"))
    return Mailbox(local, domain.lower(), literal)


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _a_labels(domain: str | None, bad: str) -> str | None:
    """A domain as the rest of the server knows it (RFC 5891 section 5: IDNA 2008)."""
    if domain is None or domain.isascii():
        return domain
    try:
        return domain_name(domain)
    except PolicyError:
        raise SyntaxRefused(Reply(501, bad, "the domain is malformed")) from None


def is_identity(value: str) -> bool:
    """Whether this is a value of ``AUTH=`` (RFC 4954 section 5): ``<>``, or a mailbox in xtext."""
    if value == "<>":
        return True
    if not _XTEXT.fullmatch(value):
        return False
    octets = _HEX.sub(lambda found: bytes.fromhex(found[1].decode()), value.encode("utf-8", "surrogateescape"))
    try:
        _mailbox(octets.decode("utf-8"), True, "")
    except (UnicodeDecodeError, SyntaxRefused):
        return False
    return True


def _is_literal(text: str) -> bool:
    inside = text[1:-1]
    try:
        if inside.lower().startswith("ipv6:"):
            ipaddress.IPv6Address(inside[5:])
        else:
            ipaddress.IPv4Address(inside)
    except ValueError:
        return False
    return True


def _parameters(text: str, utf8: bool) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in text.split(" "):
        if not word:
            continue
        found = (_WIDE_PARAMETER if utf8 else _PARAMETER).fullmatch(word)
        if found is None or found.group(1).upper() in values:
            raise SyntaxRefused(Reply(501, "5.5.4", "a parameter is malformed or given twice"))
        values[found.group(1).upper()] = found.group(2) or ""
    return values


def hello_name(argument: str) -> str | None:
    """The name from EHLO or HELO when it can be recorded, None when it must be refused.

    Any single printable word of up to 255 octets: NetBIOS names, bare addresses and literals in odd case come from
    honest clients, and the name decides nothing (RFC 5321 section 4.1.4 forbids refusing mail over it).
    """
    name = argument.strip(" ")
    if not name or len(name.encode("utf-8", "surrogateescape")) > MAX_DOMAIN:
        return None
    if not name.isprintable() or " " in name:
        return None
    return name
