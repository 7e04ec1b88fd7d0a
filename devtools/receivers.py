# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail servers that others have written, as the receiving end: Exim, OpenSMTPD and Postfix's smtp-sink.

Postfix itself is in :mod:`postfix`. All are unpacked and never installed; each instance has its own configuration, folder and
loopback address, and neither needs nor touches a mail system of the machine.
"""

from __future__ import annotations

import email
import email.message
import os
import pwd
import smtplib
import subprocess
import time
import typing as t
from pathlib import Path

import apart
import debian
import postfix

#: Who writes the mailboxes: a user of every Debian.
_WRITER = "nobody"
_START_SECONDS = 30.0
_POLL = 0.02


class Receiver:
    """A running server that takes mail at ``address``:``port`` and puts it into files of ``inbox``. A context manager.

    Raises RuntimeError with its log when it does not start.
    """

    def __init__(self, folder: Path, address: str, port: int) -> None:
        self.address, self.port = address, port
        self.inbox = folder / "mail"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def files(self) -> list[Path]:
        """The messages that came, each a file."""
        return [path for path in self.inbox.rglob("*") if path.is_file() and path.parent.name not in ("tmp", "cur")]

    def wait_message(self, subject: str, timeout: float = 20.0) -> email.message.Message:
        """The message with this subject. Raises TimeoutError with the log."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for path in self.files:
                message = email.message_from_bytes(path.read_bytes())
                if message["Subject"] == subject:
                    return message
            # A mailbox is a folder: there is nobody who could say that something came.
            time.sleep(_POLL)
        raise TimeoutError(f"{type(self).__name__} has no message {subject!r}:\n{self.log}")

    def close(self) -> None:
        """End it, with all of its processes."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            # Its session is its own, nobody else is in it.
            os.killpg(self._process.pid, 9)
            self._process.wait(10)
        self._process = None

    def _start(self, command: t.Sequence[str], variables: t.Mapping[str, str]) -> None:
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                command, env=dict(variables), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        end = time.monotonic() + _START_SECONDS
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > end:
                self.close()
                raise RuntimeError(f"{type(self).__name__} does not greet at {self.address}:{self.port}:\n{self.log}")
            time.sleep(_POLL)

    def _greets(self) -> bool:
        try:
            smtplib.SMTP(self.address, self.port, timeout=5).quit()
        except (OSError, smtplib.SMTPException):
            return False
        return True


def _path_variables() -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class Exim(Receiver):
    """Exim with STARTTLS and SMTPUTF8. ``domains`` is its list of the domains that it takes
    mail for (names with colons between them), ``refused`` a local part that it does not take.

    ``folder`` must be one that every user can enter. Raises :class:`debian.Unavailable` too.
    """

    def __init__(self, folder: Path, address: str, port: int, certificate: str, domains: str, refused: str) -> None:
        super().__init__(folder, address, port)
        view = exim_view(folder, f"""\
local_interfaces = {address}
daemon_smtp_ports = {port}
tls_certificate = {_certificate_copy(folder, certificate)}
tls_advertise_hosts = *
smtputf8_advertise_hosts = *
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny message = no such user here
       local_parts = {refused}
  accept domains = {domains}
  deny
begin routers
inbox:
  driver = accept
  transport = inbox
begin transports
inbox:
  driver = appendfile
  directory = {self.inbox}
  maildir_format
  user = {_WRITER}
""")
        _own(self.inbox)
        self._start(view.command("exim4", "-bdf"), _path_variables())

    @property
    def log(self) -> str:
        """All that it has printed and logged."""
        return super().log + "".join(path.read_text(errors="replace") for path in self._log.parent.glob("spool/*log"))


def exim_view(folder: Path, configuration: str, hosts: t.Sequence[str] = ()) -> apart.View:
    """A view of the machine with Exim and this configuration; ``hosts`` are names of this machine in it. Raises :class:`debian.Unavailable`."""
    etc = folder / "etc"
    (etc / "exim4").mkdir(parents=True)
    (folder / "spool").mkdir()
    # In the view it is one of Exim's own; outside nobody has this number.
    os.chown(folder / "spool", apart.FIRST_USER, apart.FIRST_USER)
    text = f"""\
primary_hostname = exim.invalid
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
"""
    (etc / "exim4" / "exim4.conf").write_text(text + configuration, encoding="utf-8")
    return apart.View(debian.unpacked("exim4-daemon-light"), etc, ["Debian-exim"], hosts)


class OpenSmtpd(Receiver):
    """OpenSMTPD, in clear and without SMTPUTF8. ``refused`` is a local part that it does not take.

    Debian 12's broke off every handshake that was tried, with RSA and with ECDSA ("EVP lib" in its log).
    """

    def __init__(self, folder: Path, address: str, port: int, domain: str, refused: str) -> None:
        super().__init__(folder, address, port)
        etc = folder / "etc"
        etc.mkdir()
        (etc / "smtpd.conf").write_text(f"""\
listen on {address} port {port} hostname opensmtpd.invalid
action inbox maildir "{self.inbox}" virtual {{ "@" = "{_WRITER}" }}
match from any for domain "{domain}" rcpt-to "{refused}@{domain}" reject
match from any for domain "{domain}" action inbox
""", encoding="utf-8")
        view = apart.View(debian.unpacked("opensmtpd"), etc, ["opensmtpd", "opensmtpq"])
        _own(self.inbox)
        # Its daemons live in an empty folder, and want their queue's with these rights.
        script = ("mount -t tmpfs -o mode=755 tmpfs /var/lib && mkdir -p /var/lib/opensmtpd/empty && "
                  "mkdir -m 711 /var/spool/smtpd && exec smtpd -d")
        self._start(view.command("sh", "-c", script), _path_variables())


class SmtpSink(Receiver):
    """Postfix's smtp-sink, which knows neither TLS nor mailboxes and takes everything. ``options`` are its own.

    As it comes it offers PIPELINING, 8BITMIME and SMTPUTF8.
    """

    def __init__(self, folder: Path, address: str, port: int, *options: str) -> None:
        super().__init__(folder, address, port)
        root = debian.unpacked("postfix")
        self.inbox.mkdir()
        command = [str(root / "usr" / "sbin" / "smtp-sink"), "-d", f"{self.inbox}/%M.", *options, f"{address}:{port}", "20"]
        # It refuses to be root.
        _own(self.inbox)
        if os.geteuid() == 0:
            command[1:1] = ["-u", _WRITER]
        self._start(command, postfix.program_environment(root))


def _certificate_copy(folder: Path, certificate: str) -> Path:
    """A copy of a PEM file that Exim's user alone can read."""
    path = folder / "certificate.pem"
    path.touch(mode=0o600)
    path.write_bytes(Path(certificate).read_bytes())
    os.chown(path, apart.FIRST_USER, apart.FIRST_USER)
    return path


def _own(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        user = pwd.getpwnam(_WRITER)
        os.chown(folder, user.pw_uid, user.pw_gid)
