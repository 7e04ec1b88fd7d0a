# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OpenSSL configuration that the server starts with, alone and under real processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest

from postern import opensslconf
from whole_server import add_listener, free_port

OPENSSL_3_0, OPENSSL_3_5 = (3, 0, 0, 15, 0), (3, 5, 0, 0, 0)
OURS = "X25519:P-256:P-384"


def chain(folder, system: str, more: str = "") -> str:
    """A host's file whose section for all contexts is ``system``."""
    path = folder / "host.cnf"
    path.write_text(
        "openssl_conf = begin # the entry\n[begin]\nssl_conf=modules\nproviders = some\n"
        f"[some]\n[modules]\nsystem_default = for_all\n[ for_all ]\n{system}\n{more}"
    )
    return str(path)


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        ("MinProtocol = TLSv1.2", OURS),
        ("#Groups = P-521", OURS),
        ("Groups = X25519:secp256r1:X448:secp521r1:secp384r1:ffdhe2048", OURS),
        ("Groups = secp521r1:prime256v1", "P-256"),
        ("Curves = P-384:P-521", "P-384"),
        # Nothing of ours is allowed there: theirs is kept, and nothing is weakened.
        ("Groups = brainpoolP256r1", "brainpoolP256r1"),
    ],
)
def test_what_the_host_leaves_out_stays_out(tmp_path, system, wanted):
    lines = opensslconf.text(chain(tmp_path, system), OPENSSL_3_0).splitlines()
    assert lines[1:] == [f".include {tmp_path}/host.cnf", "[for_all]", f"Groups = {wanted}"]


def test_a_policy_of_the_host_in_a_file_of_its_own(tmp_path):
    (tmp_path / "policy").write_text("CipherString = DEFAULT\nGroups = secp384r1\n[other]\nGroups = X25519\n")
    for include in (f".include = {tmp_path}/policy", f".include {tmp_path}/policy"):
        lines = opensslconf.text(chain(tmp_path, include, "[behind]\nx = y"), OPENSSL_3_0).splitlines()
        assert lines[2:] == ["[for_all]", "Groups = P-384"]


def test_a_host_without_a_file_or_without_a_chain(tmp_path):
    whole = [
        "[default]", "openssl_conf = postern_init", "[postern_init]", "ssl_conf = postern_ssl",
        "[postern_ssl]", "system_default = postern_tls", "[postern_tls]", f"Groups = {OURS}",
    ]  # fmt: skip
    assert opensslconf.text("", OPENSSL_3_0).splitlines()[1:] == whole
    (tmp_path / "empty.cnf").write_text("openssl_conf = begin\n[begin]\n")
    found = opensslconf.text(str(tmp_path / "empty.cnf"), OPENSSL_3_0).splitlines()[2:]
    assert found == ["[begin]", *whole[3:]]


def test_the_hybrid_group_comes_first_where_openssl_has_it():
    assert opensslconf.text("", OPENSSL_3_5).splitlines()[-1] == f"Groups = ?X25519MLKEM768:{OURS}"


def test_the_file_is_written_once_and_readable_for_the_servers_user(tmp_path):
    before = os.umask(0o077)
    try:
        path = opensslconf.write(str(tmp_path))
        first = os.stat(path)
        assert opensslconf.write(str(tmp_path)) == path and os.stat(path).st_ino == first.st_ino
        (tmp_path / "openssl.cnf").write_text("something else")
        opensslconf.write(str(tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / "openssl.cnf").read_text() == opensslconf.text(opensslconf.host_file())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644 and os.listdir(tmp_path) == ["openssl.cnf"]


_SPEAK = """
import socket, ssl, sys, warnings
warnings.simplefilter("ignore")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1
context.set_ciphers("ALL:@SECLEVEL=0")
context.load_cert_chain(sys.argv[1])
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    try:
        context.wrap_socket(server.accept()[0], server_side=True).recv(1)
    except OSError:
        pass
"""


def speaks(port: int, *options: str) -> bool:
    """Whether OpenSSL's client, which has every group, gets through."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-cipher", "ALL:@SECLEVEL=0", *options]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["-groups", "X25519"], True), (["-groups", "P-256"], True), (["-groups", "P-384"], True),
        (["-groups", "P-521"], False), (["-groups", "X448"], False), (["-groups", "ffdhe2048"], False),
        (["-tls1_2", "-groups", "P-521"], False), (["-tls1"], True), (["-tls1_1"], True), (["-tls1_2"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)  # fmt: skip
def test_what_a_process_with_the_file_speaks(tmp_path, ec_file, options, wanted):
    """Fewer groups, and no version less: a listener that is told to speak old ones still does."""
    environment = {**os.environ, opensslconf.VARIABLE: opensslconf.write(str(tmp_path))}
    with subprocess.Popen(
        [sys.executable, "-c", _SPEAK, ec_file], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert speaks(int(server.stdout.readline()), *options) is wanted
        server.kill()


def tls_port(program, certificate: str) -> int:
    """A listener that begins with TLS."""
    port = free_port()
    controls = (f'certFile "{certificate}"',)
    add_listener(program.admin(), port, *controls, sets=("sslEnable yes", "enable yes"))
    return port


def test_the_supervised_server_has_it_and_says_so(program, ec_file):
    program.start()
    said = program.event("tls.library")
    assert (said["configuration"], said["of"]) == (f"{program.folder}/run/openssl.cnf", "postern")
    port = tls_port(program, ec_file)
    assert speaks(port, "-groups", "P-256") and not speaks(port, "-groups", "P-521")


def test_a_server_in_the_foreground_begins_again_with_it(program, ec_file):
    process = program.popen("serve", **{opensslconf.VARIABLE: ""})
    assert program.event("tls.library")["of"] == "postern"
    program.event("server.started")
    assert program.status()["pid"] == process.pid
    port = tls_port(program, ec_file)
    assert speaks(port, "-groups", "P-256") and not speaks(port, "-groups", "P-521")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.parametrize("command", ["serve", "start"])
def test_an_administrators_own_one_is_respected(program, ec_file, command):
    own = program.folder / "own.cnf"
    own.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nGroups = P-521\n")
    own.chmod(0o644)
    process = program.popen(command, **{opensslconf.VARIABLE: str(own)})
    said = program.event("tls.library")
    assert (said["configuration"], said["of"]) == (str(own), "the administrator")
    program.event("server.started")
    port = tls_port(program, ec_file)
    assert speaks(port, "-groups", "P-521") and not speaks(port, "-groups", "X25519")
    assert not (program.folder / "run" / "openssl.cnf").exists()
    assert program.run("stop").returncode == 0 and process.wait(30) == 0
