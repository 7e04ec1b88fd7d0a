# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers that all judges look at: five implementations of TLS, each with settings that people have or had."""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import ARTICLE_SUITES
from ansible_collections.securemail.smtp.tests.probe.running_postern import RunningServer, initial, listener
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe import credentials, twin

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import debian  # noqa: E402
import postfix  # noqa: E402

HOST, DOMAIN = "127.0.0.1", "example.test"
#: For SNI, where an address is not allowed (RFC 6066 section 3), and some servers say so.
SERVER_NAME = twin.SERVER_NAME

#: Everything that OpenSSL has, the broken included: suites without encryption, without authentication, of 8-byte tags.
EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
_INTERMEDIATE = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
_CBC = "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:AES256-SHA256:AES128-SHA"


class CannotRun(Exception):
    """This server cannot run here; the text says why."""


@dataclass(frozen=True)
class Running:
    """A server of the grid that listens at this port."""

    server: Server
    port: int

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True)
class Server:
    """One of the grid: ``start`` gives the port, and ends the server when it is left.

    ``tls`` is "starttls" or "implicit", ``key`` the kind of its certificate's key, ``greets`` whether it speaks SMTP.
    """

    name: str
    about: str
    start: t.Callable[["Settings"], t.ContextManager[int]]
    tls: str = "starttls"
    key: str = "ec"
    greets: bool = True

    @contextlib.contextmanager
    def running(self, certificates: t.Mapping[str, str]) -> t.Iterator[Running]:
        """The server while it listens; ``certificates`` are PEM files by the kind of key. Raises :class:`CannotRun`."""
        with self.start(Settings(certificates[self.key], self.tls == "implicit")) as port:
            yield Running(self, port)


@dataclass(frozen=True)
class Settings:
    """What a server is started with: the file with its key and certificate, and whether it begins with TLS."""

    certificate: str
    implicit: bool


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


# --- postern ------------------------------------------------------------------------------------

#: None that a scanner could run into.
_NO_LIMITS = dict.fromkeys(
    ("max_connections", "max_interval_connections", "peer_max_connections", "peer_max_interval_connections"), 0
)


def _postern(dh_file: bool = False, **tls: t.Any) -> t.Callable[[Settings], t.ContextManager[int]]:
    @contextlib.contextmanager
    def start(settings: Settings) -> t.Iterator[int]:
        with tempfile.TemporaryDirectory(prefix="securemail-judges-") as folder, RunningServer(Path(folder)) as server:
            more = dict(tls, cert_file=settings.certificate)
            if dh_file:
                more["dh_param_file"] = f"{folder}/dh.pem"
                Path(more["dh_param_file"]).write_bytes(credentials.dh_parameters(2048))
            server.activate(initial("hardened"), listener(HOST, settings.implicit, _NO_LIMITS, **more))
            yield server.port

    return start


# --- Postfix ------------------------------------------------------------------------------------


def _postfix(**lines: str) -> t.Callable[[Settings], t.ContextManager[int]]:
    @contextlib.contextmanager
    def start(settings: Settings) -> t.Iterator[int]:
        try:
            postfix.unpacked()
        except debian.Unavailable as reason:
            raise CannotRun(str(reason)) from None
        port = free_port()
        # Its daemons run as other users, who cannot enter pytest's folder.
        folder = Path(tempfile.mkdtemp(prefix="securemail-judges-"))
        folder.chmod(0o755)
        try:
            with postfix.Postfix(folder, HOST, port, settings.certificate, [DOMAIN], **lines):
                yield port
        finally:
            shutil.rmtree(folder)

    return start


# --- OpenSSL's own server -------------------------------------------------------------------------


def _s_server(*options: str) -> t.Callable[[Settings], t.ContextManager[int]]:
    @contextlib.contextmanager
    def start(settings: Settings) -> t.Iterator[int]:
        if not shutil.which("openssl"):
            raise CannotRun("there is no openssl here")
        # -www: it reads nothing from its standard input, and goes on after a connection.
        command = ["openssl", "s_server", "-accept", f"{HOST}:0", "-cert", settings.certificate, "-www", *options]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # It has a word about each connection, and would wait for somebody to read it.
        reader = threading.Thread(target=collections.deque, args=(process.stdout, 0))
        try:
            port = _accepting(process)
            reader.start()
            yield port
        finally:
            process.kill()
            process.wait(10)
            if reader.ident is not None:
                reader.join()
            process.stdout.close()

    return start


def _accepting(process: subprocess.Popen[str]) -> int:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ACCEPT "):
            return int(line.rsplit(":", 1)[1])
    raise RuntimeError("openssl s_server ended at once: " + "".join(lines))


# --- Python -----------------------------------------------------------------------------------


def _python(**context: t.Any) -> t.Callable[[Settings], t.ContextManager[int]]:
    @contextlib.contextmanager
    def start(settings: Settings) -> t.Iterator[int]:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(settings.certificate)
        for name, value in context.items():
            setattr(made, name, value)
        with twin.smtp_twin(context=made, implicit=settings.implicit) as server:
            yield server.port

    return start


# --- tlslite-ng: what no OpenSSL of today speaks --------------------------------------------------


def _tlslite(**handshake: t.Any) -> t.Callable[[Settings], t.ContextManager[int]]:
    @contextlib.contextmanager
    def start(settings: Settings) -> t.Iterator[int]:
        try:
            from old_protocols import OldServer
        except ImportError as error:
            raise CannotRun(f"tlslite-ng is not installed: {error}") from None
        with OldServer(Path(settings.certificate), settings.implicit, **handshake) as server:
            yield server.port

    return start


GRID = (
    Server("postern-modern", "postern, TLS 1.3 only", _postern(allowed_versions=("tls1_3",))),
    Server("postern-intermediate", "postern, TLS 1.2 and 1.3, ECDSA",
           _postern(allowed_versions=("tls1_2", "tls1_3"), cipher_suite=_INTERMEDIATE)),
    Server("postern-rsa", "postern as it comes, RSA certificate", _postern(), key="rsa"),
    Server("postern-article", "postern with the hardening article's list, a DH file, TLS 1.0 to 1.3, security level 0",
           _postern(dh_file=True, allowed_versions=("tls1", "tls1_1", "tls1_2", "tls1_3"),
                    cipher_suite=":".join((*ARTICLE_SUITES, "@SECLEVEL=0"))), key="rsa"),
    Server("postern-cbc", "postern, TLS 1.2 with CBC suites only",
           _postern(allowed_versions=("tls1_2",), cipher_suite=_CBC), key="rsa"),
    Server("postern-implicit", "postern, implicit TLS", _postern(), tls="implicit"),
    Server("postfix-default", "Postfix as it comes",
           _postfix(smtpd_tls_protocols=">=TLSv1", smtpd_tls_mandatory_protocols=">=TLSv1"), key="rsa"),
    Server("postfix-high", "Postfix, TLS 1.2 and newer, high ciphers, none without authentication",
           _postfix(smtpd_tls_ciphers="high", smtpd_tls_mandatory_ciphers="high", smtpd_tls_exclude_ciphers="aNULL"),
           key="rsa"),
    Server("postfix-old", "Postfix, TLS 1.0 and newer at security level 0",
           _postfix(smtpd_tls_protocols=">=TLSv1", tls_medium_cipherlist="HIGH:MEDIUM:!aNULL:@SECLEVEL=0"), key="rsa"),
    Server("postfix-wrapper", "Postfix, implicit TLS (wrappermode)", _postfix(smtpd_tls_wrappermode="yes"),
           tls="implicit"),
    Server("openssl-everything", "openssl s_server, implicit TLS, every suite that there is, the broken included",
           _s_server("-cipher", EVERYTHING), tls="implicit", key="rsa", greets=False),
    Server("python", "Python's ssl as it comes, STARTTLS", _python()),
    Server("tlslite-ssl3", "tlslite-ng, SSL 3.0 and TLS 1.0 with RC4 and Triple-DES",
           _tlslite(minVersion=(3, 0), maxVersion=(3, 1), cipherNames=["rc4", "3des", "aes128"],
                    macNames=["sha", "md5"]), key="rsa"),
)

NAMES = tuple(server.name for server in GRID)


def server(name: str) -> Server:
    """The server of this name."""
    return next(one for one in GRID if one.name == name)


def must_run() -> bool:
    """Whether this run must not do without Postfix and the judges: where packages can be fetched and tests decide."""
    return bool(os.environ.get("CI")) and os.geteuid() == 0 and shutil.which("apt-get") is not None
