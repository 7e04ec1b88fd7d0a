# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive that the role ``mta`` copies: the same bytes for the same source, and Python can run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROLE_FILES = Path(__file__).resolve().parents[2] / "roles" / "mta" / "files"


def pack(folder: Path, cache: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-I", str(ROLE_FILES / "pack.py"), str(folder), str(cache)],
        capture_output=True, text=True, check=True,
    )
    return Path(json.loads(done.stdout)["path"])


def package(base: Path, text: str = "hello") -> Path:
    folder = base / "postern"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "__init__.py").write_text("")
    (folder / "__main__.py").write_text(
        f"from .inner import words\n\n\ndef main():\n    print(words.WORDS, {text!r})\n    return 7\n"
    )
    (base / "words.py").write_text("WORDS = 'linked'\n")
    (folder / "inner" / "words.py").symlink_to("../../words.py")
    return folder


def test_same_source_same_bytes_whatever_times_and_modes(tmp_path):
    first = package(tmp_path / "a")
    second = package(tmp_path / "b")
    for place, _folders, files in os.walk(second):
        for name in files:
            os.utime(os.path.join(place, name), (1, 1))
            os.chmod(os.path.join(place, name), 0o600)
    (second / "__pycache__").mkdir()
    (second / "__pycache__" / "x.pyc").write_bytes(b"x")
    one, two = pack(first, tmp_path / "cache1"), pack(second, tmp_path / "cache2")
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_other_source_other_name(tmp_path):
    one = pack(package(tmp_path / "a"), tmp_path / "cache")
    two = pack(package(tmp_path / "b", "other"), tmp_path / "cache")
    assert one != two
    assert one.exists()


def test_archive_runs_and_has_what_a_link_leads_to(tmp_path):
    archive = pack(package(tmp_path / "a"), tmp_path / "cache")
    done = subprocess.run([sys.executable, "-I", str(archive)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "linked hello\n")


def test_a_damaged_archive_in_the_cache_is_made_anew(tmp_path):
    source = package(tmp_path / "a")
    archive = pack(source, tmp_path / "cache")
    good = archive.read_bytes()
    archive.write_bytes(good[:100])
    assert pack(source, tmp_path / "cache").read_bytes() == good


def test_archives_of_last_week_are_forgotten(tmp_path):
    old = pack(package(tmp_path / "a"), tmp_path / "cache")
    os.utime(old, (1, 1))
    new = pack(package(tmp_path / "b", "other"), tmp_path / "cache")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [new.name]


def test_requirements_comparison_names_what_is_missing(tmp_path):
    pins = tmp_path / "requirements.txt"
    pins.write_text("# a comment\npytest==0.0.1\n\nno-such-package-here==1\n")
    done = subprocess.run(
        [sys.executable, "-I", str(ROLE_FILES / "installed.py"), str(pins)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (1, ["pytest==0.0.1", "no-such-package-here==1"])
    pins.write_text("# nothing\n")
    assert subprocess.run([sys.executable, "-I", str(ROLE_FILES / "installed.py"), str(pins)], check=False).returncode == 0
