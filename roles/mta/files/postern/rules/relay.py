# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the policy script says about sending one message to one recipient domain: event ``onRelay``.

The script's variables, all unset at the start: ``allowStartTLS`` (yes: TLS when it is offered), ``sslEnabled`` (yes:
TLS is required), ``allowedSSLVersions``, ``remoteSmtpHost`` and ``remoteSmtpPort`` are the dialect's; ``tlsLevel``,
``tlsMatch``, ``tlsFingerprints``, ``remoteSmtpTls``, ``remoteSmtpUser``, ``remoteSmtpPassword`` and ``remoteSmtpClearLogin`` are this
server's own, and so are ``tlsReason`` and ``tlsUntil``, which people wrote for people: the reason of a level goes into
the log. The stricter of ``tlsLevel`` and what the dialect's two switches say holds. What cannot be understood ends in
:class:`RelayRefused`: the message waits, and nothing is sent that is weaker than what somebody may have meant.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import typing as t
from dataclasses import dataclass, field

from ..emulation import Emulation
from .domain import domain_name
from .engine import RuleError, RuleSet
from .errors import PolicyError
from .variables import LEVELS, Variables

if t.TYPE_CHECKING:
    from .static_routes import Routes

#: TLS versions as :mod:`ssl` names them, oldest first.
VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
#: What is used when the script does not say (RFC 8996: nothing older).
DEFAULT_VERSIONS = VERSIONS[2:]
#: RFC 5321 section 4.5.4.2, RFC 8314 section 7.3.
SMTP_PORT, SUBMISSIONS_PORT = 25, 465

#: The script writes ``tls12``, listeners ``tls1_2``: both are understood, points too; not so by an emulated server.
_VERSION_WORDS = {"tls1": "TLSv1", "tls10": "TLSv1", "tls11": "TLSv1.1", "tls12": "TLSv1.2", "tls13": "TLSv1.3"}
_NAME = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_BASE64 = "base64:"
#: SHA-256 in hexadecimal, in pairs or not; and how many of them a rule may have: a peer's old and new ones, and spares.
_FINGERPRINT = re.compile(r"(?:sha256:)?([0-9a-f]{2}(?::?[0-9a-f]{2}){31})")
MAX_FINGERPRINTS = 20
_TLS_STATUS, _SETTING_STATUS = "4.7.5", "4.3.5"


class RelayRefused(Exception):
    """The script asks for what this server cannot do. The text says what; ``status`` is temporary (RFC 3463)."""

    def __init__(self, reason: str, status: str = _SETTING_STATUS) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Relay:
    """How one message goes to one recipient domain.

    ``level`` is one of :data:`LEVELS`; ``versions`` some neighbours of :data:`VERSIONS`; ``match`` the names that level
    ``secure`` accepts (a leading dot: any subdomain), empty for the default; ``fingerprints`` those of certificates or
    keys that level ``fingerprint`` accepts, as :func:`fingerprint` writes them. ``host`` is the relay host, a name or a
    bare IP address, empty for delivery by MX. ``implicit``: TLS from the first byte. Without ``clear_login``
    credentials never travel without TLS. ``reason`` is why somebody wants this level, for the log; often empty.
    """

    level: str
    versions: tuple[str, ...] = DEFAULT_VERSIONS
    match: tuple[str, ...] = ()
    host: str = ""
    port: int = SMTP_PORT
    implicit: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    clear_login: bool = False
    reason: str = ""
    fingerprints: tuple[str, ...] = ()


def decide(rules: RuleSet, domain: str, sender: str, auth_user: str, routes: "Routes | None" = None) -> Relay:
    """Run ``onRelay`` for a recipient domain (A-label or address literal) and read what it decided.

    ``sender`` is the envelope's, empty for a notification; ``routes`` hold whatever the script says. Raises
    :class:`RelayRefused`.
    """
    domain = domain.lower()
    variables = Variables()
    variables.tell(
        relayDomain=domain,
        rcptDomain=domain,
        mailFrom=sender,
        mailFromDomain=sender.rpartition("@")[2].lower() if "@" in sender else "",
        authUser=auth_user,
    )
    try:
        rules.run("onRelay", variables)
    except RuleError as error:
        raise RelayRefused(str(error)) from None
    port = _port(variables)
    implicit = _implicit(variables, port)
    level = _level(variables)
    ssl_at_once = rules.emulation.relay_ssl == "implicit" and _yes(variables, "sslEnabled", default=False)
    if ssl_at_once:
        # A switch for TLS from the first byte says nothing about the port: what listens on 25 does not understand it.
        port, implicit = port or SMTP_PORT, True
    if implicit:
        # There is no clear text on such a port: nothing weaker can be done there (RFC 8314 section 3.3).
        level = stricter(level, "encrypt")
    host = _host(variables.text("remoteSmtpHost"))
    user, password = _credentials(variables) if host else ("", "")
    relay = Relay(
        level=level,
        versions=_versions(variables.get("allowedsslversions"), rules.emulation),
        match=_match(variables.text("tlsMatch")),
        host=host,
        port=port or (SUBMISSIONS_PORT if implicit else SMTP_PORT),
        implicit=implicit,
        user=user,
        password=password,
        clear_login=_yes(variables, "remoteSmtpClearLogin", default=False),
        reason=" ".join(variables.text("tlsReason").split()),
        fingerprints=_fingerprints(variables.text("tlsFingerprints"), level),
    )
    if routes is None:
        return relay
    return routes.hold(domain, relay, frozenset(name for name, value in variables.items() if value.strip()))


def stricter(one: str, other: str) -> str:
    """The one of two levels that asks for more."""
    return max(one, other, key=LEVELS.index)


def _level(variables: Variables) -> str:
    opportunistic = "may" if _yes(variables, "allowStartTLS", default=True) else "none"
    level = "encrypt" if _yes(variables, "sslEnabled", default=False) else opportunistic
    if "tlslevel" not in variables:
        return level
    # A text that came out empty is no wish for less: perhaps a variable in it was not set.
    word = variables.text("tlsLevel").strip().lower()
    if word not in LEVELS:
        raise RelayRefused(f"this server has no tlsLevel {_shown(word)}; it has {', '.join(LEVELS)}", _TLS_STATUS)
    return stricter(level, word)


def _versions(value: str | None, emulation: Emulation) -> tuple[str, ...]:
    if value is None:
        return DEFAULT_VERSIONS
    words = emulation.words(value)
    if emulation.extensions and not emulation.values:
        # Only this server takes other spellings than its own.
        words = [re.sub(r"^tlsv", "tls", re.sub(r"[._]", "", word)) for word in words]
    wanted = {_VERSION_WORDS[word] for word in words if word in _VERSION_WORDS}
    if not wanted:
        raise RelayRefused(
            f"allowedSSLVersions {_shown(value)} holds no TLS version; this server knows tls10 tls11 tls12 tls13",
            _TLS_STATUS,
        )
    numbers = sorted(VERSIONS.index(version) for version in wanted)
    if numbers[-1] - numbers[0] + 1 != len(numbers):
        raise RelayRefused(
            f"allowedSSLVersions {_shown(value)} has a gap, which TLS cannot express: name all versions in between",
            _TLS_STATUS,
        )
    return VERSIONS[numbers[0] : numbers[-1] + 1]


def _match(value: str) -> tuple[str, ...]:
    names = []
    for word in _words(value):
        try:
            names.append(match_name(word))
        except ValueError as error:
            raise RelayRefused(f"tlsMatch {error}", _TLS_STATUS) from None
    return tuple(dict.fromkeys(names))


def match_name(word: str) -> str:
    """A name that a certificate may have, in A-labels; a leading dot stays. Raises :class:`ValueError`."""
    name = _a_label(word.removeprefix("."))
    if not _NAME.fullmatch(name):
        raise ValueError(f"{_shown(word)} is neither a name nor a dot and a name")
    return "." + name if word.startswith(".") else name


def fingerprint(word: str) -> str:
    """A SHA-256 fingerprint as ``openssl x509 -fingerprint`` and Postfix print it: upper-case pairs with colons.

    Taken as well: no colons, lower case, ``sha256:`` in front. Raises :class:`ValueError`.
    """
    found = _FINGERPRINT.fullmatch(word.lower())
    if found is None:
        raise ValueError(f"{_shown(word)} is no SHA-256 fingerprint: 64 hexadecimal digits, colons between the pairs")
    return bytes.fromhex(found[1].replace(":", "")).hex(":").upper()


def _fingerprints(value: str, level: str) -> tuple[str, ...]:
    try:
        found = tuple(dict.fromkeys(fingerprint(word) for word in _words(value)))
    except ValueError as error:
        raise RelayRefused(f"tlsFingerprints: {error}", _TLS_STATUS) from None
    if len(found) > MAX_FINGERPRINTS:
        raise RelayRefused(f"tlsFingerprints holds {len(found)} fingerprints, at most {MAX_FINGERPRINTS}", _TLS_STATUS)
    if level == "fingerprint" and not found:
        raise RelayRefused("tlsLevel 'fingerprint' has no fingerprints: set tlsFingerprints behind it", _TLS_STATUS)
    if found and level != "fingerprint":
        # Whoever named certificates meant that nobody else gets the mail.
        raise RelayRefused(
            f"tlsFingerprints has no effect at tlsLevel '{level}': set tlsLevel fingerprint", _TLS_STATUS
        )
    return found


def _host(value: str) -> str:
    text = value.strip()
    try:
        return host_or_address(text) if text else ""
    except ValueError as error:
        raise RelayRefused(f"remoteSmtpHost {error} (the port goes into remoteSmtpPort)") from None


def host_or_address(text: str) -> str:
    """A name or a bare IP address. In brackets: an address, or a name as Postfix's users write it.

    Raises :class:`ValueError`.
    """
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(re.sub(r"(?i)^ipv6:", "", inside)))
    except ValueError:
        name = _a_label(inside)
    # A last label of digits is a mistyped IPv4 address: no such top-level domain exists (RFC 1123 section 2.1).
    if not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ValueError(f"{_shown(text)} is neither a host name nor an address in brackets")
    return name


def _port(variables: Variables) -> int:
    """The port, 0 when the script names none."""
    text = variables.text("remoteSmtpPort").strip()
    if not text:
        return 0
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    if not 1 <= port <= 65535:
        raise RelayRefused(f"remoteSmtpPort {_shown(text)} is no port from 1 to 65535")
    return port


def _implicit(variables: Variables, port: int) -> bool:
    word = variables.text("remoteSmtpTls").strip().lower()
    if word not in ("", "implicit", "starttls"):
        raise RelayRefused(f"remoteSmtpTls {_shown(word)} is neither implicit nor starttls", _TLS_STATUS)
    return word == "implicit" if word else port == SUBMISSIONS_PORT


def _credentials(variables: Variables) -> tuple[str, str]:
    user, password = variables.text("remoteSmtpUser"), variables.text("remoteSmtpPassword")
    if password.startswith(_BASE64):
        try:
            password = base64.b64decode(password[len(_BASE64) :], validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise RelayRefused("remoteSmtpPassword is no UTF-8 text in base64") from None
    if bool(user) != bool(password):
        lacking = "remoteSmtpPassword" if user else "remoteSmtpUser"
        raise RelayRefused(f"the login at the relay host is incomplete: {lacking} is not set")
    if "\0" in user + password:
        # RFC 4616 section 2: the mechanism itself separates by NUL.
        raise RelayRefused("remoteSmtpUser and remoteSmtpPassword cannot hold a NUL character")
    return user, password


def _yes(variables: Variables, name: str, default: bool) -> bool:
    word = variables.text(name).strip().lower()
    if word not in ("", "yes", "no"):
        raise RelayRefused(f"{name} {_shown(word)} is neither yes nor no")
    return word == "yes" if word else default


def _words(value: str) -> list[str]:
    return re.sub(r"[(),]", " ", value.lower()).split()


def _a_label(name: str) -> str:
    name = name.lower().rstrip(".")
    try:
        return name if name.isascii() else domain_name(name)
    except PolicyError:
        return ""


def _shown(text: str) -> str:
    """Short and on one line, for the log."""
    return repr(text if len(text) <= 60 else text[:60] + "…")
