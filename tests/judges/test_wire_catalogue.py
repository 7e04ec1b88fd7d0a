# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue has every promise, every promise has its tests, and the page and the table are made of it."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest
import wire_catalogue
from wire_catalogue import CATALOGUE, HERE

ROOT = HERE.parents[1]
_JUNIT = """<testsuites><testsuite>
<testcase name="test_w5_nobody[PLAIN]"><properties><property name="seen" value="three"/></properties></testcase>
<testcase name="test_w5_can_fail"><skipped message="no swaks"/></testcase>
<testcase name="test_w1_w2_greeting"/>
<testcase name="test_w2_again"><failure message="wrong">trace</failure></testcase>
<testcase name="test_w8_x"><skipped message="no openssl"/></testcase>
<testcase name="test_another_thing"/>
</testsuite></testsuites>"""


@functools.cache
def named(name: str) -> tuple[str, ...]:
    """The names of the tests in a file beside this one."""
    tree = ast.parse((HERE / name).read_text(encoding="utf-8"))
    return tuple(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def test_every_number_is_there_once():
    assert [entry.number for entry in CATALOGUE] == list(range(1, 41))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_promise_has_its_tests(entry):
    if not entry.here:
        assert entry.apart
        assert not entry.where or (ROOT / entry.where).is_file(), entry.where
        return
    about = [name for name in named(entry.where) if entry.number in wire_catalogue.promised(name)]
    failing = [name for name in about if "_can_fail" in name]
    assert set(about) - set(failing), f"no test of {entry.name} in {entry.where}"
    assert failing or entry.honest, f"nothing shows that the judge of {entry.name} finds anything"


def test_every_test_belongs_to_a_promise_of_its_file():
    for path in sorted(HERE.glob("test_wire_judged_*.py")):
        for name in named(path.name):
            numbers = wire_catalogue.promised(name)
            assert numbers, f"{name} names no promise"
            assert all(wire_catalogue.entry(number).where == path.name for number in numbers), (path.name, name)


def test_a_failure_decides_and_else_a_test_that_passed(tmp_path):
    junit = tmp_path / "junit.xml"
    junit.write_text(_JUNIT, encoding="utf-8")
    assert wire_catalogue.outcomes(junit) == {
        1: ("passed", ""), 2: ("FAILED", ""), 5: ("passed", "three; no swaks"), 8: ("skipped", "no openssl"),
    }


def test_the_table_has_a_line_for_each_promise():
    lines = wire_catalogue.table({5: ("passed", "three")}).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [entry.name for entry in CATALOGUE]
    assert "passed" in lines[4] and lines[4].endswith("three") and "not run" in lines[0]


def test_the_page_is_made_of_the_catalogue():
    path = Path(ROOT, "docs", "wire-tests.md")
    assert path.read_text(encoding="utf-8") == wire_catalogue.document(), (
        "make it again: python tests/judges/wire_catalogue.py > docs/wire-tests.md"
    )
