# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which certificate a client sees: by the name that it asks for, and after a renewal."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import ssl
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.tests.mta.smtp.wire_peer import Peer, client_context
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.credentials import Authority
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import smtp_twin

import programs
from grid import HOST
from judged_server import SECOND_NAME, SERVER_NAME, JudgedServer, Place

_SESSIONS = 50
#: Others who come before it and after it.
_VISITORS = 20


def names_shown(place: Place, *asked: str) -> list[str]:
    """The subject of the certificate that ``openssl s_client`` is shown for each of these names; "" asks for none."""
    found = []
    for name in asked:
        options = ("-servername", name) if name else ("-noservername",)
        starttls = () if place.implicit else ("-starttls", "smtp")
        _status, said = programs.openssl("s_client", "-connect", place.address, *options, *starttls)
        subject = re.search(r"^subject=\s*CN\s*=\s*(\S+)$", said, re.MULTILINE)
        found.append(subject.group(1) if subject else said)
    return found


def test_w16_a_name_has_its_certificate(hardened):
    for place in (hardened.relay, hardened.submission, hardened.submissions):
        asked = ("", SERVER_NAME, SECOND_NAME, SECOND_NAME.upper(), "nobody.test")
        assert names_shown(place, *asked) == [SERVER_NAME, SERVER_NAME, SECOND_NAME, SECOND_NAME, SERVER_NAME]


def test_w16_can_fail(authority):
    with smtp_twin(context=authority.context(name=SERVER_NAME)) as twin:
        assert names_shown(Place(twin.port), SECOND_NAME) == [SERVER_NAME]


# --- renewal ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def renewed(tmp_path_factory, authority):
    """A server with one listener, whose certificate is a file of its own, and that file."""
    folder = tmp_path_factory.mktemp("renewed")
    own = folder / "own.pem"
    with JudgedServer(folder, authority) as server:
        shutil.copy(authority.server_pem("ec", SERVER_NAME), own)
        server.module(
            "smtp_listener", address=server.relay.address, tls="starttls", certificate=str(own),
            peer_max_connections=300, max_connections=300, peer_max_interval_connections=0, max_interval_connections=0,
        )
        yield server, own


@pytest.fixture
def renewing(renewed, authority, tmp_path_factory):
    """The same server, once it shows a certificate that it has not had before."""
    server, own = renewed
    shutil.copy(Authority(tmp_path_factory.mktemp("before")).server_pem("ec", SERVER_NAME), own)
    os.kill(server.pid, signal.SIGHUP)
    end = time.monotonic() + 20
    while shown(server.relay) != fingerprint(own.read_text()) and time.monotonic() < end:
        pass
    return renewed


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate of a PEM text."""
    first = pem[pem.index("-----BEGIN CERTIFICATE-----"):]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first[: first.index("-----END") + 25])).hexdigest()


def shown(place: Place) -> str:
    """The fingerprint of the certificate that ``openssl s_client`` is shown."""
    _status, said = programs.openssl("s_client", "-connect", place.address, "-starttls", "smtp", "-servername", SERVER_NAME)
    return fingerprint(said) if "-----BEGIN CERTIFICATE-----" in said else said


def sessions(place: Place, number: int) -> list[Peer]:
    """So many sessions inside TLS."""
    peers = []
    for _each in range(number):
        peers.append(Peer(HOST, place.port))
        peers[-1].start()
        peers[-1].starttls(client_context())
        peers[-1].expect("EHLO client.test", 250)
    return peers


def test_w39_a_new_certificate_while_sessions_go_on(renewing, tmp_path, record_property):
    server, own = renewing
    before = fingerprint(own.read_text())
    assert shown(server.relay) == before
    peers = sessions(server.relay, _SESSIONS)
    stop, refused, came = threading.Event(), [], []

    def come_and_go() -> None:
        while not stop.is_set():
            try:
                for peer in sessions(server.relay, 1):
                    peer.socket.close()
                came.append(1)
            except (OSError, AssertionError) as error:
                refused.append(repr(error))

    def until_come(number: int) -> None:
        end = time.monotonic() + 20
        while len(came) < number and not refused and time.monotonic() < end:
            time.sleep(0.01)

    visitors = threading.Thread(target=come_and_go)
    visitors.start()
    try:
        until_come(_VISITORS)
        (tmp_path / "other").mkdir()
        new = Path(Authority(tmp_path / "other").server_pem("rsa", SERVER_NAME))
        # As a renewal does it: the new file takes the old one's place in one step.
        shutil.copy(new, tmp_path / "new.pem")
        os.replace(tmp_path / "new.pem", own)
        begun = time.monotonic()
        os.kill(server.pid, signal.SIGHUP)
        while shown(server.relay) == before and time.monotonic() < begun + 20:
            pass
        seconds = time.monotonic() - begun
        until_come(len(came) + _VISITORS)
    finally:
        stop.set()
        visitors.join(30)
    assert shown(server.relay) == fingerprint(new.read_text())
    for peer in peers:
        peer.expect("NOOP", 250)
        peer.socket.close()
    record_property("seen", f"seen after {seconds:.1f} s; {len(came)} came meanwhile, {len(refused)} were refused")
    assert len(came) >= 2 * _VISITORS and refused == []


def test_w39_a_file_that_is_wrong_changes_nothing(renewing):
    server, own = renewing
    before, reloads = fingerprint(own.read_text()), server.log.count('"tls.reload"')
    own.write_text("no certificate\n")
    os.kill(server.pid, signal.SIGHUP)
    end = time.monotonic() + 20
    while server.log.count('"tls.reload"') == reloads and time.monotonic() < end:
        time.sleep(0.02)
    assert server.log.count('"tls.reload"') > reloads and shown(server.relay) == before


def test_w39_can_fail(renewing, tmp_path):
    # Nobody asked, and the server's own look comes once a minute: the old one is seen.
    server, own = renewing
    before = fingerprint(own.read_text())
    shutil.copy(Authority(tmp_path).server_pem("rsa", SERVER_NAME), own)
    assert shown(server.relay) == before
