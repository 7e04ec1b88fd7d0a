# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Written SMTP dialogues and how they are played, with any peer that has ``send``, ``line`` and ``secure``.

One step a line; blanks before it do not count::

    # a comment: the RFC and section of what follows
    P: a line of the policy script; all of them together are it
    WITH name=number       a setting of the site, like max_errors
    IMPLICIT               TLS begins before the greeting
    CORE                   only without sockets
    TOGETHER               what is sent by one step arrives in one piece, or it means something else
    TROUBLE full           the queue keeps nothing from here on ("full", "failed"), or no password can be checked
                           ("passwords"); "none" ends it
    C: text                sends the text as a line
    C> text                sends octets with Python's escapes, and no line end
    S: text                reads one line that is exactly this
    S~ pattern             reads one line that matches this regular expression as a whole
    S+ 250                 reads one reply of any number of lines with this code
    TLS                    the handshake
    CLOSED                 the connection has ended

``{x*100}`` in what is sent is a hundred times ``x``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "dialogues"
POLICY = """
event onEhlo {
\tset (localDelivery, "all");
\tset (maxDataSize, "1024");
\tset (plainConnAuthTypes, "none");
\tset (secureConnAuthTypes, "scram-sha-256 plain login");
}
"""
_REPEATED = re.compile(rb"\{([^*{}]+)\*(\d+)\}")


@dataclass
class Dialogue:
    """One file. ``steps`` are (line number, kind, text)."""

    policy: str = ""
    settings: dict[str, int] = field(default_factory=dict)
    implicit: bool = False
    core: bool = False
    together: bool = False
    steps: list[tuple[int, str, str]] = field(default_factory=list)


def read(path: Path) -> Dialogue:
    """Read a file. Raises ValueError for a step that nobody knows."""
    dialogue = Dialogue()
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        kind, text = line.lstrip()[:2], line.lstrip()[3:]
        word, _blank, argument = line.strip().partition(" ")
        if not word or word.startswith("#"):
            continue
        if kind == "P:":
            dialogue.policy += text + "\n"
        elif word == "WITH":
            name, _equals, value = argument.partition("=")
            dialogue.settings[name] = int(value)
        elif word == "IMPLICIT":
            dialogue.implicit = True
        elif word in ("CORE", "TOGETHER"):
            setattr(dialogue, word.lower(), True)
        elif kind in ("C:", "C>", "S:", "S~", "S+"):
            dialogue.steps.append((number, kind, text))
        elif word in ("TLS", "CLOSED", "TROUBLE"):
            dialogue.steps.append((number, word, argument))
        else:
            raise ValueError(f"{path.name}:{number}: no such step: {line}")
    dialogue.policy = dialogue.policy or POLICY
    return dialogue


def octets(kind: str, text: str) -> bytes:
    """What a step sends."""
    data = text.encode()
    if kind == "C>":
        data = data.decode("latin-1").encode("latin-1").decode("unicode_escape").encode("latin-1")
    data = _REPEATED.sub(lambda found: found[1] * int(found[2]), data)
    return data + (b"\r\n" if kind == "C:" else b"")


def play(peer, dialogue: Dialogue, trouble=None) -> None:
    """Play a dialogue from the greeting on. An AssertionError names the line of the file."""
    if dialogue.implicit:
        peer.secure()
    for number, kind, text in dialogue.steps:
        where = f"line {number}, {kind} {text[:100]}"
        if kind in ("C:", "C>"):
            peer.send(octets(kind, text))
        elif kind == "TLS":
            peer.secure()
        elif kind == "CLOSED":
            assert peer.line() == b"", f"{where}: it is not closed"
        elif kind == "TROUBLE":
            trouble(text)
        elif kind == "S+":
            while (line := peer.line())[:4] == text.encode() + b"-":
                pass
            assert line[:4] == text.encode() + b" ", f"{where}: got {line!r}"
        else:
            line = peer.line().removesuffix(b"\r\n").decode("ascii")
            assert re.fullmatch(text, line) if kind == "S~" else line == text, f"{where}: got {line!r}"
