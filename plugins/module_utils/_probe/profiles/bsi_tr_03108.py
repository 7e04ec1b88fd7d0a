# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The profile ``bsi-tr-03108``: what can be seen from outside of the BSI's guide for mail providers."""

from __future__ import annotations

import typing as t

PROFILE: t.Dict[str, t.Any] = {
    "name": "bsi-tr-03108",
    "title": "Checks drawn from BSI TR-03108, as far as they can be seen from outside",
    "version": "1.0",
    "of": "BSI TR-03108 2.0 (1 June 2023), with BSI TR-03116-4 of 2025 and BSI TR-02102-2, edition 2025-01",
    "date": "2026-11-25",
    "sources": [
        {
            "title": "BSI TR-03108 Secure Email Transport, version 2.0, in a copy of its text, not in the BSI's own "
            "file",
            "url": "https://www.bsi.bund.de",
            "read": "text",
        },
        {
            "title": "BSI TR-03116-4, edition 2025 (3 July 2025), chapter 2, in a copy of its text",
            "url": "https://www.bsi.bund.de/SharedDocs/Downloads/DE/BSI/Publikationen/TechnischeRichtlinien/"
            "TR03116/BSI-TR-03116-4.html",
            "read": "text",
        },
        {
            "title": "BSI TR-02102-2, edition 2025-01, to which TR-03116-4 refers, in a copy of its text",
            "url": "https://www.bsi.bund.de/SharedDocs/Downloads/DE/BSI/Publikationen/TechnischeRichtlinien/"
            "TR02102/BSI-TR-02102-2.html",
            "read": "text",
        },
    ],
    "caveats": [
        {
            "text": "Most of the guide is about DNS, about mail that goes out and about the organisation. Those "
            "requirements are listed and never pass: a conversation with a listener cannot show them.",
            "where": "everywhere",
        },
        {
            "text": "The guide wants the newest edition of TR-03116-4, which comes every year. Compare with the "
            "BSI's own documents before anybody says in writing that a server follows them. No row says that a "
            "server conforms.",
            "where": "everywhere",
        },
        {
            "text": "Chapter 6 of TR-03116-4 (certificates and authorities) was not read; keys are compared with "
            "TR-02102-2.",
            "where": "everywhere",
        },
        {
            "text": "On a public relay port the guide allows versions and suites that are not recommended, when "
            "they come last (TR-03108 section 4.3.2). There they are warnings; their rank is not looked at.",
            "where": "opportunistic",
        },
    ],
    "includes": ["no-ssl", "certificate", "login", "everybody"],
    "requirements": [
        {
            "check": "starttls_offered",
            "source": "TR-03108-03-M (relay), TR-03108-02-R (submission)",
            "modes": ("none", "starttls"),
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1", "accepted": False},
            "source": "TR-03116-4 section 2.1.1",
            "opportunistic": "warning",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.1", "accepted": False},
            "source": "TR-03116-4 section 2.1.1",
            "opportunistic": "warning",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.2", "accepted": True},
            "source": "TR-03116-4 section 2.1.1",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.3", "accepted": True},
            "severity": "warning",
            "source": "TR-03116-4 section 2.1.1",
        },
        {
            "check": "suite_offered",
            "parameters": {
                "version": "TLSv1.2",
                "any_of": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
            },
            "source": "TR-03116-4 table 2",
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
                    "ECDHE-RSA-CHACHA20-POLY1305",
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
            "source": "TR-03116-4 section 2.2.1.2, TR-02102-2 table 2",
            "opportunistic": "warning",
        },
        {
            "check": "suite_offered",
            "parameters": {"version": "TLSv1.3", "any_of": ["TLS_AES_128_GCM_SHA256"]},
            "severity": "warning",
            "source": "TR-03116-4 table 7",
        },
        {
            "check": "suites",
            "parameters": {
                "version": "TLSv1.3",
                "allowed": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_AES_128_CCM_SHA256"],
            },
            "source": "TR-03116-4 section 2.1, TR-02102-2 section 3.4.4",
            "opportunistic": "warning",
        },
        {
            "check": "group_offered",
            "parameters": {"group": "P-256"},
            "source": "TR-03116-4 tables 5 and 8",
            "opportunistic": "warning",
        },
        {
            "check": "group_offered",
            "parameters": {"group": "brainpoolP256r1"},
            "source": "TR-03116-4 tables 5 and 8",
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
            "source": "TR-03116-4 section 2.2.2, TR-02102-2 tables 5 and 9; hybrids: edition 2026-01",
            "secondary": True,
            "opportunistic": "warning",
        },
        {"check": "dh_size", "parameters": {"bits": 3000}, "source": "TR-02102-2 table 13", "opportunistic": "warning"},
        {"check": "encrypt_then_mac", "source": "TR-03116-4 section 2.2.3.2", "opportunistic": "warning"},
        {"check": "extended_master_secret", "severity": "warning", "source": "TR-03116-4 section 2.2.3.4"},
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
            "source": "TR-03116-4 table 10",
        },
        {
            "check": "certificate_signature",
            "parameters": {"forbidden": ["pkcs1"]},
            "severity": "warning",
            "source": "TR-03116-4 table 10 (PKCS #1 v1.5 to the end of 2025)",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "DNS answers are validated (DNSSEC)",
                "why": "the server's resolver is not its listener",
            },
            "source": "TR-03108-04-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "mail that goes out uses STARTTLS", "why": "a listener shows mail that comes in"},
            "source": "TR-03108-04-M",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "the zones are signed (DNSSEC) and have TLSA records (DANE)",
                "why": "the probe asks the listener and not DNS",
            },
            "source": "TR-03108-05-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "DANE for mail that goes out", "why": "a listener shows mail that comes in"},
            "source": "TR-03108-06-M",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "an MTA-STS policy is published",
                "why": "the probe asks the listener, not DNS and not the web server",
            },
            "severity": "warning",
            "source": "TR-03108-07-R",
        },
        {
            "check": "outside",
            "parameters": {"what": "MTA-STS for mail that goes out", "why": "a listener shows mail that comes in"},
            "severity": "warning",
            "source": "TR-03108-08-R",
        },
        {
            "check": "outside",
            "parameters": {"what": "TLS reports are sent (TLSRPT)", "why": "they go to others"},
            "source": "TR-03108-09-M",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "TLS reports are asked for by mail (TLSRPT)",
                "why": "the probe asks the listener and not DNS",
            },
            "source": "TR-03108-10-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "TLS reports are evaluated", "why": "that is work of the organisation"},
            "severity": "warning",
            "source": "TR-03108-11-R",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "the certificate comes from an authority that meets TR-03116-4",
                "why": "the chain names the authority, not how it works",
            },
            "severity": "warning",
            "source": "TR-03108-12-R",
        },
        {
            "check": "outside",
            "parameters": {
                "what": "users are led to submission with implicit TLS, web mail uses HTTPS",
                "why": "that is in DNS, documentation and other servers",
            },
            "source": "TR-03108-01-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "security concept", "why": "that is work of the organisation"},
            "source": "TR-03108-13-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "data protection", "why": "that is work of the organisation"},
            "source": "TR-03108-14-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "incidents are reported", "why": "that is work of the organisation"},
            "source": "TR-03108-15-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "customers are informed", "why": "that is work of the organisation"},
            "source": "TR-03108-16-M",
        },
        {
            "check": "outside",
            "parameters": {"what": "no early data (0-RTT)", "why": "the probe resumes no session and sends none"},
            "source": "TR-03116-4 section 2.3.1",
        },
        {
            "check": "outside",
            "parameters": {"what": "OCSP stapling", "why": "the probe does not ask for it"},
            "severity": "warning",
            "source": "TR-03116-4 section 2.2.3.3",
        },
    ],
}
