# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains and accounts: SQLite on disk, a dictionary in memory for every look-up.

Names are compared and stored in lower case. Writing methods hash passwords and sync the disk:
call them in a worker thread. Reading methods cost a dictionary look-up and may be called anywhere.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from dataclasses import dataclass

from .passwords import check_password, hash_password, scram_verifier

_SCHEMA = """
CREATE TABLE IF NOT EXISTS domains (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    domain TEXT NOT NULL REFERENCES domains (name) ON DELETE CASCADE,
    local TEXT NOT NULL,
    scrypt TEXT NOT NULL,
    scram_salt BLOB NOT NULL,
    scram_iterations INTEGER NOT NULL,
    scram_stored_key BLOB NOT NULL,
    scram_server_key BLOB NOT NULL,
    PRIMARY KEY (domain, local)
) WITHOUT ROWID;
"""

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
#: RFC 5321 atoms without "/": a local part is a directory name too.
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+=?^_`{|}~-]+)*")


class DirectoryError(Exception):
    """A change that cannot be made; the text names the domain or account and the reason."""


@dataclass(frozen=True)
class Credentials:
    """What is stored to check the password of ``login`` (``user@domain``); never the password."""

    login: str
    scrypt: str
    scram_salt: bytes
    scram_iterations: int
    scram_stored_key: bytes
    scram_server_key: bytes


def domain_name(text: str) -> str:
    """The stored form of a domain name (RFC 1035 letters, digits, hyphens). Raises :class:`DirectoryError`."""
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise DirectoryError(f"{text!r} is not a domain name (letters, digits, hyphens and dots; IDNA as xn--…)")
    return name


def local_part(text: str) -> str:
    """The stored form of an account's name. Raises :class:`DirectoryError`."""
    name = text.lower()
    if len(name) > 64 or not _LOCAL.fullmatch(name):
        raise DirectoryError(f"{text!r} is not an account name (up to 64 letters, digits, dots, !#$%&'*+=?^_`{{|}}~-)")
    return name


class Directory:
    """Domains and accounts stored in the file ``path``. Opening raises ``sqlite3.Error``."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_SCHEMA)
        self._domains: dict[str, dict[str, Credentials]] = {}
        self._refresh()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # --- reading --------------------------------------------------------------------------------

    def domains(self) -> list[str]:
        """All domains, sorted."""
        return sorted(self._domains)

    def has_domain(self, domain: str) -> bool:
        """Whether mail for ``domain`` is local."""
        return domain.lower().removesuffix(".") in self._domains

    def accounts(self, domain: str) -> list[str]:
        """The local parts of a domain, sorted; empty for an unknown domain."""
        return sorted(self._domains.get(domain.lower().removesuffix("."), ()))

    def has_mailbox(self, local: str, domain: str) -> bool:
        """Whether ``local@domain`` can receive mail."""
        return local.lower() in self._domains.get(domain.lower().removesuffix("."), ())

    def credentials(self, login: str) -> Credentials | None:
        """What is stored for ``user@domain``; None when there is no such account."""
        local, _at, domain = login.rpartition("@")
        return self._domains.get(domain.lower().removesuffix("."), {}).get(local.lower())

    # --- writing --------------------------------------------------------------------------------

    def create_domain(self, domain: str, postmaster_password: str) -> None:
        """A new domain with its account ``postmaster``. Raises :class:`DirectoryError`."""
        name = domain_name(domain)
        if name in self._domains:
            raise DirectoryError(f"domain {name} already exists")
        row = self._row(name, "postmaster", postmaster_password)
        self._write(
            f"domain {name}",
            ("INSERT INTO domains (name) VALUES (?)", (name,)),
            ("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)", row),
        )

    def delete_domain(self, domain: str) -> None:
        """Forget a domain and its accounts; mail that was delivered stays on disk. Raises :class:`DirectoryError`."""
        name = self._existing(domain)
        self._write(f"domain {name}", ("DELETE FROM domains WHERE name = ?", (name,)))

    def put_account(self, domain: str, local: str, password: str) -> None:
        """Create an account, or give it a new password. Raises :class:`DirectoryError`."""
        name = self._existing(domain)
        row = self._row(name, local_part(local), password)
        statement = "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._write(f"account {row[1]}@{name}", (statement, row))

    def set_password(self, domain: str, local: str, password: str) -> None:
        """Give an existing account a new password. Raises :class:`DirectoryError`."""
        self._existing_account(domain, local)
        self.put_account(domain, local, password)

    def remove_account(self, domain: str, local: str) -> None:
        """Forget an account; its mail stays on disk. Raises :class:`DirectoryError`."""
        name, account = self._existing_account(domain, local)
        statement = "DELETE FROM accounts WHERE domain = ? AND local = ?"
        self._write(f"account {account}@{name}", (statement, (name, account)))

    # --- inside ---------------------------------------------------------------------------------

    def _existing(self, domain: str) -> str:
        name = domain_name(domain)
        if name not in self._domains:
            raise DirectoryError(f"there is no domain {name}")
        return name

    def _existing_account(self, domain: str, local: str) -> tuple[str, str]:
        name, account = self._existing(domain), local_part(local)
        if account not in self._domains[name]:
            raise DirectoryError(f"there is no account {account} in domain {name}")
        return name, account

    def _row(self, domain: str, local: str, password: str) -> tuple[object, ...]:
        try:
            check_password(password)
        except ValueError as error:
            raise DirectoryError(f"account {local}@{domain}: {error}") from None
        return (domain, local, hash_password(password), *scram_verifier(password))

    def _write(self, subject: str, *statements: tuple[str, tuple[object, ...]]) -> None:
        """One transaction; the memory changes only when the disk has it."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    for statement, values in statements:
                        self._connection.execute(statement, values)
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.IntegrityError:
                raise DirectoryError(f"{subject}: another session changed it; nothing was changed") from None
            except sqlite3.Error as error:
                raise DirectoryError(f"{subject}: cannot be stored: {error}") from None
            self._refresh()

    def _refresh(self) -> None:
        fresh: dict[str, dict[str, Credentials]] = {
            name: {} for (name,) in self._connection.execute("SELECT name FROM domains")
        }
        for domain, local, *rest in self._connection.execute("SELECT * FROM accounts"):
            fresh[domain][local] = Credentials(f"{local}@{domain}", *rest)
        self._domains = fresh
