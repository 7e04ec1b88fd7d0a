# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between two policies with many forced-TLS domains, alone and in groups."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.securemail.smtp.plugins.module_utils._policy.forced_changes import ForcedChanges
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import ForcedTlsDomain, ForcedTlsGroup, OpaqueRule

ALONE = [ForcedTlsDomain(name, "%s.test" % name, "No") for name in "abcd"]
GROUP = ForcedTlsGroup("many", ("m1.test", "m2.test", "m3.test"), None)


def test_domains_alone():
    before = Policy(rules=(OpaqueRule("x", "rcpt"), *ALONE[:3]))
    after = Policy(rules=(ALONE[0], replace(ALONE[1], enabled=False), ALONE[3]))
    changes = ForcedChanges(before, after)
    assert [entry["domain"] for entry in changes.before()] == ["b.test", "c.test"]
    assert [(entry["domain"], entry["enabled"]) for entry in changes.after()] == [("b.test", False), ("d.test", True)]
    assert [entry["domain"] for entry in changes.after(1)] == ["b.test"]
    listed = {("%s.test" % name, "inbound") for name in "abd"}
    assert changes.counts(listed) == {"listed": 3, "added": 1, "changed": 1, "removed": 1, "unchanged": 1}


def test_a_member_that_leaves_a_group_is_the_only_one_that_differs():
    smaller = replace(GROUP, domains=("m1.test", "m3.test"))
    changes = ForcedChanges(Policy(rules=(GROUP,)), Policy(rules=(smaller,)))
    assert ([entry["domain"] for entry in changes.before()], changes.after()) == (["m2.test"], [])


def test_a_group_taken_apart_is_a_change_of_each_domain():
    alone = tuple(replace(rule, name=rule.domain.replace(".", "_")) for rule in GROUP.members())
    changes = ForcedChanges(Policy(rules=(GROUP,)), Policy(rules=alone))
    assert [entry["form"] for entry in changes.before() + changes.after()] == ["compact"] * 3 + ["method"] * 3
    assert changes.counts(set())["changed"] == 3
