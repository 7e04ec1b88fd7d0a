# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What profiles say about themselves, and about what nobody can see from outside: German by their English words."""

from __future__ import annotations

import typing as t

#: The documents that the profiles are drawn from.
_OF: t.Dict[str, str] = {
    "The vendor's article about hardening SMTP services": (
        "Artikel des Herstellers über das Absichern von SMTP-Diensten"
    ),
    "Mozilla Server Side TLS 5.7 (May 2023), configuration modern": (
        "Mozilla Server Side TLS 5.7 (Mai 2023), Stufe »modern«"
    ),
    "Mozilla Server Side TLS 5.7 (May 2023), configuration intermediate": (
        "Mozilla Server Side TLS 5.7 (Mai 2023), Stufe »intermediate«"
    ),
    "RFC 9325 (BCP 195, November 2022), RFC 8314 (January 2018), RFC 8996 (March 2021)": (
        "RFC 9325 (BCP 195, November 2022), RFC 8314 (Januar 2018), RFC 8996 (März 2021)"
    ),
    "BSI TR-02102-2, edition 2025-01; what edition 2026-01 changed is known from secondary sources": (
        "BSI TR-02102-2, Ausgabe 2025-01; was die Ausgabe 2026-01 geändert hat, ist aus zweiter Hand bekannt"
    ),
    "BSI TR-03108 2.0 (1 June 2023), with BSI TR-03116-4 of 2025 and BSI TR-02102-2, edition 2025-01": (
        "BSI TR-03108 2.0 (1. Juni 2023), mit BSI TR-03116-4 von 2025 und BSI TR-02102-2, Ausgabe 2025-01"
    ),
}

_CAVEATS: t.Tuple[t.Tuple[str, str], ...] = (
    (
        (
            "The article is older than RFC 8996 (March 2021), which withdrew TLS 1.0 and 1.1: a server that passes here"
            " fails every other profile. Use it to prove that the article was followed, not that TLS is up to date."
        ),
        (
            "Der Artikel ist älter als RFC 8996 (März 2021), mit dem TLS 1.0 und 1.1 zurückgezogen wurden: Ein Server,"
            " der diese Prüfungen erfüllt, verfehlt jedes andere Profil. Es belegt, dass der Artikel befolgt wurde,"
            " nicht, dass TLS auf dem Stand der Technik ist."
        ),
    ),
    (
        (
            "TLS libraries of today refuse TLS 1.0 and 1.1 at their default security level, whatever a server declares;"
            " then those rows fail and the side says who refused."
        ),
        (
            "Heutige TLS-Bibliotheken lehnen TLS 1.0 und 1.1 in ihrer Voreinstellung ab, was immer am Server"
            " eingestellt ist; dann sind diese Prüfungen nicht erfüllt, und die Angabe der Seite sagt, wer abgelehnt"
            " hat."
        ),
    ),
    (
        (
            "Meant for web servers. What Mozilla says about HSTS and OCSP stapling is not asked for here, nor the order"
            " of suites, since all of them are good."
        ),
        (
            "Gedacht für Webserver. Was Mozilla zu HSTS und OCSP-Stapling sagt, wird hier nicht gefordert, auch keine"
            " Reihenfolge der Cipher-Suiten, weil alle gut sind."
        ),
    ),
    (
        (
            "A sender that cannot do TLS 1.3 falls back to clear text on a public relay port, which is worse than TLS"
            " 1.2. There, what is stricter than `intermediate` is a warning."
        ),
        (
            "Ein Absender, der TLS 1.3 nicht beherrscht, sendet an einem öffentlichen Relay-Port unverschlüsselt, und"
            " das ist schlechter als TLS 1.2. Was strenger als »intermediate« ist, ist dort eine Warnung."
        ),
    ),
    (
        (
            "The strictest profile that a public relay port should follow: anything stricter makes old senders fall"
            " back to clear text."
        ),
        (
            "Das strengste Profil, dem ein öffentlicher Relay-Port folgen sollte: Alles Strengere bringt ältere"
            " Absender dazu, unverschlüsselt zu senden."
        ),
    ),
    (
        "What an RFC says with MUST is an error here, what it says with SHOULD or RECOMMENDED is a warning.",
        (
            "Was ein RFC mit MUST fordert, ist hier ein Fehler; was er mit SHOULD oder RECOMMENDED empfiehlt, eine"
            " Warnung."
        ),
    ),
    (
        (
            "Opportunistic TLS is better than none (RFC 9325 section 5.2, RFC 7435): anonymous suites are a warning on"
            " a public relay port, because a sender that verifies nothing loses nothing by them."
        ),
        (
            "Opportunistisches TLS ist besser als keines (RFC 9325 Abschnitt 5.2, RFC 7435): Anonyme Cipher-Suiten sind"
            " an einem öffentlichen Relay-Port eine Warnung, denn ein Absender, der nichts nachprüft, verliert durch"
            " sie nichts."
        ),
    ),
    (
        (
            "Edition 2026-01 was not read. Compare with the BSI's own document before anybody says in writing that a"
            " server follows it. No row says that a server conforms."
        ),
        (
            "Die Ausgabe 2026-01 lag nicht vor. Vor jeder schriftlichen Aussage, ein Server befolge sie, ist mit dem"
            " Dokument des BSI zu vergleichen. Keine Zeile besagt, dass ein Server konform ist."
        ),
    ),
    (
        (
            "The guide says that what it does not list is not therefore insecure (section 1). ChaCha20-Poly1305 and"
            " X25519 are such: servers with the usual settings of OpenSSL accept both and fail here."
        ),
        (
            "Laut der Richtlinie ist nicht schon unsicher, was sie nicht aufführt (Abschnitt 1). Das gilt für"
            " ChaCha20-Poly1305 und X25519: Server mit üblichen Einstellungen von OpenSSL nehmen beide an und erfüllen"
            " diese Prüfungen nicht."
        ),
    ),
    (
        (
            "Hybrids of ML-KEM with P-256 and P-384 are let through, because the BSI recommends hybrid key exchange;"
            " which ones edition 2026-01 lists was not read."
        ),
        (
            "Hybride aus ML-KEM mit P-256 und P-384 werden zugelassen, weil das BSI hybriden Schlüsselaustausch"
            " empfiehlt; welche die Ausgabe 2026-01 aufführt, lag nicht vor."
        ),
    ),
    (
        (
            "Too strict for a public relay port, where a sender that is refused TLS sends in clear. There, what is"
            " stricter than `intermediate` is a warning."
        ),
        (
            "Zu streng für einen öffentlichen Relay-Port, an dem ein Absender, der kein TLS bekommt, unverschlüsselt"
            " sendet. Was strenger als »intermediate« ist, ist dort eine Warnung."
        ),
    ),
    (
        (
            "Most of the guide is about DNS, about mail that goes out and about the organisation. Those requirements"
            " are listed and never pass: a conversation with a listener cannot show them."
        ),
        (
            "Die Richtlinie handelt zum größten Teil vom DNS, von ausgehender E-Mail und von der Organisation. Diese"
            " Anforderungen sind aufgeführt und gelten nie als erfüllt: Ein Gespräch mit einem Dienst kann sie nicht"
            " zeigen."
        ),
    ),
    (
        (
            "The guide wants the newest edition of TR-03116-4, which comes every year. Compare with the BSI's own"
            " documents before anybody says in writing that a server follows them. No row says that a server conforms."
        ),
        (
            "Die Richtlinie verlangt die jeweils neueste Ausgabe der TR-03116-4, die jährlich erscheint. Vor jeder"
            " schriftlichen Aussage, ein Server befolge sie, ist mit den Dokumenten des BSI zu vergleichen. Keine Zeile"
            " besagt, dass ein Server konform ist."
        ),
    ),
    (
        "Chapter 6 of TR-03116-4 (certificates and authorities) was not read; keys are compared with TR-02102-2.",
        (
            "Kapitel 6 der TR-03116-4 (Zertifikate und Zertifizierungsstellen) lag nicht vor; Schlüssel werden mit"
            " TR-02102-2 verglichen."
        ),
    ),
    (
        (
            "On a public relay port the guide allows versions and suites that are not recommended, when they come last"
            " (TR-03108 section 4.3.2). There they are warnings; their rank is not looked at."
        ),
        (
            "An einem öffentlichen Relay-Port erlaubt die Richtlinie auch nicht empfohlene Versionen und Cipher-Suiten,"
            " wenn sie zuletzt kommen (TR-03108 Abschnitt 4.3.2). Dort sind sie Warnungen; ihr Rang wird nicht geprüft."
        ),
    ),
)

_OUTSIDE: t.Dict[str, str] = {
    "keys of session tickets are changed regularly": "die Schlüssel der Session-Tickets werden regelmäßig gewechselt",
    "how long a server keeps a key shows only after weeks": (
        "wie lange ein Server einen Schlüssel behält, zeigt sich erst nach Wochen"
    ),
    "no early data (0-RTT)": "keine vorgezogenen Daten (0-RTT)",
    "the probe resumes no session and sends none": "die Prüfung nimmt keine Sitzung wieder auf und sendet keine",
    "no truncated HMAC": "kein verkürzter HMAC (truncated HMAC)",
    "the probe does not offer this extension": "die Prüfung bietet diese Erweiterung nicht an",
    "renegotiation by the client is refused": "eine Neuaushandlung durch den Client wird abgelehnt",
    "the probe does not try to renegotiate": "die Prüfung versucht keine Neuaushandlung",
    "no heartbeat": "kein Heartbeat",
    "signatures in the handshake are RSA-PSS or ECDSA": "Signaturen im Handshake sind RSA-PSS oder ECDSA",
    "the probe does not enumerate what a server signs with": "die Prüfung zählt nicht auf, womit ein Server signiert",
    "keys are kept safely, ephemeral ones are deleted, random numbers are good": (
        "Schlüssel werden sicher aufbewahrt, flüchtige gelöscht, Zufallszahlen sind gut"
    ),
    "that is inside the server": "das liegt im Inneren des Servers",
    "DNS answers are validated (DNSSEC)": "DNS-Antworten werden validiert (DNSSEC)",
    "the server's resolver is not its listener": "der Resolver des Servers ist nicht der geprüfte Dienst",
    "mail that goes out uses STARTTLS": "ausgehende E-Mail nutzt STARTTLS",
    "a listener shows mail that comes in": "an einem Dienst zeigt sich nur eingehende E-Mail",
    "the zones are signed (DNSSEC) and have TLSA records (DANE)": (
        "die Zonen sind signiert (DNSSEC) und haben TLSA-Einträge (DANE)"
    ),
    "the probe asks the listener and not DNS": "die Prüfung befragt den Dienst und nicht das DNS",
    "DANE for mail that goes out": "DANE für ausgehende E-Mail",
    "an MTA-STS policy is published": "eine MTA-STS-Policy ist veröffentlicht",
    "the probe asks the listener, not DNS and not the web server": (
        "die Prüfung befragt den Dienst, nicht das DNS und nicht den Webserver"
    ),
    "MTA-STS for mail that goes out": "MTA-STS für ausgehende E-Mail",
    "TLS reports are sent (TLSRPT)": "TLS-Berichte werden versendet (TLSRPT)",
    "they go to others": "sie gehen an andere",
    "TLS reports are asked for by mail (TLSRPT)": "TLS-Berichte werden per E-Mail angefordert (TLSRPT)",
    "TLS reports are evaluated": "TLS-Berichte werden ausgewertet",
    "that is work of the organisation": "das ist Aufgabe der Organisation",
    "the certificate comes from an authority that meets TR-03116-4": (
        "das Zertifikat stammt von einer Zertifizierungsstelle, die TR-03116-4 genügt"
    ),
    "the chain names the authority, not how it works": (
        "die Kette nennt die Zertifizierungsstelle, nicht deren Arbeitsweise"
    ),
    "users are led to submission with implicit TLS, web mail uses HTTPS": (
        "Nutzer werden zum Einliefern über TLS ab dem ersten Byte geführt, Webmail nutzt HTTPS"
    ),
    "that is in DNS, documentation and other servers": "das steht im DNS, in Anleitungen und auf anderen Servern",
    "security concept": "Sicherheitskonzept",
    "data protection": "Datenschutz",
    "incidents are reported": "Sicherheitsvorfälle werden gemeldet",
    "customers are informed": "Kunden werden informiert",
    "OCSP stapling": "OCSP-Stapling",
    "the probe does not ask for it": "die Prüfung fragt nicht danach",
}

PROFILE_WORDS: t.Dict[str, str] = {**_OF, **dict(_CAVEATS), **_OUTSIDE}

#: Words of sources ("RFC 9325 section 3.1.1"), longer ones first.
SOURCE_WORDS: t.Tuple[t.Tuple[str, str], ...] = (
    ("from secondary sources", "aus zweiter Hand"),
    ("hardening article", "Härtungsartikel"),
    ("to the end of", "bis Ende"),
    ("and their hybrids with", "und deren Hybride mit"),
    ("no curve of less than 224 bits", "keine Kurve unter 224 Bit"),
    ("sections", "Abschnitte"),
    ("section", "Abschnitt"),
    ("tables", "Tabellen"),
    ("table", "Tabelle"),
    ("chapter", "Kapitel"),
    ("appendix", "Anhang"),
    ("edition", "Ausgabe"),
    ("hybrids", "Hybride"),
    ("against", "entgegen"),
    ("submission", "Submission"),
    ("relay", "Relay"),
    ("and", "und"),
)
