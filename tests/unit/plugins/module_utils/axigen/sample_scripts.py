# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policy scripts with sample rules, in WebAdmin's hand and in an administrator's, for servers with any names."""

from __future__ import annotations

DOMAIN = "securemail-sample.invalid"
SECRET = "relay-pw-1"

#: What stands before all sample rules.
BASE = """event onEhlo {
\tcall (WA_Acceptance_basic);
}
event onRcptTo {
}
event onRelay {
\tcall (WA_Routing_basic);
}
method WA_Acceptance_basic {
\tset (allowStartTLS, "yes");
}
method WA_Routing_basic {
\t# set (oldPassword, "%(secret)s");
\tset (remoteSmtpPassword, "%(secret)s");
}
method forgotten {
\tset (smtpGreeting, "unused");
}
""" % {"secret": SECRET}

#: Canonical names, as one server could have them.
NAMES = {
    "plain": "plainConnAuthTypes",
    "tls": "secureConnAuthTypes",
    "domain": "rcptDomain",
    "ssl": "sslEnabled",
    "equals": "isCase",
    "encrypted": "isCase",
    "none": "none",
    "PLAIN": "plain",
    "LOGIN": "login",
    "CRAM-MD5": "cram-md5",
    "TLSv1.1": "tls11",
    "TLSv1.2": "tls12",
    "TLSv1.3": "tls13",
}
MECHANISMS = ("CRAM-MD5", "PLAIN", "LOGIN")
VERSIONS = ("TLSv1.1", "TLSv1.2", "TLSv1.3")


def method(name, *lines):
    """A method with these lines in it."""
    return "\nmethod %s {\n%s}\n" % (name, "".join("\t%s\n" % line for line in lines))


def assign(variable, value):
    """A ``set`` statement."""
    return 'set (%s, "%s");' % (variable, value)


def word_set(names, words):
    """A set as WebAdmin writes it."""
    return "".join(names[word] + " " for word in words)


def plain(names, name="securemail_sample_plain"):
    """No authentication in clear."""
    return method(name, assign(names["plain"], names["none"]))


def tls(names, name="securemail_sample_tls", mechanisms=("PLAIN", "LOGIN", "CRAM-MD5")):
    """Some mechanisms over TLS."""
    return method(name, assign(names["tls"], word_set(names, mechanisms)))


def forced(names, name="securemail_sample_forced", domain=DOMAIN, match="allOf", encrypted="no"):
    """A domain without mail in clear."""
    return method(
        name,
        "if (",
        "\t%s (" % match,
        '\t\t%s (isSSLConnection, "%s"),' % (names["encrypted"], encrypted),
        '\t\t%s (%s, "%s")' % (names["equals"], names["domain"], domain),
        "\t)",
        ") {",
        "\t" + assign("smtpAction", "reject"),
        "\t" + assign("smtpExplanation", "a secret explanation"),
        "}",
    )


def relay(names, name="securemail_sample_relay", versions=VERSIONS):
    """SSL with some versions."""
    return method(name, assign(names["ssl"], "yes"), assign("allowedSSLVersions", word_set(names, versions)))


def by_hand(names):
    """All four as somebody writes them who never saw WebAdmin: one line each, no blanks, other order, CR LF."""
    return (
        'METHOD SecureMail_Sample_Plain{SET(%(plain)s,"%(none)s");}\r\n'
        'Method securemail_sample_tls{set(%(tls)s,"%(LOGIN)s %(CRAM-MD5)s   %(PLAIN)s");}#done\r\n'
        'method securemail_sample_forced { if(allOf(%(equals)s(%(domain)s,"' + DOMAIN.upper() + '"),'
        '%(encrypted)s(issslconnection,"No"))){set(smtpExplanation,"x");set(smtpAction,"REJECT");} }\r\n'
        'method securemail_sample_relay{ set(AllowedSslVersions,"(%(TLSv1.3)s %(TLSv1.1)s %(TLSv1.2)s)");'
        'set(%(ssl)s,"YES"); }\r\n'
    ) % names


def called(text, event, *names):
    """The script with calls of these methods as the last ones of the event."""
    head = "event %s {\n" % event
    start = text.index(head)
    end = text.index("}", start)
    return text[:end] + "".join("\tcall (%s);\n" % name for name in names) + text[end:]


def script(*methods, base=BASE, enabled=True):
    """A script with these sample methods, called from the events that are right for their names."""
    text = base + "".join(methods)
    for event, words in (("onEhlo", ("plain", "tls")), ("onRcptTo", ("forced",)), ("onRelay", ("relay",))):
        names = ["securemail_sample_" + word for word in words if "securemail_sample_%s" % word in text.lower()]
        text = called(text, event, *names) if enabled else text
    return text


def all_four(names):
    """WebAdmin's four samples."""
    return script(plain(names), tls(names), forced(names), relay(names))
