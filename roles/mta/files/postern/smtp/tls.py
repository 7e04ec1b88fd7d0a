# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A listener's TLS settings as an :class:`ssl.SSLContext` that does exactly what they say, or a refusal.

Tickets for resuming a session: TLS 1.3 gets none (``num_tickets``). They would save the signature at the price of two
tickets after each handshake, which most clients never show again, and of a key in memory that opens them. TLS 1.2 gets
them as OpenSSL has them; their key lives as long as a context, and contexts are made anew every day (:mod:`renewal`):
RFC 9325 section 3.4 asks for a change of key at least every week.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from ..settings import ActivationError, TlsSettings
from . import certificate
from .renewal import stamp_of

#: Protocol versions that this server can speak, oldest first, by their token in the configuration.
VERSIONS = {
    "tls1": ssl.TLSVersion.TLSv1,
    "tls1_1": ssl.TLSVersion.TLSv1_1,
    "tls1_2": ssl.TLSVersion.TLSv1_2,
    "tls1_3": ssl.TLSVersion.TLSv1_3,
}
_ORDER = tuple(VERSIONS)
_PROHIBITED = {"ssl2": "RFC 6176", "ssl3": "RFC 7568"}
_WITHDRAWN = ("tls1", "tls1_1")

#: What an empty ``cipherSuite`` means: RFC 9325 section 4.2; the second part only where TLS 1.0 or 1.1 is asked for.
DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_LEGACY_CIPHERS = ":ECDHE+AES:AES"

# The key algorithm in a certificate's SubjectPublicKeyInfo (RFC 3279, RFC 5480, RFC 8410), in DER.
_KEY_OIDS = {
    "rsa": bytes.fromhex("06092a864886f70d010101"),
    "ecdsa": bytes.fromhex("06072a8648ce3d0201"),
    "dss": bytes.fromhex("06072a8648ce380401"),
}


def build_context(settings: TlsSettings, listener: str) -> ssl.SSLContext | None:
    """The context of one listener; None when no certificate is configured.

    Raises :class:`ActivationError` naming the listener, the file and what is wrong.
    """
    if settings.cert_file is None:
        return None
    versions = _versions(settings, listener)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _limit_versions(context, versions)
    _load_certificate(context, settings.cert_file, listener)
    _choose_ciphers(context, settings, versions, listener)
    if settings.dh_param_file is not None:
        _load(listener, "DH parameter file", settings.dh_param_file, context.load_dh_params)
    context.num_tickets = 0
    # RFC 9325 sections 3.3 and 3.5: no compression, no renegotiation. TLS 1.3 has neither.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_DH_USE
    if settings.prefer_server_ciphers:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.ca_file is not None:
        _load(listener, "CA file", settings.ca_file, context.load_verify_locations)
    if settings.request_client_auth:
        if settings.ca_file is None:
            raise ActivationError(f"listener {listener}: a client certificate is requested, but there is no CA file")
        # Asked for, not demanded: a client without one is let in, one with a bad one is not (RFC 8446 section 4.4.2).
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _versions(settings: TlsSettings, listener: str) -> list[str]:
    wanted = set(settings.allowed_versions)
    for token in sorted(wanted):
        if token in _PROHIBITED:
            raise ActivationError(f"listener {listener}: {token} is prohibited by {_PROHIBITED[token]}; remove it")
        if token not in VERSIONS:
            raise ActivationError(
                f"listener {listener}: unknown protocol version {token} (there are {' '.join(_ORDER)})"
            )
    if not wanted:
        raise ActivationError(f"listener {listener}: no protocol version is allowed")
    found = [token for token in _ORDER if token in wanted]
    gap = [token for token in _ORDER[_ORDER.index(found[0]) : _ORDER.index(found[-1])] if token not in wanted]
    if gap:
        # A handshake negotiates the highest common version of a range: a hole in it cannot be expressed.
        raise ActivationError(f"listener {listener}: {' '.join(gap)} lies between allowed versions; allow it or fewer")
    return found


def _limit_versions(context: ssl.SSLContext, versions: list[str]) -> None:
    with warnings.catch_warnings():
        # Python warns about TLS 1.0 and 1.1; whoever sets the policy was warned there and decided.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = VERSIONS[versions[0]]
        context.maximum_version = VERSIONS[versions[-1]]


def _load_certificate(context: ssl.SSLContext, path: str, listener: str) -> None:
    def no_password() -> str:
        raise ActivationError(
            f"{_of(listener)}the key in certificate file {path} is encrypted; store it without a password"
        )

    _load(
        listener,
        "certificate file",
        path,
        lambda name: context.load_cert_chain(name, password=no_password),
    )


def _load(listener: str, what: str, path: str, load) -> None:
    try:
        load(path)
    except ssl.SSLError as error:
        raise _refusal(listener, what, path, _reason(error)) from None
    except OSError as error:
        raise _refusal(listener, what, path, (error.strerror or str(error)).lower()) from None


def _refusal(listener: str, what: str, path: str, reason: str) -> ActivationError:
    return ActivationError(f"{_of(listener)}{what} {path}: {reason}")


def _of(listener: str) -> str:
    """The beginning of what is wrong; nothing for files that are looked at without a listener."""
    return f"listener {listener}: " if listener else ""


_REASONS = {
    "KEY_VALUES_MISMATCH": "the private key does not belong to the first certificate",
    "NO_START_LINE": "it holds no PEM object of the kind that is needed here",
    "PEM": "it lacks a private key or a certificate in PEM form",
    "NO_CERTIFICATE_OR_CRL_FOUND": "it holds no certificate",
    "EE_KEY_TOO_SMALL": "the key is too small for this server's TLS library",
    "CA_MD_TOO_WEAK": "the certificate's signature algorithm is too weak for this server's TLS library",
    "DH_KEY_TOO_SMALL": "the DH parameters are too small for this server's TLS library",
}


def _reason(error: ssl.SSLError) -> str:
    # A failure inside the PEM reader comes without a reason of its own.
    name = (error.reason or "PEM").upper().replace(" ", "_")
    return _REASONS.get(name, name.lower().replace("_", " "))


def _choose_ciphers(context: ssl.SSLContext, settings: TlsSettings, versions: list[str], listener: str) -> None:
    legacy = any(version in _WITHDRAWN for version in versions)
    ciphers = settings.cipher_suite or DEFAULT_CIPHERS + (_LEGACY_CIPHERS if legacy else "")
    if not settings.ephemeral_key:
        ciphers += ":!kEECDH:!kEDH"
    if legacy:
        # OpenSSL 3 counts SHA-1 in the handshake of TLS 1.0 and 1.1 as too weak above level 0: without this the
        # versions would be "allowed" and every handshake would fail. Only this listener's context is lowered.
        ciphers += ":@SECLEVEL=0"
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise ActivationError(f"listener {listener}: cipher list {settings.cipher_suite!r} selects no suite") from None
    if versions[0] == "tls1_3":
        return
    usable = {suite["auth"].removeprefix("auth-") for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"}
    key = _key_type(settings.cert_file)
    if key and not usable & {key, "any"}:
        raise ActivationError(
            f"listener {listener}: no suite of the cipher list works with the {key.upper()} key in {settings.cert_file}"
        )


def _key_type(path: str) -> str:
    """``rsa``, ``ecdsa`` or ``dss``: the key of the first certificate of a PEM file; empty for another kind."""
    der = certificate.first(path)
    for name, oid in _KEY_OIDS.items():
        if oid in der:
            return name
    return ""


# --- several certificates, and changes of them ----------------------------------------------------


@dataclass(frozen=True)
class _Contexts:
    """What new connections of a listener use. ``unasking``: without asking for a client's certificate; ``expiries``:
    when the certificates end, by file."""

    asking: ssl.SSLContext
    unasking: ssl.SSLContext
    expiries: dict[str, float]


class ListenerTls:
    """TLS of one listener: its own certificate, and others by the name that a client asks for (RFC 6066 section 3).

    Raises :class:`ActivationError`. It is renewable (:mod:`renewal`): :meth:`prepare` may run in a thread, and what it
    returns is taken up by :meth:`take`, for connections that begin TLS from then on.
    """

    def __init__(self, settings: TlsSettings, name: str, certificates: tuple[str, ...] = ()) -> None:
        self._settings = settings
        self._certificates = certificates
        self.name = f"listener {name}"
        self._listener = name
        self.stamp = stamp_of(self.files)
        self._contexts = self.prepare()

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it is made from."""
        own = (self._settings.cert_file, self._settings.ca_file, self._settings.dh_param_file)
        return tuple(path for path in (*own, *self._certificates) if path is not None)

    def prepare(self) -> _Contexts:
        """All contexts anew. Raises :class:`ActivationError`."""
        asking = unasking = self._build(self._settings)
        if self._settings.request_client_auth:
            unasking = self._build(replace(self._settings, request_client_auth=False))
        return _Contexts(asking, unasking, self._expiries())

    @property
    def address(self) -> str:
        """The listener's address, as it is configured."""
        return self._listener

    @property
    def expiries(self) -> Mapping[str, float]:
        """When the certificates that are in use end (seconds since the epoch), by file."""
        return self._contexts.expiries

    def _expiries(self) -> dict[str, float]:
        found = {}
        for path in dict.fromkeys((self._settings.cert_file, *self._certificates)):
            # The library has read it already: what our own reader does not understand is no reason not to use it.
            with suppress(OSError, ValueError):
                found[path] = certificate.expiry(path)
        return found

    def take(self, contexts: _Contexts) -> None:
        """Use these from now on."""
        self._contexts = contexts

    def context(self, forgiven: bool) -> ssl.SSLContext:
        """The context for a new handshake; ``forgiven``: with a peer that is not to be asked for a certificate."""
        return self._contexts.unasking if forgiven else self._contexts.asking

    def _build(self, settings: TlsSettings) -> ssl.SSLContext:
        own = build_context(settings, self._listener)
        if self._certificates:
            own.sni_callback = _Choice(settings, self._certificates, self._listener)
        return own


class _Choice:
    """Called by the TLS library with the name that a client asks for, before anything is chosen."""

    def __init__(self, settings: TlsSettings, certificates: tuple[str, ...], listener: str) -> None:
        # The listener's own certificate comes first where two are for one name.
        self._by_name: dict[str, ssl.SSLContext | None] = dict.fromkeys(_names(settings.cert_file, listener))
        for path in certificates:
            # All but the certificate is the listener's: the library takes suites and trust from the context it is
            # given, versions and the wish for a client's certificate from the one that it began with.
            context = build_context(replace(settings, cert_file=path), listener)
            for name in _names_asked_for(path, listener):
                self._by_name.setdefault(name, context)

    def __call__(self, connection: ssl.SSLObject, name: str | None, _own: ssl.SSLContext) -> None:
        if not name:
            return
        name = name.lower().removesuffix(".")
        # RFC 6125 section 6.4.3: an asterisk is one whole label, the first one.
        for known in (name, "*." + name.partition(".")[2]):
            if known in self._by_name:
                context = self._by_name[known]
                if context is not None:
                    connection.context = context
                return


def check_certificate(path: str) -> None:
    """Whether a file can be one of those that are chosen by name. Raises :class:`ActivationError`."""
    _load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), path, "")
    _names_asked_for(path, "")


def _names_asked_for(path: str, listener: str) -> tuple[str, ...]:
    names = _names(path, listener)
    if not names:
        raise _refusal(listener, "certificate file", path, "its certificate is for no host name (subjectAltName)")
    return names


def _names(path: str, listener: str) -> tuple[str, ...]:
    try:
        return certificate.names(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    except ValueError as error:
        reason = str(error)
    raise _refusal(listener, "certificate file", path, reason)
