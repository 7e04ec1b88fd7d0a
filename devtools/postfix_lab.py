# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Postfix host with accounts, for playbooks.

``python postfix_lab.py FOLDER start|stop|environment`` (``environment`` prints JSON). What ``start`` makes there is given on
standard input as JSON: ``main``, ``services`` and ``domains`` (see ``postfix_host.PostfixHost``), and ``accounts``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import postfix_accounts  # noqa: E402
from postfix_host import PostfixHost  # noqa: E402


def main(folder: str, verb: str) -> None:
    """The command line."""
    path = Path(folder)
    if verb == "start":
        given = json.loads(sys.stdin.read())
        path.mkdir(parents=True)
        host = PostfixHost(path, given["services"], given.get("main", "") + postfix_accounts.settings(), given.get("domains", ()))
        if given.get("accounts"):
            postfix_accounts.add(host, given["accounts"])
        host.start()
    elif verb == "stop":
        if path.is_dir():
            PostfixHost.at(path).stop()
    else:
        print(json.dumps(PostfixHost.at(path).environment()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
