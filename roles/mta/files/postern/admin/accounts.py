# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contexts of a domain and of its accounts. They have their own storage: a COMMIT here is durable at once."""

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

#: Longest notes about an account, in bytes.
MAX_NOTES = 65536

#: Kinds of recipients that the dialect has and this server has not: noun, plural, what HELP says.
_LACKING = (
    ("Group", "Groups", "groups"),
    ("List", "Lists", "mailing lists"),
    ("FolderRcpt", "FolderRcpts", "folder recipients"),
    ("accountClass", "AccountClasses", "account classes"),
)


# --- words --------------------------------------------------------------------------------------


def name_pattern(arguments: list[Word]) -> str:
    """The pattern of LIST; all when there is none."""
    nothing_more(arguments[1:])
    return text(arguments[0]).lower() if arguments else "*"


def pairs(words: list[Word]) -> t.Iterator[tuple[str, str]]:
    """Attributes in lower case and their values. Raises :class:`Refusal` for one without a value."""
    if len(words) % 2:
        raise Refusal("an attribute has no value: the command takes pairs of attribute and value")
    for name, word in zip(words[::2], words[1::2]):
        yield text(name).lower(), text(word)


def password(word: str) -> str:
    """A password that an account may have. Raises :class:`Refusal`."""
    try:
        check_password(word)
    except ValueError as error:
        raise Refusal(str(error)) from None
    return word


def find_pair(found: list[tuple[str, str]], arguments: list[Word]) -> bytes:
    """The payload of ``SHOW … ATTR <name>``. Raises :class:`Refusal`."""
    if len(arguments) != 2 or text(arguments[0]).upper() != "ATTR":
        raise Refusal("SHOW takes nothing more, or ATTR and one name")
    for name, value in found:
        if name.lower() == text(arguments[1]).lower():
            return layout.pair(name, value)
    raise Refusal(f"unknown attribute; there are: {', '.join(name for name, _value in found)}")


async def write(method: t.Callable[..., None], *arguments: t.Any) -> None:
    """Run a writing method of the directory in a thread: it hashes and syncs. Raises :class:`Refusal`."""
    try:
        await asyncio.to_thread(method, *arguments)
    except DirectoryError as error:
        raise Refusal(str(error)) from None


def domain_attributes(session: AdminSession, name: str) -> list[tuple[str, str]]:
    """What SHOW says of a domain."""
    directory = session.directory
    return [
        ("name", layout.quoted(name)),
        ("enabled", "yes" if directory.is_enabled(name) else "no"),
        ("accounts", str(len(directory.accounts(name)))),
        ("aliases", f"({' '.join(directory.domain_aliases(name))})"),
    ]


class _Aliases:
    """ADD, REMOVE and LIST Alias of a context, pending until its COMMIT. ``stored`` gives the ones on disk."""

    def __init__(
        self,
        context: Context,
        what: str,
        parse: t.Callable[[str], str],
        stored: t.Callable[[], list[str]],
        taken: t.Callable[[str], bool],
    ) -> None:
        self.added: list[str] = []
        self.removed: list[str] = []
        self._what, self._parse, self._stored, self._taken = what, parse, stored, taken
        context.add("LIST Aliases", self._list, "", f"list other names of this {what}")
        context.add("ADD Alias", self._add, "<name>", f"another name for this {what}, at COMMIT")
        context.add("REMOVE Alias", self._remove, "<name>", f"one name less for this {what}, at COMMIT")

    def _names(self) -> list[str]:
        return sorted({*self._stored(), *self.added} - set(self.removed))

    def _name(self, arguments: list[Word]) -> str:
        word, rest = named(arguments, "name", "the alias")
        nothing_more(rest)
        try:
            return self._parse(word)
        except DirectoryError as error:
            raise Refusal(str(error)) from None

    def _list(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.items(f"The list of aliases for this {self._what}:", self._names()))

    def _add(self, arguments: list[Word]) -> Reply:
        name = self._name(arguments)
        if name in self.removed:
            self.removed.remove(name)
        elif name in self.added or self._taken(name):
            raise Refusal(f"{name} exists already")
        else:
            self.added.append(name)
        return Reply()

    def _remove(self, arguments: list[Word]) -> Reply:
        name = self._name(arguments)
        if name not in self._names():
            raise Refusal(f"this {self._what} has no alias {name}")
        if name in self.added:
            self.added.remove(name)
        else:
            self.removed.append(name)
        return Reply()


class DomainContext(Context):
    """An existing domain. Removed accounts go at COMMIT, and aliases come and go."""

    def __init__(self, session: AdminSession, name: str) -> None:
        super().__init__(session, "DOMAIN", ("domain",))
        self.domain_name = name
        self._removed: list[str] = []
        self.add("SHOW", self._show, "[ATTR <name>]", "show the domain")
        directory = session.directory
        self._aliases = _Aliases(
            self, "domain", domain_name, lambda: directory.domain_aliases(name), directory.has_domain
        )
        self.add("LIST Accounts", self._list, "[<pattern>]", "list the accounts")
        self.add("ADD Account", self._add, "[name] <local part> [password <password>]", "describe a new account")
        self.add("UPDATE Account", self._update, "[name] <local part>", "enter an account's context")
        self.add("REMOVE Account", self._remove, "[name] <local part>", "remove an account at COMMIT")
        self.add("SHOW Account", self._show_account, "[name] <local part> [ATTR <name>]", "show an account")
        for noun, plural, about in _LACKING:
            self._declare_lacking(noun, plural, about)
        self.add_common("COMMIT", self._commit, self.leave)

    def _declare_lacking(self, noun: str, plural: str, about: str) -> None:
        """What the dialect has and this server has not is said, and never taken and dropped."""

        def listing(arguments: list[Word]) -> Reply:
            name_pattern(arguments)
            return Reply(layout.table(f"The list of {about} for this domain:", ("name",), []))

        def refuse(_arguments: list[Word]) -> Reply:
            raise Refusal(f"this server has no {about}; nothing was changed")

        def missing(arguments: list[Word]) -> Reply:
            named(arguments, "name", f"the name of the {noun}")
            raise Refusal(f"there is no such {noun} in domain {self.domain_name}: this server has no {about}")

        self.add(f"LIST {plural}", listing, "[<pattern>]", f"list the {about}: none on this server")
        self.add(f"ADD {noun}", refuse, "[name] <name>", f"refused: this server has no {about}")
        for verb in ("UPDATE", "REMOVE", "SHOW"):
            self.add(f"{verb} {noun}", missing, "[name] <name>", f"refused: this server has no {about}")

    def _accounts(self) -> list[str]:
        return [name for name in self.session.directory.accounts(self.domain_name) if name not in self._removed]

    def _account(self, arguments: list[Word]) -> tuple[str, list[Word]]:
        word, rest = named(arguments, "name", "the name of the account")
        try:
            return local_part(word), rest
        except DirectoryError as error:
            raise Refusal(str(error)) from None

    def _existing(self, arguments: list[Word]) -> tuple[str, list[Word]]:
        name, rest = self._account(arguments)
        if name not in self._accounts():
            raise Refusal(f"there is no account {name} in domain {self.domain_name}")
        return name, rest

    def _show(self, arguments: list[Word]) -> Reply:
        found = domain_attributes(self.session, self.domain_name)
        if arguments:
            return Reply(find_pair(found, arguments))
        return Reply(layout.attributes("The current context has the following attributes:", found))

    def _list(self, arguments: list[Word]) -> Reply:
        names = fnmatch.filter(self._accounts(), name_pattern(arguments))
        return Reply(layout.table("The list of accounts for this domain:", ("name",), [(name,) for name in names]))

    def _add(self, arguments: list[Word]) -> Reply:
        name, rest = self._account(arguments)
        if name in self._accounts():
            raise Refusal(f"account {name} already exists in domain {self.domain_name}; use UPDATE")
        if name in self._removed:
            raise Refusal(f"account {name} is to be removed: COMMIT that first")
        if self.session.directory.has_mailbox(name, self.domain_name):
            raise Refusal(f"{name} is another name of an account in domain {self.domain_name}")
        secret = None
        for keyword, word in pairs(rest):
            if keyword != "password":
                raise Refusal("unknown attribute of an account; it has: password")
            secret = password(word)
        return self.session.push(_Account(self.session, self.domain_name, name, new=True, secret=secret))

    def _update(self, arguments: list[Word]) -> Reply:
        name, rest = self._existing(arguments)
        nothing_more(rest)
        return self.session.push(_Account(self.session, self.domain_name, name, new=False, secret=None))

    def _remove(self, arguments: list[Word]) -> Reply:
        name, rest = self._existing(arguments)
        nothing_more(rest)
        if name == "postmaster":
            raise Refusal("postmaster cannot be removed: every domain must have it (RFC 5321)")
        self._removed.append(name)
        return Reply()

    def _show_account(self, arguments: list[Word]) -> Reply:
        name, rest = self._existing(arguments)
        found = _account_attributes(self.session, self.domain_name, name)
        if rest:
            return Reply(find_pair(found, rest))
        return Reply(layout.attributes("The account has the following attributes:", found))

    async def _commit(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        directory, aliases = self.session.directory, self._aliases
        if aliases.added or aliases.removed:
            await write(directory.set_domain_aliases, self.domain_name, aliases.added, aliases.removed)
            aliases.added, aliases.removed = [], []
        while self._removed:
            await write(directory.remove_account, self.domain_name, self._removed[0])
            self._removed.pop(0)
        self.session.pop()
        return Reply()


def _account_attributes(session: AdminSession, domain: str, name: str) -> list[tuple[str, str]]:
    aliases = " ".join(session.directory.account_aliases(domain, name))
    return [("name", layout.quoted(name)), ("domain", layout.quoted(domain)), ("aliases", f"({aliases})")]


class _Account(Context):
    """One account, new or existing. Its password is set at COMMIT and never shown."""

    def __init__(self, session: AdminSession, domain: str, name: str, *, new: bool, secret: str | None) -> None:
        super().__init__(session, "ACCOUNT", ("domain", "account"))
        self.domain_name = domain
        self.name = name
        self.notes: str | None = None
        self._new = new
        self._secret = secret
        self.add("SHOW", self._show, "[ATTR <name>]", "show the account")
        self.add("SET", self._set, "[password <password>]", "change the password")
        directory = session.directory
        self._aliases = _Aliases(
            self,
            "account",
            local_part,
            lambda: directory.account_aliases(domain, name),
            lambda alias: alias == name or directory.has_mailbox(alias, domain),
        )
        self.add("CONFIG ContactInfo", self._contact, "", "enter the context of what is known about the person")
        self.add_common("COMMIT", self._commit, self.leave)

    def _show(self, arguments: list[Word]) -> Reply:
        found = _account_attributes(self.session, self.domain_name, self.name)
        if arguments:
            return Reply(find_pair(found, arguments))
        return Reply(layout.attributes("The current context has the following attributes:", found))

    def _set(self, arguments: list[Word]) -> Reply:
        found = list(pairs(arguments))
        if not found or any(keyword != "password" for keyword, _word in found):
            raise Refusal("SET takes password and a value in this context")
        self._secret = password(found[-1][1])
        return Reply()

    def _contact(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return self.session.push(_ContactInfo(self))

    async def _commit(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        directory = self.session.directory
        where = (self.domain_name, self.name)
        if self._new and self._secret is None:
            raise Refusal(f"account {self.name} has no password yet: SET password <password>")
        if self._new and directory.has_mailbox(self.name, self.domain_name):
            raise Refusal(f"account {self.name}@{self.domain_name} was created by another session; go BACK")
        if self._secret is not None:
            method = directory.put_account if self._new else directory.set_password
            await write(method, *where, self._secret)
            self._new, self._secret = False, None
        if self._aliases.added or self._aliases.removed:
            await write(directory.set_account_aliases, *where, self._aliases.added, self._aliases.removed)
        if self.notes is not None:
            await write(directory.set_notes, *where, self.notes)
        self.session.pop()
        return Reply(text=f"account {self.name}@{self.domain_name} is stored")


class _ContactInfo(Context):
    """What is known about the person behind an account: notes, a text of several lines."""

    def __init__(self, account: _Account) -> None:
        super().__init__(account.session, "CONTACTINFO", (*account.segments, "contactInfo"))
        self.domain_name = account.domain_name
        self._account = account
        self._notes = account.notes
        self.add("SHOW", self._show, "[ATTR contactNotes]", "show the notes; line ends are shown as \\n")
        self.add("ESET contactNotes", self._edit, "", "upload the notes, a text of several lines")
        self.add_common("DONE", self._done, self.leave)

    def _show(self, arguments: list[Word]) -> Reply:
        notes = self._notes
        if notes is None:
            notes = self.session.directory.notes(self._account.domain_name, self._account.name)
        found = [("contactNotes", layout.quoted(notes))]
        if arguments:
            return Reply(find_pair(found, arguments))
        return Reply(layout.attributes("The current context has the following attributes:", found))

    def _edit(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        ending = self.session.multiline_eof
        return Reply(text=f'send the notes; end them with a line that holds only "{ending}"', upload=self._take)

    async def _take(self, content: bytes) -> Reply:
        if len(content) > MAX_NOTES:
            raise Refusal(f"the notes are longer than {MAX_NOTES} bytes; nothing was changed")
        try:
            notes = content.decode("utf-8")
        except UnicodeDecodeError:
            raise Refusal("the notes are not UTF-8; nothing was changed") from None
        if any(ord(character) < 32 and character not in "\n\t" for character in notes):
            raise Refusal("the notes contain control characters; nothing was changed")
        self._notes = notes
        return Reply()

    def _done(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        self._account.notes = self._notes
        self.session.pop()
        return Reply()
