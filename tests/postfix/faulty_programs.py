# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of a Postfix that fail, or kill who calls them, at one of their calls."""

from __future__ import annotations

from pathlib import Path

_PROGRAMS = ("postconf", "postmap", "postfix")

#: Stands for a program of Postfix: at call number AT it does what HOW says, otherwise what the program does.
_WRAPPER = """\
#!/bin/sh
here={here}
number=$(($(cat $here/count) + 1))
echo $number >$here/count
echo {name} "$@" >>$here/calls
if [ $number = $(cat $here/at) ]; then
    case $(cat $here/how) in
    fail) echo "{name}: fatal: made up" >&2; exit 1 ;;
    kill) kill -9 $PPID; exit 1 ;;
    after) {real} "$@" >/dev/null 2>&1 </dev/null; kill -9 $PPID; exit 1 ;;
    hook) $here/hook ;;
    esac
fi
exec {real} "$@"
"""


class FaultyPrograms:
    """Stand-ins for the programs of a host, in ``commands``; what they note lies in ``folder``."""

    def __init__(self, host, folder: Path) -> None:
        self.folder = folder
        self.commands = folder / "commands"
        self.commands.mkdir()
        for name in _PROGRAMS:
            path = self.commands / name
            path.write_text(_WRAPPER.format(here=folder, name=name, real=host.command_directory / name))
            path.chmod(0o755)

    def fault(self, at: int = 0, how: str = "fail") -> None:
        """The next calls count from 1; call number ``at`` does what ``how`` says: ``fail``, ``kill``, ``after``, ``hook``."""
        for name, value in (("count", 0), ("at", at), ("how", how), ("calls", "")):
            (self.folder / name).write_text(f"{value}\n" if value != "" else "")

    @property
    def calls(self) -> list[str]:
        """What was called since."""
        return (self.folder / "calls").read_text().splitlines()
