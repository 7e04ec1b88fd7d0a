# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An address of the queue on its way into a command: the grammar is the one that mail must keep that comes in."""

from __future__ import annotations

from ..smtp.address import Mailbox, SyntaxRefused, parse_path


class NoAddress(ValueError):
    """No command may carry this; the text says why."""


def parse(address: str, sender: bool) -> Mailbox:
    """The mailbox of an address as it stands between ``<`` and ``>``; empty for the empty address of a ``sender``.

    No CR, LF, NUL, blank or bracket can end a command early or add a parameter to it. Raises :class:`NoAddress`.
    """
    keyword = "FROM:" if sender else "TO:"
    # Whether the host that gets it has to know SMTPUTF8 is judged later.
    wide = " SMTPUTF8" if sender and not address.isascii() else ""
    try:
        mailbox, parameters = parse_path(f"{keyword}<{address}>{wide}", keyword, sender, utf8=True)
    except SyntaxRefused as refused:
        raise NoAddress(refused.reply.text) from None
    if len(parameters) != bool(wide):
        raise NoAddress("there is more than an address")
    return mailbox
