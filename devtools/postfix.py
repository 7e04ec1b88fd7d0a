# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Postfix as the receiving end, unpacked and never installed.

Its programs come from the distribution's packages and lie in the cache folder. The instance has its own configuration,
queue and loopback address, so that it neither needs nor touches a mail system of the machine. Its master process
must be root, which then gives its daemons the rights of other users.
"""

from __future__ import annotations

import email
import email.message
import os
import pwd
import re
import signal
import smtplib
import subprocess
import time
import typing as t
from pathlib import Path

import debian
import environment as env
from debian import Unavailable

#: Users and group of every Debian that Postfix can be given in place of its own, which an installation would make:
#: the owner of the queue, the one who writes mailboxes, the group that may submit. Postfix wants three different ones.
MAIL_OWNER, DELIVERY_USER, SUBMIT_GROUP = "daemon", "nobody", "mail"

_QUEUE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "private",
          "public", "saved", "trace")
#: Name, type, private, unprivileged, wake-up, process limit, program; none is chrooted.
_SERVICES = (
    ("cleanup", "unix", "n", "-", "-", "0", "cleanup"),
    ("qmgr", "unix", "n", "n", "300", "1", "qmgr"),
    ("tlsmgr", "unix", "-", "-", "1000?", "1", "tlsmgr"),
    ("rewrite", "unix", "-", "-", "-", "-", "trivial-rewrite"),
    ("bounce", "unix", "-", "-", "-", "0", "bounce"),
    ("defer", "unix", "-", "-", "-", "0", "bounce"),
    ("trace", "unix", "-", "-", "-", "0", "bounce"),
    ("proxymap", "unix", "-", "n", "-", "-", "proxymap"),
    ("error", "unix", "-", "-", "-", "-", "error"),
    ("retry", "unix", "-", "-", "-", "-", "error"),
    ("virtual", "unix", "-", "n", "-", "-", "virtual"),
    ("smtp", "unix", "-", "-", "-", "-", "smtp"),
    ("anvil", "unix", "-", "-", "-", "1", "anvil"),
    ("postlog", "unix-dgram", "n", "n", "-", "1", "postlogd"),
)
_START_SECONDS = 30.0
_POLL = 0.02
_TLS = re.compile(r"\(using (\S+) with cipher (\S+)")


def unpacked() -> Path:
    """The folder with Postfix's programs (``usr/sbin`` …), filled on first use. Raises :class:`Unavailable`."""
    if not env.is_root():
        raise Unavailable("Postfix's master process must be root")
    return debian.unpacked("postfix")


def program_environment(root: Path) -> dict[str, str]:
    """For programs of unpacked packages that need no instance, ``smtp-source`` and ``smtp-sink``: they find its libraries."""
    return debian.environment(root, root / "usr" / "lib" / "postfix")


class Postfix:
    """A running instance that takes mail for ``domains`` at ``address``:``port``. A context manager.

    ``folder`` must be one that every user can enter; everything of the instance lies there. ``certificate`` is a PEM
    file with key and chain. ``protocols`` is Postfix's list of TLS versions (``smtpd_tls_protocols`` and
    ``smtpd_tls_mandatory_protocols``). ``settings`` are further lines of ``main.cf``.
    Raises :class:`Unavailable` where there can be none, RuntimeError with its log when it does not start.
    """

    def __init__(
        self, folder: Path, address: str, port: int, certificate: str, domains: t.Sequence[str],
        protocols: str = ">=TLSv1.2", **settings: str,
    ) -> None:
        self._root = unpacked()
        self._folder = folder
        self.address, self.port = address, port
        self.log_file = folder / "maillog"
        self._inbox = folder / "mail" / "inbox" / "new"
        self._implicit = settings.get("smtpd_tls_wrappermode") == "yes"
        self._configure(certificate, domains, protocols, settings)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Postfix":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the master process, whose children are all the others."""
        return self._process.pid if self._process is not None else 0

    @property
    def log(self) -> str:
        """All that Postfix has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def messages(self) -> list[email.message.Message]:
        """The messages that were delivered, the oldest first."""
        if not self._inbox.is_dir():
            return []
        paths = sorted(self._inbox.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [email.message_from_bytes(path.read_bytes()) for path in paths]

    def wait_message(self, subject: str, timeout: float = 20.0) -> email.message.Message:
        """The delivered message with this subject. Raises TimeoutError with the log."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for message in self.messages:
                if message["Subject"] == subject:
                    return message
            # A mailbox is a folder: there is nobody who could say that something came.
            time.sleep(_POLL)
        raise TimeoutError(f"Postfix delivered no message {subject!r}:\n{self.log}")

    def wait_log(self, words: str, timeout: float = 20.0) -> None:
        """Wait until these words are in the log. Raises TimeoutError with it."""
        wait_for_words(lambda: self.log, words, timeout)

    def environment(self) -> dict[str, str]:
        """For programs of this Postfix: they find its libraries and the instance's configuration."""
        return {
            **program_environment(self._root),
            "MAIL_CONFIG": str(self._folder / "conf"),
            "LC_ALL": "C",
        }

    def run(self, program: str, *arguments: str, timeout: float = 30.0) -> str:
        """Run a program of Postfix to its end; returns all that it printed."""
        done = subprocess.run(
            [str(self._root / "usr" / "sbin" / program), *arguments], env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, check=False,
        )
        return done.stdout

    def close(self) -> None:
        """End the instance: the master takes its daemons along."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            # Its session is its own, nobody else is in it.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._process = None

    # --- inside ---------------------------------------------------------------------------------

    def _configure(
        self, certificate: str, domains: t.Sequence[str], protocols: str, settings: t.Mapping[str, str]
    ) -> None:
        folder, root = self._folder, self._root
        owner, writer = pwd.getpwnam(MAIL_OWNER), pwd.getpwnam(DELIVERY_USER)
        for name, user in (("conf", None), ("data", owner), ("queue", None), ("queue/pid", None), ("mail", writer)):
            (folder / name).mkdir(mode=0o755)
            if user is not None:
                os.chown(folder / name, user.pw_uid, user.pw_gid)
        for name in _QUEUE:
            (folder / "queue" / name).mkdir(mode=0o755 if name in ("public", "private") else 0o700)
            os.chown(folder / "queue" / name, owner.pw_uid, 0)
        values = {
            "compatibility_level": "3.6",
            "queue_directory": f"{folder}/queue",
            "data_directory": f"{folder}/data",
            "daemon_directory": f"{root}/usr/lib/postfix/sbin",
            "command_directory": f"{root}/usr/sbin",
            "shlib_directory": f"{root}/usr/lib/postfix",
            "meta_directory": f"{folder}/conf",
            "mail_owner": MAIL_OWNER,
            "default_privs": DELIVERY_USER,
            "setgid_group": SUBMIT_GROUP,
            # A daemon's environment is this and nothing else.
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C",
            "maillog_file": str(self.log_file),
            "maillog_file_prefixes": str(folder),
            "myhostname": "postfix.invalid",
            # Other loopback addresses are none of an interface; the listener names its own.
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "smtpd_peername_lookup": "no",
            "mydestination": "",
            "mynetworks": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "smtpd_relay_restrictions": "reject_unauth_destination",
            "virtual_mailbox_domains": " ".join(domains),
            "virtual_mailbox_maps": "static:inbox/",
            "virtual_mailbox_base": f"{folder}/mail",
            "virtual_uid_maps": f"static:{writer.pw_uid}",
            "virtual_gid_maps": f"static:{writer.pw_gid}",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_chain_files": certificate,
            "smtpd_tls_protocols": protocols,
            "smtpd_tls_mandatory_protocols": protocols,
            "smtpd_tls_received_header": "yes",
            "smtpd_tls_loglevel": "1",
            **settings,
        }
        (folder / "conf" / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
        services = ((f"{self.address}:{self.port}", "inet", "n", "-", "-", "-", "smtpd"), *_SERVICES)
        lines = (
            f"{name} {kind} {private} {unprivileged} n {wake} {limit} {program}\n"
            for name, kind, private, unprivileged, wake, limit, program in services
        )
        (folder / "conf" / "master.cf").write_text("".join(lines))

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [str(self._root / "usr" / "lib" / "postfix" / "sbin" / "master"), "-s", "-c", str(self._folder / "conf")],
            env=self.environment(), cwd=self._folder / "queue", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )
        end = time.monotonic() + _START_SECONDS
        while not self._greets():
            if self._process.poll() is not None:
                words = self._process.communicate()[1].decode(errors="replace")
                self._process = None
                raise RuntimeError(f"Postfix ended at once: {words}\n{self.log}")
            if time.monotonic() > end:
                raise RuntimeError(f"Postfix does not greet at {self.address}:{self.port}:\n{self.log}")
            time.sleep(_POLL)

    def _greets(self) -> bool:
        try:
            # Whoever it is: its certificate is none of this question.
            client = smtplib.SMTP_SSL if self._implicit else smtplib.SMTP
            client(self.address, self.port, timeout=5).quit()
        except (OSError, smtplib.SMTPException):
            return False
        return True


def wait_for_words(log: t.Callable[[], str], words: str, timeout: float) -> None:
    """Wait until these words are in a log, which is read anew each time. Raises TimeoutError with it."""
    end = time.monotonic() + timeout
    while words not in (found := log()):
        if time.monotonic() > end:
            raise TimeoutError(f"Postfix does not log {words!r}:\n{found}")
        # It writes a file: there is nobody who could say that something came.
        time.sleep(_POLL)


def tls_of(message: email.message.Message) -> tuple[str, str] | None:
    """TLS version and cipher that Postfix noted in its Received header; None for a message that came in clear."""
    found = _TLS.search(" ".join(str(message.get("Received", "")).split()))
    return (found.group(1), found.group(2)) if found else None
