# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a program takes mail by LMTP, as a value."""

from __future__ import annotations

from dataclasses import dataclass

#: Stands for every domain that has no place of its own.
OTHERS = "*"


@dataclass(frozen=True)
class Place:
    """Where a program listens: the ``path`` of a socket, or ``host`` and ``port``."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"


def read_place(text: str) -> Place:
    """``unix:/path``, ``host:port`` or ``[ipv6]:port``. Raises ValueError that says what is wrong."""
    if text.startswith("unix:"):
        path = text[5:]
        if not path.startswith("/") or len(path.encode()) > 107 or any(ord(letter) < 32 for letter in path):
            raise ValueError(f"{text!r} is not unix: and an absolute path of at most 107 octets")
        return Place(path=path)
    host, _colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise ValueError(f"{text!r} is not unix:/path, host:port or [ipv6]:port")
    if not bare or (":" in bare) != (bare != host) or not all(33 <= ord(letter) < 127 for letter in bare):
        raise ValueError(f"{text!r} is not unix:/path, host:port or [ipv6]:port")
    return Place(host=bare, port=int(port))
