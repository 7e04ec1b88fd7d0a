# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two receiving servers side by side: the bundled one as the program that it is, and a Postfix.

Both lie in one folder, so that their queues are on the same disk; both take mail for the same domain with the same
certificate, write their logs to files, and have what limits connections out of the way. The bundled server runs the
policy of the hardening article with all its rules. What sends is ``smtp-source`` of Postfix, for both.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from _lab import ROOT, article, machine

sys.path[:0] = [str(ROOT / "devtools"), str(ROOT / "tests" / "mta" / "admin")]

import environment  # noqa: E402
import postfix as real  # noqa: E402
from admin_harness import RawClient  # noqa: E402
from lab import Lab  # noqa: E402
from mta_process import PASSWORD, SCRIPT, Mta, call  # noqa: E402
from postern.bootstrap import QUEUE_FILE  # noqa: E402
from postern.directory import Directory  # noqa: E402
from postern.passwords import hash_password  # noqa: E402

#: Whose mail both servers take.
DOMAIN, USER = "bench.example", "u1"
SENDER = "a@client.example"
#: One message, octets.
MESSAGE = 10_240
_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds for one run of the generator; far off the normal.
_LIMIT = 300


def processor_seconds(pid: int) -> float:
    """Seconds of processor time of a process, of its children that it has waited for, and of those that live."""
    try:
        fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        # It has ended since it was listed: its parent's figures will hold its own.
        return 0.0
    taken = sum(int(fields[place]) for place in (11, 12, 13, 14)) / _TICKS
    return taken + sum(processor_seconds(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """Pids of the children of a process that live."""
    found: list[int] = []
    # A thread, or the process, may end meanwhile.
    with contextlib.suppress(OSError):
        tasks = list(Path("/proc/%d/task" % pid).iterdir())
        for task in tasks:
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def proportional(pid: int) -> float:
    """Kilobytes of memory of a process and its children: what they share is divided among all who share it (PSS)."""
    found = re.search(r"^Pss:\s+(\d+) kB$", Path("/proc/%d/smaps_rollup" % pid).read_text(), re.MULTILINE)
    return int(found.group(1)) + sum(proportional(child) for child in children(pid))


def resident(pid: int) -> float:
    """Kilobytes that a process has in memory."""
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", Path("/proc/%d/status" % pid).read_text(), re.MULTILINE).group(1))


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody uses at the moment."""
    with socket.create_server((address, 0)) as one:
        return one.getsockname()[1]


#: Connections to the one server that takes all mail, as Postfix gets.
_CONNECTIONS = 20
_AS_MANY = "[relay]\nhost_connections = %d\ndomain_connections = %d\n" % (_CONNECTIONS, _CONNECTIONS)


class Own:
    """The bundled server. ``hold``: nothing leaves its queue. ``relay``: (address, port) that takes all other mail.
    ``max_data_kb``: the largest message, when not the dialect's default. ``tables``: more of the bootstrap file, with
    routes for all mail to others."""

    name = "postern"

    def __init__(
        self, folder: Path, certificate: str, hold: bool = True, relay: tuple[str, int] | None = None, max_data_kb: int = 0,
        tables: str = "",
    ) -> None:
        self.address, self.port = "127.0.0.1", free_port()
        script = SCRIPT
        if relay or tables:
            # Anybody may send to everywhere: here nobody else is.
            script = script.replace(b'set (remoteDelivery, "auth")', b'set (remoteDelivery, "all")')
        if max_data_kb:
            script = script.replace(b"set (localDelivery,", b'set (maxDataSize, "%d");\n\tset (localDelivery,' % max_data_kb)
        self._mta = Mta(folder, hash_password(PASSWORD), script, tables or (_AS_MANY if relay else ""), environment.server_python())
        self.queue = self._mta.state / QUEUE_FILE
        self.log_file = self._mta.log
        directory = Directory(str(self._mta.state / "directory.sqlite3"))
        directory.create_domain(DOMAIN, PASSWORD)
        directory.put_account(DOMAIN, USER, PASSWORD)
        directory.close()
        self.start()
        policy = article(certificate, self.address, (self.port,))
        for listener in policy["listeners"]:
            listener.update(max_connections=2048, peer_max_connections=2048)
            listener.update(max_interval_connections=0, peer_max_interval_connections=0)
        if relay:
            policy["relay"] = {"host": relay[0], "port": relay[1], "level": "may"}
        if relay or tables:
            policy.pop("relay_tls")
        written = call("smtp_policy", dict(policy, admin_port=self._mta.port, admin_password=PASSWORD, backup=False), False)
        if written.get("failed"):
            raise SystemExit(written["msg"])
        if hold:
            self._admin("CONFIG SERVER", "CONFIG PROCESSING", "STOP Service", "COMMIT", "COMMIT", "SAVE CONFIG")

    def _admin(self, *lines: str) -> None:
        client = RawClient(("127.0.0.1", self._mta.port)).login(PASSWORD)
        client.ok(*lines)
        client.close()

    def start(self) -> float:
        """Start it; returns the seconds until it answered."""
        begun = time.perf_counter()
        self._mta.start()
        return time.perf_counter() - begun

    @property
    def pid(self) -> int:
        """Of the serving process."""
        return json.loads((self._mta.state / "status.json").read_text())["pid"]

    def queued(self) -> int:
        """Messages in the queue."""
        with contextlib.closing(sqlite3.connect(self.queue, timeout=60)) as queue:
            return queue.execute("SELECT count(*) FROM message").fetchone()[0]

    def mailbox(self) -> Path:
        """Where delivered mail is."""
        return self._mta.state / "domains" / DOMAIN / USER / "Maildir" / "new"

    def empty(self) -> None:
        """Take all messages off the queue."""
        with contextlib.closing(sqlite3.connect(self.queue, timeout=60, isolation_level=None)) as queue:
            tables = [name for (name,) in queue.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            queue.execute("BEGIN IMMEDIATE")
            for table in tables:
                if not table.startswith("sqlite_"):
                    queue.execute("DELETE FROM %s" % table)
            queue.execute("COMMIT")

    def close(self) -> None:
        """End it."""
        self._mta.stop()


class Theirs:
    """Postfix. ``hold`` and ``relay`` as for :class:`Own`. Raises ``real.Unavailable``."""

    name = "Postfix"

    def __init__(self, folder: Path, certificate: str, hold: bool = True, relay: tuple[str, int] | None = None) -> None:
        self._folder = folder
        settings = {
            # As many processes as connections, and nobody is slowed down.
            "default_process_limit": "2000",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_client_connection_rate_limit": "0",
            "smtpd_client_message_rate_limit": "0",
            "smtpd_client_recipient_rate_limit": "0",
            "smtpd_client_new_tls_session_rate_limit": "0",
            "in_flow_delay": "0",
            "smtpd_peername_lookup": "no",
            "qmgr_message_active_limit": "20000",
        }
        if hold:
            settings["smtpd_sender_restrictions"] = "check_sender_access static:HOLD"
        if relay:
            settings["relayhost"] = "[%s]:%d" % relay
            settings["mynetworks"] = "127.0.0.0/8"
            settings["smtpd_relay_restrictions"] = "permit_mynetworks, reject"
            settings["smtp_tls_security_level"] = "none"
            settings["disable_dns_lookups"] = "yes"
            settings["smtp_destination_concurrency_limit"] = str(_CONNECTIONS)
        self.address, self.port = "127.0.0.1", free_port()
        folder.chmod(0o755)
        self._postfix = real.Postfix(folder, self.address, self.port, certificate, [DOMAIN], **settings)

    @property
    def pid(self) -> int:
        """Of the master process."""
        return self._postfix.pid

    def queued(self) -> int:
        """Messages in the queue."""
        return sum(len(names) for name in ("hold", "incoming", "active", "deferred")
                   for _folder, _folders, names in os.walk(self._folder / "queue" / name))

    def mailbox(self) -> Path:
        """Where delivered mail is."""
        return self._folder / "mail" / "inbox" / "new"

    def empty(self) -> None:
        """Take all held messages off the queue."""
        with os.scandir(self._folder / "queue" / "hold") as names:
            for entry in names:
                os.unlink(entry.path)

    def close(self) -> None:
        """End it."""
        self._postfix.close()


Server = t.Union[Own, Theirs]


class Pair:
    """Both servers, Postfix only where there can be one (``missing`` says why not), and the generator."""

    def __init__(
        self, hold: bool = True, relay: tuple[str, int] | None = None, own_only: bool = False, max_data_kb: int = 0
    ) -> None:
        self.missing = ""
        # Beside the bundled server's usual place, /var/tmp: /tmp is in memory on many machines, where nothing is synced.
        self.folder = Path(tempfile.mkdtemp(prefix="securemail-bench-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.servers: list[Server] = []
        try:
            (self.folder / "pki").mkdir()
            self.certificate = Lab(self.folder / "pki").ecdsa
            for kind in (Own,) if own_only else (Own, Theirs):
                (self.folder / kind.name).mkdir()
            self.servers.append(Own(self.folder / Own.name, self.certificate, hold, relay, max_data_kb))
            if not own_only:
                self.servers += self._theirs(hold, relay)
            self._source = real.unpacked() / "usr" / "sbin" / "smtp-source" if len(self.servers) > 1 else None
        except BaseException:
            self.close()
            raise

    def _theirs(self, hold: bool, relay: tuple[str, int] | None) -> list[Theirs]:
        try:
            return [Theirs(self.folder / Theirs.name, self.certificate, hold, relay)]
        except real.Unavailable as reason:
            self.missing = str(reason)
            return []

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End both; nothing is left."""
        for server in self.servers:
            server.close()
        shutil.rmtree(self.folder)

    def send(self, server: Server, sessions: int, messages: int, recipient: str = "%s@%s" % (USER, DOMAIN)) -> float:
        """Messages a second: so many sessions, each sending one message after the other."""
        command = [
            str(self._source), "-d", "-s", str(sessions), "-m", str(messages), "-l", str(MESSAGE), "-f", SENDER,
            "-t", recipient, "-M", "client.example", "inet:%s:%d" % (server.address, server.port),
        ]
        environment = real.program_environment(self._source.parents[2])
        begun = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=_LIMIT)
        taken = time.perf_counter() - begun
        if done.returncode:
            raise SystemExit("smtp-source to %s: %s" % (server.name, done.stdout + done.stderr))
        return messages / taken


def title() -> str:
    """The machine, with the disk that the queues are on."""
    for line in Path("/proc/mounts").read_text().splitlines()[::-1]:
        device, place, kind = line.split()[:3]
        if os.path.ismount(place) and os.path.commonpath(("/var/tmp", place)) == place and place != "/":
            break
        if place == "/":
            break
    version = subprocess.run([environment.server_python(), "-V"], capture_output=True, text=True, check=True).stdout
    return "%s; the server on %s; queues on %s (%s)" % (machine(), version.strip(), device, kind)
