# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The profile ``article``: a mail server that was hardened as the hardening article says."""

from __future__ import annotations

import typing as t

PROFILE: t.Dict[str, t.Any] = {
    "name": "article",
    "title": "Checks drawn from the hardening article",
    "version": "1.0",
    "of": "The vendor's article about hardening SMTP services",
    "date": "2026-11-25",
    "sources": [
        {
            "title": "The hardening article, as this collection's scenario `article` sets it up",
            "url": "",
            "read": "secondary",
        },
        {"title": "RFC 9325", "url": "https://www.rfc-editor.org/rfc/rfc9325", "read": "secondary"},
    ],
    "caveats": [
        {
            "text": "The article is older than RFC 8996 (March 2021), which withdrew TLS 1.0 and 1.1: a server that "
            "passes here fails every other profile. Use it to prove that the article was followed, not that TLS is "
            "up to date.",
            "where": "everywhere",
        },
        {
            "text": "TLS libraries of today refuse TLS 1.0 and 1.1 at their default security level, whatever a "
            "server declares; then those rows fail and the side says who refused.",
            "where": "everywhere",
        },
    ],
    "includes": ["starttls", "no-ssl", "certificate", "login", "everybody"],
    "requirements": [
        {
            "check": "version",
            "parameters": {"version": "TLSv1", "accepted": True},
            "source": "hardening article (against RFC 8996 section 4)",
        },
        {
            "check": "version",
            "parameters": {"version": "TLSv1.1", "accepted": True},
            "source": "hardening article (against RFC 8996 section 5)",
        },
        {"check": "version", "parameters": {"version": "TLSv1.2", "accepted": True}, "source": "hardening article"},
        {"check": "version", "parameters": {"version": "TLSv1.3", "accepted": True}, "source": "hardening article"},
        {
            "check": "suites",
            "parameters": {
                "version": "TLSv1",
                "allowed": [
                    "DHE-RSA-AES128-SHA256",
                    "DHE-RSA-AES128-SHA",
                    "DHE-DSS-AES128-SHA256",
                    "DHE-RSA-AES256-SHA256",
                    "DHE-DSS-AES256-SHA",
                    "DHE-RSA-AES256-SHA",
                ],
            },
            "source": "hardening article",
        },
        {
            "check": "suites",
            "parameters": {
                "version": "TLSv1.1",
                "allowed": [
                    "DHE-RSA-AES128-SHA256",
                    "DHE-RSA-AES128-SHA",
                    "DHE-DSS-AES128-SHA256",
                    "DHE-RSA-AES256-SHA256",
                    "DHE-DSS-AES256-SHA",
                    "DHE-RSA-AES256-SHA",
                ],
            },
            "source": "hardening article",
        },
        {
            "check": "suites",
            "parameters": {
                "version": "TLSv1.2",
                "allowed": [
                    "DHE-RSA-AES128-SHA256",
                    "DHE-RSA-AES128-SHA",
                    "DHE-DSS-AES128-SHA256",
                    "DHE-RSA-AES256-SHA256",
                    "DHE-DSS-AES256-SHA",
                    "DHE-RSA-AES256-SHA",
                ],
            },
            "source": "hardening article",
        },
        {
            "check": "suite_offered",
            "parameters": {
                "version": "TLSv1.2",
                "any_of": [
                    "DHE-RSA-AES128-SHA256",
                    "DHE-RSA-AES128-SHA",
                    "DHE-DSS-AES128-SHA256",
                    "DHE-RSA-AES256-SHA256",
                    "DHE-DSS-AES256-SHA",
                    "DHE-RSA-AES256-SHA",
                ],
            },
            "source": "hardening article",
        },
        {"check": "dh_size", "parameters": {"bits": 2048}, "source": "RFC 9325 section 4.5"},
    ],
}
