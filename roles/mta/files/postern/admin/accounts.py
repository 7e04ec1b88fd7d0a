# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contexts of domains and accounts. They have their own storage: a COMMIT here is durable at once."""

from __future__ import annotations

import asyncio
import fnmatch
import typing as t

from ..directory import DirectoryError, domain_name, local_part
from ..passwords import check_password
from . import layout
from .contexts import Context, Refusal, Reply, named, nothing_more, text
from .protocol import Word

if t.TYPE_CHECKING:
    from .session import AdminSession

#: Two spellings: the documented one, and the one that old clients send.
_POSTMASTER = ("postmasterpassword", "postmasterpasswd")


def declare(root: Context) -> None:
    """Give the root context its commands for domains."""
    session = root.session

    def listing(words):
        return _list_domains(session, words)

    root.add("LIST Domains", listing, "[<pattern>]", "list the domains")
    root.add("LIST AllDomains", listing, "[<pattern>]", "the same")
    root.add(
        "CREATE Domain",
        lambda words: _create(session, words),
        "[name] <domain> postmasterPassword <password> [domainLocation <path>]",
        "describe a new domain; COMMIT creates it",
    )
    root.add("UPDATE Domain", lambda words: _update(session, words), "[name] <domain>", "enter a domain's context")
    root.add("SHOW Domain", lambda words: _show(session, words), "[name] <domain>", "show a domain")
    root.add(
        "DELETE Domain",
        lambda words: _delete(session, words),
        "[name] <domain> [dontKeepCopy]",
        "forget a domain, at once",
    )


def _pattern(arguments: list[Word]) -> str:
    nothing_more(arguments[1:])
    return text(arguments[0]).lower() if arguments else "*"


def _domain(arguments: list[Word]) -> tuple[str, list[Word]]:
    word, rest = named(arguments, "name", "the name of the domain")
    try:
        return domain_name(word), rest
    except DirectoryError as error:
        raise Refusal(str(error)) from None


def _existing(session: AdminSession, arguments: list[Word]) -> tuple[str, list[Word]]:
    name, rest = _domain(arguments)
    if not session.directory.has_domain(name):
        raise Refusal(f"there is no domain {name}")
    return name, rest


def _list_domains(session: AdminSession, arguments: list[Word]) -> Reply:
    pattern = _pattern(arguments)
    names = fnmatch.filter(session.directory.domains(), pattern)
    rows = [(name, str(len(session.directory.accounts(name)))) for name in names]
    return Reply(layout.table("The list of domains for this server:", ("name", "accounts"), rows))


def _create(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _domain(arguments)
    if session.directory.has_domain(name):
        raise Refusal(f"domain {name} already exists")
    password = None
    for keyword, word in _pairs(rest):
        if keyword in _POSTMASTER:
            password = _password(word)
        elif keyword != "domainlocation":
            raise Refusal("unknown attribute of a new domain; it has: domainLocation, postmasterPassword")
    if password is None:
        raise Refusal("postmasterPassword is missing: it is the password of the account postmaster")
    return session.push(_DomainCreation(session, name, password))


def _update(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    nothing_more(rest)
    return session.push(_Domain(session, name))


def _show(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    nothing_more(rest)
    return Reply(layout.attributes("The domain has the following attributes:", _domain_attributes(session, name)))


def _domain_attributes(session: AdminSession, name: str) -> list[tuple[str, str]]:
    return [("name", f'"{name}"'), ("accounts", str(len(session.directory.accounts(name))))]


async def _delete(session: AdminSession, arguments: list[Word]) -> Reply:
    name, rest = _existing(session, arguments)
    if rest and text(rest[0]).lower() == "dontkeepcopy":
        rest = rest[1:]
    nothing_more(rest)
    await _write(session.directory.delete_domain, name)
    return Reply(text=f"domain {name} is forgotten; mail that was delivered stays on disk")


def _pairs(words: list[Word]) -> t.Iterator[tuple[str, str]]:
    if len(words) % 2:
        raise Refusal("an attribute has no value: the command takes pairs of attribute and value")
    for name, word in zip(words[::2], words[1::2]):
        yield text(name).lower(), text(word)


def _password(word: str) -> str:
    try:
        check_password(word)
    except ValueError as error:
        raise Refusal(str(error)) from None
    return word


async def _write(method: t.Callable[..., None], *arguments: str) -> None:
    """Run a writing method of the directory in a thread: it hashes and syncs."""
    try:
        await asyncio.to_thread(method, *arguments)
    except DirectoryError as error:
        raise Refusal(str(error)) from None


class _DomainCreation(Context):
    """A domain that exists only after COMMIT."""

    def __init__(self, session: AdminSession, name: str, password: str) -> None:
        super().__init__(session, "DOMAIN-CREATE", ("domain-create",))
        self._name = name
        self._postmaster = password
        self.add("SHOW", self._show, "", "show the new domain")
        self.add_common("COMMIT", self._commit, self.leave)

    def _show(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.attributes("The new domain has the following attributes:", [("name", f'"{self._name}"')]))

    async def _commit(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        await _write(self.session.directory.create_domain, self._name, self._postmaster)
        self.session.pop()
        return Reply(text=f"domain {self._name} is created; its mail is kept below the state directory")


class _Domain(Context):
    """An existing domain. Removed accounts go at COMMIT."""

    def __init__(self, session: AdminSession, name: str) -> None:
        super().__init__(session, "DOMAIN", ("domain",))
        self._name = name
        self._removed: list[str] = []
        self.add("SHOW", self._show, "", "show the domain")
        self.add("LIST Accounts", self._list, "[<pattern>]", "list the accounts")
        self.add("ADD Account", self._add, "[name] <local part> [password <password>]", "describe a new account")
        self.add("UPDATE Account", self._update, "[name] <local part>", "enter an account's context")
        self.add("REMOVE Account", self._remove, "[name] <local part>", "remove an account at COMMIT")
        self.add("SHOW Account", self._show_account, "[name] <local part>", "show an account")
        self.add_common("COMMIT", self._commit, self.leave)

    def _accounts(self) -> list[str]:
        return [name for name in self.session.directory.accounts(self._name) if name not in self._removed]

    def _account(self, arguments: list[Word]) -> tuple[str, list[Word]]:
        word, rest = named(arguments, "name", "the name of the account")
        try:
            return local_part(word), rest
        except DirectoryError as error:
            raise Refusal(str(error)) from None

    def _existing(self, arguments: list[Word]) -> str:
        name, rest = self._account(arguments)
        nothing_more(rest)
        if name not in self._accounts():
            raise Refusal(f"there is no account {name} in domain {self._name}")
        return name

    def _show(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        pairs = _domain_attributes(self.session, self._name)
        return Reply(layout.attributes("The current context has the following attributes:", pairs))

    def _list(self, arguments: list[Word]) -> Reply:
        names = fnmatch.filter(self._accounts(), _pattern(arguments))
        return Reply(layout.table("The list of accounts for this domain:", ("name",), [(name,) for name in names]))

    def _add(self, arguments: list[Word]) -> Reply:
        name, rest = self._account(arguments)
        if name in self._accounts():
            raise Refusal(f"account {name} already exists in domain {self._name}; use UPDATE")
        if name in self._removed:
            raise Refusal(f"account {name} is to be removed: COMMIT that first")
        password = None
        for keyword, word in _pairs(rest):
            if keyword != "password":
                raise Refusal("unknown attribute of an account; it has: password")
            password = _password(word)
        return self.session.push(_Account(self.session, self._name, name, new=True, password=password))

    def _update(self, arguments: list[Word]) -> Reply:
        name = self._existing(arguments)
        return self.session.push(_Account(self.session, self._name, name, new=False, password=None))

    def _remove(self, arguments: list[Word]) -> Reply:
        name = self._existing(arguments)
        if name == "postmaster":
            raise Refusal("postmaster cannot be removed: every domain must have it (RFC 5321)")
        self._removed.append(name)
        return Reply()

    def _show_account(self, arguments: list[Word]) -> Reply:
        name = self._existing(arguments)
        pairs = _account_attributes(self._name, name)
        return Reply(layout.attributes("The account has the following attributes:", pairs))

    async def _commit(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        while self._removed:
            await _write(self.session.directory.remove_account, self._name, self._removed[0])
            self._removed.pop(0)
        self.session.pop()
        return Reply()


def _account_attributes(domain: str, name: str) -> list[tuple[str, str]]:
    return [("name", f'"{name}"'), ("domain", f'"{domain}"')]


class _Account(Context):
    """One account, new or existing. Its password is set at COMMIT and never shown."""

    def __init__(self, session: AdminSession, domain: str, name: str, *, new: bool, password: str | None) -> None:
        super().__init__(session, "ACCOUNT", ("domain", "account"))
        self._domain = domain
        self._name = name
        self._new = new
        self._secret = password
        self.add("SHOW", self._show, "", "show the account")
        self.add("SET", self._set, "password <password>", "change the password")
        self.add_common("COMMIT", self._commit, self.leave)

    def _show(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        pairs = _account_attributes(self._domain, self._name)
        return Reply(layout.attributes("The current context has the following attributes:", pairs))

    def _set(self, arguments: list[Word]) -> Reply:
        pairs = list(_pairs(arguments))
        if not pairs or any(keyword != "password" for keyword, _word in pairs):
            raise Refusal("SET takes password and a value in this context")
        self._secret = _password(pairs[-1][1])
        return Reply()

    async def _commit(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        directory = self.session.directory
        if self._new and self._secret is None:
            raise Refusal(f"account {self._name} has no password yet: SET password <password>")
        if self._new and directory.has_mailbox(self._name, self._domain):
            raise Refusal(f"account {self._name}@{self._domain} was created by another session; go BACK")
        if self._secret is not None:
            method = directory.put_account if self._new else directory.set_password
            await _write(method, self._domain, self._name, self._secret)
        self.session.pop()
        return Reply(text=f"account {self._name}@{self._domain} is stored")
