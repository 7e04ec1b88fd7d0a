# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policy scripts of other hands, made from pieces whose owner is known without any parser."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN

st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

#: Another server's names and spellings, as somebody may have learned them.
SHUFFLED = replace(
    POSTERN,
    name="axigen",
    plain_auth_var="authForClear",
    tls_auth_var="Auth_secure",
    auth_none="Nothing",
    rcpt_domain_var="to_Domain",
    equals_test="Equals",
    encryption_test="sameAs",
    mechanism_names=(("PLAIN", "Simple"), ("LOGIN", "log-in"), ("SCRAM-SHA-256", "S256")),
    version_names=(("TLSv1.2", "V12"), ("TLSv1.3", "v1.3x")),
    starttls_default=None,
    relay=replace(
        POSTERN.relay, ssl_var="mustEncrypt", domain_var="next_Domain", level_var="howSafe", match_var="certs"
    ),
)

#: Names that tasks use, and that rules made by hand may have already.
OWN = (
    "own_plain",
    "own_tls",
    "own_relay",
    "own_other",
    "allow_only_tls_for_a_test",
    "allow_only_tls_for_b_test_outbound",
)

#: Variables of basic settings that a task may ask for.
ASKED = ("allowStartTLS", "remoteSmtpHost", "remoteSmtpPort", "remoteSmtpTls", "remoteSmtpUser", "remoteSmtpPassword")

#: Where such rules belong; now and then one is called elsewhere.
_FITTING = {"onEhlo": (*OWN[:2], OWN[3]), "onRcptTo": OWN[4:5], "onRelay": (OWN[2], OWN[5])}
_EVENTS = ("onConnect", "onEhlo", "onRcptTo", "onRelay", "onDeliveryFailure")
_CALLED = {"onEhlo": "WA_Acceptance_basic", "onRelay": "WA_Routing_basic"}

# {n} is a number of its own, so that every piece is found again in one place only.
_LINES = (
    "CALL( Foreign_{n} ) ; # why\n",
    "CALL (Foreign_{n});",
    "CALL(nowhere_{n}) ;",
    'set (x_{n}, "%y% {{ }} # call (own_plain); \' \r\n second line");',
    '# note {n}: call (own_plain); }} "\n',
    'if (anyOf (is (a_{n}, "1"), isCase (b, "x"))) {{ if (is (c, "2")) {{ call (Deep_{n}); }} }}',
    'if (not (is (a_{n}, b))) {{ foo (a, "c;"); }} else {{ set (d, "}}"); }}',
    'foo_{n} (a, b, "c");',
    "else {{ call (Old_{n}); }}",
)
lines_of_events = st.sampled_from(_LINES[:3] * 3 + _LINES[3:])
_METHODS = (
    'method Foreign_{n} {{\n\tset (maxRcptCount, "{n}");\n}}',
    "method Idle_{n}{{}}",
    'method Text_{n} {{ set (ndr, "caf\udce9 \udcff {{ method own_plain {{ " ) ; # }} {n}\n }}',
    'method Odd_{n} {{ while (a) {{ b; }} return; set (smtpGreeting, "x"); }}',
    'METHOD  Twice_{n} {{ }} method twice_{n} {{ set (z, "1"); }}',
    "# method own_plain {{ {n}\n",
)


def methods_by_hand(dialect):
    """Methods with names that tasks use: the same rules in other words, other rules, and what is no rule."""
    plain, tls, none = dialect.plain_auth_var, dialect.tls_auth_var, dialect.auth_none
    words = dict(dialect.mechanism_names)
    versions = dict(dialect.version_names)
    encrypted, equals = dialect.encryption_test or dialect.equals_test, dialect.equals_test
    rejected = '{ set(smtpExplanation,"a\r\nb"); SET (smtpAction, "Reject"); }'
    return (
        'method own_plain { set (%s, "%s"); }' % (plain.upper(), none),
        'method OWN_plain\n{\n# by hand }\n\tset (%s, " %s  %s");\n}' % (plain, words["LOGIN"].upper(), words["PLAIN"]),
        'method own_tls { set (%s, "%s "); set (x, "y"); }' % (tls, words["PLAIN"]),
        'method own_tls { if (is (a, "b")) { set (%s, "%s"); } else { } }' % (tls, none),
        'method own_relay { set (allowedSSLVersions, "%s %s"); set (allowStartTLS, "YES"); }'
        % (versions["TLSv1.3"], versions["TLSv1.2"]),
        "method own_other { return; }",
        'method own_plain { set (%s, "%s"); } method own_plain { set (x, "2"); }' % (plain, none),
        'method allow_only_tls_for_a_test { if (allOf (%s (%s, "A.test"), %s (isSSLConnection, "NO"))) %s }'
        % (equals, dialect.rcpt_domain_var, encrypted, rejected),
    )


@st.composite
def scripts(draw, dialect, own=True):
    """A script's text, and the pieces of it that nothing may change, in order.

    Without ``own`` it has no name that tasks use, and all events that their rules belong to.
    """
    numbers = itertools.count(1)
    hand = methods_by_hand(dialect)
    newline = draw(st.sampled_from(["\n", "\r\n", " \n\t", " ", "\n\n"]))
    pieces = []  # (text, whether it is foreign)
    by_hand = (
        draw(st.lists(st.sampled_from(hand), max_size=3, unique_by=lambda text: text.split()[1].lower())) if own else []
    )

    def methods(count):
        for _number in range(count):
            pieces.append((draw(st.sampled_from(_METHODS)).format(n=next(numbers)), True))
            pieces.append((newline, False))

    methods(draw(st.integers(0, 1)))
    events = draw(st.permutations(_EVENTS[1:]))[: draw(st.integers(2, 4)) if own else 4]
    for event in events + draw(st.sampled_from([[], [_EVENTS[0]]])):
        lines = [(line.format(n=next(numbers)), True) for line in draw(st.lists(lines_of_events, max_size=4))]
        if event in _CALLED and draw(st.integers(0, 3)):
            lines.insert(0, ("call (%s);" % _CALLED[event], True))
        called = draw(st.lists(st.sampled_from(_FITTING.get(event, ())), max_size=2)) if event in _FITTING else []
        for name in (called or ([draw(st.sampled_from(OWN))] if draw(st.integers(0, 7)) == 7 else [])) if own else ():
            lines.insert(draw(st.integers(0, len(lines))), ("call (%s);" % name, False))
        pieces.append(("event %s {" % event, True))
        for line in lines:
            pieces += [(newline, False), line]
        pieces += [(newline + "}" + newline, False)]
    for method in by_hand:
        pieces += [(method, False), (newline, False)]
    methods(draw(st.integers(0, 2)))
    if draw(st.booleans()):
        pieces.append(("method WA_Acceptance_basic {", True))
        pieces.append((newline + 'set (allowStartTLS, "%s");' % draw(st.sampled_from(["yes", "no", "%x%"])), False))
        pieces.append((newline + 'set (localDelivery, "all"); }\n', True))
    if draw(st.booleans()):
        pieces.append(('method wa_Routing_basic { set (waitingTime, "10");', True))
        pieces.append((' set (remoteSmtpPort, "26");' if draw(st.booleans()) else "", False))
        pieces.append((newline + "}\n", False))
    start = draw(st.sampled_from(["", "\ufeff", "\n", "# 1\r\n"]))
    # What is foreign only because it is a blank belongs to nobody: it moves with what is put in or taken out.
    foreign = [text.strip() for text, owner in pieces if owner]
    return start + "".join(text for text, _owner in pieces), foreign


_BODY = r'\{(?:[^{}"#]|#[^\n]*\n|"[^"]*"|\{(?:[^{}"#]|#[^\n]*\n|"[^"]*"|\{\s*\})*\})*\}'
_OURS = re.compile(
    r"\s+|\ufeff|# 1\r?\n|\}|call \((?:%(own)s|WA_\w+)\);|event \w+ \{|method (?:%(own)s)\s*%(body)s"
    r'|method WA_\w+ \{|set \((?:%(asked)s|tlsLevel|howSafe|remoteSmtpClearLogin), "[^"]*"\);'
    % {"own": "|".join(OWN), "asked": "|".join(ASKED), "body": _BODY},
    re.IGNORECASE,
)


def leftover(text, foreign):
    """The text without its foreign pieces, which must stand there in order, and without what tasks may write."""
    place = 0
    left = []
    for piece in foreign:
        found = text.find(piece, place)
        assert found >= 0, (piece, text)
        left.append(text[place:found])
        place = found + len(piece)
    left.append(text[place:])
    return _OURS.sub("", "".join(left))
