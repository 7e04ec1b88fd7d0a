# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules as the vendor's web interface writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import webadmin  # noqa: E402

SCRIPT = """event onEhlo
{
\tcall (WA_Acceptance_basic);
}

event onRcptTo {
}

event onRelay {
\tcall (WA_Routing_basic);
}

method odd { set (smtpExplanation, "a
} b"); }
"""
NAMES = webadmin.Names(
    {"plainConnAuthTypes": "authForPlain", "RcptDomain": "recipientHost", "isCase": "sameText", "sslEnabled": "useSsl"},
    {"none": "nothing", "login": "userpass", "tls12": "v12"},
)
RULES = [
    webadmin.auth("no login in clear", "plain", []),
    webadmin.auth("login over TLS", "tls", ["PLAIN", "LOGIN"], enabled=False),
    webadmin.forced("force_d_example", "d.example", "only with TLS"),
    webadmin.relay("relay", ["TLSv1.2", "TLSv1.3"]),
]


def test_what_it_writes():
    assert webadmin.added(SCRIPT, RULES, NAMES) == """event onEhlo
{
\tcall (WA_Acceptance_basic);
\tcall (no_login_in_clear);
}

event onRcptTo {
\tcall (force_d_example);
}

event onRelay {
\tcall (WA_Routing_basic);
\tcall (relay);
}

method odd { set (smtpExplanation, "a
} b"); }

method no_login_in_clear {
\tset (authForPlain, "nothing");
}

method login_over_TLS {
\tset (secureConnAuthTypes, "plain userpass ");
}

method force_d_example {
\tif (
\t\tallOf (
\t\t\tsameText (isSSLConnection, "no"),
\t\t\tsameText (recipientHost, "d.example")
\t\t)
\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "only with TLS");
\t}
}

method relay {
\tset (useSsl, "yes");
\tset (allowedSSLVersions, "v12 tls13 ");
}
"""


def test_a_removed_rule_leaves_nothing_behind():
    some = webadmin.added(SCRIPT, RULES[:1], NAMES)
    both = webadmin.added(some, RULES[1:], NAMES)
    assert webadmin.removed(both, [rule.name for rule in RULES[1:]]) == some
    assert webadmin.removed(some, ["no login in clear"]) == SCRIPT


def test_what_is_not_there():
    with pytest.raises(webadmin.NotThere, match="no event onRcptTo"):
        webadmin.added("event onEhlo {\n}\n", RULES)
    with pytest.raises(webadmin.NotThere, match="no rule odd"):
        webadmin.removed(SCRIPT, ["odd"])
