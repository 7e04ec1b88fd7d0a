# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers themselves: what is made by hand speaks as it says, and a port is closed or filtered as it says."""

from __future__ import annotations

import socket

import pytest
import zoo
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import VERSIONS
from ansible_collections.securemail.smtp.plugins.module_utils._probe.tls import offer

SUITES = ("DHE-RSA-AES128-SHA", "RC4-SHA", "ECDHE-RSA-AES256-GCM-SHA384", "TLS_AES_128_GCM_SHA256")


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("only", sorted(VERSIONS))
def test_a_server_by_hand_has_the_versions_that_it_says(only, implicit):
    with zoo.by_hand(implicit, versions=(only,), suites=SUITES, groups=("P-384",), dh_bits=1024) as server:
        found = {
            version: offer("127.0.0.1", server.port, version, "implicit" if implicit else "starttls", timeout=5)
            for version in VERSIONS
        }
    assert [version for version in VERSIONS if found[version].accepted] == [only], [str(one) for one in found.values()]
    if only == "TLSv1.3":
        assert (found[only].cipher, found[only].group) == ("TLS_AES_128_GCM_SHA256", "P-384")
    elif only != "SSLv2":
        assert (found[only].cipher, found[only].dh_bits) == ("DHE-RSA-AES128-SHA", 1024)


def test_a_filtered_port_says_nothing_and_a_closed_one_refuses():
    with zoo.filtered_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.2)
    with zoo.closed_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_server_that_has_had_enough_refuses_the_connection():
    with zoo.smtp(limit=2) as server:
        for unused in range(2):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
                assert sock.recv(4) == b"220 "
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
