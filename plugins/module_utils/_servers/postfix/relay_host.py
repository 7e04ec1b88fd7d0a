# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host that takes all mail that goes out: relayhost, its level of TLS, and the login there (SASL_README, postconf(5)).

The level is an entry of the own table of policies, the login one of a table of passwords that nobody else may read.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy.errors import PolicyError
from ..._policy.policy import Policy, RelayHost
from ..._policy.relay_host import relay_host_name
from . import sending_level, strictest, table
from .configuration import Draft, _State
from .maps import Answer, first_answers, maps
from .policy_tables import in_force
from .strictest import TlsPolicy

_HOST = "relayhost"
_WRAPPER = "smtp_tls_wrappermode"
_LOGIN, _PASSWORDS = "smtp_sasl_auth_enable", "smtp_sasl_password_maps"
_CLEAR, _INSIDE = "smtp_sasl_security_options", "smtp_sasl_tls_security_options"
_BY_SENDER = "smtp_sender_dependent_authentication"

#: The own file with the password.
TABLE = "relay_password"

#: Begins a comment in the table of policies that says what was asked for the relay host.
ASKED = "#@ "

_FORM = re.compile(r"(\[[^\[\]\s,]+\]|[^\[\]:\s,]+)(?::([A-Za-z0-9-]+))?")

#: Names of ports, and the port where none is said (RFC 8314, RFC 5321).
_PORTS = {"": 25, "smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}

#: Levels that a relay host cannot be said to have, and what they are at least.
_AT_LEAST = {"dane": "may", "dane-only": "encrypt", "fingerprint": "encrypt"}


class _Place(t.NamedTuple):
    """What relayhost says: the key of tables, and host and port."""

    key: str
    host: str
    port: int


def key(conf: _State) -> str:
    """The next hop that the relay host is; "" for none."""
    return conf.value(_HOST).lower()


def read(conf: _State, notes: t.List[str]) -> t.Optional[RelayHost]:
    """The relay host. ``notes`` get what the policy has no words for."""
    place = _place(conf, notes)
    if place is None:
        return None
    (answer,) = in_force(conf, {place.key: [place.key]}, notes).values()
    username, password = _login(conf, place, notes)
    clear = bool(username) and "noplaintext" not in _words(conf.value(_CLEAR))
    implicit = conf.value(_WRAPPER) == "yes"
    return RelayHost(
        place.host, place.port, "implicit" if implicit else "starttls", _level(conf, place, answer, notes), username, password, clear
    )


def asked(text: t.Optional[str]) -> t.Dict[str, TlsPolicy]:
    """What was asked for a relay host, by next hop, as the table of policies has it."""
    found = {}
    for line in (text or "").splitlines():
        if line.startswith(ASKED):
            hop, unused, level = line[len(ASKED) :].partition("\t")
            try:
                found[hop] = strictest.parse(level)
            except ValueError:
                # Somebody edited the comment: nothing is known of what was asked.
                continue
    return found


def policy(host: RelayHost) -> TlsPolicy:
    """The policy for the way to a relay host. TLS from the first byte is TLS (smtp_tls_wrappermode)."""
    return TlsPolicy("encrypt" if host.tls == "implicit" and host.level == "may" else host.level)


def write(draft: Draft, before: t.Optional[RelayHost], desired: t.Optional[RelayHost]) -> None:
    """Set the relay host and the login there; its level is written with the other policies. Raises ``PolicyError``."""
    if desired == before:
        return
    if desired is None:
        _take_away(draft)
        draft.actions.append("send mail as DNS says, without a relay host")
        return
    problems = _problems(draft, desired)
    if problems:
        raise PolicyError(*("relay host %s: %s" % (desired.host, problem) for problem in problems))
    place = _place(draft, [])
    if place is None or (place.host, place.port) != (desired.host, desired.port):
        draft.set(_HOST, "[%s]:%d" % (desired.host, desired.port))
    if desired.tls == "implicit":
        draft.set(_WRAPPER, "yes")
    elif draft.value(_WRAPPER) == "yes":
        draft.unset(_WRAPPER)
    _set_login(draft, before, desired)
    draft.actions.append("send all mail to %s port %d%s" % (desired.host, desired.port, " with a login" if desired.username else ""))
    for name in ("sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps", "transport_maps"):
        if draft.value(name):
            draft.warnings.append("relay host %s: mail that %s sends elsewhere does not go there" % (desired.host, name))


# --- reading --------------------------------------------------------------------------------------


def _place(conf: _State, notes: t.List[str]) -> t.Optional[_Place]:
    text = conf.value(_HOST)
    if not text:
        return None
    match = _FORM.fullmatch(text)
    port = -1
    if match is not None:
        word = (match.group(2) or "").lower()
        port = int(word) if word.isdigit() else _PORTS.get(word, -1)
    try:
        if match is None or not 1 <= port <= 65535:
            raise PolicyError("it is not one host and port")
        host = relay_host_name(re.sub(r"\A\[(?:ipv6:)?|\]\Z", "", match.group(1), flags=re.IGNORECASE), _HOST)
    except PolicyError as error:
        notes.append("relayhost = %s is no relay host that a policy can say, and is left alone: %s" % (text, "; ".join(error.problems)))
        return None
    if not match.group(1).startswith("["):
        notes.append("relayhost = %s has no brackets: mail goes to the hosts that DNS names for that domain (MX)" % text)
    return _Place(text.lower(), host, port)


def _level(conf: _State, place: _Place, answer: Answer, notes: t.List[str]) -> str:
    found = sending_level.general(conf)
    if answer.text is not None:
        try:
            found = strictest.parse(answer.text)
        except ValueError as error:
            notes.append("relayhost = %s: nothing is sent there: %s" % (place.key, error))
            found = TlsPolicy("none")
    if answer.behind:
        notes.append("relayhost = %s: %s may ask for more or less there" % (place.key, answer.behind))
    elif place.key in asked(conf.own_text("outbound")):
        wanted = asked(conf.own_text("outbound"))[place.key]
        implied = TlsPolicy("encrypt") if wanted.level == "may" and conf.value(_WRAPPER) == "yes" else wanted
        if strictest.covers(found, implied, sending_level.defaults(conf), place.key):
            return wanted.level
    if found.level in _AT_LEAST:
        notes.append("relayhost = %s: the level there is %s, at least %s" % (place.key, found.level, _AT_LEAST[found.level]))
    return _AT_LEAST.get(found.level, found.level)


def _login(conf: _State, place: _Place, notes: t.List[str]) -> t.Tuple[str, str]:
    """User and password, both "" for none."""
    if conf.value(_LOGIN) != "yes":
        return "", ""
    if conf.value(_BY_SENDER) == "yes":
        notes.append("%s: the login at the relay host depends on who sends" % _BY_SENDER)
    # smtp(8) looks for the name of the host first, then for what relayhost says.
    chain = {place.key: list(dict.fromkeys([place.host, place.key]))}
    trouble: t.List[str] = []
    (answer,) = first_answers(conf, maps(conf.value(_PASSWORDS)), chain, trouble, _own_passwords(conf)).values()
    # What a table says may hold a password: only that it cannot be looked into is told.
    notes += ["relayhost = %s: the login there is not known: %s" % (place.key, said) for said in trouble]
    if answer.behind and not trouble:
        notes.append("relayhost = %s: the login there is not known: %s cannot be asked here" % (place.key, answer.behind))
    if answer.behind or not answer.text:
        return "", ""
    username, unused, password = answer.text.partition(":")
    return username, password


def _own_passwords(conf: _State) -> t.Dict[str, t.Dict[str, str]]:
    """The own table as Postfix finds it, under the name that main.cf has for it."""
    kind = table.references(conf).get(TABLE)
    if kind is None:
        return {}
    listed = [one.text for one in maps(conf.value(_PASSWORDS)) if one.text.endswith("/securemail/%s" % TABLE)]
    return {text: table.in_force(conf, TABLE) or {} for text in listed}


def _words(text: str) -> t.FrozenSet[str]:
    return frozenset(word.lower() for word in re.split(r"[,\s]+", text) if word)


# --- writing --------------------------------------------------------------------------------------


def _problems(draft: Draft, host: RelayHost) -> t.List[str]:
    problems = [sending_level.unusable(draft, host.level)]
    if host.tls == "implicit" and draft.value("transport_maps"):
        problems.append(
            "tls: implicit is a setting for all mail that is sent (smtp_tls_wrappermode), and transport_maps sends some of it "
            "elsewhere, where it would fail; use port 587 with tls: starttls, or give those domains a transport of their own in master.cf"
        )
    if ":" in host.username:
        problems.append("a user name with a colon cannot be said: the password begins behind the first one (smtp_sasl_password_maps)")
    if host.password != host.password.strip() or re.search(r"[\r\n\v\f]", host.password):
        problems.append("its password begins or ends with a blank, or has a line end, which a table of Postfix cannot hold")
    if host.username and draft.value(_BY_SENDER) == "yes":
        problems.append("%s = yes: the login depends on who sends, and one for all is not asked for first; take it out" % _BY_SENDER)
    return [problem for problem in problems if problem]


def _set_login(draft: Draft, before: t.Optional[RelayHost], desired: RelayHost) -> None:
    written = re.compile(r"[a-z]+:\$\{config_directory\}/securemail/%s\b" % TABLE)
    if not desired.username:
        if before is not None and before.username:
            _forget(draft, written)
        return
    place = _place(draft, [])
    if place is None:
        return
    line = "%s:%s" % (desired.username, desired.password)
    if _login(draft, place, []) != (desired.username, desired.password):
        keys = dict.fromkeys([place.host, place.key])
        text = table.source("The login at the relay host. Nobody but root may read this.", {one: line for one in keys})
        draft.table(TABLE, text, stale=True)
        item = table.reference(table.kind(draft), TABLE)
        if not (draft.main.get(_PASSWORDS) or "").startswith(item):
            draft.edit_main(draft.main.without_item(_PASSWORDS, written).with_first(_PASSWORDS, item))
    if draft.value(_LOGIN) != "yes":
        draft.set(_LOGIN, "yes")
    # In clear no password is sent as it is, whatever the other side offers.
    clear = {"noanonymous"} if desired.clear_text_login else {"noanonymous", "noplaintext"}
    for name, words in ((_CLEAR, clear), (_INSIDE, {"noanonymous"})):
        if _words(draft.value(name)) != words:
            draft.set(name, ", ".join(sorted(words)))


def _forget(draft: Draft, written: t.Pattern[str]) -> None:
    """Our login goes, and with the last one the settings for it."""
    draft.edit_main(draft.main.without_item(_PASSWORDS, written))
    draft.table(TABLE, None)
    if not draft.main.get(_PASSWORDS):
        # Without a table smtp(8) does not start.
        for name in (_LOGIN, _CLEAR, _INSIDE):
            draft.unset(name)


def _take_away(draft: Draft) -> None:
    draft.set(_HOST, "")
    if draft.value(_WRAPPER) == "yes":
        draft.unset(_WRAPPER)
    _forget(draft, re.compile(r"[a-z]+:\$\{config_directory\}/securemail/%s\b" % TABLE))


def wanted(before: Policy, desired: Policy, text: t.Optional[str]) -> t.Optional[RelayHost]:
    """The relay host whose level belongs into the table of policies: one that was asked for, and not one that was found."""
    if desired.relay is None or (desired.relay == before.relay and not asked(text)):
        return None
    return desired.relay
