# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Postfix at the other end: what it writes into its Received header is nobody's opinion but its own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "devtools"))

import postfix as real  # noqa: E402

#: By name: the TLS versions that this Postfix speaks.
INSTANCES = {"modern": ">=TLSv1.2", "newest": ">=TLSv1.3", "older": "TLSv1.2"}


@pytest.fixture(scope="module")
def instances(lab):
    """Postfix at the mail exchangers of ``modern.test`` and so on; started when they are asked for."""
    # Its daemons run as other users, who cannot enter pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="securemail-postfix-"))
    folder.chmod(0o755)
    running = {}

    def start(name):
        if name not in running:
            domain, address = f"{name}.test", lab.address()
            (folder / name).mkdir()
            lab.zone.put(f"mx.{domain}", {"A": [address]})
            lab.mx(domain, f"mx.{domain}")
            certificate = lab.certificate(f"mx.{domain}")
            running[name] = real.Postfix(folder / name, address, lab.port, certificate, [domain], INSTANCES[name])
        return running[name]

    try:
        real.unpacked()
    except real.Unavailable as reason:
        shutil.rmtree(folder)
        if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
            raise
        pytest.skip(str(reason))
    yield start
    for postfix in running.values():
        postfix.close()
    shutil.rmtree(folder)


def arrived(lab, postfix, name, subject):
    """Send a message; returns TLS version and cipher of Postfix's Received header, and the server's log line."""
    number = lab.submit(f"r@{name}.test", subject=subject)
    message = postfix.wait_message(subject)
    assert message.get_payload().strip() == f"body of {subject}"
    return *(real.tls_of(message) or (None, None)), lab.attempt(f"{name}.test", id=number)


@pytest.mark.parametrize(
    ("name", "versions", "expected"),
    [
        ("modern", "tls12 ", "TLSv1.2"),
        ("modern", "tls13 ", "TLSv1.3"),
        ("modern", "tls11 tls12 ", "TLSv1.2"),
        ("modern", "tls12 tls13 ", "TLSv1.3"),
        ("newest", "tls12 tls13 ", "TLSv1.3"),
        ("older", "tls12 tls13 ", "TLSv1.2"),
    ],
)
@pytest.mark.parametrize("level", ["may", "verify"])
def test_a_relayed_message_reaches_postfix_with_the_version_that_the_rule_says(
    lab, instances, name, versions, expected, level
):
    postfix = instances(name)
    lab.policy(tlsLevel=level, allowedSSLVersions=versions)
    version, cipher, event = arrived(lab, postfix, name, f"{name} {versions}{level}")
    assert version == expected
    assert (event["result"], event["protocol"], event["cipher"]) == ("sent", version, cipher)
    assert event["reached"] == ("encrypt" if level == "may" else level)


def test_the_rule_of_the_article(lab, instances):
    """TLS required, 1.1 and 1.2: the dialect's own words for it."""
    postfix = instances("modern")
    lab.policy(sslEnabled="yes", allowedSSLVersions="tls11 tls12 ")
    version, _cipher, event = arrived(lab, postfix, "modern", "article")
    assert (version, event["level"]) == ("TLSv1.2", "encrypt")


def test_without_a_common_version_nothing_arrives(lab, instances):
    postfix = instances("newest")
    lab.policy(tlsLevel="encrypt", allowedSSLVersions="tls12 ")
    number = lab.submit("r@newest.test", subject="too old")
    event = lab.attempt("newest.test", id=number)
    assert (event["result"], event["reason"][:5], event["fallback"]) == ("deferred", "4.7.5", False)
    # What came later has arrived, and this has not.
    lab.policy(tlsLevel="encrypt")
    assert arrived(lab, postfix, "newest", "later")[0] == "TLSv1.3"
    assert "too old" not in [message["Subject"] for message in postfix.messages]
    assert "SSL_accept error" in postfix.log


def test_at_level_may_it_arrives_in_clear_and_postfix_says_so(lab, instances):
    postfix = instances("newest")
    lab.policy(tlsLevel="may", allowedSSLVersions="tls12 ")
    version, _cipher, event = arrived(lab, postfix, "newest", "in clear")
    assert version is None
    assert (event["result"], event["reached"], event["fallback"]) == ("sent", "clear", True)


@pytest.mark.parametrize(
    ("version", "words"), [("TLSv1.2", "tlsv1 alert protocol version"), ("TLSv1.3", "TLSv1.3 with cipher")]
)
def test_postfix_is_what_the_tests_take_it_for(lab, instances, version, words):
    """Postfix's own client is the second opinion about which versions this peer speaks."""
    postfix = instances("newest")
    output = postfix.run("posttls-finger", "-c", "-lencrypt", "-p", version, f"[{postfix.address}]:{postfix.port}")
    assert words in output
