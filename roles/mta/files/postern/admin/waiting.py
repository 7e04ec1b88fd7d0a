# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contexts for the server at work: QUEUE (mail that waits is looked at and steered), QUARANTINE, JSONQUERY, TRACER."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import typing as t
from datetime import datetime, timezone
from functools import partial

from ..delivery.removal import Removal
from ..queue import listing, selection, steering
from ..queue.selection import Selection
from . import layout
from .contexts import Context, Refusal, Reply, nothing_more, text
from .protocol import Word, printable

if t.TYPE_CHECKING:
    from .session import AdminSession

#: Messages in one answer: the list may be longer than anybody reads.
MAX_LISTED = 1000
_CONDITIONS = "[FROM <sender>] [DOMAIN <domain>] [OLDER <seconds>] [HELD]"


def declare(root: Context) -> None:
    """Give the root context its commands for these contexts."""
    session = root.session
    for name, make, about in (
        ("QUEUE", _Queue, "enter the context of the mail that waits"),
        ("JSONQUERY", _JsonQuery, "enter the context of queries that are answered in JSON"),
        ("TRACER", _Tracer, "enter the context of traces"),
    ):
        _add_entry(root, session, name, make, about)


def _add_entry(
    context: Context, session: AdminSession, name: str, make: t.Callable[[AdminSession], Context], about: str
) -> None:
    def enter(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return session.push(make(session))

    context.add(f"ENTER {name}", enter, "", about)


class _Looking(Context):
    """A context that is only left with BACK."""

    def add_leaving(self) -> None:
        self.add_common(None, None, None)
        self.add("BACK", self.leave, "", "leave this context")


class _Queue(_Looking):
    """Accepted mail that is not delivered yet."""

    def __init__(self, session: AdminSession) -> None:
        super().__init__(session, "QUEUE", ("queue",))
        self.add("LIST", self._list, "", f"list the mail that waits, the oldest first, {MAX_LISTED} at most")
        self.add("LIST", self._list, f"{_CONDITIONS} [AFTER <id>]", "list some of it", extension=True)
        self.add("LIST ID", self._one, "<id>", "show a message of the list")
        self.add("SHOW", self._show, "[<id>]", "show how much waits, or a message of the list", extension=True)
        self.add("SHOW TEXT", self._text, "<id>", "show the header of a message, never its body", extension=True)
        for word, change, about in (
            ("HOLD", steering.hold, "have mail wait until it is released"),
            ("RELEASE", steering.release, "let mail that was held go on"),
            ("RETRY", steering.retry, "send mail for other hosts now"),
        ):
            self.add(word, self._steering(change), f"<id>... | ALL | {_CONDITIONS}", about, extension=True)
        about = "take mail off the queue for good; nobody is told without NOTIFY"
        deleting = self._steering(steering.delete)
        self.add("DELETE", deleting, f"[NOTIFY] <id>... | ALL | {_CONDITIONS}", about, extension=True)
        _add_entry(self, session, "QUARANTINE", _Quarantine, "enter the context of mail that is held back")
        self.add_leaving()

    async def _read(self, read: t.Callable[[str], t.Any]) -> t.Any:
        """In a thread: it reads a file."""
        try:
            return await asyncio.to_thread(read, self.session.queue_file)
        except listing.Unreadable as error:
            raise Refusal(str(error)) from None

    async def _list(self, arguments: list[Word]) -> Reply:
        if not self.extensions:
            nothing_more(arguments)
        words = [text(argument) for argument in arguments]
        after = -1
        if len(words) > 1 and words[-2].upper() == "AFTER":
            after = _numbers(words[-1:])[0]
            words = words[:-2]
        wanted = _selection(words)
        found = await self._read(
            lambda path: list(itertools.islice(listing.entries(path, wanted, after), MAX_LISTED + 1))
        )
        rows = [
            (entry.id, _time(entry.received), str(entry.size), _clean(f"<{entry.sender}>"), str(len(entry.recipients)))
            for entry in found[:MAX_LISTED]
        ]
        header = ("id", "received", "size", "from", "recipients")
        payload = layout.table("The list of the mail that waits:", header, rows)
        if len(found) > MAX_LISTED:
            return Reply(payload, f"more than {MAX_LISTED} messages wait; the oldest are listed")
        return Reply(payload)

    async def _one(self, arguments: list[Word]) -> Reply:
        if len(arguments) != 1:
            raise Refusal("the id of one message is wanted; LIST has it")
        wanted = Selection(ids=_numbers([text(arguments[0])]))
        entry = await self._read(lambda path: next(listing.entries(path, wanted), None))
        if entry is None:
            raise Refusal("no message with this id waits")
        pairs = [
            ("id", entry.id),
            ("from", layout.quoted(_clean(entry.sender))),
            ("received", _time(entry.received)),
            ("size", str(entry.size)),
        ]
        for number, one in enumerate(entry.recipients, 1):
            state = "local" if one.local else f"attempts {one.attempts}, next {_time(one.next_attempt)}"
            state = f"held, {state}" if one.held else state
            pairs.append((f"recipient{number}", layout.quoted(_clean(one.address))))
            pairs.append((f"state{number}", state))
            if one.reason:
                pairs.append((f"reason{number}", layout.quoted(_clean(one.reason))))
        return Reply(layout.attributes("The message has the following attributes:", pairs))

    def _steering(
        self, change: t.Callable[[str, Selection], steering.Done]
    ) -> t.Callable[[list[Word]], t.Awaitable[Reply]]:
        async def run(arguments: list[Word]) -> Reply:
            make = change
            words = [text(argument) for argument in arguments]
            if change is steering.delete and words and words[0].upper() == "NOTIFY":
                make = partial(steering.delete, notice=Removal(self.session.host_name, self.session.directory))
                words = words[1:]
            if not words:
                raise Refusal("say which mail: ids of messages, ALL, or conditions")
            chosen = Selection() if [word.upper() for word in words] == ["ALL"] else _selection(words)
            done = await self._read(lambda path: make(path, chosen))
            self.session.queue_changed()
            return Reply(text=f"{done.messages} messages, {done.recipients} recipients")

        return run

    async def _show(self, arguments: list[Word]) -> Reply:
        if arguments:
            return await self._one(arguments)
        found = await self._read(listing.totals)
        pairs = [
            ("messages", str(found.messages)),
            ("heldRecipients", str(found.held)),
            ("oldest", _time(found.oldest) if found.oldest is not None else "none"),
        ]
        return Reply(layout.attributes("The current context has the following attributes:", pairs))

    async def _text(self, arguments: list[Word]) -> Reply:
        if len(arguments) != 1:
            raise Refusal("the id of one message is wanted; LIST has it")
        number = _numbers([text(arguments[0])])[0]
        found = await self._read(lambda path: listing.header(path, number))
        if found is None:
            raise Refusal("no message with this id waits")
        # Each line behind a bar: what a message says must not look like the end of an answer.
        lines = found.decode("utf-8", "replace").replace("\t", " ").split("\r\n")
        shown = ["| " + "".join(letter if letter.isprintable() else "?" for letter in line) for line in lines]
        return Reply(layout.items("The header of the message:", shown))


class _Quarantine(_Looking):
    """Mail that is held back: there is never any, because this server has no content filters."""

    def __init__(self, session: AdminSession) -> None:
        super().__init__(session, "QUARANTINE", ("queue", "quarantine"))
        self.add("LIST", self._list, "", "list the mail that is held back: none on this server")
        self.add_leaving()

    def _list(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.table("The list of the mail that is held back:", ("id", "received", "from"), []))


class _JsonQuery(_Looking):
    """Queries that are answered with one line of JSON."""

    def __init__(self, session: AdminSession) -> None:
        super().__init__(session, "JSONQUERY", ("jsonquery",))
        self.add("QUERY", self._query, "/domains", "the domains as JSON; its keys are this server's own")
        self.add("SHOW", self._show, "", "show the queries")
        self.add("DONE", self.leave, "", "leave this context")
        self.add_leaving()

    def _query(self, arguments: list[Word]) -> Reply:
        if len(arguments) != 1 or text(arguments[0]).lower() != "/domains":
            raise Refusal("unknown query; there is: /domains")
        directory = self.session.directory
        domains = [
            {"name": name, "enabled": directory.is_enabled(name), "accounts": len(directory.accounts(name))}
            for name in directory.all_domains()
        ]
        return Reply(layout.lines(json.dumps({"domains": domains})))

    def _show(self, arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        title = "The current context has the following attributes:"
        return Reply(layout.attributes(title, [("queries", "(/domains)")]))


class _Tracer(_Looking):
    """Traces of WebDAV and HTTP, which this server does not speak: a context without commands of its own."""

    def __init__(self, session: AdminSession) -> None:
        super().__init__(session, "TRACER", ("tracer",))
        self.add_leaving()


def _numbers(words: list[str]) -> tuple[int, ...]:
    try:
        return selection.numbers(words)
    except ValueError as error:
        raise Refusal(str(error)) from None


def _selection(words: list[str]) -> Selection:
    """What the conditions of a command, or ids in their place, mean."""
    found: dict[str, t.Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0).upper()
        key = {"FROM": "sender", "DOMAIN": "domain", "OLDER": "before", "HELD": "held"}.get(word)
        if key is None and not found:
            return Selection(ids=_numbers(words))
        if key is None or key in found or (key != "held" and not rest):
            raise Refusal(f"{word.lower()!r} is not understood here; conditions are {_CONDITIONS}")
        if key == "held":
            found[key] = True
        elif key == "before":
            found[key] = time.time() - _seconds(rest.pop(0))
        else:
            found[key] = rest.pop(0).strip("<>")
    return Selection(**found)


def _seconds(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 10):
        raise Refusal(f"{word!r} is no number of seconds")
    return int(word)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _clean(words: str) -> str:
    """What peers said, for one line of an answer."""
    return printable(words).replace("|", "/")
