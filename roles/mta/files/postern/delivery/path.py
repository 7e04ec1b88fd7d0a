# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An address of the queue on its way into a command: the grammar is the one that mail must keep that comes in."""

from __future__ import annotations

import re

from ..smtp.address import Mailbox, SyntaxRefused, parse_path

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_ESCAPED = re.compile(r"\\(.)")


class NoAddress(ValueError):
    """No command may carry this; the text says why."""


def parse(address: str, sender: bool) -> Mailbox:
    """The mailbox of an address as it stands between ``<`` and ``>``; empty for the empty address of a ``sender``.

    No CR, LF, NUL, blank or bracket can end a command early or add a parameter to it. Letters that are not ASCII may
    stand in a local part (RFC 6531 section 3.3), where they count by their octets; a domain has the form that the DNS
    has. Raises :class:`NoAddress`.
    """
    if not address.isascii() and not address.isprintable():
        raise NoAddress("the address has characters that nobody can see")
    keyword = "FROM:" if sender else "TO:"
    # A letter that is not ASCII may stand where a plain one may.
    plain = _NOT_ASCII.sub(lambda found: "x" * len(found.group().encode("utf-8")), address)
    try:
        mailbox, parameters = parse_path(f"{keyword}<{plain}>", keyword, sender)
    except SyntaxRefused as refused:
        raise NoAddress(refused.reply.text) from None
    if parameters:
        raise NoAddress("there is more than an address")
    if address.isascii():
        return mailbox
    local, _at, domain = address.rpartition("@")
    if domain.lower() != mailbox.domain or local.startswith("@"):
        raise NoAddress("the domain is not in the form that the DNS has")
    local = _ESCAPED.sub(r"\1", local[1:-1]) if local.startswith('"') else local
    return Mailbox(local, mailbox.domain, mailbox.literal)
