# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a configuration tree is made of: sections with attributes, parts and lists."""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import Kind, Value


@dataclass(frozen=True)
class Attribute:
    """One attribute. ``note`` is shown by HELP; so is that one without ``effect`` is only kept."""

    name: str
    kind: Kind
    default: Value = ""
    note: str = ""
    effect: bool = True

    @property
    def about(self) -> str:
        """What HELP says behind the attribute."""
        if self.effect:
            return self.note
        return f"{self.note}; kept, without effect on this server" if self.note else "kept, without effect"


@dataclass(frozen=True)
class Collection:
    """A list of sections of one type, each known by its key attribute.

    ``noun`` is the word on the command line, ``name`` the one in the file. A one-shot item has no
    context of its own: all its values are given with ADD or UPDATE.
    """

    name: str
    noun: str
    item: Section
    key: str
    columns: tuple[str, ...]
    one_shot: bool = False

    @property
    def plural(self) -> str:
        """The word behind LIST."""
        return self.noun + "s"


@dataclass(frozen=True)
class Part:
    """A section that exists exactly once in its parent; ``keyword`` is the word behind CONFIG."""

    name: str
    keyword: str
    section: Section


@dataclass(frozen=True)
class Section:
    """A type of section. ``save`` is the verb that keeps its changes: DONE or COMMIT.

    ``saves_config``: it can also save the running configuration. ``resets``: the dialect has RESET there. ``service``:
    it can be started and stopped, and the server's attribute ``services`` names it while it runs. ``back_keeps``: BACK
    does not drop what was changed. ``listed`` are tables that are always empty: the word behind LIST, and each table's
    title and columns.
    """

    segment: str
    title: str
    save: str
    attributes: tuple[Attribute, ...] = ()
    parts: tuple[Part, ...] = ()
    lists: tuple[Collection, ...] = ()
    saves_config: bool = False
    resets: bool = False
    service: bool = False
    back_keeps: bool = False
    listed: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be set, here or further down."""
        return not self.attributes and not self.lists and all(part.section.empty for part in self.parts)

    def attribute(self, name: str) -> Attribute | None:
        """An attribute by its name in any case; None when there is none."""
        wanted = name.lower()
        for attribute in self.attributes:
            if attribute.name.lower() == wanted:
                return attribute
        return None

    def part(self, keyword: str) -> Part | None:
        """A part by keyword or name, in any case; hyphens do not count (``SMTP-INCOMING``, ``smtpIncoming``)."""
        wanted = keyword.lower().replace("-", "")
        for part in self.parts:
            if wanted in (part.keyword.lower().replace("-", ""), part.name.lower()):
                return part
        return None

    def collection(self, noun: str) -> Collection | None:
        """A list by the noun of its items, in any case."""
        for collection in self.lists:
            if collection.noun.lower() == noun.lower():
                return collection
        return None
