# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the wire tests share: certificates, a directory with accounts, running servers."""

from __future__ import annotations

import pytest
import wire_certificates
import wire_server
from postern.receiving import Receiving
from postern.settings import TlsSettings


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
def make_server(tmp_path, directory):
    """A function that starts a server in a folder of its own, with this table ``[receiving]``."""
    servers = []

    def make(**receiving):
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        server = wire_server.Server(folder, directory, receiving=Receiving(**receiving))
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, directory, ec_file):
    """One server for a module: 127.0.0.1 offers STARTTLS, 127.0.0.2 is implicit TLS, 127.0.0.3 has no certificate."""
    # So many tests log in with wrong passwords that a limit would be reached.
    unlimited = Receiving(peer_auth_failures=0, account_auth_failures=0)
    server = wire_server.Server(tmp_path_factory.mktemp("server"), directory, receiving=unlimited)
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
