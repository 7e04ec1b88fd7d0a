# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends with status 0 when this interpreter's environment has exactly the pinned versions of a requirements file.

``python installed.py requirements.txt``; understands lines ``name==version``, a marker behind them (PEP 508), and
comments only.
"""

from __future__ import annotations

import sys
from importlib import metadata

# The environment has no other package for markers; pip, which has put everything else into it, brings this one.
from pip._vendor.packaging.requirements import Requirement


def missing(lines: list[str]) -> list[str]:
    """The pins that are not met and should be on this machine, as they stand in the file."""
    found = []
    for line in lines:
        pin = line.split("#", 1)[0].strip()
        if not pin:
            continue
        wanted = Requirement(pin)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            if f"=={metadata.version(wanted.name)}" != str(wanted.specifier):
                found.append(pin)
        except metadata.PackageNotFoundError:
            found.append(pin)
    return found


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as stream:
        lacking = missing(stream.read().splitlines())
    print("\n".join(lacking))
    sys.exit(bool(lacking))
