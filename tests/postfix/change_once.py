# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of a Postfix as a process of its own, which may be killed in the middle.

``python change_once.py CONFDIR COMMANDS EDITS [MOVES]``: ``EDITS`` is JSON, with ``main`` (values by name), ``services`` (options by address of
a listener that is added), ``remove`` (listeners that go) and ``tables`` (texts by name). Before move or removal number
``MOVES`` + 1 of a file the process kills itself. It ends with 0 when the change was made, with 3 and a message when it failed and was undone.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import ServerError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix import configuration
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.programs import Programs
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.writing import Installation


def drafted(conf: configuration.Configuration, edits: dict) -> configuration.Draft:
    """The configuration with these edits."""
    draft = configuration.Draft(conf)
    for name, value in edits.get("main", {}).items():
        if value is None:
            draft.unset(name)
        else:
            draft.set(name, value)
    for address in edits.get("remove", ()):
        draft.edit_master(draft.master.without_service(f"{address}/inet"))
    for address, options in edits.get("services", {}).items():
        draft.edit_master(draft.master.with_service(address, draft.smtpd[0].id, tuple(options.items())))
    for name, text in edits.get("tables", {}).items():
        draft.table(name, text)
    return draft


def change(directory: str, commands: str, edits: dict) -> None:
    """Make the change. Raises ``PolicyError`` and :class:`ServerError`; in the latter case it was undone."""
    programs = Programs(directory, commands, 20.0)
    installation = Installation(programs, directory)
    try:
        installation.finish_interrupted()
        draft = drafted(configuration.read(programs, directory), edits)
        with installation.side(draft) as side:
            configuration.read(programs, side)
        installation.begin(draft.base.files)
        try:
            installation.apply(draft.changed_files())
        except ServerError:
            # A program that fails once may fail again; somebody tries twice, as a task does.
            try:
                installation.finish_interrupted()
            except ServerError:
                installation.finish_interrupted()
            raise
    finally:
        installation.close()


def die_at(moves: int) -> None:
    """Have this process killed before the move or removal of a file with this number, counted from 0."""
    replace, unlink = os.replace, os.unlink
    done = []

    def counted(what):
        def act(path, *arguments, **named):
            if os.path.isabs(path) and os.path.lexists(path):
                if len(done) == moves:
                    os.kill(os.getpid(), signal.SIGKILL)
                done.append(path)
            what(path, *arguments, **named)

        return act

    os.replace, os.unlink = counted(replace), counted(unlink)


def main(directory: str, commands: str, edits: str, moves: str = "") -> None:
    """The command line."""
    if moves:
        die_at(int(moves))
    try:
        change(directory, commands, json.loads(edits))
    except (PolicyError, ServerError) as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:])
