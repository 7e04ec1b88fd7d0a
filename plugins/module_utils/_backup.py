# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Folders that keep the state of a server before a change: its own texts, and what they are.

``<directory>/<host>_<port>/<time>-<hash>/`` holds the server's own texts as it sent them, and a manifest with their
hashes. Passwords may stand in them, so that nobody but the owner can read a folder. A folder is there whole or not at
all: it gets its name when all of it is on disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
import typing as t

from ._goal import Goal
from ._policy.errors import PolicyError
from ._servers.base import MailServer, Plan, ReadBackError, Snapshot

MANIFEST = "backup.json"
FORMAT = 1

#: What a part may be called: it is a file beside the manifest.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

#: Bytes. A manifest is a few hundred; something larger under its name is something else.
_MAX_MANIFEST = 65536

_NOTHING_WRITTEN = "Nothing was sent to the server. Make backup_dir a folder that can be written, or say backup: false."


class Backup(t.NamedTuple):
    """What a folder holds: texts by name, and facts of the manifest (``server``, ``host``, ``server_version``, …)."""

    files: t.Dict[str, str]
    facts: t.Dict[str, t.Any]


class Restored(Goal):
    """The state of a server that a backup holds. It stood there before, so that nothing of it is proved again."""

    proves = False

    def __init__(self, files: t.Mapping[str, str]) -> None:
        self._files = files

    def plan(self, server: MailServer, snapshot: Snapshot) -> Plan:
        return server.restore(snapshot, self._files, exact=False)

    def verify(self, server: MailServer, plan: Plan, found: Snapshot) -> None:
        left = server.restore(found, self._files, exact=False).actions
        if left:
            raise ReadBackError("read back what was restored", "still to be done: %s" % "; ".join(left))


# --- writing ------------------------------------------------------------------------------------


def write(directory: str, peer: str, files: t.Mapping[str, str], facts: t.Mapping[str, str]) -> str:
    """Keep these texts below ``directory``, for the server that ``peer`` (``host:port``) names; returns the folder.

    Raises ``PolicyError`` when the disk does not take it: then the server must not be changed.
    """
    contents = {name: text.encode("utf-8", "surrogateescape") for name, text in files.items()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    now = time.gmtime()
    manifest: t.Dict[str, t.Any] = {"format": FORMAT, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", now)}
    manifest.update(facts)
    manifest["sha256"] = hashes
    contents[MANIFEST] = json.dumps(manifest, indent=2, sort_keys=True).encode("utf-8") + b"\n"
    short = hashlib.sha256("".join(hashes.values()).encode("ascii")).hexdigest()[:12]
    try:
        above = os.path.join(_absolute(directory), folder_name(peer))
        _make_folders(above)
        folder = os.path.join(above, "%s-%s" % (time.strftime("%Y%m%dT%H%M%SZ", now), short))
        # Two runs in one second that found the same state need one folder.
        if not os.path.isdir(folder):
            _write_folder(above, folder, contents)
        return folder
    except OSError as error:
        raise _unwritable(directory, error) from None


def check_writable(directory: str) -> None:
    """Whether a folder could be made there, as far as that can be told without making it. Raises ``PolicyError``."""
    place = _absolute(directory)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise _unwritable(directory, NotADirectoryError(0, "%s is no folder" % place))
    if not os.access(place, os.W_OK | os.X_OK):
        raise _unwritable(directory, PermissionError(0, "no permission to write in %s" % place))


def folder_name(peer: str) -> str:
    """The folder of one server: ``host_port``, with nothing in it that a path could trip over."""
    host, _colon, port = peer.rpartition(":")
    host, port = (re.sub(r"[^a-z0-9.-]", "-", part.lower()).strip("-.") for part in (host, port))
    return "%s_%s" % (host or "server", port)


def _absolute(directory: str) -> str:
    if not os.path.isabs(directory):
        raise PolicyError("backup_dir %s must be an absolute path" % directory)
    return os.path.normpath(directory)


def _unwritable(directory: str, error: OSError) -> PolicyError:
    return PolicyError(
        "backup_dir %s: the backup cannot be written: %s. %s" % (directory, error.strerror, _NOTHING_WRITTEN)
    )


def _make_folders(path: str) -> None:
    """Those that are missing, for the owner alone."""
    if os.path.isdir(path):
        return
    _make_folders(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        # Another run was faster.
        if not os.path.isdir(path):
            raise


def _write_folder(above: str, folder: str, contents: t.Mapping[str, bytes]) -> None:
    fresh = tempfile.mkdtemp(prefix=".new-", dir=above)
    try:
        for name, content in contents.items():
            with open(os.open(os.path.join(fresh, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(fresh)
        os.rename(fresh, folder)
        _sync(above)
    except OSError:
        _remove(fresh, contents)
        if not os.path.isdir(folder):
            raise


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: str, names: t.Iterable[str]) -> None:
    for path, remove in [(os.path.join(folder, name), os.unlink) for name in names] + [(folder, os.rmdir)]:
        try:
            remove(path)
        except OSError:
            pass


# --- reading ------------------------------------------------------------------------------------


def load(folder: str) -> Backup:
    """What a folder holds. Raises ``PolicyError`` for one that is no backup, or not the one that was written."""
    manifest = _manifest(folder)
    hashes = manifest.pop("sha256", None)
    if not isinstance(hashes, dict) or not hashes or not all(map(_PART.fullmatch, hashes)) or MANIFEST in hashes:
        raise _refused(folder, "%s does not name the parts of a backup" % MANIFEST)
    files = {}
    for name in hashes:
        content = _content(folder, name)
        if hashlib.sha256(content).hexdigest() != hashes[name]:
            raise _refused(folder, "%s is not what was written: its hash differs" % name)
        files[name] = content.decode("utf-8", "surrogateescape")
    return Backup(files, manifest)


def _manifest(folder: str) -> t.Dict[str, t.Any]:
    if not os.path.isdir(folder):
        raise _refused(folder, "there is no such folder")
    if not os.path.exists(os.path.join(folder, MANIFEST)):
        inside = sorted(name for name in os.listdir(folder) if os.path.exists(os.path.join(folder, name, MANIFEST)))
        if inside:
            raise _refused(folder, "it holds several backups; name one of them, as %s, the newest" % inside[-1])
    content = _content(folder, MANIFEST, _MAX_MANIFEST)
    try:
        manifest = json.loads(content.decode("utf-8"))
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise _refused(folder, "%s is not the manifest of a backup" % MANIFEST)
    if manifest.get("format") != FORMAT:
        raise _refused(folder, "format %r of %s is not known here" % (manifest.get("format"), MANIFEST))
    return manifest


def _content(folder: str, name: str, limit: int = -1) -> bytes:
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise _refused(folder, "%s cannot be read: %s" % (name, error.strerror)) from None


def _refused(folder: str, reason: str) -> PolicyError:
    return PolicyError("src %s: %s. Nothing was sent to the server." % (folder, reason))
