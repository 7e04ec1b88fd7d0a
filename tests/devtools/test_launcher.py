# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher ``dev``: which Python it takes, and what it says when there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A checkout at a path with blanks whose only task says which interpreter runs it."""
    folder = tmp_path / "with a blank"
    (folder / "devtools").mkdir(parents=True)
    shutil.copy(ROOT / "dev", folder / "dev")
    shutil.copy(ROOT / "devtools" / "help.txt", folder / "devtools" / "help.txt")
    (folder / "devtools" / "run.py").write_text("import sys\nprint(sys.executable, *sys.argv[1:], sep='|')\n")
    # The launcher sees no Python of this machine but /usr/bin/python3, which comes last.
    (folder / "tools").mkdir()
    for name in ("sh", "env", "cat", "dirname", "basename", "id"):
        (folder / "tools" / name).symlink_to(shutil.which(name))
    return folder


def dev(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    env = {"PATH": str(folder / "tools"), "HOME": str(folder), **variables}
    return subprocess.run([str(folder / "dev"), *words], env=env, capture_output=True, text=True, check=False)


def interpreter(path: Path, version: str) -> Path:
    """A program that answers like a Python of that version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *ensurepip*) echo {version} ;; *) echo "this is {path.parent.name}/{path.name}" ;; esac\n'
    )
    path.chmod(0o755)
    return path


def test_help_needs_no_python(checkout):
    done = dev(checkout, "help", DEV_PYTHON="/nowhere/python3")
    assert done.returncode == 0
    assert "molecule [NAME…]" in done.stdout


def test_the_named_python_is_taken(checkout):
    done = dev(checkout, "test", "a b", DEV_PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().split("|")[1:] == ["test", "a b"]


@pytest.mark.parametrize("named", ["/nowhere/python3", "/bin/true"])
def test_a_named_python_that_cannot_do_it_is_refused(checkout, named):
    done = dev(checkout, "test", DEV_PYTHON=named)
    assert done.returncode == 1
    assert f"DEV_PYTHON={named}" in done.stderr


def test_the_newest_wins_wherever_it_lies(checkout):
    interpreter(checkout / "bin" / "python3.12", "3.12")
    interpreter(checkout / ".pyenv" / "versions" / "3.14.1" / "bin" / "python3.14", "3.14")
    done = dev(checkout, "test", PATH=f"{checkout / 'bin'}:{checkout / 'tools'}")
    assert done.stdout.strip() == "this is bin/python3.14", done.stderr


def test_shims_are_never_asked(checkout):
    trap = checkout / "shims" / "python3.14"
    interpreter(trap, "3.14")
    interpreter(checkout / "bin" / "python3.13", "3.13")
    done = dev(checkout, "test", PATH=f"{checkout / 'shims'}:{checkout / 'bin'}:{checkout / 'tools'}")
    assert done.stdout.strip() == "this is bin/python3.13", done.stderr


def test_an_interpreter_that_lies_about_its_version_is_passed_over(checkout):
    interpreter(checkout / "bin" / "python3.14", "3.9")
    interpreter(checkout / "bin" / "python3.12", "3.12")
    done = dev(checkout, "test", PATH=f"{checkout / 'bin'}:{checkout / 'tools'}")
    assert done.stdout.strip() == "this is bin/python3.12", done.stderr


def test_unknown_task_is_named():
    env = dict(os.environ, DEV_PYTHON=sys.executable)
    done = subprocess.run([str(ROOT / "dev"), "nonsense"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such task: nonsense" in done.stderr
