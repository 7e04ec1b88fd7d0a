# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations in the ``axigen.cfg`` syntax, as servers print them and as administrators cut them down."""

from __future__ import annotations

import time

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import config
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.config import ConfigError, parse
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.configuration_files import (
    CIPHERS,
    COMMENTED,
    FULL,
    FULL_LISTENER,
    SHORT,
)


def listeners(text):
    return parse(text)["server"]["smtpincoming"]["listeners"]


def plain(value):
    """The whole as dict, list and str."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()}


# --- three spellings of one section -------------------------------------------------------------


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        (SHORT, ["0.0.0.0:25"]),
        (COMMENTED, ["127.0.0.1:25", "0.0.0.0:587"]),
        (FULL, ["0.0.0.0:25", "0.0.0.0:587", "0.0.0.0:465"]),
    ],
    ids=["short", "commented", "full"],
)
def test_listeners_in_every_spelling(text, addresses, line_end):
    assert [listener["Address"] for listener in listeners(text.replace("\n", line_end))] == addresses


def test_short_file_says_nothing_about_tls():
    (listener,) = listeners(SHORT)
    assert plain(listener) == {"address": "0.0.0.0:25", "enable": "yes"}
    assert "sslControl" not in listener and listener.get("sslEnable") is None
    server = parse(SHORT)["Server"]
    assert server["services"] == ("log", "processing", "smtp", "cli", "webadmin")
    assert plain(server["smtpOutgoing"]) == {}
    assert plain(server["cli"]) == {"listeners": [{"address": "127.0.0.1:7000", "enable": "yes"}]}


def test_commented_file():
    server = parse(COMMENTED)["SERVER"]
    assert server["SERVERNAME"] == 'mx "one" # not a comment /* nor this */'
    assert server["scriptFilters"] == ()
    incoming = server["smtpIncoming"]
    assert (incoming["loglevel"], incoming["MAXERRORS"]) == ("15", "20")
    first, second = incoming["listeners"]
    assert first["sslcontrol"]["allowedVersions"] == ("ssl3", "tls1", "tls1_1", "tls1_2")
    assert first["sslcontrol"]["ciphersuite"] == "HIGH:!aNULL:!MD5"
    assert "preferServerCipherSuiteOrder" not in first["sslControl"]
    assert plain(second["sslControl"]) == {"allowedVersions": ["tls1_1", "tls1_2"], "certFile": "axigen_cert.pem"}


def test_full_file_with_an_attribute_that_nobody_knows():
    for listener, implicit in zip(listeners(FULL), ("no", "no", "yes")):
        assert listener["sslEnable"] == implicit
        assert listener["futureAttribute"] == ("a", "b")
        assert listener["listenerDomain"] == ""
        assert listener["allowRules"] == ()
        assert listener["sslControl"]["preferServerCipherSuiteOrder"] == "yes"
        assert listener["sslControl"]["cipherSuite"] == CIPHERS


# --- the syntax ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\ufeff# only a comment", {}),
        ("/* a */ /** b **/ /*/ c */ /* * / */", {}),
        ("a = 1", {"a": "1"}),
        ("a=1 b =2\tc= 3", {"a": "1", "b": "2", "c": "3"}),
        ("a = Yes, b = No", {"a": "Yes", "b": "No"}),
        ('a = "x\\\\y\\"z\\n"', {"a": 'x\\y"zn'}),
        ('a = "two\r\nlines"', {"a": "two\r\nlines"}),
        ('a="" b = ("" "x")', {"a": "", "b": ["", "x"]}),
        ('a = "/* b */ # c" d = e/*f*/g = h# i\n', {"a": "/* b */ # c", "d": "e", "g": "h"}),
        ("a = 10.0.0.0/8 b = /var/log/* c */ d = [::1]:25", {"a": "10.0.0.0/8", "b": "/var/log", "d": "[::1]:25"}),
        ("a = /", {"a": "/"}),
        ("a = b/c/d//e", {"a": "b/c/d//e"}),
        ("a { b { c = 1 } } d (1 2)", {"a": {"b": {"c": "1"}}, "d": ["1", "2"]}),
        ("a = (1, 2, 3,) b = ({c = 1}, {c = 2},),", {"a": ["1", "2", "3"], "b": [{"c": "1"}, {"c": "2"}]}),
        ("a = (()(x)({}))", {"a": [[], ["x"], [{}]]}),
        ("a{}b()", {"a": {}, "b": []}),
    ],
)
def test_syntax(text, expected):
    assert plain(parse(text)) == expected


def test_bytes_that_are_no_utf8_pass_through():
    raw = b'a = "f\xfcr" b = \xe4'
    parsed = parse(raw.decode("utf-8", "surrogateescape"))
    assert parsed["a"].encode("utf-8", "surrogateescape") == b"f\xfcr"
    assert parsed["b"].encode("utf-8", "surrogateescape") == b"\xe4"


def test_names_in_any_case_and_the_last_of_two():
    parsed = parse("One = a ONE = b")
    assert (parsed["one"], parsed.get("oNe"), "onE" in parsed, len(parsed)) == ("b", "b", True, 1)
    assert list(parsed) == ["One"]
    with pytest.raises(KeyError):
        parsed["two"]


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("Server {\n  a = 1\n", 1, 8, 'this "{" is never closed'),
        ("Server {\n  a = (1\n", 2, 7, 'this "(" is never closed'),
        ("Server {\n  a = (1 }\n}", 2, 10, 'a value must stand here, not "}"'),
        ("Server {\r\n  a =\r\n}", 3, 1, 'a value must stand here, not "}"'),
        ("Server {\n}\n}", 3, 1, 'the name of an attribute must stand here, not "}"'),
        ("Server {\n  a b = c\n}", 2, 5, '"=" must follow the name of an attribute, not a word'),
        ('Server {\n  a "b"\n}', 2, 5, "not a string"),
        ('Server {\n  "a" = b\n}', 2, 3, "must stand here, not a string"),
        ('a = "x\n\ny', 1, 5, "this string never ends"),
        ('a = "x\\"', 1, 5, "this string never ends"),
        ("a = 1\n /* x * /", 2, 2, "this comment never ends"),
        ("a = 1 /*/", 1, 7, "this comment never ends"),
        ("a", 1, 2, "not the end"),
        ("a =", 1, 4, "not the end"),
        ("a = ,", 1, 5, 'not ","'),
        ("a = (1,,2)", 1, 8, 'not ","'),
        ("a = = b", 1, 5, 'not "="'),
        (")", 1, 1, 'not ")"'),
    ],
)
def test_refused_with_line_and_column(text, line, column, reason):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert reason in caught.value.reason
    assert str(caught.value) == "line %d, column %d: %s" % (line, column, caught.value.reason)


def test_errors_show_no_content():
    with pytest.raises(ConfigError) as caught:
        parse('cli = { password "s3cret-text" }')
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        parse("password s3cret-text")
    assert "s3cret" not in str(caught.value)


def test_depth_is_limited():
    def deep(levels):
        return "a =" + levels * "(" + levels * ")"

    assert parse(deep(config.MAX_DEPTH))
    with pytest.raises(ConfigError, match="nested deeper"):
        parse(deep(config.MAX_DEPTH + 1))


# --- size ---------------------------------------------------------------------------------------


def test_many_listeners():
    text = FULL.replace(FULL_LISTENER % ("0.0.0.0:25", "no"), 5000 * (FULL_LISTENER % ("0.0.0.0:25", "no")))
    start = time.process_time()
    found = listeners(text)
    # Measured 0.7 s for 5 MB.
    assert time.process_time() - start < 8
    assert len(found) == 5002


@pytest.mark.parametrize(
    "piece", ['"\\', "\\x", "/*", "* /", "/", "#", "# \n", "(", "a = ", "a = {", ",", "a", " ", "()", "=\r"]
)
@pytest.mark.parametrize("start", ["", 'a = "', "a = /*", "a = (", "a = b/"])
def test_cost_grows_with_size_and_not_faster(start, piece):
    def seconds(count):
        text = start + piece * count
        begin = time.process_time()
        try:
            parse(text)
        except ConfigError:
            pass
        return time.process_time() - begin

    def best(count):
        return min(seconds(count) for _try in range(3))

    # A quadratic cost would be 64 times as high; 0.02 s hides what cannot be measured.
    assert best(32000) < 24 * max(best(4000), 0.02 / 8)
