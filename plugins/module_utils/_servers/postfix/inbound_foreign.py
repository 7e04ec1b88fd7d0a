# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What administrators have made around recipients by hand, beside the own table: it is looked at and never changed."""

from __future__ import annotations

import os
import re
import typing as t

from ..base import ServerError
from . import maps, table
from .configuration import OWN_FOLDER, Draft, _State

_FORCED = "reject_plaintext_session"

#: What ends a list in favour of a client; a table can say it of one mailbox.
_PERMITS = ("ok", "permit")

_CHECK = re.compile(r"check_[a-z_]+_access\s+((?:proxy:)?[a-z0-9]+):((?:\$\{[^}]*\}|[^\s,{}])+)")
_MAX_NAMES = 5


class _Table(t.NamedTuple):
    """A table in a list of restrictions: where that is, and its type and file."""

    where: str
    kind: str
    path: str

    @property
    def text(self) -> str:
        return "%s:%s" % (self.kind, self.path)


def made_by_hand(conf: _State) -> t.List[str]:
    """Tables and lists of others that refuse mail in clear, in words: they go on working, and are no rules."""
    classes = [name for name in re.split(r"[,\s]+", conf.main.get("smtpd_restriction_classes") or "") if name]
    words = [_FORCED, *(name for name in classes if _FORCED in (conf.main.get(name) or ""))]
    found = []
    for where, value in table.values(conf):
        name = where.rpartition(" ")[2]
        if name not in classes and name.endswith("_restrictions") and _FORCED in re.split(r"[,\s]+", value):
            found.append("%s refuses all mail in clear by %s: that goes on, and is no rule of this policy" % (where, _FORCED))
    for one in _tables(conf):
        if _holds(one, words):
            keys = [key for key, value in _listing(conf, one) if any(word in value.lower() for word in words)]
            found.append(
                "%s refuses mail in clear by a table of somebody else, %s%s: that goes on, and is no rule of this policy"
                % (one.where, one.text, " (%s)" % _some(keys) if keys else "")
            )
    return found


def surprises(draft: Draft, domains: t.Sequence[str], first: bool) -> t.List[str]:
    """For whom it is new that mail for these domains is refused in clear, in words. ``first``: no domain was forced before."""
    found = []
    permits = [word for word in ("permit_mynetworks", "permit_sasl_authenticated") if word in draft.base.value("smtpd_recipient_restrictions")]
    if first:
        found.append(
            "mail in clear for these domains is refused whoever sends it%s, programs of this host (webmail, filters) among them: what "
            "must go on in clear needs a listener of its own on the loopback interface, with an empty content_filter"
            % (", before %s counts" % " and ".join(permits) if permits else "")
        )
        users = made_by_hand(draft.base)
        if users:
            found.append("plaintext_reject_code counts for these as well: %s" % "; ".join(users))
    wanted = set(domains)
    mailboxes = []
    for one in _tables(draft.base):
        if " smtpd_recipient_restrictions" in one.where:
            mailboxes += [
                "%s in %s" % (key, one.text)
                for key, value in _listing(draft.base, one)
                if "@" in key and key.rpartition("@")[2] in wanted and value.lower().startswith(_PERMITS)
            ]
    if mailboxes:
        found.append("mail in clear is refused for mailboxes, too, that a table lets pass: %s" % _some(mailboxes))
    return found


def still_named(conf: _State, names: t.Sequence[str]) -> t.List[str]:
    """Where own files are named that are to go, in words: what looks for them would answer all mail with an error."""
    paths = tuple("/%s/%s" % (OWN_FOLDER, name) for name in names)
    return [
        "%s names %s, which goes with the last domain: take it out first" % (where, path[1:])
        for where, value in table.values(conf)
        for path in paths
        if re.search(re.escape(path) + r"(?![a-z_])", value)
    ]


def _tables(conf: _State) -> t.List[_Table]:
    """The tables of others in lists of restrictions, each once."""
    found = {}
    for where, value in table.values(conf):
        for kind, path in _CHECK.findall(value):
            full = re.sub(r"\$\{?config_directory\}?", lambda unused: conf.directory, path)
            if "/%s/" % OWN_FOLDER not in full and "$" not in full:
                found.setdefault((kind, full), _Table(where, kind, full))
    return list(found.values())


def _holds(one: _Table, words: t.Sequence[str]) -> bool:
    """Whether one of these words is in the file of a table: its text, or else its index."""
    ends = ["", table.COMPILED.get(one.kind.rpartition(":")[2], "")]
    for end in dict.fromkeys(ends):
        try:
            with open(one.path + end, "rb") as file:
                content = file.read().lower()
        except OSError:
            continue
        return any(word.lower().encode("ascii", "replace") in content for word in words)
    return False


def _listing(conf: _State, one: _Table) -> t.List[t.Tuple[str, str]]:
    if not os.path.isabs(one.path):
        return []
    try:
        return maps.listing(conf, maps.Map(one.text))
    except ServerError:
        # Postfix cannot look into it either, and says so to whoever is asked for.
        return []


def _some(names: t.Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (" and %d more" % more if more > 0 else "")
