# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patterns for what a prune leaves alone."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.address import listener_address
from ansible_collections.securemail.smtp.plugins.module_utils._policy.domain import domain_name
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.keep import Keep


@pytest.mark.parametrize(
    ("patterns", "kept", "gone"),
    [
        (None, [], ["a"]),
        ([], [], ["a", ""]),
        (["Local_*"], ["local_x", "LOCAL_"], ["my_local_x", "local"]),
        ("a, b?", ["a", "bc"], ["b", "ab"]),
        (["127.0.0.1:*", "[::1]:25"], ["127.0.0.1:25", "[::1]:25"], ["127.0.0x1:25", "::25", "[::1]:587"]),
        (["*.example.com"], [".example.com", "a.b.EXAMPLE.com"], ["example.com"]),
        (["*"], ["", "*", "anything"], []),
    ],
)
def test_shell_patterns(patterns, kept, gone):
    keep = Keep(patterns)
    assert [name for name in kept + gone if keep.holds(name)] == kept
    assert not kept or keep.holds("nothing of it ", kept[0])


def test_names_are_compared_in_canonical_form():
    assert Keep(["B\u00fccher.test."], "keep", domain_name).holds("xn--bcher-kva.test")
    assert Keep(["[0:0:0:0:0:0:0:0]:25"], "keep", listener_address).holds("[::]:25")


def test_what_is_no_pattern_is_named_by_its_place():
    with pytest.raises(PolicyError) as caught:
        Keep(["good", 5, "", "*.b\u00fccher.test", "-bad.test"], "keep.forced_tls_domains", domain_name)
    assert [problem.partition(" must")[0].partition(":")[0] for problem in caught.value.problems] == [
        "keep.forced_tls_domains #%d" % number for number in (2, 3, 4, 5)
    ]
    assert "got the number 5" in str(caught.value) and "xn--" in str(caught.value)
    with pytest.raises(PolicyError, match="keep must be a list"):
        Keep({"a": 1})
