# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The profile ``bsi-tr-02102-2``: what the BSI recommends for TLS."""

from __future__ import annotations

import typing as t

PROFILE: t.Dict[str, t.Any] = {
    "name": "bsi-tr-02102-2",
    "title": "Checks drawn from BSI TR-02102-2",
    "version": "1.0",
    "of": "BSI TR-02102-2, edition 2025-01; what edition 2026-01 changed is known from secondary sources",
    "date": "2026-11-25",
    "sources": [
        {
            "title": "BSI TR-02102-2, edition 2025-01 (21 January 2025), in a copy of its text, not in the BSI's "
            "own file",
            "url": "https://www.bsi.bund.de/SharedDocs/Downloads/DE/BSI/Publikationen/TechnischeRichtlinien/"
            "TR02102/BSI-TR-02102-2.html",
            "read": "text",
        },
        {
            "title": "Reports about edition 2026-01: TLS 1.2 to the end of 2031, periods of use extended, hybrid "
            "key exchange",
            "url": "",
            "read": "secondary",
        },
    ],
    "caveats": [
        {
            "text": "Edition 2026-01 was not read. Compare with the BSI's own document before anybody says in "
            "writing that a server follows it. No row says that a server conforms.",
            "where": "everywhere",
        },
        {
            "text": "The guide says that what it does not list is not therefore insecure (section 1). "
            "ChaCha20-Poly1305 and X25519 are such: servers with the usual settings of OpenSSL accept both and fail "
            "here.",
            "where": "everywhere",
        },
        {
            "text": "Hybrids of ML-KEM with P-256 and P-384 are let through, because the BSI recommends hybrid key "
            "exchange; which ones edition 2026-01 lists was not read.",
            "where": "everywhere",
        },
        {
            "text": "Too strict for a public relay port, where a sender that is refused TLS sends in clear. There, "
            "what is stricter than `intermediate` is a warning.",
            "where": "opportunistic",
        },
    ],
    "includes": ["starttls", "no-ssl", "certificate", "login", "everybody"],
    "requirements": [
        {"check": "version", "parameters": {"version": "TLSv1", "accepted": False}, "source": "TR-02102-2 section 3.2"},
        {
            "check": "version",
            "parameters": {"version": "TLSv1.1", "accepted": False},
            "source": "TR-02102-2 section 3.2",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.3", "accepted": True},
            "severity": "warning",
            "source": "TR-02102-2 section 3.2",
        },
        {
            "check": "suites",
            "parameters": {
                "version": "TLSv1.2",
                "allowed": [
                    "ECDHE-ECDSA-AES128-SHA256",
                    "ECDHE-ECDSA-AES256-SHA384",
                    "ECDHE-ECDSA-AES128-GCM-SHA256",
                    "ECDHE-ECDSA-AES256-GCM-SHA384",
                    "ECDHE-ECDSA-AES128-CCM",
                    "ECDHE-ECDSA-AES256-CCM",
                    "ECDHE-RSA-AES128-SHA256",
                    "ECDHE-RSA-AES256-SHA384",
                    "ECDHE-RSA-AES128-GCM-SHA256",
                    "ECDHE-RSA-AES256-GCM-SHA384",
                    "DHE-DSS-AES128-SHA256",
                    "DHE-DSS-AES256-SHA256",
                    "DHE-DSS-AES128-GCM-SHA256",
                    "DHE-DSS-AES256-GCM-SHA384",
                    "DHE-RSA-AES128-SHA256",
                    "DHE-RSA-AES256-SHA256",
                    "DHE-RSA-AES128-GCM-SHA256",
                    "DHE-RSA-AES256-GCM-SHA384",
                    "DHE-RSA-AES128-CCM",
                    "DHE-RSA-AES256-CCM",
                ],
            },
            "source": "TR-02102-2 table 2",
            "opportunistic": "warning",
        },
        {
            "check": "suites",
            "parameters": {"version": "TLSv1.2", "forbidden": ["dhe"]},
            "severity": "warning",
            "source": "TR-02102-2 table 2 (DHE to the end of 2029)",
        },
        {
            "check": "suites",
            "parameters": {
                "version": "TLSv1.3",
                "allowed": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_AES_128_CCM_SHA256"],
            },
            "source": "TR-02102-2 section 3.4.4",
            "opportunistic": "warning",
        },
        {
            "check": "groups",
            "parameters": {
                "allowed": [
                    "P-256",
                    "P-384",
                    "P-521",
                    "brainpoolP256r1",
                    "brainpoolP384r1",
                    "brainpoolP512r1",
                    "ffdhe3072",
                    "ffdhe4096",
                    "SecP256r1MLKEM768",
                    "SecP384r1MLKEM1024",
                ],
            },
            "source": "TR-02102-2 tables 5 and 9; hybrids: edition 2026-01",
            "secondary": True,
            "opportunistic": "warning",
        },
        {"check": "dh_size", "parameters": {"bits": 3000}, "source": "TR-02102-2 table 13"},
        {"check": "secure_renegotiation", "source": "TR-02102-2 section 3.3.4.1"},
        {"check": "compression", "source": "TR-02102-2 section 3.3.4.3"},
        {"check": "encrypt_then_mac", "source": "TR-02102-2 sections 3.3.1.1 and 3.3.4.5"},
        {"check": "extended_master_secret", "source": "TR-02102-2 section 3.3.4.7"},
        {
            "check": "certificate_key",
            "parameters": {
                "rsa_bits": 3000,
                "ec_bits": 250,
                "curves": ["P-256", "P-384", "P-521", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"],
            },
            "source": "TR-02102-2 table 13 and section 3.6.2",
            "opportunistic": "warning",
        },
        {
            "check": "certificate_signature",
            "parameters": {"forbidden": ["md2", "md5", "sha1", "sha224"]},
            "source": "TR-02102-2 tables 7 and 11",
        },
        {
            "check": "certificate_signature",
            "parameters": {"forbidden": ["pkcs1"]},
            "severity": "warning",
            "source": "TR-02102-2 table 11 (PKCS #1 v1.5 to the end of 2025)",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "renegotiation by the client is refused",
                "why": "the probe does not try to renegotiate",
            },
            "source": "TR-02102-2 section 3.3.4.1",
        },
        {
            "check": "outside",
            "parameters": {"what": "no truncated HMAC", "why": "the probe does not offer this extension"},
            "source": "TR-02102-2 section 3.3.4.2",
        },
        {
            "check": "outside",
            "parameters": {"what": "no heartbeat", "why": "the probe does not offer this extension"},
            "source": "TR-02102-2 sections 3.3.4.6 and 3.4.5.1",
        },
        {
            "check": "outside",
            "parameters": {"what": "no early data (0-RTT)", "why": "the probe resumes no session and sends none"},
            "source": "TR-02102-2 section 3.4.1",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "signatures in the handshake are RSA-PSS or ECDSA",
                "why": "the probe does not enumerate what a server signs with",
            },
            "source": "TR-02102-2 tables 6 and 10",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "keys are kept safely, ephemeral ones are deleted, random numbers are good",
                "why": "that is inside the server",
            },
            "source": "TR-02102-2 chapter 4",
        },
    ],
}
