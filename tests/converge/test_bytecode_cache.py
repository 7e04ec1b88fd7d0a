# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compiled code that one task leaves to the next, with modules as Ansible sends them: who may have written it counts."""

from __future__ import annotations

import json
import marshal
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from mta_process import PASSWORD, play

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode, _bytecode_store

ENTRY = "ansible_collections/securemail/smtp/plugins/module_utils/_policy/errors.py"
ROOT = Path(__file__).resolve().parents[2]
MARK = "this came from the cache"


@pytest.fixture(scope="module")
def payload(tmp_path_factory, shared_mta):
    """A module as Ansible puts it on a host."""
    folder = tmp_path_factory.mktemp("payload")
    playbook = folder / "playbook.yml"
    tasks = [{"securemail.smtp.smtp_info": {"admin_port": shared_mta.port, "admin_password": PASSWORD}}]
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    play(
        playbook, shared_mta.port, ANSIBLE_KEEP_REMOTE_FILES="1", ANSIBLE_REMOTE_TEMP=str(folder / "remote"),
        SECUREMAIL_BYTECODE_CACHE="off",
    )
    [found] = (folder / "remote").glob("*/AnsiballZ_smtp_info.py")
    return found


class Host:
    """A user's cache folder on a host, and tasks that run there."""

    def __init__(self, payload: Path, base: Path) -> None:
        self.payload = payload
        self.base = base
        self.folder = base / _bytecode.FOLDER

    def begin(self, **variables: str) -> subprocess.Popen[str]:
        """Start a task."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment.update(XDG_CACHE_HOME=str(self.base), **variables)
        return subprocess.Popen(
            [sys.executable, str(self.payload)], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @staticmethod
    def end(task: subprocess.Popen[str]) -> bool:
        """Whether the task took code from the cache; it must not have failed in any case."""
        output, errors = task.communicate()
        assert task.returncode == 0 and json.loads(output)["policy"]["listeners"] == [], (output, errors)
        assert errors in ("", MARK), errors
        return errors == MARK

    def run(self, **variables: str) -> bool:
        """One task from begin to end."""
        return self.end(self.begin(**variables))

    def files(self) -> list[Path]:
        """What lies in the folder."""
        return sorted(self.folder.iterdir()) if self.folder.exists() else []

    def mark(self) -> Path:
        """Make the code in the cache say that it is used."""
        [path] = self.files()
        start = len(_bytecode.MAGIC) + 4
        codes = marshal.loads(path.read_bytes()[start:])
        source = (ROOT / ENTRY[len("ansible_collections/securemail/smtp/"):]).read_text()
        codes[ENTRY] = marshal.dumps(compile("%s\nimport sys\nsys.stderr.write(%r)\n" % (source, MARK), ENTRY, "exec"))
        body = marshal.dumps(codes)
        path.write_bytes(_bytecode.MAGIC + zlib.crc32(body).to_bytes(4, "big") + body)
        return path


@pytest.fixture
def host(payload, tmp_path):
    """A host on which no task has run."""
    base = tmp_path / "cache"
    base.mkdir(mode=0o700)
    return Host(payload, base)


@pytest.fixture(scope="module")
def filled(payload, tmp_path_factory):
    """The content of a cache file whose code says that it is used, and the file's name."""
    base = tmp_path_factory.mktemp("filled")
    base.chmod(0o700)
    host = Host(payload, base)
    host.run()
    path = host.mark()
    return path.name, path.read_bytes()


@pytest.fixture
def marked(host, filled):
    """A host with such a file."""
    host.folder.mkdir(mode=0o700)
    path = host.folder / filled[0]
    path.write_bytes(filled[1])
    path.chmod(0o600)
    return host


def test_the_second_task_takes_what_the_first_one_compiled(host):
    assert not host.run()
    path = host.mark()
    assert (path.stat().st_mode & 0o777, host.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    before = path.read_bytes()
    assert host.run()
    assert path.read_bytes() == before, "everything was there, so nothing was to be written"


def _other_group(path: Path) -> None:
    path.chmod(0o620)


def _open_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def _open_base(path: Path) -> None:
    path.parent.parent.chmod(0o770)


def _open_home(path: Path) -> None:
    path.parents[2].chmod(0o777)


def _home_of_another(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(path.parents[2], 65534, -1)


def _base_behind_a_link_in_such_a_home(path: Path) -> None:
    home, base = path.parents[2], path.parents[1]
    (home / "of_root").mkdir()
    base.rename(home / "of_root" / base.name)
    base.symlink_to(home / "of_root" / base.name)
    _open_home(path)


def _shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _no_dictionary(path: Path) -> None:
    body = marshal.dumps([ENTRY])
    path.write_bytes(_bytecode.MAGIC + zlib.crc32(body).to_bytes(4, "big") + body)


def _no_code(path: Path) -> None:
    body = marshal.dumps({ENTRY: None})
    path.write_bytes(_bytecode.MAGIC + zlib.crc32(body).to_bytes(4, "big") + body)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def _linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.parent / "other")
    path.parent.symlink_to(path.parent.parent / "other")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _foreign(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(path, 65534, -1)


def _folder_of_another(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(path.parent, 65534, -1)


@pytest.mark.parametrize(
    "spoil",
    [
        _other_group, _open_folder, _open_base, _shorter, _one_bit, _empty, _link, _linked_folder, _pipe, _foreign,
        _folder_of_another, _no_dictionary, _no_code, _open_home, _home_of_another, _base_behind_a_link_in_such_a_home,
    ],
)
def test_what_somebody_else_may_have_written_or_is_damaged_is_never_run(marked, spoil):
    [path] = marked.files()
    spoil(path)
    assert not marked.run()


def test_a_folder_where_everybody_has_things_of_their_own_will_do(marked):
    marked.base.parent.chmod(0o1777)
    assert marked.run()


def test_a_damaged_file_is_written_anew(marked):
    [path] = marked.files()
    _one_bit(path)
    assert not marked.run()
    marked.mark()
    assert marked.run()


@pytest.mark.parametrize("variables", [{"SECUREMAIL_BYTECODE_CACHE": "Off"}, {"PYTHONDONTWRITEBYTECODE": "1"}])
def test_nothing_is_written_where_nothing_may_be(host, variables):
    assert not host.run(**variables)
    assert host.files() == []


def test_switched_off_nothing_is_read(marked):
    assert not marked.run(SECUREMAIL_BYTECODE_CACHE="0")
    assert marked.run()


def test_a_cache_folder_that_cannot_be_is_no_error(host):
    host.base.rmdir()
    host.base.write_text("a file")
    assert not host.run()


def test_tasks_at_the_same_time(host):
    tasks = [host.begin() for _number in range(4)]
    assert [host.end(task) for task in tasks] == [False] * 4
    host.mark()
    assert host.run()


def test_old_files_go(host):
    host.folder.mkdir(mode=0o700)
    for number in range(_bytecode_store.MAX_FILES + 3):
        for name in ("%040d%s" % (number, _bytecode.SUFFIX), "somebody-elses-%d" % number):
            (host.folder / name).write_bytes(b"")
            os.utime(host.folder / name, (number, number))
    assert not host.run()
    left = [path.name for path in host.files() if path.suffix == _bytecode.SUFFIX]
    assert len(left) == _bytecode_store.MAX_FILES
    assert "%040d%s" % (3, _bytecode.SUFFIX) not in left, "the oldest go first"
    assert len(host.files()) == 2 * _bytecode_store.MAX_FILES + 3, "what is not ours stays"
