# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of Debian packages, unpacked into the cache folder and never installed.

So the machine stays as it is, and an ordinary user can have them too. What a package needs and what is on this machine
already is not fetched again.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import environment as env

#: Packages that a package depends on and that are unpacked with it: by default its libraries only. Other programs,
#: users to be made and services to be started are what a machine has or can do without.
LIBRARIES = ("lib",)

_TOOLS = ("apt-get", "dpkg-deb", "dpkg-query")
#: apt-get gives up in this time where there is no way to the archive.
_NETWORK = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")
_SECONDS = 300


class Unavailable(Exception):
    """The packages cannot be had here; the text says why."""


def unpacked(*packages: str, dependencies: t.Sequence[str] = LIBRARIES) -> Path:
    """The folder with the programs of ``packages`` (``usr/bin`` …), filled on first use.

    ``dependencies`` are beginnings of names: a package that one of these packages depends on, directly or not, is
    unpacked too when its name begins so and it is not installed on this machine. "" is every one.
    Raises :class:`Unavailable`.
    """
    for tool in _TOOLS:
        if not shutil.which(tool):
            raise Unavailable(f"{packages[0]} is unpacked from Debian packages, and there is no {tool} here")
    # Who wants more of the same packages has a folder of their own: another's may be in use.
    name = "+".join([*packages, *(f"~{beginning}" for beginning in dependencies if beginning not in LIBRARIES)])
    folder = env.cache_folder() / "debian" / name
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    with open(folder / "lock", "w", encoding="ascii") as lock:
        # Several test processes may come here at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = root / "complete"
        if not complete.is_file():
            for path in (root, folder / "packages"):
                env.remove(path)
            (folder / "packages").mkdir()
            _Unpacking(root, folder / "packages", tuple(dependencies)).take(packages)
            env.remove(folder / "packages")
            complete.touch()
    return root


def environment(root: Path, *libraries: Path) -> dict[str, str]:
    """Environment variables for a program of the unpacked packages, which finds its own libraries and programs first.

    ``libraries`` are further folders of shared libraries, searched before the others.
    """
    folders = [*libraries, *library_folders(root)]
    return {
        "PATH": f"{root}/usr/sbin:{root}/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": ":".join(str(path) for path in folders),
        "LC_ALL": "C.UTF-8",
    }


def library_folders(root: Path) -> list[Path]:
    """Where the unpacked packages have their shared libraries.

    A folder below the others' is one of libraries that an installation would make a link to, such as libblas.
    """
    places = [path for place in (root / "usr" / "lib", root / "lib") for path in place.glob("*-linux-gnu*")]
    below = (path for place in places for path in place.glob("*") if path.is_dir() and any(path.glob("lib*.so*")))
    return [*sorted(places), *sorted(below)]


class _Unpacking:
    """One folder being filled."""

    def __init__(self, root: Path, downloads: Path, dependencies: tuple[str, ...]) -> None:
        self._root = root
        self._downloads = downloads
        self._dependencies = dependencies
        self._options = list(_NETWORK)
        self._done: set[str] = set()

    def take(self, packages: t.Sequence[str]) -> None:
        """Unpack these packages and what they need. Raises :class:`Unavailable`."""
        wanted = list(packages)
        while wanted:
            self._done.update(wanted)
            # All of one round at once: apt-get needs its time to read the lists.
            self._download(wanted)
            needed: list[str] = []
            for name in wanted:
                deb = self._file(name)
                done = subprocess.run(["dpkg-deb", "-x", str(deb), str(self._root)], capture_output=True, check=False)
                if done.returncode:
                    raise Unavailable(f"{deb.name} cannot be unpacked: {done.stderr.decode(errors='replace').strip()}")
                needed += (other for other in self._needed(deb) if other not in needed)
            wanted = needed

    def _needed(self, deb: Path) -> t.Iterator[str]:
        fields = subprocess.run(
            ["dpkg-deb", "-f", str(deb), "Pre-Depends", "Depends"], capture_output=True, text=True, check=True
        ).stdout
        for clause in re.sub(r"^[\w-]+:", ",", fields, flags=re.MULTILINE).split(","):
            alternatives = [re.split(r"[\s(:]", name.strip(), maxsplit=1)[0] for name in clause.split("|")]
            first = alternatives[0]
            if first and first.startswith(self._dependencies) and not self._have(alternatives):
                yield first

    def _have(self, alternatives: t.Iterable[str]) -> bool:
        return any(name in self._done or _installed(name) for name in alternatives)

    def _download(self, packages: list[str]) -> None:
        done = self._apt("download", *packages)
        if done.returncode:
            # The lists may be missing, as in fresh containers, or older than the archive. New ones lie with the
            # packages: the machine's own are not this user's to change.
            for name in ("lists/partial", "cache/archives/partial"):
                (self._downloads / name).mkdir(parents=True, exist_ok=True)
            self._options += [
                "-o", f"Dir::State::Lists={self._downloads}/lists", "-o", f"Dir::Cache={self._downloads}/cache",
                # As root apt-get would become a user who cannot enter this folder.
                "-o", "APT::Sandbox::User=root",
            ]
            self._apt("update")
            done = self._apt("download", *packages)
        if done.returncode:
            raise Unavailable(f"{', '.join(packages)} cannot be downloaded: {done.stderr.strip()[-300:]}")

    def _apt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["apt-get", "-q", *self._options, *arguments]
        try:
            return subprocess.run(
                command, cwd=self._downloads, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"apt-get {arguments[0]} did not end in {_SECONDS} s") from None

    def _file(self, package: str) -> Path:
        found = sorted(self._downloads.glob(f"{package}_*.deb"))
        if not found:
            # A name that another package provides.
            raise Unavailable(f"there is no file of the package {package}")
        return found[-1]


def _installed(package: str) -> bool:
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status}\n", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "installed" in done.stdout.split()
