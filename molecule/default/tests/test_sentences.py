# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same in sentences, as anybody's own scenario can say them."""

from __future__ import annotations

import pytest
import wire

pytest_plugins = ["ansible_collections.securemail.smtp.plugins.plugin_utils.testinfra"]


@pytest.fixture
def listeners(smtp):
    """Relay, submission and submissions."""
    known = wire.facts()["server"]
    return [
        smtp.listener(
            listener["address"], tls=listener["tls"], server_name=known["server_name"], ca_file=known["ca_file"],
            local_domain=known["local_domain"], username=known["account"], password=known["password"],
        )
        for listener in known["listeners"]
    ]


def test_nobody_logs_in_over_a_connection_in_clear(listeners):
    relay, submission, submissions = listeners
    for listener in (relay, submission):
        assert listener.offers_starttls()
        assert listener.refuses_plain_auth()
    assert submissions.is_silent_in_clear()


def test_users_send_over_tls_and_after_a_login_and_nobody_logs_in_where_other_servers_come(listeners):
    relay, submission, submissions = listeners
    assert submission.refuses_mail_in_clear("530 5.7.0 Must issue a STARTTLS command first")
    for listener in (submission, submissions):
        assert listener.refuses_mail_without_login("530 5.7.0 Authentication required")
    assert relay.offers_mechanisms()


def test_over_tls_exactly_the_chosen_mechanisms_work(listeners):
    for listener in listeners[1:]:
        assert listener.offers_mechanisms("SCRAM-SHA-256", "PLAIN")
        assert listener.refuses_mechanism("LOGIN")
        assert listener.accepts_login("SCRAM-SHA-256", "PLAIN")


def test_old_versions_are_off_and_the_certificate_is_trusted(listeners):
    for listener in listeners:
        assert listener.accepts_version("TLSv1.2", "TLSv1.3")
        assert listener.refuses_version("SSLv2", "SSLv3", "TLSv1", "TLSv1.1")
        assert listener.presents_trusted_certificate()


def test_mail_for_one_domain_comes_over_tls_only(listeners):
    known = wire.facts()["server"]
    assert listeners[0].forces_tls_for(known["forced_domain"], known["explanation"])
    assert listeners[0].takes_mail_in_clear_for(known["other_domain"])
    assert listeners[0].is_no_open_relay()


def test_a_sentence_that_is_not_true_says_what_was_seen(listeners):
    with pytest.raises(AssertionError, match="TLSv1.3"):
        listeners[1].refuses_version("TLSv1.3")
