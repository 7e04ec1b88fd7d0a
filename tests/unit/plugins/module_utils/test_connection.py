# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection options and the session that they mean: clear text, TLS, login."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils import _connection
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import wire
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import (
    AnswerTimeout,
    LoginRefused,
    ServerError,
    Unreachable,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    BANNER,
    LOGIN,
    ROOT,
    STALL,
    ScriptedServer,
    Step,
    err,
    ok,
)

VERSION = Step(b"GET VERSION", ok(LOGIN, payload=b"10.6.30-postern|Linux|x86_64\r\n"))
SESSION = [Step(None, BANNER), VERSION, Step(b"USER admin", b"<password> "), Step(b"s3cret", ok(ROOT))]


def params(port, **changes):
    given = {
        "admin_host": "127.0.0.1",
        "admin_port": port,
        "admin_user": "admin",
        "admin_password": "s3cret",
        "admin_tls": False,
        "admin_ca_file": None,
        "admin_validate_certs": True,
        "allow_clear_text": False,
        "admin_timeout": 5,
        "dialect": "auto",
        "server_files": "auto",
    }
    given.update(changes)
    return given


class Warnings(list):
    """Collects what would be shown."""

    __call__ = list.append


def test_argument_spec():
    spec = _connection.argument_spec()
    assert spec["admin_password"]["no_log"] and spec["server"]["default"] == "admin_cli"
    assert all(option["fallback"][1] == ["SECUREMAIL_" + name.upper()] for name, option in spec.items())
    assert "save" in spec and "save" not in _connection.argument_spec(save=False)


def test_a_password_is_asked_for_where_somebody_logs_in():
    with pytest.raises(PolicyError, match="admin_password"):
        _connection.open_session(params(7000, admin_password=None), Warnings())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST.", "db.localhost", "::ffff:127.0.0.1"]
)
def test_loopback(host):
    assert _connection.is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "10.0.0.1", "mail.example.com", "localhost.example.com", "::", "127.0.0.1.example", "::ffff:10.0.0.1"],
)
def test_not_loopback(host):
    assert not _connection.is_loopback(host)


@pytest.mark.parametrize(
    "host, choice, found",
    [
        ("127.0.0.1", "auto", True),
        ("[::1]", "auto", True),
        ("mail.example.com", "auto", False),
        ("127.0.0.1", "remote", False),
        ("mail.example.com", "local", True),
    ],
)
def test_where_the_files_of_the_server_are(host, choice, found):
    assert _connection.has_server_files(params(7000, admin_host=host, server_files=choice)) is found


def test_logged_in_with_its_dialect():
    warnings = Warnings()
    with ScriptedServer(SESSION) as server:
        session, dialect = _connection.open_session(params(server.port), warnings)
        assert (dialect.name, session.version, session.depth) == ("postern", "10.6.30-postern", 0)
        session.close()
    assert warnings == []


def test_dialect_by_name():
    with ScriptedServer(SESSION) as server:
        session, dialect = _connection.open_session(params(server.port, dialect="axigen"), Warnings())
        session.close()
    assert dialect.name == "axigen"


def test_wrong_password():
    with ScriptedServer(SESSION[:3] + [Step(b"wrong", err(LOGIN, b"denied"))]) as server:
        with pytest.raises(LoginRefused, match="denied") as caught:
            _connection.open_session(params(server.port, admin_password="wrong"), Warnings())
    assert server.received == [b"GET VERSION", b"USER admin", b"wrong"]
    assert '"wrong"' not in str(caught.value)


def test_session_is_closed_after_an_error():
    with ScriptedServer([Step(None, BANNER), VERSION]) as server:
        with pytest.raises(ServerError, match="control character"):
            _connection.open_session(params(server.port, admin_password="a\nb"), Warnings())
    assert server.received == [b"GET VERSION", b"QUIT"]


def test_clear_text_to_another_host_is_not_tried(monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *given, **named: pytest.fail("it was tried"))
    with pytest.raises(_connection.ClearTextRefused) as caught:
        _connection.open_session(params(7000, admin_host="192.0.2.1"), Warnings())
    assert all(word in str(caught.value) for word in ("192.0.2.1:7000", "admin_tls", "allow_clear_text", "127.0.0.1"))


@pytest.mark.parametrize("host", ["2001:db8::1", "[2001:db8::1]", " 2001:db8::1 "])
def test_ipv6_host_in_messages(monkeypatch, host):
    warnings = Warnings()
    with pytest.raises(_connection.ClearTextRefused, match=r" \[2001:db8::1\]:7000: not tried"):
        _connection.open_session(params(7000, admin_host=host), warnings)

    def refuse(address, timeout):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(Unreachable, match=r" \[2001:db8::1\]:7000: connection refused"):
        _connection.open_session(params(7000, admin_host=host, allow_clear_text=True), warnings)
    assert len(warnings) == 1 and "sent to [2001:db8::1]:7000 in clear text" in warnings[0]


def test_clear_text_that_is_allowed_draws_a_warning():
    warnings = Warnings()
    with ScriptedServer(SESSION) as server:
        # 0.0.0.0 reaches this host without being loopback by its spelling.
        options = params(server.port, admin_host="0.0.0.0", allow_clear_text=True)
        _connection.open_session(options, warnings)[0].close()
    assert len(warnings) == 1 and "clear text" in warnings[0] and "s3cret" not in warnings[0]


def test_all_bad_options_at_once():
    with pytest.raises(PolicyError) as caught:
        _connection.open_session(params(70000, admin_host="a b", admin_timeout=0), Warnings())
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("seconds", [0, -1.5, float("nan"), float("inf")])
def test_time_limits_that_are_none(seconds):
    with pytest.raises(PolicyError, match="admin_timeout must be more than 0 and at most 86400 seconds"):
        _connection.open_session(params(7000, admin_timeout=seconds), Warnings())


@pytest.mark.parametrize("content", [None, "no PEM"])
def test_bad_ca_file(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PolicyError, match="admin_ca_file .*ca.pem cannot be used: "):
        _connection.open_session(params(7000, admin_tls=True, admin_ca_file=str(path)), Warnings())


class Handshakes:
    """Makes TLS handshakes with everybody, one after the other; ``received`` is what came inside of them."""

    def __init__(self, context, address):
        self.received = b""
        self._context = context
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _run(self):
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self.received += secure.recv(1024)


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path):
        """A PEM file for 127.0.0.1 that signs itself, key included."""
        x509 = pytest.importorskip("cryptography.x509")
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        now = datetime.datetime(2020, 1, 1)
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("*.mail.example.com")]
        )
        signed = (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now).not_valid_after(datetime.datetime(2120, 1, 1))
            .add_extension(names, False).add_extension(x509.BasicConstraints(True, None), True)
            .sign(key, hashes.SHA256())
        )
        path = tmp_path / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        return str(path)

    @pytest.fixture
    def context(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return context

    @pytest.mark.parametrize("chunk", [1, 65536])
    def test_session(self, certificate, context, monkeypatch, chunk):
        monkeypatch.setattr(wire, "_CHUNK", chunk)
        text = b"x" * 40000 + b"\r\n"
        steps = SESSION + [Step(b"SHOW Config", ok(ROOT, payload=text)), Step(b"LIST Domains", b"a\r\n", then=STALL)]
        with ScriptedServer(steps, tls=context) as server:
            options = params(server.port, admin_tls=True, admin_ca_file=certificate, admin_timeout=2)
            session = _connection.open_session(options, Warnings())[0]
            assert session.command("SHOW", "Config").text == "x" * 40000
            with pytest.raises(AnswerTimeout, match="LIST Domains"):
                session.command("LIST", "Domains", timeout=0.3)

    def test_unknown_authority(self, context):
        with ScriptedServer(SESSION, tls=context) as server:
            with pytest.raises(Unreachable, match="certificate is not accepted.*admin_ca_file"):
                _connection.open_session(params(server.port, admin_tls=True), Warnings())
        assert server.received == []

    @pytest.mark.parametrize("host, address", [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")])
    def test_other_name(self, certificate, context, host, address):
        """A host name and an address are different cases for OpenSSL."""
        with Handshakes(context, address) as server:
            options = params(server.port, admin_host=host, admin_tls=True, admin_ca_file=certificate)
            with pytest.raises(Unreachable) as caught:
                _connection.open_session(options, Warnings())
        said = "its certificate is not for %s but for 127.0.0.1, *.mail.example.com" % host
        assert said in str(caught.value) and "Set admin_host to a name" in str(caught.value)
        assert "admin_ca_file" not in str(caught.value)
        assert server.received == b""

    def test_other_name_of_a_server_that_takes_one_connection(self, certificate, context, monkeypatch):
        monkeypatch.setattr(wire, "_LOOK", 0.2)
        with ScriptedServer(SESSION, tls=context) as server:
            options = params(server.port, admin_host="localhost", admin_tls=True, admin_ca_file=certificate)
            with pytest.raises(Unreachable, match="is not for localhost but for another name.*admin_host"):
                _connection.open_session(options, Warnings())

    def test_unchecked(self, context):
        warnings = Warnings()
        with ScriptedServer(SESSION, tls=context) as server:
            options = params(server.port, admin_host="0.0.0.0", admin_tls=True, admin_validate_certs=False)
            _connection.open_session(options, warnings)[0].close()
        assert len(warnings) == 1 and "not checked" in warnings[0]

    def test_clear_text_server(self):
        with ScriptedServer([Step(None, BANNER)]) as server:
            with pytest.raises(Unreachable, match="handshake failed: .*admin_tls"):
                _connection.open_session(params(server.port, admin_tls=True), Warnings())

    def test_tls_server_without_admin_tls(self, context):
        with ScriptedServer(SESSION, tls=context) as server:
            with pytest.raises(AnswerTimeout, match="set admin_tls if it speaks TLS"):
                _connection.open_session(params(server.port, admin_timeout=1), Warnings())
