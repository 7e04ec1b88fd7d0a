# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several profiles and every policy ask for: parts of profiles, by the name under which they are included."""

from __future__ import annotations

import typing as t

_EVERY_MODE = ("none", "starttls", "implicit")
_CLEAR_FIRST = ("none", "starttls")

#: Holds for every server that speaks SMTP, and STARTTLS or implicit TLS, whatever it is set to.
EVERYBODY: t.Tuple[t.Dict[str, t.Any], ...] = (
    {"check": "reachable", "source": "RFC 5321 section 3.1", "modes": _EVERY_MODE},
    {"check": "greeting", "source": "RFC 5321 section 3.1", "modes": _EVERY_MODE},
    {"check": "silent_in_clear", "source": "RFC 8314 section 3.3", "modes": ("implicit",)},
    {"check": "starttls_works", "source": "RFC 3207 section 4", "modes": ("starttls",)},
    {"check": "starttls_inside_tls", "source": "RFC 3207 section 4.2"},
    {"check": "injection", "source": "RFC 3207 section 6, CVE-2011-0411", "modes": ("starttls",)},
    {"check": "late_plaintext", "source": "RFC 3207 section 6", "modes": ("starttls",)},
    {"check": "ehlo_again", "source": "RFC 3207 section 4.2", "modes": ("starttls",)},
    {"check": "transaction_forgotten", "source": "RFC 3207 section 4.2", "modes": ("starttls",)},
    {"check": "open_relay", "source": "RFC 5321 section 3.6.1", "modes": _EVERY_MODE},
)

#: A certificate that a careful client accepts. Senders to a public relay port mostly look at none (RFC 7435), or at
#: the one that DNSSEC names (RFC 7672).
CERTIFICATE: t.Tuple[t.Dict[str, t.Any], ...] = (
    {"check": "certificate_trusted", "source": "RFC 5280 section 6", "opportunistic": "warning"},
    {"check": "certificate_name", "source": "RFC 9525 section 6", "opportunistic": "warning"},
    {"check": "certificate_valid", "source": "RFC 5280 section 4.1.2.5", "opportunistic": "warning"},
)

#: No password in clear.
LOGIN: t.Tuple[t.Dict[str, t.Any], ...] = (
    {
        "check": "auth_offered_clear",
        "parameters": {"mechanisms": []},
        "source": "RFC 4954 section 4, RFC 8314 section 3",
        "modes": _CLEAR_FIRST,
    },
    {
        "check": "auth_refused_clear",
        "parameters": {"mechanism": "PLAIN"},
        "source": "RFC 4954 section 4",
        "modes": _CLEAR_FIRST,
    },
    {
        "check": "auth_refused_clear",
        "parameters": {"mechanism": "LOGIN"},
        "source": "RFC 4954 section 4",
        "modes": _CLEAR_FIRST,
    },
)

#: STARTTLS is there. That nobody is let in without it is not asked for: RFC 3207 section 4 forbids it on public ports.
STARTTLS: t.Tuple[t.Dict[str, t.Any], ...] = (
    {"check": "starttls_offered", "source": "RFC 3207 section 4", "modes": _CLEAR_FIRST},
)

#: Versions that are dead everywhere.
NO_SSL: t.Tuple[t.Dict[str, t.Any], ...] = (
    {"check": "version", "parameters": {"version": "SSLv2", "accepted": False}, "source": "RFC 6176 section 3"},
    {"check": "version", "parameters": {"version": "SSLv3", "accepted": False}, "source": "RFC 7568 section 3"},
)

INCLUDES: t.Dict[str, t.Tuple[t.Dict[str, t.Any], ...]] = {
    "starttls": STARTTLS,
    "no-ssl": NO_SSL,
    "certificate": CERTIFICATE,
    "login": LOGIN,
    "everybody": EVERYBODY,
}
