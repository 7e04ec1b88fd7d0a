# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the wire tests share: certificates, a directory with accounts, running servers."""

from __future__ import annotations

import asyncio

import pytest
import wire_certificates
import wire_server
from postern import eventloop
from postern.receiving import Receiving
from postern.settings import TlsSettings


#: Both event loops that the server may run on; where sockets are what matters, tests run on each.
LOOPS = {"uvloop": eventloop.new, "asyncio": asyncio.new_event_loop}
ON_EACH_LOOP = frozenset(("test_wire_early", "test_wire_streaming", "test_wire_tls"))


def pytest_generate_tests(metafunc):
    """Run the tests of some files on each event loop."""
    if metafunc.module.__name__ in ON_EACH_LOOP and "new_loop" in metafunc.fixturenames:
        metafunc.parametrize("new_loop", list(LOOPS), indirect=True, scope="module")


@pytest.fixture(scope="module")
def new_loop(request):
    """What makes the server's event loop."""
    return LOOPS[getattr(request, "param", "uvloop")]


@pytest.fixture(scope="session")
def rsa_file(authority):
    """An RSA certificate with key and chain."""
    return authority.issue("rsa.pem", wire_certificates.rsa_key())


@pytest.fixture(scope="session")
def dh_file(authority):
    """DH parameters."""
    path = authority.folder / "dh.pem"
    path.write_bytes(wire_certificates.dh_parameters())
    return str(path)


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    """Domains and accounts; hashing passwords is slow, so once for all tests."""
    return wire_server.make_directory(tmp_path_factory.mktemp("directory") / "directory.sqlite3")


@pytest.fixture
def make_server(tmp_path, directory, new_loop):
    """A function that starts a server in a folder of its own, with this table ``[receiving]``."""
    servers = []

    def make(**receiving):
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        server = wire_server.Server(folder, directory, receiving=Receiving(**receiving), loop=new_loop())
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, directory, ec_file, new_loop):
    """One server for a module: 127.0.0.1 offers STARTTLS, 127.0.0.2 is implicit TLS, 127.0.0.3 has no certificate."""
    # So many tests log in with wrong passwords that a limit would be reached.
    unlimited = Receiving(peer_auth_failures=0, account_auth_failures=0)
    folder = tmp_path_factory.mktemp("server")
    server = wire_server.Server(folder, directory, receiving=unlimited, loop=new_loop())
    tls = TlsSettings(cert_file=ec_file)
    server.activate(
        wire_server.listener("127.0.0.1", tls=tls),
        wire_server.listener("127.0.0.2", tls=tls, ssl_enable=True),
        wire_server.listener("127.0.0.3"),
        script=HARDENED,
    )
    yield server
    server.close()


HARDENED = """
event onEhlo {
\tcall (WA_Acceptance_basic);
\tcall (disableAUTH_on_non_SSL);
\tcall (enableAUTH_on_SSL);
}
event onRcptTo {
\tcall (allow_only_tls_for_other_test);
}
method WA_Acceptance_basic {
\tset (maxDataSize, "1024");
\tset (allowStartTLS, "yes");
}
method disableAUTH_on_non_SSL {
\tset (plainConnAuthTypes, "none");
}
method enableAUTH_on_SSL {
\tset (secureConnAuthTypes, "scram-sha-256 plain login ");
}
method allow_only_tls_for_other_test {
\tif (
\t\tallOf (
\t\t\tisCase (isSSLConnection, "no"),
\t\t\tisCase (rcptDomain, "Other.Test")
\t\t\t)
\t\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "Accepting only secure delivery (STARTTLS) for other.test");
\t}
}
"""
