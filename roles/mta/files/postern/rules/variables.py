# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of the policy script: their values in one session or delivery, and what is read from them."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..emulation import Emulation

#: What the server tells the script, in the dialect's spelling.
TOLD = (
    "isSSLConnection", "smtpIp", "smtpPort", "remoteSmtpIp", "remoteSmtpPort", "ehloHost", "isESMTP", "authUser",
    "mailFrom", "mailFromDomain", "rcptTo", "rcptDomain",
)  # fmt: skip
#: What a script tells the server.
ASKED = (
    "smtpAction", "smtpExplanation", "smtpGreeting", "plainConnAuthTypes", "secureConnAuthTypes", "allowStartTLS",
    "allow8bitMime", "allowPipelining", "localDelivery", "remoteDelivery", "maxDataSize", "maxRcptCount",
    "maxReceivedHeaders", "sslEnabled", "allowedSSLVersions", "remoteSmtpHost",
)  # fmt: skip
#: Both, where they are this server's own: no public source of the dialect has anything like them.
OWN_TOLD = ("sslVersion", "sslCipher", "sslClientVerified", "sslClientFingerprint", "relayDomain")
OWN_ASKED = (
    "tlsLevel", "tlsMatch", "tlsFingerprints", "tlsExplanation", "tlsReason", "tlsUntil",
    "remoteSmtpTls", "remoteSmtpUser", "remoteSmtpPassword", "remoteSmtpClearLogin",
)  # fmt: skip

#: TLS levels by Postfix's names, from the weakest to the strictest; from the third on nothing goes without TLS.
LEVELS = ("none", "may", "encrypt", "verify", "secure", "fingerprint")
TLS_LEVELS = LEVELS[2:]
#: What a level can be where mail comes in: there TLS alone is judged, and nobody may think that a certificate was.
INCOMING_LEVELS = LEVELS[:5]

#: Texts about a level: they hold until the next one is set.
ABOUT_LEVEL = ("tlsexplanation", "tlsreason", "tlsuntil")
#: How a peer proves who it is: the names and fingerprints of one level are not those of the next. What stands in front
#: of the first level belongs to that.
PROOF_OF_LEVEL = ("tlsmatch", "tlsfingerprints")
#: What a script decides anew in each event: nothing of it is left over from the event before.
DECIDED_ANEW = ("smtpaction", "tlslevel", *ABOUT_LEVEL)

#: A script's ``set`` on one of these has no effect, as the dialect documents.
READ_ONLY = frozenset(name.lower() for name in TOLD + OWN_TOLD)

#: Read-only variables that one event may set. ``remoteSmtpPort`` is the peer's port where mail comes in and the
#: port to send to in ``onRelay``. None of them may be one that rows of rules are looked up by.
WRITABLE = {"remotesmtpport": "onrelay"}

#: Read-only variables that hold a domain name: their values and what they are compared with are A-labels.
DOMAINS = frozenset(("mailfromdomain", "rcptdomain", "relaydomain"))
#: Those that hold an address: its domain is in A-labels too.
ADDRESSES = frozenset(("mailfrom", "rcptto"))

#: SASL mechanisms of this server by their name in the script, in the order in which they are offered.
MECHANISMS = {"scram-sha-256": "SCRAM-SHA-256", "plain": "PLAIN", "login": "LOGIN"}
#: One that the dialect does not have.
OWN_MECHANISMS = ("scram-sha-256",)
#: Mechanisms of the dialect that this server lacks.
LACKED_MECHANISMS = ("cram-md5", "digest-md5", "gssapi")

#: Octets. Above this no message is taken, whatever the script says: the queue is one file.
MAX_DATA_CEILING = 1024 * 1024 * 1024
#: ``maxDataSize`` is in units of 1024 octets; this is the dialect's default.
DEFAULT_DATA_KB = 10_240
MAX_RCPT_CEILING = 1000
#: RFC 5321 section 6.3 asks for 100 at least before a loop is assumed.
DEFAULT_RECEIVED_HEADERS = 100


class Variables(dict):
    """Variables by lower-case name. A name that was never set is missing, and every test of it is false."""

    def text(self, name: str) -> str:
        """The value of a variable, empty when it is not set."""
        return self.get(name.lower(), "")

    def number(self, name: str, default: int) -> int:
        """The value as an integer; ``default`` when it is not set or no number."""
        value = self.get(name.lower())
        try:
            return default if value is None else int(value)
        except ValueError:
            return default

    def says_no(self, name: str) -> bool:
        """Whether a yes/no variable was set to no."""
        return self.text(name).strip().lower() == "no"

    def tell(self, **values: str) -> None:
        """Set read-only variables from the session's side."""
        for name, value in values.items():
            self[name.lower()] = value

    def copy(self) -> "Variables":
        """An independent copy for the next stage."""
        return Variables(self)

    # --- what they mean ---------------------------------------------------------------------------

    def mechanisms(self, encrypted: bool, emulation: Emulation) -> tuple[str, ...]:
        """The SASL mechanisms that this connection may use, in the order in which they are offered.

        Without a rule all are allowed, in clear text too: that is the dialect's documented default. A mechanism that
        this server does not have may stand in a rule and is not offered.
        """
        has = {word: name for word, name in MECHANISMS.items() if emulation.has_mechanism(word)}
        value = self.get("secureconnauthtypes" if encrypted else "plainconnauthtypes")
        words = None if value is None else emulation.mechanism_words(value)
        if words is None or "all" in words:
            return tuple(has.values())
        return tuple(name for word, name in has.items() if word in words)

    def max_data(self) -> int:
        """Octets that a message may have."""
        kilobytes = self.number("maxDataSize", DEFAULT_DATA_KB)
        if kilobytes <= 0:
            return MAX_DATA_CEILING
        return min(kilobytes * 1024, MAX_DATA_CEILING)

    def max_recipients(self) -> int:
        """Recipients that a transaction may have."""
        count = self.number("maxRcptCount", MAX_RCPT_CEILING)
        return min(count, MAX_RCPT_CEILING) if count > 0 else MAX_RCPT_CEILING

    def max_received(self) -> int:
        """Received headers from which on a message is in a loop."""
        count = self.number("maxReceivedHeaders", DEFAULT_RECEIVED_HEADERS)
        return count if count > 0 else DEFAULT_RECEIVED_HEADERS

    def delivery(self, local: bool) -> str:
        """``all``, ``auth`` or ``none``: who may send to local or to other domains. Unknown words mean ``auth``."""
        word = self.text("localDelivery" if local else "remoteDelivery").strip().lower()
        if word in ("all", "auth", "none"):
            return word
        # Nothing said: mail for local domains is for all, relaying is for authenticated users (no open relay).
        return "all" if local and not word else "auth"
