# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS settings in canonical form: modes, protocol versions, cipher lists."""

from __future__ import annotations

import re
import typing as t

from .errors import PolicyError, Problems, arrived, listed, shown
from .policy import TLS_MODES

#: Protocol versions, oldest first.
VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

#: Versions that are never allowed, and the document that says so.
_FORBIDDEN = {"SSLv2": "RFC 6176", "SSLv3": "RFC 7568"}

#: Versions that are allowed when asked for, with a warning (RFC 8996).
_WITHDRAWN = ("TLSv1", "TLSv1.1")

_EXAMPLE = "[TLSv1.2, TLSv1.3]"
_SPELLING = re.compile(
    r"(?P<family>ssl|tls)[ _-]?v?[ _.-]?(?P<major>[0-9])(?:[._]?(?P<minor>[0-9]))?", re.IGNORECASE | re.ASCII
)
_BARE = re.compile(r"1\.(?P<minor>[0-9])")


# --- modes --------------------------------------------------------------------------------------


def tls_mode(value: t.Any, option: str = "tls") -> t.Optional[str]:
    """``none``, ``starttls`` or ``implicit``; None (not given) stays None.

    YAML reads ``no`` and ``off`` as False, which means ``none``; ``yes`` and ``on`` could mean either of the
    other two and are refused with :class:`PolicyError`.
    """
    if value is None:
        return None
    if value is False:
        return "none"
    if isinstance(value, str):
        word = value.strip(" \t").lower()
        if word in ("no", "off", "false"):
            return "none"
        if word in TLS_MODES:
            return word
    got = shown(value) if isinstance(value, str) else arrived(value)
    raise PolicyError('%s must be one of "none", "starttls", "implicit"; got %s' % (option, got))


# --- versions -----------------------------------------------------------------------------------


def tls_versions(values: t.Any, option: str = "versions") -> t.Tuple[str, ...]:
    """The set of versions, oldest first, equal ones merged.

    ``1.2`` as a number or a text, ``tls1_2``, ``TLSv1.2`` and ``tlsv1.2`` are the same. Raises :class:`PolicyError`
    for an empty set, an unknown version, SSLv2 and SSLv3, and a set with a gap: TLS libraries are told a lowest and
    a highest version, so that a gap would silently be lost.
    """
    if isinstance(values, float):
        values = [values]
    problems = Problems()
    found: t.Set[str] = set()
    for position, value in enumerate(listed(values, option, _EXAMPLE), 1):
        with problems.collecting("%s #%d: " % (option, position)):
            found.add(_version(value))
    problems.raise_any()
    if not found:
        raise PolicyError("%s must name at least one TLS version, like %s; the list is empty" % (option, _EXAMPLE))
    ordered = tuple(version for version in VERSIONS if version in found)
    between = VERSIONS[VERSIONS.index(ordered[0]) : VERSIONS.index(ordered[-1]) + 1]
    missing = [version for version in between if version not in found]
    if missing:
        raise PolicyError(
            "%s has a gap: %s without %s cannot be offered; add it, or take the other end away"
            % (option, " and ".join((ordered[0], ordered[-1])), " and ".join(missing))
        )
    return ordered


def withdrawn(versions: t.Iterable[str]) -> t.Tuple[str, ...]:
    """Those of the versions that RFC 8996 withdrew (TLS 1.0 and 1.1), oldest first."""
    given = frozenset(versions)
    return tuple(version for version in _WITHDRAWN if version in given)


def _version(value: t.Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise PolicyError("a TLS version is like TLSv1.2; got %s" % arrived(value))
    text = str(value).strip(" \t")
    version = _named_version(text)
    if version is None:
        raise PolicyError("%s is not a TLS version; known are %s" % (shown(text), ", ".join(VERSIONS[2:])))
    if version in _FORBIDDEN:
        raise PolicyError("%s is broken and must not be used (%s)" % (version, _FORBIDDEN[version]))
    return version


def _named_version(text: str) -> t.Optional[str]:
    bare = _BARE.fullmatch(text)
    if bare:
        family, major, minor = "tls", "1", bare.group("minor")
    else:
        named = _SPELLING.fullmatch(text)
        if named is None:
            return None
        family, major, minor = named.group("family").lower(), named.group("major"), named.group("minor") or "0"
    prefix = "SSL" if family == "ssl" else "TLS"
    version = "%sv%s" % (prefix, major) if minor == "0" else "%sv%s.%s" % (prefix, major, minor)
    return version if version in VERSIONS else None


# --- ciphers ------------------------------------------------------------------------------------


def cipher_list(value: t.Any, option: str = "ciphers") -> str:
    """An OpenSSL cipher list (for TLS 1.2 and older), as it was written.

    Raises :class:`PolicyError` when the OpenSSL of this host finds no suite in it, when it selects suites without
    encryption, and for quotes, backslashes and characters that are not printable ASCII.
    """
    if not isinstance(value, str):
        raise PolicyError('%s must be a cipher list like "ECDHE+AESGCM"; got %s' % (option, arrived(value)))
    text = value.strip(" \t")
    if not text:
        raise PolicyError('%s must be a cipher list like "ECDHE+AESGCM"; it is empty' % option)
    if not text.isascii() or not text.isprintable() or set(text) & set("\"'\\"):
        raise PolicyError("%s must be printable ASCII without quotes and backslashes; got %s" % (option, shown(text)))
    selected = _selected(text)
    if not selected:
        raise PolicyError("%s: %s selects no cipher suite%s" % (option, shown(text), _cipher_advice(text)))
    clear = sorted(suite["name"] for suite in selected if suite["strength_bits"] == 0)
    if clear:
        raise PolicyError(
            "%s: %s selects suites that do not encrypt (%s), add :!eNULL" % (option, shown(text), ", ".join(clear[:3]))
        )
    return text


class Suite(t.NamedTuple):
    """A cipher suite, the key it needs (``rsa``, ``ecdsa``, ``dss``, ``psk``, ``srp``; ``null``: none), is it DHE."""

    name: str
    authentication: str
    dhe: bool


def suites(value: str) -> t.Tuple[Suite, ...]:
    """The suites that a list selects on this host, in its order, without those of TLS 1.3, which no list restricts."""
    return tuple(
        Suite(suite["name"], suite["auth"].partition("-")[2], suite["kea"].startswith("kx-dhe"))
        for suite in _selected(value)
    )


def named_suites(value: str) -> t.Tuple[Suite, ...]:
    """Those suites that a list asks for by their full names, and not by a word that stands for many."""
    words = frozenset(re.split("[:, ]+", value))
    return tuple(suite for suite in suites(value) if suite.name in words)


def cipher_authentication(value: str) -> t.FrozenSet[str]:
    """The kinds of keys that the suites of a list need (see :class:`Suite`). Empty when the list selects nothing."""
    return frozenset(suite.authentication for suite in suites(value))


def uses_dhe(value: str) -> bool:
    """Whether a list has suites with ephemeral Diffie-Hellman over a prime field, which need a DH parameter file."""
    return any(suite.dhe for suite in suites(value))


def _selected(value: str) -> t.List[t.Dict[str, t.Any]]:
    """What the OpenSSL of this host makes of a list, without the suites of TLS 1.3."""
    # Here and not above: loading it takes as long as a session, and most tasks name no ciphers.
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(value)
    except (ssl.SSLError, ValueError):
        return []
    return [dict(suite) for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"]


def _cipher_advice(text: str) -> str:
    if text.upper().startswith("TLS_"):
        return "; the suites of TLS 1.3 are always on and cannot be chosen here, name suites of TLS 1.2"
    import ssl

    return " of %s on this host" % ssl.OPENSSL_VERSION
