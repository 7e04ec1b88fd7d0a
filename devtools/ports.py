# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loopback ports for servers that the developer tasks start."""

from __future__ import annotations

import socket

#: Preferred ports per lab, in the order of NAMES; a lab without peers has no last two.
PREFERRED = {
    "demo": (2525, 2587, 2465, 7025, 2526, 2625, 2653),
    "default": (3025, 3587, 3465, 7125, 3526),
    "article": (4025, 4587, 4465, 7225, 4526),
    "relay": (5025, 5587, 5465, 7325, 5526, 5625, 5653),
    "axigen": (6125, 6587, 6465, 7425, 6526),
    "scale": (10025, 10587, 10465, 7525, 10526),
    "postfix": (11025, 11587, 11465, 7625, 11526),
    "migrate": (12025, 12587, 12465, 7725, 12526),
    # The second server of the scenario "migrate".
    "moved": (13025, 13587, 13465, 7825, 13526),
    "picture_1": (8025, 8587, 8465, 8225, 8526),
    "picture_2": (9025, 9587, 9465, 9225, 9526),
}
#: Labs that are no Molecule scenarios.
_OTHER_LABS = ("demo", "picture_1", "picture_2")
#: Standing in for 25, 587 and 465; the admin interface; a listener that lacks one thing; all the mail servers that the
#: lab sends to, and the name server that knows them.
NAMES = ("relay", "submission", "submissions", "admin", "twin", "peers", "dns")

#: Mail servers that a lab sends to have addresses of their own and one port: mail goes to port 25 everywhere, and the
#: lab's stand-in for it is one setting.
PEER_NETWORK = {"demo": "127.25.25", "relay": "127.25.26", "tests": "127.25.27"}
PEER_COUNT = 16


def peer_address(lab: str, number: int) -> str:
    """The address of this lab's peer, counted from 1."""
    return f"{PEER_NETWORK[lab]}.{number}"


def _is_free(port: int, address: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _suits(lab: str, name: str, port: int) -> bool:
    """Whether a port that is free at 127.0.0.1 over TCP is free wherever else this name needs it."""
    if name == "peers":
        return all(_is_free(port, peer_address(lab, number)) for number in range(1, PEER_COUNT + 1))
    return name != "dns" or _is_free(port, kind=socket.SOCK_DGRAM)


def choose(lab: str) -> dict[str, int]:
    """Free ports by name: the preferred ones, each replaced by any free one when it is taken."""
    chosen: dict[str, int] = {}
    held = []
    try:
        for name, port in zip(NAMES, PREFERRED[lab]):
            suits = _is_free(port) and _suits(lab, name, port)
            while not suits:
                # Held until all are chosen, so that no two names get the same one.
                holder = socket.create_server(("127.0.0.1", 0))
                held.append(holder)
                port = holder.getsockname()[1]
                suits = _suits(lab, name, port)
            chosen[name] = port
    finally:
        for holder in held:
            holder.close()
    return chosen


def any_peers(lab: str) -> int:
    """A port that is free at all addresses of this lab's peers."""
    while True:
        with socket.create_server((peer_address(lab, 1), 0)) as holder:
            port = holder.getsockname()[1]
        if _suits(lab, "peers", port):
            return port


def scenario_variables() -> dict[str, str]:
    """Environment variables that give the Molecule scenarios their ports."""
    variables = {}
    for lab in PREFERRED:
        if lab not in _OTHER_LABS:
            for name, port in choose(lab).items():
                variables[f"SECUREMAIL_PORT_{lab}_{name}".upper()] = str(port)
    return variables
