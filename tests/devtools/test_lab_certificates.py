# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The throw-away certificates: OpenSSL itself must accept them."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "mta" / "files" / "lab_certificates.py"


def make(folder: Path, names: str) -> bool:
    done = subprocess.run([sys.executable, "-I", str(PROGRAM), str(folder), names], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["changed"]


def handshake(folder: Path, name: str, cipher: str) -> tuple[str, str]:
    """A real TLS 1.2 handshake inside this process; returns version and cipher."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    server.load_dh_params(str(folder / "dh.pem"))
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers(cipher)
    client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    client.set_ciphers(cipher)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)

    def serve():
        with server.wrap_socket(theirs, server_side=True) as connection:
            connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname=name) as connection:
        seen = connection.version(), connection.cipher()[0]
        connection.sendall(b"x")
    thread.join(10)
    return seen


def test_made_once_and_again_for_other_names(tmp_path):
    assert make(tmp_path, "mail.example.test,127.0.0.1") is True
    before = (tmp_path / "server.pem").read_bytes()
    assert make(tmp_path, "mail.example.test,127.0.0.1") is False
    assert (tmp_path / "server.pem").read_bytes() == before
    assert make(tmp_path, "other.example.test") is True
    assert (tmp_path / "server.pem").read_bytes() != before


def test_private_files_are_private(tmp_path):
    make(tmp_path, "mail.example.test")
    assert (tmp_path / "server.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cipher", ["DHE-RSA-AES128-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"])
@pytest.mark.parametrize("name", ["mail.example.test", "127.0.0.1"])
def test_openssl_trusts_and_negotiates(tmp_path, cipher, name):
    make(tmp_path, "mail.example.test,127.0.0.1")
    assert handshake(tmp_path, name, cipher) == ("TLSv1.2", cipher)
