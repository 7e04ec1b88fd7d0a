# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that judge the server on the wire, each looked for once in a run."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import grid  # noqa: E402
import scanners  # noqa: E402
import senders  # noqa: E402


def get(name: str) -> scanners.Scanner:
    """A program of :mod:`scanners` or :mod:`senders`. The test that asks is skipped where it cannot be had."""
    found = _look_for(name)
    if isinstance(found, scanners.Unavailable):
        if grid.must_run():
            raise found
        pytest.skip(str(found))
    return found


@contextlib.contextmanager
def needed() -> t.Iterator[None]:
    """For what unpacks programs by itself: where they cannot be had it is as with :func:`get`."""
    try:
        yield
    except scanners.Unavailable as reason:
        if grid.must_run():
            raise
        pytest.skip(str(reason))


@functools.cache
def _look_for(name: str) -> scanners.Scanner | scanners.Unavailable:
    # What cannot be fetched is tried once, and not for each test again: that may take minutes.
    try:
        return getattr(senders if hasattr(senders, name) else scanners, name)()
    except scanners.Unavailable as reason:
        return reason


def openssl(*arguments: str, text: str = "", timeout: float = 30.0) -> tuple[int, str]:
    """Run ``openssl``: its exit status and all that it prints. ``text`` is its standard input."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl here")
    done = subprocess.run(
        ["openssl", *arguments], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=timeout, check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")
