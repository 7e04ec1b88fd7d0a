# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages unpacked and not installed: what comes along, what does not, and words where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import debian  # noqa: E402


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A real archive of small packages, which apt-get gets from a folder; returns the list of what it was asked for."""
    archive, asked = tmp_path / "archive", tmp_path / "asked"
    archive.mkdir()
    depends = {
        "judge": "libruling (>= 1.0), judge-data | other-data, libc6, liballowed:any | librest",
        "libruling": "libdeep, judge",
        "libdeep": "",
        "liballowed": "",
        "judge-data": "",
    }
    for name, needed in depends.items():
        tree = tmp_path / "trees" / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr" / "bin").mkdir(parents=True)
        (tree / "usr" / "bin" / name).write_text(f"#!/bin/sh\necho {name}\n")
        (tree / "usr" / "bin" / name).chmod(0o755)
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.test>\nDescription: x\n"
        (tree / "DEBIAN" / "control").write_text(control + (f"Depends: {needed}\n" if needed else ""))
        subprocess.run(["dpkg-deb", "-b", str(tree), str(archive / f"{name}_1.0_all.deb")], check=True,
                       stdout=subprocess.DEVNULL)
    # The archive's end alone is replaced: what is fetched comes from a folder, and is read by the real dpkg-deb.
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text(
        "#!/bin/sh\n"
        'while [ "$1" != download ] && [ "$1" != update ]; do shift; done\n'
        f'echo "$*" >> {asked}\n'
        "[ $1 = download ] || exit 0\n"
        "shift\n"
        f'for name; do cp {archive}/"$name"_1.0_all.deb . || exit 100; done\n'
    )
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    asked.touch()
    return lambda: asked.read_text().splitlines()


needs_dpkg = pytest.mark.skipif(not Path("/usr/bin/dpkg-deb").exists(), reason="this is no Debian")


def programs(root):
    return sorted(path.name for path in (root / "usr" / "bin").iterdir())


@needs_dpkg
def test_libraries_come_along_and_nothing_else(packages):
    root = debian.unpacked("judge")
    assert programs(root) == ["judge", "liballowed", "libdeep", "libruling"]
    # libc6 is on every Debian, and a round of packages is one call.
    assert packages() == ["download judge", "download libruling liballowed", "download libdeep"]
    done = subprocess.run(["judge"], env=debian.environment(root), capture_output=True, text=True, check=True)
    assert done.stdout == "judge\n"


@needs_dpkg
def test_what_is_unpacked_is_not_fetched_again_unless_more_is_wanted(packages):
    root = debian.unpacked("judge")
    before = packages()
    assert debian.unpacked("judge") == root
    assert packages() == before
    more = debian.unpacked("judge", dependencies=("lib", "judge-"))
    assert programs(more) == ["judge", "judge-data", "liballowed", "libdeep", "libruling"]
    assert programs(root) == ["judge", "liballowed", "libdeep", "libruling"]


@needs_dpkg
def test_several_packages_lie_in_one_folder(packages):
    assert programs(debian.unpacked("libdeep", "judge-data")) == ["judge-data", "libdeep"]
    assert packages() == ["download libdeep judge-data"]


@needs_dpkg
def test_a_package_that_cannot_be_had_is_told_and_leaves_nothing_that_looks_complete(packages):
    for _again in range(2):
        with pytest.raises(debian.Unavailable, match="nowhere cannot be downloaded: .*nowhere_1.0_all.deb"):
            debian.unpacked("nowhere")
    # New lists are fetched before it is given up.
    assert packages() == ["download nowhere", "update", "download nowhere"] * 2


def test_without_debian_tools_the_missing_one_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debian.Unavailable, match="judge is unpacked from Debian .*, and there is no apt-get here"):
        debian.unpacked("judge")
