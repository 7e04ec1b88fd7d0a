# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server's certificate says, in plain data, and whether it is for a name (RFC 5280, RFC 9525).

Certificates come from strangers: whatever stands in them, reading one raises nothing but :class:`Unreadable`, and what
is shown of it is printable and short. They are read with the Python library ``cryptography``, where it is installed.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import re
import ssl
import typing as t
import warnings

from .records import printable
from .reply import LOCAL_LIBRARY, SERVER_REPLY

#: Characters that are shown of one name, names that are shown of one certificate, certificates of one chain.
NAME_LENGTH = 160
MAX_NAMES = 100
MAX_CHAIN = 20

INSTALL = "install cryptography"

#: Signature algorithms by OID as RFC 3279, RFC 4055, RFC 5758 and RFC 8410 name them.
SIGNATURES: t.Dict[str, str] = {
    "1.2.840.113549.1.1.2": "md2WithRSAEncryption",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.2.840.10040.4.3": "dsa-with-sha1",
    "2.16.840.1.101.3.4.3.1": "dsa-with-sha224",
    "2.16.840.1.101.3.4.3.2": "dsa-with-sha256",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
}

#: Curves by the library's names (those of SEC 2), as :data:`.suites.GROUPS` has them.
_CURVES = {"secp192r1": "P-192", "secp224r1": "P-224", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

#: The DER of curves' OIDs in a public key (RFC 5480 section 2.1.1.1, RFC 5639), to know a curve without a library.
_CURVE_OIDS = {
    "06082a8648ce3d030107": "P-256",
    "06052b81040022": "P-384",
    "06052b81040023": "P-521",
    "06052b81040021": "P-224",
    "06052b8104000a": "secp256k1",
    "06092b2403030208010107": "brainpoolP256r1",
    "06092b240303020801010b": "brainpoolP384r1",
    "06092b240303020801010d": "brainpoolP512r1",
}
_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")


class Unreadable(Exception):
    """A certificate that cannot be read: ``reason`` in words, ``side`` is to blame (constants of :mod:`.reply`)."""

    def __init__(self, reason: str, side: str = SERVER_REPLY) -> None:
        self.reason = reason
        self.side = side
        super().__init__(reason)


class Certificate:
    """One certificate. ``dns_names`` and ``addresses`` are what it is for, as it stands in it.

    ``facts`` is JSON-able: ``subject``, ``issuer`` (RFC 4514), ``names`` (as shown), ``not_before``, ``not_after``
    (UTC, ISO 8601), ``begun`` (``not_before`` is past), ``days_left`` (whole days, negative when it has expired),
    ``lifetime_days``, ``key`` ("RSA", "EC", "DSA", "Ed25519", "Ed448", else what the library says), ``key_bits`` (0
    when unknown), ``curve``, ``signature``, ``signature_hash`` (None where the algorithm has its own), ``serial``
    (hexadecimal), ``fingerprint_sha256``, ``self_signed``, ``spki_sha256`` (None when the key is unknown).

    ``name_trouble``: why the names could not be read, "" when they could.
    """

    def __init__(self, der: bytes, now: t.Optional[datetime.datetime] = None) -> None:
        """Raises :class:`Unreadable`. ``now`` (aware) is what the dates are compared with."""
        try:
            from cryptography import x509  # pylint: disable=import-outside-toplevel
        except ImportError:
            raise Unreadable(INSTALL, LOCAL_LIBRARY) from None
        now = now or datetime.datetime.now(datetime.timezone.utc)
        self.dns_names: t.Tuple[str, ...] = ()
        self.addresses: t.Tuple[str, ...] = ()
        self.name_trouble = ""
        with warnings.catch_warnings():
            # The library warns of odd serials, country codes and the like, once it has read them.
            warnings.simplefilter("ignore")
            try:
                certificate = x509.load_der_x509_certificate(der)
                begin, end = _utc(certificate, "not_valid_before"), _utc(certificate, "not_valid_after")
            except Exception as error:  # pylint: disable=broad-except
                # The parser is another project's: what it raises for nonsense is not ours to list.
                raise Unreadable("the certificate cannot be read: %s" % _trouble(error)) from None
            self._read_names(x509, certificate)
            self.facts: t.Dict[str, t.Any] = {
                "subject": _tried(lambda: short(certificate.subject.rfc4514_string()), ""),
                "issuer": _tried(lambda: short(certificate.issuer.rfc4514_string()), ""),
                "names": _shown_names(self.names),
                "not_before": _iso(begin),
                "not_after": _iso(end),
                "begun": now >= begin,
                "days_left": (end - now).days,
                # RFC 5280 section 4.1.2.5: both ends belong to it.
                "lifetime_days": (end - begin + datetime.timedelta(seconds=1)).days,
                "serial": _tried(lambda: "%x" % certificate.serial_number, ""),
                "fingerprint_sha256": fingerprint(der),
                "self_signed": _tried(lambda: _is_self_signed(certificate), False),
            }
            self.facts.update(_key(certificate))
            self.facts.update(_signature(certificate))

    def _read_names(self, x509: t.Any, certificate: t.Any) -> None:
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self.dns_names = tuple(found.get_values_for_type(x509.DNSName))
            self.addresses = tuple(str(address) for address in found.get_values_for_type(x509.IPAddress))
        except x509.ExtensionNotFound:
            self.name_trouble = "there is no subjectAltName in it"
        except Exception as error:  # pylint: disable=broad-except
            self.name_trouble = "its names cannot be read: %s" % _trouble(error)

    @property
    def names(self) -> t.Tuple[str, ...]:
        """The DNS names and IP addresses that it is for, as they stand in it."""
        return self.dns_names + self.addresses

    def is_for(self, name: str) -> bool:
        """Whether it is for ``name``, a DNS name in A-labels or an IP address (RFC 9525 sections 6.3 and 6.4)."""
        address = _address(name)
        if address is not None:
            return any(_address(presented) == address for presented in self.addresses)
        return any(matches(presented, name) for presented in self.dns_names)

    def without_names(self) -> t.Dict[str, t.Any]:
        """The facts without the names, for a chain."""
        return {key: value for key, value in self.facts.items() if key != "names"}

    def __str__(self) -> str:
        facts = self.facts
        key = "%s %s" % (facts["key"], facts["curve"] or ("%s bits" % facts["key_bits"] if facts["key_bits"] else ""))
        names = facts["names"][:3] + (["%d more" % (len(self.names) - 3)] if len(self.names) > 3 else [])
        ends = "expired on" if facts["days_left"] < 0 else "valid until"
        return "%s; %s; %s; %s %s (%d days)" % (
            ", ".join(names) or facts["subject"] or "no name",
            key.strip(),
            facts["signature"],
            ends,
            facts["not_after"][:10],
            facts["days_left"],
        )


def matches(presented: str, name: str) -> bool:
    """Whether a DNS name of a certificate is for ``name``, a DNS name in A-labels (RFC 9525 section 6.3).

    A wildcard is the whole left-most label and stands for exactly one; as for most clients, never right below a
    top-level domain.
    """
    wanted, given = _without_dot(name), _without_dot(presented)
    if not given.startswith("*."):
        return bool(wanted) and "*" not in given and given == wanted
    rest = given[2:]
    label, unused, domain = wanted.partition(".")
    return bool(label) and "*" not in rest and "." in rest and domain == rest


def _without_dot(name: str) -> str:
    return (name[:-1] if name.endswith(".") else name).lower()


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, in hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def curve_of(der: bytes) -> t.Optional[str]:
    """The named curve of a certificate's EC key, None for other keys and unknown curves. Needs no library."""
    at = der.find(_EC_PUBLIC_KEY)
    if at < 0:
        return None
    behind = der[at + len(_EC_PUBLIC_KEY) : at + len(_EC_PUBLIC_KEY) + 16]
    for oid, name in _CURVE_OIDS.items():
        if behind.startswith(bytes.fromhex(oid)):
            return name
    return None


def sent_chain(sock: t.Any) -> t.Optional[t.Tuple[bytes, ...]]:
    """The certificates that the server sent on an ``ssl.SSLSocket``, in DER, leaf first; None where Python cannot say.

    Public from Python 3.13 on, and there under another name since 3.10.
    """
    public = getattr(sock, "get_unverified_chain", None)
    private = getattr(getattr(sock, "_sslobj", None), "get_unverified_chain", None)
    try:
        chain = public() if public is not None else private() if private is not None else None
        if chain is None:
            return None
        return tuple(part if isinstance(part, bytes) else _der(part) for part in chain)
    except (ssl.SSLError, ValueError, TypeError, AttributeError):
        return None


def _der(part: t.Any) -> bytes:
    # _ssl.ENCODING_DER
    return part.public_bytes(2)


def short(text: str, length: int = NAME_LENGTH) -> str:
    """A text of a stranger as printable ASCII, cut where it is too long."""
    # Cut before it is made printable as well: an escape is up to ten times as long.
    line = printable(text[: length + 1].encode("utf-8", "backslashreplace"))[1:-1]
    return line if len(line) <= length and len(text) <= length else line[: length - 3] + "..."


# ---- parts


def _shown_names(names: t.Sequence[str]) -> t.List[str]:
    shown = [short(name) for name in names[:MAX_NAMES]]
    return shown + (["... and %d more" % (len(names) - MAX_NAMES)] if len(names) > MAX_NAMES else [])


def _trouble(error: Exception) -> str:
    return short(str(error) or type(error).__name__)


def _tried(read: t.Callable[[], t.Any], otherwise: t.Any) -> t.Any:
    try:
        return read()
    except Exception:  # pylint: disable=broad-except
        return otherwise


def _utc(certificate: t.Any, name: str) -> datetime.datetime:
    # Versions of the library before 42 know dates without a zone only.
    aware = getattr(certificate, name + "_utc", None)
    return aware if aware is not None else getattr(certificate, name).replace(tzinfo=datetime.timezone.utc)


def _iso(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_self_signed(certificate: t.Any) -> bool:
    if certificate.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except (AttributeError, TypeError):
        # An old library, or a key that it cannot check with: the names are all there is.
        return True
    except Exception:  # pylint: disable=broad-except
        return False
    return True


def _key(certificate: t.Any) -> t.Dict[str, t.Any]:
    from cryptography.hazmat.primitives import serialization  # pylint: disable=import-outside-toplevel

    found: t.Dict[str, t.Any] = {"key": "unknown", "key_bits": 0, "curve": None, "spki_sha256": None}
    try:
        key = certificate.public_key()
    except Exception:  # pylint: disable=broad-except
        oid = _tried(lambda: certificate.public_key_algorithm_oid.dotted_string, "")
        return dict(found, key="unknown (%s)" % oid if oid else "unknown")
    # "RSAPublicKey", "EllipticCurvePublicKey", "_RSAPublicKey" in old versions.
    kind = re.sub(r"\A_+|PublicKey.*\Z", "", type(key).__name__)
    found["key"] = {"EllipticCurve": "EC", "ECPublicKey": "EC"}.get(kind, kind)
    found["key_bits"] = {"Ed25519": 256, "Ed448": 456}.get(kind, getattr(key, "key_size", 0))
    curve = getattr(getattr(key, "curve", None), "name", None)
    found["curve"] = _CURVES.get(curve, curve)
    der = _tried(
        lambda: key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo), None
    )
    found["spki_sha256"] = fingerprint(der) if der else None
    return found


def _signature(certificate: t.Any) -> t.Dict[str, t.Any]:
    oid = _tried(lambda: certificate.signature_algorithm_oid.dotted_string, "unknown")
    algorithm = _tried(lambda: certificate.signature_hash_algorithm, None)
    name = SIGNATURES.get(oid, oid)
    broken = {"md2WithRSAEncryption": "md2", "md5WithRSAEncryption": "md5"}.get(name)
    return {"signature": name, "signature_hash": algorithm.name if algorithm is not None else broken}


def _address(text: str) -> t.Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
