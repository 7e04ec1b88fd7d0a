# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Postfix to harden: a whole instance as Debian's package makes it, with the package's programs unpacked and never installed.

``postfix check``, ``start``, ``reload`` and ``stop`` work for its configuration directory, in the environment that
:meth:`PostfixHost.environment` gives: it is a mail host in small, beside whatever the machine has.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import debian  # noqa: E402
import environment as env  # noqa: E402
import postfix  # noqa: E402

#: With the lookup tables that Debian has as packages of their own, and the plugins of Cyrus SASL.
PACKAGES = ("postfix", "postfix-lmdb", "postfix-cdb", "postfix-pcre", "libsasl2-modules", "libsasl2-modules-db", "sasl2-bin")

#: What Debian's package puts into main.cf, but for what an installation asks.
TEMPLATE = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version

smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no

# appending .domain is the MUA's job.
append_dot_mydomain = no

readme_directory = no

compatibility_level = 3.6

# TLS parameters
smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
smtpd_tls_security_level=may

smtp_tls_CApath=/etc/ssl/certs
smtp_tls_security_level=may
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache

smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
"""

#: The services behind the listeners, as in Debian's master.cf; none is chrooted, because nothing fills the jail of an instance.
SERVICES = """\
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
#qmgr     unix  n       -       n       300     1       oqmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
        -o syslog_name=postfix/$service_name
#       -o smtp_helo_timeout=5 -o smtp_connect_timeout=5
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""

HEAD = """\
#
# Postfix master process configuration file.  For details on the format
# of the file, see the master(5) manual page.
#
# ==========================================================================
# service type  private unpriv  chroot  wakeup  maxproc command + args
#               (yes)   (yes)   (no)    (never) (100)
# ==========================================================================
"""

_SECONDS = 60.0
_POLL = 0.02
#: The log is a file that the master's own child writes.
_LOG = "maillog"


def unpacked() -> Path:
    """The folder with the programs, filled on first use. Raises :class:`debian.Unavailable`."""
    if not env.is_root():
        raise debian.Unavailable("Postfix's master process must be root")
    root = debian.unpacked(*PACKAGES)
    group = grp.getgrnam(postfix.SUBMIT_GROUP).gr_gid
    for name in ("postdrop", "postqueue"):
        # As an installation does it; "postfix check" looks.
        path = root / "usr" / "sbin" / name
        if path.stat().st_gid != group:
            os.chown(path, 0, group)
            path.chmod(0o2755)
    return root


class PostfixHost:
    """One instance below ``folder``, which every user must be able to enter. A context manager, which stops it.

    ``services`` are the lines of its listeners in master.cf; ``main`` is what follows in main.cf behind the package's template (or
    stands for it: ``template``); ``domains`` are those that it takes mail for.
    """

    def __init__(
        self,
        folder: Path,
        services: str,
        main: str = "",
        domains: t.Sequence[str] = (),
        template: str = TEMPLATE,
    ) -> None:
        self.folder = folder
        self.root = unpacked()
        self.config_directory = folder / "etc" / "postfix"
        self.command_directory = self.root / "usr" / "sbin"
        self.log_file = folder / _LOG
        self._make(services, main, domains, template)

    @classmethod
    def at(cls, folder: Path) -> "PostfixHost":
        """The instance that was made in this folder before."""
        found = cls.__new__(cls)
        found.folder, found.root = folder, unpacked()
        found.config_directory = folder / "etc" / "postfix"
        found.command_directory = found.root / "usr" / "sbin"
        found.log_file = folder / _LOG
        return found

    def __enter__(self) -> "PostfixHost":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def main_cf(self) -> Path:
        """The file main.cf."""
        return self.config_directory / "main.cf"

    @property
    def master_cf(self) -> Path:
        """The file master.cf."""
        return self.config_directory / "master.cf"

    @property
    def log(self) -> str:
        """All that Postfix has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def environment(self) -> dict[str, str]:
        """For programs of this Postfix, and for what calls them: they find their libraries and plugins."""
        plugins = [str(path) for path in (self.root / "usr" / "lib").glob("*/sasl2")]
        return {
            **debian.environment(self.root, self.root / "usr" / "lib" / "postfix"),
            "SASL_PATH": ":".join(plugins),
        }

    def run(self, program: str, *arguments: str, check: bool = True, text: str = "") -> str:
        """Run a program of this Postfix to its end; returns all that it printed. Raises RuntimeError with it when it fails."""
        done = subprocess.run(
            [str(self.command_directory / program), *arguments], env={**os.environ, **self.environment()}, input=text,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=_SECONDS, check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)} ended with {done.returncode}: {done.stdout}\n{self.log[-2000:]}")
        return done.stdout

    def postconf(self, *arguments: str) -> str:
        """What ``postconf`` prints about this instance, without what it warns of."""
        return subprocess.run(
            [str(self.command_directory / "postconf"), "-c", str(self.config_directory), *arguments],
            env={**os.environ, **self.environment()}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            timeout=_SECONDS, check=True,
        ).stdout

    # --- running --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and wait until it listens. Raises RuntimeError with its log."""
        # The master process goes on with these file descriptors, so that none of them may be somebody's pipe.
        done = subprocess.run(
            [str(self.command_directory / "postfix"), "-c", str(self.config_directory), "start"],
            env={**os.environ, **self.environment()}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=_SECONDS, check=False,
        )
        if done.returncode:
            raise RuntimeError(f"Postfix does not start:\n{self.log}")

    def reload(self) -> None:
        """Have it read its configuration again."""
        self.run("postfix", "-c", str(self.config_directory), "reload")

    def stop(self) -> None:
        """Stop it, if it runs; it is gone then."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 15
        while self.pid is not None:
            if time.monotonic() > end:
                os.killpg(os.getpgid(pid), signal.SIGKILL)
                end = float("inf")
            # It is no child of ours: nobody says that it ended.
            time.sleep(_POLL)

    @property
    def pid(self) -> int | None:
        """Of the running master process; None: there is none."""
        try:
            pid = int((self.folder / "queue" / "pid" / "master.pid").read_text().split()[0])
            command = Path("/proc", str(pid), "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return None
        return pid if b"master" in command else None

    def wait_listening(self, address: str, port: int) -> None:
        """Wait until somebody answers there. Raises RuntimeError with the log."""
        end = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection((address, port), 5):
                    return
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError(f"nobody listens at {address}:{port}:\n{self.log}") from None
                time.sleep(_POLL)

    def wait_log(self, words: str, timeout: float = 20.0) -> None:
        """Wait until these words are in the log. Raises TimeoutError with it."""
        postfix.wait_for_words(lambda: self.log, words, timeout)

    # --- inside ---------------------------------------------------------------------------------

    def _make(self, services: str, main: str, domains: t.Sequence[str], template: str) -> None:
        folder, root = self.folder, self.root
        owner, writer = pwd.getpwnam(postfix.MAIL_OWNER), pwd.getpwnam(postfix.DELIVERY_USER)
        self.config_directory.mkdir(parents=True)
        for name in ("data", "mail", "queue"):
            (folder / name).mkdir()
        os.chown(folder / "data", owner.pw_uid, owner.pw_gid)
        os.chmod(folder / "data", 0o700)
        os.chown(folder / "mail", writer.pw_uid, writer.pw_gid)
        etc = root / "etc" / "postfix"
        for name in ("postfix-files", "post-install", "postfix-script"):
            (self.config_directory / name).write_bytes((etc / name).read_bytes())
            os.chmod(self.config_directory / name, 0o755)
        share = root / "usr" / "share" / "postfix"
        tables = [line for line in (share / "dynamicmaps.cf").read_text().splitlines() if not line.startswith("#")]
        libraries = root / "usr" / "lib" / "postfix"
        there = [line for line in tables if (libraries / line.split()[1]).is_file()]
        (self.config_directory / "dynamicmaps.cf").write_text("".join(line + "\n" for line in there))
        values = {
            "queue_directory": f"{folder}/queue",
            "data_directory": f"{folder}/data",
            "daemon_directory": f"{root}/usr/lib/postfix/sbin",
            "command_directory": f"{root}/usr/sbin",
            "shlib_directory": f"{root}/usr/lib/postfix",
            "meta_directory": f"{self.config_directory}",
            "sample_directory": f"{share}",
            "mail_owner": postfix.MAIL_OWNER,
            "default_privs": postfix.DELIVERY_USER,
            "setgid_group": postfix.SUBMIT_GROUP,
            # A daemon's environment is this and nothing else.
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH SASL_PATH TZ LANG=C",
            "maillog_file": f"{self.log_file}",
            "maillog_file_prefixes": f"{folder}",
            "myhostname": "mail.example.test",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "all",
            "smtpd_peername_lookup": "no",
            "mydestination": "",
            "mynetworks": "192.0.2.0/24",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "virtual_mailbox_domains": " ".join(domains),
            "virtual_mailbox_maps": "static:inbox/",
            "virtual_mailbox_base": f"{folder}/mail",
            "virtual_uid_maps": f"static:{writer.pw_uid}",
            "virtual_gid_maps": f"static:{writer.pw_gid}",
        }
        # What a test brings stands once.
        given = set(re.findall(r"^(\w+)[ \t]*=", template + main, re.MULTILINE))
        own = "".join(f"{name} = {value}".rstrip() + "\n" for name, value in values.items() if name not in given)
        self.main_cf.write_text(f"{template}\n# Where this instance is\n{own}{main}")
        self.master_cf.write_text(HEAD + services + SERVICES)
        # Folders of the queue, with their owners, are made by the package's own script.
        self.run("postfix", "-c", str(self.config_directory), "check")
