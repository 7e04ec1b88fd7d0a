# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``reload`` and SIGHUP, with real processes; the bootstrap table for certificates; the admin port's own."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from postern import bootstrap
from test_opensslconf import tls_port
from test_program import GOOD, SECRET


def shown(port: int, name: str | None = None) -> str:
    """The fingerprint of what a listener shows that begins with TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        with context.wrap_socket(raw, server_hostname=name) as inside:
            return hashlib.sha256(inside.getpeercert(binary_form=True)).hexdigest()


def write(path, authority, mode: int = 0o644, **more) -> None:
    """A certificate in this place, in one step."""
    os.replace(authority.issue("for-reload.pem", **more), path)
    os.chmod(path, mode)


def two_certificates(program, authority, admin: str = "") -> tuple:
    """Paths of a listener's own certificate and of one by name, which the bootstrap file has; ``admin``: more of its table."""
    certificate, named = program.folder / "own.pem", program.folder / "named.pem"
    write(certificate, authority)
    write(named, authority, names=["mx.b.test"])
    with open(program.config, "a", encoding="utf-8") as file:
        file.write(f'{admin}[tls]\ncertificates = ["named.pem"]\n')
    return certificate, named


@pytest.mark.parametrize("command", ["start", "serve"])
def test_reload_takes_up_files_and_says_what_is_wrong(program, authority, command):
    certificate, _named = two_certificates(program, authority, 'certificate = "own.pem"\n')
    process = program.popen(command)
    program.event("server.started")
    before = shown(program.port)
    write(certificate, authority)
    done = program.run("reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "reloaded\n", "")
    after = shown(program.port)
    assert after != before
    certificate.write_text("broken")
    done = program.run("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"postern: admin certificate {certificate}: ") and "the old one is kept" in done.stderr
    assert program.status()["tls_problems"] and shown(program.port) == after
    write(certificate, authority)
    os.kill(program.status()["pid"], signal.SIGHUP)
    assert program.event("tls.reload")["result"] == "changed"
    assert program.event("tls.reload")["result"] == "failed"
    assert program.event("tls.reload")["result"] == "changed"
    assert shown(program.port) not in (before, after)
    assert program.run("stop").returncode == 0 and process.wait(30) == 0


def test_reload_of_listeners_with_names(program, authority):
    certificate, named = two_certificates(program, authority)
    program.start()
    port = tls_port(program, str(certificate))
    before = [shown(port), shown(port, "mx.b.test")]
    assert before[0] != before[1]
    write(named, authority, names=["mx.b.test"])
    assert program.run("reload").returncode == 0
    assert shown(port) == before[0] and shown(port, "mx.b.test") not in before


def test_a_name_that_is_no_text_ends_a_handshake_and_nothing_else(program, authority):
    certificate, _named = two_certificates(program, authority)
    assert program.run("passwd", text=SECRET + "\n").returncode == 0
    process = program.popen("serve")
    program.event("server.started")
    port = tls_port(program, str(certificate))
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", b"mx.\xff\xfe.test"]
    assert subprocess.run(client, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False).returncode
    # How the event comes: the reason is the library's.
    assert program.event("smtp.tls")["result"] == "failed"
    assert shown(port, "mx.b.test") != shown(port)
    assert program.run("stop").returncode == 0
    assert process.communicate(timeout=30)[1] == ""


def test_reload_of_a_server_that_a_wrong_file_keeps_from_listening(program, authority):
    certificate, named = two_certificates(program, authority)
    program.start()
    port = tls_port(program, str(certificate))
    program.admin().ok("SAVE CONFIG")
    named.write_text("broken")
    wanted = f"postern: it answers to administrators only: listener 127.0.0.1:{port}: certificate file {named}: it lacks"
    assert program.run("restart").stderr.startswith(wanted)
    done = program.run("reload")
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith(wanted)
    write(named, authority, names=["mx.b.test"])
    done = program.run("reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "reloaded\n", "")
    assert program.status()["problem"] == "" and shown(port) != shown(port, "mx.b.test")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as another user")
@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('certificates = ["KEY"]\n', "tls.certificates"),
        ('certificates = []\n[relay]\nca_file = "KEY"\n', "relay.ca_file"),
        ('certificates = []\n[admin]\ncertificate = "KEY"\n', "admin.certificate"),
    ],
)
def test_files_are_checked_with_the_rights_of_the_servers_user(authority, line, key):
    """The role has root look at the file before it restarts a server that runs as somebody else."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        certificate, path = Path(folder, "key.pem"), Path(folder, "postern.toml")
        write(certificate, authority, 0o600, names=["mx.b.test"])
        text = f'host_name = "mail.test"\nstate_dir = "/s"\nrun_dir = "/r"\nuser = "USER"\n[tls]\n{line}'
        text = text.replace("KEY", str(certificate))
        path.write_text(text.replace("USER", "nobody"))
        path.chmod(0o600)
        with pytest.raises(bootstrap.BootstrapError) as caught:
            bootstrap.load(str(path), files=True)
        assert f": {key}: " in str(caught.value) and str(caught.value).endswith(f"{certificate}: permission denied")
        assert (os.geteuid(), os.getegid()) == (0, 0) and os.access(certificate, os.R_OK, effective_ids=True)
        certificate.chmod(0o644)
        assert bootstrap.load(str(path), files=True).user == "nobody"
        certificate.chmod(0o600)
        path.write_text(text.replace("USER", "root"))
        assert bootstrap.load(str(path), files=True).user == "root"


def test_reload_without_a_server(program):
    done = program.run("reload")
    assert (done.returncode, done.stderr) == (1, "postern: it does not run\n")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"a.pem"', "it must be a list of files"),
        ("[1]", "it must be a list of files"),
        ('[""]', "it must be a list of files"),
        ('["missing.pem"]', "certificate file FOLDER/missing.pem: no such file or directory"),
        ('["ca.pem"]', "certificate file FOLDER/ca.pem: it lacks a private key"),
        ('["nameless.pem"]', "certificate file FOLDER/nameless.pem: its certificate is for no host name"),
    ],
)
def test_what_is_checked_before_the_start(tmp_path, authority, value, reason):
    for name, names in (("nameless.pem", ["192.0.2.1"]), ("good.pem", ["mx.b.test"])):
        os.replace(authority.issue(name, names=names), tmp_path / name)
    (tmp_path / "ca.pem").write_bytes(open(authority.ca_file, "rb").read())
    path = tmp_path / "postern.toml"
    path.write_text(f'{GOOD}\n[tls]\ncertificates = ["good.pem"]\n')
    assert bootstrap.load(str(path), files=True).certificates == (str(tmp_path / "good.pem"),)
    path.write_text(f"{GOOD}\n[tls]\ncertificates = {value}\n")
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.load(str(path), files=True)
    wanted = f"{path}:10: tls.certificates: {reason.replace('FOLDER', str(tmp_path))}"
    assert str(caught.value).startswith(wanted), caught.value
