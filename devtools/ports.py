# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loopback ports for servers that the developer tasks start."""

from __future__ import annotations

import socket

#: Preferred ports per lab, in the order of NAMES.
PREFERRED = {
    "demo": (2525, 2587, 2465, 7025, 2526),
    "default": (3025, 3587, 3465, 7125, 3526),
    "article": (4025, 4587, 4465, 7225, 4526),
}
#: Standing in for 25, 587 and 465; the admin interface; a listener that lacks one thing.
NAMES = ("relay", "submission", "submissions", "admin", "twin")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(lab: str) -> dict[str, int]:
    """Free ports by name: the preferred ones, each replaced by any free one when it is taken."""
    chosen: dict[str, int] = {}
    held = []
    try:
        for name, port in zip(NAMES, PREFERRED[lab]):
            if not _is_free(port):
                # Held until all are chosen, so that no two names get the same one.
                holder = socket.create_server(("127.0.0.1", 0))
                held.append(holder)
                port = holder.getsockname()[1]
            chosen[name] = port
    finally:
        for holder in held:
            holder.close()
    return chosen


def scenario_variables() -> dict[str, str]:
    """Environment variables that give the Molecule scenarios their ports."""
    variables = {}
    for lab in PREFERRED:
        if lab != "demo":
            for name, port in choose(lab).items():
                variables[f"SECUREMAIL_PORT_{lab}_{name}".upper()] = str(port)
    return variables
