# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any lists of domains after each other, against a model that keeps one dictionary and looks at everything each time."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, forced_options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError, Problems
from ansible_collections.securemail.smtp.plugins.module_utils._policy.level import LEVELS
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    ForcedTlsDomain,
    ForcedTlsGroup,
    OpaqueRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_name import default_reject_message

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

relaxed = hypothesis.settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)

WHOLE = ["a.test", "b.test", "c.test", "x.b.test", "y.x.b.test", "other"]
GENERAL = [".b.test", ".x.b.test", ".test", "*"]
KEYS = (":".join(["A1"] * 32), ":".join(["B2"] * 32))
FOREIGN = (OpaqueRule("WA_basic", "rcpt", basic=True), OpaqueRule("by_hand", "rcpt"), OpaqueRule("hand_made", "relay"))


@st.composite
def entries(draw):
    """A list that names each domain and direction once; what is weak on purpose says why."""
    found = []
    for domain, direction in draw(
        st.lists(st.tuples(st.sampled_from(WHOLE + GENERAL), st.sampled_from(["inbound", "outbound"])), unique=True)
    ):
        entry = {"domain": domain, "direction": direction, "label": "#%d" % (len(found) + 1)}
        found.append(entry)
        if draw(st.integers(0, 4)) == 0:
            entry["state"] = "absent"
            continue
        entry["enabled"] = draw(st.sampled_from([None, None, True, False]))
        if domain in WHOLE:
            entry["form"] = draw(st.sampled_from([None, "method", "compact", "compact"]))
            entry["name"] = draw(st.sampled_from([None, None, "partners"])) if entry["form"] == "compact" else None
        if direction == "inbound":
            entry["level"] = draw(st.sampled_from([None, None, "encrypt", "may"]))
            if entry["level"] != "may":
                entry["reject_message"] = draw(st.sampled_from([None, None, "no"]))
        else:
            entry["level"] = draw(
                st.sampled_from([None, None, "none", "may", "encrypt", "verify", "secure", "fingerprint"])
            )
            if entry["level"] == "secure":
                entry["match"] = draw(st.sampled_from([None, ("m.test",)]))
            if entry["level"] == "fingerprint":
                entry["fingerprints"] = draw(st.sampled_from([KEYS[:1], KEYS[1:], KEYS]))
        if entry["level"] not in (None, "secure", "fingerprint") and (direction, entry["level"]) != ("inbound", "encrypt"):
            entry["reason"] = "because"
    if any(entry.get("name") for entry in found):
        # One name for two directions would be two rules of one name.
        for entry in found:
            if entry.get("name") and entry["direction"] == "outbound":
                entry["name"] = "partners_outbound"
    return found


class Model:
    """Domain and direction -> what is said about it."""

    def __init__(self):
        self.rules = {}

    def wider(self, domain):
        labels = domain.lstrip(".").split(".")
        names = ["." + ".".join(labels[index:]) for index in range(len(labels))]
        return [name for name in names if name != domain and domain.endswith(name)] + ["*"] * (domain != "*")

    def covering(self, domain, direction):
        known = [self.rules.get((wider, direction)) for wider in self.wider(domain)]
        return [rule for rule in known if rule is not None and rule["enabled"]]

    def put(self, listed):
        for entry in listed:
            if entry.get("state") == "absent":
                self.rules.pop((entry["domain"], entry["direction"]), None)
        present = [entry for entry in listed if entry.get("state") != "absent"]
        for entry in sorted(present, key=lambda entry: len(self.wider(entry["domain"]))):
            self.put_one(entry)
        for (domain, direction), rule in self.rules.items():
            if rule["level"] == "secure" and rule["match"] is None and rule["enabled"]:
                if any(wider["match"] for wider in self.covering(domain, direction)):
                    rule["match"] = (domain,) if domain in GENERAL else ("." + domain, domain)

    def put_one(self, entry):
        domain, direction = key = entry["domain"], entry["direction"]
        blank = {"enabled": True, "level": "encrypt", "match": None, "known": None, "message": None, "reason": None}
        old = self.rules.get(key, blank)
        rule = dict(old)
        if entry.get("enabled") is not None:
            rule["enabled"] = entry["enabled"]
        level = entry.get("level")
        if level is None:
            level = old["level"] if LEVELS.index(old["level"]) > 1 else "encrypt"
            for wider in self.covering(domain, direction)[:1]:
                level = max(level, wider["level"], key=LEVELS.index)
                if level == "fingerprint" and not old["known"]:
                    rule["known"] = wider["known"]
        rule["level"] = level
        rule["match"] = (entry.get("match") or old["match"]) if level == "secure" else None
        rule["known"] = (entry.get("fingerprints") or rule["known"]) if level == "fingerprint" else None
        if direction == "inbound":
            rule["message"] = entry.get("reject_message") or old["message"] or default_reject_message(domain)
            if level == "may":
                rule["message"] = None
        keeps = level == old["level"] and key in self.rules
        rule["reason"] = entry.get("reason") or (old["reason"] if keeps or self.weak(domain, direction, rule) else None)
        self.rules[key] = rule

    def weak(self, domain, direction, rule):
        covering = self.covering(domain, direction)[:1]
        return rule["level"] in ("none", "may") or any(
            LEVELS.index(wider["level"]) > LEVELS.index(rule["level"]) for wider in covering
        )

    def without_reason(self):
        return [key for key, rule in self.rules.items() if rule["enabled"] and self.weak(*key, rule) and not rule["reason"]]


def said(policy):
    return {
        (rule.domain, rule.direction): {
            "enabled": rule.enabled,
            "level": rule.level or "encrypt",
            "match": rule.match,
            "known": rule.fingerprints,
            "message": rule.reject_message,
            "reason": rule.reason,
        }
        for rule in policy.forced_domains()
    }


def general_first(policy):
    for event in ("rcpt", "relay"):
        seen = set()
        for rule in policy.rules:
            if rule.event == event and rule.enabled and isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)):
                for domain in rule.domains if isinstance(rule, ForcedTlsGroup) else (rule.domain,):
                    if domain in GENERAL:
                        assert not any(domain in Model().wider(other) for other in seen), (domain, seen)
                    seen.add(domain)


def groups(policy):
    return [rule for rule in policy.rules if isinstance(rule, ForcedTlsGroup)]


@hypothesis.given(st.lists(entries(), min_size=1, max_size=3))
@relaxed
def test_lists_after_each_other_are_what_a_model_says(lists):
    policy, model = Policy(rules=FOREIGN), Model()
    for listed in lists:
        model.put(listed)
        try:
            edited = edit.put_forced_domains(policy, listed)
        except PolicyError as error:
            assert model.without_reason() or "called partners" in str(error)
            return
        assert not model.without_reason()
        assert said(edited) == model.rules
        assert edit.put_forced_domains(edited, listed) is edited
        assert [rule for rule in edited.rules if isinstance(rule, OpaqueRule)] == sorted(
            FOREIGN, key=lambda rule: rule.event
        )
        assert len({rule.name.lower() for rule in edited.rules}) == len(edited.rules)
        general_first(edited)
        check_forms(policy, edited, listed)
        check_documents(edited)
        policy = edited


def check_forms(before, after, listed):
    alone = {(rule.domain, rule.direction): rule for rule in after.rules if isinstance(rule, ForcedTlsDomain)}
    for group in groups(after):
        assert len(group.domains) > 1 and list(group.domains) == sorted(group.domains)
        assert not set(group.domains) & set(GENERAL)
    lonely = {}
    for entry in listed:
        key = entry["domain"], entry["direction"]
        if entry.get("form") == "method" and entry.get("state") != "absent":
            assert key in alone
        if entry.get("form") == "compact" and key in alone and not alone[key].reason:
            rule = alone[key]
            message = rule.reject_message if rule.reject_message == "no" else None
            settings = rule.direction, message, rule.enabled, rule.level, rule.match, rule.fingerprints
            assert lonely.setdefault(settings, key) == key, "two that could be in one rule"
    old = {(rule.domain, rule.direction): rule.name for rule in before.rules if isinstance(rule, ForcedTlsDomain)}
    named = {(entry["domain"], entry["direction"]): entry for entry in listed}
    for key, name in old.items():
        if key in alone and named.get(key, {}).get("state") != "absent":
            assert alone[key].name == name


def entries_of(policy):
    """What is shown of a policy, as options and back: what smtp_policy makes of the result of smtp_info."""
    found = []
    for number, shown in enumerate(document.forced_domain_documents(policy, None), 1):
        found += forced_options.forced_domain(shown, "forced_tls_domains #%d" % number)[0]
    problems = Problems()
    found = forced_options.merged(found, "forced_tls_domains", problems)
    problems.raise_any()
    return found


def check_documents(policy):
    wanted = entries_of(policy)
    assert edit.put_forced_domains(policy, wanted, None, ("inbound", "outbound")) is policy
    copy = edit.put_forced_domains(Policy(rules=FOREIGN), wanted)
    assert said(copy) == said(policy)
    assert {group.domains for group in groups(copy)} == {group.domains for group in groups(policy)}


class KeepsX:
    """What is kept: domains with an x in them."""

    @staticmethod
    def holds(domain, _name):
        return "x" in domain


@hypothesis.given(entries(), entries(), st.sampled_from([("inbound",), ("outbound",), ("inbound", "outbound")]))
@relaxed
def test_a_prune_leaves_what_is_listed_kept_or_of_the_other_direction(first, second, directions):
    listed = {(entry["domain"], entry["direction"]) for entry in second if entry.get("state") != "absent"}
    absent = {(entry["domain"], entry["direction"]) for entry in second if entry.get("state") == "absent"}
    try:
        before = edit.put_forced_domains(Policy(rules=FOREIGN), first)
        after = edit.put_forced_domains(before, second, KeepsX(), directions)
    except PolicyError as error:
        assert "exception" in str(error) or "called partners" in str(error)
        return
    kept = {key for key in said(before) if key[1] not in directions or "x" in key[0]}
    assert set(said(after)) == listed | (kept - absent)
    assert edit.put_forced_domains(after, second, KeepsX(), directions) is after
    assert {rule.name for rule in after.rules if isinstance(rule, OpaqueRule)} == {rule.name for rule in FOREIGN}
