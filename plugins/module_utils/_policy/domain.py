# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domain names of mail, each in one canonical spelling: lower case A-labels without a final dot.

Names with umlauts become A-labels by IDNA 2008 (RFC 5890 to 5893): a sharp s stays a letter of its own,
which is another domain than the ``ss`` of the old mapping. Before that the mapping of RFC 5895 is
applied (lower case, width, composed form, ideographic full stop). Two decisions of our own:

* Labels that are A-labels already only have to decode to something stable: what a registry registered is
  compared, not judged.
* ``.example.com`` and ``*.example.com`` mean the subdomains only and are written with the dot.

Almost every name of a long list is plain already; one look with a regular expression tells that.
"""

from __future__ import annotations

import re
import typing as t
import unicodedata

from .errors import PolicyError, arrived, listed, shown

#: RFC 1035 section 2.3.4, in octets; 253 is what 255 octets on the wire leave for the text.
LABEL_LENGTH = 63
NAME_LENGTH = 253

_EXAMPLE = '"example.com"'
_ASCII_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

#: A number that YAML made of a name without quotes.
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")

#: What every check below would let through as it is, where no two hyphens stand together. The last label begins with
#: a letter, so that it is no number.
_PLAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")

#: Categories that RFC 5892 section 2.1 calls LetterDigits, without upper case.
_LETTER_DIGITS = frozenset(("Ll", "Lo", "Lm", "Mn", "Mc", "Nd"))

#: RFC 5892 section 2.6: valid although their category or their folding says otherwise, and the reverse.
_EXCEPTIONS_VALID = frozenset("\u00df\u03c2\u06fd\u06fe\u0f0b\u3007")
_EXCEPTIONS_INVALID = frozenset("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b")

#: RFC 5892 sections 2.3, 2.4 and 2.9 as far as their categories are letters or marks: ignorable code points,
#: blocks of marks for symbols and music, and the parts of old Hangul.
_IGNORABLE = (
    (0x034F, 0x034F),
    (0x1100, 0x11FF),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x20D0, 0x20FF),
    (0xA960, 0xA97F),
    (0xD7B0, 0xD7FF),
    (0xFE00, 0xFE0F),
    (0x1D100, 0x1D24F),
    (0xE0100, 0xE01EF),
)

_ZERO_WIDTH_NON_JOINER = "\u200c"
_ZERO_WIDTH_JOINER = "\u200d"
_JOINERS = (_ZERO_WIDTH_NON_JOINER, _ZERO_WIDTH_JOINER)
_VIRAMA = 9  # canonical combining class


class _Refusal(Exception):
    """Why a text is not a domain; becomes a :class:`PolicyError` with option and value."""


def domain_name(value: t.Any, option: str = "domain", every: bool = False) -> str:
    """The canonical form of one domain; subdomains only are written ``.example.com``.

    A leading ``@`` is taken off. Raises :class:`PolicyError` for everything that is not one domain: numbers,
    mail addresses, address literals, bad labels, and ``*`` alone, which is every domain, unless ``every`` allows it.
    """
    if not isinstance(value, str):
        raise PolicyError("%s must be a domain name like %s; got %s" % (option, _EXAMPLE, arrived(value)))
    text = value.strip()
    if every and text == "*":
        return text
    if _NUMBER.fullmatch(text):
        raise PolicyError("%s must be a domain name like %s; got the number %s" % (option, _EXAMPLE, text[:20]))
    try:
        return _canonical(text)
    except _Refusal as refusal:
        raise PolicyError(
            "%s must be a domain name like %s; got %s: %s" % (option, _EXAMPLE, shown(value), refusal)
        ) from None


def domain_names(values: t.Any, option: str = "domains") -> t.Tuple[t.Tuple[str, ...], t.List[str]]:
    """All domains of a list in canonical form, sorted, equal ones merged; and notices about what was tidied.

    Empty entries are skipped. Raises one :class:`PolicyError` that names every bad entry by position.
    """
    found: t.Set[str] = set()
    notices: t.List[str] = []
    bad: t.List[str] = []
    for position, value in enumerate(listed(values, option, '["example.com"]'), 1):
        if isinstance(value, str) and not value.strip():
            continue
        try:
            domain = domain_name(value, "%s #%d" % (option, position))
        except PolicyError as error:
            bad += error.problems
            continue
        found.add(domain)
        notices += notice(value, domain, "%s #%d" % (option, position))
    if bad:
        raise PolicyError(*bad)
    return tuple(sorted(found)), notices


def notice(value: str, domain: str, option: str) -> t.List[str]:
    """What a person should know about how one value was read: at most one sentence."""
    if value.strip().startswith("@"):
        return ["%s: %s was read as the domain %s, without the @" % (option, shown(value.strip()), domain)]
    return []


# --- one name -----------------------------------------------------------------------------------


def readable(domain: str) -> str:
    """A canonical domain with the letters of its A-labels (RFC 5891), as SMTPUTF8 clients write it."""
    labels = (label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label for label in domain.split("."))
    return ".".join(labels)


def _canonical(text: str) -> str:
    if not text:
        raise _Refusal("it is empty")
    if text == "*":
        raise _Refusal("every domain cannot be meant here, name the domains")
    if text.startswith("@"):
        text = text[1:]
    subdomains = text.startswith(("*.", "."))
    if subdomains:
        text = text[1:] if text.startswith(".") else text[2:]
    plain = text.lower() if text.isascii() else ""
    if len(plain) <= NAME_LENGTH and "--" not in plain and _PLAIN.fullmatch(plain):
        return "." + plain if subdomains else plain
    _refuse_other_things(text)
    labels = _mapped(text).split(".")
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    name = ".".join(_label(label) for label in labels)
    _refuse_numbers(name)
    if len(name) > NAME_LENGTH:
        raise _Refusal("the name has more than %d octets" % NAME_LENGTH)
    return "." + name if subdomains else name


def _refuse_other_things(text: str) -> None:
    """What people write instead of a domain, each with its own advice."""
    if "@" in text:
        raise _Refusal("this is a mail address, write the part behind the @")
    if text.startswith("[") or ":" in text:
        raise _Refusal("an address literal or a port is no domain")
    if "*" in text:
        raise _Refusal('a wildcard stands at the beginning only, like "*.example.com"')
    if any(character.isspace() for character in text):
        raise _Refusal("there are blanks inside")
    if "/" in text:
        raise _Refusal("this is a path or an URL")
    for character in text:
        if not character.isprintable() and character not in _JOINERS:
            raise _Refusal("it holds the invisible character U+%04X" % ord(character))


def _refuse_numbers(name: str) -> None:
    """No top-level domain is a number (RFC 3696 section 2); IPv4 addresses and YAML's numbers end here."""
    if name.rpartition(".")[2].isdigit():
        raise _Refusal("the last part is a number, as in an IP address")


def _mapped(text: str) -> str:
    """RFC 5895 section 2: lower case, width, composed form, and the ideographic full stop as a dot."""
    if text.isascii():
        return text.lower()
    narrowed = "".join(
        (
            unicodedata.normalize("NFKC", character)
            if unicodedata.decomposition(character).startswith(("<wide>", "<narrow>"))
            else character
        )
        for character in text.lower()
    )
    return unicodedata.normalize("NFC", narrowed.replace("\u3002", "."))


def _label(label: str) -> str:
    """One label as an A-label or as plain ASCII."""
    if label.isascii():
        return _ascii_label(label)
    _check_unicode_label(label)
    encoded = "xn--" + label.encode("punycode").decode("ascii")
    if len(encoded) > LABEL_LENGTH:
        raise _Refusal("the label %s has more than %d octets as %s..." % (shown(label), LABEL_LENGTH, encoded[:16]))
    return encoded


def _ascii_label(label: str) -> str:
    if not label:
        raise _Refusal("there is an empty label")
    if len(label) > LABEL_LENGTH:
        raise _Refusal("a label has more than %d octets" % LABEL_LENGTH)
    if label.startswith("-") or label.endswith("-"):
        raise _Refusal("the label %s begins or ends with a hyphen" % shown(label))
    if not _ASCII_LABEL.fullmatch(label):
        bad = sorted(set(re.sub(r"[a-z0-9-]", "", label)))
        raise _Refusal("the label %s holds %s" % (shown(label), " ".join(shown(character) for character in bad)))
    if label.startswith("xn--"):
        _check_a_label(label)
    elif label[2:4] == "--":
        raise _Refusal("the label %s has hyphens in third and fourth place" % shown(label))
    return label


def _check_a_label(label: str) -> None:
    """An A-label must decode to a stable form and come back the same (RFC 5891 section 5.4)."""
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        again = "xn--" + decoded.encode("punycode").decode("ascii")
    except (UnicodeError, ValueError, OverflowError):
        decoded, again = "", ""
    stable = decoded == unicodedata.normalize("NFC", decoded.lower())
    printable = all(character.isprintable() or character in _JOINERS for character in decoded)
    if again != label or decoded.isascii() or not stable or not printable:
        raise _Refusal("the label %s does not decode (punycode)" % shown(label))


# --- IDNA 2008 ----------------------------------------------------------------------------------


def _check_unicode_label(label: str) -> None:
    """RFC 5891 section 4.2 for a label with letters beyond ASCII."""
    if label.startswith("-") or label.endswith("-"):
        raise _Refusal("the label %s begins or ends with a hyphen" % shown(label))
    if label[2:4] == "--":
        raise _Refusal("the label %s has hyphens in third and fourth place" % shown(label))
    if unicodedata.category(label[0]).startswith("M"):
        raise _Refusal("the label %s begins with a combining mark" % shown(label))
    for index, character in enumerate(label):
        if not _is_valid(character) and not _is_valid_in_context(label, index):
            raise _Refusal(
                "the label %s holds %s (U+%04X), which domain names do not have (IDNA 2008)"
                % (shown(label), shown(character), ord(character))
            )
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in label):
        _check_bidi(label)


def _is_valid(character: str) -> bool:
    """Whether a code point is PVALID (RFC 5892 section 3)."""
    if character in _EXCEPTIONS_VALID or character == "-":
        return True
    if character in _EXCEPTIONS_INVALID or character in _CONTEXT_RULES:
        return False
    if unicodedata.category(character) not in _LETTER_DIGITS:
        return False
    if any(first <= ord(character) <= last for first, last in _IGNORABLE):
        return False
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())
    return folded == character


def _is_valid_in_context(label: str, index: int) -> bool:
    """Whether a code point is allowed by a context rule (RFC 5892 appendix A)."""
    rule = _CONTEXT_RULES.get(label[index])
    return rule is not None and rule(label, index)


def _script_of(character: str) -> str:
    return unicodedata.name(character, "").split(" ", 1)[0]


def _joiner(label: str, index: int) -> bool:
    return index > 0 and unicodedata.combining(label[index - 1]) == _VIRAMA


def _middle_dot(label: str, index: int) -> bool:
    return 0 < index < len(label) - 1 and label[index - 1] == "l" and label[index + 1] == "l"


def _greek_keraia(label: str, index: int) -> bool:
    return index + 1 < len(label) and _script_of(label[index + 1]) == "GREEK"


def _hebrew_geresh(label: str, index: int) -> bool:
    return index > 0 and _script_of(label[index - 1]) == "HEBREW"


def _katakana_middle_dot(label: str, _index: int) -> bool:
    return any(_script_of(character) in ("HIRAGANA", "KATAKANA", "CJK") for character in label if character != "\u30fb")


def _no_extended_digits(label: str, _index: int) -> bool:
    return not any("\u06f0" <= character <= "\u06f9" for character in label)


def _no_arabic_digits(label: str, _index: int) -> bool:
    return not any("\u0660" <= character <= "\u0669" for character in label)


#: Code point -> rule. The rule for the zero width non-joiner between joining letters is left out: the
#: joining types it needs are not in the standard library; such a name can be given as its A-label.
_CONTEXT_RULES: t.Dict[str, t.Callable[[str, int], bool]] = {
    _ZERO_WIDTH_NON_JOINER: _joiner,
    _ZERO_WIDTH_JOINER: _joiner,
    "\u00b7": _middle_dot,
    "\u0375": _greek_keraia,
    "\u05f3": _hebrew_geresh,
    "\u05f4": _hebrew_geresh,
    "\u30fb": _katakana_middle_dot,
}
_CONTEXT_RULES.update({chr(digit): _no_extended_digits for digit in range(0x0660, 0x066A)})
_CONTEXT_RULES.update({chr(digit): _no_arabic_digits for digit in range(0x06F0, 0x06FA)})


def _check_bidi(label: str) -> None:
    """RFC 5893 section 2, for labels with right-to-left letters."""
    kinds = [unicodedata.bidirectional(character) for character in label]
    letters = [kind for kind in kinds if kind != "NSM"]
    right_to_left = kinds[0] in ("R", "AL")
    if right_to_left:
        allowed = {"R", "AL", "AN", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"}
        ends = {"R", "AL", "EN", "AN"}
    else:
        allowed = {"L", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"}
        ends = {"L", "EN"}
    well_begun = right_to_left or kinds[0] == "L"
    mixed_digits = "EN" in kinds and "AN" in kinds
    if not well_begun or not set(kinds) <= allowed or letters[-1] not in ends or mixed_digits:
        raise _Refusal("the label %s mixes directions of writing in a way that domain names may not" % shown(label))
