# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail domains and accounts over the admin dialect.

They are no part of the policy: they live in the server's own storage, and passwords can be written
but never read back. The way is the same nevertheless: read, plan, apply, read again.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._policy.domain import domain_name
from ..._policy.errors import PolicyError, shown
from ..base import CommandRefused, ReadBackError, ServerError
from .cli import AdminSession
from .layout import Secret, first_column

#: Every domain has this account, from its creation to its end (RFC 5321 section 4.5.1).
POSTMASTER = "postmaster"

#: RFC 5321 section 4.5.3.1.1, in octets.
LOCAL_PART_LENGTH = 64

#: A Dot-string of RFC 5321 section 4.1.2, less the slash: servers name folders after accounts.
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+=?^_`{|}~-]+)*\Z")


@dataclass(frozen=True)
class Wish:
    """What shall be there. ``account`` is a local part, or None when the domain alone is meant.

    ``always`` says that given passwords are set also where the account is there already.
    """

    domain: str
    account: t.Optional[str] = None
    present: bool = True
    password: t.Optional[Secret] = None
    postmaster_password: t.Optional[Secret] = None
    domain_location: t.Optional[str] = None
    always: bool = False


@dataclass(frozen=True)
class State:
    """What is there. The spellings are the server's own, None for what does not exist."""

    domain: t.Optional[str] = None
    accounts: t.Tuple[str, ...] = ()

    def account(self, name: str) -> t.Optional[str]:
        """The server's spelling of an account; local parts are compared without regard to case."""
        return next((account for account in self.accounts if account.lower() == name.lower()), None)


@dataclass(frozen=True)
class Step:
    """One thing to do; ``kind`` names the method of :class:`AccountStore` that does it."""

    kind: str
    domain: str
    account: str = ""
    password: t.Optional[Secret] = None
    location: t.Optional[str] = None

    def describe(self) -> str:
        """What is done, in one line, without the password."""
        words = self.kind.replace("_", " ")
        return "%s %s" % (words, "%s@%s" % (self.account, self.domain) if self.account else self.domain)


def local_part(value: str, option: str = "account") -> str:
    """The local part of an address as it is given. Raises ``PolicyError`` for what is none."""
    text = value.strip()
    if "@" in text:
        raise PolicyError(
            "%s is the part before the @ only, the rest is the option domain; got %s" % (option, shown(value))
        )
    if not _LOCAL_PART.match(text):
        raise PolicyError(
            "%s must be a local part such as user1: letters, digits, dots inside and a few signs (RFC 5321); got %s"
            % (option, shown(value))
        )
    if len(text) > LOCAL_PART_LENGTH:
        raise PolicyError("%s has %d octets; the limit is %d (RFC 5321)" % (option, len(text), LOCAL_PART_LENGTH))
    return text


def check(wish: Wish) -> None:
    """Refuse what cannot be, whatever the server holds. Raises ``PolicyError`` with all problems."""
    problems = []
    if wish.domain.startswith("."):
        problems.append("domain must be one domain; %s stands for the subdomains only" % shown(wish.domain))
    for option, secret in (("password", wish.password), ("postmaster_password", wish.postmaster_password)):
        if secret is not None and not secret.reveal():
            problems.append("%s is empty" % option)
        elif secret is not None and not secret.reveal().isprintable():
            problems.append("%s contains a control character or another one that cannot be typed" % option)
    if wish.password is not None and wish.account is None:
        problems.append("password is given without account; the domain's own account has postmaster_password")
    if not wish.present and wish.account is not None and wish.account.lower() == POSTMASTER:
        problems.append("postmaster cannot be removed: every domain must have it (RFC 5321)")
    if problems:
        raise PolicyError(*problems)


def plan(wish: Wish, found: State) -> t.Tuple[Step, ...]:
    """What must be done, in order. Raises ``PolicyError`` when a password is missing for something new."""
    if not wish.present:
        return _plan_removal(wish, found)
    steps: t.List[Step] = []
    missing = []
    domain = found.domain or wish.domain
    if found.domain is None:
        if wish.postmaster_password is None:
            missing.append("domain %s does not exist; postmaster_password is needed to create it" % wish.domain)
        steps.append(Step("create_domain", domain, password=wish.postmaster_password, location=wish.domain_location))
    elif wish.always and wish.postmaster_password is not None:
        steps.append(Step("set_password", domain, found.account(POSTMASTER) or POSTMASTER, wish.postmaster_password))
    if wish.account is not None:
        existing = found.account(wish.account)
        if existing is None and wish.account.lower() != POSTMASTER:
            if wish.password is None:
                missing.append("account %s@%s does not exist; password is needed to create it" % (wish.account, domain))
            steps.append(Step("add_account", domain, wish.account, wish.password))
        elif wish.always and wish.password is not None:
            steps.append(Step("set_password", domain, existing or POSTMASTER, wish.password))
    if missing:
        raise PolicyError(*missing)
    return tuple(steps)


def _plan_removal(wish: Wish, found: State) -> t.Tuple[Step, ...]:
    if found.domain is None:
        return ()
    if wish.account is None:
        return (Step("delete_domain", found.domain),)
    existing = found.account(wish.account)
    return () if existing is None else (Step("remove_account", found.domain, existing),)


class AccountStore:
    """Domains and accounts of one server, over a session that stands at the root context."""

    def __init__(self, session: AdminSession) -> None:
        self.session = session
        #: The step whose outcome is not known: its COMMIT has no answer, or another one behind it failed.
        self.unsure: t.Optional[Step] = None

    def read(self, domain: str) -> State:
        """The domain and its accounts, as far as they exist. Raises :class:`ServerError`; writes nothing."""
        spelling = next((name for name in self._domains() if _same_domain(name, domain)), None)
        if spelling is None:
            return State()
        self.session.enter("UPDATE", "Domain", "name", spelling)
        accounts = first_column(self.session.command("LIST", "Accounts"))
        self.session.leave("BACK")
        return State(spelling, tuple(account.split("@")[0] for account in accounts))

    def domains(self) -> t.FrozenSet[str]:
        """All domains of the server in canonical form. Raises :class:`ServerError`."""
        return frozenset(_canonical(name) for name in self._domains())

    def _domains(self) -> t.List[str]:
        """All domains. ``LIST Domains`` may leave out disabled ones, which must not be created again."""
        try:
            answer = self.session.command("LIST", "AllDomains")
        except CommandRefused:
            answer = self.session.command("LIST", "Domains")
        return first_column(answer)

    def apply(self, steps: t.Iterable[Step]) -> t.Iterator[Step]:
        """Do one step after the other and yield each when it is done.

        Raises :class:`ServerError`; what is pending then is dropped, what was yielded stays done, and of what is
        ``unsure`` nobody knows.
        """
        for step in steps:
            try:
                getattr(self, "_" + step.kind)(step)
            except ServerError:
                self._drop_pending()
                raise
            self.unsure = None
            yield step

    def _counts(self, step: Step, command: t.Callable[..., t.Any], *words: str) -> None:
        """A command that takes effect at once. Only a server that says no has certainly done nothing."""
        try:
            command(*words)
        except CommandRefused:
            raise
        except ServerError:
            self.unsure = step
            raise
        self.unsure = step

    def _drop_pending(self) -> None:
        try:
            self.session.back_to_root()
        except ServerError:
            self.session.close()

    def verify(self, wish: Wish) -> State:
        """Read again and compare. Raises :class:`ReadBackError`."""
        found = self.read(wish.domain)
        if wish.account is None or not wish.present and found.domain is None:
            there, what = found.domain is not None, "domain %s" % wish.domain
        else:
            there, what = found.account(wish.account) is not None, "account %s@%s" % (wish.account, wish.domain)
        if there != wish.present:
            raise ReadBackError(
                "read back %s" % what,
                "it is still there" if there else "it is not there",
                "The server accepted the command without an error; see its log.",
            )
        return found

    # --- steps ----------------------------------------------------------------------------------

    def _create_domain(self, step: Step) -> None:
        words: t.List[str] = ["CREATE", "Domain", "name", step.domain]
        if step.location:
            words += ["domainLocation", step.location]
        if step.password is not None:
            words += ["postmasterPassword", step.password]
        self.session.enter(*words)
        self._counts(step, self.session.leave, "COMMIT")

    def _delete_domain(self, step: Step) -> None:
        self._counts(step, self.session.command, "DELETE", "Domain", "name", step.domain)

    def _add_account(self, step: Step) -> None:
        self.session.enter("UPDATE", "Domain", "name", step.domain)
        words: t.List[str] = ["ADD", "Account", "name", step.account]
        if step.password is not None:
            words += ["password", step.password]
        self.session.enter(*words)
        self._counts(step, self.session.leave, "COMMIT")
        self._counts(step, self.session.leave, "COMMIT")

    def _set_password(self, step: Step) -> None:
        self.session.enter("UPDATE", "Domain", "name", step.domain)
        self.session.enter("UPDATE", "Account", "name", step.account)
        self.session.command("SET", "password", step.password or Secret(""))
        self._counts(step, self.session.leave, "COMMIT")
        self._counts(step, self.session.leave, "COMMIT")

    def _remove_account(self, step: Step) -> None:
        self.session.enter("UPDATE", "Domain", "name", step.domain)
        self.session.command("REMOVE", "Account", "name", step.account)
        self._counts(step, self.session.leave, "COMMIT")


def _same_domain(listed: str, domain: str) -> bool:
    return _canonical(listed) == domain


def _canonical(listed: str) -> str:
    try:
        return domain_name(listed)
    except PolicyError:
        return listed.lower()
