# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of strangers made safe to look at: what cannot be seen, or changes how its neighbours are seen, becomes visible.

Banners and certificates say what their owners like. Control characters break terminals and XML, bidirectional
controls turn a line around (Unicode Technical Report 36), zero-width ones hide, stacked accents cover other lines.
"""

from __future__ import annotations

import re
import typing as t
import unicodedata

#: Longer text is cut: a certificate may have a name of 20 kB, and nobody reads that in a table.
MAX_LENGTH = 600

#: Accents on one letter that real writing has; Vietnamese needs two, three are seen in old texts.
_MAX_MARKS = 3

#: Control, format (bidirectional and zero-width ones), surrogate, private, unassigned; line and paragraph separators.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_MARKS = frozenset(("Mn", "Me"))
_PLAIN = re.compile(r"[ -~\xa1-\xac\xae-\u02ff]*\Z")


def visible(text: t.Any, limit: int = MAX_LENGTH) -> str:
    """Text in which every character can be seen, at most ``limit`` characters of the original.

    What cannot be seen becomes ``‹U+202E›``, which every font has. The result is valid in XML 1.0 and in UTF-8.
    """
    text = text if isinstance(text, str) else str(text)
    cut = "" if len(text) <= limit else "… (%d)" % len(text)
    text = text[:limit]
    if _PLAIN.match(text):
        return text + cut
    shown: t.List[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in _MARKS else 0
        if category in _HIDDEN or marks > _MAX_MARKS:
            shown.append(_picture(ord(char)))
        else:
            shown.append(char)
    return "".join(shown) + cut


def _picture(code: int) -> str:
    # Few fonts have the pictures of control characters (U+2400 block), and nobody hears what they are.
    return "\u2039U+%04X\u203a" % code
