# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dialect profiles: what is known, and that nothing is guessed."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.mechanism import mechanisms
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN, profile


@pytest.mark.parametrize(
    "name, version, expected",
    [
        ("auto", "10.6.30-postern", POSTERN),
        ("auto", "10.6.30-Postern", POSTERN),
        ("auto", "10.6.30", AXIGEN),
        ("auto", "", AXIGEN),
        ("postern", "10.6.30", POSTERN),
        ("axigen", "10.6.30-postern", AXIGEN),
    ],
)
def test_profile(name, version, expected):
    assert profile(name, version) is expected


def test_unknown_profile():
    with pytest.raises(ValueError, match="axigen, postern"):
        profile("exchange")


def test_nothing_is_guessed_for_axigen():
    assert not AXIGEN.verified
    assert (AXIGEN.plain_auth_var, AXIGEN.tls_auth_var, AXIGEN.auth_none, AXIGEN.rcpt_domain_var) == (None,) * 4
    assert set(vars(AXIGEN.relay).values()) == {None, (), "sslEnabled"}
    assert None not in vars(POSTERN.relay).values()
    with pytest.raises(ValueError, match="no known word"):
        AXIGEN.mechanisms_to_script(())


def test_mechanisms():
    assert set(POSTERN.mechanisms) == {"PLAIN", "LOGIN", "SCRAM-SHA-256"}
    assert "CRAM-MD5" in AXIGEN.mechanisms and "SCRAM-SHA-256" not in AXIGEN.mechanisms
    assert POSTERN.mechanisms == mechanisms(list(POSTERN.mechanisms))


@pytest.mark.parametrize("wanted", [(), ("PLAIN",), ("SCRAM-SHA-256", "PLAIN", "LOGIN")])
def test_mechanisms_round_trip(wanted):
    assert POSTERN.mechanisms_from_script(POSTERN.mechanisms_to_script(wanted)) == wanted


@pytest.mark.parametrize(
    "value, expected",
    [
        ("none", ()), ("", ()), ("()", ()), (" NONE ", ()), ("( )", ()),
        ("plain login ", ("PLAIN", "LOGIN")), ("(login plain)", ("PLAIN", "LOGIN")), ("LOGIN login", ("LOGIN",)),
        ("all", ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        ("plain cram-md5", None), ("none plain", None), ("%x%", None),
    ],
)
def test_mechanisms_from_script(value, expected):
    assert POSTERN.mechanisms_from_script(value) == expected


def test_mechanism_that_the_server_lacks():
    with pytest.raises(ValueError, match="CRAM-MD5"):
        POSTERN.mechanisms_to_script(("CRAM-MD5",))


def test_two_spellings_of_versions():
    versions = ("TLSv1.3", "TLSv1", "TLSv1.2")
    assert POSTERN.listener_tokens(versions) == ("tls1", "tls1_2", "tls1_3")
    assert POSTERN.script_tokens(versions) == ("tls10", "tls12", "tls13")
    assert POSTERN.listener_versions(["TLS1_3", "ssl3", "tls1_1"]) == ("SSLv3", "TLSv1.1", "TLSv1.3")
    assert POSTERN.script_versions(["tls13", "tls12"]) == ("TLSv1.2", "TLSv1.3")
    assert POSTERN.listener_versions(["tls1_4", "tls1_2"]) == ("TLSv1.2", "tls1_4")
    with pytest.raises(ValueError, match="TLSv1.4"):
        POSTERN.listener_tokens(("TLSv1.4",))
