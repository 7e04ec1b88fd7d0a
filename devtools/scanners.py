# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS scanners that others have written, as programs: independent judges of what our probe says.

Debian's packages are unpacked (:mod:`debian`), sslyze gets a virtual environment of its own, because beside a newer
``cryptography`` pip would fall back to a very old one. None is imported, and nothing of them is part of the collection.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import debian
import environment as env
from debian import Unavailable

SSLYZE_REQUIREMENTS = env.ROOT / "tests" / "judges" / "requirements-sslyze.txt"
_INSTALL_SECONDS = 300


@dataclass(frozen=True)
class Scanner:
    """A program that can be run. ``version`` is what it says of itself, ``options`` stand before all others.

    ``errors_too``: what it prints on standard error is part of what it says, in the order in which it says it.
    """

    name: str
    program: str
    version: str
    environment: t.Mapping[str, str] = field(repr=False)
    options: tuple[str, ...] = ()
    errors_too: bool = False

    def run(self, *arguments: str, timeout: float = 120.0, statuses: t.Container[int] = (0,), text: str = "") -> str:
        """What it prints when it reads ``text``, decoded as UTF-8. Raises RuntimeError with its words when it takes too long or ends with a
        status that is none of these.

        A scanner leaves its temporary files in a folder that goes when it has ended.
        """
        with tempfile.TemporaryDirectory(prefix="securemail-scanner-") as folder:
            command = [self.program, *self.options, *arguments]
            try:
                done = subprocess.run(
                    command, cwd=folder, env={**self.environment, "HOME": folder, "TMPDIR": folder},
                    input=text, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT if self.errors_too else subprocess.PIPE, text=True, encoding="utf-8",
                    errors="replace", timeout=timeout, check=False,
                )
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"{self.name} did not end in {timeout:g} s") from None
        if done.returncode not in statuses:
            raise RuntimeError(f"{self.name} ended with status {done.returncode}: {done.stdout}{done.stderr or ''}")
        return done.stdout


def sslscan() -> Scanner:
    """sslscan, built with the distribution's OpenSSL. Raises :class:`Unavailable`."""
    root = debian.unpacked("sslscan")
    return _scanner("sslscan", root / "usr" / "bin" / "sslscan", debian.environment(root), r"(\d+\.\d+\.\d+)")


def nmap() -> Scanner:
    """nmap with its scripts; it needs no raw sockets and so no root. Raises :class:`Unavailable`."""
    root = debian.unpacked("nmap", "nmap-common", dependencies=("lib", "lua-"))
    variables = {**debian.environment(root), "NMAPDIR": str(root / "usr" / "share" / "nmap")}
    return _scanner("nmap", root / "usr" / "bin" / "nmap", variables, r"Nmap version (\S+)", ("--unprivileged",))


def testssl() -> Scanner:
    """testssl.sh with the distribution's OpenSSL. Raises :class:`Unavailable`."""
    if not shutil.which("openssl"):
        raise Unavailable("testssl.sh needs openssl, and there is none here")
    # It refuses to run without a program that asks the DNS, also when it is told not to ask.
    root = debian.unpacked("testssl.sh", "bsdextrautils", "bind9-host", dependencies=("lib", "bind9-libs"))
    variables = {**debian.environment(root), "TESTSSL_INSTALL_DIR": str(root / "etc" / "testssl")}
    options = ("--quiet", "--color", "0", "--warnings", "off", "--nodns", "none")
    return _scanner("testssl.sh", root / "usr" / "bin" / "testssl", variables, r"testssl\S*\s+(\d\S*)", options)


def sslyze() -> Scanner:
    """sslyze in a virtual environment of its own, made on first use. Raises :class:`Unavailable`."""
    folder = _sslyze_environment()
    return _scanner("sslyze", folder / "bin" / "sslyze", {"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                    r"SSLyze version (\S+)", asks="--help", options=("--quiet",))


def _scanner(
    name: str, program: Path, variables: t.Mapping[str, str], version: str, options: tuple[str, ...] = (),
    asks: str = "--version",
) -> Scanner:
    # The options for a scan would be in the way of this question.
    said = Scanner(name, str(program), "", variables).run(asks, timeout=60)
    found = re.search(version, said)
    if found is None:
        raise RuntimeError(f"{name} does not say which version it is: {said}")
    return Scanner(name, str(program), found.group(1), variables, options)


def _sslyze_environment() -> Path:
    # One for each Python that runs the tests.
    folder = env.cache_folder() / "sslyze" / "{}.{}".format(*sys.version_info)
    folder.mkdir(parents=True, exist_ok=True)
    # Its programs name their interpreter by its path: a cache folder that was moved or copied has none that run.
    wanted = f"{SSLYZE_REQUIREMENTS.read_text()}{sys.version}\n{folder}\n"
    with open(folder / "lock", "w", encoding="ascii") as lock:
        # Several test processes may come here at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        venv, stamp = folder / "venv", folder / "stamp"
        if not stamp.is_file() or stamp.read_text() != wanted:
            env.remove(stamp)
            env.remove(venv)
            _install(venv)
            stamp.write_text(wanted)
    return venv


def _install(venv: Path) -> None:
    steps = (
        [sys.executable, "-m", "venv", str(venv)],
        # What would have to be compiled comes built or not at all.
        [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-q",
         "--only-binary", "nassl,cryptography,cffi,pydantic_core", "-r", str(SSLYZE_REQUIREMENTS)],
    )
    for command in steps:
        try:
            done = subprocess.run(
                command, env=env.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=_INSTALL_SECONDS, check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"sslyze was not installed in {_INSTALL_SECONDS} s") from None
        if done.returncode:
            raise Unavailable(f"sslyze cannot be installed: {(done.stdout + done.stderr).strip()[-300:]}")
