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
    interval_connections = 600            # connections in a minute; 0: no limit

    [metrics]                             # figures for Prometheus, without a login
    address = ""                          # on loopback: "127.0.0.1:9154"; none: off

    [dns]
    servers = ["127.0.0.1:5353"]          # ip, ip:port or [ipv6]:port; none: the system's

    [relay]                               # mail for other domains
    ca_file = ""                          # PEM: trusted authorities; none: the system's
    retry = [300, 900, 1800, 3600, 7200, 14400]  # seconds between attempts, the last one again and again
    lifetime = 432000                     # seconds until undelivered mail goes back to its sender
    warn_after = 14400                    # seconds until its sender is told that it waits; 0: never
    command_timeout = 0                   # seconds for each SMTP command; 0: the limits of RFC 5321

    [tls]
    certificates = []                     # PEM, key and chain: chosen by the name that a client asks for (SNI)

    [local]                               # aliases and tags of addresses: see mailboxes.py
    [receiving]                           # slow clients, early ones, wrong passwords: see receiving.py

    [[route]]                             # where mail for a domain goes, and the least that TLS must be:
    domain = "partner.example"            # see rules/static_routes.py

    [emulation]                           # another server's habits, to try clients on: see emulation.py
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import math
import os
import pwd
import re
import ssl
import tomllib
import typing as t
from dataclasses import dataclass, field

from .delivery.nameserver import server_text
from .delivery.destination import Bounds
from .emulation import ITSELF, Emulation
from .emulation import read as read_emulation
from .mailboxes import Mailboxes
from .mailboxes import read as read_mailboxes
from .receiving import Receiving
from .receiving import read as read_receiving
from .rules.static_routes import PasswordUnreadable, Route
from .rules.static_routes import read as read_routes
from .settings import ActivationError
from .toml_lines import TomlLines

#: What a running server says about itself, below ``state_dir``.
STATUS_FILE = "status.json"
#: Accepted mail that is not delivered yet, below ``state_dir``.
QUEUE_FILE = "queue.sqlite3"

#: Seconds. RFC 5321 section 4.5.4.1: attempts at least half an hour apart in the long run, four to five days in all.
RELAY_RETRY = (300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
#: More would need more descriptors than a process usually has.
MAX_CONNECTIONS = 500
RELAY_LIFETIME, RELAY_WARN_AFTER = 432_000.0, 14_400.0


#: Connections to the admin port in a minute: the dialect's default for its listeners.
ADMIN_INTERVAL_CONNECTIONS = 600


class BootstrapError(Exception):
    """The file cannot be used; the text names file, line, key and reason, one problem a line.

    ``settings`` are what it says where it is right, with defaults elsewhere; None when it cannot be read at all.
    """

    def __init__(self, text: str, settings: Bootstrap | None = None) -> None:
        super().__init__(text)
        self.settings = settings


@dataclass(frozen=True)
class Bootstrap:
    """The file's values. Paths are absolute; ``user`` is empty for the one that starts the server.

    ``certificates`` are PEM files for all listeners with TLS;
    ``dns_servers`` are ``ip:port``, empty for the system's; ``relay_ca_file`` is empty for the system's authorities;
    ``digest`` is the SHA-256 of the file; times are seconds, and a ``relay_command_timeout`` of 0 stands for the limits of RFC 5321.
    """

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
    admin_interval_connections: int = ADMIN_INTERVAL_CONNECTIONS
    metrics_address: tuple[str, int] | None = None
    dns_servers: tuple[str, ...] = ()
    relay_ca_file: str = ""
    relay_retry: tuple[float, ...] = RELAY_RETRY
    relay_lifetime: float = RELAY_LIFETIME
    relay_warn_after: float = RELAY_WARN_AFTER
    relay_command_timeout: float = 0.0
    relay_bounds: Bounds = Bounds()
    certificates: tuple[str, ...] = ()
    receiving: Receiving = Receiving()
    mailboxes: Mailboxes = Mailboxes()
    emulation: Emulation = ITSELF
    routes: tuple[Route, ...] = ()
    digest: str = ""
    lines: TomlLines = field(default_factory=lambda: TomlLines(""), compare=False, repr=False)

    def place(self, key: str, section: str = "") -> str:
        """Where a key stands, or should: ``file:line``."""
        return f"{self.path}:{self.lines.of(key, section)}"


_KEYS: dict[str, tuple[bool, str]] = {
    "host_name": (True, ""),
    "state_dir": (True, ""),
    "run_dir": (True, ""),
    "log_file": (False, "-"),
    "user": (False, ""),
    "initial_script": (False, ""),
}
_ADMIN_KEYS: dict[str, tuple[bool, str]] = {"address": (False, "127.0.0.1:7000"), "certificate": (False, "")}
_METRICS_KEYS: dict[str, tuple[bool, str]] = {"address": (False, "")}
_DNS_KEYS = ("servers",)
_TLS_KEYS = ("certificates",)
_RELAY_KEYS = ("ca_file", "retry", "lifetime", "warn_after", "command_timeout")
#: Keys of [relay] that are fields of :class:`Bounds`: whole numbers and seconds.
_RELAY_COUNTS = {"connections": "connections", "host_connections": "per_host", "domain_connections": "per_domain"}
_RELAY_SPANS = {"keep": "kept", "longest_wait": "longest_wait"}

_HOST_NAME = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def load(path: str, files: bool = False, shown: str = "") -> Bootstrap:
    """Read and check the file; with ``files`` also that the server's user can use the files it names.

    ``shown`` is the path that it will have: errors name that, and relative paths are seen from there.

    Raises :class:`BootstrapError`.
    """
    path, given = shown or path, path
    try:
        with open(given, encoding="utf-8") as file:
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
        self._lines = TomlLines(text)
        self._digest = hashlib.sha256(text.encode()).hexdigest()
        self._problems: list[str] = []

    def values(self, content: dict[str, t.Any], files: bool) -> Bootstrap:
        names = ("admin", "metrics", "dns", "relay", "emulation", "receiving", "tls", "local")
        admin, metrics, dns, relay, other, slow, tls, local = (self._table(content, name) for name in names)
        base = os.path.dirname(os.path.abspath(self._path))
        routes = read_routes(content.pop("route", []), self._problem, base)
        top = self._texts(content, _KEYS, "")
        connections = self._count(admin, "interval_connections", ADMIN_INTERVAL_CONNECTIONS)
        inner = self._texts(admin, _ADMIN_KEYS, "admin", others=("interval_connections",))
        host, port = self._address(inner["address"], "admin")
        metrics_address = self._metrics(metrics)
        servers = self._servers(dns)
        sending = self._sending(relay)
        certificates = self._certificate_names(tls)
        receiving = read_receiving(slow, self._problem)
        mailboxes = read_mailboxes(local, self._problem)
        emulated = read_emulation(other, self._problem)
        if top["host_name"] and not _HOST_NAME.fullmatch(top["host_name"]):
            self._problem("host_name", "it must be a host name of at most 64 letters, digits, dots and hyphens")
        for key in ("state_dir", "run_dir"):
            if top[key] and not os.path.isabs(top[key]):
                self._problem(key, "it must be an absolute path")
        log_file = top["log_file"]
        self._user(top["user"])
        ca_file = sending["relay_ca_file"] and os.path.join(base, sending["relay_ca_file"])
        certificates = tuple(os.path.join(base, name) for name in certificates)
        if files:
            from .smtp import tls  # noqa: F401 - here, with the rights of who checks; other commands start fast without it

            with rights_of(top["user"]):
                self._authorities(ca_file)
                for name in certificates:
                    self._certificate(name)
                self._file(base, top["initial_script"], "initial_script")
                self._file(base, inner["certificate"], "certificate", "admin")
                self._passwords(routes)
        settings = Bootstrap(
            path=os.path.abspath(self._path),
            digest=self._digest,
            lines=self._lines,
            host_name=top["host_name"],
            state_dir=top["state_dir"] and os.path.normpath(top["state_dir"]),
            run_dir=top["run_dir"] and os.path.normpath(top["run_dir"]),
            log_file=log_file if log_file == "-" else os.path.join(base, log_file),
            user=top["user"],
            initial_script=top["initial_script"] and os.path.join(base, top["initial_script"]),
            admin_host=host,
            admin_port=port,
            admin_certificate=inner["certificate"] and os.path.join(base, inner["certificate"]),
            admin_interval_connections=connections,
            metrics_address=metrics_address,
            dns_servers=servers,
            certificates=certificates,
            receiving=receiving,
            mailboxes=mailboxes,
            emulation=emulated,
            routes=routes,
            **{**sending, "relay_ca_file": ca_file},
        )
        if self._problems:
            raise BootstrapError("\n".join(self._problems), settings)
        return settings

    def _table(self, content: dict[str, t.Any], name: str) -> dict[str, t.Any]:
        table = content.pop(name, {})
        if not isinstance(table, dict):
            self._problem(name, f"it must be a table: [{name}]")
            return {}
        return table

    def _unknown(self, table: dict[str, t.Any], keys: t.Iterable[str], section: str) -> None:
        for key in table:
            if key not in keys:
                self._problem(key, f"unknown key; known are: {', '.join(keys)}", section)

    def _texts(
        self, table: dict[str, t.Any], keys: dict[str, tuple[bool, str]], section: str, others: t.Sequence[str] = ()
    ) -> dict[str, str]:
        """The texts of a table; ``others`` are its keys that are no texts."""
        self._unknown(table, (*keys, *others), section)
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

    def _metrics(self, table: dict[str, t.Any]) -> tuple[str, int] | None:
        """Where figures are served. Whoever can connect there can read them: so it is this host alone."""
        text = self._texts(table, _METRICS_KEYS, "metrics")["address"]
        if not text:
            return None
        host, port = self._address(text, "metrics")
        if not ipaddress.ip_address(host).is_loopback:
            self._problem("address", f"{text!r} is no loopback address: figures are served without a login", "metrics")
        return host, port

    def _address(self, text: str, section: str) -> tuple[str, int]:
        host, _colon, port = text.rpartition(":")
        try:
            ip = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
            if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
                raise ValueError(port)
        except ValueError:
            self._problem("address", f"{text!r} is not ip:port, an IPv6 address in brackets", section)
            return "127.0.0.1", 0
        return str(ip), int(port)

    def _count(self, table: dict[str, t.Any], key: str, default: int) -> int:
        """A whole number of [admin]; 0 is no limit."""
        value = table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._problem(key, "it must be a whole number, 0 for no limit", "admin")
        return default

    # --- sending ----------------------------------------------------------------------------------

    def _servers(self, table: dict[str, t.Any]) -> tuple[str, ...]:
        self._unknown(table, _DNS_KEYS, "dns")
        servers = table.get("servers", [])
        if not isinstance(servers, list) or not all(isinstance(server, str) for server in servers):
            self._problem("servers", 'it must be a list of addresses: ["192.0.2.53", "127.0.0.1:5353"]', "dns")
            return ()
        found = []
        for server in servers:
            try:
                found.append(server_text(server))
            except ValueError:
                self._problem("servers", f"{server!r} is not ip, ip:port or [ipv6]:port", "dns")
        return tuple(found)

    def _sending(self, table: dict[str, t.Any]) -> dict[str, t.Any]:
        """The keyword arguments of :class:`Bootstrap` for mail that goes out; ``relay_ca_file`` as in the file."""
        self._unknown(table, (*_RELAY_KEYS, *_RELAY_COUNTS, *_RELAY_SPANS), "relay")
        texts = self._texts({k: v for k, v in table.items() if k == "ca_file"}, {"ca_file": (False, "")}, "relay")
        retry = table.get("retry", list(RELAY_RETRY))
        if not isinstance(retry, list) or not retry or not all(_is_time(value) and value > 0 for value in retry):
            self._problem("retry", "it must be a list of seconds, each more than 0: [300, 900, 3600]", "relay")
            retry = []
        return {
            "relay_ca_file": texts["ca_file"],
            "relay_retry": tuple(float(value) for value in retry),
            "relay_lifetime": self._time(table, "lifetime", RELAY_LIFETIME),
            "relay_warn_after": self._time(table, "warn_after", RELAY_WARN_AFTER, zero="never"),
            "relay_command_timeout": self._time(table, "command_timeout", 0.0, zero="the limits of RFC 5321"),
            "relay_bounds": self._bounds(table),
        }

    def _bounds(self, table: dict[str, t.Any]) -> Bounds:
        """How many connections go out, and how long they and silent hosts are kept in mind."""
        found: dict[str, t.Any] = {}
        for key, name in _RELAY_COUNTS.items():
            value = table.get(key, getattr(Bounds, name))
            if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_CONNECTIONS:
                found[name] = value
            else:
                self._problem(key, f"it must be a whole number from 1 to {MAX_CONNECTIONS}", "relay")
        for key, name in _RELAY_SPANS.items():
            zero = "a connection for each message" if key == "keep" else ""
            found[name] = self._time(table, key, getattr(Bounds, name), zero=zero)
        return Bounds(**found)

    def _time(self, table: dict[str, t.Any], key: str, default: float, zero: str = "") -> float:
        """Seconds; ``zero`` is what 0 stands for, empty when it is not allowed."""
        value = table.get(key, default)
        if _is_time(value) and (value > 0 or (value == 0 and zero)):
            return float(value)
        least = f"0 ({zero}) or more" if zero else "more than 0"
        self._problem(key, f"it must be a number of seconds, {least}", "relay")
        return default

    def _authorities(self, path: str) -> None:
        if not path:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=path)
        except ssl.SSLError:
            self._problem("ca_file", f"{path} holds no certificates in PEM form", "relay")
        except OSError as error:
            self._problem("ca_file", f"{path}: {(error.strerror or str(error)).lower()}", "relay")

    def _passwords(self, routes: tuple[Route, ...]) -> None:
        for number, route in enumerate(routes, 1):
            try:
                route.password()
            except PasswordUnreadable as error:
                self._problem("password_file", str(error), f"route[{number}]")

    # --- certificates -----------------------------------------------------------------------------

    def _certificate_names(self, table: dict[str, t.Any]) -> tuple[str, ...]:
        self._unknown(table, _TLS_KEYS, "tls")
        found = table.get("certificates", [])
        if not isinstance(found, list) or not all(isinstance(name, str) and name for name in found):
            self._problem("certificates", 'it must be a list of files: ["/etc/ssl/mail.example.net.pem"]', "tls")
            return ()
        return tuple(found)

    def _certificate(self, path: str) -> None:
        from .smtp import tls

        try:
            tls.check_certificate(path)
        except ActivationError as error:
            self._problem("certificates", str(error), "tls")

    # --- the host ---------------------------------------------------------------------------------

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
        path = os.path.join(base, name)
        if name and not os.path.isfile(path):
            self._problem(key, f"there is no file {path}", section)
        elif name:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                self._problem(key, f"{path}: {(error.strerror or str(error)).lower()}", section)

    def _problem(self, key: str, reason: str, section: str = "") -> None:
        name = f"{section}.{key}" if section else key
        self._problems.append(f"{self._path}:{self._lines.of(key, section)}: {name}: {reason}")


@contextlib.contextmanager
def rights_of(user: str) -> t.Iterator[None]:
    """Read files as the server will: what root alone can read would be found out when the old server is gone."""
    try:
        entry = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
    except KeyError:
        entry = None
    if entry is None or entry.pw_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups(os.getgrouplist(user, entry.pw_gid))
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _is_time(value: object) -> bool:
    """A number of seconds; TOML has true, inf and nan too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
