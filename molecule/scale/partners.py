# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of partners as somebody exports it, and the one of a month later.

``python partners.py first|second PATH`` writes it. A thousand lines each; a hundred are others in the second one.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: Whose subdomains are in both lists.
PARENTS = (".gov.test", ".bund.test")

_WHOLE = 1000 - len(PARENTS)


def first() -> list[str]:
    """Names of the first list, in its order."""
    return [*PARENTS, *(f"d{number:04}.partner.test" for number in range(_WHOLE))]


def second() -> list[str]:
    """Every tenth whole domain is gone, and so many others have come."""
    whole = first()[len(PARENTS) :]
    others = [f"n{number:04}.partner.test" for number in range(len(whole[::10]))]
    return [*PARENTS, *(name for name in whole if name not in set(whole[::10])), *others]


def exported(names: list[str]) -> bytes:
    """The file as a spreadsheet on another system writes it: a mark at its beginning, CR LF, spellings of all kinds."""
    lines = ["# Partners that mail is taken from over TLS only", "", *names]
    lines[2 + names.index("d0499.partner.test")] = "  D0499.Partner.TEST.   # the middle, by hand"
    return "\ufeff".encode() + "\r\n".join(lines).encode() + b"\r\n"


def names_in(text: str) -> set[str]:
    """The names of an exported list."""
    found = (line.partition("#")[0].strip().rstrip(".").lower() for line in text.lstrip("\ufeff").splitlines())
    return {name for name in found if name}


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(exported({"first": first, "second": second}[sys.argv[1]]()))
