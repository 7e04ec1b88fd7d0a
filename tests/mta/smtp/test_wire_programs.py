# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that others wrote, against the server: each test needs its program and is skipped where that is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from wire_certificates import NAME
from wire_peer import b64, plain
from wire_server import PASSWORD, USER

#: Where the fixture ``server`` listens.
STARTTLS, IMPLICIT, CLEAR = "127.0.0.1", "127.0.0.2", "127.0.0.3"
TEXT = "Subject: from a program\n\n.a dot first\nlast line\n"
REFUSED = "Accepting only secure delivery (STARTTLS) for other.test"


@pytest.fixture
def run(tmp_path):
    """Run a program to its end, with nobody's configuration; both outputs are one text."""

    def run_program(*command: str, stdin: str = "") -> subprocess.CompletedProcess:
        if shutil.which(command[0]) is None:
            pytest.skip(f"the program {command[0]} is not installed")
        return subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=120,
            env={**os.environ, "HOME": str(tmp_path), "LC_ALL": "C"},
            check=False,
        )

    return run_program


@pytest.fixture
def arrived(server):
    """A function that waits for the message of a sender and returns its text and the protocol (RFC 3848) it came by."""

    def find(sender: str) -> tuple[str, str]:
        number = server.log.wait("smtp.message", sender=sender, result="accepted")["id"]
        server.log.wait("delivery.local", id=number)
        (text,) = [path.read_text() for path in server.mailbox().iterdir() if number in path.name]
        assert text.endswith("\n\n.a dot first\nlast line\n"), text
        return text, re.search(r" with (\w+) id ", text).group(1)

    return find


def secret_forms() -> tuple[str, ...]:
    """The password as it could stand on the wire."""
    return (PASSWORD, b64(PASSWORD), plain(USER, PASSWORD), b64(f"{USER}\0{USER}\0{PASSWORD}"))


# --- swaks ----------------------------------------------------------------------------------------


class TestSwaks:
    @pytest.fixture
    def swaks(self, run, server, authority):
        """Send a message to u1, or do what further options say."""
        if shutil.which("swaks") and "TLS supported" not in run("swaks", "--support").stdout:
            pytest.skip("swaks has no TLS here (Net::SSLeay is missing)")

        def send(host, sender, *options, to=USER):
            command = ["swaks", "--server", host, "--port", str(server.port(host)), "--helo", "client.example.test"]
            command += ["--from", sender, "--to", to, "--data", TEXT.rstrip().replace("\n", "\\n"), "--timeout", "20"]
            return run(*command, "--tls-ca-path", authority.ca_file, *options)

        return send

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    @pytest.mark.parametrize("version", ["tlsv1_2", "tlsv1_3"])
    def test_starttls_and_login(self, swaks, arrived, mechanism, version):
        sender = f"{mechanism.lower()}.{version}@swaks.test"
        login = ("--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD)
        done = swaks(STARTTLS, sender, "--tls", "--tls-verify", "--tls-protocol", version, *login)
        assert done.returncode == 0, done.stdout
        text, protocol = arrived(sender)
        assert protocol == "ESMTPSA" and f"(TLSv1.{version[-1]} " in text

    def test_implicit(self, swaks, arrived):
        done = swaks(IMPLICIT, "implicit@swaks.test", "--tls-on-connect", "--tls-sni", NAME)
        assert done.returncode == 0, done.stdout
        assert arrived("implicit@swaks.test")[1] == "ESMTPS"

    def test_pipelining(self, swaks, arrived):
        done = swaks(STARTTLS, "pipeline@swaks.test", "--tls", "--pipeline")
        assert done.returncode == 0, done.stdout
        assert arrived("pipeline@swaks.test")[1] == "ESMTPS"

    def test_no_login_is_offered_in_clear(self, swaks):
        done = swaks(STARTTLS, "clear@swaks.test", "--auth", "--auth-user", USER, "--auth-password", PASSWORD)
        assert done.returncode == 28, done.stdout
        assert not any(form in done.stdout for form in secret_forms())

    def test_wrong_password(self, swaks):
        done = swaks(STARTTLS, "w@swaks.test", "--tls", "--auth", "PLAIN", "--auth-user", USER, "--auth-password", "no")
        assert done.returncode == 28 and "535 5.7.8 " in done.stdout, done.stdout

    def test_a_domain_that_takes_mail_over_tls_only(self, swaks):
        done = swaks(STARTTLS, "forced@swaks.test", to="postmaster@other.test")
        assert done.returncode == 24 and f"550 5.7.1 {REFUSED}" in done.stdout, done.stdout
        done = swaks(STARTTLS, "forced@swaks.test", "--tls", to="postmaster@other.test")
        assert done.returncode == 0, done.stdout

    def test_version_that_is_not_allowed(self, swaks, server):
        done = swaks(STARTTLS, "old@swaks.test", "--tls", "--tls-protocol", "tlsv1_1")
        assert done.returncode == 29, done.stdout

    def test_no_tls_offered(self, swaks):
        done = swaks(CLEAR, "none@swaks.test", "--tls")
        assert done.returncode == 29 and "not advertise STARTTLS" in done.stdout, done.stdout


# --- curl -----------------------------------------------------------------------------------------


class TestCurl:
    @pytest.fixture
    def curl(self, run, server, authority):
        """Send a message to u1. The name in the URL is the certificate's."""

        def send(host, sender, *options, to=USER):
            scheme, port = ("smtps" if host == IMPLICIT else "smtp"), server.port(host)
            command = ["curl", "-q", "-sS", "-v", "--max-time", "20", "--resolve", f"{NAME}:{port}:{host}"]
            command += ["--cacert", authority.ca_file, "--mail-from", sender, "--mail-rcpt", to, "--crlf", "-T", "-"]
            return run(*command, *options, f"{scheme}://{NAME}:{port}/client.example.test", stdin=TEXT)

        return send

    @pytest.mark.parametrize("host", [STARTTLS, IMPLICIT])
    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    def test_login(self, curl, arrived, host, mechanism):
        sender = f"{mechanism.lower()}.{host.replace('.', '-')}@curl.test"
        login = ("--login-options", f"AUTH={mechanism}", "--user", f"{USER}:{PASSWORD}")
        done = curl(host, sender, "--ssl-reqd", *login)
        assert done.returncode == 0, done.stdout
        assert arrived(sender)[1] == "ESMTPSA"

    def test_clear(self, curl, arrived):
        done = curl(CLEAR, "clear@curl.test")
        assert done.returncode == 0, done.stdout
        assert arrived("clear@curl.test")[1] == "ESMTP"

    def test_unknown_recipient(self, curl):
        done = curl(STARTTLS, "unknown@curl.test", "--ssl-reqd", to="nobody@example.test")
        assert done.returncode == 55 and "550 5.1.1 " in done.stdout, done.stdout

    def test_no_login_in_clear(self, curl):
        done = curl(STARTTLS, "none@curl.test", "--user", f"{USER}:{PASSWORD}")
        assert not any(form in done.stdout for form in secret_forms()), done.stdout


# --- msmtp ----------------------------------------------------------------------------------------


class TestMsmtp:
    @pytest.fixture
    def msmtp(self, run, server, authority, tmp_path):
        """Send a message to u1 with a configuration file of its own."""

        def send(host, sender, password=PASSWORD, to=USER, **settings):
            lines = [f"host {host}", f"port {server.port(host)}", f"from {sender}", "domain client.example.test"]
            lines += ["tls on", f"tls_trust_file {authority.ca_file}", f"tls_host_override {NAME}", "timeout 20"]
            lines += [f"tls_starttls {'off' if host == IMPLICIT else 'on'}", f"user {USER}", f"password {password}"]
            lines += [f"{name} {value}" for name, value in settings.items()]
            path = tmp_path / "msmtprc"
            path.write_text("account default\n" + "\n".join(lines) + "\n")
            path.chmod(0o600)
            return run("msmtp", "-C", str(path), "-d", to, stdin=TEXT)

        return send

    @pytest.mark.parametrize("host", [STARTTLS, IMPLICIT])
    @pytest.mark.parametrize("mechanism", ["scram-sha-256", "plain", "login"])
    def test_login(self, msmtp, run, server, arrived, host, mechanism):
        if shutil.which("msmtp") and mechanism not in run("msmtp", "--version").stdout:
            pytest.skip(f"msmtp has no {mechanism} here")
        sender = f"{mechanism}.{host.replace('.', '-')}@msmtp.test"
        done = msmtp(host, sender, auth=mechanism)
        assert done.returncode == 0, done.stdout
        assert arrived(sender)[1] == "ESMTPSA"
        server.log.wait("smtp.auth", mechanism=mechanism.upper(), result="accepted", user=USER)

    def test_a_mechanism_of_its_own_choice(self, msmtp, arrived):
        done = msmtp(STARTTLS, "auto@msmtp.test", auth="on")
        assert done.returncode == 0, done.stdout
        assert arrived("auto@msmtp.test")[1] == "ESMTPSA"

    @pytest.mark.parametrize("mechanism", ["scram-sha-256", "plain"])
    def test_wrong_password(self, msmtp, run, mechanism):
        if shutil.which("msmtp") and mechanism not in run("msmtp", "--version").stdout:
            pytest.skip(f"msmtp has no {mechanism} here")
        done = msmtp(STARTTLS, "wrong@msmtp.test", password="guess", auth=mechanism)
        assert done.returncode == 77 and "535 5.7.8 " in done.stdout, done.stdout

    def test_a_server_without_tls(self, msmtp):
        done = msmtp(CLEAR, "none@msmtp.test", auth="plain")
        assert done.returncode != 0 and "STARTTLS" in done.stdout, done.stdout
        assert not any(form in done.stdout for form in secret_forms())


# --- openssl and gnutls -----------------------------------------------------------------------------


class TestHandshakePrograms:
    @pytest.fixture
    def s_client(self, run, server, authority):
        """``openssl s_client`` with what it would send."""

        def connect(host, *options, stdin="QUIT\n"):
            command = ["openssl", "s_client", "-connect", f"{host}:{server.port(host)}", "-CAfile", authority.ca_file]
            command += ["-verify_return_error", "-verify_hostname", NAME, "-crlf", "-servername", NAME]
            command += [] if host == IMPLICIT else ["-starttls", "smtp", "-name", "client.example.test"]
            return run(*command, *options, stdin=stdin)

        return connect

    @pytest.mark.parametrize("host", [STARTTLS, IMPLICIT])
    @pytest.mark.parametrize("version", ["2", "3"])
    def test_handshake(self, s_client, host, version):
        done = s_client(host, f"-tls1_{version}")
        assert done.returncode == 0 and "Verify return code: 0 (ok)" in done.stdout, done.stdout
        assert f"New, TLSv1.{version}, Cipher is " in done.stdout

    @pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
    def test_old_versions(self, s_client, version):
        done = s_client(STARTTLS, version, "-cipher", "ALL:@SECLEVEL=0")
        assert done.returncode != 0 and "Cipher is (NONE)" in done.stdout, done.stdout

    def test_session_inside(self, s_client):
        done = s_client(IMPLICIT, "-quiet", stdin="EHLO client.example.test\nNOOP\nQUIT\n")
        assert "220 mx.example.test" in done.stdout and "250 2.0.0 OK" in done.stdout, done.stdout
        assert "221 2.0.0" in done.stdout and "STARTTLS" not in done.stdout

    def test_resumption(self, s_client, tmp_path):
        """A session ticket from one connection is taken in the next."""
        ticket = str(tmp_path / "ticket.pem")
        first = s_client(STARTTLS, "-tls1_2", "-sess_out", ticket)
        assert "New, TLSv1.2" in first.stdout, first.stdout
        second = s_client(STARTTLS, "-tls1_2", "-sess_in", ticket)
        assert second.returncode == 0 and "Reused, TLSv1.2" in second.stdout, second.stdout

    def test_no_renegotiation(self, s_client, server):
        """RFC 9325 section 3.4. A line with an R makes s_client ask for it."""
        done = s_client(STARTTLS, "-tls1_2", stdin="R\nQUIT\n")
        assert "RENEGOTIATING" in done.stdout and "no renegotiation" in done.stdout.lower(), done.stdout

    @pytest.mark.parametrize("host", [STARTTLS, IMPLICIT])
    def test_gnutls(self, run, server, authority, host):
        command = ["gnutls-cli", "-p", str(server.port(host)), "--x509cafile", authority.ca_file, host, "--crlf"]
        command += ["--verify-hostname", NAME, "--sni-hostname", NAME]
        command += [] if host == IMPLICIT else ["--starttls-proto", "smtp"]
        done = run(*command, stdin="EHLO client.example.test\nQUIT\n")
        assert done.returncode == 0 and "The certificate is trusted" in done.stdout, done.stdout
        assert "AUTH SCRAM-SHA-256 PLAIN LOGIN" in done.stdout

    def test_gnutls_looks_for_oddities(self, run, server):
        """Some forty handshakes with small records, missing extensions and large offers."""
        done = run("gnutls-cli-debug", "-p", str(server.port(STARTTLS)), "--starttls-proto", "smtp", STARTTLS)
        found = dict(re.findall(r"^ *(?:whether|for) (.+?)\.{3} (.+)$", done.stdout, re.MULTILINE))
        assert found.get("TLS 1.1 (RFC4346) support") == "no", done.stdout
        assert found.get("TLS 1.2 (RFC5246) support") == "yes" and found.get("TLS 1.3 (RFC8446) support") == "yes"
        assert found.get("the server understands TLS closure alerts") == "yes"
        assert found.get("anonymous authentication support") == found.get("3DES-CBC cipher (RFC2246) support") == "no"
