# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay host: from what a playbook says to a value, with what the server has already.

A wish belongs to one host and port. What it does not say is kept when the server's relay host is that one; with
another host or port nothing of the old one is kept, its credentials least of all.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .address import host_address
from .domain import domain_name
from .errors import PolicyError, Problems, arrived, shown
from .level import RELAY_HOST_LEVELS, forces, tls_level
from .policy import RelayHost
from .rule_name import plain_text
from .value import Value

#: How TLS begins (RFC 3207, RFC 8314).
TLS_WAYS = ("starttls", "implicit")

#: The port of implicit TLS (RFC 8314 section 7.3).
IMPLICIT_PORT = 465

#: Longest user name and password, in octets: with its codes and in base64 a login must fit a line (RFC 4954 section 4).
CREDENTIAL_LENGTH = 255

_USUAL_PORTS = "usual are 587 (submission) and 25 with STARTTLS, and 465 with TLS from the first byte"


@dataclass(init=False, repr=False, eq=False)
class RelayWish(Value):
    """The option ``relay`` in canonical form; None means "not said". ``present`` False: no relay host."""

    present: bool
    host: str = ""
    port: int = 0
    tls: t.Optional[str] = None
    level: t.Optional[str] = None
    username: t.Optional[str] = None
    password: t.Optional[str] = field(default=None, repr=False)
    clear_text_login: bool = False


def relay_wish(params: t.Mapping[str, t.Any], prefix: str = "relay.") -> RelayWish:
    """The wish that the suboptions say. ``prefix`` stands before their names in messages.

    Raises :class:`PolicyError` with all problems that can be seen without the server.
    """
    if (params.get("state") or "present") == "absent":
        return RelayWish(False)
    problems = Problems()
    values: t.Dict[str, t.Any] = {"clear_text_login": bool(params.get("allow_clear_text_login"))}
    readers: t.Sequence[t.Tuple[str, t.Callable[[t.Any, str], t.Any]]] = (
        ("host", relay_host_name),
        ("port", _port),
        ("tls", _tls_way),
        ("level", _level),
        ("username", _username),
        ("password", _password),
    )
    for name, read in readers:
        with problems.collecting():
            if params.get(name) is not None or name in ("host", "port"):
                values[name] = read(params.get(name), prefix + name)
    if params.get("password") and not params.get("username"):
        problems.add("%spassword is given without %susername; give both" % (prefix, prefix))
    with problems.collecting():
        _check_ways(values.get("tls"), values.get("level"), prefix)
    with problems.collecting():
        _check_login(values.get("username"), values.get("level"), values["clear_text_login"], prefix)
    problems.raise_any()
    return RelayWish(True, **values)


def merged(current: t.Optional[RelayHost], wish: RelayWish, prefix: str = "relay.") -> t.Optional[RelayHost]:
    """The relay host that the wish makes of the present one. Raises :class:`PolicyError`.

    A level that is not said is ``encrypt`` with credentials and with implicit TLS, else ``may``, and never
    weaker than it was for this host and port.
    """
    if not wish.present:
        return None
    same = current if current is not None and (current.host, current.port) == (wish.host, wish.port) else None
    tls = wish.tls or (same.tls if same else "implicit" if wish.port == IMPLICIT_PORT else "starttls")
    username = (same.username if same else "") if wish.username is None else wish.username
    password = _merged_password(current, same, wish, username, prefix)
    level = wish.level
    if level is None:
        level = "encrypt" if username or tls == "implicit" else "may"
        if same and same.level in RELAY_HOST_LEVELS[RELAY_HOST_LEVELS.index(level) :]:
            level = same.level
    problems = Problems()
    with problems.collecting():
        _check_ways(tls, level, prefix)
    with problems.collecting():
        _check_login(username, level, wish.clear_text_login, prefix)
    problems.raise_any()
    return RelayHost(wish.host, wish.port, tls, level, username, password, wish.clear_text_login and bool(username))


def _merged_password(
    current: t.Optional[RelayHost], same: t.Optional[RelayHost], wish: RelayWish, username: str, prefix: str
) -> str:
    if not username:
        return ""
    if wish.password:
        return wish.password
    if same is not None and same.username == username and same.password:
        return same.password
    if current is None or not current.password:
        reason = "the server has none for a relay host"
    else:
        reason = "the one that the server has is for user %s at %s port %d and is not sent elsewhere" % (
            current.username,
            current.host,
            current.port,
        )
    raise PolicyError("%spassword is needed for user %s: %s" % (prefix, username, reason))


def _check_ways(tls: t.Optional[str], level: t.Optional[str], prefix: str) -> None:
    if tls == "implicit" and level == "none":
        raise PolicyError(
            "%stls: implicit and %slevel: none contradict each other; take one of them away" % (prefix, prefix)
        )


def _check_login(username: t.Optional[str], level: t.Optional[str], allowed: bool, prefix: str) -> None:
    if username and level is not None and not forces(level) and not allowed:
        raise PolicyError(
            "%slevel: %s would let the credentials go out in clear text; say level: encrypt or better "
            "(or %sallow_clear_text_login: true, if nobody can listen on the way)" % (prefix, level, prefix)
        )


# --- single values ------------------------------------------------------------------------------


def relay_host_name(value: t.Any, option: str = "host") -> str:
    """A domain name or an IP address, canonical and without brackets. Raises :class:`PolicyError`."""
    if not isinstance(value, str) or not value.strip():
        got = "nothing" if isinstance(value, str) else arrived(value)
        raise PolicyError("%s must be the name or IP address of the relay host; got %s" % (option, got))
    text = value.strip(" \t")
    split = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]/]+):([0-9]+)", text)
    if split:
        raise PolicyError("%s holds a port: write host: %s and port: %s" % (option, shown(split[1]), split[2]))
    if "://" in text:
        raise PolicyError("%s must be a name or an IP address and no URL; got %s" % (option, shown(text)))
    address = host_address(text, option)
    if address is not None:
        return address
    name = domain_name(text[1:-1] if text.startswith("[") and text.endswith("]") else text, option)
    if name.startswith("."):
        raise PolicyError("%s must be one host; got %s, which is every subdomain" % (option, shown(text)))
    return name


def _port(value: t.Any, option: str) -> int:
    if value is None:
        raise PolicyError("%s is missing; %s" % (option, _USUAL_PORTS))
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        got = str(value) if isinstance(value, int) and not isinstance(value, bool) else arrived(value)
        raise PolicyError("%s must be a number from 1 to 65535; got %s; %s" % (option, got, _USUAL_PORTS))
    return value


def _tls_way(value: t.Any, option: str) -> str:
    if isinstance(value, str) and value.strip(" \t").lower() in TLS_WAYS:
        return value.strip(" \t").lower()
    got = shown(value) if isinstance(value, str) else arrived(value)
    raise PolicyError(
        "%s must be one of %s; got %s; whether TLS is needed is what level says" % (option, ", ".join(TLS_WAYS), got)
    )


def _level(value: t.Any, option: str) -> str:
    return tls_level(value, option, RELAY_HOST_LEVELS)


def _username(value: t.Any, option: str) -> str:
    name = plain_text(value, option)
    if len(name) > CREDENTIAL_LENGTH:
        raise PolicyError("%s must have %d characters at most; got %d" % (option, CREDENTIAL_LENGTH, len(name)))
    return name


def _password(value: t.Any, option: str) -> str:
    """Any text that a SASL mechanism can carry (RFC 4616 section 2: no NUL). No message repeats it."""
    if not isinstance(value, str):
        raise PolicyError("%s must be a text" % option)
    try:
        length = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise PolicyError("%s is not valid Unicode text" % option) from None
    if "\0" in value:
        raise PolicyError("%s holds a NUL, which no login can carry (RFC 4616)" % option)
    if length > CREDENTIAL_LENGTH:
        raise PolicyError("%s must have %d octets at most; got %d" % (option, CREDENTIAL_LENGTH, length))
    return value
