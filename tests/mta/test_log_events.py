# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of the log's events is the truth: compared with the source in both directions."""

from __future__ import annotations

import ast
import re
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "roles" / "mta" / "files" / "postern"
PAGE = ROOT / "docs" / "log-events.md"
#: Functions that write a line; what they are given first is its name.
WRITERS = ("event", "record", "log", "_log", "_note")
NAME = re.compile(r"[a-z]+\.[a-z_]+")
#: What looks like an event and is a file or a key.
NO_EVENTS = {"admin.acl", "admin.address", "admin.passwd", "metrics.address", "status.json"}
LEVELS = {"info", "warning", "error"}


class Row(t.NamedTuple):
    """One line of the page."""

    levels: set[str]
    fields: set[str]


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """What the page says, by event."""
    found: dict[str, Row] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" |")]
        if len(cells) == 4 and NAME.fullmatch(cells[0].strip("`")):
            name = cells[0].strip("`")
            assert name not in found, f"{name} stands there twice"
            words = re.findall(r"`(\w+)`", cells[2] + cells[3])
            found[name] = Row(set(cells[1].split(", ")), set(words))
    return found


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    """The program, by file. What only listens to events is not there."""
    paths = [path for path in SOURCE.rglob("*.py") if path.name != "metrics.py"]
    return {str(path.relative_to(SOURCE)): ast.parse(path.read_text()) for path in paths}


def calls(modules: dict[str, ast.Module]) -> t.Iterator[tuple[str, ast.Call]]:
    """Calls that write a line, with its name."""
    for tree in modules.values():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            for given in node.args[:2] if called in WRITERS else ():
                name = getattr(given, "value", None)
                if isinstance(name, str) and NAME.fullmatch(name):
                    yield name, node


def texts(tree: ast.AST) -> t.Iterator[str]:
    """All texts of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def events(modules: dict[str, ast.Module], areas: set[str]) -> set[str]:
    """Texts that are names of events, also where they are not given to a writer at once."""
    found = {name for name, _call in calls(modules)}
    for tree in modules.values():
        found |= {text for text in texts(tree) if NAME.fullmatch(text) and text.partition(".")[0] in areas}
    return found - NO_EVENTS


def test_every_event_is_listed_and_every_listed_one_exists(rows, modules):
    there = events(modules, {name.partition(".")[0] for name in rows})
    assert sorted(there - set(rows)) == [], "not on the page"
    assert sorted(set(rows) - there) == [], "not in the program"


def test_figures_are_counted_from_events_that_exist(rows):
    heard = {text for text in texts(ast.parse((SOURCE / "metrics.py").read_text())) if NAME.fullmatch(text)}
    assert heard and sorted(heard - set(rows)) == []


def test_fields_and_levels_are_those_of_the_program(rows, modules):
    known = {text for tree in modules.values() for text in texts(tree)}
    for name, call in calls(modules):
        given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        level = given.pop("level", ast.Constant("info"))
        known |= set(given)
        assert sorted(set(given) - rows[name].fields) == [], f"fields of {name}"
        # A line of `_note` has its level in a place of its own.
        if isinstance(level, ast.Constant) and getattr(call.func, "attr", "") != "_note":
            assert level.value in rows[name].levels, f"level of {name}"
    for name, row in rows.items():
        assert row.levels <= LEVELS, name
        assert sorted(row.fields - known) == [], f"fields of {name}"
