# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The diff of a task: only what differs, and YAML that a library reads as what was meant."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.difference import difference, yaml_text

yaml = pytest.importorskip("yaml", reason="PyYAML shows whether what was written is YAML; it is not installed")


def forced(domain, direction="inbound", **changes):
    entry = {"domain": domain, "direction": direction, "reject_message": "TLS, please", "level": None, "name": "for_" + domain}
    return dict(entry, **changes)


def document(**changes):
    whole = {
        "listeners": [
            {"address": "0.0.0.0:25", "enabled": True, "tls": "none", "versions": ["TLSv1.2"]},
            {"address": "[::]:25", "enabled": True, "tls": "none", "versions": None},
        ],
        "starttls": {"inbound": True, "outbound": None},
        "relay": None,
        "auth_rules": [{"name": "one", "mechanisms": []}, {"name": "two", "mechanisms": ["PLAIN"]}],
        "forced_tls_domains": [forced("a.test"), forced("b.test"), forced("b.test", "outbound")],
        "rule_order": {"ehlo": ["one", "two"], "relay": ["for_b.test"]},
    }
    return dict(copy.deepcopy(whole), **changes)


def shown(before, after):
    texts = difference(before, after)
    return tuple(yaml.safe_load(text) for text in texts)


def test_nothing_differs():
    assert difference(document(), document()) == ("", "")


def test_fields_of_an_entry_with_its_key():
    after = document()
    after["listeners"][0].update(tls="starttls", versions=["TLSv1.2", "TLSv1.3"])
    after["starttls"]["outbound"] = False
    assert difference(document(), after) == (
        'listeners:\n  - address: "0.0.0.0:25"\n    tls: "none"\n    versions: ["TLSv1.2"]\nstarttls:\n  outbound: null\n',
        'listeners:\n  - address: "0.0.0.0:25"\n    tls: "starttls"\n    versions: ["TLSv1.2", "TLSv1.3"]\n'
        "starttls:\n  outbound: false\n",
    )


def test_entries_that_come_and_go_and_what_comes_to_the_end_of_an_order():
    after = document(forced_tls_domains=[forced("b.test"), forced("b.test", "outbound"), forced("c.test", "outbound")])
    after["rule_order"]["relay"] = ["for_b.test", "for_c.test"]
    assert shown(document(), after) == (
        {"forced_tls_domains": [forced("a.test")]},
        {"forced_tls_domains": [forced("c.test", "outbound")]},
    )


def test_an_order_is_shown_from_the_first_to_the_last_difference():
    after = document(auth_rules=document()["auth_rules"][::-1], rule_order={"ehlo": ["two", "one"], "relay": ["for_b.test"]})
    assert shown(document(), after) == tuple(
        {"auth_rules": names, "rule_order": {"ehlo": names}} for names in (["one", "two"], ["two", "one"])
    )
    # A rule that comes between others, and one that an order alone knows.
    after = document(rule_order={"ehlo": ["one", "new", "two"], "relay": ["for_b.test"]})
    assert shown(document(), after) == (None, {"rule_order": {"ehlo": ["new"]}})
    after["auth_rules"].append({"name": "new", "mechanisms": []})
    assert shown(document(), after)[1]["rule_order"] == {"ehlo": ["new"]}


def test_two_rules_for_one_domain_are_told_apart_by_their_names():
    twins = [forced("a.test", name="first"), forced("a.test", name="second")]
    after = [twins[0], dict(twins[1], reject_message="No")]
    assert shown(document(forced_tls_domains=twins), document(forced_tls_domains=after)) == tuple(
        {"forced_tls_domains": [{"domain": "a.test", "direction": "inbound", "reject_message": text, "name": "second"}]}
        for text in ("TLS, please", "No")
    )


def test_a_section_that_comes():
    relay = {"host": "mx.test", "port": 25}
    assert shown(document(), document(relay=relay)) == ({"relay": None}, {"relay": relay})


@pytest.mark.parametrize(
    "text",
    ["no", "1.2", "", " a: b # c", 'say "x" \\ y', "a\nb\x00\x7f\x85\ufeff\u2028", "B\u00fccher", "\U0001f512\U000e0001", "%d", "-"],
)
def test_every_text_comes_back_as_it_was(text):
    for whole in ({text: text}, {"a": [{"b": text, "c": [text, None, True, 1]}]}, {"a": {"b": [{"c": text}, text]}}, {"a": [text] * 2}):
        assert yaml.safe_load(yaml_text(whole)) == whole
    assert yaml.safe_load(yaml_text({"a": {}, "b": [], "c": [[]], "d": [{}]})) == {"a": {}, "b": [], "c": [[]], "d": [{}]}
