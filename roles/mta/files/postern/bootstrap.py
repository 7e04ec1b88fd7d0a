# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bootstrap file: what the admin interface cannot say, because it must be known before it listens.

::

    host_name = "mail.example.org"
    state_dir = "/var/lib/postern"
    run_dir = "/run/postern"
    log_file = "-"                        # "-" is standard error
    user = "postern"                      # needed when started as root
    initial_script = "/etc/postern/initial.script"

    [admin]
    address = "127.0.0.1:7000"
    certificate = ""                      # PEM: TLS on the admin port
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import tomllib
import typing as t
from dataclasses import dataclass


#: What a running server says about itself, below ``state_dir``.
STATUS_FILE = "status.json"


class BootstrapError(Exception):
    """The file cannot be used; the text names file, line, key and reason, one problem a line."""


@dataclass(frozen=True)
class Bootstrap:
    """The file's values. Paths are absolute; ``user`` is empty for the one that starts the server."""

    path: str
    host_name: str
    state_dir: str
    run_dir: str
    log_file: str
    user: str
    initial_script: str
    admin_host: str
    admin_port: int
    admin_certificate: str


_KEYS: dict[str, tuple[bool, str]] = {
    "host_name": (True, ""),
    "state_dir": (True, ""),
    "run_dir": (True, ""),
    "log_file": (False, "-"),
    "user": (False, ""),
    "initial_script": (False, ""),
}
_ADMIN_KEYS: dict[str, tuple[bool, str]] = {"address": (False, "127.0.0.1:7000"), "certificate": (False, "")}

_HOST_NAME = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def load(path: str, files: bool = False) -> Bootstrap:
    """Read and check the file; with ``files`` also that the files it names exist. Raises :class:`BootstrapError`."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise BootstrapError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: int(error.start)].count(b"\n") + 1
        raise BootstrapError(f"{path}:{line}: the file is not UTF-8") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place.group(1)) if place else text.count("\n") + 1
        raise BootstrapError(f"{path}:{line}: {error}") from None
    return _Check(path, text).values(content, files)


class _Check:
    """Collects all problems before it raises."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._problems: list[str] = []

    def values(self, content: dict[str, t.Any], files: bool) -> Bootstrap:
        admin = content.pop("admin", {})
        if not isinstance(admin, dict):
            self._problem("admin", "it must be a table: [admin]")
            admin = {}
        top = self._texts(content, _KEYS, "")
        inner = self._texts(admin, _ADMIN_KEYS, "admin")
        host, port = self._address(inner["address"])
        if top["host_name"] and not _HOST_NAME.fullmatch(top["host_name"]):
            self._problem("host_name", "it must be a host name of at most 64 letters, digits, dots and hyphens")
        for key in ("state_dir", "run_dir"):
            if top[key] and not os.path.isabs(top[key]):
                self._problem(key, "it must be an absolute path")
        log_file = top["log_file"]
        self._user(top["user"])
        base = os.path.dirname(os.path.abspath(self._path))
        if files:
            self._file(base, top["initial_script"], "initial_script")
            self._file(base, inner["certificate"], "certificate", "admin")
        if self._problems:
            raise BootstrapError("\n".join(self._problems))
        return Bootstrap(
            path=os.path.abspath(self._path),
            host_name=top["host_name"],
            state_dir=os.path.normpath(top["state_dir"]),
            run_dir=os.path.normpath(top["run_dir"]),
            log_file=log_file if log_file == "-" else os.path.join(base, log_file),
            user=top["user"],
            initial_script=top["initial_script"] and os.path.join(base, top["initial_script"]),
            admin_host=host,
            admin_port=port,
            admin_certificate=inner["certificate"] and os.path.join(base, inner["certificate"]),
        )

    def _texts(self, table: dict[str, t.Any], keys: dict[str, tuple[bool, str]], section: str) -> dict[str, str]:
        for key in table:
            if key not in keys:
                self._problem(key, f"unknown key; known are: {', '.join(keys)}", section)
        found = {}
        for key, (required, default) in keys.items():
            value = table.get(key, default)
            if not isinstance(value, str) or any(ord(character) < 32 for character in value):
                self._problem(key, "it must be a text in quotes, without control characters", section)
                value = default
            elif required and not value:
                self._problem(key, "it is missing", section)
            found[key] = value
        return found

    def _address(self, text: str) -> tuple[str, int]:
        host, _colon, port = text.rpartition(":")
        try:
            ip = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
            if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
                raise ValueError(port)
        except ValueError:
            self._problem("address", f"{text!r} is not ip:port, an IPv6 address in brackets", "admin")
            return "127.0.0.1", 0
        return str(ip), int(port)

    def _user(self, name: str) -> None:
        if os.geteuid() == 0 and not name:
            self._problem("user", 'it is missing, and the server is started as root (user = "root" keeps all rights)')
        if not name:
            return
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            self._problem("user", f"there is no user {name!r} on this host")
            return
        if os.geteuid() not in (0, entry.pw_uid):
            self._problem("user", f"only root can start the server as {name!r}")

    def _file(self, base: str, name: str, key: str, section: str = "") -> None:
        if name and not os.path.isfile(os.path.join(base, name)):
            self._problem(key, f"there is no file {os.path.join(base, name)}", section)

    def _problem(self, key: str, reason: str, section: str = "") -> None:
        name = f"{section}.{key}" if section else key
        self._problems.append(f"{self._path}:{self._line(key, section)}: {name}: {reason}")

    def _line(self, key: str, section: str) -> int:
        """Where a key stands; where it is missing, its table's head or the first line."""
        current, head = "", 1
        for number, line in enumerate(self._lines, 1):
            table = re.match(r"\s*\[\s*([^\]]*?)\s*\]", line)
            if table:
                current = table.group(1).strip("\"'")
                head = number if current == section else head
                if current == key and not section:
                    return number
            elif current == section and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
                return number
        return head
