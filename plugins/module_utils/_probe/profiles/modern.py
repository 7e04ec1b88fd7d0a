# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The profile ``modern``: TLS 1.3 and nothing else, after Mozilla's guideline of that name."""

from __future__ import annotations

import typing as t

PROFILE: t.Dict[str, t.Any] = {
    "name": "modern",
    "title": "Checks drawn from Mozilla Server Side TLS, modern",
    "version": "1.0",
    "of": "Mozilla Server Side TLS 5.7 (May 2023), configuration modern",
    "date": "2026-11-25",
    "sources": [
        {
            "title": "Mozilla Server Side TLS 5.7 as JSON, in the copy that sslyze 6.3 carries",
            "url": "https://ssl-config.mozilla.org/guidelines/5.7.json",
            "read": "text",
        },
    ],
    "caveats": [
        {
            "text": "Meant for web servers. What Mozilla says about HSTS and OCSP stapling is not asked for here, "
            "nor the order of suites, since all of them are good.",
            "where": "everywhere",
        },
        {
            "text": "A sender that cannot do TLS 1.3 falls back to clear text on a public relay port, which is "
            "worse than TLS 1.2. There, what is stricter than `intermediate` is a warning.",
            "where": "opportunistic",
        },
    ],
    "includes": ["starttls", "no-ssl", "certificate", "login", "everybody"],
    "requirements": [
        {
            "check": "version",
            "parameters": {"version": "TLSv1", "accepted": False},
            "source": "Mozilla 5.7 tls_versions",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.1", "accepted": False},
            "source": "Mozilla 5.7 tls_versions",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.2", "accepted": False},
            "source": "Mozilla 5.7 tls_versions",
            "opportunistic": "warning",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.3", "accepted": True},
            "source": "Mozilla 5.7 tls_versions",
        },
        {
            "check": "suites",
            "parameters": {
                "version": "TLSv1.3",
                "allowed": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
            },
            "source": "Mozilla 5.7 ciphersuites",
        },
        {
            "check": "groups",
            "parameters": {
                "allowed": ["X25519", "P-256", "P-384", "X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"],
            },
            "severity": "warning",
            "source": "Mozilla 5.7 tls_curves, and their hybrids with ML-KEM",
        },
        {
            "check": "certificate_key",
            "parameters": {"rsa_bits": None, "ec_bits": 256, "curves": ["P-256", "P-384"]},
            "source": "Mozilla 5.7 certificate_types, certificate_curves",
            "opportunistic": "warning",
        },
        {
            "check": "certificate_signature",
            "parameters": {"forbidden": ["md2", "md5", "sha1", "rsa"], "of": "leaf"},
            "severity": "warning",
            "source": "Mozilla 5.7 certificate_signatures",
        },
        {
            "check": "certificate_lifetime",
            "parameters": {"days": 90},
            "severity": "warning",
            "source": "Mozilla 5.7 maximum_certificate_lifespan",
        },
    ],
}
