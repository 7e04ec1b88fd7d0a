# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contexts of the configuration tree: which verbs they have and what these do.

A context works on a copy of its section. DONE or COMMIT hands the copy to the parent context, BACK
drops it; only the server context's COMMIT reaches the running server.
"""

from __future__ import annotations

import asyncio
import functools
import os
import typing as t
from dataclasses import dataclass

from ..settings import ActivationError
from . import cfgfile, layout
from .configuration import Conflict, write_durably
from .protocol import Word
from .section import Attribute, Collection, Part, Section
from .tree import SERVICES, Node

if t.TYPE_CHECKING:
    from .session import AdminSession

DONE = "command successful"

#: Stands in HELP behind commands that the dialect does not have.
EXTENSION = "(extension of this server)"

#: Largest policy script that is taken, in bytes. A hundred thousand domains with TLS in both directions are 60 MB when
#: each has a method of its own. An upload is held in memory a few times over, so it is not without end.
MAX_UPLOAD = 128 * 1024 * 1024


class Refusal(Exception):
    """The command cannot be done; the text becomes the -ERR line. Nothing was changed."""


@dataclass(frozen=True)
class Reply:
    """What a command answers. ``upload`` takes the body of a multi-line upload, which then follows."""

    payload: bytes = b""
    text: str = DONE
    upload: t.Callable[[bytes], t.Awaitable[Reply]] | None = None
    close: bool = False


Handler = t.Callable[[list[Word]], t.Union[Reply, t.Awaitable[Reply]]]


class Verb(t.NamedTuple):
    """One command: its fixed first words in upper case, what it does, and its line in HELP."""

    words: tuple[str, ...]
    run: Handler
    syntax: str
    about: str


class Context:
    """A place in the session's stack. ``segments`` make the prompt, ``verbs`` the commands."""

    def __init__(self, session: AdminSession, title: str, segments: tuple[str, ...]) -> None:
        self.session = session
        self.title = title
        self.segments = segments
        self.verbs: list[Verb] = []

    @property
    def prompt(self) -> str:
        """``<a-b#> `` with one blank behind it."""
        return f"<{'-'.join(self.segments)}#> "

    def add(self, words: str, run: Handler, arguments: str, about: str, *, extension: bool = False) -> None:
        """Declare a command. ``words`` are its fixed words, ``arguments`` what follows them in HELP.

        The same words may be declared again for another line in HELP; the first one's ``run`` is used.
        An ``extension`` is a command that the dialect does not have; it is not there when the server plays another one
        without extensions.
        """
        if extension and not self.extensions:
            return
        syntax = f"{words} {arguments}".strip()
        about = f"{about} {EXTENSION}" if extension else about
        self.verbs.append(Verb(tuple(words.upper().split()), run, syntax, about))

    @property
    def extensions(self) -> bool:
        """Whether commands that the dialect does not have are there."""
        return self.session.configuration.emulation.extensions

    def find(self, words: list[Word]) -> tuple[Verb, list[Word]]:
        """The command that a line means, and its arguments. Raises :class:`Refusal`."""
        start = tuple(word.upper() if isinstance(word, str) else "" for word in words[:2])
        for length in (2, 1):
            for verb in self.verbs:
                if verb.words == start[:length] and len(start) >= length:
                    return verb, words[length:]
        if any(verb.words[0] == start[0] for verb in self.verbs):
            raise Refusal(f"unknown object for {start[0]} in the {self.title} context; HELP lists the commands")
        raise Refusal(f"unknown command in the {self.title} context; HELP lists the commands")

    def help(self, arguments: list[Word]) -> Reply:
        """HELP."""
        return Reply(layout.commands(self.title, ((verb.syntax, verb.about) for verb in self.verbs if verb.syntax)))

    def add_common(self, save: str | None, keep: Handler | None, back: Handler | None) -> None:
        """HELP, the save verb, BACK, EXIT and QUIT, which every context has."""
        if save and keep:
            self.add(save, keep, "", "keep the changes and leave this context")
        if back:
            kept = "leave this context; changes are kept" if back == keep else "drop the changes and leave this context"
            self.add("BACK", back, "", kept)
        self.add("HELP", self.help, "", "show this list")
        for word, syntax in (("EXIT", "EXIT/QUIT"), ("QUIT", "")):
            self.verbs.append(Verb((word,), self._end, syntax, "end the session"))

    def _end(self, _arguments: list[Word]) -> Reply:
        return Reply(text="have a nice day", close=True)

    def leave(self, _arguments: list[Word]) -> Reply:
        """BACK."""
        self.session.pop()
        return Reply()


# --- words --------------------------------------------------------------------------------------


def text(word: Word) -> str:
    """A word that must not be a set. Raises :class:`Refusal`."""
    if isinstance(word, tuple):
        raise Refusal("a single value is wanted where a set was given")
    return word


def named(arguments: list[Word], keyword: str, what: str) -> tuple[str, list[Word]]:
    """The key behind an optional keyword (``[address] ip:port``), and the rest. Raises :class:`Refusal`."""
    if len(arguments) > 1 and text(arguments[0]).lower() == keyword.lower():
        arguments = arguments[1:]
    if not arguments or not text(arguments[0]):
        raise Refusal(f"{what} is missing")
    return text(arguments[0]), arguments[1:]


def nothing_more(arguments: list[Word]) -> None:
    """Refuse surplus words."""
    if arguments:
        raise Refusal("too many words for this command")


def assignments(section: Section, words: list[Word]) -> dict[str, t.Any]:
    """Attribute-value pairs, checked all before one is used. Raises :class:`Refusal` naming the attribute."""
    if len(words) % 2:
        raise Refusal("an attribute has no value: the command takes pairs of attribute and value")
    values = {}
    for name, word in zip(words[::2], words[1::2]):
        attribute = find_attribute(section, name)
        try:
            values[attribute.name] = attribute.kind.parse(word)
        except ValueError as error:
            raise Refusal(f"{attribute.name}: {error}") from None
    return values


def find_attribute(section: Section, name: Word) -> Attribute:
    """An attribute by name. Raises :class:`Refusal`."""
    attribute = section.attribute(text(name))
    if attribute is None:
        raise unknown_attribute(section)
    return attribute


def unknown_attribute(section: Section) -> Refusal:
    """What is said about a name that is no attribute; the name itself is not repeated."""
    known = ", ".join(item.name for item in section.attributes) or "none"
    return Refusal(f"unknown attribute in the {section.title} context; it has: {known}")


# --- sections -----------------------------------------------------------------------------------


class NodeContext(Context):
    """A section of the tree. ``keep`` takes the changed copy; ``active`` gives what RESET goes back to.

    ``fixed`` is an attribute that cannot be set: the key of something that is being added.
    """

    def __init__(
        self,
        session: AdminSession,
        segments: tuple[str, ...],
        node: Node,
        keep: t.Callable[[Node], None],
        active: t.Callable[[], Node | None],
        fixed: str = "",
    ) -> None:
        section = node.section
        super().__init__(session, section.title, (*segments, section.segment))
        self.node = node
        self._keep = keep
        self._active = active
        self._fixed = fixed
        self.add("SHOW", self._show, "[ATTR <name>]", "show the attributes of this context, or one of them")
        for item in section.attributes:
            self.add("SET", self._set, f"[{item.name} <{item.kind.description}>]", item.about)
        if section.attributes or section.resets:
            self.add("RESET", self._reset, "", "go back to the active configuration", extension=not section.resets)
        if section.attributes:
            self.add("RESET", self._reset, "<name>", "take the active value of one attribute", extension=True)
        for part in section.parts:
            self._declare_part(part)
        for collection in section.lists:
            self._declare_list(collection)
        for word, tables in section.listed:
            self.add(f"LIST {word}", functools.partial(self._list_nothing, tables), "", "there are never any")
        if section.service:
            self.add("START Service", lambda words: self._start(words, stopped=False), "", "start it, at COMMIT")
            self.add("STOP Service", lambda words: self._start(words, stopped=True), "", "stop it, at COMMIT")
        if section.saves_config:
            self.add("SAVE CONFIG", session.save_config, "", "save the running configuration for the next start")
        self.add_common(section.save, self.save, self.save if section.back_keeps else self.leave)

    @staticmethod
    def _list_nothing(tables: tuple[tuple[str, tuple[str, ...]], ...], arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.tables([layout.table(title, columns, ()) for title, columns in tables]))

    # --- own attributes

    def _show(self, arguments: list[Word]) -> Reply:
        return self._shown(self.node, arguments)

    def _shown(self, node: Node, arguments: list[Word]) -> Reply:
        if not arguments:
            return Reply(layout.attributes("The current context has the following attributes:", node.shown()))
        if text(arguments[0]).upper() != "ATTR" or len(arguments) != 2:
            raise Refusal("SHOW takes nothing, or ATTR and one name")
        wanted = text(arguments[1]).lower()
        for name, value in node.shown():
            if name.lower() == wanted:
                return Reply(layout.pair(name, value))
        raise unknown_attribute(node.section)

    def _set(self, arguments: list[Word]) -> Reply:
        if not arguments:
            raise Refusal("SET needs an attribute and a value")
        if self.node.services and text(arguments[0]).lower() == SERVICES:
            raise Refusal(f"{SERVICES} cannot be set: use START Service and STOP Service in the service's context")
        values = assignments(self.node.section, arguments)
        if self._fixed in values:
            raise Refusal(f"{self._fixed} was given with ADD; it can be changed after UPDATE only")
        self.node.values.update(values)
        return Reply()

    def _reset(self, arguments: list[Word]) -> Reply:
        active = self._active()
        fresh = active.copy() if active is not None else Node.new(self.node.section)
        if not self.extensions:
            nothing_more(arguments)
        if arguments:
            names = [find_attribute(self.node.section, word).name for word in arguments]
            self.node.values.update({name: fresh.values[name] for name in names})
        else:
            self.node = fresh
        return Reply()

    def _start(self, arguments: list[Word], *, stopped: bool) -> Reply:
        """START and STOP Service."""
        nothing_more(arguments)
        self.node.stopped = stopped
        return Reply(text=f"the service {'stops' if stopped else 'runs'} when this is committed")

    def save(self, arguments: list[Word]) -> t.Union[Reply, t.Awaitable[Reply]]:
        """The save verb of the section: hand the copy to the parent and leave."""
        nothing_more(arguments)
        self._keep(self.node)
        self.session.pop()
        return Reply()

    # --- parts

    def _declare_part(self, part: Part) -> None:
        def enter(arguments: list[Word]) -> Reply:
            nothing_more(arguments)

            def keep(node: Node) -> None:
                self.node.parts[part.name] = node

            def active() -> Node | None:
                parent = self._active()
                return None if parent is None else parent.parts[part.name]

            return self.session.push(
                NodeContext(self.session, self.segments, self.node.parts[part.name].copy(), keep, active)
            )

        self.add(f"CONFIG {part.keyword}", enter, "", f"enter the {part.section.title} context")
        if part.keyword.upper() != part.name.upper():
            self.verbs.append(Verb(("CONFIG", part.name.upper()), enter, "", "another spelling, not in HELP"))

    # --- lists

    def _declare_list(self, collection: Collection) -> None:
        noun, key = collection.noun, f"[{collection.key}] <{collection.key}>"
        others = [item for item in collection.item.attributes if item.name != collection.key]
        pairs = " ".join(f"[{item.name} <{item.kind.description}>]" for item in others)
        self.add(f"LIST {collection.plural}", lambda words: self._list(collection, words), "", f"list the {noun}s")
        changing: tuple[tuple[str, Handler, str], ...] = (
            (f"ADD {noun}", lambda words: self._add(collection, words), f"add a {noun}"),
            (f"UPDATE {noun}", lambda words: self._update(collection, words), f"change a {noun}"),
        )
        for words, run, about in changing:
            if collection.one_shot:
                self.add(words, run, f"{key} {pairs}", about)
            else:
                self.add(words, run, key, f"{about} in its context")
                self.add(words, run, f"{key} <name> <value>...", "the same, with attributes at once", extension=True)
        self.add(f"REMOVE {noun}", lambda words: self._remove(collection, words), key, f"remove a {noun}")
        showing = f"{key} [ATTR <name>]"
        self.add(f"SHOW {noun}", lambda words: self._show_item(collection, words), showing, f"show a {noun}")

    def _list(self, collection: Collection, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        title = f"The list of {collection.plural} for this context:"
        return Reply(layout.table(title, collection.columns, self.node.rows(collection)))

    def _key(self, collection: Collection, arguments: list[Word]) -> tuple[str, list[Word]]:
        word, rest = named(arguments, collection.key, f"the {collection.key} of the {collection.noun}")
        attribute = find_attribute(collection.item, collection.key)
        try:
            return str(attribute.kind.parse(word)), rest
        except ValueError as error:
            raise Refusal(f"{collection.noun} {word}: {error}") from None

    def _existing(self, collection: Collection, arguments: list[Word]) -> tuple[str, Node, list[Word]]:
        key, rest = self._key(collection, arguments)
        node = self.node.lists[collection.name].get(key)
        if node is None:
            raise Refusal(f"there is no {collection.noun} {key} in this context")
        return key, node, rest

    def _add(self, collection: Collection, arguments: list[Word]) -> Reply:
        key, rest = self._key(collection, arguments)
        if key in self.node.lists[collection.name]:
            raise Refusal(f"{collection.noun} {key} already exists; use UPDATE")
        node = Node.new(collection.item)
        node.values.update(assignments(collection.item, rest))
        node.values[collection.key] = key
        return self._edit(collection, None, node)

    def _update(self, collection: Collection, arguments: list[Word]) -> Reply:
        key, node, rest = self._existing(collection, arguments)
        fresh = node.copy()
        fresh.values.update(assignments(collection.item, rest))
        return self._edit(collection, key, fresh)

    def _edit(self, collection: Collection, old_key: str | None, node: Node) -> Reply:
        def keep(changed: Node) -> None:
            self._store(collection, old_key, changed)

        def active() -> Node | None:
            parent = self._active()
            return None if parent is None or old_key is None else parent.lists[collection.name].get(old_key)

        def active_or_new() -> Node:
            found = active()
            if found is not None:
                return found
            fresh = Node.new(collection.item)
            fresh.values[collection.key] = node.values[collection.key]
            return fresh

        if collection.one_shot:
            keep(node)
            return Reply()
        fixed = collection.key if old_key is None else ""
        return self.session.push(NodeContext(self.session, self.segments, node, keep, active_or_new, fixed))

    def _store(self, collection: Collection, old_key: str | None, node: Node) -> None:
        """Put an item into the list, in its old place; its key may have changed."""
        items = self.node.lists[collection.name]
        key = str(node.values[collection.key])
        if key != old_key and key in items:
            raise Refusal(f"{collection.noun} {key} already exists")
        if old_key not in items:
            items[key] = node
            return
        self.node.lists[collection.name] = {
            (key if name == old_key else name): (node if name == old_key else old) for name, old in items.items()
        }

    def _remove(self, collection: Collection, arguments: list[Word]) -> Reply:
        key, _node, rest = self._existing(collection, arguments)
        nothing_more(rest)
        del self.node.lists[collection.name][key]
        return Reply()

    def _show_item(self, collection: Collection, arguments: list[Word]) -> Reply:
        _key, node, rest = self._existing(collection, arguments)
        return self._shown(node, rest)


class ServerContext(NodeContext):
    """The server: the only context whose COMMIT changes the running configuration."""

    def __init__(self, session: AdminSession) -> None:
        self.base = session.configuration.running
        self.script: bytes | None = None
        super().__init__(
            session, (), self.base.tree.copy(), lambda node: None, lambda: session.configuration.running.tree
        )
        self.add("SHOW Config", self._show_config, "", "show the running configuration")
        self.add("SHOW SmtpFilters", self._show_script, "[<path>]", "show the policy script, or write it to a file")
        self.add("UPDATE SmtpFilters", self._update_script, "[<path>]", "replace the policy script")

    def _reset(self, arguments: list[Word]) -> Reply:
        reply = super()._reset(arguments)
        if arguments:
            return reply
        self.base = self.session.configuration.running
        self.script = None
        return reply

    async def _commit(self) -> Reply:
        try:
            running = await self.session.configuration.commit(self.base, self.node, self.script)
        except (ActivationError, Conflict) as error:
            raise Refusal(f"{error}; the running configuration stays as it was") from None
        self.session.pop()
        return Reply(text=f"committing changes: generation {running.number} is active")

    def save(self, arguments: list[Word]) -> t.Union[Reply, t.Awaitable[Reply]]:
        """COMMIT."""
        nothing_more(arguments)
        return self._commit()

    def _show_config(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        printed = cfgfile.print_server(self.session.configuration.running.tree)
        return Reply(layout.lines(*printed.splitlines()))

    # --- the policy script

    async def _show_script(self, arguments: list[Word]) -> Reply:
        content = self.script if self.script is not None else self.session.configuration.running.script
        if not arguments:
            return Reply(layout.raw_text(content))
        path = self._script_path(arguments)
        try:
            await asyncio.to_thread(write_durably, path, content)
        except OSError as error:
            raise Refusal(f"the script cannot be written: {error.strerror}") from None
        return Reply(text="the script was written")

    async def _update_script(self, arguments: list[Word]) -> Reply:
        if not arguments:
            ending = self.session.multiline_eof
            invitation = f'send the script; end it with a line that holds only "{ending}"'
            return Reply(text=invitation, upload=self._take_script)
        path = self._script_path(arguments)

        def read() -> bytes:
            with open(path, "rb") as file:
                return file.read(MAX_UPLOAD + 1)

        try:
            content = await asyncio.to_thread(read)
        except OSError as error:
            raise Refusal(f"the script cannot be read: {error.strerror}") from None
        return await self._take_script(content)

    async def _take_script(self, content: bytes) -> Reply:
        if len(content) > MAX_UPLOAD:
            raise Refusal(f"the script is larger than {MAX_UPLOAD} bytes; the old one stays")
        try:
            await self.session.configuration.check_script(content)
        except ValueError as error:
            raise Refusal(f"the script has an error: {error}; the old one stays") from None
        if self.session.configuration.emulation.script_active == "upload":
            await self._activate_script(content)
            return Reply(text="the script is active")
        self.script = content
        return Reply(text="the script is checked; it becomes active with COMMIT")

    async def _activate_script(self, content: bytes) -> None:
        try:
            await self.session.configuration.upload(content)
        except ActivationError as error:
            raise Refusal(f"{error}; the old script stays") from None

    def _script_path(self, arguments: list[Word]) -> str:
        """A script file for exchange: below the state directory, but none of the server's own files."""
        nothing_more(arguments[1:])
        state_dir = os.path.realpath(self.session.configuration.state_dir)
        path = os.path.realpath(os.path.join(state_dir, text(arguments[0])))
        own = os.path.join(state_dir, "filters", "smtpFilters.script")
        if os.path.commonpath([path, state_dir]) != state_dir or not path.endswith(".script") or path == own:
            raise Refusal("only a *.script file below the state directory can be named, and not the saved one itself")
        return path
