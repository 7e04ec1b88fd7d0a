# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A view of the machine in which packages are installed: what is in it, and that nothing of it is on the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import apart  # noqa: E402
from debian import Unavailable  # noqa: E402

_LOOK = """\
id -u apart-user; cat /usr/share/apart-file /etc/apart-file; grep -c apart-host /etc/hosts
ls -A /var/spool /run; echo more > /var/spool/new; test -x /usr/bin/env && echo "and the rest"
"""


def test_a_view_has_the_packages_and_the_machine_has_not(tmp_path):
    root, etc = tmp_path / "root", tmp_path / "etc"
    (root / "usr" / "share").mkdir(parents=True)
    (root / "usr" / "share" / "apart-file").write_text("of a package\n")
    etc.mkdir()
    (etc / "apart-file").write_text("of a test\n")
    before = [Path("/etc", name).read_bytes() for name in ("passwd", "group", "hosts")]
    try:
        view = apart.View(root, etc, ["apart-user"], ["apart-host"])
    except Unavailable as reason:
        if os.environ.get("CI") and os.geteuid() == 0:
            raise
        pytest.skip(str(reason))
    done = view.run("sh", "-c", _LOOK)
    assert done.stdout.splitlines() == [str(apart.FIRST_USER), "of a package", "of a test", "1", "/run:", "", "/var/spool:",
                                        "and the rest"]
    assert view.run("sh", "-c", "ls -A /var/spool; exit 3").returncode == 3
    assert [Path("/etc", name).read_bytes() for name in ("passwd", "group", "hosts")] == before
    assert not any(Path(path).exists() for path in ("/usr/share/apart-file", "/etc/apart-file", "/var/spool/new"))
