# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Code of this collection that an earlier task on this host has compiled.

Ansible sends a module as an archive of sources, and Python keeps nothing of what it compiles from an archive: each task
compiles everything anew. After :func:`install`, which is called before anything else of ours is imported, it is kept as
``__pycache__`` would keep it, in ``$XDG_CACHE_HOME`` or ``~/.cache``. A file is for exactly one content of the archive
and one Python, and it is read only when nobody but this user can have written it. Whatever is wrong with it, the sources
are taken. It holds code of this collection, and nothing of a server or a task.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import marshal
import os
import stat
import sys
import typing as t
import zipimport
import zlib

#: Off with "0", "no", "off" or "false".
SWITCH = "SECUREMAIL_BYTECODE_CACHE"
FOLDER = "securemail.smtp-bytecode"
SUFFIX = ".code"
MAGIC = b"securemail.smtp bytecode 1\n"
MAX_SIZE = 8 * 1024 * 1024

_PACKAGE = __name__.rpartition(".")[0]


def base_folder() -> str:
    """The user's folder for caches (XDG Base Directory Specification); "" when there is none."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = named if os.path.isabs(named) else os.path.expanduser(os.path.join("~", ".cache"))
    return base if os.path.isabs(base) else ""


def is_ours(found: os.stat_result) -> bool:
    """Whether a file or folder belongs to the user that this process runs as, and nobody else can write to it."""
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def is_out_of_reach(path: str) -> bool:
    """Whether nobody but this user and root can put something else where ``path`` leads to.

    Root may run with another user's ``HOME`` (``su``, ``sudo -E``): what lies there that user can move and replace.
    """
    for folder in (path, os.path.realpath(path)):
        while folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
            try:
                found = os.stat(folder)
            except FileNotFoundError:
                continue
            # In a sticky folder others cannot touch what is not theirs.
            shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
            if shared or found.st_uid not in (0, os.geteuid()):
                return False
    return True


def _read(path: str) -> t.Dict[str, bytes]:
    """Code by entry of the archive; empty when the file is not there or not to be trusted."""
    folder = os.path.dirname(path)
    link = os.lstat(folder)
    if not (stat.S_ISDIR(link.st_mode) and is_ours(link) and is_ours(os.stat(os.path.dirname(folder)))):
        return {}
    # Without blocking: what lies there could be a pipe.
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not (stat.S_ISREG(found.st_mode) and is_ours(found) and found.st_size <= MAX_SIZE):
            return {}
        data = file.read()
    start = len(MAGIC) + 4
    body = memoryview(data)[start:]
    if data[:start] != MAGIC + zlib.crc32(body).to_bytes(4, "big"):
        return {}
    codes = marshal.loads(body)
    whole = isinstance(codes, dict) and all(isinstance(code, bytes) for code in codes.values())
    return codes if whole else {}


class _Importer:
    """Finds and loads the modules of this collection that are in the archive."""

    def __init__(self, archive: str, entries: t.Mapping[str, t.Any], path: str) -> None:
        self._archive = archive
        self._entries = entries
        self._path = path
        self._codes: t.Dict[str, bytes] = {}
        self._new: t.Optional[t.Dict[str, bytes]] = None
        try:
            self._codes = _read(path)
        except (OSError, ValueError, EOFError, TypeError):
            # Not there, or not to be read: then it is written at the end.
            pass

    def find_spec(self, name: str, _path: t.Any = None, _target: t.Any = None) -> t.Any:
        """See ``importlib.abc.MetaPathFinder``."""
        if not name.startswith(_PACKAGE):
            return None
        stem = name.replace(".", os.sep)
        for entry, package in ((stem + ".py", False), (os.path.join(stem, "__init__.py"), True)):
            if self._entries.get(entry):
                origin = os.path.join(self._archive, entry)
                spec = importlib.machinery.ModuleSpec(name, self, origin=origin, loader_state=entry, is_package=package)
                spec.has_location = True
                if package:
                    spec.submodule_search_locations = [os.path.dirname(origin)]
                return spec
        return None

    def create_module(self, _spec: t.Any) -> None:
        """See ``importlib.abc.Loader``: modules are made as usual."""

    def exec_module(self, module: t.Any) -> None:
        """See ``importlib.abc.Loader``."""
        entry = module.__spec__.loader_state
        stored = self._codes.get(entry)
        exec(self._compile(entry) if stored is None else marshal.loads(stored), module.__dict__)

    def get_source(self, name: str) -> str:
        """See ``importlib.abc.InspectLoader``; for tracebacks."""
        return self._source(sys.modules[name].__spec__.loader_state).decode("utf-8")

    def _source(self, entry: str) -> bytes:
        return zipimport.zipimporter(self._archive).get_data(os.path.join(self._archive, entry))

    def _compile(self, entry: str) -> t.Any:
        code = compile(self._source(entry), entry, "exec", dont_inherit=True)
        if self._new is None:
            self._new = {}
            if not sys.dont_write_bytecode:
                # Few tasks compile anything. It is imported now, because at the end the archive is gone.
                from . import _bytecode_store

                _bytecode_store.at_exit(self._path, self._codes, self._new)
        self._new[entry] = marshal.dumps(code)
        return code


def install() -> None:
    """From now on modules of this collection come from the cache, where it has them. Nothing but in Ansible's archive."""
    archive = getattr(globals().get("__loader__"), "archive", None)
    switch = os.environ.get(SWITCH, "").strip().lower()
    # Who measures coverage or steps through the code wants the sources.
    if not archive or switch in ("0", "no", "off", "false") or sys.gettrace() or "coverage" in sys.modules:
        return
    entries = getattr(zipimport, "_zip_directory_cache", {}).get(archive)
    base = base_folder()
    try:
        if not entries or not base or not is_out_of_reach(base):
            return
    except OSError:
        return
    python = (sys.version, importlib.util.MAGIC_NUMBER, marshal.version, sys.flags.optimize)
    digest = hashlib.sha256(repr(python).encode())
    prefix = _PACKAGE.replace(".", os.sep)
    # Only what is ours: each task's archive holds a line of its own elsewhere.
    content = [(name, found[3], found[7]) for name, found in entries.items() if found and name.startswith(prefix)]
    digest.update(repr(sorted(content)).encode("utf-8", "surrogateescape"))
    path = os.path.join(base, FOLDER, digest.hexdigest()[:40] + SUFFIX)
    sys.meta_path.insert(0, _Importer(archive, entries, path))
