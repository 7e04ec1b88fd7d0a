# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions of the policy script: tests of one variable against a text, alone and together.

A test of a variable that was never set is false. Domain names are compared as A-labels.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from .domain import domain_name
from .errors import PolicyError
from .variables import ADDRESSES, DOMAINS, Variables

Check = Callable[[Variables], bool]

_REFERENCE = re.compile(r"%([A-Za-z][A-Za-z0-9_]*)%")


class Text:
    """A text as it stands in the script. ``variable`` makes a variable's canonical name of its name there."""

    __slots__ = ("value", "has_references", "_variable")

    def __init__(self, value: str, variable: Callable[[str], str]) -> None:
        self.value = value
        self.has_references = has_references(value)
        self._variable = variable

    def filled(self, variables: Variables) -> str:
        """``%name%`` replaced by the variable's value, once: what a value holds is never replaced again."""
        return _REFERENCE.sub(lambda found: variables.text(self._variable(found.group(1))), self.value)


def has_references(value: str) -> bool:
    """Whether a text depends on variables."""
    return "%" in value and _REFERENCE.search(value) is not None


def folded(variable: str, value: str) -> str:
    """A text as the values of ``variable`` are compared with it. Raises ValueError for what is no domain name."""
    if variable in DOMAINS:
        return _domain(value)
    return value.lower() if value.isascii() or variable not in ADDRESSES else _address(value)


def _address(value: str) -> str:
    """An address beyond ASCII as variables hold it: composed (RFC 6532 section 3.1), and its domain in A-labels."""
    local, at, domain = value.rpartition("@")
    try:
        return f"{unicodedata.normalize('NFC', local).lower()}{at}{_domain(domain)}"
    except ValueError:
        # It is no address, and no address is the same.
        return unicodedata.normalize("NFC", value).lower()


def _domain(value: str) -> str:
    """A domain name as variables hold it. Raises ValueError."""
    value = value.strip().rstrip(".")
    if value.isascii():
        return value.lower()
    try:
        # IDNA 2008 as for addresses in MAIL and RCPT: what a rule names is what arrives.
        return domain_name(value)
    except PolicyError:
        raise ValueError(f"{value!r} is no domain name") from None


def parent_domain(value: str) -> str:
    """The domain of ``isSubdomainOf``. Raises ValueError."""
    parent = _domain(value)
    if not parent or parent.startswith("."):
        raise ValueError(f"{value!r} is no domain name (it stands without a dot in front)")
    return parent


def parents(name: str) -> Iterable[str]:
    """All domains below which a name stands, the longest first."""
    name = name.lower().rstrip(".")
    dot = name.find(".")
    while dot >= 0:
        yield name[dot + 1 :]
        dot = name.find(".", dot + 1)


# --- together -------------------------------------------------------------------------------------


def together(match: str, checks: Sequence[Check]) -> Check:
    """The tests of one ``if``: ``all`` of them, or ``any``."""
    if len(checks) == 1:
        return checks[0]
    if match == "any":
        return lambda variables: any(check(variables) for check in checks)
    return lambda variables: all(check(variables) for check in checks)


def one_of(variable: str, values: Iterable[str], above: Iterable[str]) -> Check:
    """``isCase`` with any of ``values``, or ``isSubdomainOf`` any of ``above``, at the cost of one; all are folded."""
    same, higher = frozenset(values), frozenset(above)

    def check(variables: Variables) -> bool:
        found = variables.get(variable)
        if found is None:
            return False
        return found.lower() in same or (bool(higher) and any(parent in higher for parent in parents(found)))

    return check


# --- tests ----------------------------------------------------------------------------------------


def _compared(variable: str, text: Text, compare: Callable[[str, str], bool], fold: bool) -> Check:
    if text.has_references:

        def check_filled(variables: Variables) -> bool:
            found = variables.get(variable)
            wanted = text.filled(variables)
            return found is not None and compare(found, wanted.lower() if fold else wanted)

        return check_filled
    wanted = folded(variable, text.value) if fold else text.value

    def check(variables: Variables) -> bool:
        found = variables.get(variable)
        return found is not None and compare(found, wanted)

    return check


def _is_case(variable: str, text: Text) -> Check:
    return _compared(variable, text, lambda found, wanted: found.lower() == wanted, fold=True)


def _is_subdomain_of(variable: str, text: Text) -> Check:
    """True below a domain, not at it. A text that is no domain name when it comes to run has nothing below it."""
    if text.has_references:

        def below_filled(variables: Variables) -> bool:
            found = variables.get(variable)
            try:
                parent = _domain(text.filled(variables))
            except ValueError:
                return False
            return found is not None and parent in parents(found)

        return below_filled
    return one_of(variable, (), (parent_domain(text.value),))


def _is(variable: str, text: Text) -> Check:
    def same(found: str, wanted: str) -> bool:
        # The dialect writes numbers in quotes too: "05" and "5" are the same number.
        numbers = _number(found), _number(wanted)
        return found == wanted if None in numbers else numbers[0] == numbers[1]

    return _compared(variable, text, same, fold=False)


def _greater_than(variable: str, text: Text) -> Check:
    def greater(found: str, wanted: str) -> bool:
        numbers = _number(found), _number(wanted)
        return None not in numbers and numbers[0] > numbers[1]

    return _compared(variable, text, greater, fold=False)


def _number(text: str) -> int | None:
    text = text.strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _ip_range(variable: str, text: Text) -> Check:
    ranges = [address_range(word) for word in text.value.replace(",", " ").split()]
    if not ranges:
        raise ValueError("no address range is given")

    def inside(variables: Variables) -> bool:
        try:
            address = ipaddress.ip_address(variables.get(variable, ""))
        except ValueError:
            return False
        return any(low.version == address.version and low <= address <= high for low, high in ranges)

    return inside


def address_range(text: str) -> tuple:
    """First and last address of ``a-b``, ``net/bits``, ``net/mask`` or one address. Raises ValueError."""
    if "-" in text:
        low, high = (ipaddress.ip_address(part.strip()) for part in text.split("-", 1))
        if low.version != high.version or low > high:
            raise ValueError(f"{text!r} is no address range")
        return low, high
    network = ipaddress.ip_network(text, strict=False)
    return network[0], network[-1]


#: The tests that there are, by their names in the dialect; each makes a check, and raises ValueError for a text that
#: it cannot compare with.
NAMES = {
    "isCase": _is_case, "is": _is, "greaterThan": _greater_than, "ipRange": _ip_range,
    "isSubdomainOf": _is_subdomain_of,
}  # fmt: skip
TESTS = {name.lower(): make for name, make in NAMES.items()}
EQUAL, BELOW = "iscase", "issubdomainof"
