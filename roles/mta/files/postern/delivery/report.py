# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form of a report about mail: a ``multipart/report`` (RFC 6522) in ASCII, or in UTF-8 where no ASCII will do.

In ASCII it goes to every host, whatever the message was: an address in UTF-8 is written with escapes, all other text is
quoted-printable (RFC 6533 sections 3 and 4). Only a sender whose own address is in UTF-8 gets its report in UTF-8; it
could not be sent without SMTPUTF8 in any case.
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass

# RFC 6533 section 3, what is no QCHAR: beside all that is not ASCII the blank, "+", "=" and "\".
_NO_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")

#: Characters of a value, and octets of a line, that fit on a line of mail (RFC 5322 section 2.1.1, with room for what
#: stands before it).
MAX_VALUE, MAX_LINE = 900, 998

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Form:
    """``utf8``: the report may be in UTF-8, because its receiver has an address in UTF-8."""

    utf8: bool

    def line(self, text: str) -> str:
        """On one line, in the letters of the report: what others say cannot end a field or begin one."""
        return "".join(letter if self._is_plain(letter) else "?" for letter in text[:MAX_VALUE])

    def _is_plain(self, letter: str) -> bool:
        return " " <= letter <= "~" or (self.utf8 and letter.isprintable())

    def address(self, address: str) -> str:
        """An address (as between ``<`` and ``>``) with its type, for a field of the facts."""
        if address.isascii():
            return f"rfc822; {self.line(address)}"
        if self.utf8:
            return f"utf-8; {self.line(address)}"
        # The form that RFC 6533 section 3 demands in a message/delivery-status: utf-8-addr-xtext.
        return "utf-8; " + _NO_QCHAR.sub(lambda found: f"\\x{{{ord(found.group()):02X}}}", address)

    def report(
        self, fields: Fields, text: str, facts: Sequence[Fields], header: bytes, marked: bool, seed: str
    ) -> bytes:
        """The whole report.

        ``fields`` are those of its own header, ``text`` is for people, with LF as line ends. ``facts`` are for
        programs: the fields about the message, then those about each recipient. ``header`` is the header of the
        message; ``marked``: its sender said that it is in UTF-8. ``seed`` begins the line between the parts.
        """
        blocks = "\n".join(_lines(block) for block in facts)
        status = "message/delivery-status" if blocks.isascii() else "message/global-delivery-status"
        parts = [
            self._part('text/plain; charset="us-ascii"' if text.isascii() else 'text/plain; charset="utf-8"', text),
            self._part(status, blocks),
            self._header_part(header, marked),
        ]
        boundary = _boundary(seed, parts)
        kind = f'multipart/report; report-type=delivery-status;\n\tboundary="{boundary}"'
        own = [*fields, ("MIME-Version", "1.0"), ("Content-Type", kind)]
        if not all(part.isascii() for part in parts):
            own.append(("Content-Transfer-Encoding", "8bit"))
        line = f"\r\n--{boundary}".encode("ascii")
        return _octets(_lines(own)) + b"".join(line + b"\r\n" + part for part in parts) + line + b"--\r\n"

    def _header_part(self, header: bytes, marked: bool) -> bytes:
        text = header.decode("utf-8", "replace")
        if not marked or "\ufffd" in text:
            # Nobody knows what these octets mean.
            text = header.decode("ascii", "replace").replace("\ufffd", "?")
        # The report goes out, whatever it was that kept the message from it.
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "?")
        # It came from who takes longer lines; who takes the report need not.
        text = "\n".join(map(_cut, text.split("\n")))
        return self._part("text/rfc822-headers" if text.isascii() else "message/global-headers", text)

    def _part(self, kind: str, text: str) -> bytes:
        fields = [("Content-Type", kind)]
        data = _octets(text)
        if not data.isascii():
            # RFC 6533 section 4: the global types may be encoded where 8-bit text may not pass.
            fields.append(("Content-Transfer-Encoding", "8bit" if self.utf8 else "quoted-printable"))
            if not self.utf8:
                data = quopri.encodestring(text.encode("utf-8")).replace(b"\n", b"\r\n")
        return _octets(_lines(fields) + "\n") + data


def _lines(fields: Fields) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields)


def _cut(line: str) -> str:
    if len(line) <= MAX_LINE // 4:
        return line
    return line.encode("utf-8")[:MAX_LINE].decode("utf-8", "ignore")


def _octets(text: str) -> bytes:
    return text.encode("utf-8").replace(b"\n", b"\r\n")


def _boundary(seed: str, parts: Sequence[bytes]) -> str:
    """A line that is in none of the parts, also not in one that somebody made to hold it."""
    count = 0
    while any(b"--" + f"{seed}/{count}".encode("ascii") in part for part in parts):
        count += 1
    return f"{seed}/{count}"
