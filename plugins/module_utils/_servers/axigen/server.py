# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that is administered by the AXIGEN admin dialect: AXIGEN itself, and the bundled MTA.

Its policy lives in two places: listeners and their TLS settings in the configuration tree, all
rules and STARTTLS in the policy script. Both are read in one visit to the server context and
written in another one, which ends with the chain of COMMITs.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field, replace

from ..._policy.address import sort_key
from ..._policy.errors import PolicyError
from ..._policy.policy import TLS_FIELDS, Listener, Policy
from ..._policy.rule import ForcedTlsDomain
from ..base import Conflict, MailServer, Plan, ProtocolError, ReadBackError, ServerError, Snapshot
from . import capability, config, listeners, rule_forms, rules
from . import script as language
from .cli import AdminSession


@dataclass(frozen=True)
class _Native:
    """What was read, in the server's own form. ``spellings``: for each listener what ``listeners.spellings`` says.

    ``domains`` are the server's own mail domains, canonical; empty when nobody needs them.
    """

    reader: rules.RuleReader
    spellings: t.Mapping[str, t.Mapping[str, str]]
    domains: t.FrozenSet[str]


@dataclass(frozen=True)
class _Steps:
    """What is to be written, in the server's own form. ``script`` is None when it stays as it is."""

    before: Snapshot
    script: t.Optional[str] = field(repr=False)  # may hold the password of a relay host
    changes: t.Tuple[listeners.ListenerChange, ...]


class AxigenServer(MailServer):
    """One admin session, logged in. ``local`` says that the server's files can be looked at from here.

    ``reconnect`` opens another session, to put a script back when the first one broke.
    """

    def __init__(
        self, session: AdminSession, dialect: t.Any, local: bool, reconnect: t.Callable[[], AdminSession]
    ) -> None:
        self.session = session
        self.dialect = dialect
        self.local = local
        self._reconnect = reconnect
        self._with_domains = False

    # --- read -----------------------------------------------------------------------------------

    def read(self) -> Snapshot:
        """Script and configuration tree in one visit. Raises :class:`ServerError`."""
        domains = self._domains() if self._with_domains else frozenset()
        self.session.enter("CONFIG", "SERVER")
        snapshot = self._read_here(domains)
        self.session.leave("BACK")
        return snapshot

    def _domains(self) -> t.FrozenSet[str]:
        # Few tasks need them, and a module's code is compiled anew in each of them.
        from .accounts import AccountStore

        return AccountStore(self.session).domains()

    def _read_here(self, domains: t.FrozenSet[str] = frozenset()) -> Snapshot:
        text = self.session.command("SHOW", "SmtpFilters").text
        tree = self.session.command("SHOW", "Config").text
        script = _parse_script(text)
        found, spellings = self._listeners(tree)
        reader = rules.RuleReader(script, self.dialect)
        starttls, notes = reader.starttls()
        relay, relay_notes = reader.relay()
        policy = Policy(listeners=found, starttls=starttls, rules=reader.rules(), relay=relay)
        token = hashlib.sha256(repr((language.one_line_end(text), found)).encode("utf-8", "surrogateescape")).hexdigest()
        notes += relay_notes + tuple(
            "method %s stands twice in the policy script; the server's choice decides" % name
            for name in script.duplicate_methods
        )
        return Snapshot(policy, token, notes, _Native(reader, spellings, domains), self._rule_notes())

    def _listeners(self, tree: str) -> t.Tuple[t.Tuple[Listener, ...], t.Dict[str, t.Dict[str, str]]]:
        found, spellings = [], {}
        try:
            server = config.parse(tree)
            server = server.get("server", server)
            for section in server.get("smtpIncoming", {}).get("listeners", ()):
                listener = listeners.read_listener(section, self.dialect)
                found.append(listener)
                spellings[listener.address] = listeners.spellings(section)
        except (config.ConfigError, PolicyError, KeyError, AttributeError, TypeError, ValueError) as error:
            said = "a listener without %s" % error if isinstance(error, KeyError) else str(error)
            raise ProtocolError("read the server's configuration", said, "Nothing was changed.")
        return tuple(sorted(found, key=lambda listener: sort_key(listener.address))), spellings

    def _rule_notes(self) -> t.Tuple[str, ...]:
        if self.dialect.plain_auth_var is not None and self.dialect.rcpt_domain_var is not None:
            return ()
        return (
            'dialect profile "%s" is unverified: authentication and recipient rules, and TLS that is required for mail '
            "that goes out, cannot be recognised"
            % self.dialect.name,
        )

    def require(self, kind: t.Type[t.Any]) -> None:
        """Refuse tasks about forced-TLS domains where the script's name for the recipient's domain is not known."""
        if kind is ForcedTlsDomain and self.dialect.rcpt_domain_var is None:
            raise rule_forms.unknown_name(
                "manage forced-TLS domains", "the domain of the recipient", self.dialect, "recipient_domain_variable"
            )

    def require_outbound(self) -> None:
        """Read the server's own domains too; refuse where rules for domains of outgoing mail cannot be recognised."""
        rule_forms.check_outbound("manage forced-TLS domains of mail that goes out", self.dialect)
        self._with_domains = True

    # --- plan -----------------------------------------------------------------------------------

    def plan(self, snapshot: Snapshot, desired: Policy) -> Plan:
        """Script text and listener changes. Raises ``PolicyError`` or :class:`ServerError`; sends nothing."""
        desired = replace(
            desired, listeners=tuple(listeners.without_certificate(listener) for listener in desired.listeners)
        )
        before = snapshot.policy
        listeners.check_ranges(desired.listeners)
        native: _Native = snapshot.native
        capability.check(before, desired, self.dialect, native.domains)
        changes = tuple(listeners.changes(before.listeners, desired.listeners, self.dialect))
        warnings = self._check_files(desired, changes) if changes else []
        desired, script, actions, effects = self._plan_script(native.reader, before, desired)
        steps = _Steps(snapshot, script, changes)
        actions += [change.describe() for change in changes]
        return Plan(desired, tuple(actions), tuple(warnings + effects), steps)

    def _plan_script(
        self, reader: rules.RuleReader, before: Policy, desired: Policy
    ) -> t.Tuple[Policy, t.Optional[str], t.List[str], t.List[str]]:
        """The desired policy as it can be, the new script (None: as it is), actions and warnings."""
        if (before.rules, before.starttls, before.relay) == (desired.rules, desired.starttls, desired.relay):
            return desired, None, [], []
        # Most runs change nothing, and a module's code is compiled anew in each of them.
        from . import effect, rule_edit

        edited = rule_edit.edit_rules(reader, before, desired)
        changed = rules.RuleReader(edited.script, self.dialect)
        effect.check(changed, before, edited.desired)
        script = None if edited.script.text == reader.script.text else edited.script.text
        return edited.desired, script, edited.actions, effect.warnings(changed, before, edited.desired)

    def _check_files(self, desired: Policy, changes: t.Sequence[listeners.ListenerChange]) -> t.List[str]:
        """Look into certificates and DH files of listeners whose TLS changes, where they lie on this host."""
        # Loading cryptography costs more than a whole visit to the server, and most runs change nothing.
        from ... import _pem

        problems: t.List[str] = []
        warnings: t.List[str] = []
        for change in changes:
            listener = desired.listener(change.address)
            if not self.local or listener is None or not set(change.fields) & set(TLS_FIELDS):
                continue
            found = _pem.examine(
                certificate=listener.certificate,
                dh_params=listener.dh_params,
                ca_file=listener.ca_file,
                ciphers=listener.ciphers,
            )
            problems += ["listener %s: %s" % (listener.address, problem) for problem in found.problems]
            warnings += ["listener %s: %s" % (listener.address, warning) for warning in found.warnings]
        if problems:
            raise PolicyError(*problems)
        return warnings

    # --- apply ----------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Write script and listeners and commit them together. Raises :class:`ServerError`.

        Whatever fails before the last COMMIT leaves the server as it was: pending changes are
        dropped with BACK, and a script that is active at upload (a server whose profile does not
        promise otherwise) is put back.
        """
        steps: _Steps = plan.native
        old = steps.before.native.reader.script.text
        self.session.enter("CONFIG", "SERVER")
        uploaded = False
        try:
            if self._read_here().token != steps.before.token:
                raise Conflict("change the server", "its configuration changed since it was read", "Run the task again.")
            if steps.script is not None:
                uploaded = True
                self._upload(steps.script)
            if steps.changes:
                self.session.enter("CONFIG", "SMTP-INCOMING")
                for change in steps.changes:
                    listeners.send(self.session, change, steps.before.native.spellings.get(change.address, {}))
                self.session.leave("COMMIT")
            self.session.leave("COMMIT")
        except ServerError as error:
            left = self._undo(old if uploaded and not self.dialect.atomic_commit else None)
            if not left:
                raise
            raise type(error)(error.operation, error.said, ("%s %s" % (error.advice, left)).strip())

    def _upload(self, text: str) -> None:
        self.session.upload("UPDATE", "SmtpFilters", text=text)
        stored = self.session.command("SHOW", "SmtpFilters").text
        if not language.equal_but_line_ends(stored, text):
            raise ReadBackError(
                "upload the policy script", "the server shows another text than it was given", "The old script is put back."
            )

    def _undo(self, script: t.Optional[str]) -> str:
        """Drop what is pending; put an uploaded script back. Returns what could not be undone, for the message."""
        try:
            self.session.back_to_root()
            broken = False
        except ServerError:
            # The end of a session drops what is pending in it.
            self.session.close()
            broken = True
        if script is None:
            return ""
        try:
            if broken:
                self.session = self._reconnect()
            self.session.enter("CONFIG", "SERVER")
            self.session.upload("UPDATE", "SmtpFilters", text=script)
            self.session.leave("COMMIT")
        except ServerError as error:
            return "The new policy script was uploaded, and the old one could not be put back (%s)." % error
        return ""

    def save(self) -> None:
        """``SAVE CONFIG`` at the root context."""
        self.session.command("SAVE", "CONFIG")

    def close(self) -> None:
        """End the session."""
        self.session.close()


def _parse_script(text: str) -> language.Script:
    try:
        return language.parse(text)
    except language.ScriptError as error:
        raise ProtocolError(
            "read the policy script",
            "line %d, column %d: %s" % (error.line, error.column, error.reason),
            "It is left as it is: nothing was written. Mend that line, or take the construct out of the script.",
        )
