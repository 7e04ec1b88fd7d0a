# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program: its bootstrap file, its commands, what keeps it alive. Real processes, as directory and archive."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import postern
from admin_harness import RawClient
from postern import bootstrap
from postern.receiving import Receiving

pytest.importorskip("scramp", reason="the receiving half needs scramp")

PLACE = Path(postern.__path__[0]).parent
SECRET = "boot strap"


class Program:
    """The program with a configuration of its own. Its log is a pipe, so that a test can wait for an event."""

    def __init__(self, folder: Path, python: str = sys.executable, place: Path = PLACE, user: str = "") -> None:
        folder.mkdir(mode=0o755, exist_ok=True)
        self.folder = folder
        self._command = [python, str(place)] if place.is_file() else [python, "-m", "postern"]
        self._environment = {**os.environ, "PYTHONPATH": "" if place.is_file() else str(place)}
        self.config = folder / "postern.toml"
        self.state_dir = folder / "state"
        self.pid_file = folder / "run" / "postern.pid"
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        log = folder / "log"
        os.mkfifo(log)
        self._log = os.fdopen(os.open(log, os.O_RDWR), "rb")
        self.user = user or ("root" if os.geteuid() == 0 else "")
        self.write_config()

    def write_config(self) -> None:
        user = f'user = "{self.user}"\n' if self.user else ""
        self.config.write_text(
            f'host_name = "mail.example.test"\nstate_dir = "{self.state_dir}"\nrun_dir = "{self.folder}/run"\n'
            f'log_file = "log"\n{user}[admin]\naddress = "127.0.0.1:{self.port}"\n'
        )

    def run(self, command: str, *more: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, command, "--config", str(self.config), *more],
            input=text, capture_output=True, text=True, timeout=60, env=self._environment, cwd="/", check=False,
        )  # fmt: skip

    def popen(self, command: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, command, "--config", str(self.config)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
            env={**self._environment, **environment},
        )  # fmt: skip

    def start(self) -> Program:
        assert self.run("passwd", text=SECRET + "\n").returncode == 0
        started = self.run("start")
        assert (started.returncode, started.stdout) == (0, "started\n"), started.stderr
        return self

    def status(self) -> dict:
        return json.loads(self.run("status").stdout)

    def event(self, name: str) -> dict:
        """Wait for the next event of this name in the log."""
        while True:
            record = json.loads(self._log.readline())
            if record["event"] == name:
                return record

    def wait_until_gone(self) -> None:
        with open(self.pid_file) as file:
            fcntl.flock(file, fcntl.LOCK_SH)

    def admin(self) -> RawClient:
        return RawClient(("127.0.0.1", self.port)).login(SECRET)


@pytest.fixture
def new_program(tmp_path):
    made = []

    def make(**keywords):
        made.append(Program(tmp_path / f"program{len(made)}", **keywords))
        return made[-1]

    yield make
    for program in made:
        program.run("stop")


@pytest.fixture
def program(new_program):
    return new_program()


# --- the bootstrap file -------------------------------------------------------------------------

GOOD = '''host_name = "mail.example.test"
state_dir = "/var/lib/postern"
run_dir = "/run/postern"
user = "USER"

[admin]
address = "127.0.0.1:7000"
'''.replace("USER", pwd.getpwuid(os.geteuid()).pw_name)


def test_defaults_and_relative_paths(tmp_path):
    path = tmp_path / "postern.toml"
    path.write_text(GOOD.replace("[admin]", 'log_file = "a.log"\ninitial_script = "b.script"\n[admin]'))
    found = bootstrap.load(str(path))
    assert (found.log_file, found.initial_script) == (str(tmp_path / "a.log"), str(tmp_path / "b.script"))
    assert (found.admin_host, found.admin_port, found.admin_certificate) == ("127.0.0.1", 7000, "")
    path.write_text(GOOD.replace("127.0.0.1:7000", "[::1]:7001"))
    assert (bootstrap.load(str(path)).admin_host, bootstrap.load(str(path)).log_file) == ("::1", "-")


def test_sending_has_defaults_and_keys(tmp_path):
    path = tmp_path / "postern.toml"
    path.write_text(GOOD)
    found = bootstrap.load(str(path))
    assert (found.dns_servers, found.relay_ca_file, found.relay_command_timeout) == ((), "", 0)
    assert found.relay_retry == (300, 900, 1800, 3600, 7200, 14400)
    assert (found.relay_lifetime, found.relay_warn_after) == (5 * 24 * 3600, 4 * 3600)
    path.write_text(
        GOOD
        + """
[dns]
servers = ["127.0.0.1:5353", "192.0.2.53", "[::1]:5353", "2001:DB8::1"]
[relay]
ca_file = "ca.pem"
retry = [0.5, 60]
lifetime = 600
warn_after = 2.5
command_timeout = 3
host_connections = 2
keep = 0
"""
    )
    found = bootstrap.load(str(path))
    assert found.dns_servers == ("127.0.0.1:5353", "192.0.2.53:53", "[::1]:5353", "[2001:db8::1]:53")
    assert (found.relay_ca_file, found.relay_retry) == (str(tmp_path / "ca.pem"), (0.5, 60))
    assert (found.relay_lifetime, found.relay_warn_after, found.relay_command_timeout) == (600, 2.5, 3)
    assert (found.relay_bounds.per_host, found.relay_bounds.kept, found.relay_bounds.connections) == (2, 0, 50)


@pytest.mark.parametrize(
    ("section", "line", "reason"),
    [
        ("dns", 'servers = "192.0.2.53"', "servers: it must be a list of addresses"),
        ("dns", "servers = [53]", "servers: it must be a list of addresses"),
        ("dns", 'servers = ["dns.example"]', "servers: 'dns.example' is not ip, ip:port or [ipv6]:port"),
        ("dns", 'servers = ["192.0.2.53:0"]', "servers: '192.0.2.53:0' is not"),
        ("dns", 'servers = ["192.0.2.53:65536"]', "servers: '192.0.2.53:65536' is not"),
        ("dns", 'servers = ["[192.0.2.53]:53"]', "servers: '[192.0.2.53]:53' is not"),
        ("dns", 'servers = [""]', "servers: '' is not"),
        ("dns", 'server = ["192.0.2.53"]', "server: unknown key; known are: servers"),
        ("relay", "ca_file = 1", "ca_file: it must be a text"),
        ("relay", "retry = 300", "retry: it must be a list of seconds"),
        ("relay", "retry = []", "retry: it must be a list of seconds"),
        ("relay", "retry = [300, 0]", "retry: it must be a list of seconds, each more than 0"),
        ("relay", 'retry = ["5m"]', "retry: it must be a list of seconds"),
        ("relay", "retry = [nan]", "retry: it must be a list of seconds"),
        ("relay", "lifetime = 0", "lifetime: it must be a number of seconds, more than 0"),
        ("relay", "lifetime = inf", "lifetime: it must be a number of seconds"),
        ("relay", "warn_after = true", "warn_after: it must be a number of seconds, 0 (never) or more"),
        ("relay", "command_timeout = -1", "command_timeout: it must be a number of seconds, 0 (the limits of RFC 5321)"),
        ("relay", 'host = "x"', "host: unknown key; known are: ca_file, retry, lifetime, warn_after, command_timeout,"),
        ("relay", "host_connections = 0", "host_connections: it must be a whole number from 1 to 500"),
        ("relay", "connections = true", "connections: it must be a whole number from 1 to 500"),
        ("relay", "keep = -1", "keep: it must be a number of seconds, 0 (a connection for each message) or more"),
        ("relay", "longest_wait = 0", "longest_wait: it must be a number of seconds, more than 0"),
    ],
)
def test_errors_about_sending(tmp_path, section, line, reason):
    path = tmp_path / "postern.toml"
    path.write_text(f"{GOOD}\n[{section}]\n# a comment\n{line}\n")
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.load(str(path))
    assert str(caught.value).startswith(f"{path}:11: {section}.{reason}")


@pytest.mark.parametrize(("line", "number"), [("", 600), ("interval_connections = 0", 0), ("interval_connections = 7", 7)])
def test_connections_of_administrators_in_a_minute(tmp_path, line, number):
    path = tmp_path / "postern.toml"
    path.write_text(GOOD.replace("[admin]", f"[admin]\n{line}"))
    assert bootstrap.load(str(path)).admin_interval_connections == number


def test_receiving_has_defaults_and_keys(tmp_path):
    path = tmp_path / "postern.toml"
    path.write_text(GOOD)
    assert bootstrap.load(str(path)).receiving == Receiving()
    given = {
        "greet_delay": 2,
        "early_talkers": "refuse",
        "floor_speed": 0,
        "floor_span": 60.5,
        "crowded_idle": 0,
        "transaction_time": 0,
        "peer_auth_failures": 0,
        "account_auth_failures": 7,
        "auth_window": 60,
    }
    path.write_text(GOOD + "\n[receiving]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    assert bootstrap.load(str(path)).receiving == Receiving(**given)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("greet_delay = 61", "greet_delay: it must be a number from 0 to 60"),
        ("greet_delay = -1", "greet_delay: it must be a number from 0 to 60"),
        ("early_talkers = true", "early_talkers: it must be one of: serve, refuse"),
        ("early_talkers = []", "early_talkers: it must be one of: serve, refuse"),
        ("floor_span = 0", "floor_span: it must be a number from 1 to 86400"),
        ("floor_speed = inf", "floor_speed: it must be a number from 0 to 1000000000"),
        ("crowded_idle = nan", "crowded_idle: it must be a number from 0 to 86400"),
        ("transaction_time = '5m'", "transaction_time: it must be a number from 0 to 86400"),
        ("peer_auth_failures = 2.5", "peer_auth_failures: it must be a whole number from 0 to 1000000"),
        ("account_auth_failures = true", "account_auth_failures: it must be a whole number from 0 to 1000000"),
        ("auth_window = 0", "auth_window: it must be a number from 1 to 86400"),
        ("idle = 1", "idle: unknown key; known are: early_talkers, greet_delay, floor_speed, "),
    ],
)
def test_errors_about_receiving(tmp_path, line, reason):
    path = tmp_path / "postern.toml"
    path.write_text(f"{GOOD}\n[receiving]\n# a comment\n{line}\n")
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.load(str(path))
    assert str(caught.value).startswith(f"{path}:11: receiving.{reason}")


@pytest.mark.parametrize("section", ["dns", "relay", "receiving"])
def test_a_value_where_a_table_is_needed(tmp_path, section):
    path = tmp_path / "postern.toml"
    path.write_text(GOOD.replace("[admin]", f"{section} = 3\n[admin]"))
    with pytest.raises(bootstrap.BootstrapError, match=rf":6: {section}: it must be a table"):
        bootstrap.load(str(path))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('host_name = "mail.example.test"', "", ":1: host_name: it is missing"),
        ('"mail.example.test"', '"-x"', ":1: host_name: it must be a host name"),
        ('"mail.example.test"', "5", ":1: host_name: it must be a text"),
        ('"/var/lib/postern"', '"state"', ":2: state_dir: it must be an absolute path"),
        ('"/run/postern"', '"a\\u0007"', ":3: run_dir: it must be a text in quotes, without control"),
        ("[admin]", "colour = 'red'\n[admin]", ":6: colour: unknown key; known are: host_name"),
        ("[admin]", "[admin]\ncolour = 'red'", ":7: admin.colour: unknown key; known are: address"),
        ("[admin]", "[admin]\ninterval_connections = -1", ":7: admin.interval_connections: it must be a whole number"),
        ("[admin]", "[admin]\ninterval_connections = true", ":7: admin.interval_connections: it must be a whole number"),
        ("127.0.0.1:7000", "localhost:7000", ":7: admin.address: 'localhost:7000' is not ip:port"),
        ("127.0.0.1:7000", "127.0.0.1:70000", ":7: admin.address"),
        ("127.0.0.1:7000", "127.0.0.1", ":7: admin.address"),
        ("[admin]", "admin = 3\n[other]", ":6: admin: it must be a table"),
        ("[admin]", "[admin", ":6: "),
        ('user = "', 'user = "no-such-user-', ":4: user: there is no user"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path, old, new, reason):
    path = tmp_path / "postern.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.load(str(path))
    assert f"{path}{reason}" in str(caught.value)


def test_all_problems_at_once(tmp_path):
    path = tmp_path / "postern.toml"
    path.write_text("x = 1\ny = 2\n")
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.load(str(path))
    assert len(str(caught.value).splitlines()) >= 5


def test_check(program):
    good = program.run("check")
    assert (good.returncode, good.stdout) == (0, f"{program.config}: ok\n")
    whole = program.config.read_text()
    program.config.write_text(f'initial_script = "missing.script"\n{whole}certificate = "missing.pem"\n')
    lacking = program.run("check")
    lines = len(whole.splitlines()) + 2
    assert lacking.returncode == 1
    assert f":1: initial_script: there is no file {program.folder}/missing.script" in lacking.stderr
    assert f":{lines}: admin.certificate: there is no file {program.folder}/missing.pem" in lacking.stderr
    program.config.write_bytes(b"# \xff\n")
    bad = program.run("check")
    assert bad.returncode == 1 and f"{program.config}:1: the file is not UTF-8" in bad.stderr
    program.config.unlink()
    assert "No such file" in program.run("check").stderr


def test_check_reads_the_trusted_authorities(program):
    whole = program.config.read_text()
    program.config.write_text(f'{whole}\n[relay]\nca_file = "ca.pem"\n')
    place = f":{len(whole.splitlines()) + 3}: relay.ca_file: {program.folder}/ca.pem"
    missing = program.run("check")
    assert missing.returncode == 1 and f"{place}: no such file or directory" in missing.stderr
    (program.folder / "ca.pem").write_text("no certificate")
    wrong = program.run("check")
    assert wrong.returncode == 1 and f"{place} holds no certificates in PEM form" in wrong.stderr
    pytest.importorskip("cryptography", reason="the authority for this test is made with cryptography")
    make = [sys.executable, str(PLACE / "lab_certificates.py"), str(program.folder), "mail.example.test"]
    subprocess.run(make, check=True, capture_output=True)
    assert program.run("check").returncode == 0


# --- commands -----------------------------------------------------------------------------------


def test_version_needs_no_configuration():
    command = [sys.executable, "-m", "postern", "version"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(PLACE)}, check=True)
    assert done.stdout == f"postern {postern.__version__}\n"


def test_passwd(program):
    assert program.run("passwd", "--verify", text="x\n").returncode == 1
    assert program.run("passwd", text="x y\n").returncode == 0
    assert program.run("passwd", "--verify", text="x y\n").returncode == 0
    assert program.run("passwd", "--verify", text="x y").returncode == 0
    assert program.run("passwd", "--verify", text="other\n").returncode == 1
    assert "empty" in program.run("passwd", text="\n").stderr
    assert program.run("passwd", "--verify", text="x y\n").returncode == 0
    file = program.state_dir / "admin.passwd"
    assert file.stat().st_mode & 0o777 == 0o600 and "x y" not in file.read_text()


def test_start_status_stop(program):
    assert program.run("status").returncode == 3
    assert (program.run("stop").returncode, program.run("stop").stdout) == (0, "not running\n")
    program.start()
    again = program.run("start")
    assert (again.returncode, again.stdout) == (0, "already running\n")
    status = program.run("status")
    assert status.returncode == 0
    known = json.loads(status.stdout)
    assert (known["running"], known["admin"], known["listening"]) == (True, f"127.0.0.1:{program.port}", [])
    assert known["pid"] == int(program.pid_file.read_text()) and known["queued"] == 0
    program.admin().ok("SAVE CONFIG")
    assert program.run("stop").stdout == "stopped\n"
    assert json.loads(program.run("status").stdout) == {"running": False}
    with socket.socket() as attempt:
        assert attempt.connect_ex(("127.0.0.1", program.port)) != 0


def test_two_starts_at_once_are_one_start(program):
    program.run("passwd", text=SECRET)
    starts = [program.popen("start") for _number in range(3)]
    said = sorted(start.communicate(timeout=60)[0] for start in starts)
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert said == ["already running\n", "already running\n", "started\n"]


def test_a_restart_loses_what_was_not_saved(program):
    client = program.start().admin()
    client.ok("CONFIG SERVER", "SET serverName saved.example", "COMMIT", "SAVE CONFIG")
    client.ok("CONFIG SERVER", "SET serverName unsaved.example", "COMMIT")
    assert program.run("restart").stdout == "started\n"
    assert '"saved.example"' in program.admin().ok("CONFIG SERVER", "SHOW ATTR serverName")


def test_a_start_that_fails_says_why_and_leaves_nothing_running(program):
    program.run("passwd", text=SECRET)
    with socket.create_server(("127.0.0.1", program.port)):
        failed = program.run("start")
    assert failed.returncode == 1 and f"127.0.0.1:{program.port}" in failed.stderr and "in use" in failed.stderr
    assert program.run("status").returncode == 3
    program.start()


def test_a_broken_saved_configuration_fails_the_start_with_its_line(program):
    program.run("passwd", text=SECRET)
    (program.state_dir / "postern.cfg").write_text("Server {\n  maxErrors\n}\n")
    failed = program.run("start")
    assert failed.returncode == 1 and "postern.cfg: line 3" in failed.stderr


def test_a_script_that_cannot_run_leaves_the_admin_side_up(program):
    program.run("passwd", text=SECRET)
    (program.state_dir / "filters").mkdir()
    (program.state_dir / "filters" / "smtpFilters.script").write_text("event onEhlo {\n  set (a);\n}\n")
    started = program.run("start")
    assert started.returncode == 5 and "administrators only" in started.stderr and "line 2" in started.stderr
    again = program.run("start")
    assert (again.returncode, again.stdout, again.stderr) == (5, "already running\n", started.stderr)
    client = program.admin()
    client.ok("CONFIG SERVER")
    client.upload(b"# repaired\n")
    client.ok("COMMIT")
    assert program.status()["problem"] == "" and program.run("start").returncode == 0


# --- staying alive ------------------------------------------------------------------------------


def test_a_killed_server_comes_back_with_what_was_committed(program):
    client = program.start().admin()
    program.event("server.started")
    client.ok("CONFIG SERVER", "SET serverName committed.example", "COMMIT")
    before = program.status()
    os.kill(before["server_pid"], signal.SIGKILL)
    assert client.at_end()
    assert program.event("supervisor.child")["exit"] == -signal.SIGKILL
    program.event("server.started")
    after = program.status()
    assert after["pid"] == before["pid"] and after["server_pid"] != before["server_pid"]
    assert '"committed.example"' in program.admin().ok("CONFIG SERVER", "SHOW ATTR serverName")


def test_the_server_ends_with_its_supervisor(program):
    program.start()
    os.kill(program.status()["pid"], signal.SIGKILL)
    program.event("server.stopped")
    program.wait_until_gone()
    assert program.run("status").returncode == 3
    assert program.run("start").stdout == "started\n"


def test_a_supervisor_that_waits_to_restart_can_be_stopped(program):
    program.start()
    program.event("server.started")
    os.kill(program.status()["server_pid"], signal.SIGKILL)
    program.event("supervisor.restart")
    assert program.run("stop").stdout == "stopped\n"


def test_serve_in_the_foreground_ends_gracefully_and_tells_its_manager(program, tmp_path):
    program.run("passwd", text=SECRET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        process = program.popen("serve", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(200).startswith(b"READY=1\n")
    client = program.admin()
    assert "it runs already" in program.run("serve").stderr
    assert program.run("start").stdout == "already running\n"
    process.send_signal(signal.SIGTERM)
    assert client.at_end()
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    assert not (program.state_dir / "postern.active").exists()


# --- as an archive, and as root -----------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The packed program, together with the packages that its environment would hold."""
    spec = importlib.util.spec_from_file_location("pack", PLACE / "pack.py")
    pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    folder = tmp_path_factory.mktemp("archive")
    path = folder / "postern.pyz"
    path.write_bytes(pack.archive(str(PLACE / "postern")))
    with zipfile.ZipFile(path, "a") as bundle:
        for name in ("scramp", "asn1crypto", "aiosmtplib", "dnspython"):
            for file in metadata.distribution(name).files:
                if file.suffix == ".py" or file.name == "METADATA":
                    bundle.write(file.locate(), str(file))
    return path


def test_the_archive_holds_the_script_parser_as_a_file(archive):
    with zipfile.ZipFile(archive) as bundle:
        assert b"def parse(" in bundle.read("postern/rules/script.py")


def test_the_archive_runs(new_program, archive):
    program = new_program(place=archive).start()
    client = program.admin()
    client.ok("CONFIG SERVER")
    assert "+OK" in client.upload(b"event onEhlo {\n}\n")
    client.ok("COMMIT", "SAVE CONFIG")
    program.event("server.started")
    os.kill(program.status()["server_pid"], signal.SIGKILL)
    program.event("server.started")
    assert program.run("restart").stdout == "started\n"
    assert program.run("stop").stdout == "stopped\n"


def _privileged_port():
    for port in range(1023, 600, -1):
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    pytest.skip("no free port below 1024")


@pytest.fixture
def as_root(tmp_path_factory, archive):
    """A program that root starts for another user, in places that this user can enter."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a process the rights of another user")
    python = Path("/usr/bin/python3")
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not python.exists() or subprocess.run([python, "-I", "-c", probe], check=False).returncode:
        pytest.skip("the system has no Python 3.11 that every user can run")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Path(folder) / "postern.pyz"
        place.write_bytes(archive.read_bytes())
        program = Program(Path(folder) / "program", python=str(python), place=place, user="nobody")
        yield program
        program.run("stop")


def test_root_drops_to_the_user_and_low_ports_can_still_be_bound(as_root):
    program = as_root.start()
    nobody = pwd.getpwnam("nobody")
    pid = program.status()["server_pid"]
    facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert set(facts["Uid"].split()) == {str(nobody.pw_uid)} and set(facts["Gid"].split()) == {str(nobody.pw_gid)}
    bind_only = 1 << 10
    assert [int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == [bind_only] * 4
    for path in (program.state_dir, *program.state_dir.iterdir()):
        assert path.stat().st_uid == nobody.pw_uid, path
    assert program.pid_file.stat().st_uid == 0
    port = _privileged_port()
    client = program.admin()
    client.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.0.0.1:{port}", "COMMIT", "COMMIT", "COMMIT")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as smtp:
        assert smtp.recv(100).startswith(b"220 mail.example.test")
    program.event("server.started")
    os.kill(pid, signal.SIGKILL)
    program.event("server.started")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as smtp:
        assert smtp.recv(100).startswith(b"220 ")


def test_root_serving_in_the_foreground_drops_too(as_root):
    program = as_root
    program.run("passwd", text=SECRET)
    process = program.popen("serve")
    program.event("server.started")
    assert Path(f"/proc/{process.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert program.status()["pid"] == process.pid
    assert program.run("stop").stdout == "stopped\n"
    assert process.wait(30) == 0
    # Looking at a queue makes files beside it, which must not be root's: the server could not start any more.
    assert program.run("queue").stdout == "the queue is empty\n"
    assert {path.stat().st_uid for path in program.state_dir.iterdir()} == {pwd.getpwnam("nobody").pw_uid}


def test_a_missing_setpriv_is_named(as_root):
    as_root._environment["PATH"] = "/nonexistent"
    failed = as_root.run("start")
    assert failed.returncode == 1 and "setpriv: No such file or directory" in failed.stderr
    assert as_root.run("status").returncode == 3


def test_root_must_name_the_user(as_root):
    as_root.user = ""
    as_root.write_config()
    failed = as_root.run("check")
    assert failed.returncode == 1 and "user: it is missing, and the server is started as root" in failed.stderr
