# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates for trying things out: an authority, a server certificate and a DH file.

``python lab_certificates.py FOLDER NAME[,NAME…]`` writes ``ca.pem``, ``server.pem`` (key, leaf, authority) and
``dh.pem`` and prints whether it had to. Files that are there, valid for a week and for the same names stay.
The key is RSA, because the DHE-RSA suites of the hardening article need one. Needs ``cryptography``.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=90)
RENEW = datetime.timedelta(days=7)
#: The group ffdhe2048 of RFC 7919, appendix A.1: known to be sound, and making one of our own takes minutes.
FFDHE2048 = b"""\
-----BEGIN X9.42 DH PARAMETERS-----
MIICDAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAgKCAQB//////////9b8KixRXaVN
V+4rEBOennjsXOLB5xabStTwmyCKMhn95knO5xJNn3y+l/GxsYY67HtA2QFXYjC9
ae+Paur+srCSGfqPr4M3aEKxsqqe9o152quJrz+r5JrMJ4Y4cHNFu/FTRO159/Q5
DvisUJtW85qYVmUnpB08vV4FWMFZkn2w6IRUpdlkcf3ctW1bsGv6NA6noVHvHKb6
Vyt287G5XYyFg9PkdwU2uE8BfnDm+/F2YBoCZpQaF7DIuX9OdMLB/8cniRl3eUDB
4f8djaY31rmd2v5eF2EQAuLHeMG+i0HZY3mlE2DZd/1ENaEcMJQuS///////////
-----END X9.42 DH PARAMETERS-----
"""


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(**wanted: bool) -> x509.KeyUsage:
    flags = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
    )
    return x509.KeyUsage(**{**flags, **wanted})


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, now: datetime.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A clock of another host may be a little behind.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def make(names: list[str], now: datetime.datetime) -> dict[str, bytes]:
    """The contents of the three files by name. The authority's key is thrown away."""
    authority_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority_name = _name("securemail.smtp lab authority")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    leaf = (
        _builder(_name(names[0]), authority_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "ca.pem": authority.public_bytes(pem),
        "server.pem": private + leaf.public_bytes(pem) + authority.public_bytes(pem),
        "dh.pem": FFDHE2048,
    }


def current(folder: str, names: list[str], now: datetime.datetime) -> bool:
    """Whether the files are there, for these names, and good for another week."""
    try:
        for name in ("ca.pem", "dh.pem"):
            os.stat(os.path.join(folder, name))
        with open(os.path.join(folder, "server.pem"), "rb") as stream:
            leaf = x509.load_pem_x509_certificates(stream.read())[0]
    except (OSError, ValueError):
        return False
    wanted = x509.SubjectAlternativeName([_alternative(name) for name in names])
    return (
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == wanted
        and leaf.not_valid_after_utc - now > RENEW
    )


def main(folder: str, names: list[str]) -> bool:
    """Make the files if they are needed; returns whether they were."""
    now = datetime.datetime.now(datetime.timezone.utc)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if current(folder, names, now):
        return False
    for name, content in make(names, now).items():
        path = os.path.join(folder, name)
        part = path + ".part"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644 if name == "ca.pem" else 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(part, path)
    return True


if __name__ == "__main__":
    print(json.dumps({"changed": main(sys.argv[1], sys.argv[2].split(","))}))
