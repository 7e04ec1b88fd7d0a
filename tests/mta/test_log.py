# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log: what stands in a line is what was said, whatever it was."""

from __future__ import annotations

import datetime
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postern.log import LEVELS, MAX_TEXT, Log

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.text(min_size=1).filter(lambda name: name not in ("time", "event", "level"))


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Writes one event; returns the bytes of its line."""
    path = tmp_path_factory.mktemp("log") / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(*arguments):
        os.ftruncate(descriptor, 0)
        Log(descriptor).record(*arguments)
        return path.read_bytes()

    yield write
    os.close(descriptor)


@settings(max_examples=200, deadline=None)
@given(st.text(), st.dictionaries(NAMES, VALUES, max_size=6), st.sampled_from(LEVELS[1:]))
def test_a_line_holds_what_was_said_and_is_one_line_of_ascii(lines, name, fields, level):
    line = lines(name, fields, level)
    assert line.isascii() and line.count(b"\n") == 1 and line.endswith(b"}\n")
    assert all(octet >= 0x20 for octet in line[:-1])
    said = json.loads(line)
    time = datetime.datetime.fromisoformat(said.pop("time"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - time).total_seconds()) < 60
    assert said == {"event": name, **({} if level == "info" else {"level": level}), **fields}


def test_a_long_text_is_cut(lines):
    said = json.loads(lines("x", {"text": "é" * (MAX_TEXT + 1)}))
    assert said["text"] == "é" * MAX_TEXT + "…"


def test_what_is_no_json_is_told_as_text(lines):
    assert json.loads(lines("x", {"network": datetime.date(2026, 12, 1)}))["network"] == "2026-12-01"


def test_a_field_that_is_called_level_is_one_of_the_event(lines):
    assert lines("x", {"level": "secure"}, "error").count(b'"level"') == 1
    assert json.loads(lines("x", {"level": "secure"}, "error"))["level"] == "secure"


def test_a_log_goes_on_in_another_file(tmp_path):
    path, moved = tmp_path / "log", tmp_path / "log.1"
    log = Log(str(path))
    log.event("a.b")
    path.rename(moved)
    log.event("c.d")
    log.reopen(str(path))
    log.event("e.f")
    with pytest.raises(OSError):
        log.reopen(str(tmp_path))
    log.event("g.h")
    assert [[json.loads(line)["event"] for line in file.read_text().splitlines()] for file in (moved, path)] == [
        ["a.b", "c.d"], ["e.f", "g.h"],
    ]  # fmt: skip
