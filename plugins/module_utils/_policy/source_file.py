# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A list of domains as people keep it in a file: one on each line, ``#`` begins a comment, empty lines mean nothing."""

from __future__ import annotations

import typing as t

from .errors import PolicyError

#: Longest file that is read, in octets.
SIZE_LIMIT = 64 * 1024 * 1024

_BOM = "\ufeff"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def text_of(octets: bytes, name: str) -> str:
    """The text of a file in UTF-8; ``name`` is what messages call it. Raises :class:`PolicyError`."""
    if len(octets) > SIZE_LIMIT:
        raise PolicyError(
            "%s is longer than %d MB; is it a list of domains, one on each line?" % (name, SIZE_LIMIT // 1024 // 1024)
        )
    if octets.startswith(_UTF16):
        raise PolicyError("%s is in UTF-16; save it as UTF-8" % name)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise PolicyError(
            "%s line %d is not in UTF-8: it holds the octet 0x%02x; save the file as UTF-8"
            % (name, line, octets[error.start])
        ) from None


def entries(text: str, name: str, may_be_empty: bool = False) -> t.List[t.Tuple[int, str]]:
    """What stands on the lines of a list, each with the number of its line; comments and blanks around are taken off.

    Raises :class:`PolicyError` for a list with nothing in it, which is a broken export more often than a wish.
    """
    found = []
    text = text[len(_BOM) :] if text.startswith(_BOM) else text
    # Not splitlines(), which knows more ends of a line than editors show.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        value = line.partition("#")[0].strip()
        if value:
            found.append((number, value))
    if not found and not may_be_empty:
        raise PolicyError(
            "%s holds no domain; write one on each line, or say allow_unsafe: true when an empty list is meant" % name
        )
    return found
