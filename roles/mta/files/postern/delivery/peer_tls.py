# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS towards other mail servers: contexts for a level and a window of versions, and the judgement of a certificate."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import ssl
import warnings
from collections.abc import Iterable, Sequence

from asn1crypto import x509

from .outcome import clean

#: Levels at which the peer's certificate must be good, and the one at which it must be known.
VERIFIED_LEVELS = ("verify", "secure")
PINNED_LEVEL = "fingerprint"

#: By the names in :data:`..rules.relay.VERSIONS`.
VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}

# RFC 9325 section 4.2, for TLS 1.2 (TLS 1.3 has its own, all of them good). Where the peer must prove who it is, only
# suites with forward secrecy. Where it need not, also older ones and smaller keys: a peer that finds no common suite
# would get the mail in clear, which is worse (RFC 7435 section 3).
_FORWARD_SECRECY = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES"
_NEVER = ":!aNULL:!eNULL:!aDSS:!PSK:!SRP:!AESCCM8"
_VERIFIED_CIPHERS = _FORWARD_SECRECY + _NEVER + ":@SECLEVEL=2"
_ANY_CIPHERS = _FORWARD_SECRECY + ":AESGCM:AES" + _NEVER + ":@SECLEVEL=1"
# OpenSSL 3 counts SHA-1 in the handshake of TLS 1.0 and 1.1 as too weak above level 0: without this the versions would
# be "allowed" and every handshake would fail.
_OLD_CIPHERS = _FORWARD_SECRECY + ":AESGCM:AES" + _NEVER + ":@SECLEVEL=0"

# One wildcard, alone in the left-most label, above at least two labels (RFC 9525 section 6.3; the latter as OpenSSL).
_PATTERN = re.compile(r"(?:\*\.(?=[^.]+\.))?[a-z0-9_](?:[a-z0-9_-]*)(?:\.[a-z0-9_][a-z0-9_-]*)*")


class TrustError(Exception):
    """No context can be made: the CA file cannot be used, or the versions make no window."""


class Trust:
    """Whose signatures count, and the contexts made of that; contexts are built once for each kind.

    ``ca_file`` is a PEM file; empty means the system's store. A file that changes is read again.
    """

    def __init__(self, ca_file: str = "") -> None:
        self._ca_file = ca_file
        self._contexts: dict[tuple, ssl.SSLContext] = {}

    def check(self) -> None:
        """Raise :class:`TrustError` when the CA file cannot be used; for the start of the server."""
        self.context(True, ("TLSv1.2", "TLSv1.3"))

    def context(self, verified: bool, versions: Sequence[str], pinned: bool = False) -> ssl.SSLContext:
        """A client's context: ``verified`` demands a chain to a trusted CA; the name is left to :func:`matched_name`.

        ``pinned``: no chain, but suites as good as with one, because :func:`is_pinned` decides. ``versions`` are names
        like ``TLSv1.2``, oldest first. Raises :class:`TrustError`.
        """
        state = self._file_state() if verified else None
        key = (verified, tuple(versions), state, pinned)
        if key not in self._contexts:
            self._contexts = {old: kept for old, kept in self._contexts.items() if old[2] in (None, state)}
            self._contexts[key] = self._build(verified, versions, pinned)
        return self._contexts[key]

    def _file_state(self) -> tuple[int, int, int]:
        if not self._ca_file:
            return (0, 0, 0)
        try:
            found = os.stat(self._ca_file)
        except OSError as error:
            raise TrustError(f"CA file {self._ca_file}: {(error.strerror or str(error)).lower()}") from None
        return (found.st_ino, found.st_size, found.st_mtime_ns)

    def _build(self, verified: bool, versions: Sequence[str], pinned: bool) -> ssl.SSLContext:
        window = _window(versions)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The name is judged behind the handshake: at level "secure" it is not the one that goes into SNI.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
        ciphers = _VERIFIED_CIPHERS if verified or pinned else _ANY_CIPHERS
        if window[0] < ssl.TLSVersion.TLSv1_2:
            ciphers = _OLD_CIPHERS
        context.set_ciphers(ciphers)
        with warnings.catch_warnings():
            # Python warns about TLS 1.0 and 1.1; whoever sets the policy was warned there and decided.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = window
        # RFC 9325 sections 3.3 and 3.4: no compression, no renegotiation.
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if verified:
            self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        if not self._ca_file:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            return
        try:
            context.load_verify_locations(self._ca_file)
        except ssl.SSLError:
            raise TrustError(f"CA file {self._ca_file}: it holds no certificate in PEM form") from None
        except OSError as error:
            raise TrustError(f"CA file {self._ca_file}: {(error.strerror or str(error)).lower()}") from None


def _window(versions: Sequence[str]) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    known = sorted({VERSIONS[name] for name in versions if name in VERSIONS})
    if not known or any(name not in VERSIONS for name in versions):
        raise TrustError(f"TLS versions {' '.join(versions) or '(none)'}: none, or one that is not known")
    if known[-1] - known[0] != len(known) - 1:
        # A handshake negotiates the highest common version of a range: a hole in it cannot be expressed.
        raise TrustError(f"TLS versions {' '.join(versions)}: there is a gap between them")
    return known[0], known[-1]


def wanted_names(level: str, domain: str, host: str, relay_host: str, match: Sequence[str]) -> tuple[str, ...]:
    """The names of which the certificate must hold one; a leading dot stands for any name below.

    At ``verify`` the name of the host; at ``secure`` what the policy says, else the next-hop domain and what is below
    it (Postfix: ``nexthop, dot-nexthop``): the name of an MX host came over DNS and proves nothing. Where a relay host
    is configured its name came from the administrator, and counts for both.
    """
    if level == "secure":
        if match:
            return tuple(match)
        if not relay_host:
            return (domain, f".{domain}") if _address(domain) is None else (domain,)
    return (host,)


def matched_name(certificate: dict, wanted: Iterable[str]) -> str:
    """The name by which a verified certificate (``getpeercert()``) is for one of the wanted names, as the certificate
    has it; empty when it is for none of them (RFC 9525 section 6).

    Only the subject alternative names count, never the common name. IP addresses match addresses alone. A name with
    a leading dot is matched by every name, and every wildcard, below it.
    """
    names, addresses = set(), set()
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "DNS" and _PATTERN.fullmatch(value.lower()):
            names.add(value.lower())
        elif kind == "IP Address" and (address := _address(value)):
            addresses.add(address)
    found = (_name_for(name.lower().rstrip("."), names, addresses) for name in wanted)
    return next((name for name in found if name), "")


def fingerprints(certificate: bytes | None) -> tuple[str, ...]:
    """SHA-256 of a certificate in DER form and of its public key (SubjectPublicKeyInfo), as the policy has them.

    The key's is missing where the certificate cannot be read; there is none at all without a certificate.
    """
    if not certificate:
        return ()
    try:
        # The octets as the certificate holds them: the same key is the same in another certificate.
        key = x509.Certificate.load(certificate, strict=True)["tbs_certificate"]["subject_public_key_info"].dump()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return (_sha256(certificate),)
    return (_sha256(certificate), _sha256(key))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).digest().hex(":").upper()


def is_pinned(certificate: bytes | None, known: Iterable[str]) -> bool:
    """Whether one of the ``known`` fingerprints is that of the certificate or of its key; none is for nobody.

    Who signed the certificate, its names and its dates do not count.
    """
    return not set(known).isdisjoint(fingerprints(certificate))


def _name_for(wanted: str, names: set[str], addresses: set) -> str:
    address = _address(wanted)
    if address is not None:
        return str(address) if address in addresses else ""
    if not wanted.strip("."):
        return ""
    if wanted.startswith("."):
        return min((name for name in names if name.endswith(wanted) and name != wanted), default="")
    _first, dot, rest = wanted.partition(".")
    return next((name for name in (wanted, f"*{dot}{rest}") if name in names), "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    inside = text.strip("[]")
    if inside.lower().startswith("ipv6:"):
        inside = inside[5:]
    try:
        return ipaddress.ip_address(inside)
    except ValueError:
        return None


_SHORT = {
    "common_name": "CN",
    "organization_name": "O",
    "organizational_unit_name": "OU",
    "locality_name": "L",
    "state_or_province_name": "ST",
    "country_name": "C",
    "domain_component": "DC",
}


def subject(certificate: bytes | None) -> str:
    """The subject of a certificate in DER form as ``CN=mx.example.test, O=Example``; empty when it cannot be read."""
    if not certificate:
        return ""
    try:
        parts = []
        for relative in x509.Certificate.load(certificate).subject.chosen:
            for pair in relative:
                kind = pair["type"].native
                parts.append(f"{_SHORT.get(kind, kind)}={pair['value'].native}")
        return clean(", ".join(reversed(parts)))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        # The certificate of an unknown peer may hold anything; its subject is for the log alone.
        return ""
