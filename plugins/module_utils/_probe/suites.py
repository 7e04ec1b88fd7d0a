# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS versions, cipher suites and the other numbers of the TLS registries that a probe needs.

Names of suites are OpenSSL's (of the last release that had the suite), because a policy's cipher list is written in
them. The numbers are those of the IANA TLS registries (RFC 5246 appendix A.5, RFC 5289, RFC 6209, RFC 6367, RFC 7905,
RFC 8422, RFC 8446 appendix B.4). Suites that a mail server open to strangers cannot use are left out: those with a
pre-shared key, SRP, Kerberos and fixed Diffie-Hellman certificates; and GOST, which is national.
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
    # RFC 9150: integrity only.
    "TLS_SHA256_SHA256": 0xC0B4,
    "TLS_SHA384_SHA384": 0xC0B5,
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
    "ECDHE-ECDSA-AES256-CCM8": 0xC0AF,
    "ECDHE-ECDSA-AES128-CCM8": 0xC0AE,
    "DHE-RSA-AES256-CCM": 0xC09F,
    "DHE-RSA-AES128-CCM": 0xC09E,
    "DHE-RSA-AES256-CCM8": 0xC0A3,
    "DHE-RSA-AES128-CCM8": 0xC0A2,
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
    "AES256-CCM8": 0xC0A1,
    "AES128-CCM8": 0xC0A0,
    "AES256-SHA256": 0x003D,
    "AES128-SHA256": 0x003C,
    "ADH-AES256-GCM-SHA384": 0x00A7,
    "ADH-AES128-GCM-SHA256": 0x00A6,
    "ADH-AES256-SHA256": 0x006D,
    "ADH-AES128-SHA256": 0x006C,
    "NULL-SHA256": 0x003B,
    # Fixed ECDH: the key in the certificate is the server's share, so nothing is forward secret.
    "ECDH-ECDSA-AES256-GCM-SHA384": 0xC02E,
    "ECDH-ECDSA-AES128-GCM-SHA256": 0xC02D,
    "ECDH-RSA-AES256-GCM-SHA384": 0xC032,
    "ECDH-RSA-AES128-GCM-SHA256": 0xC031,
    "ECDH-ECDSA-AES256-SHA384": 0xC026,
    "ECDH-ECDSA-AES128-SHA256": 0xC025,
    "ECDH-RSA-AES256-SHA384": 0xC02A,
    "ECDH-RSA-AES128-SHA256": 0xC029,
    # Numbers of the drafts before RFC 7905.
    "ECDHE-ECDSA-CHACHA20-POLY1305-OLD": 0xCC14,
    "ECDHE-RSA-CHACHA20-POLY1305-OLD": 0xCC13,
    "DHE-RSA-CHACHA20-POLY1305-OLD": 0xCC15,
    "ECDHE-ECDSA-ARIA256-GCM-SHA384": 0xC05D,
    "ECDHE-ECDSA-ARIA128-GCM-SHA256": 0xC05C,
    "ECDHE-ARIA256-GCM-SHA384": 0xC061,
    "ECDHE-ARIA128-GCM-SHA256": 0xC060,
    "DHE-RSA-ARIA256-GCM-SHA384": 0xC053,
    "DHE-RSA-ARIA128-GCM-SHA256": 0xC052,
    "DHE-DSS-ARIA256-GCM-SHA384": 0xC057,
    "DHE-DSS-ARIA128-GCM-SHA256": 0xC056,
    "ARIA256-GCM-SHA384": 0xC051,
    "ARIA128-GCM-SHA256": 0xC050,
    "ECDHE-ECDSA-CAMELLIA256-SHA384": 0xC073,
    "ECDHE-ECDSA-CAMELLIA128-SHA256": 0xC072,
    "ECDHE-RSA-CAMELLIA256-SHA384": 0xC077,
    "ECDHE-RSA-CAMELLIA128-SHA256": 0xC076,
    "DHE-RSA-CAMELLIA256-SHA256": 0x00C4,
    "DHE-RSA-CAMELLIA128-SHA256": 0x00BE,
    "DHE-DSS-CAMELLIA256-SHA256": 0x00C3,
    "DHE-DSS-CAMELLIA128-SHA256": 0x00BD,
    "CAMELLIA256-SHA256": 0x00C0,
    "CAMELLIA128-SHA256": 0x00BA,
    "ADH-CAMELLIA256-SHA256": 0x00C5,
    "ADH-CAMELLIA128-SHA256": 0x00BF,
    # OpenSSL never had these; GnuTLS and mbed TLS do. Named the way OpenSSL would.
    "ECDHE-ECDSA-CAMELLIA256-GCM-SHA384": 0xC087,
    "ECDHE-ECDSA-CAMELLIA128-GCM-SHA256": 0xC086,
    "ECDHE-RSA-CAMELLIA256-GCM-SHA384": 0xC08B,
    "ECDHE-RSA-CAMELLIA128-GCM-SHA256": 0xC08A,
    "DHE-RSA-CAMELLIA256-GCM-SHA384": 0xC07D,
    "DHE-RSA-CAMELLIA128-GCM-SHA256": 0xC07C,
    "DHE-DSS-CAMELLIA256-GCM-SHA384": 0xC081,
    "DHE-DSS-CAMELLIA128-GCM-SHA256": 0xC080,
    "CAMELLIA256-GCM-SHA384": 0xC07B,
    "CAMELLIA128-GCM-SHA256": 0xC07A,
    "ADH-CAMELLIA256-GCM-SHA384": 0xC085,
    "ADH-CAMELLIA128-GCM-SHA256": 0xC084,
    "ECDHE-ECDSA-ARIA256-CBC-SHA384": 0xC049,
    "ECDHE-ECDSA-ARIA128-CBC-SHA256": 0xC048,
    "ECDHE-RSA-ARIA256-CBC-SHA384": 0xC04D,
    "ECDHE-RSA-ARIA128-CBC-SHA256": 0xC04C,
    "DHE-RSA-ARIA256-CBC-SHA384": 0xC045,
    "DHE-RSA-ARIA128-CBC-SHA256": 0xC044,
    "ARIA256-CBC-SHA384": 0xC03D,
    "ARIA128-CBC-SHA256": 0xC03C,
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
    "DHE-DSS-CAMELLIA256-SHA": 0x0087,
    "DHE-DSS-CAMELLIA128-SHA": 0x0044,
    "DHE-RSA-SEED-SHA": 0x009A,
    "DHE-DSS-SEED-SHA": 0x0099,
    "SEED-SHA": 0x0096,
    "ECDH-ECDSA-AES256-SHA": 0xC005,
    "ECDH-ECDSA-AES128-SHA": 0xC004,
    "ECDH-RSA-AES256-SHA": 0xC00F,
    "ECDH-RSA-AES128-SHA": 0xC00E,
    "ECDHE-ECDSA-DES-CBC3-SHA": 0xC008,
    "ECDHE-RSA-DES-CBC3-SHA": 0xC012,
    "DHE-RSA-DES-CBC3-SHA": 0x0016,
    "DHE-DSS-DES-CBC3-SHA": 0x0013,
    "DES-CBC3-SHA": 0x000A,
    "ECDH-ECDSA-DES-CBC3-SHA": 0xC003,
    "ECDH-RSA-DES-CBC3-SHA": 0xC00D,
    "IDEA-CBC-SHA": 0x0007,
    "ECDHE-ECDSA-RC4-SHA": 0xC007,
    "ECDHE-RSA-RC4-SHA": 0xC011,
    "ECDH-ECDSA-RC4-SHA": 0xC002,
    "ECDH-RSA-RC4-SHA": 0xC00C,
    "DHE-DSS-RC4-SHA": 0x0066,
    "RC4-SHA": 0x0005,
    "RC4-MD5": 0x0004,
    "EDH-RSA-DES-CBC-SHA": 0x0015,
    "EDH-DSS-DES-CBC-SHA": 0x0012,
    "DES-CBC-SHA": 0x0009,
    "EXP1024-DHE-DSS-RC4-SHA": 0x0065,
    "EXP1024-DHE-DSS-DES-CBC-SHA": 0x0063,
    "EXP1024-RC4-SHA": 0x0064,
    "EXP1024-DES-CBC-SHA": 0x0062,
    "EXP1024-RC2-CBC-MD5": 0x0061,
    "EXP1024-RC4-MD5": 0x0060,
    "EXP-EDH-RSA-DES-CBC-SHA": 0x0014,
    "EXP-EDH-DSS-DES-CBC-SHA": 0x0011,
    "EXP-DES-CBC-SHA": 0x0008,
    "EXP-RC2-CBC-MD5": 0x0006,
    "EXP-RC4-MD5": 0x0003,
    "AECDH-AES256-SHA": 0xC019,
    "AECDH-AES128-SHA": 0xC018,
    "AECDH-DES-CBC3-SHA": 0xC017,
    "AECDH-RC4-SHA": 0xC016,
    "ADH-AES256-SHA": 0x003A,
    "ADH-AES128-SHA": 0x0034,
    "ADH-CAMELLIA256-SHA": 0x0089,
    "ADH-CAMELLIA128-SHA": 0x0046,
    "ADH-SEED-SHA": 0x009B,
    "ADH-DES-CBC3-SHA": 0x001B,
    "ADH-RC4-MD5": 0x0018,
    "ADH-DES-CBC-SHA": 0x001A,
    "EXP-ADH-DES-CBC-SHA": 0x0019,
    "EXP-ADH-RC4-MD5": 0x0017,
    "AECDH-NULL-SHA": 0xC015,
    "ECDHE-ECDSA-NULL-SHA": 0xC006,
    "ECDHE-RSA-NULL-SHA": 0xC010,
    "ECDH-ECDSA-NULL-SHA": 0xC001,
    "ECDH-RSA-NULL-SHA": 0xC00B,
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

#: Families of suites, the worst first; see :func:`family`.
FAMILIES = ("anonymous", "null", "export", "des", "rc4", "3des", "rsa", "cbc", "dhe", "ecdhe", "tls13")

#: Families that no document of today allows: nobody proves who he is, or what is sent can be read by others
#: (RFC 9325 section 4.1, RFC 7465, RFC 8429).
WEAK_FAMILIES = FAMILIES[:6]

#: Groups (RFC 4492, RFC 7027, RFC 7919, RFC 8422, RFC 8446 section 4.2.7, RFC 8734, RFC 8998). One curve has one name:
#: Brainpool curves have other numbers in TLS 1.3.
GROUPS: t.Dict[int, str] = {
    0x0001: "sect163k1",
    0x0002: "sect163r1",
    0x0003: "sect163r2",
    0x0004: "sect193r1",
    0x0005: "sect193r2",
    0x0006: "sect233k1",
    0x0007: "sect233r1",
    0x0008: "sect239k1",
    0x0009: "sect283k1",
    0x000A: "sect283r1",
    0x000B: "sect409k1",
    0x000C: "sect409r1",
    0x000D: "sect571k1",
    0x000E: "sect571r1",
    0x000F: "secp160k1",
    0x0010: "secp160r1",
    0x0011: "secp160r2",
    0x0012: "secp192k1",
    0x0013: "P-192",
    0x0014: "secp224k1",
    0x0015: "P-224",
    0x0016: "secp256k1",
    0x0017: "P-256",
    0x0018: "P-384",
    0x0019: "P-521",
    0x001A: "brainpoolP256r1",
    0x001B: "brainpoolP384r1",
    0x001C: "brainpoolP512r1",
    0x001D: "X25519",
    0x001E: "X448",
    0x001F: "brainpoolP256r1",
    0x0020: "brainpoolP384r1",
    0x0021: "brainpoolP512r1",
    0x0029: "curveSM2",
    0x0100: "ffdhe2048",
    0x0101: "ffdhe3072",
    0x0102: "ffdhe4096",
    0x0103: "ffdhe6144",
    0x0104: "ffdhe8192",
    0x0200: "MLKEM512",
    0x0201: "MLKEM768",
    0x0202: "MLKEM1024",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
    0x6399: "X25519Kyber768Draft00",
    0x639A: "SecP256r1Kyber768Draft00",
}

#: What a group is called by number, for each of the two ways to agree on one.
TLS13_GROUPS: t.Dict[str, int] = {
    name: number for number, name in GROUPS.items() if number >= 0x0017 and not 0x001A <= number <= 0x001C
}
#: Before TLS 1.3 a finite field is the server's own file, which no number names (RFC 7919 is hardly spoken).
OLD_GROUPS: t.Dict[str, int] = {name: number for number, name in GROUPS.items() if number <= 0x001E}

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
    names = all_suites_of(version)
    return tuple(name for name in names if version == "SSLv2" or family(name) not in ("anonymous", "null"))


def all_suites_of(version: str) -> t.Tuple[str, ...]:
    """As :func:`suites_of`, with the suites that do not authenticate or do not encrypt.

    What servers really have comes first: some old ones read no more than 64 suites. Elliptic curves came with TLS 1.0
    (RFC 8422), but there are servers that take them in SSL 3.0 too.
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
    return tuple(sorted(names, key=_is_rare))


def _is_rare(name: str) -> bool:
    words = set(name.split("-"))
    return bool(words & {"ECDH", "DSS", "SEED", "OLD", "CCM", "CCM8"}) or "ARIA" in name or "CAMELLIA" in name


def is_aead(name: str) -> bool:
    """Whether a suite is authenticated encryption (RFC 5116); false for CBC, RC4 and NULL suites."""
    return name.startswith("TLS_") or any(word in name for word in ("-GCM-", "-CCM", "-POLY1305"))


def is_cbc(name: str) -> bool:
    """Whether a suite encrypts in CBC mode, where encrypt-then-MAC makes a difference (RFC 7366)."""
    return not is_aead(name) and "NULL" not in name and "RC4" not in name


def key_exchange(name: str) -> str:
    """"DHE", "ECDHE", "ECDH" (fixed) or "RSA"; "any" for TLS 1.3 suites, whose key exchange is always ephemeral."""
    if name.startswith("TLS_"):
        return "any"
    words = name.split("-")
    first = words[1] if words[0].startswith("EXP") else words[0]
    return {"DHE": "DHE", "EDH": "DHE", "ADH": "DHE", "ECDHE": "ECDHE", "AECDH": "ECDHE", "ECDH": "ECDH"}.get(
        first, "RSA"
    )


def family(name: str) -> str:
    """The one family of :data:`FAMILIES` that a suite belongs to: the worst thing that is to be said about it.

    ``anonymous``: nobody proves who he is. ``null``: no encryption. ``export``: keys of 40 or 56 bits. ``des``: single
    DES. ``rc4``. ``3des``: blocks of 64 bits, IDEA too. ``rsa``: not forward secret (static RSA or fixed ECDH),
    otherwise sound. ``cbc``: forward secret, but not authenticated encryption. ``dhe``, ``ecdhe``: forward secret and
    authenticated encryption. ``tls13``: a suite of TLS 1.3. Takes an OpenSSL name, also one that the table lacks; it
    goes by the words of the name. SSL 2.0 cipher kinds are ``export`` or what their cipher is.
    """
    if name.startswith("TLS_"):
        return "null" if name.startswith("TLS_SHA") else "tls13"
    words = name.split("-")
    exchange = key_exchange(name)
    if "ADH" in words[:2] or "AECDH" in words[:2]:
        return "anonymous"
    if "NULL" in words:
        return "null"
    if words[0].startswith("EXP") or "RC2" in words:
        return "export"
    if "DES" in words:
        return "3des" if "CBC3" in words else "des"
    if "RC4" in words:
        return "rc4"
    if "IDEA" in words:
        return "3des"
    if exchange in ("RSA", "ECDH"):
        return "rsa"
    if not is_aead(name):
        return "cbc"
    return "dhe" if exchange == "DHE" else "ecdhe"
