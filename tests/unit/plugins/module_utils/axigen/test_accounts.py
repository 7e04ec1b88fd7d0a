# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is planned for domains and accounts, as pure functions."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.accounts import (
    State,
    Wish,
    check,
    local_part,
    plan,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import Secret

DOMAIN = "example.com"
THERE = State("Example.com", ("postmaster", "User1"))
ONE, TWO = Secret("secret-one"), Secret("secret-two")


def described(wish, found):
    return [step.describe() for step in plan(wish, found)]


@pytest.mark.parametrize(
    "wish, found, expected",
    [
        (Wish(DOMAIN, postmaster_password=ONE), State(), ["create domain example.com"]),
        (Wish(DOMAIN), THERE, []),
        (Wish(DOMAIN, postmaster_password=ONE), THERE, []),
        (Wish(DOMAIN, postmaster_password=ONE, always=True), THERE, ["set password postmaster@Example.com"]),
        (Wish(DOMAIN, "user1"), THERE, []),
        (Wish(DOMAIN, "USER1", password=ONE), THERE, []),
        (Wish(DOMAIN, "user1", password=ONE, always=True), THERE, ["set password User1@Example.com"]),
        (Wish(DOMAIN, "user1", always=True), THERE, []),
        (Wish(DOMAIN, "user2", password=ONE), THERE, ["add account user2@Example.com"]),
        (Wish(DOMAIN, "user2", password=ONE, always=True), THERE, ["add account user2@Example.com"]),
        (
            Wish(DOMAIN, "user1", password=ONE, postmaster_password=TWO),
            State(),
            ["create domain example.com", "add account user1@example.com"],
        ),
        (Wish(DOMAIN, "postmaster", postmaster_password=TWO), State(), ["create domain example.com"]),
        (Wish(DOMAIN, present=False), THERE, ["delete domain Example.com"]),
        (Wish(DOMAIN, present=False), State(), []),
        (Wish(DOMAIN, "user1", present=False), THERE, ["remove account User1@Example.com"]),
        (Wish(DOMAIN, "user2", present=False), THERE, []),
        (Wish(DOMAIN, "user2", present=False), State(), []),
    ],
)
def test_plan(wish, found, expected):
    assert described(wish, found) == expected


def test_all_missing_passwords_at_once():
    with pytest.raises(PolicyError) as caught:
        plan(Wish(DOMAIN, "user1"), State())
    assert [text.split(";")[1].split()[0] for text in caught.value.problems] == ["postmaster_password", "password"]


def test_passwords_go_to_the_right_accounts():
    steps = plan(Wish(DOMAIN, "user1", password=ONE, postmaster_password=TWO, always=True), THERE)
    assert [(step.account, step.password.reveal()) for step in steps] == [
        ("postmaster", "secret-two"),
        ("User1", "secret-one"),
    ]
    assert "secret-" not in repr(steps)


@pytest.mark.parametrize(
    "wish, problem",
    [
        (Wish(".example.com"), "subdomains"),
        (Wish(DOMAIN, password=ONE), "without account"),
        (Wish(DOMAIN, "u", password=Secret("")), "password is empty"),
        (Wish(DOMAIN, "u", password=Secret("a\nb")), "password contains a control character"),
        (Wish(DOMAIN, postmaster_password=Secret("\x00")), "postmaster_password contains a control character"),
        (Wish(DOMAIN, "Postmaster", present=False), "cannot be removed"),
    ],
)
def test_check(wish, problem):
    with pytest.raises(PolicyError, match=problem):
        check(wish)


@pytest.mark.parametrize("value", ["user1", "a.b", "a+b", "o'neill", "x" * 64, "  padded "])
def test_local_part(value):
    assert local_part(value) == value.strip()


@pytest.mark.parametrize(
    "value", ["", ".a", "a.", "a..b", "a@b", "a b", "../x", "a/b", "a\nb", "\u00fc", '"a"', "x" * 65]
)
def test_no_local_part(value):
    with pytest.raises(PolicyError, match="^account "):
        local_part(value)
