# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line protocol without a socket: bytes to lines, lines to words, answers to bytes.

Grammar of a command line::

    command = verb { " " word }
    word    = bare | 'literal' | "with \\" escapes" | ( set of words )
"""

from __future__ import annotations

import typing as t

#: A command's length limit, in bytes without the line end.
MAX_LINE = 8192

#: A word is text; a set in parentheses is a tuple of texts.
Word = t.Union[str, tuple[str, ...]]


class SyntaxProblem(ValueError):
    """A command line that cannot be taken apart; the text says where and why, without the words themselves."""


class LineTooLong(ValueError):
    """A line beyond the limit: where the next one starts is not known any more."""


class LineBuffer:
    """Collects received bytes and gives them back line by line, in time linear to their number."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._start = 0
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        if self._start > 65536 and self._start * 2 > len(self._data):
            del self._data[: self._start]
            self._searched -= self._start
            self._start = 0
        self._data += data

    def next_line(self, limit: int = MAX_LINE) -> bytes | None:
        """The next line without its LF and without one CR before it; None when it is not complete.

        Raises :class:`LineTooLong` beyond ``limit`` bytes.
        """
        end = self._data.find(b"\n", self._searched)
        length = (len(self._data) if end < 0 else end) - self._start
        if length > limit + 1:
            raise LineTooLong(f"the line is longer than {limit} bytes")
        if end < 0:
            self._searched = len(self._data)
            return None
        line = bytes(self._data[self._start : end])
        self._start = self._searched = end + 1
        return line[:-1] if line.endswith(b"\r") else line

    def next_body(self, ending: bytes, limit: int) -> tuple[bytes, bool]:
        """All complete lines before one that is ``ending``, each with LF alone, and whether that line is there.

        It is taken as well then. Raises :class:`LineTooLong` beyond ``limit`` bytes.
        """
        last = self._data.rfind(b"\n", self._searched) + 1 or self._start
        if len(self._data) - last > limit + 1:
            raise LineTooLong(f"the line is longer than {limit} bytes")
        body = bytes(self._data[self._start : last])
        end, behind = _line_that_is(ending, body)
        self._start += behind
        self._searched = self._start if end < behind else len(self._data)
        # One CR before LF belongs to the line end; any other belongs to the line.
        return body[:end].replace(b"\r\n", b"\n"), end < behind


def _line_that_is(wanted: bytes, lines: bytes) -> tuple[int, int]:
    """Begin and end of the first line that is ``wanted``; the end of complete ``lines`` twice when there is none."""
    place = 0
    while place >= 0:
        if lines.startswith(wanted, place):
            for line_end in (b"\n", b"\r\n"):
                if lines.startswith(line_end, place + len(wanted)):
                    return place, place + len(wanted) + len(line_end)
        place = lines.find(b"\n" + wanted, place) + 1 or -1
    return len(lines), len(lines)


def tokenize(line: str) -> list[Word]:
    """The words of a command line. Raises :class:`SyntaxProblem`."""
    scanner = _Scanner(line)
    words: list[Word] = []
    scanner.skip_blanks()
    while scanner.more():
        words.append(scanner.set() if scanner.peek() == "(" else scanner.word(end=""))
        scanner.separator()
    return words


class _Scanner:
    def __init__(self, line: str) -> None:
        for position, character in enumerate(line):
            if ord(character) < 32 or ord(character) == 127:
                raise SyntaxProblem(f"control character in column {position + 1}")
        self._line = line
        self._position = 0

    def more(self) -> bool:
        return self._position < len(self._line)

    def peek(self) -> str:
        return self._line[self._position]

    def _take(self) -> str:
        self._position += 1
        return self._line[self._position - 1]

    def skip_blanks(self) -> None:
        while self.more() and self.peek() == " ":
            self._position += 1

    def separator(self) -> None:
        """Behind a word: blanks or the end of the line."""
        if self.more() and self.peek() != " ":
            raise SyntaxProblem(f"a space is missing in column {self._position + 1}")
        self.skip_blanks()

    def word(self, end: str) -> str:
        if self.peek() in "'\"":
            return self._quoted(self._take())
        text: list[str] = []
        while self.more() and self.peek() not in " " + end:
            character = self._take()
            if character == "\\":
                character = self._escaped()
            elif character in "'\"":
                raise SyntaxProblem(f"a quote inside a word, in column {self._position}: escape it or quote the word")
            text.append(character)
        return "".join(text)

    def _escaped(self) -> str:
        if not self.more():
            raise SyntaxProblem("the line ends behind a backslash")
        return self._take()

    def _quoted(self, quote: str) -> str:
        start = self._position
        text: list[str] = []
        while self.more():
            character = self._take()
            if character == quote:
                return "".join(text)
            if character == "\\" and quote == '"':
                character = self._escaped()
            text.append(character)
        raise SyntaxProblem(f"the quote in column {start} is never closed")

    def set(self) -> tuple[str, ...]:
        start = self._position + 1
        self._take()
        words: list[str] = []
        self.skip_blanks()
        while self.more():
            if self.peek() == ")":
                self._take()
                return tuple(words)
            if self.peek() == "(":
                raise SyntaxProblem(f"a set inside a set, in column {self._position + 1}")
            words.append(self.word(end=")"))
            self.skip_blanks()
        raise SyntaxProblem(f"the set that opens in column {start} is never closed")


def printable(text: str) -> str:
    """``text`` for a status line: one line, nothing that a terminal would act upon."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def answer(payload: bytes, ok: bool, text: str, prompt: str) -> bytes:
    """One whole answer: payload (complete lines), status line, prompt. Sent in one write.

    An empty ``prompt`` means that none follows: an invitation to upload, or a farewell. An empty ``text`` makes a
    bare status.
    """
    status = "+OK" if ok else "-ERR"
    line = f"{status}: {printable(text)}\r\n" if text else f"{status}\r\n"
    return payload + line.encode("utf-8", "replace") + prompt.encode("ascii")


def coloured(prompt: str) -> str:
    """A prompt for a terminal: bold (ECMA-48, SGR 1), and ordinary again behind it."""
    return f"\x1b[1m{prompt}\x1b[0m" if prompt else ""
