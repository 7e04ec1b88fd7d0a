# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables, tests and methods that general rules may name, as data, and the values that each of them takes.

Names and events are those of the vendor's documentation of the policy script; what it does not have is marked where a
server's names are kept. Credentials of a relay host are none of them: a general rule is shown as it is.
"""

from __future__ import annotations

import re
import typing as t

from .errors import PolicyError, arrived, shown
from .rule import EVENTS

#: Events in which mail is received.
RECEIVING = EVENTS[:-1]

#: Tests, with the kinds of variables that they take (empty: every kind).
TESTS: t.Mapping[str, t.Tuple[str, ...]] = {
    "isCase": (),
    "is": (),
    "greaterThan": ("number",),
    "ipRange": ("ip",),
    "isSubdomainOf": ("domain",),
}

#: The test that is meant when nobody says one, for kinds where it is not isCase.
_USUAL_TESTS = {"number": "is", "ip": "ipRange"}

#: Longest text in characters: with its codes it must fit a reply line (RFC 5321 section 4.5.3.1.5).
TEXT_LENGTH = 400
REASON_LENGTH = 200

_REFERENCE = re.compile(r"%([A-Za-z][A-Za-z0-9_]*)%")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class Variable(t.NamedTuple):
    """A variable: the events in which it can be ``tested``, and in which it can be ``written`` with an effect.

    ``allowed``: the words of a choice, or the lowest and the highest number.
    """

    name: str
    kind: str
    tested: t.Tuple[str, ...] = ()
    written: t.Tuple[str, ...] = ()
    allowed: t.Tuple[t.Any, ...] = ()


def _from(event: str) -> t.Tuple[str, ...]:
    return RECEIVING[RECEIVING.index(event) :]


_EHLO = ("ehlo",)
_RELAY = ("relay",)
_LIMITS = ("ehlo", "mail")
_DELIVERY = ("ehlo", "mail", "rcpt")
_WHO = ("all", "auth", "none")
_LONG = 4294967295

_ALL = (
    Variable("isSSLConnection", "yes_no", RECEIVING),
    Variable("smtpIp", "ip", RECEIVING),
    Variable("smtpPort", "number", RECEIVING, (), (0, 65535)),
    Variable("remoteSmtpIp", "ip", RECEIVING),
    Variable("remoteSmtpPort", "number", RECEIVING, _RELAY, (0, 65535)),
    Variable("ehloHost", "text", _from("ehlo")),
    Variable("isESMTP", "yes_no", _from("ehlo")),
    Variable("authUser", "text", _from("mail") + _RELAY),
    Variable("mailFrom", "text", _from("mail") + _RELAY),
    Variable("mailFromDomain", "domain", _from("mail") + _RELAY),
    # A message has many recipients: behind RCPT there is none that a rule could mean.
    Variable("rcptTo", "text", ("rcpt",)),
    Variable("rcptDomain", "domain", ("rcpt", "relay")),
    Variable("relayDomain", "domain", _RELAY),
    Variable("sslVersion", "text", RECEIVING),
    Variable("sslCipher", "text", RECEIVING),
    Variable("sslClientVerified", "yes_no", RECEIVING),
    Variable("sslClientFingerprint", "text", RECEIVING),
    Variable("SPFResult", "text", _from("mail")),
    Variable("SPFExplanation", "text", _from("mail")),
    Variable("ReverseDNSResult", "text", RECEIVING),
    Variable("SenderMXCheckResult", "text", _from("mail")),
    Variable("DNSBLServer", "text", (), RECEIVING),
    Variable("DNSBLResult", "ip", RECEIVING),
    Variable("DNSBLExplanation", "text", RECEIVING),
    Variable("smtpAction", "choice", (), RECEIVING, ("accept", "reject", "tmpreject")),
    Variable("smtpExplanation", "text", (), RECEIVING),
    Variable("smtpGreeting", "text", (), ("connect",)),
    Variable("allowStartTLS", "yes_no", (), ("ehlo", "relay")),
    Variable("allow8bitMime", "yes_no", (), _EHLO),
    Variable("allowBinaryData", "yes_no", (), _EHLO),
    Variable("allowPipelining", "yes_no", (), _EHLO),
    Variable("allowDSN", "yes_no", (), _EHLO),
    Variable("plainConnAuthTypes", "mechanisms", (), _EHLO),
    Variable("secureConnAuthTypes", "mechanisms", (), _EHLO),
    Variable("localDelivery", "choice", (), _DELIVERY, _WHO),
    Variable("remoteDelivery", "choice", (), _DELIVERY, _WHO),
    Variable("maxDataSize", "number", (), _LIMITS, (0, _LONG)),
    Variable("maxRcptCount", "number", (), _LIMITS, (0, 1000)),
    Variable("maxReceivedHeaders", "number", (), _LIMITS, (0, _LONG)),
    Variable("waitProcessingTimeout", "number", (), _EHLO, (0, _LONG)),
    Variable("sslEnabled", "yes_no", (), _RELAY),
    Variable("allowedSSLVersions", "versions", (), _RELAY),
    Variable("remoteSmtpHost", "host", (), _RELAY),
    Variable("remoteSmtpTls", "choice", (), _RELAY, ("starttls", "implicit")),
    Variable("tlsLevel", "level", (), ("rcpt", "relay")),
    Variable("tlsMatch", "domains", (), _RELAY),
    Variable("tlsFingerprints", "fingerprints", (), _RELAY),
    Variable("tlsExplanation", "text", (), ("rcpt",)),
    Variable("tlsReason", "reason", (), ("rcpt", "relay")),
    Variable("tlsUntil", "date", (), ("rcpt", "relay")),
)

#: Name in lower case -> variable.
VARIABLES = {variable.name.lower(): variable for variable in _ALL}

#: The server's own methods, in lower case: their names, the events in which they do something, and what they read.
#: Those that change headers and recipients are not here: no public document names the variables that they take.
METHODS: t.Mapping[str, t.Tuple[str, t.Tuple[str, ...], t.Tuple[str, ...]]] = {
    "checkspf": ("checkSPF", _from("mail"), ()),
    "checkreversedns": ("checkReverseDNS", RECEIVING, ()),
    "checkdnsbl": ("checkDNSBL", RECEIVING, ("DNSBLServer",)),
}

_UNKNOWN_METHODS = (
    "addHeader",
    "addIfNotExistsHeader",
    "modifyHeader",
    "modifyIfExistsHeader",
    "removeHeader",
    "removeFirstHeader",
    "addRcpt",
    "discardRcpt",
)

_ELSEWHERE = {
    "remotesmtpuser": "the relay host and its credentials are one setting (smtp_policy: relay)",
    "remotesmtppassword": "the relay host and its credentials are one setting (smtp_policy: relay)",
    "remotesmtpclearlogin": "the relay host and its credentials are one setting (smtp_policy: relay)",
}


# --- names --------------------------------------------------------------------------------------


def variable(name: t.Any, option: str, writes: bool) -> Variable:
    """The variable of this name in any case, for a condition or an action. Raises :class:`PolicyError`."""
    if not isinstance(name, str) or not name.strip():
        got = "nothing" if isinstance(name, str) else arrived(name)
        raise PolicyError("%s must be the name of a variable, like isSSLConnection; got %s" % (option, got))
    text = name.strip()
    found = VARIABLES.get(text.lower())
    if found is None:
        raise PolicyError("%s: %s" % (option, _unknown(text, writes)))
    if writes and not found.written:
        raise PolicyError("%s: variable %s can be tested and not set: the server tells it" % (option, found.name))
    if not writes and not found.tested:
        raise PolicyError("%s: variable %s can be set and not tested" % (option, found.name))
    return found


def _unknown(text: str, writes: bool) -> str:
    if text.lower() in _ELSEWHERE:
        return "variable %s is none of a general rule: %s" % (text, _ELSEWHERE[text.lower()])
    names = [one.name for one in _ALL if (one.written if writes else one.tested)]
    return "no variable %s; %s" % (shown(text), _nearest(text, names))


def _nearest(text: str, names: t.Sequence[str]) -> str:
    from difflib import get_close_matches

    lower = {name.lower(): name for name in names}
    near = [lower[key] for key in get_close_matches(text.lower(), lower, 3, 0.5)]
    return "did you mean %s?" % " or ".join(near) if near else "there are %s" % ", ".join(names)


def method(name: t.Any, option: str) -> str:
    """The server's own method of this name in any case. Raises :class:`PolicyError`."""
    if not isinstance(name, str) or not name.strip():
        got = "nothing" if isinstance(name, str) else arrived(name)
        raise PolicyError("%s must be the name of a method of the server, like checkSPF; got %s" % (option, got))
    text = name.strip()
    if text.lower() in METHODS:
        return METHODS[text.lower()][0]
    names = [found for found, _events, _reads in METHODS.values()]
    if text.lower() in (one.lower() for one in _UNKNOWN_METHODS):
        raise PolicyError(
            "%s: no public document names the variables that %s takes, so that no rule can call it; there are %s"
            % (option, text, ", ".join(names))
        )
    raise PolicyError("%s: no method %s; %s" % (option, shown(text), _nearest(text, names)))


def test_name(name: t.Any, tested: Variable, option: str) -> str:
    """The test of this name in any case, None for the usual one of the variable. Raises :class:`PolicyError`."""
    if name is None:
        return _USUAL_TESTS.get(tested.kind, "isCase")
    known = {one.lower(): one for one in TESTS}
    text = name.strip().lower() if isinstance(name, str) else ""
    if text not in known:
        got = shown(name) if isinstance(name, str) else arrived(name)
        raise PolicyError("%s must be one of %s; got %s" % (option, ", ".join(TESTS), got))
    kinds = TESTS[known[text]]
    if kinds and tested.kind not in kinds:
        fitting = [one for one in TESTS if not TESTS[one] or tested.kind in TESTS[one]]
        raise PolicyError(
            "%s: %s has no meaning for %s; there are %s" % (option, known[text], tested.name, ", ".join(fitting))
        )
    return known[text]


# --- values -------------------------------------------------------------------------------------


def tested_value(tested: Variable, test: str, value: t.Any, option: str) -> str:
    """What a condition compares with, canonical. Raises :class:`PolicyError`."""
    if test == "ipRange":
        return _ranges(value, option)
    if isinstance(value, str) and "%" in value:
        return _text(value, option)
    if tested.kind == "domain":
        return _domain(value, test, option)
    if tested.kind == "ip":
        return _address(value, option)
    return _READERS[tested.kind](value, option, tested)


def written_value(written: Variable, value: t.Any, option: str) -> str:
    """What an action gives a variable, canonical. Raises :class:`PolicyError`."""
    found = _READERS[written.kind](value, option, written)
    if written.name == "remoteSmtpPort" and found == "0":
        raise PolicyError("%s: remoteSmtpPort must be a number from 1 to 65535; got 0" % option)
    return found


def references(value: str) -> t.List[str]:
    """The names in a text that stand for values of variables (``%name%``)."""
    return _REFERENCE.findall(value)


def with_references(value: str, rename: t.Callable[[str], str]) -> str:
    """The text with each ``%name%`` under another name."""
    return _REFERENCE.sub(lambda found: "%%%s%%" % rename(found.group(1)), value)


def _yes_no(value: t.Any, option: str, about: Variable) -> str:
    # YAML reads yes, no, on and off as booleans.
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value.strip().lower() in ("yes", "no"):
        return value.strip().lower()
    got = shown(value) if isinstance(value, str) else arrived(value)
    raise PolicyError("%s: %s is yes or no; got %s" % (option, about.name, got))


def _number(value: t.Any, option: str, about: Variable) -> str:
    low, high = about.allowed
    text = value.strip() if isinstance(value, str) else str(value)
    good = isinstance(value, (int, str)) and not isinstance(value, bool)
    if not good or not re.match(r"[0-9]{1,12}\Z", text) or not low <= int(text) <= high:
        got = shown(value) if isinstance(value, str) else text if good else arrived(value)
        raise PolicyError("%s: %s is a whole number from %d to %d; got %s" % (option, about.name, low, high, got))
    return str(int(text))


def _choice(value: t.Any, option: str, about: Variable) -> str:
    if isinstance(value, str) and value.strip().lower() in about.allowed:
        return value.strip().lower()
    got = shown(value) if isinstance(value, str) else arrived(value)
    raise PolicyError("%s: %s is one of %s; got %s" % (option, about.name, ", ".join(about.allowed), got))


def _level(value: t.Any, option: str, _about: Variable) -> str:
    from .level import tls_level

    return tls_level(value, option)


def _plain(value: t.Any, option: str, _about: Variable) -> str:
    return _text(value, option)


def _text(value: t.Any, option: str, length: int = TEXT_LENGTH, ascii_only: bool = True) -> str:
    """Printable text on one line that a script can hold, with ``%name%`` for known variables only."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise PolicyError("%s must be a text; got %s" % (option, arrived(value)))
    text = value.strip(" \t")
    bad = sorted({one for one in text if one in '"\\' or not one.isprintable() or (ascii_only and one > "~")})
    if bad:
        raise PolicyError(
            "%s must be printable%s text on one line without double quotes and backslashes; it holds %s"
            % (option, " ASCII" if ascii_only else "", ", ".join(shown(one) for one in bad[:5]))
        )
    if len(text) > length:
        raise PolicyError("%s must have %d characters at most; got %d" % (option, length, len(text)))
    unknown = [name for name in references(text) if name.lower() not in VARIABLES]
    if unknown:
        names = [one.name for one in _ALL]
        raise PolicyError("%s: no variable %s; %s" % (option, shown(unknown[0]), _nearest(unknown[0], names)))
    if "%" in _REFERENCE.sub("", text):
        raise PolicyError('%s: a percent sign stands around the name of a variable only, like "%%ehloHost%%"' % option)
    return with_references(text, lambda name: VARIABLES[name.lower()].name)


def _reason(value: t.Any, option: str, _about: Variable) -> str:
    text = _text(value, option, REASON_LENGTH, ascii_only=False)
    if "%" in text:
        raise PolicyError("%s must not hold a percent sign" % option)
    return text


def _date(value: t.Any, option: str, _about: Variable) -> str:
    from datetime import date

    text = value.strip() if isinstance(value, str) else value.isoformat() if isinstance(value, date) else ""
    try:
        if _DATE.match(text):
            date(*(int(part) for part in text.split("-")))
            return text
    except ValueError:
        pass
    got = shown(value) if isinstance(value, str) else arrived(value)
    raise PolicyError('%s must be a day like "2026-12-31"; got %s' % (option, got))


def _words(value: t.Any) -> t.Any:
    return re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value


def _mechanisms(value: t.Any, option: str, _about: Variable) -> str:
    from .mechanism import mechanisms

    if isinstance(value, str) and value.strip().lower() == "none":
        return "none"
    return " ".join(mechanisms(_words(value), option)) or "none"


def _versions(value: t.Any, option: str, _about: Variable) -> str:
    from .tls import tls_versions

    return " ".join(tls_versions(_words(value), option))


def _host(value: t.Any, option: str, _about: Variable) -> str:
    from .relay_host import relay_host_name

    return relay_host_name(value, option)


def _domains(value: t.Any, option: str, _about: Variable) -> str:
    from .domain import domain_names

    names = domain_names(_words(value), option)[0]
    if not names:
        raise PolicyError("%s names nothing" % option)
    return " ".join(names)


def _fingerprints(value: t.Any, option: str, _about: Variable) -> str:
    from .fingerprint import fingerprints

    found = fingerprints(_words(value), option)
    if not found:
        raise PolicyError("%s names nothing" % option)
    return " ".join(found)


def _domain(value: t.Any, test: str, option: str) -> str:
    from .domain import domain_name

    if value == "" and test != "isSubdomainOf":
        return ""  # The null sender of notifications (RFC 5321 section 4.5.5) has no domain.
    name = domain_name(value, option)
    if test == "isSubdomainOf":
        return name.lstrip(".")
    if name.startswith("."):
        raise PolicyError(
            '%s: no domain equals %s; test: isSubdomainOf with "%s" means the subdomains' % (option, name, name[1:])
        )
    return name


def _address(value: t.Any, option: str) -> str:
    from .address import host_address

    if value == "":
        return ""  # The result of a look-up that found nothing.
    found = host_address(value, option) if isinstance(value, str) else None
    if found is None:
        got = shown(value) if isinstance(value, str) else arrived(value)
        raise PolicyError('%s must be an IP address like "192.0.2.1"; got %s' % (option, got))
    return found


def _ranges(value: t.Any, option: str) -> str:
    from .address import networks

    if isinstance(value, str):
        # Blanks around the hyphen belong to one range.
        value = _words(re.sub(r"\s*-\s*", "-", value))
    found = networks(value, option)
    if not found:
        raise PolicyError('%s must name a network or range like "192.0.2.0/24"' % option)
    return " ".join(found)


_READERS: t.Dict[str, t.Callable[[t.Any, str, Variable], str]] = {
    "yes_no": _yes_no,
    "number": _number,
    "choice": _choice,
    "level": _level,
    "text": _plain,
    "reason": _reason,
    "date": _date,
    "mechanisms": _mechanisms,
    "versions": _versions,
    "host": _host,
    "domains": _domains,
    "fingerprints": _fingerprints,
}
