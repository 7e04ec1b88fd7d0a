# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The trace line that is put before every message (RFC 5321 section 4.4)."""

from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from ..queue.store import id_text

if TYPE_CHECKING:
    from .session import Session
    from .state import Transaction

# What a peer says goes into a header: everything that could end or change one becomes "?".
_UNSAFE = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9._-]+")
# RFC 6532 section 3.2: a header of a message with SMTPUTF8 may hold such an address, and no other message's.
_WIDE_ADDRESS = re.compile(r"(?:[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]|[^\x00-\x9f\s])+@[A-Za-z0-9._-]+")


def received_header(session: "Session", transaction: "Transaction", message: int, received: float) -> bytes:
    """``Received:`` for a message of this session, with its final CR LF. ``received``: seconds since the epoch."""
    hello = _UNSAFE.sub("?", session.hello)
    peer = session.ends.peer
    literal = f"[IPv6:{peer}]" if ":" in peer else f"[{peer}]"
    host = _UNSAFE.sub("?", session.site.server_name)
    lines = [
        f"Received: from {hello} ({literal})",
        f"\tby {host} (postern) with {_protocol(session, transaction.smtputf8)} id {id_text(message)}",
    ]
    if session.tls:
        lines.append(f"\t({_UNSAFE.sub('?', session.tls.version)} {_UNSAFE.sub('?', session.tls.cipher)})")
    if len(transaction.addresses) == 1:
        # With several, naming one would tell each about another (RFC 5321 section 7.2). Who an alias stands for is
        # nobody's business.
        address = transaction.addresses[0]
        if (_WIDE_ADDRESS if transaction.smtputf8 else _PLAIN_ADDRESS).fullmatch(address):
            lines.append(f"\tfor <{address}>")
    return ("\r\n".join(lines) + f";\r\n\t{_date(int(received))}\r\n").encode()


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    """RFC 5322 section 3.3. Many messages come in one second."""
    return formatdate(second)


def _protocol(session: "Session", smtputf8: bool) -> str:
    """RFC 3848: S with TLS, A with AUTH. RFC 6531 section 4.3: UTF8SMTP in place of ESMTP."""
    if not session.extended:
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if session.tls else "") + ("A" if session.user else "")
