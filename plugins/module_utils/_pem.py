# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks into certificate, key and Diffie-Hellman files that lie on this host, before a server is told to use them.

Certificates and keys are read with ``cryptography`` and are "not observable" without it; DH parameters, which that
library is about to give up, are read here. Whether a file exists is seen in any case. The server stays the last judge:
a file that only the server may read is not called wrong here.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import errno
import os
import re
import typing as t
from dataclasses import dataclass

from ._policy.tls import cipher_authentication, named_suites

try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

#: Smallest keys that are taken, in bits (RFC 9325 section 4.5, NIST SP 800-52r2).
RSA_BITS = 2048
EC_BITS = 224
DH_BITS = 2048

#: Hash functions whose signatures peers refuse (RFC 9155).
_BROKEN_HASHES = ("md5", "sha1")

#: No PEM file of this kind is as big as that, in bytes.
_SIZE_LIMIT = 4 * 1024 * 1024

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 .]+)-----.*?-----END \1-----", re.DOTALL)
_MISSING = "there is no such file here (server_files: remote, if the server runs on another host)"
_INSTALL = "not observable without the Python library cryptography; install cryptography on this host"


@dataclass(frozen=True)
class Findings:
    """``problems``: the server could not work with these files. ``warnings``: it could, and somebody should know."""

    problems: t.Tuple[str, ...] = ()
    warnings: t.Tuple[str, ...] = ()


def examine(
    certificate: t.Optional[str],
    dh_params: t.Optional[str],
    ca_file: t.Optional[str],
    ciphers: t.Optional[str],
    now: t.Optional[datetime.datetime] = None,
    own_group: bool = False,
) -> Findings:
    """Look into the files of one listener and whether its cipher list fits them.

    Paths: None and ``""`` mean no file; a relative path belongs to the server's working directory, which is not known
    here, and is not looked at. ``ciphers`` is an OpenSSL list or None. ``now`` (aware) is what the dates of
    certificates are compared with. ``own_group``: the server has a DH group of its own where there is no file. Raises nothing.
    """
    examination = _Examination(now or datetime.datetime.now(datetime.timezone.utc))
    kind = examination.certificate(certificate)
    examination.authorities(ca_file)
    examination.dh_params(dh_params)
    if ciphers and kind:
        examination.fit(certificate, kind, ciphers)
    if ciphers and certificate and not dh_params and not own_group:
        examination.missing_dh_file(ciphers)
    return Findings(tuple(examination.problems), tuple(examination.warnings))


class _Unreadable(Exception):
    """What is wrong with the content of a file."""


class _Examination:
    """Collects what is found. Each method is about one file."""

    def __init__(self, now: datetime.datetime) -> None:
        self.now = now
        self.problems: t.List[str] = []
        self.warnings: t.List[str] = []

    def certificate(self, path: t.Optional[str]) -> t.Optional[str]:
        """One PEM file with key, leaf and chain. Returns the kind of key (see :class:`Suite`) when it is known."""
        name = "certificate %s" % path
        blocks = self._blocks(name, path)
        if blocks is None or not self._is_readable(name):
            return None
        if not any(label == "CERTIFICATE" for label, _pem in blocks):
            self.problems.append("%s: there is no certificate in it" % name)
            return None
        try:
            chain = [_load_certificate(pem) for label, pem in blocks if label == "CERTIFICATE"]
            keys = [_load_key(label, pem) for label, pem in blocks if label.endswith("PRIVATE KEY")]
            leaf_key = _spki(chain[0].public_key())
        except _Unreadable as error:
            self.problems.append("%s: %s" % (name, error))
            return None
        if not keys:
            self.problems.append("%s: there is no private key in it; one file holds key, certificate and chain" % name)
        elif all(_spki(key.public_key()) != leaf_key for key in keys):
            self._mismatch(name, chain, keys)
        self._dates(name, chain)
        self._signatures(name, chain)
        return self._strength(name, chain[0].public_key())

    def authorities(self, path: t.Optional[str]) -> None:
        """A PEM file with certificates of authorities."""
        name = "ca_file %s" % path
        blocks = self._blocks(name, path)
        if blocks is None or not self._is_readable(name):
            return
        try:
            found = [_load_certificate(pem) for label, pem in blocks if label in ("CERTIFICATE", "TRUSTED CERTIFICATE")]
        except _Unreadable as error:
            self.problems.append("%s: %s" % (name, error))
            return
        if not found:
            self.problems.append("%s: there is no certificate in it" % name)
        expired = [_subject(authority) for authority in found if _not_after(authority) < self.now]
        if expired:
            self.warnings.append("%s: expired: %s" % (name, ", ".join(expired[:3])))

    def dh_params(self, path: t.Optional[str]) -> None:
        """A PEM file with Diffie-Hellman parameters."""
        name = "dh_params %s" % path
        blocks = self._blocks(name, path)
        if blocks is None:
            return
        parameters = [pem for label, pem in blocks if label in ("DH PARAMETERS", "X9.42 DH PARAMETERS")]
        if not parameters:
            self.problems.append("%s: there are no DH parameters in it (openssl dhparam makes them)" % name)
            return
        try:
            bits = _dh_bits(parameters[0])
        except _Unreadable as error:
            self.problems.append("%s: %s" % (name, error))
            return
        if bits < DH_BITS:
            self.problems.append("%s: a group of %d bits is too weak; at least %d are needed" % (name, bits, DH_BITS))

    def fit(self, path: t.Optional[str], kind: str, ciphers: str) -> None:
        """Whether the suites of a list can be used with this kind of key. Suites of TLS 1.3 fit every kind."""
        needed = cipher_authentication(ciphers)
        if needed and kind not in needed:
            self.problems.append(
                "certificate %s has a key of kind %s, and every suite of ciphers needs %s: no connection below TLS 1.3 "
                "could be made; take another certificate or other ciphers" % (path, kind, " or ".join(sorted(needed)))
            )
            return
        idle = [suite.name for suite in named_suites(ciphers) if suite.authentication != kind]
        if idle:
            self.warnings.append(
                "ciphers: %s can never be used, because certificate %s has a key of kind %s"
                % (", ".join(idle), path, kind)
            )

    def missing_dh_file(self, ciphers: str) -> None:
        """DHE suites that are asked for by name do nothing without DH parameters."""
        idle = [suite.name for suite in named_suites(ciphers) if suite.dhe]
        if idle:
            self.warnings.append("ciphers: %s are never negotiated without a DH file (dh_params)" % ", ".join(idle))

    # --- parts ----------------------------------------------------------------------------------

    def _blocks(self, name: str, path: t.Optional[str]) -> t.Optional[t.List[t.Tuple[str, bytes]]]:
        """The PEM blocks of a file as (label, text); None when it was not or could not be looked at."""
        if not path or not os.path.isabs(path):
            return None
        try:
            with open(path, "rb") as file:
                content = file.read(_SIZE_LIMIT + 1)
        except PermissionError:
            self.warnings.append("%s: not observable, the user of this task may not read it; the server decides" % name)
            return None
        except OSError as error:
            missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
            self.problems.append("%s: %s" % (name, _MISSING if missing else _reason(error)))
            return None
        if len(content) > _SIZE_LIMIT:
            self.problems.append("%s: the file is too big to be a PEM file" % name)
            return None
        return [(match.group(1).decode("ascii"), match.group(0) + b"\n") for match in _BLOCK.finditer(content)]

    def _is_readable(self, name: str) -> bool:
        if not HAS_CRYPTOGRAPHY:
            self.warnings.append("%s: %s" % (name, _INSTALL))
        return HAS_CRYPTOGRAPHY

    def _mismatch(self, name: str, chain: t.List[t.Any], keys: t.List[t.Any]) -> None:
        public = [_spki(key.public_key()) for key in keys]
        later = [_subject(certificate) for certificate in chain[1:] if _spki(certificate.public_key()) in public]
        if later:
            self.problems.append(
                "%s: the certificate of the private key (%s) must be the first one in the file" % (name, later[0])
            )
        else:
            self.problems.append("%s: the private key does not belong to %s" % (name, _subject(chain[0])))

    def _dates(self, name: str, chain: t.List[t.Any]) -> None:
        for certificate in chain:
            if _not_after(certificate) < self.now:
                self.warnings.append(
                    "%s: %s expired on %s" % (name, _subject(certificate), _not_after(certificate).date().isoformat())
                )
            elif _not_before(certificate) > self.now:
                day = _not_before(certificate).date().isoformat()
                self.warnings.append("%s: %s is not valid before %s" % (name, _subject(certificate), day))

    def _signatures(self, name: str, chain: t.List[t.Any]) -> None:
        """The signature of a root that signs itself is not looked at by anybody; a leaf's always is."""
        for index, certificate in enumerate(chain):
            if index and certificate.subject == certificate.issuer:
                continue
            algorithm = _hash_name(certificate)
            if algorithm in _BROKEN_HASHES:
                self.warnings.append(
                    "%s: %s is signed with %s, which peers refuse" % (name, _subject(certificate), algorithm.upper())
                )

    def _strength(self, name: str, key: t.Any) -> t.Optional[str]:
        """The kind of key; keys that are too weak are a problem."""
        if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
            return "ecdsa"  # RFC 8422: the ECDSA suites serve these keys too
        for kind, cls, least in (
            ("rsa", rsa.RSAPublicKey, RSA_BITS),
            ("ecdsa", ec.EllipticCurvePublicKey, EC_BITS),
            ("dss", dsa.DSAPublicKey, RSA_BITS),
        ):
            if isinstance(key, cls):
                if key.key_size < least:
                    self.problems.append(
                        "%s: the %s key has %d bits, which is too weak; at least %d are needed"
                        % (name, kind.upper(), key.key_size, least)
                    )
                return kind
        self.problems.append("%s: a key of this kind cannot be used for TLS" % name)
        return None


# --- Diffie-Hellman -----------------------------------------------------------------------------


def _dh_bits(pem: bytes) -> int:
    """The size of the group. PKCS #3 and X9.42 alike are a sequence that begins with the prime (DER, X.690)."""
    try:
        content = base64.b64decode(b"".join(pem.strip().splitlines()[1:-1]), validate=True)
        sequence, rest = _der_value(content, 0x30)
        prime, generator = _der_value(sequence, 0x02)
        _der_value(generator, 0x02)
    except (binascii.Error, IndexError, _Unreadable):
        raise _Unreadable("the DH parameters are damaged") from None
    number = int.from_bytes(prime, "big", signed=True)
    if rest or number < 0:
        raise _Unreadable("the DH parameters are damaged")
    return number.bit_length()


def _der_value(content: bytes, tag: int) -> t.Tuple[bytes, bytes]:
    """The value of the first element, which must have this tag, and what follows it."""
    length, start = content[1], 2
    if content[0] != tag:
        raise _Unreadable("another kind of element")
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(content[2:start], "big")
    if len(content) < start + length:
        raise _Unreadable("cut off")
    return content[start : start + length], content[start + length :]


# --- cryptography -------------------------------------------------------------------------------


def _load_certificate(pem: bytes) -> t.Any:
    try:
        return x509.load_pem_x509_certificate(pem.replace(b"TRUSTED CERTIFICATE", b"CERTIFICATE"))
    except ValueError:
        raise _Unreadable("a certificate in it is damaged") from None


def _load_key(label: str, pem: bytes) -> t.Any:
    """A private key. Messages never hold what the library says, which may hold parts of the key."""
    if label.startswith("ENCRYPTED") or b"Proc-Type: 4,ENCRYPTED" in pem:
        raise _Unreadable("the private key is protected by a passphrase, which a server cannot type; decrypt it")
    try:
        return serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _Unreadable("the private key is damaged or of an unknown kind") from None


def _spki(public_key: t.Any) -> bytes:
    try:
        return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise _Unreadable("a key in it is of an unknown kind") from None


def _hash_name(certificate: t.Any) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return algorithm.name if algorithm is not None else ""


def _not_after(certificate: t.Any) -> datetime.datetime:
    """Versions of the library before 42 know dates without a zone only."""
    aware = getattr(certificate, "not_valid_after_utc", None)
    return aware if aware is not None else certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)


def _not_before(certificate: t.Any) -> datetime.datetime:
    aware = getattr(certificate, "not_valid_before_utc", None)
    return aware if aware is not None else certificate.not_valid_before.replace(tzinfo=datetime.timezone.utc)


def _subject(certificate: t.Any) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"


def _reason(error: OSError) -> str:
    return "cannot be read: %s" % (error.strerror or type(error).__name__)
