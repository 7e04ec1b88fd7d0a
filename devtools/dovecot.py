# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Dovecot that takes mail by LMTP at a socket, unpacked and never installed.

It has its own configuration and folder, and neither needs nor touches a mail system of the machine. It needs root, because
it gives its processes the rights of other users.
"""

from __future__ import annotations

import os
import pwd
import smtplib
import subprocess
import time
import typing as t
from pathlib import Path

import apart
import debian

#: Whose the mailboxes are: a user of every Debian.
_WRITER = "nobody"
_START_SECONDS = 30.0
_POLL = 0.02


class Dovecot:
    """A running instance with the mailboxes ``users`` (addresses), ``folder``/lmtp is its socket. A context manager.

    ``folder`` must be one that every user can enter. ``settings`` are further lines of its configuration.
    Raises :class:`debian.Unavailable` where there can be none, RuntimeError with its log when it does not start.
    """

    def __init__(self, folder: Path, users: t.Sequence[str], settings: str = "") -> None:
        self.folder = folder
        self.socket = folder / "lmtp"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        writer = pwd.getpwnam(_WRITER)
        etc = folder / "etc"
        (etc / "dovecot").mkdir(parents=True)
        (folder / "mail").mkdir()
        os.chown(folder / "mail", writer.pw_uid, writer.pw_gid)
        lines = (f"{user}::{writer.pw_uid}:{writer.pw_gid}::{folder}/mail/{user}\n" for user in users)
        (etc / "dovecot" / "users").write_text("".join(lines), encoding="ascii")
        (etc / "dovecot" / "dovecot.conf").write_text(f"""\
protocols = lmtp
base_dir = {folder}/run
log_path = {self._log}
ssl = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
userdb {{
  driver = passwd-file
  args = /etc/dovecot/users
}}
passdb {{
  driver = passwd-file
  args = /etc/dovecot/users
}}
service lmtp {{
  unix_listener {self.socket} {{
    mode = 0666
  }}
}}
{settings}
""", encoding="utf-8")
        root = debian.unpacked("dovecot-core", "dovecot-lmtpd")
        view = apart.View(root, etc, ["dovecot", "dovenull"])
        self._process = subprocess.Popen(
            view.command("dovecot", "-F"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}, start_new_session=True,
        )
        end = time.monotonic() + _START_SECONDS
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > end:
                words = self._process.stderr.read().decode(errors="replace") if self._process.poll() is not None else ""
                self.close()
                raise RuntimeError(f"Dovecot does not greet at {self.socket}: {words}\n{self.log}")
            time.sleep(_POLL)

    def __enter__(self) -> "Dovecot":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def messages(self, user: str) -> list[bytes]:
        """The messages in a mailbox."""
        new = self.folder / "mail" / user / "Maildir" / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []

    def close(self) -> None:
        """End it: the master takes its processes along."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            # Its session is its own, nobody else is in it.
            os.killpg(self._process.pid, 9)
            self._process.wait(10)
        self._process.stderr.close()
        self._process = None

    def _greets(self) -> bool:
        try:
            smtplib.LMTP(str(self.socket), local_hostname="test.invalid", timeout=5).quit()
        except (OSError, smtplib.SMTPException):
            return False
        return True
