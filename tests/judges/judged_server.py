# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bundled server as a host has it, for judges to look at: its program, its bootstrap file, hardened by the role.

The program runs in a process of its own. Its three listeners stand for the ports 25, 587 and 465.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.securemail.smtp.tests.converge.mta_process import PASSWORD, POSTERN, Mta, Result, call, play
from ansible_collections.securemail.smtp.tests.mta.smtp.wire_peer import Peer
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.credentials import Authority

from grid import HOST, free_port

ROOT = POSTERN.parents[2]
SERVER_NAME = "mail.example.test"
DOMAIN = "example.test"
USERS = ("anna", "ben", "carol")
#: One word, and nothing that another file could hold by chance.
USER_PASSWORD = "Zq7-anna-8Kd-own"
#: Nobody may send to this one in clear, and nobody from that one.
FORCED_DOMAIN, FORCED_SENDER = "forced.test", "sender-forced.test"
EXPLANATION = "Accepting only secure delivery (STARTTLS) for forced.test"
SENDER_EXPLANATION = "Only over TLS from sender-forced.test"
#: Mail from this one comes from a host that shows a certificate.
VERIFIED_SENDER = "sender-verified.test"
#: A name that has a certificate of its own.
SECOND_NAME = "mail.second.test"
#: Connections that judges make: more than one client of a mail server would.
_LIMITS = {"peer_max_connections": 300, "max_connections": 1000, "peer_max_interval_connections": 0, "max_interval_connections": 0}


@dataclass(frozen=True)
class Place:
    """One listener of the server: where it is, and whether it begins with TLS."""

    port: int
    implicit: bool = False

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.port}"

    def connect(self) -> Peer:
        """A client that sends exactly what it is told; over TLS on a listener that begins with it."""
        peer = Peer(HOST, self.port)
        if self.implicit:
            peer.secure(name=SERVER_NAME)
        return peer

    @property
    def swaks(self) -> tuple[str, ...]:
        """The options of swaks that name this place."""
        return ("--server", HOST, "--port", str(self.port), *(("--tls-on-connect",) if self.implicit else ()))


class JudgedServer:
    """A running server with ``relay``, ``submission`` and ``submissions``. ``bootstrap``: further tables of its file.

    It has a second certificate, for the name ``SECOND_NAME``. Not hardened until :meth:`harden` has run the role.
    """

    def __init__(self, folder: Path, authority: Authority, bootstrap: str = "") -> None:
        sys.path.insert(0, str(POSTERN))
        from postern.passwords import hash_password

        self.folder = folder
        self.authority = authority
        self.certificate = authority.server_pem("ec", SERVER_NAME)
        script = (POSTERN / "initial" / "unhardened.script").read_bytes()
        second = f'[tls]\ncertificates = ["{authority.server_pem("ec", SECOND_NAME)}"]\n'
        self._mta = Mta(folder, hash_password(PASSWORD), script, second + bootstrap)
        self.relay, self.submission = Place(free_port()), Place(free_port())
        self.submissions = Place(free_port(), implicit=True)
        self.start()

    def __enter__(self) -> JudgedServer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the program and wait until it answers."""
        self._mta.start()

    def stop(self, *number: int) -> None:
        """End it, with a signal that is named or with the usual one."""
        self._mta.stop(*number)

    @property
    def pid(self) -> int:
        """Of the process that serves."""
        return self._mta._process.pid

    @property
    def admin_port(self) -> int:
        """The port of the admin interface, whose administrator's password is ``PASSWORD``."""
        return self._mta.port

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._mta.log.read_text(encoding="utf-8")

    @property
    def state(self) -> Path:
        """The folder of its queue, its accounts and its mail."""
        return self._mta.state

    def module(self, module: str, /, **parameters: t.Any) -> Result:
        """Run one of the collection's modules against it. Raises AssertionError with the module's words."""
        result = call(module, {"admin_port": self.admin_port, "admin_password": PASSWORD, **parameters}, False)
        assert not result.get("failed"), result
        return result

    def accounts(self) -> None:
        """Make the accounts of the tests, and the domain that mail comes to over TLS only."""
        for domain, users in ((DOMAIN, USERS), (FORCED_DOMAIN, USERS[:1])):
            for user in users:
                self.module("smtp_account", domain=domain, postmaster_password="Pm-1-" + USER_PASSWORD, account=user,
                            password=USER_PASSWORD)

    def harden(self, **variables: t.Any) -> None:
        """Have the role do it; ``variables`` are further ones of it."""
        listeners = [
            {"address": place.address, "tls": "implicit" if place.implicit else "starttls", **_LIMITS}
            for place in (self.relay, self.submission, self.submissions)
        ]
        listeners[0].update(ca_file=self.authority.ca_file, request_client_certificate=True)
        values = {
            "target": "all",
            "secure_smtp_admin_password": PASSWORD,
            "secure_smtp_certificate": self.certificate,
            "secure_smtp_listeners": listeners,
            "secure_smtp_relay_ports": [self.relay.port],
            "secure_smtp_submission": "strict",
            "secure_smtp_forced_tls_domains": [{"domain": FORCED_DOMAIN, "reject_message": EXPLANATION}],
            **variables,
        }
        path = self.folder / "variables.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        play(ROOT / "playbooks" / "secure_smtp.yml", self.admin_port, "-e", f"@{path}")
        self._demand_more()

    def _demand_more(self) -> None:
        # Rules that an administrator adds, for a sender (RFC 3207 section 4 and 4.1).
        in_clear = {"variable": "isSSLConnection", "value": "no"}
        self._rule("only_tls_from_sender", SENDER_EXPLANATION, in_clear, {"variable": "mailFromDomain", "value": FORCED_SENDER})
        self._rule(
            "certificate_of_sender", "554 5.7.0 Show a certificate", {"variable": "mailFromDomain", "value": VERIFIED_SENDER},
            {"variable": "sslClientVerified", "value": "no"},
        )

    def _rule(self, name: str, explanation: str, *conditions: dict[str, t.Any]) -> None:
        self.module(
            "smtp_rule", name=name, event="mail", conditions=list(conditions),
            actions=[{"set": "smtpAction", "value": "reject"}, {"set": "smtpExplanation", "value": explanation}],
        )

    def queued(self) -> list[dict[str, t.Any]]:
        """The messages that wait, as the program lists them."""
        listed = self.program("queue", "--json")
        return [json.loads(line) for line in listed.splitlines()]

    def mailbox(self, user: str = USERS[0], domain: str = DOMAIN) -> list[Path]:
        """The new messages of an account, as files."""
        folder = self.state / "domains" / domain / user / "Maildir" / "new"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def delivered(self, user: str, before: t.Container[Path], number: int, timeout: float = 60.0) -> list[Path]:
        """The new messages of an account that were not there before, once there are so many. Raises TimeoutError."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = [path for path in self.mailbox(user) if path not in before]
            if len(found) >= number:
                return found
            # A mailbox is a folder: there is nobody who could say that something came.
            time.sleep(0.02)
        raise TimeoutError(f"{user} has {len(found)} of {number} messages")

    def program(self, command: str, *options: str) -> str:
        """Run another command of the program; returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "postern", command, "--config", str(self._mta.config), *options],
            env={**os.environ, "PYTHONPATH": str(POSTERN)}, capture_output=True, text=True, timeout=60, check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
