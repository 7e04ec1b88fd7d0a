# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the probe saw, in German: its frequent phrases. What a server itself said within them stays as it was said.

A phrase is the whole text, so that no word of a server is taken for one of the probe. Text without a phrase stays
English.
"""

from __future__ import annotations

import functools
import re
import typing as t

#: The end of a list that was cut.
_MORE = re.compile(r" and (\d+) more\Z")

_SAID = r"(?P<said>.*)"

#: Patterns of the whole English text, and the German one with the parts of the pattern. ``said`` and ``said_too`` may
#: be phrases.
_PHRASES: t.Tuple[t.Tuple[t.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (r"connected", "verbunden"),
        (r"accepted", "angenommen"),
        (r"not looked at", "nicht betrachtet"),
        (r"not tried", "nicht versucht"),
        (r"never turned away", "nie abgewiesen"),
        (r"none", "keine"),
        (r"server alert: " + _SAID, "TLS-Alert des Servers: %(said)s"),
        (
            r"no connection to (?P<host>\S+) port (?P<port>\d+): " + _SAID,
            "keine Verbindung zu %(host)s Port %(port)s: %(said)s",
        ),
        (r"no address for (?P<host>\S+): " + _SAID, "keine Adresse für %(host)s: %(said)s"),
        (r"the budget of (?P<n>\d+) connections is used up", "die Grenze von %(n)s Verbindungen ist erreicht"),
        (r"the (?P<n>\S+) s for this listener are used up", "die %(n)s s für diesen Dienst sind verbraucht"),
        (r"no handshake behind STARTTLS worked without it", "kein Handshake hinter STARTTLS gelang ohne das"),
        (r"not observable: " + _SAID, "nicht beobachtbar: %(said)s"),
        (r"accepts no (?P<kind>\S+) suite", "nimmt keine %(kind)s-Suite an"),
        (r"no (?P<kind>\S+) suite is accepted", "keine %(kind)s-Suite wird angenommen"),
        (r"accepts only (?P<names>[^;]*)", "nimmt nur an: %(names)s"),
        (r"refused; accepts (?P<names>[^;]*)", "abgelehnt; nimmt an: %(names)s"),
        (r"accepts none", "nimmt keine an"),
        (r"accepts (?P<names>[^;]*)", "nimmt an: %(names)s"),
        (r"does not apply: (?P<what>\S+) is refused", "trifft nicht zu: %(what)s wird abgelehnt"),
        (
            r"(?P<what>\S+) is refused, and so are its suites",
            "%(what)s wird abgelehnt und damit auch dessen Cipher-Suiten",
        ),
        (r"settled by TLS 1.3: everything older is refused", "durch TLS 1.3 gegeben: alles Ältere wird abgelehnt"),
        (r"nothing older than TLS 1.3 is accepted", "nichts vor TLS 1.3 wird angenommen"),
        (r"the server's order decides", "die Reihenfolge des Servers entscheidet"),
        (r"the client's order decides", "die Reihenfolge des Clients entscheidet"),
        (r"(?P<n>-?\d+) days left, until (?P<date>\S+)", "noch %(n)s Tage, bis %(date)s"),
        (r"(?P<n>\d+) days", "%(n)s Tage"),
        (r"ended (?P<date>\S+)", "abgelaufen am %(date)s"),
        (r"begins (?P<date>\S+)", "beginnt am %(date)s"),
        (r"(?P<kind>[^,;]+), (?P<n>\d+) bits", "%(kind)s, %(n)s Bit"),
        (r"is for (?P<name>\S+)", "gilt für %(name)s"),
        (r"is not for (?P<name>\S+): it has no names", "gilt nicht für %(name)s: es nennt keinen Namen"),
        (r"is not for (?P<name>\S+): " + _SAID, "gilt nicht für %(name)s: %(said)s"),
        (r"trusted: " + _SAID, "vertrauenswürdig: %(said)s"),
        (r"offers no AUTH", "bietet kein AUTH an"),
        (r"offers (?P<names>[A-Z0-9=_ -]+)", "bietet an: %(names)s"),
        (r"not offered; asked for all the same: " + _SAID, "nicht angeboten; dennoch verlangt: %(said)s"),
        (r"refused: " + _SAID, "abgelehnt: %(said)s"),
        (r"the handshake fails: " + _SAID, "der Handshake scheitert: %(said)s"),
        (r"the handshake goes on behind a command in clear", "der Handshake geht nach einem Befehl im Klartext weiter"),
        (
            r"(?P<said>MAIL gets .*); without any EHLO (?P<said_too>.*)",
            "%(said)s; ganz ohne EHLO: %(said_too)s",
        ),
        (r"(?P<said>in clear: .*); (?P<said_too>inside TLS: .*)", "%(said)s; %(said_too)s"),
        (r"in clear: " + _SAID, "unverschlüsselt: %(said)s"),
        (r"inside TLS: " + _SAID, "innerhalb von TLS: %(said)s"),
        (
            _SAID + r" \(without a control: no domain of the server is known\)",
            "%(said)s (ohne Gegenprobe: keine Domain des Servers ist bekannt)",
        ),
        (r"(?P<said>[a-z0-9.-]+ gets .*); (?P<said_too>[a-z0-9.-]+ gets .*)", "%(said)s; %(said_too)s"),
        (r"(?P<domain>[a-z0-9.-]+) gets " + _SAID, "%(domain)s erhält %(said)s"),
        (r"(?P<verb>MAIL|RCPT|STARTTLS) gets " + _SAID, "%(verb)s erhält %(said)s"),
        (r"MAIL in clear gets " + _SAID, "MAIL erhält unverschlüsselt %(said)s"),
        (
            r"no transaction can begin in clear: " + _SAID,
            "unverschlüsselt kann nichts eingeliefert werden: %(said)s",
        ),
        (r"taken for nothing: " + _SAID, "bleibt ohne Wirkung: %(said)s"),
        (r"STARTTLS refused: " + _SAID, "STARTTLS abgelehnt: %(said)s"),
        (r"greets with " + _SAID, "begrüßt mit %(said)s"),
        (r"banner is not SMTP: " + _SAID, "die Begrüßung ist kein SMTP: %(said)s"),
        (r"connection closed instead of the banner", "Verbindung beendet statt einer Begrüßung"),
        (
            r"waiting for the banner: no answer in (?P<n>\S+) s",
            "keine Begrüßung innerhalb von %(n)s s",
        ),
        (r"turned away: " + _SAID, "abgewiesen: %(said)s"),
        (r"silent, then closed; " + _SAID, "schweigt und beendet dann die Verbindung; %(said)s"),
        (r"silent, then silence; " + _SAID, "schweigt; %(said)s"),
        (r"silent, then TLS alert; " + _SAID, "schweigt, dann TLS-Alert; %(said)s"),
        (r"speaks in clear: " + _SAID, "antwortet unverschlüsselt: %(said)s"),
        (r"looks at credentials in clear: " + _SAID, "prüft Zugangsdaten unverschlüsselt: %(said)s"),
        (
            r"there is no name to compare with \(server_name\)",
            "es gibt keinen Namen zum Vergleichen (server_name)",
        ),
        (
            r"unable to get local issuer certificate",
            "die ausstellende Zertifizierungsstelle ist dem prüfenden Host nicht bekannt",
        ),
        (r"no CBC suite of (?P<version>\S+) is accepted", "keine CBC-Suite von %(version)s wird angenommen"),
        (
            r"(?P<version>\S+), (?P<suite>\S+) with encrypt-then-MAC",
            "%(version)s, %(suite)s mit Encrypt-then-MAC",
        ),
        (
            r"(?P<version>\S+), (?P<suite>\S+) without encrypt-then-MAC",
            "%(version)s, %(suite)s ohne Encrypt-then-MAC",
        ),
        (r"(?P<n>\d+) bits with (?P<suite>\S+), (?P<version>\S+)", "%(n)s Bit mit %(suite)s, %(version)s"),
        (r"asks for credentials: " + _SAID, "fragt nach Zugangsdaten: %(said)s"),
        (r"asks for the password in clear: " + _SAID, "fragt unverschlüsselt nach dem Passwort: %(said)s"),
        (r"the injected command has an effect: " + _SAID, "der eingeschleuste Befehl hat eine Wirkung: %(said)s"),
        (
            r"(?P<version>\S+), (?P<suite>\S+) with extended master secret",
            "%(version)s, %(suite)s mit Extended Master Secret",
        ),
        (
            r"(?P<version>\S+), (?P<suite>\S+) without extended master secret",
            "%(version)s, %(suite)s ohne Extended Master Secret",
        ),
        (
            r"(?P<version>\S+), (?P<suite>\S+) with secure renegotiation",
            "%(version)s, %(suite)s mit sicherer Neuaushandlung",
        ),
        (
            r"(?P<version>\S+), (?P<suite>\S+) without secure renegotiation",
            "%(version)s, %(suite)s ohne sichere Neuaushandlung",
        ),
        (r"(?P<reply>[2-5]\d\d .*) \(password made up\)", "%(reply)s (mit erfundenem Passwort)"),
    )
)

#: Nothing but names of protocols, suites and the like, and what servers reply: no language of ours.
_NO_LANGUAGE = re.compile(
    r"[A-Za-z0-9_.+/=-]*[A-Z0-9_][A-Za-z0-9_.+/=-]*(?:,? [A-Za-z0-9_.+/=-]*[A-Z0-9_][A-Za-z0-9_.+/=-]*)*"
)


@functools.lru_cache(maxsize=4096)
def seen(text: str) -> t.Optional[str]:
    """The text in German, None when it has no words for it."""
    for pattern, german in _PHRASES:
        match = pattern.fullmatch(text)
        if match is not None:
            parts = match.groupdict()
            if "names" in parts:
                parts["names"] = _MORE.sub(r" und \1 weitere", parts["names"])
            for name in ("said", "said_too"):
                if name in parts:
                    parts[name] = seen(parts[name]) or parts[name]
            return german % parts
    return text if _NO_LANGUAGE.fullmatch(text) else None
