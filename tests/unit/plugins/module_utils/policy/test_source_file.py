# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of domains in files, as other programs leave them."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import source_file
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError


def read(octets: bytes, **more):
    return source_file.entries(source_file.text_of(octets, "source /l"), "source /l", **more)


@pytest.mark.parametrize(
    "octets",
    [
        b"a.test\n\n  # comment\nb.test # why\n",
        b"a.test\r\n\r\n\t#\r\nb.test\r\n",
        b"\xef\xbb\xbfa.test\r\r# c\r  b.test\t",
        b"a.test\n\n\nb.test#\n\n\n",
    ],
)
def test_what_editors_and_programs_write_is_the_same_list_with_the_same_lines(octets):
    assert read(octets) == [(1, "a.test"), (4, "b.test")]


def test_letters_beyond_ascii_and_line_ends_that_are_none():
    octets = "b\u00fccher.test\na\u2028b.test\nc\x0cd.test\n".encode()
    assert read(octets) == [(1, "b\u00fccher.test"), (2, "a\u2028b.test"), (3, "c\x0cd.test")]


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"a.test\nb\xfccher.test\n", "source /l line 2 is not in UTF-8: it holds the octet 0xfc; save"),
        ("a.test\n".encode("utf-16"), "source /l is in UTF-16; save it as UTF-8"),
        (b"# nothing\n\n", "source /l holds no domain; write one on each line, or say allow_unsafe: true"),
        (b"", "source /l holds no domain"),
        (b"a" * (source_file.SIZE_LIMIT + 1), "source /l is longer than 64 MB; is it a list of domains"),
    ],
)
def test_what_is_no_list(octets, said):
    with pytest.raises(PolicyError) as caught:
        read(octets)
    assert str(caught.value).startswith(said)


def test_an_empty_list_that_is_meant():
    assert read(b"# nobody\n", may_be_empty=True) == []
