# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS versions, cipher suites and the other numbers of the TLS registries that a probe needs.

Names of suites are OpenSSL's, because a policy's cipher list is written in them. The numbers are those
of the IANA TLS registries (RFC 5246 appendix A.5, RFC 5289, RFC 7905, RFC 8422, RFC 8446 appendix B.4).
"""

from __future__ import annotations

import typing as t

#: Version names, oldest first, with the number that stands in a hello.
VERSIONS: t.Dict[str, int] = {
    "SSLv2": 0x0002,
    "SSLv3": 0x0300,
    "TLSv1": 0x0301,
    "TLSv1.1": 0x0302,
    "TLSv1.2": 0x0303,
    "TLSv1.3": 0x0304,
}

VERSION_NAMES = {number: name for name, number in VERSIONS.items()}

#: TLS 1.3 suites say nothing about key exchange and signature.
TLS13_SUITES: t.Dict[str, int] = {
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_128_CCM_SHA256": 0x1304,
    "TLS_AES_128_CCM_8_SHA256": 0x1305,
}

#: Suites that exist in TLS 1.2 only: authenticated encryption, and CBC with a SHA-2 MAC.
TLS12_SUITES: t.Dict[str, int] = {
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "DHE-RSA-AES256-GCM-SHA384": 0x009F,
    "DHE-RSA-CHACHA20-POLY1305": 0xCCAA,
    "DHE-RSA-AES128-GCM-SHA256": 0x009E,
    "DHE-DSS-AES256-GCM-SHA384": 0x00A3,
    "DHE-DSS-AES128-GCM-SHA256": 0x00A2,
    "ECDHE-ECDSA-AES256-CCM": 0xC0AD,
    "ECDHE-ECDSA-AES128-CCM": 0xC0AC,
    "DHE-RSA-AES256-CCM": 0xC09F,
    "DHE-RSA-AES128-CCM": 0xC09E,
    "ECDHE-ECDSA-AES256-SHA384": 0xC024,
    "ECDHE-RSA-AES256-SHA384": 0xC028,
    "ECDHE-ECDSA-AES128-SHA256": 0xC023,
    "ECDHE-RSA-AES128-SHA256": 0xC027,
    "DHE-RSA-AES256-SHA256": 0x006B,
    "DHE-DSS-AES256-SHA256": 0x006A,
    "DHE-RSA-AES128-SHA256": 0x0067,
    "DHE-DSS-AES128-SHA256": 0x0040,
    "AES256-GCM-SHA384": 0x009D,
    "AES128-GCM-SHA256": 0x009C,
    "AES256-CCM": 0xC09D,
    "AES128-CCM": 0xC09C,
    "AES256-SHA256": 0x003D,
    "AES128-SHA256": 0x003C,
    "ADH-AES256-GCM-SHA384": 0x00A7,
    "ADH-AES128-GCM-SHA256": 0x00A6,
    "NULL-SHA256": 0x003B,
}

#: Suites of SSL 3.0 to TLS 1.2: a block or stream cipher with a SHA-1 or MD5 MAC.
OLD_SUITES: t.Dict[str, int] = {
    "ECDHE-ECDSA-AES256-SHA": 0xC00A,
    "ECDHE-RSA-AES256-SHA": 0xC014,
    "ECDHE-ECDSA-AES128-SHA": 0xC009,
    "ECDHE-RSA-AES128-SHA": 0xC013,
    "DHE-RSA-AES256-SHA": 0x0039,
    "DHE-DSS-AES256-SHA": 0x0038,
    "DHE-RSA-AES128-SHA": 0x0033,
    "DHE-DSS-AES128-SHA": 0x0032,
    "DHE-RSA-CAMELLIA256-SHA": 0x0088,
    "DHE-RSA-CAMELLIA128-SHA": 0x0045,
    "AES256-SHA": 0x0035,
    "AES128-SHA": 0x002F,
    "CAMELLIA256-SHA": 0x0084,
    "CAMELLIA128-SHA": 0x0041,
    "ECDHE-RSA-DES-CBC3-SHA": 0xC012,
    "DHE-RSA-DES-CBC3-SHA": 0x0016,
    "DES-CBC3-SHA": 0x000A,
    "ECDHE-RSA-RC4-SHA": 0xC011,
    "RC4-SHA": 0x0005,
    "RC4-MD5": 0x0004,
    "AECDH-AES256-SHA": 0xC019,
    "AECDH-AES128-SHA": 0xC018,
    "ADH-AES256-SHA": 0x003A,
    "ADH-AES128-SHA": 0x0034,
    "NULL-SHA": 0x0002,
    "NULL-MD5": 0x0001,
}

SUITES: t.Dict[str, int] = {}
SUITES.update(TLS13_SUITES)
SUITES.update(TLS12_SUITES)
SUITES.update(OLD_SUITES)

SUITE_NAMES = {number: name for name, number in SUITES.items()}

#: SSL 2.0 cipher kinds are three bytes long (the SSL 2.0 protocol, section C.4).
SSL2_SUITES: t.Dict[str, int] = {
    "RC4-MD5": 0x010080,
    "EXP-RC4-MD5": 0x020080,
    "RC2-CBC-MD5": 0x030080,
    "EXP-RC2-CBC-MD5": 0x040080,
    "IDEA-CBC-MD5": 0x050080,
    "DES-CBC-MD5": 0x060040,
    "DES-CBC3-MD5": 0x0700C0,
}

#: The hardening article's cipher list.
ARTICLE_SUITES = (
    "DHE-RSA-AES128-SHA256",
    "DHE-RSA-AES128-SHA",
    "DHE-DSS-AES128-SHA256",
    "DHE-RSA-AES256-SHA256",
    "DHE-DSS-AES256-SHA",
    "DHE-RSA-AES256-SHA",
)

#: Groups (RFC 8422, RFC 7919, RFC 8446 section 4.2.7).
GROUPS: t.Dict[int, str] = {
    0x0013: "P-192",
    0x0015: "P-224",
    0x0017: "P-256",
    0x0018: "P-384",
    0x0019: "P-521",
    0x001A: "brainpoolP256r1",
    0x001B: "brainpoolP384r1",
    0x001C: "brainpoolP512r1",
    0x001D: "X25519",
    0x001E: "X448",
    0x0100: "ffdhe2048",
    0x0101: "ffdhe3072",
    0x0102: "ffdhe4096",
    0x0103: "ffdhe6144",
    0x0104: "ffdhe8192",
    0x11EC: "X25519MLKEM768",
}

#: Alert descriptions (RFC 8446 section 6, and the older ones of RFC 5246 section 7.2 and of SSL 3.0).
ALERTS: t.Dict[int, str] = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}


def suites_of(version: str) -> t.Tuple[str, ...]:
    """Every suite of the table that ``version`` can negotiate and that authenticates the server and encrypts.

    Raises ValueError for an unknown version name.
    """
    if version not in VERSIONS:
        raise ValueError("unknown TLS version %r: known are %s" % (version, ", ".join(VERSIONS)))
    if version == "TLSv1.3":
        return tuple(TLS13_SUITES)
    if version == "SSLv2":
        return tuple(SSL2_SUITES)
    names = list(OLD_SUITES)
    if version == "TLSv1.2":
        names = list(TLS12_SUITES) + names
    if version == "SSLv3":
        # Elliptic curves came with TLS 1.0 (RFC 8422).
        names = [name for name in names if "ECDH" not in name]
    return tuple(name for name in names if not name.startswith(("ADH-", "AECDH-", "NULL-")))


def is_aead(name: str) -> bool:
    """Whether a suite is authenticated encryption (RFC 5116); false for CBC, RC4 and NULL suites."""
    return name in TLS13_SUITES or any(word in name for word in ("-GCM-", "-CCM", "-POLY1305"))


def key_exchange(name: str) -> str:
    """"DHE", "ECDHE" or "RSA"; "any" for TLS 1.3 suites, whose key exchange is always ephemeral."""
    if name in TLS13_SUITES:
        return "any"
    first = name.split("-", 1)[0]
    return {"DHE": "DHE", "ADH": "DHE", "ECDHE": "ECDHE", "AECDH": "ECDHE"}.get(first, "RSA")
