# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The profile ``rfc9325``: what the IETF recommends for TLS (RFC 9325), for mail (RFC 8314), and has withdrawn."""

from __future__ import annotations

import typing as t

PROFILE: t.Dict[str, t.Any] = {
    "name": "rfc9325",
    "title": "Checks drawn from RFC 9325, RFC 8314 and RFC 8996",
    "version": "1.0",
    "of": "RFC 9325 (BCP 195, November 2022), RFC 8314 (January 2018), RFC 8996 (March 2021)",
    "date": "2026-11-25",
    "sources": [
        {
            "title": "RFC 9325, in its last draft and in the words that others quote",
            "url": "https://www.rfc-editor.org/rfc/rfc9325",
            "read": "secondary",
        },
        {"title": "RFC 8314", "url": "https://www.rfc-editor.org/rfc/rfc8314", "read": "secondary"},
        {"title": "RFC 8996", "url": "https://www.rfc-editor.org/rfc/rfc8996", "read": "secondary"},
    ],
    "caveats": [
        {
            "text": "What an RFC says with MUST is an error here, what it says with SHOULD or RECOMMENDED is a "
            "warning.",
            "where": "everywhere",
        },
        {
            "text": "Opportunistic TLS is better than none (RFC 9325 section 5.2, RFC 7435): anonymous suites are a "
            "warning on a public relay port, because a sender that verifies nothing loses nothing by them.",
            "where": "opportunistic",
        },
    ],
    "includes": ["starttls", "no-ssl", "certificate", "login", "everybody"],
    "requirements": [
        {"check": "version", "parameters": {"version": "TLSv1", "accepted": False}, "source": "RFC 8996 section 4"},
        {"check": "version", "parameters": {"version": "TLSv1.1", "accepted": False}, "source": "RFC 8996 section 5"},
        {
            "check": "version",
            "parameters": {"version": "TLSv1.2", "accepted": True},
            "source": "RFC 9325 section 3.1.1",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.3", "accepted": True},
            "severity": "warning",
            "source": "RFC 9325 section 3.1.1",
        },
        {
            "check": "suites",
            "parameters": {"version": "TLSv1.2", "forbidden": ["null", "rc4", "export", "rc2", "des"]},
            "source": "RFC 9325 section 4.1",
        },
        {
            "check": "suites",
            "parameters": {"version": "TLSv1.2", "forbidden": ["anonymous"]},
            "source": "RFC 5246 appendix F.1.1.1",
            "opportunistic": "warning",
        },
        {
            "check": "suites",
            "parameters": {"version": "TLSv1.2", "forbidden": ["rsa", "static-ecdh", "dhe", "3des", "idea"]},
            "severity": "warning",
            "source": "RFC 9325 section 4.1",
        },
        {
            "check": "suites",
            "parameters": {"version": "TLSv1.2", "forbidden": ["cbc"]},
            "severity": "warning",
            "source": "RFC 9325 section 4.2",
        },
        {
            "check": "suite_offered",
            "parameters": {
                "version": "TLSv1.2",
                "any_of": [
                    "ECDHE-RSA-AES128-GCM-SHA256",
                    "ECDHE-RSA-AES256-GCM-SHA384",
                    "ECDHE-ECDSA-AES128-GCM-SHA256",
                    "ECDHE-ECDSA-AES256-GCM-SHA384",
                ],
            },
            "severity": "warning",
            "source": "RFC 9325 section 4.2",
        },
        {
            "check": "suites",
            "parameters": {"version": "TLSv1.3", "forbidden": ["null"]},
            "source": "RFC 9325 section 4.1",
        },
        {
            "check": "suite_offered",
            "parameters": {"version": "TLSv1.3", "any_of": ["TLS_AES_128_GCM_SHA256"]},
            "source": "RFC 8446 section 9.1",
        },
        {
            "check": "groups",
            "parameters": {
                "allowed": [
                    "X25519",
                    "X448",
                    "P-224",
                    "P-256",
                    "P-384",
                    "P-521",
                    "secp224k1",
                    "secp256k1",
                    "brainpoolP256r1",
                    "brainpoolP384r1",
                    "brainpoolP512r1",
                    "sect233k1",
                    "sect233r1",
                    "sect239k1",
                    "sect283k1",
                    "sect283r1",
                    "sect409k1",
                    "sect409r1",
                    "sect571k1",
                    "sect571r1",
                    "curveSM2",
                    "ffdhe2048",
                    "ffdhe3072",
                    "ffdhe4096",
                    "ffdhe6144",
                    "ffdhe8192",
                    "MLKEM512",
                    "MLKEM768",
                    "MLKEM1024",
                    "X25519MLKEM768",
                    "SecP256r1MLKEM768",
                    "SecP384r1MLKEM1024",
                    "X25519Kyber768Draft00",
                    "SecP256r1Kyber768Draft00",
                ],
            },
            "source": "RFC 9325 section 4.5 (no curve of less than 224 bits)",
        },
        {"check": "dh_size", "parameters": {"bits": 2048}, "source": "RFC 9325 section 4.5"},
        {"check": "compression", "severity": "warning", "source": "RFC 9325 section 3.3"},
        {"check": "secure_renegotiation", "source": "RFC 9325 section 3.5, RFC 5746"},
        {"check": "extended_master_secret", "source": "RFC 9325 section 3.5, RFC 7627"},
        {
            "check": "certificate_key",
            "parameters": {"rsa_bits": 2048, "ec_bits": 224},
            "source": "RFC 9325 section 4.5",
        },
        {
            "check": "certificate_signature",
            "parameters": {"forbidden": ["md2", "md5", "sha1"]},
            "source": "RFC 9325 section 4.5",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "keys of session tickets are changed regularly",
                "why": "how long a server keeps a key shows only after weeks",
            },
            "source": "RFC 9325 section 3.4",
        },
        {
            "check": "outside",
            "parameters": {"what": "no early data (0-RTT)", "why": "the probe resumes no session and sends none"},
            "source": "RFC 9325 section 3.10",
        },
        {
            "check": "outside",
            "parameters": {"what": "no truncated HMAC", "why": "the probe does not offer this extension"},
            "source": "RFC 9325 section 4.6",
        },
    ],
}
