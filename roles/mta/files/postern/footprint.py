# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a running server was started from, as hashes: so that anybody can tell later whether it is what is installed now.

Whoever installs a new version and is interrupted before the restart need not remember that there is one to be done.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
import typing as t
from importlib import metadata

from . import __path__ as _package_path
from .bootstrap import Bootstrap

#: The parts, by their names in the status.
PARTS = ("program", "configuration", "packages")


def of(settings: Bootstrap) -> dict[str, str]:
    """The hashes of program, bootstrap file and packages, as they are on disk (the file: as it was read)."""
    return {"program": _program(), "configuration": settings.digest, "packages": _packages()}


def stale(status: t.Mapping[str, t.Any], settings: Bootstrap) -> list[str]:
    """The parts of a running server that are not what is there now. One that says nothing about itself is an old one."""
    started_from, now = status.get("started_from") or {}, of(settings)
    return [part for part in PARTS if started_from.get(part) != now[part]]


def _program() -> str:
    """Of the archive; empty for a folder of sources, which is a developer's."""
    place = os.path.dirname(_package_path[0])
    if not os.path.isfile(place):
        return ""
    with open(place, "rb") as archive:
        return hashlib.file_digest(archive, "sha256").hexdigest()


def _packages() -> str:
    # Of this environment alone: whoever asks may have a path of his own.
    places = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found = sorted({f"{one.name}=={one.version}" for one in metadata.distributions(path=places)})
    return hashlib.sha256("\n".join(found).encode()).hexdigest()
