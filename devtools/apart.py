# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that run only where their packages put them and as users that an installation makes: a view of the machine of
their own, in which both is so.

The view is a mount namespace (Linux): the unpacked packages and a few files of ``/etc`` lie over the machine's own, and state
folders are empty and in memory. Nothing of it is on the machine, before, meanwhile or afterwards. It needs root.
"""

from __future__ import annotations

import shutil
import subprocess
import typing as t
from pathlib import Path

import environment as env
from debian import Unavailable

#: The number of the first user that is made in a view; Debian reserves it, and outside nobody has it.
FIRST_USER = 64000
#: Empty in the view, each with the folders that are made in it.
_STATE = ("/var/spool", "/var/mail", "/run")
_ENTER = """\
set -e
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$2:/etc" /etc
for folder in {state}; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
shift 2
exec "$@"
"""


class View:
    """The machine with the packages of ``root``, as a program in it sees it.

    ``etc`` is a folder with the files that lie over ``/etc``; ``hosts`` are names of this machine in the view; ``users`` are
    names of users that are made there, each with a group of its name. Raises :class:`Unavailable`, also where there can be no such view.
    """

    def __init__(self, root: Path, etc: Path, users: t.Sequence[str] = (), hosts: t.Sequence[str] = ()) -> None:
        if not env.is_root() or not shutil.which("unshare"):
            raise Unavailable("a program that has to be where its package puts it needs root and unshare to run")
        self._root, self._etc = root, etc
        for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
            more = "".join(line.format(user, FIRST_USER + number) for number, user in enumerate(users))
            (etc / name).write_text(Path("/etc", name).read_text(encoding="utf-8") + more, encoding="utf-8")
        (etc / "hosts").write_text(f"127.0.0.1 localhost {' '.join(hosts)}\n", encoding="ascii")
        done = self.run("true")
        if done.returncode:
            raise Unavailable(f"there is no mount namespace with overlays here: {done.stdout.strip()}")

    def command(self, *arguments: str) -> list[str]:
        """The command that runs another one in the view; the process is that other one in the end."""
        script = _ENTER.format(state=" ".join(_STATE))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(self._root), str(self._etc),
                *arguments]

    def run(self, *arguments: str, text: bytes = b"", timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in the view to its end; both outputs are one text."""
        done = subprocess.run(
            self.command(*arguments), input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode("utf-8", "replace"))
