# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A listener's TLS settings as an :class:`ssl.SSLContext` that does exactly what they say, or a refusal."""

from __future__ import annotations

import re
import ssl
import warnings
from pathlib import Path

from ..settings import ActivationError, TlsSettings

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
_PEM_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


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
    # RFC 9325 sections 3.3 and 3.4: no compression, no renegotiation. TLS 1.3 has neither.
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
        raise ActivationError(f"listener {listener}: the key in certificate file {path} is encrypted; store it without")

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
        raise ActivationError(f"listener {listener}: {what} {path}: {_reason(error)}") from None
    except OSError as error:
        raise ActivationError(f"listener {listener}: {what} {path}: {(error.strerror or str(error)).lower()}") from None


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
    found = _PEM_CERTIFICATE.search(Path(path).read_bytes())
    if found is None:
        return ""
    der = ssl.PEM_cert_to_DER_cert(found.group().decode("ascii", "replace"))
    for name, oid in _KEY_OIDS.items():
        if oid in der:
            return name
    return ""
