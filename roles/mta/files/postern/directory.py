# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains and accounts: SQLite on disk, a dictionary in memory for every look-up.

Names are compared and stored in lower case. Writing methods hash passwords and sync the disk:
call them in a worker thread. Reading methods cost a dictionary look-up and may be called anywhere.
"""

from __future__ import annotations

import hmac
import os
import re
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from .mailboxes import Destination, Mailboxes
from .passwords import SALT_BYTES, check_password, hash_password, scram_verifier

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
CREATE TABLE IF NOT EXISTS disabled_domains (
    name TEXT PRIMARY KEY REFERENCES domains (name) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS domain_aliases (
    alias TEXT PRIMARY KEY,
    domain TEXT NOT NULL REFERENCES domains (name) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account_aliases (
    domain TEXT NOT NULL,
    alias TEXT NOT NULL,
    local TEXT NOT NULL,
    PRIMARY KEY (domain, alias),
    FOREIGN KEY (domain, local) REFERENCES accounts (domain, local) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account_notes (
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    notes TEXT NOT NULL,
    PRIMARY KEY (domain, local),
    FOREIGN KEY (domain, local) REFERENCES accounts (domain, local) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
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


@dataclass
class _Domain:
    """A domain in memory. ``aliases`` are other names of accounts."""

    accounts: dict[str, Credentials] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    enabled: bool = True

    def local(self, name: str) -> str | None:
        """The account that a name means; None when there is none."""
        return name if name in self.accounts else self.aliases.get(name)


class Directory:
    """Domains and accounts stored in the file ``path``. Opening raises ``sqlite3.Error``.

    ``rules`` say what addresses mean besides these.
    """

    def __init__(self, path: str, rules: Mailboxes = Mailboxes()) -> None:
        self._rules = rules
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_SCHEMA)
        self._decoy_key = self._secret("decoy")
        self._domains: dict[str, _Domain] = {}
        self._aliases: dict[str, str] = {}
        self._refresh()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # --- reading: mail --------------------------------------------------------------------------

    def domains(self) -> list[str]:
        """All domains that take mail, sorted."""
        return sorted(name for name, domain in self._domains.items() if domain.enabled)

    def has_domain(self, domain: str) -> bool:
        """Whether mail for ``domain`` is local. It stays local while the domain is disabled and has no mailboxes."""
        return self._domain_name(domain) in self._domains

    def has_mailbox(self, local: str, domain: str) -> bool:
        """Whether ``local@domain``, or what it is another name of, can receive mail."""
        return self.mailbox(local, domain) is not None

    def mailbox(self, local: str, domain: str) -> tuple[str, str] | None:
        """Account and domain of the mailbox that an address means; None where no mail is taken."""
        name = self._domain_name(domain)
        found = self._domains.get(name)
        account = found.local(local.lower()) if found is not None and found.enabled else None
        return None if account is None else (account, name)

    def destinations(self, local: str, domain: str) -> tuple[Destination, ...] | None:
        """Where mail for an address of a local domain goes; None where nobody gets it, empty: it is thrown away."""
        name = self._domain_name(domain)
        if not self.is_enabled(name):
            return None

        def account(local: str, domain: str) -> str | None:
            found = self.mailbox(local, domain)
            return None if found is None else found[0]

        return self._rules.destinations(local, name, account, self.has_domain)

    def credentials(self, login: str) -> Credentials | None:
        """What is stored for ``user@domain``; None when there is no such account, or its domain is disabled."""
        local, _at, domain = login.rpartition("@")
        found = self.mailbox(local, domain)
        return None if found is None else self._domains[found[1]].accounts[found[0]]

    def decoy_salt(self, login: str) -> bytes:
        """A SCRAM salt for a login that does not exist, as lasting and as meaningless as a real one."""
        local, _at, domain = login.rpartition("@")
        name = f"{local.lower()}@{self._domain_name(domain)}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._decoy_key, name, "sha256")[:SALT_BYTES]

    # --- reading: administration ----------------------------------------------------------------

    def all_domains(self) -> list[str]:
        """All domains, disabled ones too, sorted."""
        return sorted(self._domains)

    def is_enabled(self, domain: str) -> bool:
        """Whether a domain takes mail; False for an unknown one."""
        found = self._domains.get(domain)
        return found is not None and found.enabled

    def accounts(self, domain: str) -> list[str]:
        """The local parts of a domain, sorted; empty for an unknown domain."""
        found = self._domains.get(self._domain_name(domain))
        return sorted(found.accounts) if found is not None else []

    def domain_aliases(self, domain: str) -> list[str]:
        """Other names of a domain, sorted."""
        return sorted(alias for alias, name in self._aliases.items() if name == domain)

    def account_aliases(self, domain: str, local: str) -> list[str]:
        """Other names of an account, sorted."""
        found = self._domains.get(domain)
        return sorted(alias for alias, name in found.aliases.items() if name == local) if found is not None else []

    def notes(self, domain: str, local: str) -> str:
        """The notes about an account, empty for none. Reads the disk."""
        with self._lock:
            query = "SELECT notes FROM account_notes WHERE domain = ? AND local = ?"
            found = self._connection.execute(query, (domain, local)).fetchone()
        return found[0] if found else ""

    # --- writing --------------------------------------------------------------------------------

    def create_domain(self, domain: str, postmaster_password: str) -> None:
        """A new domain with its account ``postmaster``. Raises :class:`DirectoryError`."""
        name = domain_name(domain)
        self._check_new(name)
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

    def enable_domain(self, domain: str, enable: bool) -> None:
        """Let a domain take mail and logins, or not. Raises :class:`DirectoryError`."""
        name = self._existing(domain)
        statement = "DELETE FROM disabled_domains WHERE name = ?"
        if not enable:
            statement = "INSERT OR IGNORE INTO disabled_domains VALUES (?)"
        self._write(f"domain {name}", (statement, (name,)))

    def set_domain_aliases(self, domain: str, add: Iterable[str], remove: Iterable[str]) -> None:
        """Give a domain other names, and take some. Raises :class:`DirectoryError`."""
        name = self._existing(domain)
        added = [domain_name(alias) for alias in add]
        for alias in added:
            self._check_new(alias)
        self._write(
            f"aliases of domain {name}",
            *(("DELETE FROM domain_aliases WHERE alias = ? AND domain = ?", (alias, name)) for alias in remove),
            *(("INSERT INTO domain_aliases VALUES (?, ?)", (alias, name)) for alias in added),
        )

    def set_account_aliases(self, domain: str, local: str, add: Iterable[str], remove: Iterable[str]) -> None:
        """Give an account other names in its domain, and take some. Raises :class:`DirectoryError`."""
        name, account = self._existing_account(domain, local)
        added = [local_part(alias) for alias in add]
        for alias in added:
            if self._domains[name].local(alias) is not None:
                raise DirectoryError(f"{alias}@{name} already exists")
        delete = "DELETE FROM account_aliases WHERE domain = ? AND alias = ? AND local = ?"
        self._write(
            f"aliases of account {account}@{name}",
            *((delete, (name, alias, account)) for alias in remove),
            *(("INSERT INTO account_aliases VALUES (?, ?, ?)", (name, alias, account)) for alias in added),
        )

    def set_notes(self, domain: str, local: str, notes: str) -> None:
        """Keep a text about an account. Raises :class:`DirectoryError`."""
        name, account = self._existing_account(domain, local)
        statement = "INSERT OR REPLACE INTO account_notes VALUES (?, ?, ?)"
        self._write(f"notes about account {account}@{name}", (statement, (name, account, notes)))

    def put_account(self, domain: str, local: str, password: str) -> None:
        """Create an account, or give it a new password. Raises :class:`DirectoryError`."""
        name = self._existing(domain)
        row = self._row(name, local_part(local), password)
        if row[1] in self._domains[name].aliases:
            raise DirectoryError(f"{row[1]}@{name} is another name of an account")
        # No REPLACE: it would delete the old row, and with it what belongs to the account.
        columns = ("scrypt", "scram_salt", "scram_iterations", "scram_stored_key", "scram_server_key")
        statement = (
            "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (domain, local) DO UPDATE SET "
            + ", ".join(f"{column} = excluded.{column}" for column in columns)
        )
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

    def _domain_name(self, domain: str) -> str:
        """The name of the domain that ``domain`` is an alias of, or itself in its stored form."""
        name = domain.lower().removesuffix(".")
        return self._aliases.get(name, name)

    def _check_new(self, name: str) -> None:
        if name in self._domains:
            raise DirectoryError(f"domain {name} already exists")
        if name in self._aliases:
            raise DirectoryError(f"{name} is another name of domain {self._aliases[name]}")

    def _existing(self, domain: str) -> str:
        name = domain_name(domain)
        if name not in self._domains:
            raise DirectoryError(f"there is no domain {name}")
        return name

    def _existing_account(self, domain: str, local: str) -> tuple[str, str]:
        name, account = self._existing(domain), local_part(local)
        if account not in self._domains[name].accounts:
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

    def _secret(self, name: str) -> bytes:
        """Random octets that are made once for this file."""
        execute = self._connection.execute
        execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, os.urandom(32)))
        return execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()[0]

    def _refresh(self) -> None:
        execute = self._connection.execute
        fresh = {name: _Domain() for (name,) in execute("SELECT name FROM domains")}
        for domain, local, *rest in execute("SELECT * FROM accounts"):
            fresh[domain].accounts[local] = Credentials(f"{local}@{domain}", *rest)
        for domain, alias, local in execute("SELECT domain, alias, local FROM account_aliases"):
            fresh[domain].aliases[alias] = local
        for (name,) in execute("SELECT name FROM disabled_domains"):
            fresh[name].enabled = False
        self._aliases, self._domains = dict(execute("SELECT alias, domain FROM domain_aliases")), fresh
