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
from dataclasses import dataclass, replace

from ..._policy.address import sort_key
from ..._policy.errors import PolicyError
from ..._policy.policy import TLS_FIELDS, Listener, Policy
from ..._policy.rule import AuthRule, ForcedTlsDomain
from ..base import Conflict, MailServer, Plan, ProtocolError, ReadBackError, ServerError, Snapshot
from . import config, listeners, rules
from . import script as language
from .cli import AdminSession


@dataclass(frozen=True)
class _Native:
    """What was read, in the server's own form. ``spellings``: for each listener what ``listeners.spellings`` says."""

    script: language.Script
    spellings: t.Mapping[str, t.Mapping[str, str]]


@dataclass(frozen=True)
class _Steps:
    """What is to be written, in the server's own form. ``script`` is None when it stays as it is."""

    before: Snapshot
    script: t.Optional[str]
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

    # --- read -----------------------------------------------------------------------------------

    def read(self) -> Snapshot:
        """Script and configuration tree in one visit. Raises :class:`ServerError`."""
        self.session.enter("CONFIG", "SERVER")
        snapshot = self._read_here()
        self.session.leave("BACK")
        return snapshot

    def _read_here(self) -> Snapshot:
        text = self.session.command("SHOW", "SmtpFilters").text
        tree = self.session.command("SHOW", "Config").text
        script = _parse_script(text)
        found, spellings = self._listeners(tree)
        reader = rules.RuleReader(script, self.dialect)
        starttls, notes = reader.starttls()
        policy = Policy(listeners=found, starttls=starttls, rules=reader.rules())
        token = hashlib.sha256(repr((language.one_line_end(text), found)).encode("utf-8", "surrogateescape")).hexdigest()
        notes += tuple(
            "method %s stands twice in the policy script; the server's choice decides" % name
            for name in script.duplicate_methods
        )
        return Snapshot(policy, token, notes, _Native(script, spellings), self._rule_notes())

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
            'dialect profile "%s" is unverified: authentication and recipient rules cannot be recognised'
            % self.dialect.name,
        )

    def require(self, kind: t.Type[t.Any]) -> None:
        """Refuse tasks about forced-TLS domains where the script's name for the recipient's domain is not known."""
        if kind is ForcedTlsDomain and self.dialect.rcpt_domain_var is None:
            raise rules.unknown_name("manage forced-TLS domains", "the domain of the recipient", self.dialect)

    # --- plan -----------------------------------------------------------------------------------

    def plan(self, snapshot: Snapshot, desired: Policy) -> Plan:
        """Script text and listener changes. Raises ``PolicyError`` or :class:`ServerError`; sends nothing."""
        desired = replace(
            desired, listeners=tuple(listeners.without_certificate(listener) for listener in desired.listeners)
        )
        before = snapshot.policy
        listeners.check_ranges(desired.listeners)
        self._check_mechanisms(before, desired)
        changes = tuple(listeners.changes(before.listeners, desired.listeners, self.dialect))
        warnings = (self._check_files(desired, changes) if changes else []) + _overridden(before, desired)
        native: _Native = snapshot.native
        text, actions = rules.edit_rules(native.script, before, desired, self.dialect)
        self._check_effect(text, desired)
        script = None if text == native.script.text else text
        steps = _Steps(snapshot, script, changes)
        actions += [change.describe() for change in changes]
        return Plan(desired, tuple(actions), tuple(warnings), steps)

    def _check_mechanisms(self, before: Policy, desired: Policy) -> None:
        known = set(self.dialect.mechanisms)
        present = {rule for rule in before.rules if isinstance(rule, AuthRule)}
        problems = [
            'rule %s: this server has no mechanism %s; it has %s'
            % (rule.name, ", ".join(sorted(set(rule.mechanisms) - known)), ", ".join(self.dialect.mechanisms))
            for rule in desired.rules
            if isinstance(rule, AuthRule) and rule not in present and not set(rule.mechanisms) <= known
        ]
        if problems:
            raise PolicyError(*problems)

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

    def _check_effect(self, text: str, desired: Policy) -> None:
        """The new script must mean what was asked: another rule may override a basic setting behind it."""
        reader = rules.RuleReader(_parse_script(text), self.dialect)
        starttls, _notes = reader.starttls()
        for direction, (event, method) in rules.STARTTLS_PLACES.items():
            wanted = getattr(desired.starttls, direction)
            if wanted is not None and getattr(starttls, direction) != wanted:
                raise PolicyError(
                    "STARTTLS %s cannot be set to %s in %s: %s sets allowStartTLS behind it; change or remove that rule"
                    % (direction, "yes" if wanted else "no", method, reader.last_setter(event, "allowstarttls"))
                )

    # --- apply ----------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Write script and listeners and commit them together. Raises :class:`ServerError`.

        Whatever fails before the last COMMIT leaves the server as it was: pending changes are
        dropped with BACK, and a script that is active at upload (a server whose profile does not
        promise otherwise) is put back.
        """
        steps: _Steps = plan.native
        old = steps.before.native.script.text
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


def _overridden(before: Policy, desired: Policy) -> t.List[str]:
    """Authentication rules that this plan writes or moves and that a later rule makes ineffective."""
    rules_now = [rule for rule in desired.rules if isinstance(rule, AuthRule) and rule.enabled]
    same = before.rules == desired.rules
    deciding = {rule.connection: rule for rule in rules_now}
    return [
        "rule %s has no effect: rule %s stands behind it and decides about %s connections"
        % (rule.name, deciding[rule.connection].name, rule.connection)
        for rule in rules_now
        if not same and deciding[rule.connection] is not rule
    ]


def _parse_script(text: str) -> language.Script:
    try:
        return language.parse(text)
    except language.ScriptError as error:
        raise ProtocolError(
            "read the policy script",
            "line %d, column %d: %s" % (error.line, error.column, error.reason),
            "It is left as it is: nothing was written. Mend that line, or take the construct out of the script.",
        )
