# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The administrative ACL: delegated administrators, their groups and permissions, and the file that holds them.

The file is small and written whole: on disk, then renamed, then it counts. It holds password hashes and no password.
"""

from __future__ import annotations

import json
import os
import re
import threading
import typing as t
from dataclasses import dataclass, field, replace

from . import permissions
from .configuration import write_durably

#: Below the state directory.
FILE = "admin.acl"
#: The built-in administrator, who may do everything and is not in the list.
ADMIN = "admin"
#: Documented limit for administrators' passwords, in characters.
MAX_PASSWORD = 32
MAX_DESCRIPTION = 256

_FORMAT = 1
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")

#: Where a permission holds (a domain, or empty for the server) and its name.
Entry = tuple[str, str]


class AccessError(Exception):
    """A change that cannot be made or a file that cannot be read; the text names the object and the reason."""


def principal_name(text: str) -> str:
    """The stored form of the name of a user or a group. Raises :class:`AccessError`."""
    name = text.lower()
    if not _NAME.fullmatch(name):
        raise AccessError(f"{text!r} is no name of an administrator: up to 64 letters, digits, dots, hyphens, _ and @")
    return name


@dataclass(frozen=True)
class Principal:
    """An admin user, or an admin group (which has no password). ``password`` is a PHC string, empty for none."""

    name: str
    description: str = ""
    password: str = field(default="", repr=False)
    parents: tuple[str, ...] = ()
    granted: frozenset[Entry] = frozenset()
    denied: frozenset[Entry] = frozenset()

    def grant(self, entries: t.Iterable[Entry]) -> Principal:
        """With permissions granted, and no longer denied."""
        more = frozenset(entries)
        return replace(self, granted=self.granted | more, denied=self.denied - more)

    def deny(self, entries: t.Iterable[Entry]) -> Principal:
        """With permissions denied, and no longer granted."""
        more = frozenset(entries)
        return replace(self, granted=self.granted - more, denied=self.denied | more)

    def revoke(self, entries: t.Iterable[Entry]) -> Principal:
        """With permissions neither granted nor denied, so that those of the groups decide."""
        less = frozenset(entries)
        return replace(self, granted=self.granted - less, denied=self.denied - less)


@dataclass(frozen=True)
class _State:
    users: dict[str, Principal]
    groups: dict[str, Principal]

    def of(self, group: bool) -> dict[str, Principal]:
        return self.groups if group else self.users


class AccessList:
    """Users and groups stored in the file ``path``. Raises :class:`AccessError` when it cannot be read.

    Writing methods sync the disk: call them in a worker thread. What was written counts at the next command.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state = self._read()

    # --- reading --------------------------------------------------------------------------------

    def names(self, group: bool) -> list[str]:
        """The users, or the groups, sorted."""
        return sorted(self._state.of(group))

    def find(self, name: str, group: bool) -> Principal | None:
        """A user or a group by its name in any case."""
        return self._state.of(group).get(name.lower())

    def password(self, user: str) -> str:
        """The hash of a user's password; empty when there is no such user."""
        found = self.find(user, group=False)
        return found.password if found else ""

    def members(self, group: str) -> list[str]:
        """Users and groups that name ``group`` as a parent, sorted."""
        state = self._state
        everybody = (*state.users.values(), *state.groups.values())
        return sorted(principal.name for principal in everybody if group in principal.parents)

    def effective(self, principal: Principal | None, domain: str = "") -> frozenset[str]:
        """What a user or a group may do on the server, or on ``domain``: its own and all its groups' permissions.

        A denial anywhere wins over every grant. Nobody (None) may do nothing.
        """
        granted: set[str] = set()
        denied: set[str] = set()
        known: set[str] = set()
        waiting = [principal] if principal else []
        while waiting:
            one = waiting.pop()
            granted.update(name for where, name in one.granted if where == domain)
            denied.update(name for where, name in one.denied if where == domain)
            for parent in one.parents:
                group = self._state.groups.get(parent)
                if parent not in known and group is not None:
                    known.add(parent)
                    waiting.append(group)
        return frozenset(granted - denied)

    def may(self, user: str, needed: t.Sequence[str], domain: str = "") -> bool:
        """Whether a user has one of the permissions, on the server or (where there is such a one) on ``domain``."""
        if user.lower() == ADMIN:
            return True
        principal = self.find(user, group=False)
        server = self.effective(principal)
        if permissions.LOGIN not in server:
            return False
        local = self.effective(principal, domain) if domain else frozenset()
        return not needed or any(name in server or permissions.on_domain(name) in local for name in needed)

    # --- writing --------------------------------------------------------------------------------

    def put(self, principal: Principal, group: bool, base: Principal | None = None) -> None:
        """Store a new user or group, or what was made of ``base``. Raises :class:`AccessError`.

        What another session changed since ``base`` was read is never undone unseen: it may be a denial.
        """
        what = "admin-group" if group else "admin-user"
        old = base.name if base else ""
        with self._lock:
            users, groups = dict(self._state.users), dict(self._state.groups)
            there = groups if group else users
            if base and there.get(old) != base:
                done = "changed" if old in there else "removed"
                raise AccessError(f"{what} {old} was {done} by another session; go BACK")
            if principal.name != old and (principal.name in there or principal.name == ADMIN):
                raise AccessError(f"{what} {principal.name} already exists")
            for parent in principal.parents:
                if parent not in groups and parent != old:
                    raise AccessError(f"there is no admin-group {parent}")
            there.pop(old, None)
            there[principal.name] = principal
            if group and old and old != principal.name:
                users, groups = (_renamed(all_of, old, principal.name) for all_of in (users, groups))
            if group and principal.name in _ancestors(groups, principal.name):
                raise AccessError(f"admin-group {principal.name} would be a group of itself")
            self._write(_State(users, groups))

    def remove(self, name: str, group: bool, forced: bool = False) -> None:
        """Forget a user or a group. Raises :class:`AccessError`; a group with members only goes when ``forced``."""
        what = "admin-group" if group else "admin-user"
        with self._lock:
            users, groups = dict(self._state.users), dict(self._state.groups)
            if (groups if group else users).pop(name, None) is None:
                raise AccessError(f"there is no {what} {name}")
            members = self.members(name) if group else []
            if members and not forced:
                raise AccessError(f"admin-group {name} has members ({', '.join(members)}); remove them, or say forced")
            if members:
                users, groups = (_renamed(all_of, name, "") for all_of in (users, groups))
            self._write(_State(users, groups))

    # --- the file -------------------------------------------------------------------------------

    def _read(self) -> _State:
        try:
            with open(self._path, encoding="utf-8") as file:
                content = json.load(file)
            if content["format"] != _FORMAT:
                raise AccessError(f"{self._path}: format {content['format']} is of another version of the server")
            users, groups = (
                {entry["name"]: _principal(entry) for entry in content[kind]} for kind in ("users", "groups")
            )
        except FileNotFoundError:
            return _State({}, {})
        except OSError as error:
            raise AccessError(f"{self._path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            # Not the text of the error: it may show a piece of the file, which holds hashes.
            raise AccessError(f"{self._path}: this is no list of administrators") from None
        return _State(users, groups)

    def _write(self, state: _State) -> None:
        """On disk first; the memory changes only when the disk has it."""
        content = {"format": _FORMAT, **{kind: _plain(getattr(state, kind)) for kind in ("users", "groups")}}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        try:
            write_durably(self._path + ".new", text.encode("utf-8"), mode=0o600)
            os.replace(self._path + ".new", self._path)
        except OSError as error:
            raise AccessError(f"the list of administrators cannot be stored: {error.strerror}") from None
        self._state = state


def _renamed(everybody: dict[str, Principal], old: str, new: str) -> dict[str, Principal]:
    """With another name for a group, or without it, in all lists of parents."""
    return {
        name: replace(one, parents=tuple(new if p == old else p for p in one.parents if p != old or new))
        for name, one in everybody.items()
    }


def _ancestors(groups: dict[str, Principal], name: str) -> set[str]:
    found: set[str] = set()
    waiting = list(groups[name].parents)
    while waiting:
        parent = waiting.pop()
        if parent not in found and parent in groups:
            found.add(parent)
            waiting.extend(groups[parent].parents)
    return found


def _plain(everybody: dict[str, Principal]) -> list[dict[str, t.Any]]:
    return [
        {
            "name": one.name,
            "description": one.description,
            "password": one.password,
            "parents": list(one.parents),
            "granted": sorted(map(list, one.granted)),
            "denied": sorted(map(list, one.denied)),
        }
        for one in everybody.values()
    ]


def _principal(entry: dict[str, t.Any]) -> Principal:
    granted, denied = (frozenset((str(d), str(p)) for d, p in entry[key]) for key in ("granted", "denied"))
    texts = {key: str(entry[key]) for key in ("name", "description", "password")}
    return Principal(**texts, parents=tuple(str(name) for name in entry["parents"]), granted=granted, denied=denied)
