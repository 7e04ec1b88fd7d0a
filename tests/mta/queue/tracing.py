# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``strace``, the one that is installed or one that is unpacked for the tests."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "devtools"))

import debian  # noqa: E402


def strace() -> tuple[list[str], dict[str, str]]:
    """The command and its environment; skips the test where there is none."""
    if installed := shutil.which("strace"):
        return [installed], dict(os.environ)
    try:
        root = debian.unpacked("strace")
    except debian.Unavailable as reason:
        pytest.skip(f"strace is not installed, and cannot be unpacked: {reason}")
    return [str(root / "usr" / "bin" / "strace")], {**os.environ, **debian.environment(root)}
