# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many domains in one rule: who is in it, who leaves, what it is called, and what stays where it is."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    ForcedTlsGroup,
    OpaqueRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_name import names_a_group
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_table import RuleTable

HAND = OpaqueRule("by_hand", "rcpt")
ABC = ForcedTlsGroup("many", ("a.test", "b.test", "c.test"), None)
TEXT = "Accepting only secure delivery (STARTTLS) for %s"


def inbound(*domains, **values):
    return [dict({"domain": domain, "direction": "inbound"}, **values) for domain in domains]


def put(rules, *lists):
    return list(edit.put_forced_domains(Policy(rules=tuple(rules)), [entry for one in lists for entry in one]).rules)


def alone(name, domain, message=None, **values):
    return ForcedTlsDomain(name, domain, message or TEXT % domain, **values)


def test_new_domains_with_the_same_settings_are_one_rule_for_each_direction():
    both = inbound("b.test", "a.test", form="compact")
    both += [dict(entry, direction="outbound", level="verify") for entry in both]
    found = put([HAND], both)
    assert found == [
        HAND,
        ForcedTlsGroup("allow_only_tls_for_domains", ("a.test", "b.test"), None),
        ForcedTlsGroup("allow_only_tls_for_domains_outbound", ("a.test", "b.test"), None, "outbound", True, "verify"),
    ]
    assert put(found, both) == found
    assert put([], inbound("a.test", form="compact")) == [alone("allow_only_tls_for_a_test", "a.test")]


def test_other_settings_make_another_group_with_a_name_of_its_own():
    found = put([], inbound("a.test", "b.test", form="compact"), inbound("c.test", "d.test", form="compact", reject_message="no"))
    assert [rule.domains for rule in found] == [("a.test", "b.test"), ("c.test", "d.test")]
    assert found[1].reject_message == "no"
    assert names_a_group(found[1].name) and found[1].name != found[0].name
    named = put([AuthRule("allow_only_tls_for_domains", "plain", ())], inbound("a.test", "b.test", form="compact"))
    assert names_a_group(named[1].name) and named[1].name != named[0].name


def test_the_group_stands_where_the_first_of_its_members_stood():
    rules = [alone("one", "a.test"), HAND, alone("two", "b.test"), alone("three", "c.test")]
    assert put(rules, inbound("b.test", "a.test", form="compact")) == [
        ForcedTlsGroup("allow_only_tls_for_domains", ("a.test", "b.test"), None),
        HAND,
        rules[3],
    ]


def test_who_comes_later_joins_the_group_that_there_is():
    joined = put([ABC, alone("x", "x.test")], inbound("x.test", "y.test", form="compact"))
    assert joined == [ForcedTlsGroup("many", ("a.test", "b.test", "c.test", "x.test", "y.test"), None)]
    assert put([ABC], inbound("y.test")) == [ABC, alone("allow_only_tls_for_y_test", "y.test")]


def test_what_nobody_says_leaves_a_group_alone():
    for form in (None, "compact"):
        assert put([ABC, HAND], inbound("a.test", "c.test", form=form)) == [ABC, HAND]
    said = inbound("a.test", reject_message=TEXT % "a.test", enabled=True)
    assert put([ABC], said) == [ABC]


def test_one_whose_settings_change_alone_leaves_and_stands_right_behind():
    assert put([ABC, HAND], inbound("b.test", reject_message="no")) == [
        ForcedTlsGroup("many", ("a.test", "c.test"), None),
        alone("allow_only_tls_for_b_test", "b.test", "no"),
        HAND,
    ]
    exception = put([ABC], inbound("b.test", level="may", reason="old"))
    assert exception[1] == ForcedTlsDomain("tls_exception_for_b_test", "b.test", None, level="may", reason="old")


def test_where_all_change_alike_the_group_does():
    assert put([ABC, HAND], inbound(*ABC.domains, reject_message="no")) == [
        ForcedTlsGroup("many", ABC.domains, "no"),
        HAND,
    ]
    first, second = put([ABC], inbound("a.test", "b.test", enabled=False))
    assert (first.enabled, second.enabled) == (True, False)
    assert first == alone("many", "c.test"), "a name that somebody chose stays"
    assert second.domains == ("a.test", "b.test") and second.name == "allow_only_tls_for_domains"


def test_the_other_form_takes_domains_out():
    assert put([ABC, HAND], inbound("a.test", form="method")) == [
        ForcedTlsGroup("many", ("b.test", "c.test"), None),
        alone("allow_only_tls_for_a_test", "a.test"),
        HAND,
    ]
    every = put([ABC, HAND], inbound(*ABC.domains, form="method", name="many"))
    assert [rule.name for rule in every[:3]] == ["allow_only_tls_for_%s_test" % letter for letter in "abc"]
    assert every[3] is HAND


@pytest.mark.parametrize("others", [{"state": "absent"}, {"form": "method"}, {"reject_message": "else"}])
def test_who_is_left_alone_joins_its_like_at_once_and_not_in_the_next_run(others):
    pairs = [ForcedTlsGroup("one", ("a.test", "b.test"), "1"), ForcedTlsGroup("two", ("c.test", "d.test"), "2")]
    listed = inbound("a.test", "c.test", form="compact", reject_message="2") + inbound("b.test", **others)
    joined = put(pairs, listed)
    assert ("a.test", "c.test", "d.test") in [getattr(rule, "domains", ()) for rule in joined]
    assert put(joined, listed) == joined
    # Two that are left alone are a group of their own.
    listed = inbound("a.test", "c.test", form="compact", reject_message="3") + inbound("b.test", "d.test", **others)
    joined = put(pairs, listed)
    assert ("a.test", "c.test") in [getattr(rule, "domains", ()) for rule in joined]
    assert put(joined, listed) == joined


def test_the_name_of_a_new_group_is_not_given_to_somebody_alone():
    together = inbound("a.test", "c.test", form="compact", name="partners")
    with pytest.raises(PolicyError, match="b.test inbound would be called partners, and there is a rule of this name"):
        put([], together, inbound("b.test", form="compact", name="partners", enabled=False))


def test_members_go_one_by_one_and_the_rule_with_the_last():
    gone = [dict(entry, state="absent") for entry in inbound("a.test", "b.test")]
    assert put([ABC], gone) == [alone("many", "c.test")]
    made = ForcedTlsGroup("allow_only_tls_for_domains", ("a.test", "b.test"), "no")
    assert put([made, HAND], gone[:1]) == [alone("allow_only_tls_for_b_test", "b.test", "no"), HAND]
    assert put([made, HAND], gone) == [HAND]
    assert list(edit.remove_forced_domains(Policy(rules=(ABC, HAND)), ABC.domains).rules) == [HAND]
    # Its name is free then.
    assert put([made], gone, inbound("x.test", name="allow_only_tls_for_domains_x"))[0].domain == "x.test"


def test_a_name_that_entries_share_is_the_name_of_their_group():
    listed = inbound("a.test", "b.test", form="compact", name="partners") + inbound("c.test", "d.test", form="compact")
    found = put([], listed)
    assert [(rule.name, rule.domains) for rule in found] == [("partners", ("a.test", "b.test", "c.test", "d.test"))]
    assert put(found, listed) == found
    with pytest.raises(PolicyError, match="cannot be called many: this is the rule for 3 domains inbound; give it another"):
        put([ABC], inbound("x.test", name="many"))
    with pytest.raises(PolicyError, match="cannot be called login: an authentication rule has that name"):
        put([AuthRule("login", "plain", ())], inbound("a.test", "b.test", form="compact", name="login"))


def test_the_name_of_a_group_that_was_made_elsewhere_never_stands_in_the_way():
    shown = document.forced_domain_documents(
        Policy(rules=(ForcedTlsGroup("allow_only_tls_for_domains", ("x.test", "y.test"), "no"),)), None
    )
    here = ForcedTlsGroup("allow_only_tls_for_domains", ("a.test", "b.test"), None)
    found = put([here], shown)
    assert found[0] == here and found[1].domains == ("x.test", "y.test") and found[1].name != here.name
    plain = put([here], [dict(entry, form="method") for entry in shown])
    assert [rule.name for rule in plain[1:]] == ["allow_only_tls_for_x_test", "allow_only_tls_for_y_test"]


def test_of_several_rules_for_one_domain_none_is_chosen():
    twins = [ABC, alone("own", "a.test", "no")]
    with pytest.raises(PolicyError, match="form: method is about one rule, and a.test inbound has several: many, own; take"):
        put(twins, inbound("a.test", form="method"))
    changed = put(twins, inbound("a.test", reject_message="both"))
    assert {(rule.name, rule.reject_message) for rule in changed} == {
        ("many", None),
        ("allow_only_tls_for_a_test", "both"),
        ("own", "both"),
    }
    names = frozenset(("own", "many"))
    exact = [entry for name in names for entry in inbound("a.test", name=name, form="compact", exact=names)]
    assert put(twins, exact) == twins


def test_documents_name_each_member_and_say_how_it_is_written():
    policy = Policy(rules=(ABC, alone("own", "x.test")))
    shown = document.forced_domain_documents(policy, {"b.test", "x.test"})
    assert [(entry["domain"], entry["name"], entry["form"], entry["reject_message"]) for entry in shown] == [
        ("b.test", "many", "compact", TEXT % "b.test"),
        ("x.test", "own", "method", TEXT % "x.test"),
    ]
    assert edit.put_forced_domains(policy, [dict(entry, label="#1") for entry in shown]) is policy


def test_a_table_finds_members_and_forgets_those_that_left():
    table = RuleTable([ABC, alone("own", "a.test", "no")])
    assert [rule.name for rule in table.find_domain("a.test", "inbound")] == ["many", "own"]
    assert table.find_domain("a.test", "inbound")[0] == alone("many", "a.test")
    table.put(ForcedTlsGroup("many", ("b.test", "z.test"), None))
    table.remove("own")
    assert [table.find_domain(domain, "inbound") for domain in ("a.test", "c.test")] == [[], []]
    assert table.find_domain("z.test", "inbound") and not table.find_domain("z.test", "outbound")
    table.substitute("rcpt", {"many": [alone("z", "z.test"), HAND]})
    assert [rule.name for rule in table.result()] == ["z", "by_hand"]
    assert table.find_domain("z.test", "inbound") == [alone("z", "z.test")]
    assert table.find_domain("b.test", "inbound") == []
