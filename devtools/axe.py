# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""axe-core, which looks for what keeps people from using a page: missing names, weak contrast, broken tables.

It is a script that runs inside the page. Its file is taken out of a wheel that carries it, because every machine of
this project has pip and few have npm. Nothing of that wheel is installed, nor what it depends on.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import typing as t
import zipfile
from pathlib import Path

import environment as env
from browser import Page, Unavailable

__all__ = ("RULES", "Unavailable", "script", "violations")

#: The wheel's version is that of the axe-core inside.
_PACKAGE, _VERSION = "pytest-playwright-axe", "4.14.0"
_SHA256 = "b8eed34ac17e1c1094983eaef97687e65b3e0c5a0de0257b8b34cc05430a07ca"
_MEMBER = "pytest_playwright_axe/resources/axe.min.js"
#: The wheel is for newer Pythons than the oldest of this project. A file of JavaScript does not mind.
_FOR = "3.14"
_SECONDS = 180

#: WCAG 2.0 and 2.1, levels A and AA, and what the authors of axe-core recommend besides.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")


def script() -> str:
    """The source of axe-core, fetched on first use. Raises :class:`Unavailable`."""
    folder = env.cache_folder() / "axe"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"axe-{_VERSION}.js"
    with open(folder / "lock", "w", encoding="ascii") as lock:
        # Several test processes may come here at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            part, wheel = path.with_suffix(".part"), _wheel(folder)
            with zipfile.ZipFile(wheel) as archive:
                part.write_bytes(archive.read(_MEMBER))
            part.rename(path)
            wheel.unlink()
    return path.read_text(encoding="utf-8")


def violations(page: Page, rules: t.Sequence[str] = RULES) -> list[str]:
    """What axe-core finds on the page: ``rule: what is wrong: the element``, one for each element.

    The page must have been loaded with scripts on.
    """
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(script())
    options = {"runOnly": {"type": "tag", "values": list(rules)}, "resultTypes": ["violations"]}
    found = page.evaluate(f"axe.run(document, {json.dumps(options)}).then(result => result.violations)")
    return [
        f"{one['id']}: {' '.join(node['failureSummary'].split())}: {node['html'][:200]}"
        for one in found for node in one["nodes"]
    ]


def _wheel(folder: Path) -> Path:
    pin = folder / "requirements.txt"
    pin.write_text(f"{_PACKAGE}=={_VERSION} --hash=sha256:{_SHA256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "-q", "--no-deps",
        "--only-binary=:all:", "--python-version", _FOR, "--require-hashes", "-r", str(pin), "-d", str(folder),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip did not fetch {_PACKAGE} {_VERSION} in {_SECONDS} s") from None
    found = sorted(folder.glob(f"*-{_VERSION}-*.whl"))
    if done.returncode or not found:
        raise Unavailable(f"pip cannot fetch {_PACKAGE} {_VERSION}: {done.stderr.strip()[-300:]}")
    return found[-1]
