# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reply code with an enhanced one at the beginning of an explanation, as in ``530 5.7.0 Log in first``.

The bundled MTA answers with these codes when they fit what the rule does; for every other server they are text.
"""

from __future__ import annotations

import re
import typing as t

from .errors import PolicyError, shown

#: What looks like codes: RFC 5321 section 4.2 and RFC 3463 section 2, whatever they mean.
_CODES = re.compile(r"([0-9]{3})[ -]([0-9]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|\Z)")

#: A refusal that the bundled MTA answers with as it is said: 4yz or 5yz, both codes of one class.
_REFUSAL = re.compile(r"([45])[0-5][0-9][ -]\1\.")

#: What a rule does with mail -> the class of its codes (RFC 5321 section 4.2.1).
CLASSES = {"reject": "5", "tmpreject": "4"}


def split(explanation: str) -> t.Tuple[t.Optional[int], str]:
    """The reply code that an explanation begins with, and the text behind the codes; (None, all of it) without any."""
    found = _CODES.match(explanation)
    if found is None or not _REFUSAL.match(explanation):
        return None, explanation
    return int(found.group(1)), explanation[found.end() :]


def check(explanation: str, action: t.Optional[str], option: str) -> None:
    """Refuse codes that do not fit what the rule does; ``action`` None: that is said elsewhere.

    Raises :class:`PolicyError`.
    """
    found = _CODES.match(explanation)
    if found is None or action == "accept":
        return
    wanted = CLASSES.get(action or "")
    if _REFUSAL.match(explanation) and wanted in (None, explanation[0]):
        return
    example = {"5": "530 5.7.0", "4": "451 4.7.1"}.get(wanted or "", "530 5.7.0 or 451 4.7.1")
    does = "%s takes codes like %s" % (action, example) if wanted else "a refusal has codes like %s" % example
    raise PolicyError(
        "%s begins with the reply code %s, which does not fit: %s; say a fitting one, or begin with a word"
        % (option, shown(found.group().strip()), does)
    )


def says(code: int, text: str, explanation: str) -> bool:
    """Whether a reply (its code, and its text without an enhanced code) is a refusal with this explanation.

    Codes in the explanation are those of the reply, or text, as the server takes them. Some servers say words of their own
    in front of it.
    """
    said, rest = split(explanation)
    return text.endswith(explanation) or (said is not None and code == said and text.endswith(rest))
