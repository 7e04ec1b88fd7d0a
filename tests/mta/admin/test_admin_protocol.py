# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines and words of the admin protocol, without a socket."""

from __future__ import annotations

import time

import hypothesis
import hypothesis.strategies as st
import pytest

from postern.admin.protocol import LineBuffer, LineTooLong, SyntaxProblem, answer, tokenize


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SHOW", ["SHOW"]),
        ("  SHOW   ATTR  enable ", ["SHOW", "ATTR", "enable"]),
        ("SET a b\\ c", ["SET", "a", "b c"]),
        ("SET a 'b \\ \"c'", ["SET", "a", 'b \\ "c']),
        ('SET a "b \\"c\\" \\\\ d"', ["SET", "a", 'b "c" \\ d']),
        ('SET a ""', ["SET", "a", ""]),
        ("SET a ''", ["SET", "a", ""]),
        ("SET a (tls1_2 tls1_3)", ["SET", "a", ("tls1_2", "tls1_3")]),
        ("SET a ( tls1_2  tls1_3 ) b c", ["SET", "a", ("tls1_2", "tls1_3"), "b", "c"]),
        ("SET a () b", ["SET", "a", (), "b"]),
        ("SET a (\"x y\" 'z)' w)", ["SET", "a", ("x y", "z)", "w")]),
        ("SET a HIGH:!aNULL:@SECLEVEL=0", ["SET", "a", "HIGH:!aNULL:@SECLEVEL=0"]),
        ("SET a b(c)", ["SET", "a", "b(c)"]),
        ("SET a b\\'s\\\"", ["SET", "a", "b's\""]),
        ("SET a ü", ["SET", "a", "ü"]),
        ("", []),
        ("   ", []),
    ],
)
def test_words(line, words):
    assert tokenize(line) == words


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("SET a 'b", "never closed"),
        ('SET a "b', "never closed"),
        ("SET a (b", "never closed"),
        ("SET a (b (c))", "inside a set"),
        ("SET a b\\", "ends behind a backslash"),
        ('SET a "b\\', "ends behind a backslash"),
        ("SET a b'c", "inside a word"),
        ('SET a "b"c', "space is missing in column 10"),
        ("SET a (b)c", "space is missing"),
        ("SET a b\x00c", "control character in column 8"),
        ("SET a b\tc", "control character"),
        ("SET a b\rc", "control character"),
        ("SET a \x1b[31m", "control character"),
        ("SET a \x7f", "control character"),
    ],
)
def test_lines_that_are_no_command(line, reason):
    with pytest.raises(SyntaxProblem, match=reason):
        tokenize(line)


def _lines(buffer, limit=8192):
    found = []
    while (line := buffer.next_line(limit)) is not None:
        found.append(line)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_do_not_depend_on_segments(size):
    sent = b"USER admin\r\nline feed only\n\r\nextra\r\r\nrest"
    buffer, found = LineBuffer(), []
    for start in range(0, len(sent), size):
        buffer.feed(sent[start : start + size])
        found += _lines(buffer)
    assert found == [b"USER admin", b"line feed only", b"", b"extra\r"]
    buffer.feed(b"\r\n")
    assert _lines(buffer) == [b"rest"]


def test_a_line_may_have_exactly_the_limit():
    buffer = LineBuffer()
    buffer.feed(b"x" * 100 + b"\r\n")
    assert buffer.next_line(100) == b"x" * 100
    buffer.feed(b"x" * 102 + b"\n")
    with pytest.raises(LineTooLong, match="100 bytes"):
        buffer.next_line(100)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory():
    buffer = LineBuffer()
    buffer.feed(b"x" * 8192)
    assert buffer.next_line() is None
    buffer.feed(b"xx")
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_time_is_linear_in_size():
    def duration(size):
        data = b"x" * 60 + b"\r\n"
        buffer = LineBuffer()
        start = time.perf_counter()
        for _count in range(size):
            buffer.feed(data * 1000)
        count = len(_lines(buffer))
        assert count == size * 1000
        return time.perf_counter() - start

    duration(10)
    small, large = duration(20), duration(200)
    assert large < small * 40


def test_an_answer_is_one_line_whatever_its_text_is():
    sent = answer(b"payload\r\n", False, "a\r\n+OK: fake\x1b[0m\x00 \u2028 end", "<server#> ")
    assert sent == b"payload\r\n-ERR: a +OK: fake?[0m? end\r\n<server#> "
    assert answer(b"", True, "have a nice day", "") == b"+OK: have a nice day\r\n"


@hypothesis.given(
    st.lists(st.sampled_from([b".", b"a", b"\r", b"\n", b"\r\n", b"a.\n", b"..\n", b".\r\n"]), max_size=12).map(b"".join),
    st.lists(st.integers(0, 30), max_size=3).map(sorted),
    st.sampled_from([b".", b"a."]),
)
@hypothesis.settings(max_examples=300, deadline=None, database=None)
def test_a_body_is_its_lines(data, cuts, ending):
    """However it arrives, the text of an upload is what its lines are one by one."""
    buffer, single, lines, ended, body = LineBuffer(), LineBuffer(), [], False, b""
    single.feed(data)
    while not ended and (line := single.next_line()) is not None:
        ended = line == ending
        lines += [] if ended else [line + b"\n"]
    found = False
    for start, end in zip([0, *cuts], [*cuts, len(data) + 30]):
        buffer.feed(data[start:end])
        if not found:
            more, found = buffer.next_body(ending, 100)
            body += more
    assert (body, found) == (b"".join(lines), ended)
    # What follows is taken line by line again.
    while found and (line := single.next_line()) is not None:
        assert buffer.next_line() == line
    assert not found or buffer.next_line() is None


def test_a_body_has_lines_of_a_limited_length():
    buffer = LineBuffer()
    buffer.feed(b"a\n" + b"x" * 102)
    with pytest.raises(LineTooLong):
        buffer.next_body(b".", 100)
