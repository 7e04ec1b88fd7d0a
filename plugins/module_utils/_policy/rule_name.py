# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and explanations of rules."""

from __future__ import annotations

import hashlib
import re
import typing as t

from .errors import PolicyError, arrived, shown

#: Longest name of a rule, in characters.
NAME_LENGTH = 64

#: Longest explanation, in characters: with its codes it must fit a reply line (RFC 5321 section 4.5.3.1.5).
MESSAGE_LENGTH = 400

#: Words of the policy script, in any case; whether a method may be called like one is the server's secret.
_SCRIPT_WORDS = frozenset(("if", "set", "call", "event", "method", "allof", "anyof"))

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DOMAIN_PREFIX = "allow_only_tls_for_"
_EXCEPTION_PREFIX = "tls_exception_for_"
_HASH_LENGTH = 8

#: What a rule for every domain, and one for a group of them, is called behind the prefix.
_EVERY_DOMAIN, _GROUP = "every_domain", "domains"

#: The end of a name that would read like a hash, and letters that names of rules do not have.
_LIKE_A_HASH = re.compile(r"_[0-9a-f]{8}\Z")
_OTHER_LETTERS = re.compile(r"[^a-z0-9]")

#: What stands behind the name of a domain's outbound rule, so that both directions can have one.
OUTBOUND_SUFFIX = "_outbound"


def rule_name(value: t.Any, option: str = "name") -> str:
    """The name of an administrator's rule: a letter, then letters, digits and underscores, 64 at most.

    Names that begin with ``WA_`` belong to the server's own administration pages. Raises :class:`PolicyError`.
    """
    if not isinstance(value, str):
        raise PolicyError("%s must be a name like disableAUTH_on_non_SSL; got %s" % (option, arrived(value)))
    name = value.strip(" \t")
    if not _IDENTIFIER.fullmatch(name):
        raise PolicyError(
            "%s must be a letter followed by letters, digits and underscores; got %s" % (option, shown(value))
        )
    if len(name) > NAME_LENGTH:
        raise PolicyError("%s must have %d characters at most; got %d" % (option, NAME_LENGTH, len(name)))
    if name.lower() in _SCRIPT_WORDS:
        raise PolicyError("%s %s is a word of the policy script; choose another name" % (option, shown(name)))
    if is_reserved(name):
        raise PolicyError("%s %s belongs to the server (WA_...); choose another name" % (option, shown(name)))
    return name


def is_reserved(name: str) -> bool:
    """Whether a name belongs to the server's own administration pages."""
    return name[:3].upper() == "WA_"


def forced_domain_rule_name(domain: str, direction: str = "inbound", exception: bool = False) -> str:
    """The name of the rule for a canonical domain: ``allow_only_tls_for_mydomain_com``, outbound with ``_outbound``.

    That of an exception begins with ``tls_exception_for_``; ``*`` is ``every_domain``. Where letters are lost (a
    hyphen, a leading dot, a name too long) or the name would read like another one, eight digits of a hash keep two
    domains apart.
    """
    prefix = _EXCEPTION_PREFIX if exception else _DOMAIN_PREFIX
    suffix = OUTBOUND_SUFFIX if direction == "outbound" else ""
    if domain == "*":
        return prefix + _EVERY_DOMAIN + suffix
    length = NAME_LENGTH - len(_DOMAIN_PREFIX) - len(suffix)
    readable = _OTHER_LETTERS.sub("_", domain.lstrip("."))
    plain = readable == domain.replace(".", "_") and not _is_mistakable(readable)
    if not plain or len(readable) > length:
        digest = hashlib.sha256(domain.encode("utf-8")).hexdigest()[:_HASH_LENGTH]
        readable = "%s_%s" % (readable[: length - _HASH_LENGTH - 1].rstrip("_"), digest)
    return prefix + readable + suffix


def is_domain_rule_name(name: str) -> bool:
    """Whether a name looks like one of :func:`forced_domain_rule_name`."""
    return name.lower().startswith((_DOMAIN_PREFIX, _EXCEPTION_PREFIX))


def _is_mistakable(readable: str) -> bool:
    """Whether the name of a domain would read like another one: of a direction, with a hash, for many domains."""
    if readable in (_EVERY_DOMAIN, _GROUP) or readable.endswith(OUTBOUND_SUFFIX):
        return True
    return _LIKE_A_HASH.search(readable, max(0, len(readable) - _HASH_LENGTH - 1)) is not None


def group_names(direction: str, settings: str) -> t.Iterator[str]:
    """Names for a rule about many domains, the first choice first; ``settings`` tells it from others of its kind."""
    suffix = OUTBOUND_SUFFIX if direction == "outbound" else ""
    yield _DOMAIN_PREFIX + _GROUP + suffix
    number = 0
    while True:
        digest = hashlib.sha256(("%s/%d" % (settings, number)).encode("utf-8")).hexdigest()[:_HASH_LENGTH]
        yield "%s%s_%s%s" % (_DOMAIN_PREFIX, _GROUP, digest, suffix)
        number += 1


def names_a_group(name: str) -> bool:
    """Whether a name is one of :func:`group_names`."""
    return re.fullmatch(r"(?i)%s%s(_[0-9a-f]{8})?(_outbound)?" % (_DOMAIN_PREFIX, _GROUP), name) is not None


def outbound_name(name: str, option: str = "name") -> str:
    """The name of the outbound one of two rules for one domain, when somebody chose a name for both.

    Raises :class:`PolicyError` when it is too long.
    """
    if len(name) + len(OUTBOUND_SUFFIX) > NAME_LENGTH:
        raise PolicyError(
            "%s must have %d characters at most when it is for both directions, because the outbound rule is called "
            "%s...%s; got %d"
            % (option, NAME_LENGTH - len(OUTBOUND_SUFFIX), name[:8], OUTBOUND_SUFFIX, len(name))
        )
    return name + OUTBOUND_SUFFIX


def default_reject_message(domain: str) -> str:
    """What a peer is told when nobody said anything else, for a canonical domain or ``*``."""
    if domain == "*":
        return "Accepting only secure delivery (STARTTLS)"
    name = "subdomains of %s" % domain[1:] if domain.startswith(".") else domain
    return "Accepting only secure delivery (STARTTLS) for %s" % name


def reject_message(value: t.Any, option: str = "reject_message") -> str:
    """An explanation that can stand in a policy script and in an SMTP reply (RFC 5321: printable ASCII).

    Raises :class:`PolicyError`.
    """
    text = plain_text(value, option)
    if not text:
        raise PolicyError("%s must not be empty" % option)
    if text[0].isdigit():
        from . import reply_code

        reply_code.check(text, "reject", option)
    if len(text) > MESSAGE_LENGTH:
        raise PolicyError("%s must have %d characters at most; got %d" % (option, MESSAGE_LENGTH, len(text)))
    return text


def plain_text(value: t.Any, option: str) -> str:
    """A text that a policy script can hold as it is, without blanks around it; it may be empty.

    ``%`` would be replaced by the server, a double quote or a backslash would end or change the text. Raises
    :class:`PolicyError`.
    """
    if not isinstance(value, str):
        raise PolicyError("%s must be a text; got %s" % (option, arrived(value)))
    text = value.strip(" \t")
    bad = sorted({character for character in text if not " " <= character <= "~" or character in '"%\\'})
    if bad:
        raise PolicyError(
            "%s must be printable ASCII on one line, without double quotes, percent signs and backslashes; "
            "it holds %s" % (option, ", ".join(_named(character) for character in bad[:5]))
        )
    return text


def _named(character: str) -> str:
    names = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL", "\t": "a tab", '"': "a double quote"}
    names.update({"%": "a percent sign", "\\": "a backslash"})
    return names.get(character) or shown(character)
