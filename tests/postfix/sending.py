# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Postfix that sends, the servers that it sends to, and the name server that it asks, all on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.credentials import Authority
from postfix_host import PostfixHost
from zone import Zone

#: The addresses of servers: each has one, and all have one port.
NETWORK = "127.25.%d.%d"

_START = 'mount --bind "$1" /etc/resolv.conf && exec "$2" -c "$3" start'


class Resolving(PostfixHost):
    """An instance whose processes have a resolv.conf of their own (a mount namespace)."""

    resolver = ""

    def start(self) -> None:
        """Start it so, and wait until it runs. Raises RuntimeError with its log."""
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _START, "sh", self.resolver,
             str(self.command_directory / "postfix"), str(self.config_directory)],
            env={**os.environ, **self.environment()}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=60, check=False,
        )
        if done.returncode:
            raise RuntimeError(f"Postfix does not start:\n{self.log}")


class Sending:
    """The world of a test. A context manager.

    ``put`` makes a server that takes mail for domains, ``send`` hands a message to Postfix and says what became of it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="securemail-sending-"))
        self.folder.chmod(0o755)
        self._stack = contextlib.ExitStack()
        self._number = 0
        self.authority = Authority(self.folder)
        self.port = _free_port()
        self._net, zone = _name_server()
        self.zone = self._stack.enter_context(zone)
        (self.folder / "resolv.conf").write_text(f"nameserver {NETWORK % (self._net, 253)}\noptions trust-ad timeout:2 attempts:1\n")
        self.submission = _free_port()
        self.host: Resolving | None = None

    def __enter__(self) -> "Sending":
        return self

    def __exit__(self, *unused: object) -> None:
        if self.host is not None:
            self.host.stop()
        self._stack.close()
        shutil.rmtree(self.folder)

    def put(self, name: str, *domains: str, certificate: str | None = None, **behaviour: t.Any) -> Sink:
        """A server of this name, which takes the mail of these domains; its certificate is for ``certificate`` or its name."""
        self._number += 1
        address = NETWORK % (self._net, self._number)
        pem = self.authority.server_pem("ec", certificate or name)
        behaviour.setdefault("keywords", ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"))
        sink = self._stack.enter_context(Sink(address, self.port, name=name, certificate=pem, **behaviour))
        self.zone.put(name, {"A": [address]})
        for domain in domains:
            self.zone.put(domain, {"MX": [f"10 {name}."]})
        return sink

    def run(self, main: str = "", services: str = "", files: t.Mapping[str, str] | None = None, **options: t.Any) -> Resolving:
        """Make the instance and start it. ``files`` lie in its configuration directory."""
        lines = f"127.0.0.1:{self.submission} inet n - n - - smtpd\n  -o mynetworks=127.0.0.0/8\n"
        lines += f"  -o smtpd_tls_security_level=none\n{services}"
        own = f"smtp_tcp_port = {self.port}\nsmtp_tls_CAfile = {self.authority.ca_file}\nsmtp_tls_loglevel = 1\n"
        host = self.host = Resolving(self.folder / "host", lines, own + main, **options)
        for name, text in (files or {}).items():
            (host.config_directory / name).write_text(text)
        host.resolver = str(self.folder / "resolv.conf")
        host.start()
        return host

    def send(self, recipient: str, *options: str) -> str:
        """What Postfix logs about the delivery to a recipient, from ``relay=`` on. The message stays in no queue."""
        host = self.host
        assert host is not None
        seen = len(self._deliveries(recipient))
        with smtplib.SMTP("127.0.0.1", self.submission) as client:
            client.ehlo()
            client.sendmail("a@example.test", [recipient], "Subject: x\n\nx\n", mail_options=options)
        end = time.monotonic() + 30
        while len(self._deliveries(recipient)) == seen:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing became of the message to {recipient}:\n{host.log}")
            # The log is a file: nobody says that something was written.
            time.sleep(0.02)
        host.run("postsuper", "-c", str(host.config_directory), "-d", "ALL")
        return self._deliveries(recipient)[seen]

    def _deliveries(self, recipient: str) -> list[str]:
        assert self.host is not None
        return re.findall(rf"to=<{re.escape(recipient)}>, (relay=.*)", self.host.log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _name_server() -> tuple[int, Zone]:
    """A network of loopback in which nobody else answers for names, and who does now."""
    for number in range(40, 250):
        with contextlib.suppress(OSError):
            return number, Zone({}, NETWORK % (number, 253), 53)
    raise RuntimeError("every network is taken")
