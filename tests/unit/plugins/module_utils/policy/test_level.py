# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS levels of mail that goes out: their names, their order, and what people write instead."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.level import (
    GENERAL_LEVELS,
    LATER_LEVELS,
    LEVELS,
    RELAY_HOST_LEVELS,
    forces,
    tls_level,
)


def refusal(*arguments):
    with pytest.raises(PolicyError) as caught:
        tls_level(*arguments)
    (problem,) = caught.value.problems
    return problem


def test_the_levels_are_those_of_postfix_from_the_weakest_to_the_strictest():
    assert sorted(LEVELS) == sorted("none may encrypt verify secure fingerprint dane dane-only mta-sts".split())
    places = [LEVELS.index(level) for level in ("none", "may", "encrypt", "verify", "secure", "fingerprint")]
    assert places == sorted(places) and places[-1] == len(LEVELS) - 1
    assert set(GENERAL_LEVELS) | set(RELAY_HOST_LEVELS) == set(LEVELS) - set(LATER_LEVELS)


def test_only_two_levels_force_nothing():
    assert [level for level in LEVELS if not forces(level)] == ["none", "may"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_in_any_case(level):
    assert tls_level(" %s\t" % level.upper()) == level


@pytest.mark.parametrize("given", [False, "no", "Off", "False", "none"])
def test_the_booleans_of_yaml_that_mean_none(given):
    assert tls_level(given) == "none"
    assert refusal(given, "level", ("may", "encrypt")).startswith("level must be one of may, encrypt; got ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (True, "level must be one of none, may, encrypt, verify, secure; got the boolean true"),
        (None, "level must be one of none, may, encrypt, verify, secure; got nothing"),
        (1, "level must be one of none, may, encrypt, verify, secure; got the number 1, quote it"),
        ("", 'level must be one of none, may, encrypt, verify, secure; got ""'),
        ("dane", 'level must be one of none, may, encrypt, verify, secure; got "dane"'),
        (
            "Required",
            'level must be one of none, may, encrypt, verify, secure; got "Required"; did you mean encrypt '
            "(TLS or no delivery; the certificate is not checked)?",
        ),
    ],
)
def test_what_is_no_level_is_refused_with_those_that_are(given, said):
    assert refusal(given, "level", RELAY_HOST_LEVELS) == said
