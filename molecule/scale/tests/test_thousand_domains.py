# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Samples of the thousand domains on the wire: what the list in force names takes mail over TLS only, and nothing else does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import wire

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import partners  # noqa: E402

pytest_plugins = ["ansible_collections.securemail.smtp.plugins.plugin_utils.testinfra"]

TEXT = (wire.folder() / "partners.txt").read_text(encoding="utf-8")
NAMES = partners.names_in(TEXT)
FIRST, SECOND = set(partners.first()), set(partners.second())

#: Samples, and whether mail for them is taken over TLS only: the first of the list, the middle, the last, one that is in
#: the first list only, one that is in the second one only; subdomains, their domain, the exception; what no list names.
SAMPLES = {
    **{name: name in NAMES for name in ("d0001.partner.test", "d0499.partner.test", "d0997.partner.test")},
    **{name: name in NAMES for name in ("d0990.partner.test", "n0099.partner.test")},
    "tax.gov.test": True,
    "gov.test": False,
    "open.gov.test": False,
    "mydomain.com": True,
    "example.test": False,
}


@pytest.fixture(scope="module")
def relay(smtp):
    """The listener for mail from everywhere."""
    known = wire.facts()["server"]
    return smtp.listener(
        known["listeners"][0]["address"], tls="starttls", server_name=known["server_name"], ca_file=known["ca_file"],
        local_domain=known["local_domain"],
    )


def test_the_samples_can_tell_the_lists_apart():
    assert (len(FIRST), len(SECOND), len(FIRST & SECOND)) == (1000, 1000, 900)
    assert NAMES in (FIRST, SECOND)
    assert SAMPLES["d0990.partner.test"] != SAMPLES["n0099.partner.test"]


@pytest.mark.parametrize("domain", SAMPLES)
def test_mail_for(relay, domain):
    if SAMPLES[domain]:
        explained = domain if domain != "tax.gov.test" else "subdomains of gov.test"
        assert relay.forces_tls_for(domain, f"Accepting only secure delivery (STARTTLS) for {explained}")
    else:
        assert relay.takes_mail_in_clear_for(domain)


def test_nothing_else_is_in_force(host):
    """What the prune left is what the list and the other tasks name, to the rule."""
    script = host.file(f"{wire.facts()['prefix']}/state/filters/smtpFilters.script").content_string
    rules = re.findall(r"^method ((?:allow_only_tls_for|tls_exception_for)_\w+)", script, re.MULTILINE)
    others = {
        "allow_only_tls_for_mydomain_com", "tls_exception_for_open_gov_test", "allow_only_tls_for_bank_test",
        "allow_only_tls_for_bank_test_outbound",
    }
    assert others <= set(rules)
    # And mail to .gov.test that goes out.
    assert len(rules) == len(NAMES) + len(others) + 1
