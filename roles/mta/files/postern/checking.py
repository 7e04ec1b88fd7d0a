# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``postern check``: everything that would be wrong at the next start, said at once and changing nothing."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import socket
import sqlite3
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from . import __version__, bootstrap
from .admin import cfgfile, tree
from .admin.configuration import SAVED_SCRIPT, SAVED_TREE, saved_file
from .admin.tls import AdminTls
from .emulation import ITSELF, Emulation
from .queue import schema
from .rules.engine import compile_script
from .rules.script import ScriptError
from .settings import ActivationError, ListenerSettings
from .smtp import certificate
from .smtp.tls import ListenerTls

#: Days before the end of a certificate from which on it is worth a word.
SOON = 7


@dataclass
class Findings:
    """Lines for people, each with file and line number where there are any. ``mistakes`` keep the server from starting
    or from listening, ``warnings`` do not."""

    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def mistake(self, place: str, text: str) -> None:
        """Note what has to be mended before the server can work."""
        self.mistakes.append(f"{place}: {text}")

    def warning(self, place: str, text: str) -> None:
        """Note what works, and should not stay as it is."""
        self.warnings.append(f"{place}: warning: {text}")


def check(path: str, shown: str, runs: t.Callable[[bootstrap.Bootstrap], bool]) -> Findings:
    """Look at the bootstrap file, at what it names, and at what the server has saved.

    ``shown`` is the path that the file will have. ``runs`` says whether a server runs with these settings: then its
    ports are taken, by itself. Raises :class:`BootstrapError` for a file that cannot be read at all.
    """
    found = Findings()
    _program(found)
    try:
        settings = bootstrap.load(path, files=True, shown=shown)
    except bootstrap.BootstrapError as error:
        if error.settings is None:
            raise
        found.mistakes += str(error).splitlines()
        settings = error.settings
    _folders(settings, found)
    with bootstrap.rights_of(settings.user):
        _scripts(settings, found)
        _queue(settings, found)
        _certificates(settings, found)
        listeners = _listeners(settings, found)
    if not runs(settings):
        _ports(settings, listeners, found)
    return found


def _program(found: Findings) -> None:
    """Whether all of the program can be loaded: a new one may need packages that are not there."""
    try:
        importlib.import_module(".service", __package__)
        importlib.import_module(".metrics", __package__)
    except ImportError as error:
        found.mistake(f"postern {__version__}", f"it cannot be loaded: {error}")


def check_script(path: str, shown: str) -> Findings:
    """Look at a policy script; ``shown`` is the path that it will have. Raises ``OSError``."""
    found = Findings()
    _script(Path(path).read_bytes(), shown, ITSELF, found)
    return found


# --- folders ------------------------------------------------------------------------------------


def _folders(settings: bootstrap.Bootstrap, found: Findings) -> None:
    """The folder of its state is written by the server's user, the two others by whoever starts it."""
    state = settings.state_dir
    if os.path.isabs(state):
        if os.path.isdir(state):
            with bootstrap.rights_of(settings.user):
                _writable(state, "state_dir", settings, found)
        else:
            _writable(state, "state_dir", settings, found)
    if os.path.isabs(settings.run_dir):
        _writable(settings.run_dir, "run_dir", settings, found)
    if settings.log_file != "-":
        place = settings.place("log_file")
        if not os.path.isdir(os.path.dirname(settings.log_file)):
            found.mistake(place, f"log_file: there is no folder {os.path.dirname(settings.log_file)}")
        elif os.path.exists(settings.log_file):
            if not os.access(settings.log_file, os.W_OK, effective_ids=True):
                found.mistake(place, f"log_file: {settings.log_file} cannot be written")
        else:
            _writable(os.path.dirname(settings.log_file), "log_file", settings, found)


def _writable(folder: str, key: str, settings: bootstrap.Bootstrap, found: Findings) -> None:
    """A folder that is there, or that can be made in the nearest one that is."""
    place = Path(folder)
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    what = f"{key}: {folder}" if str(place) == folder else f"{key}: {folder} cannot be made: {place}"
    if not place.is_dir():
        found.mistake(settings.place(key), f"{what} is no folder")
    elif not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        found.mistake(settings.place(key), f"{what} cannot be written")


# --- what was saved -----------------------------------------------------------------------------


def _scripts(settings: bootstrap.Bootstrap, found: Findings) -> None:
    for path in (settings.initial_script, saved_file(settings.state_dir, SAVED_SCRIPT)):
        try:
            content = Path(path).read_bytes() if path else b""
        except FileNotFoundError:
            continue  # of the initial one the bootstrap file's own check has said so
        except OSError as error:
            if path != settings.initial_script:
                found.mistake(path, (error.strerror or str(error)).lower())
            continue
        _script(content, path, settings.emulation, found)


def _script(content: bytes, path: str, emulation: Emulation, found: Findings) -> None:
    try:
        compile_script(content.decode("utf-8", "surrogateescape"), emulation)
    except ScriptError as error:
        found.mistake(f"{path}:{error.line}" if error.line else path, f"column {error.column}: {error.reason}")


def _queue(settings: bootstrap.Bootstrap, found: Findings) -> None:
    """Whether this version can read the queue: a newer one may have written it."""
    path = os.path.join(settings.state_dir, bootstrap.QUEUE_FILE)
    if not os.path.exists(path):
        return
    try:
        # Immutable: looking makes no files beside it, which would belong to whoever looks.
        with contextlib.closing(sqlite3.connect(f"{Path(path).as_uri()}?immutable=1", uri=True)) as connection:
            known = schema.file_format(connection)
    except sqlite3.Error as error:
        found.mistake(path, f"the queue cannot be read: {error}")
        return
    if known > schema.FORMAT:
        found.mistake(path, f"the queue has format {known}, and this version reads {schema.FORMAT}: go back to the newer one")


def _listeners(settings: bootstrap.Bootstrap, found: Findings) -> list[tuple[str, ListenerSettings]]:
    """The listeners that were saved, each with its place in the file."""
    path = saved_file(settings.state_dir, SAVED_TREE)
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
        server, notes = cfgfile.read_server(text)
    except FileNotFoundError:
        return []
    except cfgfile.ConfigError as error:
        found.mistake(f"{path}:{error.line}", str(error).partition(": ")[2])
        return []
    except OSError as error:
        found.mistake(path, (error.strerror or str(error)).lower())
        return []
    for note in notes:
        line, _colon, said = note.removeprefix("line ").partition(": ")
        found.warning(f"{path}:{line}", said)
    listeners = []
    for listener in tree.generation(server, b"", 0, settings.host_name, settings.state_dir).listeners:
        if listener.enable:
            place = f"{path}:{_line_of(text, listener.address)}"
            listeners.append((place, listener))
            _listener(settings, listener, place, found)
    return listeners


def _line_of(text: str, address: str) -> int:
    found = re.search(rf'^\s*address = "?{re.escape(address)}"?\s*$', text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _listener(settings: bootstrap.Bootstrap, listener: ListenerSettings, place: str, found: Findings) -> None:
    if listener.tls.cert_file is None:
        if listener.ssl_enable:
            found.mistake(place, f"listener {listener.address}: TLS from the first byte needs a certificate file")
        return
    try:
        tls = ListenerTls(listener.tls, listener.address)
    except ActivationError as error:
        found.mistake(place, str(error))
        return
    for path, end in tls.expiries.items():
        _expiry(f"listener {listener.address}: certificate file {path}", end, place, found)


# --- certificates and ports ---------------------------------------------------------------------


def _certificates(settings: bootstrap.Bootstrap, found: Findings) -> None:
    """Those of the bootstrap file; that they can be read is its own check's business."""
    for key, section, paths in (
        ("certificates", "tls", settings.certificates),
        ("certificate", "admin", tuple(filter(None, [settings.admin_certificate]))),
    ):
        place = settings.place(key, section)
        for path in paths:
            with contextlib.suppress(OSError, ValueError):
                _expiry(f"{section}.{key}: {path}", certificate.expiry(path), place, found)
    if settings.admin_certificate and os.access(settings.admin_certificate, os.R_OK, effective_ids=True):
        try:
            AdminTls(settings.admin_certificate)
        except ActivationError as error:
            found.mistake(settings.place("certificate", "admin"), f"admin.certificate: {error}")


def _expiry(what: str, end: float, place: str, found: Findings) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(end))
    if end <= time.time():
        found.warning(place, f"{what} has expired, on {day}")
    elif end <= time.time() + SOON * 86400:
        found.warning(place, f"{what} expires on {day}")


def _ports(
    settings: bootstrap.Bootstrap, listeners: list[tuple[str, ListenerSettings]], found: Findings
) -> None:
    """Whether others have the addresses; nobody is listened to meanwhile."""
    wanted = [(settings.place("address", "admin"), "admin.address", settings.admin_host, settings.admin_port)]
    if settings.metrics_address is not None:
        wanted.append((settings.place("address", "metrics"), "metrics.address", *settings.metrics_address))
    wanted += [(place, f"listener {one.address}", one.host, one.port) for place, one in listeners]
    for place, what, host, port in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                attempt.bind((host, port))
        except OSError as error:
            # Ports below 1024 need a right that the service manager gives.
            if error.errno != errno.EACCES:
                found.mistake(place, f"{what}: {host} port {port}: {(error.strerror or str(error)).lower()}")
