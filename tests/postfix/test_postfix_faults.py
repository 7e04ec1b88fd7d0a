# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of a Postfix that fails, or is killed, at each of its steps: afterwards all is as before, or all is done, and it answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import Conflict, ServerError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix import answering, configuration
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.programs import Programs
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.writing import Installation
from faulty_programs import FaultyPrograms

#: Takes a port and keeps it.
_SQUATTER = """\
#!{python}
import os, socket
taken = socket.create_server(("127.0.0.1", {port}), family=socket.AF_INET)
if os.fork():
    os._exit(0)
os.setsid()
with open("{pid}", "w") as file:
    file.write(str(os.getpid()))
os.dup2(os.open(os.devnull, os.O_RDWR), 1)
os.dup2(1, 2)
os.dup2(1, 0)
while True:
    taken.accept()[0].close()
"""


class Site:
    """A running Postfix whose programs can be made to fail, and a change that replaces files of every kind."""

    def __init__(self, host, folder: Path, ports: list[int]) -> None:
        self.host = host
        self.ports = ports
        self.folder = folder
        # A process that is killed leaves its folder there.
        self.temporary = host.folder / "temporary"
        self.temporary.mkdir()
        self.programs = FaultyPrograms(host, folder)
        self.edits = {
            "main": {
                "smtpd_tls_security_level": "encrypt",
                "smtpd_recipient_restrictions": "check_recipient_access lmdb:${config_directory}/securemail/inbound",
            },
            "services": {f"127.0.0.1:{ports[2]}": {"smtpd_tls_security_level": "may"}},
            "tables": {"inbound": "mydomain.test\treject_plaintext_session\n", "recipient_domain": "/@([^@]*)$/ $1\n"},
        }
        self.back = {
            "main": {"smtpd_tls_security_level": "may", "smtpd_recipient_restrictions": None},
            "remove": [f"127.0.0.1:{ports[2]}"],
            "tables": {"inbound": None, "recipient_domain": None},
        }

    @property
    def directory(self) -> str:
        """The configuration directory."""
        return str(self.host.config_directory)

    def change(self, edits: dict, at: int = 0, how: str = "fail", moves: str = "") -> subprocess.CompletedProcess:
        """Make a change in a process of its own, with a fault at call number ``at``."""
        self.programs.fault(at, how)
        arguments = [self.directory, str(self.programs.commands), json.dumps(edits)] + ([moves] if moves else [])
        return subprocess.run(
            [sys.executable, str(Path(__file__).with_name("change_once.py")), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(self.temporary)},
        )

    @property
    def calls(self) -> list[str]:
        """What was called in the last change."""
        return self.programs.calls

    def files(self) -> dict[str, bytes]:
        """All files of the configuration with their contents; of an index only that it is there."""
        found = {}
        for path in sorted(self.host.config_directory.rglob("*")):
            if path.is_file() and not path.is_symlink():
                found[str(path.relative_to(self.host.config_directory))] = b"" if path.suffix == ".lmdb" else path.read_bytes()
        return found

    def answers(self) -> dict[str, str]:
        """What is wrong with each listener of the configuration; "" for nothing."""
        conf = configuration.read(Programs(self.directory, str(self.host.command_directory), 20.0), self.directory)
        return {address: answering.silent(door, address, 5.0) for address, door in answering.doors(conf).items()}

    def finish(self) -> None:
        """What the next run does first."""
        Installation(Programs(self.directory, str(self.host.command_directory), 20.0), self.directory).finish_interrupted()


@pytest.fixture
def site(make_host, lab, tmp_path, free_port, monkeypatch):
    """A running :class:`Site`, in memory where the machine has room for that: each table is forced onto the disk."""
    if os.access("/dev/shm", os.W_OK):
        monkeypatch.setenv("TMPDIR", "/dev/shm")
        monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    ports = []
    while len(set(ports)) < 3:
        ports = [free_port() for _number in range(3)]
    services = (
        f"127.0.0.1:{ports[0]} inet n - n - - smtpd\n"
        f"127.0.0.1:{ports[1]} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
    )
    host = make_host(services, f"smtpd_tls_chain_files = {lab.ecdsa}\n", ["mydomain.test"])
    host.start()
    return Site(host, tmp_path, ports)


def _problems(site: Site, allowed: list[dict[str, bytes]]) -> list[str]:
    """What is not as it should be after a fault and what undoes it."""
    problems = []
    files = site.files()
    if files not in allowed:
        problems.append(f"files: {sorted(files)}")
    silent = {address: why for address, why in site.answers().items() if why}
    if silent:
        problems.append(f"listeners: {silent}")
    return problems


def _without_leftovers(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if ".securemail-" not in path}


def test_change_and_back(site):
    before = site.files()
    done = site.change(site.edits)
    assert done.returncode == 0, done.stdout
    after = site.files()
    assert {path for path in after if before.get(path) != after[path]} == {
        "main.cf", "master.cf", "securemail/inbound", "securemail/inbound.lmdb", "securemail/recipient_domain",
    }
    assert set(site.answers()) == {f"127.0.0.1:{port}" for port in site.ports}
    assert not any(site.answers().values())
    pid = site.host.pid
    done = site.change(site.back)
    assert done.returncode == 0, done.stdout
    assert site.files() == before
    assert site.host.pid == pid


def test_each_call_fails(site):
    before = site.files()
    steps = _steps(site)
    problems = {}
    for number, step in enumerate(steps, 1):
        done = site.change(site.edits, number)
        found = _problems(site, [before])
        if done.returncode != 3 or "made up" not in done.stdout:
            found.append(f"it ended with {done.returncode}: {done.stdout}")
        if found:
            problems[f"{number} {step}"] = found
    assert not problems


@pytest.mark.parametrize("how", ["kill", "after"])
def test_killed_at_each_call(site, how):
    before = site.files()
    steps = _steps(site)
    after = _after(site)
    problems = {}
    for number, step in enumerate(steps, 1):
        done = site.change(site.edits, number, how)
        site.finish()
        found = [] if done.returncode == -signal.SIGKILL else [f"it ended with {done.returncode}: {done.stdout}"]
        if _without_leftovers(site.files()) not in (before, after):
            found.append(f"files: {sorted(site.files())}")
        found += _next_run(site, before, after)
        if found:
            problems[f"{number} {step}"] = found
    assert not problems


def test_killed_before_each_move(site):
    before, after = site.files(), _after(site)
    problems = {}
    number = 0
    while True:
        done = site.change(site.edits, moves=str(number))
        if done.returncode == 0:
            break
        site.finish()
        found = [] if done.returncode == -signal.SIGKILL else [f"it ended with {done.returncode}: {done.stdout}"]
        if _without_leftovers(site.files()) not in (before, after):
            found.append(f"files: {sorted(site.files())}")
        found += _next_run(site, before, after)
        if found:
            problems[number] = found
        number += 1
    assert not problems
    # Five files are moved, and each has a new content or an index beside it, and a journal.
    assert number > 10


def _steps(site: Site) -> list[str]:
    """The calls of a change that nothing happens to; afterwards all is as before."""
    done = site.change(site.edits)
    assert done.returncode == 0, done.stdout
    steps = site.calls
    assert {"postconf", "postmap", "postfix"} == {step.split()[0] for step in steps}
    assert {"check", "reload"} <= {step.split()[-1] for step in steps if step.startswith("postfix ")}
    assert site.change(site.back).returncode == 0
    return steps


def _after(site: Site) -> dict[str, bytes]:
    """The files after the change; afterwards all is as before."""
    assert site.change(site.edits).returncode == 0
    after = site.files()
    assert site.change(site.back).returncode == 0
    return after


def _next_run(site: Site, before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """What is wrong with the run after the one that was killed, and with the one that takes it all back."""
    problems = []
    done = site.change(site.edits if _without_leftovers(site.files()) != after else {"main": {"biff": "yes"}})
    if done.returncode:
        problems.append(f"the next run ended with {done.returncode}: {done.stdout}")
    elif "biff = yes" not in site.host.main_cf.read_text():
        problems += _problems(site, [after])
    done = site.change({**site.back, "main": {**site.back["main"], "biff": "no"}})
    if done.returncode:
        problems.append(f"the run back ended with {done.returncode}: {done.stdout}")
    return problems + _problems(site, [before])


def test_port_that_is_taken(site):
    before = site.files()
    with socket.create_server(("127.0.0.1", site.ports[2])):
        done = site.change(site.edits)
    assert done.returncode == 3
    assert done.stdout.startswith(f"PolicyError: listener 127.0.0.1:{site.ports[2]}: Postfix could not listen there")
    assert not _problems(site, [before])
    assert not any("reload" in call for call in site.calls)


def test_port_that_is_taken_after_the_bind(site):
    before, pid = site.files(), site.host.pid
    number = next(number for number, step in enumerate(_steps(site), 1) if step.endswith(" reload"))
    squatter, pid_file = site.folder / "hook", site.folder / "squatter.pid"
    squatter.write_text(_SQUATTER.format(python=sys.executable, port=site.ports[2], pid=pid_file))
    squatter.chmod(0o755)
    done = site.change(site.edits, number, "hook")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert done.returncode == 3
    assert "Postfix has ended" in done.stdout
    assert not _problems(site, [before])
    assert site.host.pid not in (None, pid)


def test_killed_while_it_is_undone(site):
    before = site.files()
    number = next(number for number, step in enumerate(_steps(site), 1) if step.endswith(" reload"))
    problems = {}
    moves = 5
    while True:
        done = site.change(site.edits, number, "fail", str(moves))
        if done.returncode == 3:
            break
        site.finish()
        if _without_leftovers(site.files()) != before or any(site.answers().values()):
            problems[moves] = sorted(site.files())
        moves += 1
    assert not problems
    assert moves > 10


def test_a_listener_that_would_be_silent(site):
    before, pid = site.files(), site.host.pid
    done = site.change({"main": {"smtpd_tls_security_level": "maybe"}})
    assert done.returncode == 3
    assert done.stdout.startswith(f"ReadBackError: see that listener 127.0.0.1:{site.ports[0]} answers: ")
    assert not _problems(site, [before])
    # Its processes failed, so that only a new master process starts them at once.
    assert site.host.pid not in (None, pid)


def test_a_certificate_that_is_not_there(site):
    before = site.files()
    done = site.change({"main": {"smtpd_tls_chain_files": str(site.folder / "none.pem")}})
    assert done.returncode == 3
    assert "ReadBackError: see that listener" in done.stdout
    assert not _problems(site, [before])


def test_what_is_taken_over_at_the_start_only(site):
    before, pid = site.files(), site.host.pid
    done = site.change({"main": {"inet_protocols": "ipv4"}})
    assert done.returncode == 0, done.stdout
    assert site.host.pid not in (None, pid)
    assert site.change({"main": {"inet_protocols": "all"}}).returncode == 0
    assert not _problems(site, [before])


def test_links_modes_and_owners_stay(site):
    main, elsewhere = site.host.main_cf, site.host.folder / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    target = elsewhere / "main.cf"
    main.rename(target)
    main.symlink_to(target)
    target.chmod(0o640)
    os.chown(target, 0, 4)
    site.host.master_cf.chmod(0o600)
    for edits in (site.edits, site.back):
        assert site.change(edits).returncode == 0
        assert main.is_symlink()
        found = target.stat()
        assert (found.st_mode & 0o7777, found.st_gid) == (0o640, 4)
        assert site.host.master_cf.stat().st_mode & 0o7777 == 0o600
    assert sorted(path.name for path in elsewhere.iterdir()) == ["main.cf"]


def test_one_that_does_not_run_is_not_started(site):
    site.host.stop()
    assert site.change(site.edits).returncode == 0
    assert site.host.pid is None
    assert "encrypt" in site.host.main_cf.read_text()
    assert not any(call.endswith((" start", " reload")) for call in site.calls)


def test_a_folder_that_others_may_write(site):
    before = site.files()
    site.host.config_directory.chmod(0o775)
    done = site.change(site.edits)
    assert done.returncode == 3
    assert "mode 0775: others could replace what is written there" in done.stdout
    assert site.files() == before


def test_two_runs_at_once(site):
    before = site.files()
    programs = Programs(site.directory, str(site.host.command_directory), 20.0)
    first = Installation(programs, site.directory)
    conf = configuration.read(programs, site.directory)
    first.begin(conf.files)
    second = Installation(Programs(site.directory, str(site.host.command_directory), 0.2), site.directory)
    with pytest.raises(ServerError, match="another task has been changing it"):
        second.begin(conf.files)
    site.host.main_cf.write_text(site.host.main_cf.read_text() + "biff = yes\n")
    with pytest.raises(Conflict):
        first.apply({"main.cf": b"# nothing\n"})
    first.close()
    with pytest.raises(Conflict):
        second.begin(conf.files)
    site.host.main_cf.write_bytes(before["main.cf"])
    assert site.files() == before
