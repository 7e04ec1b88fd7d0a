# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of a Postfix: postconf(1), postmap(1), postfix(1).

What they read is text of one instance: each call names its configuration directory. ``postfix`` says why something failed on
its standard error only where that is a terminal, and to the system's log otherwise; so it is given one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t

from ..base import AnswerTimeout, CommandRefused, ServerError, Unreachable

#: Where the programs are when nobody says it and PATH does not have them.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postfix/sbin")

#: Bytes of an answer of ``postfix`` that are kept.
_MAX_SAID = 65536


class Output(t.NamedTuple):
    """What a program printed: lines of its standard output, and those of its standard error."""

    lines: t.Tuple[str, ...]
    warnings: t.Tuple[str, ...]


class Programs:
    """The programs in ``command_directory`` (None: PATH, then the usual folders), for one instance.

    ``config_directory`` None: the one that ``postconf`` has built in. ``timeout`` is the limit for one call in seconds.
    Raises :class:`Unreachable` where there are none.
    """

    def __init__(
        self, config_directory: t.Optional[str], command_directory: t.Optional[str], timeout: float = 30.0
    ) -> None:
        self.command_directory = command_directory
        self.timeout = timeout
        self._paths = {name: _path(name, command_directory) for name in ("postconf", "postmap", "postfix")}
        if config_directory is None:
            lines = self._run("postconf", ["-h", "config_directory"], None, None).lines
            config_directory = lines[0].strip() if lines else ""
        self.config_directory = os.path.normpath(config_directory)

    def postconf(self, *arguments: str, directory: t.Optional[str] = None) -> Output:
        """``postconf -c DIRECTORY ARGUMENTS``. What it does not know is a warning and no error. Raises :class:`ServerError`."""
        return self._run("postconf", arguments, directory or self.config_directory, None)

    def postmap(self, *arguments: str, stdin: t.Optional[bytes] = None, directory: t.Optional[str] = None) -> Output:
        """``postmap -c DIRECTORY ARGUMENTS``. A query that finds nothing has no lines. Raises :class:`ServerError`."""
        return self._run("postmap", arguments, directory or self.config_directory, stdin, empty_is_good=True)

    def control(self, verb: str, directory: t.Optional[str] = None) -> t.Tuple[int, str]:
        """``postfix VERB`` (``check``, ``reload``, ``start``, ``stop``, ``status``) on a terminal of its own.

        Returns its exit status and all that it said. Raises :class:`AnswerTimeout`.
        """
        where = directory or self.config_directory
        command = [self._paths["postfix"], "-c", where, verb]
        return _on_terminal(command, self.environment(), self.timeout)

    def environment(self) -> t.Dict[str, str]:
        """In which the programs run: words in English, and no other instance by a variable."""
        found = {name: value for name, value in os.environ.items() if name not in ("MAIL_CONFIG", "MAIL_VERBOSE", "MAIL_DEBUG")}
        return dict(found, LC_ALL="C")

    def _run(
        self,
        name: str,
        arguments: t.Sequence[str],
        directory: t.Optional[str],
        stdin: t.Optional[bytes],
        empty_is_good: bool = False,
    ) -> Output:
        command = [self._paths[name]] + (["-c", directory] if directory else []) + list(arguments)
        operation = "run %s %s" % (name, " ".join(arguments[:3]))
        try:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                command,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment(),
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AnswerTimeout(operation, "no end within %g s" % self.timeout, "admin_timeout is the limit.") from None
        except OSError as error:
            raise Unreachable(operation, error.strerror or str(error)) from None
        lines = tuple(done.stdout.decode("utf-8", "surrogateescape").split("\n"))
        said = tuple(line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip())
        lines = lines[:-1] if lines and not lines[-1] else lines
        # A query that finds nothing ends with 1, and says nothing but what it always warns of.
        if done.returncode and not (empty_is_good and done.returncode == 1 and all(": warning: " in line for line in said)):
            raise CommandRefused(operation, "; ".join(map(_plain, said[-5:])) or "it ended with status %d" % done.returncode)
        return Output(lines, said)


def _plain(line: str) -> str:
    """A message of Postfix without the name of the program before it."""
    head, colon, rest = line.partition(": ")
    return rest if colon and "/" in head or head.startswith("post") else line


def _path(name: str, folder: t.Optional[str]) -> str:
    if folder is not None:
        found = os.path.join(folder, name)
        if os.access(found, os.X_OK):
            return found
    else:
        places = os.pathsep.join([os.environ.get("PATH", os.defpath), *_FOLDERS])
        on_path = shutil.which(name, path=places)
        if on_path is not None:
            return on_path
    raise Unreachable(
        "look for Postfix",
        "there is no program %s in %s" % (name, folder or "PATH, %s" % ", ".join(_FOLDERS)),
        "server: postfix is for tasks that run on the host of a Postfix; command_directory says where its programs are.",
    )


def _on_terminal(command: t.Sequence[str], environment: t.Mapping[str, str], timeout: float) -> t.Tuple[int, str]:
    """Run a command whose standard error is a terminal; returns its status and what it said there."""
    import pty
    import select
    import time

    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=dict(environment), start_new_session=True
        )
        os.close(slave)
        slave = -1
        said = b""
        end = time.monotonic() + timeout
        # The master process that "start" leaves behind keeps the terminal open: the end is that of the command itself.
        while True:
            status = process.poll()
            ready = select.select([master], [], [], 0 if status is not None else 0.01)[0]
            if ready:
                try:
                    part = os.read(master, 4096)
                except OSError:
                    part = b""
                said = (said + part)[-_MAX_SAID:]
                if part:
                    continue
            if status is not None:
                break
            if time.monotonic() > end:
                process.kill()
                process.wait()
                raise AnswerTimeout(
                    "run %s" % " ".join(command), "no end within %g s" % timeout, "admin_timeout is the limit."
                )
            if ready:
                # The other side is closed: only the end is waited for.
                try:
                    process.wait(max(0.0, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
    except OSError as error:
        raise ServerError("run %s" % " ".join(command), error.strerror or str(error)) from None
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)
    text = said.decode("utf-8", "replace").replace("\r\n", "\n")
    return process.returncode, "\n".join(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
