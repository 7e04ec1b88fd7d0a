# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs the bundled server into one archive that Python can run, byte for byte the same every time.

``python pack.py FOLDER CACHE`` writes ``CACHE/postern-HASH.pyz`` unless it is there and prints its path
and its hash as JSON. The same source gives the same bytes on every controller (fixed times and modes, sorted names,
stored without compression, links followed), so that comparing one hash tells whether a host is up to date.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tempfile
import time
import zipfile

#: What Python runs when it is given the archive.
MAIN = "from postern.__main__ import main\n\nraise SystemExit(main())\n"
#: Archives of earlier versions are removed from the cache after this many seconds.
KEEP = 7 * 24 * 3600


def archive(folder: str) -> bytes:
    """The archive of the package in ``folder``; it holds one top-level package named like the folder."""
    package = os.path.basename(os.path.normpath(folder))
    members = {"__main__.py": MAIN.encode()}
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in files:
            if name.startswith(".") or name.endswith((".pyc", ".pyo")):
                continue
            path = os.path.join(place, name)
            inside = "/".join([package, *os.path.relpath(path, folder).split(os.sep)])
            with open(path, "rb") as stream:
                members[inside] = stream.read()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for inside in sorted(members):
            info = zipfile.ZipInfo(inside, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            bundle.writestr(info, members[inside])
    return buffer.getvalue()


def store(data: bytes, cache: str) -> str:
    """Keep the archive in the cache folder under its hash; returns its path."""
    digest = hashlib.sha256(data).hexdigest()
    os.makedirs(cache, mode=0o700, exist_ok=True)
    path = os.path.join(cache, "postern-%s.pyz" % digest[:16])
    if not _same(path, data):
        # Two runs may do this at once: each writes a file of its own, the rename is atomic.
        handle, part = tempfile.mkstemp(dir=cache)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(part, path)
    os.utime(path)
    _forget_old(cache)
    return path


def _same(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read() == data
    except OSError:
        return False


def _forget_old(cache: str) -> None:
    limit = time.time() - KEEP
    for entry in os.scandir(cache):
        try:
            if entry.name.startswith("postern-") and entry.stat().st_mtime < limit:
                os.unlink(entry.path)
        except FileNotFoundError:
            continue


if __name__ == "__main__":
    packed = archive(sys.argv[1])
    print(json.dumps({"path": store(packed, sys.argv[2]), "sha256": hashlib.sha256(packed).hexdigest()}))
