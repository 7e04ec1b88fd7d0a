# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy script as a value: text, tokens, blocks and statements with their places in the text.

Grammar (keywords in any case; ``#`` starts a comment that ends with the line; no escapes in strings)::

    script = { event | method }
    event  = "event" name "{" { stmt } "}"
    method = "method" name "{" { stmt } "}"
    stmt   = "set" "(" name "," string ")" ";"  |  "call" "(" name ")" ";"
           | "if" "(" ( ( "allOf" | "anyOf" ) "(" test { "," test } ")" | test ) ")" "{" { stmt } "}"
    test   = name "(" name "," string ")"
    string = '"' { any character but '"' } '"'

A statement that is none of these but balanced is :class:`Unknown`, and so is an ``if`` with ``else``. What stands
between blocks must be blocks. Nothing is ever normalised: every part is a pair of offsets into the text as it came,
so an edit replaces only what it names.

No document says whether a backslash before a double quote keeps it from ending a string. Here it ends the string; a
script that would have other blocks or statements if it did not is refused.

Most blocks of a long script look alike, because a program wrote them. What has one of these shapes takes one regular
expression instead of one for each statement, and its statements are made when somebody asks for them; everything else
goes the long way, and what comes out is the same.

Text is ``str``. Callers decode bytes as UTF-8 with ``surrogateescape`` and encode the same way, which carries
every byte through. This module stands alone (standard library only): the bundled server uses the same file.
"""

from __future__ import annotations

import re
import typing as t

Span = t.Tuple[int, int]

#: Place of a statement that was made by hand and stands in no text yet.
NOWHERE: Span = (-1, -1)

#: Conditions inside conditions; more is refused, because everything that reads statements goes in by recursion.
MAX_DEPTH = 64

#: Tests or calls that are taken at a time.
_TURN = 500

_BOM = "\ufeff"

# Blanks and comments. Unrolled so that it matches in one way only: a comment always reaches the end of its line,
# and no two neighbouring repeats can take the same character. The cost stays linear, also where a match fails.
_B = r"[ \t\r\n\f\v]*(?:\#[^\n]*(?:\n[ \t\r\n\f\v]*|\Z))*"
# Names as the grammar has them, and what a tool might have put into one: letters of any alphabet (also as bytes that
# are no UTF-8), a digit in front, dots and hyphens.
_NAME = "[\\w\udc80-\udcff][\\w.\\-\udc80-\udcff]*"
_TEST = rf'{_NAME}{_B}\({_B}{_NAME}{_B},{_B}"[^"]*"{_B}\)'


class _Expression:
    """A regular expression that is made when it is first used: few tasks need all of them, and making them takes longer
    than reading a script does."""

    def __init__(self, text: str, flags: int = 0) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> t.Any:
        made = re.compile(self._text, self._flags)
        for method in ("match", "search", "sub", "findall", "finditer"):
            setattr(self, method, getattr(made, method))
        return getattr(made, name)


_BLANK = _Expression(_B)
_HEAD = _Expression(rf"{_B}(?P<word>(?i:event|method))\b{_B}(?P<name>{_NAME}){_B}\{{")
_STATEMENT = _Expression(
    rf"""{_B}(?:
        (?P<set>(?i:set){_B}\({_B}({_NAME}){_B},{_B}"([^"]*)"{_B}\){_B};)
      | (?P<call>(?i:call){_B}\({_B}({_NAME}){_B}\){_B};)
      | (?P<if>(?i:if){_B}\({_B}(?:(?P<match>(?i:allOf|anyOf)){_B}\({_B})?(?P<test>{_TEST}))
      | (?P<end>\}})
      | (?P<block>(?i:event|method)\b{_B}{_NAME}{_B}\{{)
    )""",
    re.VERBOSE,
)
# The shapes of programs: keywords as they are documented, blanks and no comments, nothing but what is needed.
_W = r"[ \t\r\n\f\v]*"
_PLAIN_TEST = rf'{_NAME}{_W}\({_W}{_NAME}{_W},{_W}"[^"]*"{_W}\)'
_PLAIN_SET = rf'set{_W}\({_W}{_NAME}{_W},{_W}"[^"]*"{_W}\){_W};'
_PLAIN_IF = (
    rf"if{_W}\({_W}(?P<match>all|any)Of{_W}\({_W}"
    rf"(?P<tests>{_PLAIN_TEST}(?:{_W},{_W}{_PLAIN_TEST}){{0,{_TURN}}}){_W}\){_W}\){_W}\{{"
)
#: A method that holds nothing but ``set``, or one condition with nothing but ``set`` in it.
_PLAIN_METHOD = _Expression(
    rf"{_W}(?P<word>method)[ \t]+(?P<name>{_NAME}){_W}\{{(?P<body>{_W}"
    rf"(?:(?P<if>{_PLAIN_IF}{_W}(?P<inner>(?:{_PLAIN_SET}{_W})*)\}}){_W}|(?:{_PLAIN_SET}{_W})*))\}}"
)
_PLAIN_CALLS = _Expression(rf"(?:{_W}call{_W}\({_W}{_NAME}{_W}\){_W};){{1,{_TURN}}}")
# Each of these runs over what one of the expressions above has found to consist of nothing else.
_EACH_TEST = _Expression(rf'({_NAME}){_W}\({_W}({_NAME}){_W},{_W}"([^"]*)"{_W}\)')
_EACH_SET = _Expression(rf'set{_W}\({_W}({_NAME}){_W},{_W}"([^"]*)"{_W}\){_W};')
_EACH_CALL = _Expression(rf"call{_W}\({_W}({_NAME}){_W}\){_W};")
# What follows the first test. Nothing else runs while an expression is matched: very many tests take turns.
_MORE_TESTS = _Expression(rf"(?:{_B},{_B}{_TEST}){{1,{_TURN}}}")
_END_OF_TESTS = _Expression(rf"{_B}\){_B}\){_B}\{{")
_END_OF_TEST = _Expression(rf"{_B}\){_B}\{{")
_ONE_TEST = _Expression(rf'{_B},?{_B}({_NAME}){_B}\({_B}({_NAME}){_B},{_B}"([^"]*)"{_B}\)')
_ELSE = _Expression(rf"{_B}(?i:else|elseif|elsif|elif)\b")

_TOKEN = _Expression(
    rf"""(?P<blank>[ \t\r\n\f\v]+)
      | (?P<comment>\#[^\n]*)
      | (?P<string>"[^"]*")
      | (?P<name>{_NAME})
      | (?P<mark>[(){{}},;])
      | (?P<open>")
      | (?P<other>[^ \t\r\n\f\v\#"(){{}},;]+)""",
    re.VERBOSE,
)
# What is written is not as bold as what is read.
_NAME_ONLY = _Expression(r"[^\W\d][\w.\-]*\Z")
_LINE_END = _Expression("\r*\n")
_STRING = _Expression('(#[^\n]*)|"[^"]*"')
_UNCARRIED = _Expression(r"\0|(?:\A|[\r\n])\.")
_PAIR = _Expression(r"\\(.)", re.DOTALL)


class ScriptError(ValueError):
    """What cannot be understood: ``line`` and ``column`` (1-based; 0 for a value that is in no script), ``reason``."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        self.line = line
        self.column = column
        self.reason = reason
        super().__init__("line %d, column %d: %s" % (line, column, reason) if line else reason)


class Token(t.NamedTuple):
    """A piece of the text. ``kind``: blank, comment, string, name, mark (one of ``(){},;``) or other."""

    kind: str
    text: str
    start: int


class Test(t.NamedTuple):
    """A condition such as ``isCase (isSSLConnection, "no")``."""

    name: str
    variable: str
    value: str


class Set(t.NamedTuple):
    """``set (variable, "value");``. ``value_span`` is the value without its quotes."""

    variable: str
    value: str
    span: Span = NOWHERE
    value_span: Span = NOWHERE


class Call(t.NamedTuple):
    """``call (method);``"""

    method: str
    span: Span = NOWHERE


class If(t.NamedTuple):
    """A condition with a body, without ``else``. ``match`` is "all" or "any"; a single bare test is "all"."""

    match: str
    tests: t.Tuple[Test, ...]
    body: t.Tuple[t.Any, ...]
    span: Span = NOWHERE


class Unknown(t.NamedTuple):
    """A balanced statement that this grammar does not have."""

    text: str
    span: Span = NOWHERE


Statement = t.Union[Set, Call, If, Unknown]


class Condition(t.NamedTuple):
    """The head of an :class:`If`; ``span`` is the place of the whole statement."""

    match: str
    tests: t.Tuple[Test, ...]
    span: Span


class Block:
    """An event or a method. ``body_span`` is what stands between its braces. Immutable; equal to one that says the same
    in the same place."""

    __slots__ = ("kind", "name", "span", "body_span", "plain", "_statements", "_found")

    def __init__(
        self,
        kind: str,
        name: str,
        span: Span,
        body_span: Span,
        statements: t.Optional[t.Tuple[Statement, ...]],
        found: t.Optional[t.Match[str]] = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.span = span
        self.body_span = body_span
        #: It is known to hold nothing but ``set``, or one condition with nothing but ``set`` in it.
        self.plain = found is not None
        # None: they are made of ``found``, which is a match of a plain method.
        self._statements = statements
        self._found = found

    @property
    def statements(self) -> t.Tuple[Statement, ...]:
        """What stands in it, in this order."""
        found = self._found
        if self._statements is None and found is not None:
            self._statements = _plain_statements(found)
            self._found = None
        return t.cast("t.Tuple[Statement, ...]", self._statements)

    @property
    def condition(self) -> t.Optional[Condition]:
        """The condition of a block that is one ``if`` with nothing but ``set`` in it, else None. It costs less than
        :attr:`statements`."""
        found = self._found
        if found is not None:
            return _plain_condition(found)
        one = self.statements[0] if len(self.statements) == 1 else None
        if isinstance(one, If) and all(isinstance(inner, Set) for inner in one.body):
            return Condition(one.match, one.tests, one.span)
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and (
            (self.kind, self.name, self.span, self.body_span, self.statements)
            == (other.kind, other.name, other.span, other.body_span, other.statements)
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.span, self.body_span))

    def __repr__(self) -> str:
        return "Block(kind=%r, name=%r, statements=%r, span=%r, body_span=%r)" % (
            self.kind, self.name, self.statements, self.span, self.body_span
        )  # fmt: skip


class Script:
    """A parsed script. Immutable; ``text`` is what was parsed, character for character."""

    def __init__(self, text: str, events: t.Iterable[Block], methods: t.Iterable[Block]) -> None:
        self.text = text
        self.events = tuple(events)
        self.methods = tuple(methods)
        # The first of two blocks of one name counts.
        self._events = {block.name.lower(): block for block in reversed(self.events)}
        self._methods = {block.name.lower(): block for block in reversed(self.methods)}

    def event(self, name: str) -> t.Optional[Block]:
        """The first event of that name in any case, or None."""
        return self._events.get(name.lower())

    def method(self, name: str) -> t.Optional[Block]:
        """The first method of that name in any case, or None."""
        return self._methods.get(name.lower())

    @property
    def duplicate_methods(self) -> t.Tuple[str, ...]:
        """Names (spelled as the first time) of methods that stand more than once, in file order."""
        return _duplicates(self.methods, self._methods)

    @property
    def duplicate_events(self) -> t.Tuple[str, ...]:
        """Names (spelled as the first time) of events that stand more than once, in file order."""
        return _duplicates(self.events, self._events)

    @property
    def newline(self) -> str:
        """The line end of most lines outside of strings: a mail text inside a string may have its own. LF if none."""
        if "\r\n" not in self.text:
            return "\n"
        outside = _STRING.sub(r"\1", self.text)
        with_cr = outside.count("\r\n")
        return "\r\n" if with_cr * 2 > outside.count("\n") else "\n"

    def position(self, offset: int) -> t.Tuple[int, int]:
        """Line and column, 1-based, of an offset into the text."""
        return position(self.text, offset)


def _duplicates(blocks: t.Sequence[Block], firsts: t.Mapping[str, Block]) -> t.Tuple[str, ...]:
    further = [firsts[block.name.lower()] for block in blocks if firsts[block.name.lower()] is not block]
    return tuple(dict.fromkeys(first.name for first in further))


def position(text: str, offset: int) -> t.Tuple[int, int]:
    """Line and column, 1-based, of an offset into the text. A byte order mark has no column."""
    line = text.count("\n", 0, offset) + 1
    start = text.rfind("\n", 0, offset) + 1
    if start == 0 and offset and text.startswith(_BOM):
        start = 1
    return line, offset - start + 1


def tokens(text: str) -> t.Iterator[Token]:
    """The text in pieces; their texts in a row are the text. Raises :class:`ScriptError` for a string without end."""
    for found in _tokens(text, 0):
        yield Token(t.cast(str, found.lastgroup), found.group(), found.start())


def parse(text: str) -> Script:
    """Parse a policy script.

    Raises :class:`ScriptError` at the first thing that is not a block or not balanced, and where it is not clear
    whether a quote ends a string.
    """
    script = _parsed(text)
    if '\\"' in text:
        _check_backslashes(script)
    return script


def _parsed(text: str) -> Script:
    events: t.List[Block] = []
    methods: t.List[Block] = []
    place = 1 if text.startswith(_BOM) else 0
    while True:
        block = block_at(text, place)
        if block is None:
            break
        (events if block.kind == "event" else methods).append(block)
        place = block.span[1]
    place = _blank_end(text, place)
    if place < len(text):
        raise _junk(text, place)
    return Script(text, events, methods)


def block_at(text: str, place: int) -> t.Optional[Block]:
    """The block that begins at an offset, blanks and comments before it left out; None when there is none.

    Raises :class:`ScriptError`. In a script that was parsed it is the block that was found there.
    """
    plain = _PLAIN_METHOD.match(text, place)
    if plain is not None:
        span = (plain.start("word"), plain.end())
        return Block("method", plain.group("name"), span, plain.span("body"), None, plain)
    head = _HEAD.match(text, place)
    return None if head is None else _block(text, head)


def equal_but_line_ends(one: str, other: str) -> bool:
    """Whether two scripts differ in nothing but line ends, which the line protocol does not carry."""
    return one == other or one_line_end(one) == one_line_end(other)


def one_line_end(text: str) -> str:
    """The script with LF line ends and without empty lines around it: the form that compares and hashes.

    A line end is LF with any number of CR before it: a server that sends a stored CR LF with its own line end
    sends CR CR LF. Empty lines at both ends are not carried by the line protocol either, and a CR at the very end
    may be half of a line end.
    """
    return lines_of(text).strip("\r\n")


def lines_of(text: str) -> str:
    """A text with LF line ends: what the line protocol carries of a value."""
    return _LINE_END.sub("\n", text) if "\r" in text else text


def uncarried(text: str) -> t.Optional[t.Tuple[int, str]]:
    """The first line (from 1) that the line protocol cannot carry to the server, and why; None when there is none.

    What it cannot carry back, and what is no difference, are line ends and empty lines around the script.
    """
    # Nearly always there is none, and the long look at ten thousand methods takes a fifth of a second.
    if not (text.startswith(".") or any(mark in text for mark in ("\0", "\n.", "\r."))):
        return None
    found = _UNCARRIED.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.end()) + 1
    return line, "a NUL character" if found.group() == "\0" else "a dot at its beginning, which ends an upload"


def check_name(name: str, what: str) -> str:
    """``name`` if it can be written as a name. Raises :class:`ScriptError`."""
    if not _NAME_ONLY.match(name):
        raise ScriptError(0, 0, "%r cannot be the name of a %s in a policy script" % (name, what))
    return name


def check_value(value: str, what: str) -> str:
    """``value`` if it can stand in a string, which has no escapes. Raises :class:`ScriptError`."""
    if '"' in value:
        raise ScriptError(
            0, 0, "the value of %s cannot hold a double quote, which ends a string of a policy script" % what
        )
    return value


def _check_backslashes(script: Script) -> None:
    """Refuse a script that is another one when a backslash keeps a quote from ending its string."""
    text = script.text
    try:
        # Of the same length, so that places can be compared.
        other = _parsed(_PAIR.sub(lambda found: "\\'" if found.group(1) == '"' else found.group(), text))
    except ScriptError:
        return  # Only one of the two readings is a script.
    if not _in_the_same_places(script.events + script.methods, other.events + other.methods):
        raise _error(
            text,
            text.index('\\"') + 1,
            "a backslash stands before this quote, and it is not known whether the quote ends the string then",
        )


def _in_the_same_places(one: t.Sequence[t.Any], other: t.Sequence[t.Any]) -> bool:
    """Whether blocks or statements are where others are, inside of conditions too."""
    if [part.span for part in one] != [part.span for part in other]:
        return False
    inner = [(_inside(a), _inside(b)) for a, b in zip(one, other)]
    return all(_in_the_same_places(a, b) for a, b in inner if a is not None and b is not None)


def _inside(part: t.Any) -> t.Optional[t.Tuple[Statement, ...]]:
    return part.body if isinstance(part, If) else part.statements if isinstance(part, Block) else None


# --- blocks and statements ------------------------------------------------------------------------


class _Open(t.NamedTuple):
    """An ``if`` whose body is being read."""

    match: str
    tests: t.Sequence[Test]
    start: int
    brace: int
    outer: t.List[Statement]


def _block(text: str, head: t.Match[str]) -> Block:
    """The block behind ``head``."""
    place = head.end()
    statements: t.List[Statement] = []
    stack: t.List[_Open] = []
    while True:
        found = _STATEMENT.match(text, place)
        kind = found.lastgroup if found is not None else None
        tested = _tests_behind(text, found) if found is not None and kind == "if" else None
        if found is None or kind is None or (kind == "if" and tested is None):
            place = _blank_end(text, place)
            if place == len(text):
                brace = stack[-1].brace if stack else head.end() - 1
                raise _error(text, brace, 'this "{" is never closed')
            end = _unknown_end(text, place)
            statements.append(Unknown(text[place:end], (place, end)))
            place = end
            continue
        place = found.end()
        if kind == "set":
            statements.append(Set(found.group(2), found.group(3), (found.start("set"), place), found.span(3)))
        elif kind == "call":
            statements.append(Call(found.group(5), (found.start("call"), place)))
            place = _more_calls(text, place, statements)
        elif tested is not None:
            if len(stack) == MAX_DEPTH:
                raise _error(text, found.start("if"), "conditions are nested deeper than %d" % MAX_DEPTH)
            tests, place = tested
            stack.append(_Open(_match_of(found), tests, found.start("if"), place - 1, statements))
            statements = []
        elif kind == "block":
            raise _error(text, found.start("block"), 'a "}" is missing before this block')
        elif not stack:
            break
        else:
            opened = stack.pop()
            body, statements = statements, opened.outer
            if _ELSE.match(text, place):
                place = _unknown_end(text, place)
                statements.append(Unknown(text[opened.start : place], (opened.start, place)))
            else:
                statements.append(If(opened.match, tuple(opened.tests), tuple(body), (opened.start, place)))
    word = head.start("word")
    return Block(
        head.group("word").lower(), head.group("name"), (word, place), (head.end(), place - 1), tuple(statements)
    )


def _plain_statements(found: t.Match[str]) -> t.Tuple[Statement, ...]:
    """The statements of a plain method."""
    condition = _plain_condition(found)
    if condition is None:
        return _plain_sets(found.string, found.span("body"))
    return (If(condition.match, condition.tests, _plain_sets(found.string, found.span("inner")), condition.span),)


def _plain_condition(found: t.Match[str]) -> t.Optional[Condition]:
    if found.start("if") < 0:
        return None
    tests = _EACH_TEST.findall(found.string, *found.span("tests"))
    return Condition(found.group("match"), tuple(map(Test._make, tests)), found.span("if"))


def _plain_sets(text: str, span: Span) -> t.Tuple[Statement, ...]:
    return tuple(Set(one.group(1), one.group(2), one.span(), one.span(2)) for one in _EACH_SET.finditer(text, *span))


def _match_of(found: t.Match[str]) -> str:
    match = found.group("match")
    return "any" if match is not None and match.lower() == "anyof" else "all"


def _tests_behind(text: str, found: t.Match[str]) -> t.Optional[t.Tuple[t.List[Test], int]]:
    """All tests of a condition of which the first one was found, and the place behind its ``{``; None when it goes on
    in another way than the grammar has it."""
    start, place = found.span("test")
    tests = _tests_of(text, start, place)
    if found.group("match") is None:
        end = _END_OF_TEST.match(text, place)
    else:
        more = _MORE_TESTS.match(text, place)
        while more is not None:
            tests += _tests_of(text, place, more.end())
            place = more.end()
            more = _MORE_TESTS.match(text, place)
        end = _END_OF_TESTS.match(text, place)
    return None if end is None else (tests, end.end())


def _tests_of(text: str, start: int, end: int) -> t.List[Test]:
    # Without a comment there are only blanks between them. A string with this character goes the long way in vain.
    each = _EACH_TEST if text.find("#", start, end) < 0 else _ONE_TEST
    # A pattern has proved that tests fill this span, so that no match can start inside a comment.
    return list(map(Test._make, each.findall(text, start, end)))


def _more_calls(text: str, place: int, statements: t.List[Statement]) -> int:
    """Take all plain calls that begin here; returns the place behind them."""
    more = _PLAIN_CALLS.match(text, place)
    while more is not None:
        for one in _EACH_CALL.finditer(text, place, more.end()):
            statements.append(Call(one.group(1), one.span()))
        place = more.end()
        more = _PLAIN_CALLS.match(text, place)
    return place


def _unknown_end(text: str, start: int) -> int:
    """The end of the balanced statement that starts here: its ``;``, or its closing brace if no ``else`` follows."""
    opened: t.List[t.Match[str]] = []
    for found in _tokens(text, start):
        if found.lastgroup != "mark":
            continue
        mark = found.group()
        if mark in "({":
            opened.append(found)
        elif mark == ";":
            if not opened:
                return found.end()
        elif mark in ")}":
            if not opened and mark == "}":
                raise _error(text, _blank_end(text, start), 'this statement does not end with ";"')
            if not opened:
                raise _error(text, found.start(), 'there is no "(" for this ")"')
            before = opened.pop()
            if before.group() + mark not in ("()", "{}"):
                raise _error(text, before.start(), 'this "%s" is not closed' % before.group())
            if mark == "}" and not opened and not _ELSE.match(text, found.end()):
                return found.end()
    if opened:
        raise _error(text, opened[-1].start(), 'this "%s" is not closed' % opened[-1].group())
    raise _error(text, _blank_end(text, start), 'this statement does not end with ";"')


def _tokens(text: str, start: int) -> t.Iterator[t.Match[str]]:
    for found in _TOKEN.finditer(text, start):
        if found.lastgroup == "open":
            raise _error(text, found.start(), "this string never ends")
        yield found


def _blank_end(text: str, place: int) -> int:
    return t.cast("t.Match[str]", _BLANK.match(text, place)).end()


def _junk(text: str, place: int) -> ScriptError:
    found = t.cast("t.Match[str]", _TOKEN.match(text, place))
    if found.lastgroup == "open":
        return _error(text, place, "this string never ends")
    if found.group() == "}":
        return _error(text, place, 'there is no "{" for this "}"')
    if found.group().lower() in ("event", "method"):
        return _error(text, place, 'a name and a "{" must follow "%s"' % found.group())
    return _error(text, place, "only events and methods can stand here")


def _error(text: str, offset: int, reason: str) -> ScriptError:
    return ScriptError(*position(text, offset), reason)
