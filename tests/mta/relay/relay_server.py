# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server as a process that is killed and started again and again: ``python relay_server.py BOOTSTRAP``.

Loading the program takes longer than all else of a start, so it is loaded once: each line on standard input starts a
fresh server as a child of this process, with nothing in it but what is on the disk. Its status is printed when it
answers, and "gone" when it has ended.
"""

from __future__ import annotations

import json
import os
import sys

from postern import bootstrap, eventloop
from postern.log import Log
from postern.service import serve


def ready(status: dict) -> None:
    """Tell the test that the server answers."""
    print(json.dumps(status), flush=True)


def main(path: str) -> None:
    """Start servers until standard input ends."""
    settings = bootstrap.load(path)
    for _line in sys.stdin:
        child = os.fork()
        if not child:
            eventloop.run(serve(settings, Log(settings.log_file), ready))
            os._exit(0)
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
