# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay host as variables of the event onRelay, and back.

The password is written as ``base64:`` and its UTF-8 octets, so that none of its characters can end or change a string
of the script. It is in that string and in the value only, and in no message.
"""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

from ..._policy.address import host_address
from ..._policy.domain import domain_name
from ..._policy.errors import PolicyError
from ..._policy.level import RELAY_HOST_LEVELS
from ..._policy.policy import RelayHost
from ..base import NotSupported

HOST = "remoteSmtpHost"
PORT = "remoteSmtpPort"

#: Ports of SMTP: where hosts of other domains listen, and where TLS begins at once (RFC 8314 section 3.3).
SMTP_PORT = 25
IMPLICIT_TLS_PORT = 465

_BASE64 = "base64:"
# A string of the script ends at a double quote, and the server replaces %names% inside of it.
_UNWRITABLE = re.compile(r'["%\x00-\x1f\x7f]')


def variables(dialect: t.Any) -> t.Tuple[str, ...]:
    """All variables that a relay host consists of on this server, in the order in which they are written."""
    names = dialect.relay
    own = (_tls_var(names), names.level_var, names.user_var, names.password_var, names.clear_login_var)
    return (HOST, PORT) + tuple(name for name in own if name is not None)


def _tls_var(names: t.Any) -> t.Optional[str]:
    """The variable that says how TLS begins at the relay host; None where none is known."""
    return names.ssl_var if _is_switch(names) else names.tls_var


def _is_switch(names: t.Any) -> bool:
    """Whether implicit TLS is what the SSL switch of the routing settings means: yes, or no for STARTTLS.

    Nothing leaves in clear then, and a level has no other name: implicit TLS is level encrypt, STARTTLS is level may.
    """
    return names.tls_var is None and names.ssl == "implicit"


# --- reading ------------------------------------------------------------------------------------


def read(values: t.Mapping[str, str], dialect: t.Any) -> t.Optional[RelayHost]:
    """The relay host that variables (lower case) mean; None when there is none."""
    names = dialect.relay

    def value(name: t.Optional[str]) -> str:
        return values.get(name.lower(), "") if name is not None else ""

    host = _host(value(HOST))
    if not host:
        return None
    tls = value(_tls_var(names)).strip().lower()
    level = value(names.level_var).strip().lower() or "may"
    if _is_switch(names):
        tls, level = ("implicit", "encrypt") if tls == "yes" else ("starttls", "may")
    port = _port(value(PORT), IMPLICIT_TLS_PORT if tls == "implicit" else SMTP_PORT)
    if not tls:
        tls = "implicit" if names.tls_var is not None and port == IMPLICIT_TLS_PORT else "starttls"
    return RelayHost(
        host=host,
        port=port,
        tls=tls,
        level=level,
        username=value(names.user_var),
        password=_password(value(names.password_var)),
        clear_text_login=value(names.clear_login_var).strip().lower() == "yes",
    )


def _host(text: str) -> str:
    """A name in canonical form, or an address without its brackets. What is neither stays as it is."""
    bare = text.strip()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1].strip()
        if bare.lower().startswith("ipv6:"):
            bare = bare[len("ipv6:") :]
    try:
        return host_address(bare) or (domain_name(bare) if bare else "")
    except PolicyError:
        return bare.lower()


def _port(text: str, default: int) -> int:
    """The port; 0 for what is none."""
    if not text.strip():
        return default
    return int(text) if re.match(r"[ \t]*[0-9]{1,5}[ \t]*\Z", text) else 0


def _password(value: str) -> str:
    if value.startswith(_BASE64):
        try:
            octets = base64.b64decode(value[len(_BASE64) :].encode("utf-8", "surrogateescape"), validate=True)
        except binascii.Error:
            return value
        return octets.decode("utf-8", "surrogateescape")
    return value


# --- writing ------------------------------------------------------------------------------------


def lines(relay: t.Optional[RelayHost], dialect: t.Any) -> t.List[t.Tuple[str, t.Optional[str]]]:
    """Variable and value of each ``set`` line of a relay host; None for a line that must not be there."""
    names = dialect.relay
    values: t.Dict[t.Optional[str], str] = {}
    if relay is not None:
        values[HOST] = "[%s]" % relay.host if host_address(relay.host) else relay.host
        values[PORT] = str(relay.port)
        values[names.tls_var] = relay.tls
        if _is_switch(names):
            values[names.ssl_var] = "yes" if relay.tls == "implicit" else "no"
        values[names.level_var] = relay.level
        if relay.username or relay.password:
            octets = relay.password.encode("utf-8", "surrogateescape")
            values[names.user_var] = relay.username
            values[names.password_var] = _BASE64 + base64.b64encode(octets).decode("ascii")
        if relay.clear_text_login:
            values[names.clear_login_var] = "yes"
    return [(name, values.get(name)) for name in variables(dialect)]


def problems(relay: RelayHost, dialect: t.Any) -> t.Iterator[str]:
    """What this server cannot hold. Raises :class:`NotSupported` for what it has no known name for."""
    names = dialect.relay
    implied = "encrypt" if _is_switch(names) and relay.tls == "implicit" else "may"
    unknown = [
        what
        for what, name, asked in (
            ("the TLS level", names.level_var, relay.level != implied),
            ("implicit TLS", _tls_var(names), relay.tls != "starttls"),
            ("the user name", names.user_var, relay.username),
            ("the password", names.password_var, relay.password),
            ("a login in clear text", names.clear_login_var, relay.clear_text_login),
        )
        if asked and name is None
    ]
    if unknown:
        raise NotSupported(
            "set the relay host",
            'the dialect profile "%s" has no known script name for %s' % (dialect.name, ", ".join(unknown)),
            "No public document shows such names. Host and port alone (tls: starttls, level: may, no credentials) can "
            "be written%s, and the rest set by hand in WebAdmin; the bundled MTA has all of it."
            % (
                ", or tls: implicit with level: encrypt"
                if _is_switch(names)
                else " (tls: implicit too where dialect_profile says relay_ssl: implicit)"
            ),
        )
    levels = [level for level in names.levels if level in RELAY_HOST_LEVELS]
    if names.level_var is not None and relay.level not in levels:
        yield "relay: this server has no TLS level %s; it has %s" % (relay.level, ", ".join(levels))
    if _UNWRITABLE.search(relay.username):
        yield "relay: username must not hold a double quote, a percent sign or a control character"
