# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read from a server can be asked for: a policy as smtp_info shows it, through the options of smtp_policy."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import (
    Listener,
    Policy,
    RelayHost,
    StartTls,
)
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    ForcedTlsGroup,
    OpaqueRule,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.modules import smtp_policy

PEM = "/etc/mail/mail.pem"
KEYS = (":".join(["A1"] * 32), ":".join(["B2"] * 32))
POLICY = Policy(
    listeners=(
        Listener("0.0.0.0:25", True, "starttls", ("TLSv1.2", "TLSv1.3"), "ECDHE+AESGCM", certificate=PEM, dh_params=""),
        Listener("0.0.0.0:465", False, "implicit", certificate=PEM, allowed_networks=("10.0.0.0/8",), idle_timeout=0),
        Listener("127.0.0.1:2525", True, "none", certificate="", denied_networks=()),
    ),
    starttls=StartTls(True, True),
    rules=(
        OpaqueRule("WA_Acceptance_basic", "ehlo", basic=True),
        AuthRule("a", "plain", ()),
        AuthRule("b", "tls", ("SCRAM-SHA-256", "PLAIN")),
        AuthRule("c", "tls", (), enabled=False),
        ForcedTlsDomain("by_hand", "a.test", "no"),
        ForcedTlsDomain("again", "a.test", "no again", enabled=False),
        ForcedTlsDomain("z", "z.test", "no", enabled=False),
        ForcedTlsDomain("exempt", "x.b.test", None, level="may", reason="appliance, für kurze Zeit"),
        ForcedTlsGroup("texts", ("c.test", "d.test"), "no"),
        ForcedTlsGroup("defaults", ("e.test", "f.test"), None, enabled=False),
        OpaqueRule("WA_Routing_basic", "relay", basic=True),
        RelayTlsRule("y", "may", ("TLSv1.1", "TLSv1.2")),
        RelayTlsRule("x", "may"),
        ForcedTlsDomain("unnamed", "*", None, "outbound", level="encrypt"),
        ForcedTlsDomain("odd_place", "a.test", None, "outbound", True, "secure", ("TLSv1.3",), ("b.test", ".a.test")),
        ForcedTlsDomain("below", ".b.test", None, "outbound", level="verify", reason="only a note"),
        ForcedTlsDomain("pinned", "p.test", None, "outbound", level="fingerprint", fingerprints=KEYS),
        ForcedTlsGroup("many", ("c.test", "d.test", "e.test"), None, "outbound", True, "encrypt", ("TLSv1.3",)),
        ForcedTlsGroup("more", ("f.test", "g.test"), None, "outbound", True, "encrypt", ("TLSv1.3",)),
        ForcedTlsDomain("fax", "x.b.test", None, "outbound", True, "none", reason="appliance", until="2020-12-31"),
        ForcedTlsDomain("last", "b.test", None, "outbound", level="encrypt"),
        RelayTlsRule("off", "may", enabled=False),
        RelayTlsRule("off_named", "secure", enabled=False, match=("x.test",)),
        RelayTlsRule("off_pinned", "fingerprint", enabled=False, fingerprints=KEYS),
    ),
    relay=RelayHost("192.0.2.25", 587, "starttls", "verify", "user", 'p"%\\'),
)


def gathered(policy, **changes):
    """The policy as smtp_info returns it."""
    return dict(json.loads(json.dumps(document.policy_document(policy))), **changes)


def applied(policy, given):
    """What smtp_policy makes of these options on a server that has this policy."""
    arguments = dict(given, admin_password="x")
    validated = ArgumentSpecValidator(smtp_policy.argument_spec()).validate(arguments)
    assert validated.error_messages == []
    wanted, _notices = options.policy_document(validated.validated_parameters)
    return edit.put_document(policy, wanted)


@pytest.mark.parametrize(
    "policy",
    [
        POLICY,
        Policy(),
        replace(POLICY, relay=None),
        replace(POLICY, relay=RelayHost("relay.test", 465, "implicit", "encrypt")),
        replace(POLICY, relay=RelayHost("relay.test", 25, "starttls", "none", "user", "p", True)),
        replace(POLICY, starttls=StartTls(False, False)),
        replace(POLICY, starttls=StartTls()),
    ],
    ids=["whole", "empty", "no relay host", "implicit", "clear text", "STARTTLS off", "STARTTLS not known"],
)
def test_what_a_server_has_can_be_asked_for(policy):
    assert applied(policy, gathered(policy)) is policy


def test_what_one_server_has_can_be_asked_of_another():
    basic = tuple(rule for rule in POLICY.rules if isinstance(rule, OpaqueRule))
    bare = Policy(rules=basic, starttls=StartTls(True, True))
    given = gathered(replace(POLICY, rules=tuple(rule for rule in POLICY.rules if rule.name != "again")))
    given["relay"]["password"] = POLICY.relay.password
    copy = applied(bare, given)
    copied, wanted = document.policy_document(copy), gathered(POLICY)
    # The other server may have a basic setting of its own where this one says nothing.
    for part in ("starttls", "relay", "auth_rules", "relay_tls"):
        assert copied[part] == wanted[part]
    assert copied["forced_tls_domains"] == [
        dict(entry, match=sorted(entry["match"]) if entry["match"] else entry["match"])
        for entry in wanted["forced_tls_domains"]
        if entry["name"] != "again"
    ]
    assert copy.relay == POLICY.relay
    assert [rule.name for rule in copy.rules if rule.event == "relay" and rule.enabled] == [
        "WA_Routing_basic",
        "y",
        "x",
        "unnamed",
        "below",
        "odd_place",
        "last",
        "pinned",
        "fax",
        "many",
        "more",
    ]
    assert applied(copy, given) is copy


def test_what_one_server_does_not_say_goes_from_another_one():
    def policy(*named):
        return Policy(
            rules=(
                ForcedTlsDomain("a", "a.test", None, "outbound", True, "secure", *named),
                ForcedTlsDomain("b", "b.test", None, "outbound", True, "encrypt", *named[:1]),
            )
        )

    plain, named = policy(), policy(("TLSv1.3",), ("mx.test",))
    assert applied(named, gathered(plain, prune=True)) == plain
    assert applied(plain, gathered(named, prune=True)) == named


def test_the_password_of_a_relay_host_does_not_come_along_to_another_server():
    with pytest.raises(PolicyError) as caught:
        applied(Policy(), gathered(Policy(relay=POLICY.relay)))
    assert caught.value.problems == ("relay.password is needed for user user: the server has none for a relay host",)


@pytest.mark.parametrize(
    ("listener", "starttls"),
    [
        ({"address": "0.0.0.0:26", "tls": "starttls", "certificate": PEM}, {"inbound": False}),
        ({"address": "127.0.0.1:2525", "tls": "starttls", "certificate": PEM}, {"inbound": False}),
        ({"address": "0.0.0.0:25", "tls": "starttls"}, None),
    ],
    ids=["a new listener", "a listener without TLS", "a wish that does not know it"],
)
def test_a_listener_that_shall_offer_starttls_on_a_server_without_is_still_a_contradiction(listener, starttls):
    off = replace(POLICY, starttls=StartTls(False, True))
    with pytest.raises(PolicyError, match="tls: starttls while STARTTLS inbound is off for the whole server"):
        applied(off, {"listeners": [listener], "starttls": starttls})


def test_switching_starttls_off_under_a_listener_that_asks_for_it_is_a_contradiction():
    with pytest.raises(PolicyError, match="tls: starttls while STARTTLS inbound is off for the whole server"):
        applied(POLICY, {"listeners": [{"address": "0.0.0.0:25", "tls": "starttls"}], "starttls": {"inbound": False}})
