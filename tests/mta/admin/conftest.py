# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures around :mod:`admin_harness`."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import typing as t
from pathlib import Path

import pytest

from admin_harness import OPENED, AdminHarness, Loop, RawClient
from postern import passwords
from postern.admin.authentication import set_password
from postern.admin.server import ConnectionLimits
from postern.admin.session import Limits


@pytest.fixture(autouse=True)
def close_directories() -> t.Iterator[None]:
    """Nothing that a test opened is left to the garbage collector, which would tell another test of it."""
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def loop() -> t.Iterator[Loop]:
    runner = Loop()
    yield runner
    runner.close()


@pytest.fixture
def new_server(loop: Loop, tmp_path: Path) -> t.Iterator[t.Callable[..., AdminHarness]]:
    """Makes a server with other limits than the usual ones."""
    made: list[AdminHarness] = []

    def make(limits: Limits | None = None, connections: ConnectionLimits = ConnectionLimits()) -> AdminHarness:
        state_dir = tmp_path / f"state{len(made)}"
        os.mkdir(state_dir)
        harness = AdminHarness(loop, state_dir, limits, connections)
        harness.start()
        made.append(harness)
        return harness

    yield make
    for harness in made:
        harness.stop()


@pytest.fixture
def server(new_server: t.Callable[..., AdminHarness]) -> AdminHarness:
    """A server with the usual limits."""
    return new_server()


@pytest.fixture
def admin(server: AdminHarness) -> RawClient:
    """A client that is logged in."""
    return server.client().login()


@pytest.fixture
def whole(loop: Loop, tmp_path: Path) -> t.Iterator[t.Any]:
    """A whole server: what is committed is there on the network."""
    whole_server = pytest.importorskip("whole_server", reason="the receiving half needs scramp")
    set_password(str(tmp_path), whole_server.HASH)
    server = whole_server.Whole(loop, tmp_path).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key in one PEM file."""
    x509 = pytest.importorskip("cryptography.x509", reason="certificates for the tests are made with cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that make many accounts: the cost of a stolen hash is not what they are about."""
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 4)
    monkeypatch.setattr(passwords, "SCRAM_ITERATIONS", 1)


@pytest.fixture
def hardened(whole: t.Any, certificate: Path, cheap_hashes: None) -> tuple[t.Any, RawClient, int]:
    """A whole server with two domains and a listener with a certificate: the server, its administrator, the port."""
    from whole_server import add_listener, free_port

    port, admin = free_port(), whole.admin()
    admin.ok("CREATE Domain mydomain.com postmasterPassword secret-1", "COMMIT")
    admin.ok("CREATE Domain other.example postmasterPassword secret-2", "COMMIT")
    add_listener(admin, port, f"certFile {certificate}")
    return whole, admin, port


@pytest.fixture
def program(tmp_path: Path) -> t.Iterator[t.Any]:
    """The real program with a folder of its own; what a test leaves running is ended."""
    from test_program import SECRET, Program

    one = Program(tmp_path / "program")
    assert one.run("passwd", text=SECRET + "\n").returncode == 0
    yield one
    one.run("stop")


@pytest.fixture
def free_address() -> str:
    """An address on the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"
