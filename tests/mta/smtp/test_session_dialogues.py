# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each written dialogue: with the session core, whole and octet by octet, and over a socket."""

from __future__ import annotations

import re

import dialogue as written
import pytest
from postern.settings import TlsSettings
from session_peer import SessionPeer, check_password, make_site
from wire_peer import Peer
from wire_server import listener

PATHS = sorted(written.FOLDER.glob("*.txt"))
NAMES = [path.stem for path in PATHS]

#: Section 4.2.3 of RFC 5321 and the extensions: what this server can say. Replies that only a limit of connections, a
#: timer or a handshake causes are tested where these are.
CODES = (
    "220 2.0.0", "221 2.0.0", "214 2.0.0", "235 2.7.0", "250 2.0.0", "250 2.1.0", "250 2.1.5", "252 2.5.1", "334",
    "354", "421 4.7.0", "450 4.2.0", "451 4.3.0", "451 4.7.1", "452 4.3.1", "452 4.5.3", "454 4.7.0", "500 5.5.1",
    "500 5.5.2", "500 5.5.6", "501 5.1.3", "501 5.1.7", "501 5.5.2", "501 5.5.4", "501 5.7.0", "502 5.5.1",
    "503 5.5.1", "504 5.5.4", "521 5.3.2", "523 5.7.10", "530 5.7.0", "535 5.7.8", "538 5.7.11", "550 5.1.1",
    "550 5.5.2", "550 5.6.0", "550 5.7.1", "552 5.3.4", "553 5.6.7", "554 5.4.6", "554 5.5.1", "554 5.7.0",
    "555 5.5.4",
)  # fmt: skip


class Slowly:
    """A peer whose octets arrive one by one."""

    def __init__(self, peer: SessionPeer) -> None:
        self._peer = peer
        self.line, self.secure = peer.line, peer.secure

    def send(self, data: bytes) -> None:
        for octet in data:
            self._peer.send(bytes([octet]))


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_core(directory, path):
    dialogue = written.read(path)
    ways = [lambda peer: peer] if dialogue.together else [lambda peer: peer, Slowly]
    for way in ways:
        play_core(directory, dialogue, way)


def play_core(directory, dialogue, way):
    trouble = ["none"]

    def check(login: str, password: str) -> str | bool | None:
        return None if trouble[-1] == "passwords" else check_password(login, password)

    peer = SessionPeer(
        make_site(directory, script=dialogue.policy, **dialogue.settings),
        dialogue.implicit,
        trouble=lambda: trouble[-1] if trouble[-1] in ("full", "failed") else "",
        check=check,
    )
    written.play(way(peer), dialogue, trouble.append)
    assert peer.unread == b""


@pytest.mark.parametrize("path", [path for path in PATHS if not written.read(path).core], ids=lambda path: path.stem)
def test_socket(make_server, ec_file, path):
    dialogue = written.read(path)
    settings = {name: value for name, value in dialogue.settings.items() if name != "starttls"}
    tls = TlsSettings(cert_file=ec_file) if dialogue.settings.get("starttls", 1) else TlsSettings()
    server = make_server()
    server.activate(
        listener("127.0.0.1", tls=tls, ssl_enable=dialogue.implicit), script=dialogue.policy, **settings
    )
    with Peer("127.0.0.1", server.port()) as peer:
        written.play(peer, dialogue)


def test_every_reply_has_a_dialogue():
    said = [text for path in PATHS for _number, kind, text in written.read(path).steps if kind.startswith("S")]
    heads = {re.sub(r"\\(.)", r"\1", text).replace("-", " ", 1) for text in said}
    missing = [code for code in CODES if not any(head.startswith(code) for head in heads)]
    assert missing == []


def test_every_verb_has_a_dialogue():
    sent = {text.split(" ")[0].upper() for path in PATHS for _n, kind, text in written.read(path).steps if kind == "C:"}
    verbs = "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY EXPN HELP QUIT STARTTLS AUTH BDAT".split()
    assert [verb for verb in verbs if verb not in sent] == []
