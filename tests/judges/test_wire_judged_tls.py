# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The TLS settings as scanners and OpenSSL's client see them. What is wrong is another postern, set up as nobody should."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.tests.probe.running_postern import RunningServer, initial, listener

import claims
import grid
import programs
import witnesses
from judged_server import SERVER_NAME, Place

GOOD_VERSIONS = ["TLSv1.2", "TLSv1.3"]
_OPENSSL_VERSIONS = {"TLSv1": "-tls1", "TLSv1.1": "-tls1_1", "TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}


@pytest.fixture(scope="module")
def old(tmp_path_factory, authority):
    """A server with versions that were withdrawn, suites without forward secrecy and an order that the client chooses."""
    tls = {
        "allowed_versions": ("tls1", "tls1_1", "tls1_2", "tls1_3"), "cipher_suite": "ALL:@SECLEVEL=0",
        "cert_file": authority.server_pem("rsa"), "prefer_server_ciphers": False,
    }
    limits = dict.fromkeys(
        ("max_connections", "max_interval_connections", "peer_max_connections", "peer_max_interval_connections"), 0
    )
    with RunningServer(tmp_path_factory.mktemp("old")) as server:
        server.activate(initial("unhardened"), listener(grid.HOST, False, limits, **tls))
        yield Place(server.port)


def as_running(place: Place) -> grid.Running:
    """A place as the readers of scanners take it."""
    kind = "implicit" if place.implicit else "starttls"
    return grid.Running(grid.Server("judged", "the server that is judged", None, tls=kind), place.port)


def handshake(place: Place, *options: str) -> tuple[int, str]:
    """A handshake by ``openssl s_client``: its status (0: there was one) and its words."""
    starttls = () if place.implicit else ("-starttls", "smtp")
    return programs.openssl("s_client", "-connect", place.address, "-servername", SERVER_NAME, "-brief", *starttls, *options)


# --- versions ------------------------------------------------------------------------------------


def openssl_versions(place: Place) -> list[str]:
    """The versions that OpenSSL's client gets a handshake with, at its lowest security level."""
    return [
        version for version, option in _OPENSSL_VERSIONS.items()
        if handshake(place, option, "-cipher", "ALL:@SECLEVEL=0")[0] == 0
    ]


def scanned_versions(place: Place, judge: str) -> list[str]:
    """The versions that a scanner finds."""
    said = witnesses.JUDGES[judge](programs.get(judge), as_running(place))
    return [version for version in claims.VERSIONS if said.get(version) == claims.ACCEPTED]


def test_w12_openssl_gets_two_versions_only(hardened):
    for place in (hardened.relay, hardened.submission, hardened.submissions):
        assert openssl_versions(place) == GOOD_VERSIONS


@pytest.mark.parametrize("judge", ["sslscan", "nmap"])
def test_w12_scanners_find_two_versions_only(hardened, judge):
    for place in (hardened.relay, hardened.submissions):
        assert scanned_versions(place, judge) == GOOD_VERSIONS


def test_w12_can_fail(old):
    everything = ["TLSv1", "TLSv1.1", *GOOD_VERSIONS]
    assert openssl_versions(old) == everything
    assert scanned_versions(old, "sslscan") == everything
    assert scanned_versions(old, "nmap") == everything


# --- all settings ----------------------------------------------------------------------------------


def mozilla_complaints(place: Place, ca_file: str) -> list[str]:
    """What sslyze has to say against these settings and this certificate by Mozilla's recommendation "intermediate"."""
    starttls = () if place.implicit else ("--starttls=smtp",)
    said = programs.get("sslyze").run(
        f"--sni={SERVER_NAME}", "--mozilla_config=intermediate", "--certinfo", f"--certinfo_ca_file={ca_file}", *starttls, place.address, statuses=(0, 1)
    )
    if f"{place.address}: OK" in said:
        return []
    found = re.findall(r"^\s*\* (\w+): (.+)$", said[said.index("COMPLIANCE"):], re.MULTILINE)
    return [f"{name}: {words}" for name, words in found] or [said]


def test_w13_the_settings_are_intermediate(hardened):
    for place in (hardened.relay, hardened.submissions):
        assert mozilla_complaints(place, hardened.authority.ca_file) == []


def test_w13_can_fail(old, authority):
    assert {line.partition(":")[0] for line in mozilla_complaints(old, authority.ca_file)} >= {"tls_versions", "ciphers"}


# --- known holes -----------------------------------------------------------------------------------


def holes(place: Place) -> list[str]:
    """The holes that sslyze finds; also what it could not look for."""
    starttls = () if place.implicit else ("--starttls=smtp",)
    asked = {"reneg": "session_renegotiation", "compression": "tls_compression", "heartbleed": "heartbleed", "robot": "robot",
             "openssl_ccs": "openssl_ccs_injection"}
    with tempfile.TemporaryDirectory() as folder:
        programs.get("sslyze").run(
            f"--sni={SERVER_NAME}", "--mozilla_config=disable", f"--json_out={folder}/said", *(f"--{one}" for one in asked),
            *starttls, place.address,
        )
        (result,) = json.loads(Path(folder, "said").read_text(encoding="utf-8"))["server_scan_results"]
    results = result["scan_result"]
    found = []
    for name in asked.values():
        result = results[name]["result"]
        if results[name]["status"] != "COMPLETED" or not result:
            found.append(f"{name}: not looked for")
        elif name == "session_renegotiation":
            # Where the client may do it, even securely, it costs the server more than the client.
            found += ["renegotiation"] if result["is_vulnerable_to_client_renegotiation_dos"] else []
            found += [] if result["supports_secure_renegotiation"] else ["renegotiation without RFC 5746"]
        elif name == "tls_compression":
            found += ["compression"] if result["supports_compression"] else []
        elif name == "robot":
            found += [] if result["robot_result"].startswith("NOT_VULNERABLE") else [result["robot_result"]]
        else:
            found += [name] if result[f"is_vulnerable_to_{'heartbleed' if name == 'heartbleed' else 'ccs_injection'}"] else []
    return found


def test_w14_none_of_the_known_holes(hardened):
    for place in (hardened.relay, hardened.submissions):
        assert holes(place) == []


# --- groups and suites -----------------------------------------------------------------------------

#: RFC 9325 section 4.4 and Mozilla's "intermediate"; the others are OpenSSL's own choice where nobody says anything.
GOOD_GROUPS, OTHER_GROUPS = ["X25519", "P-256", "P-384"], ["P-521", "X448", "ffdhe2048", "brainpoolP256r1tls13"]
GOOD_SUITES = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
OTHER_SUITES = ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-ARIA128-GCM-SHA256"]


def accepted(place: Place, option: str, values: list[str], *more: str) -> list[str]:
    """Those of these values of an option of ``openssl s_client`` that lead to a handshake."""
    return [value for value in values if handshake(place, option, value, *more)[0] == 0]


def test_w15_groups_and_suites_are_those_of_the_guides(hardened):
    for place in (hardened.relay, hardened.submissions):
        # In TLS 1.2 a client that does not name the certificate's own group gets no handshake at all.
        assert accepted(place, "-groups", [*GOOD_GROUPS, *OTHER_GROUPS], "-tls1_3") == GOOD_GROUPS
        assert accepted(place, "-cipher", [*GOOD_SUITES, *OTHER_SUITES], "-tls1_2") == GOOD_SUITES


def test_w15_can_fail(old):
    # Its certificate is another one.
    assert accepted(old, "-groups", ["P-256", "P-521"], "-tls1_3") == ["P-256", "P-521"]
    assert accepted(old, "-cipher", ["ECDHE-RSA-AES128-SHA"], "-tls1_2") == ["ECDHE-RSA-AES128-SHA"]
