# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values behave as frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import typing as t

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.value import Value


@dataclasses.dataclass(init=False, repr=False, eq=False)
class Shared(Value):
    """One of ours."""

    name: str
    number: int
    hidden: str = dataclasses.field(default="", repr=False)
    note: t.Optional[str] = dataclasses.field(default=None, compare=False)
    table: t.Dict[str, int] = dataclasses.field(default_factory=dict, compare=False)

    kind = "no field"


@dataclasses.dataclass(frozen=True)
class Written:
    """One of Python's."""

    name: str
    number: int
    hidden: str = dataclasses.field(default="", repr=False)
    note: t.Optional[str] = dataclasses.field(default=None, compare=False)
    table: t.Dict[str, int] = dataclasses.field(default_factory=dict, compare=False)


GIVEN = [((), {"name": "a", "number": 1}), (("a", 1), {}), (("a",), {"number": 1, "note": "n"}), (("a", 1, "h", "n", {}), {})]
REFUSED = [
    ((), {}), (("a",), {}), ((), {"name": "a"}), ((), {"name": "a", "numbr": 1}), (("a", 1), {"name": "b"}),
    (("a", 1), {"other": 1}), (("a", 1, "", None, {}, 6), {}),
]


@pytest.mark.parametrize("args, given", GIVEN)
def test_like_a_frozen_dataclass(args, given):
    ours, python = Shared(*args, **given), Written(*args, **given)
    assert vars(ours) == vars(python) and list(vars(ours)) == list(vars(python))
    assert repr(ours) == repr(python).replace("Written", "Shared")
    assert dataclasses.asdict(ours) == dataclasses.asdict(python)
    assert vars(dataclasses.replace(ours, number=7)) == vars(dataclasses.replace(python, number=7))
    assert ours == Shared(*args, **given) and ours != python
    assert ours == copy.copy(ours) == pickle.loads(pickle.dumps(ours))
    assert hash(ours) == hash(dataclasses.replace(ours, note="another", table={"a": 1}))
    assert ours == dataclasses.replace(ours, note="another") != dataclasses.replace(ours, hidden="another")


@pytest.mark.parametrize("cls", [Shared, Written])
@pytest.mark.parametrize("args, given", REFUSED)
def test_what_no_value_is_made_of(cls, args, given):
    with pytest.raises(TypeError):
        cls(*args, **given)


def test_nothing_changes():
    value = Shared("a", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del value.name
    assert Shared("a", 1).table is not value.table
