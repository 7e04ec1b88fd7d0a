# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root's commands for domains, and the contexts in which one is created and edited.

Domains have their own storage: a COMMIT here is durable at once and needs no SAVE CONFIG.
"""

from __future__ import annotations

import fnmatch
import typing as t

from ..directory import DirectoryError, domain_name
from . import layout
from .accounts import DomainContext, domain_attributes, find_pair, name_pattern, pairs, password, write
from .contexts import Context, Refusal, Reply, named, nothing_more, text
from .protocol import Word

if t.TYPE_CHECKING:
    from .session import AdminSession

#: Two spellings: the documented one, and the one that old clients send.
_POSTMASTER = ("postmasterpassword", "postmasterpasswd")

#: Where AXIGEN would keep a domain's files; here all mail is kept below the state directory.
_PLACES = ("domainlocation", "domainobjectslocation", "messageslocation")


def declare(root: Context) -> None:
    """Give the root context its commands for domains."""
    session = root.session

    def command(run: t.Callable[[AdminSession, list[Word]], t.Any]) -> t.Callable[[list[Word]], t.Any]:
        return lambda words: run(session, words)

    name = "[name] <domain>"
    root.add("LIST Domains", command(_list_active), "[<pattern>]", "list the domains that take mail")
    root.add("LIST AllDomains", command(_list_all), "[<pattern>]", "list all domains, disabled ones too")
    new = f"{name} postmasterPassword <password> [domainLocation <path>] [wmFilterTemplatePath none]"
    root.add("CREATE Domain", command(_create), new, "describe a new domain; COMMIT creates it")
    root.add("UPDATE Domain", command(_update), name, "enter the context of a domain that is not disabled")
    root.add("SHOW Domain", command(_show), f"{name} [ATTR <name>]", "show a domain")
    root.add("ENABLE Domain", command(_enable), name, "let a domain take mail again, at once")
    root.add("DISABLE Domain", command(_disable), name, "let a domain take no mail and no logins, at once")
    root.add("EDIT Domain", command(_edit), name, "enter the context of a domain's places: none can be changed here")
    root.add("DELETE Domain", command(_delete), f"{name} [dontKeepCopy]", "forget a domain, at once")


def _domain(arguments: list[Word]) -> tuple[str, list[Word]]:
    word, rest = named(arguments, "name", "the name of the domain")
    try:
        return domain_name(word), rest
    except DirectoryError as error:
        raise Refusal(str(error)) from None


def _existing(session: AdminSession, arguments: list[Word]) -> tuple[str, list[Word]]:
    name, rest = _domain(arguments)
    if name not in session.directory.all_domains():
        raise Refusal(f"there is no domain {name}")
    return name, rest


def _list_active(session: AdminSession, arguments: list[Word]) -> Reply:
    names = fnmatch.filter(session.directory.domains(), name_pattern(arguments))
    rows = [(name, str(len(session.directory.accounts(name)))) for name in names]
    return Reply(layout.table("The list of domains for this server:", ("name", "accounts"), rows))


def _list_all(session: AdminSession, arguments: list[Word]) -> Reply:
    names = fnmatch.filter(session.directory.all_domains(), name_pattern(arguments))
    rows = [
        (name, str(len(session.directory.accounts(name))), "yes" if session.directory.is_enabled(name) else "no")
        for name in names
    ]
    return Reply(layout.table("The list of all domains for this server:", ("name", "accounts", "enabled"), rows))


def _create(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _domain(arguments)
    _check_new(session, name)
    values = _described(pairs(rest))
    if _POSTMASTER[0] not in values:
        raise Refusal("postmasterPassword is missing: it is the password of the account postmaster")
    return session.push(_DomainCreation(session, name, values[_POSTMASTER[0]]))


def _check_new(session: AdminSession, name: str) -> None:
    if session.directory.has_domain(name):
        raise Refusal(f"domain {name} already exists")


def _described(found: t.Iterable[tuple[str, str]]) -> dict[str, str]:
    """What describes a new domain: its name and its postmaster's password; places are taken and mean nothing."""
    values = {}
    for keyword, word in found:
        if keyword in _POSTMASTER:
            values[_POSTMASTER[0]] = password(word)
        elif keyword == "name":
            values["name"], _rest = _domain([word])
        elif keyword == "wmfiltertemplatepath":
            if word.lower() not in ("", "none"):
                raise Refusal("wmFilterTemplatePath: this server has no filters of domains; the value must be none")
        elif keyword not in _PLACES:
            raise Refusal(
                "unknown attribute of a new domain; it has: name, postmasterPassword, domainLocation,"
                " domainObjectsLocation, wmFilterTemplatePath"
            )
    return values


def _update(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    nothing_more(rest)
    if not session.directory.is_enabled(name):
        raise Refusal(f"domain {name} is disabled; ENABLE it first")
    return session.push(DomainContext(session, name))


def _edit(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    nothing_more(rest)
    return session.push(_DomainEditing(session, name))


def _show(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    found = domain_attributes(session, name)
    if rest:
        return Reply(find_pair(found, rest))
    return Reply(layout.attributes("The domain has the following attributes:", found))


async def _enable(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    nothing_more(rest)
    if session.directory.is_enabled(name):
        raise Refusal(f"domain {name} is enabled already")
    await write(session.directory.enable_domain, name, True)
    return Reply(text=f"domain {name} takes mail")


async def _disable(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    nothing_more(rest)
    if not session.directory.is_enabled(name):
        raise Refusal(f"domain {name} is disabled already")
    await write(session.directory.enable_domain, name, False)
    return Reply(text=f"domain {name} takes no mail and no logins; its accounts and their mail stay")


async def _delete(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    if rest and text(rest[0]).lower() == "dontkeepcopy":
        rest = rest[1:]
    nothing_more(rest)
    await write(session.directory.delete_domain, name)
    return Reply(text=f"domain {name} is forgotten; mail that was delivered stays on disk")


class _DomainCreation(Context):
    """A domain that exists only after COMMIT."""

    def __init__(self, session: AdminSession, name: str, postmaster: str) -> None:
        super().__init__(session, "DOMAIN-CREATE", ("domain-create",))
        self.domain_name = name
        self._postmaster = postmaster
        self.add("SHOW", self._show, "", "show the new domain")
        self.add("SET", self._set, "[name <domain>]", "change the name")
        self.add("SET", self._set, "[postmasterPassword <password>]", "change the password of its postmaster")
        self.add("SET", self._set, "[domainLocation <path>]", "taken without effect: the server knows its places")
        self.add("ADD MessagesLocation", self._place, "<path>", "taken without effect: the server knows its places")
        self.add_common("COMMIT", self._commit, self.leave)

    def _show(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        title = "The new domain has the following attributes:"
        return Reply(layout.attributes(title, [("name", layout.quoted(self.domain_name))]))

    def _set(self, arguments: list[Word]) -> Reply:
        if not arguments:
            raise Refusal("SET needs an attribute and a value")
        values = _described(pairs(arguments))
        if "name" in values:
            _check_new(self.session, values["name"])
            self.domain_name = values["name"]
        self._postmaster = values.get(_POSTMASTER[0], self._postmaster)
        return Reply()

    def _place(self, arguments: list[Word]) -> Reply:
        if len(arguments) != 1:
            raise Refusal("ADD MessagesLocation takes one path")
        text(arguments[0])
        return Reply(text="taken without effect: mail is kept below the state directory")

    async def _commit(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        await write(self.session.directory.create_domain, self.domain_name, self._postmaster)
        self.session.pop()
        return Reply(text=f"domain {self.domain_name} is created; its mail is kept below the state directory")


class _DomainEditing(Context):
    """The places of a domain's files, which are the server's own business here: there is nothing to set."""

    def __init__(self, session: AdminSession, name: str) -> None:
        super().__init__(session, "DOMAIN-EDIT", ("domain-edit",))
        self.domain_name = name
        self.add("SHOW", self._show, "", "show the domain")
        self.add_common("COMMIT", self.leave, self.leave)

    def _show(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        found = domain_attributes(self.session, self.domain_name)
        return Reply(layout.attributes("The current context has the following attributes:", found))
