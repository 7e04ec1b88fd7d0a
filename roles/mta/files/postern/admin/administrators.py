# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contexts of the administrative ACL: AACL, admin-user, admin-group.

DONE in the context of a user or a group stores it; leaving AACL, with DONE or BACK, changes nothing more. Nothing of
it needs SAVE CONFIG.
"""

from __future__ import annotations

import asyncio
import typing as t
from dataclasses import replace

from ..directory import DirectoryError, domain_name
from ..passwords import check_password, hash_password
from . import layout, permissions
from .aacl import ADMIN, MAX_DESCRIPTION, MAX_PASSWORD, AccessError, AccessList, Entry, Principal, principal_name
from .contexts import Context, Refusal, Reply, named, nothing_more, text
from .protocol import Word

if t.TYPE_CHECKING:
    from .session import AdminSession

_T = t.TypeVar("_T")


def declare(root: Context) -> None:
    """Give the root context its commands for administrators."""
    session = root.session

    def enter(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return session.push(_Aacl(session))

    async def change(arguments: list[Word]) -> Reply:
        return await _change_own_password(session, arguments)

    root.add("ENTER AACL", enter, "", "enter the context of administrators and their permissions")
    root.add("CHANGE password", change, "oldPassword <password> newPassword <password>", "change your own password")


async def _change_own_password(session: AdminSession, arguments: list[Word]) -> Reply:
    keywords = [text(word).lower() for word in arguments[::2]]
    if keywords != ["oldpassword", "newpassword"] or len(arguments) != 4:
        raise Refusal("CHANGE password takes oldPassword <password> newPassword <password>")
    if session.user == ADMIN:
        raise Refusal("the password of admin is set on the server's host, with the command passwd")
    fresh = checked_password(text(arguments[3]))
    if not await session.authenticate(session.user, text(arguments[1])):
        raise Refusal("the old password is wrong")
    found = session.access.find(session.user, group=False)
    if found is None:
        raise Refusal(f"admin-user {session.user} was removed by another session")
    await _store(session.access, found, False, found, fresh)
    return Reply()


def checked_password(word: str) -> str:
    """A password that an administrator may have. Raises :class:`Refusal`."""
    try:
        check_password(word)
    except ValueError as error:
        raise Refusal(str(error)) from None
    if len(word) > MAX_PASSWORD:
        raise Refusal(f"the password of an administrator has at most {MAX_PASSWORD} characters")
    return word


async def _store(
    access: AccessList, principal: Principal, group: bool, base: Principal | None, secret: str | None
) -> None:
    """In a thread: it hashes and syncs."""

    def run() -> None:
        fresh = principal if secret is None else replace(principal, password=hash_password(secret))
        access.put(fresh, group, base)

    await _refusing(asyncio.to_thread(run))


async def _refusing(work: t.Awaitable[_T]) -> _T:
    try:
        return await work
    except AccessError as error:
        raise Refusal(str(error)) from None


def _name(arguments: list[Word], noun: str) -> tuple[str, list[Word]]:
    word, rest = named(arguments, "name", f"the name of the {noun}")
    try:
        return principal_name(word), rest
    except AccessError as error:
        raise Refusal(str(error)) from None


class _Aacl(Context):
    """The list of administrators. Nothing is pending here."""

    def __init__(self, session: AdminSession) -> None:
        super().__init__(session, "AACL", ("aacl",))
        for noun, group in (("admin-user", False), ("admin-group", True)):
            self._declare(noun, group)
        self.add("DONE", self.leave, "", "leave this context")
        self.add_common(None, None, None)
        self.add("BACK", self.leave, "", "leave this context; what was stored stays")

    def _declare(self, noun: str, group: bool) -> None:
        access, session = self.session.access, self.session
        secret = "" if group else " password <password>"
        forced = " [forced]" if group else ""

        def listing(arguments: list[Word]) -> Reply:
            nothing_more(arguments)
            found = [access.find(name, group) for name in access.names(group)]
            rows = [(one.name, one.description, " ".join(one.parents)) for one in found if one]
            return Reply(layout.table(f"The list of {noun}s:", ("name", "description", "groups"), rows))

        def existing(arguments: list[Word]) -> tuple[Principal, list[Word]]:
            name, rest = _name(arguments, noun)
            found = access.find(name, group)
            if found is None:
                raise Refusal(f"there is no {noun} {name}")
            return found, rest

        def add(arguments: list[Word]) -> Reply:
            name, rest = _name(arguments, noun)
            if name == ADMIN or access.find(name, group) is not None:
                raise Refusal(f"{noun} {name} already exists")
            password = None
            if not group:
                if len(rest) != 2 or text(rest[0]).lower() != "password":
                    raise Refusal("ADD admin-user takes a name, password and the password")
                password, rest = checked_password(text(rest[1])), []
            nothing_more(rest)
            return session.push(_Editor(session, Principal(name), group, new=True, secret=password))

        def update(arguments: list[Word]) -> Reply:
            found, rest = existing(arguments)
            nothing_more(rest)
            return session.push(_Editor(session, found, group, new=False, secret=None))

        def show(arguments: list[Word]) -> Reply:
            found, rest = existing(arguments)
            nothing_more(rest)
            return Reply(layout.attributes(f"The {noun} has the following attributes:", shown(found, group)))

        async def remove(arguments: list[Word]) -> Reply:
            found, rest = existing(arguments)
            force = group and bool(rest) and text(rest[0]).lower() == "forced"
            nothing_more(rest[1:] if force else rest)
            await _refusing(asyncio.to_thread(access.remove, found.name, group, force))
            return Reply(text=f"{noun} {found.name} is removed")

        self.add(f"LIST {noun}s", listing, "", f"list the {noun}s")
        self.add(f"ADD {noun}", add, f"[name] <name>{secret}", f"describe a new {noun}; DONE creates it")
        self.add(f"UPDATE {noun}", update, "[name] <name>", f"enter the context of an {noun}")
        self.add(f"REMOVE {noun}", remove, f"[name] <name>{forced}", f"remove an {noun}, at once")
        self.add(f"SHOW {noun}", show, "[name] <name>", f"show an {noun}")


def shown(principal: Principal, group: bool) -> list[tuple[str, str]]:
    """Attributes of a user or a group; never the password."""
    pairs = [
        ("name", layout.quoted(principal.name)),
        ("description", layout.quoted(principal.description)),
        ("groups", f"({' '.join(principal.parents)})"),
    ]
    if not group:
        pairs.append(("hasPassword", "yes" if principal.password else "no"))
    for verb, entries in (("granted", principal.granted), ("denied", principal.denied)):
        for where in sorted({"", *(domain for domain, _name in entries)}):
            names = " ".join(sorted(name for domain, name in entries if domain == where))
            pairs.append((f"{verb}On{where}" if where else verb, f"({names})"))
    return pairs


class _Editor(Context):
    """One user or group, new or existing: a copy that DONE stores."""

    def __init__(
        self, session: AdminSession, principal: Principal, group: bool, *, new: bool, secret: str | None
    ) -> None:
        noun = "admin-group" if group else "admin-user"
        super().__init__(session, noun.upper(), ("aacl", noun))
        self._principal = principal
        self._group = group
        self._base = None if new else principal
        self._secret = secret
        known = "on the server, or on a domain"
        self.add("SHOW", self._show, "", f"show the {noun}")
        self.add("SHOW effective-permissions", self._effective, "[domain <name>]", f"what may be done {known}")
        self.add("LIST parents", self._parents, "", "list the groups that it belongs to")
        if group:
            self.add("LIST members", self._members, "", "list who belongs to the group")
        self.add("SET", self._set, "[name <name>]", "change the name")
        self.add("SET", self._set, "[description <text>]", "change the description")
        if not group:
            self.add("SET", self._set, "[password <password>]", "change the password")
        self.add("ADD parent-group", self._add_parent, "[name] <name>", "make it belong to a group")
        self.add("REMOVE parent-group", self._remove_parent, "[name] <name>", "take it out of a group")
        names = "(<names>) [domain <name>]"
        self.add("GRANT permission", self._permit(Principal.grant), names, f"grant permissions {known}")
        self.add("DENY permission", self._permit(Principal.deny), names, "deny permissions: wins over every grant")
        self.add("REVOKE permission", self._permit(Principal.revoke), names, "neither grant nor deny permissions")
        self.add("LIST permissions", self._names, "", "list the names of all permissions", extension=True)
        self.add_common("DONE", self._done, self.leave)

    def _show(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        pairs = shown(self._principal, self._group)
        return Reply(layout.attributes("The current context has the following attributes:", pairs))

    def _effective(self, arguments: list[Word]) -> Reply:
        domain = _domain(arguments)
        names = sorted(self.session.access.effective(self._principal, domain))
        where = f"domain {domain}" if domain else "the server"
        return Reply(layout.items(f"The list of effective permissions on {where}:", names))

    def _parents(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.items("The list of groups that this one belongs to:", self._principal.parents))

    def _members(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        names = self.session.access.members(self._base.name) if self._base else []
        return Reply(layout.items("The list of members of this group:", names))

    def _names(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        names = (*permissions.ON_SERVER.values(), *permissions.ON_DOMAIN.values())
        return Reply(layout.items("The list of permissions, on the server and on a domain:", names))

    def _set(self, arguments: list[Word]) -> Reply:
        if not arguments or len(arguments) % 2:
            raise Refusal("SET takes pairs of attribute and value")
        principal, secret = self._principal, self._secret
        for keyword, word in zip(arguments[::2], arguments[1::2]):
            name = text(keyword).lower()
            if name == "name":
                principal = replace(principal, name=_name([word], "administrator")[0])
            elif name == "description" and len(text(word)) <= MAX_DESCRIPTION:
                principal = replace(principal, description=text(word))
            elif name == "description":
                raise Refusal(f"description: it must not be longer than {MAX_DESCRIPTION} characters")
            elif name == "password" and not self._group:
                secret = checked_password(text(word))
            else:
                known = "name, description" + ("" if self._group else ", password")
                raise Refusal(f"unknown attribute in the {self.title} context; it has: {known}")
        self._principal, self._secret = principal, secret
        return Reply()

    def _add_parent(self, arguments: list[Word]) -> Reply:
        name, rest = _name(arguments, "admin-group")
        nothing_more(rest)
        if self.session.access.find(name, group=True) is None:
            raise Refusal(f"there is no admin-group {name}")
        if name in self._principal.parents:
            raise Refusal(f"it belongs to admin-group {name} already")
        self._principal = replace(self._principal, parents=(*self._principal.parents, name))
        return Reply()

    def _remove_parent(self, arguments: list[Word]) -> Reply:
        name, rest = _name(arguments, "admin-group")
        nothing_more(rest)
        if name not in self._principal.parents:
            raise Refusal(f"it does not belong to admin-group {name}")
        self._principal = replace(self._principal, parents=tuple(p for p in self._principal.parents if p != name))
        return Reply()

    def _permit(self, change: t.Callable[[Principal, t.Iterable[Entry]], Principal]) -> t.Callable[[list[Word]], Reply]:
        def run(arguments: list[Word]) -> Reply:
            if not arguments:
                raise Refusal("the names of permissions are missing: (<names>)")
            names = arguments[0] if isinstance(arguments[0], tuple) else (arguments[0],)
            domain = _domain(arguments[1:])
            known = permissions.ON_DOMAIN if domain else permissions.ON_SERVER
            if not names or any(name.lower() not in known for name in names):
                where = "a domain" if domain else "the server"
                raise Refusal(f"this is no permission on {where}; LIST permissions names them all")
            self._principal = change(self._principal, [(domain, known[name.lower()]) for name in names])
            return Reply()

        return run

    async def _done(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        await _store(self.session.access, self._principal, self._group, self._base, self._secret)
        self.session.pop()
        return Reply(text=f"{self.title.lower()} {self._principal.name} is stored")


def _domain(arguments: list[Word]) -> str:
    """The domain of ``[domain <name>]``, which need not exist; empty for the server."""
    if not arguments:
        return ""
    if len(arguments) != 2 or text(arguments[0]).lower() != "domain":
        raise Refusal("only domain <name> may follow")
    try:
        return domain_name(text(arguments[1]))
    except DirectoryError as error:
        raise Refusal(str(error)) from None
