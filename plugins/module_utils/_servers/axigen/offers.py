# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this server's listener contexts offer, so that a plan is refused by name before anything is written.

HELP of the contexts says it. A listener has to be entered to see its HELP: UPDATE and BACK of one that exists read
only. On a server without any listener nothing is entered: ADD and BACK would be the way in, and that a server drops
what BACK leaves behind is documented and was never seen. Where HELP says nothing that is understood, what is known
about versions decides, and where nothing is known the server's own refusal of the SET does.
"""

from __future__ import annotations

import re
import typing as t

from ..base import CommandRefused
from . import versions
from .cli import AdminSession
from .listeners import LISTENER, NETWORKS, SSLCONTROL, ListenerChange

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

#: Attributes that every version has: a HELP that names fewer than two of them does not name attributes at all.
_EVERYWHERE = {
    "listener": ("enable", "idleTimeout", "maxConnections", "sslEnable"),
    "sslcontrol": ("allowedVersions", "cipherSuite", "certFile", "caFile"),
}

#: Members of ``allowedVersions``. A HELP that names fewer than three gives an example and no list.
_TOKENS = ("ssl2", "ssl3", "tls1", "tls1_1", "tls1_2", "tls1_3")

_OPTIONS = {attribute.name: attribute.field for attribute in LISTENER + SSLCONTROL}
_OPTIONS.update({kind: field for field, kind, _name, _priority in NETWORKS}, sslEnable="tls")


def check(
    session: AdminSession,
    changes: t.Iterable[ListenerChange],
    spelt: t.Mapping[str, t.Mapping[str, str]],
) -> t.List[str]:
    """Problems of these changes, [] when the server offers all that they need, as far as it says.

    ``session`` stands at the root context and does so again; only reading verbs are sent, none where the changes
    only remove. ``spelt`` has the server's own spellings of what each listener has (``listeners.spellings``).
    Raises :class:`ServerError` when the session breaks.
    """
    needing = [change for change in changes if change.kind != "remove"]
    control = any(change.control for change in needing)
    listener = any(change.listener or change.networks for change in needing)
    if not (control or listener):
        return []
    here = [change.address for change in needing if change.address in spelt] or sorted(spelt)
    texts = _read(session, spelt[here[0]].get(here[0], here[0]), listener, control) if here else {}
    words = {context: frozenset(word.lower() for word in _WORD.findall(text)) for context, text in texts.items()}
    problems = []
    for change in needing:
        names = [name for name, _value in change.listener] + sorted({kind for _verb, kind, _v, _p in change.networks})
        problems += _missing(change, "listener", names, words, session.version)
        problems += _missing(change, "sslcontrol", [name for name, _value in change.control], words, session.version)
        for name, value in change.control:
            if name == "allowedVersions":
                problems += _missing_tokens(change, value, words.get("sslcontrol", frozenset()), session.version)
    return problems


def _read(session: AdminSession, address: str, listener: bool, control: bool) -> t.Dict[str, str]:
    """The HELP of a listener and of its SSLCONTROL, as far as this server shows them."""
    texts = {}
    try:
        session.enter("CONFIG", "SERVER")
        session.enter("CONFIG", "SMTP-INCOMING")
        session.enter("UPDATE", "Listener", "address", address)
        if listener:
            texts["listener"] = session.command("HELP").text
        if control:
            session.enter("CONFIG", "SSLCONTROL")
            texts["sslcontrol"] = session.command("HELP").text
    except CommandRefused:
        # No HELP, or no way to it: what the server cannot do it says itself, when it is asked to.
        pass
    session.back_to_root()
    return texts


def _missing(
    change: ListenerChange,
    context: str,
    names: t.Iterable[str],
    words: t.Mapping[str, t.FrozenSet[str]],
    version: str,
) -> t.Iterator[str]:
    named = words.get(context, frozenset())
    understood = sum(name.lower() in named for name in _EVERYWHERE[context]) >= 2
    for name in names:
        if understood:
            # A rule's kind is also named in the plural: LIST DenyRules.
            absent = name.lower() not in named and name.lower() + "s" not in named
        else:
            absent = versions.lacks(version, name)
        if absent:
            yield "listener %s: this server%s has no %s, which the option %s needs%s" % (
                change.address, _shown(version), name, _OPTIONS[name], _came_with(name)
            )  # fmt: skip


def _missing_tokens(
    change: ListenerChange, tokens: t.Iterable[str], named: t.FrozenSet[str], version: str
) -> t.Iterator[str]:
    listed = sum(token in named for token in _TOKENS) >= 3
    for token in tokens:
        if (token not in named) if listed else versions.lacks(version, token):
            text = "listener %s: this server%s has no %s among its allowedVersions, which the option versions needs%s"
            yield text % (change.address, _shown(version), token, _came_with(token))


def _shown(version: str) -> str:
    return " (version %s)" % version if version else ""


def _came_with(name: str) -> str:
    said = versions.came_with(name)
    return "; " + said if said else ""
