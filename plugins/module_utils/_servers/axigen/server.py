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

from ..._policy.address import listener_address, sort_key
from ..._policy.errors import PolicyError
from ..._policy.policy import TLS_FIELDS, Listener, Policy
from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain, ForcedTlsGroup, GeneralRule
from ..._policy.value import Value
from ..base import Conflict, MailServer, Plan, ProtocolError, ReadBackError, ServerError, Snapshot
from . import capability, config, listeners, rules
from . import script as language
from .cli import AdminSession

#: Names of what a snapshot's ``files`` hold: the policy script, and the configuration as SHOW Config prints it.
SCRIPT_FILE = "smtpFilters.script"
CONFIG_FILE = "server.cfg"


@dataclass(init=False, repr=False, eq=False)
class _Native(Value):
    """What was read, in the server's own form.

    ``sections`` are the listeners of the configuration by canonical address. ``spellings``: for each listener what
    ``listeners.spellings`` says.
    """

    reader: rules.RuleReader
    sections: t.Mapping[str, t.Any] = field(repr=False)
    spellings: t.Mapping[str, t.Mapping[str, str]]


@dataclass(init=False, repr=False, eq=False)
class _Steps(Value):
    """What is to be written, in the server's own form. ``script`` is None when it stays as it is.

    ``send`` enters one of the ``changes``.
    """

    before: Snapshot
    script: t.Optional[str] = field(repr=False)  # may hold the password of a relay host
    changes: t.Tuple[t.Any, ...]
    send: t.Callable[[AdminSession, t.Any, t.Mapping[str, str]], None] = listeners.send


class AxigenServer(MailServer):
    """One admin session, logged in. ``local`` says that the server's files can be looked at from here.

    ``reconnect`` opens another session, for the way back when the first one broke.
    """

    def __init__(
        self, session: AdminSession, dialect: t.Any, local: bool, reconnect: t.Callable[[], AdminSession]
    ) -> None:
        self.session = session
        self.dialect = dialect
        self.local = local
        self._reconnect = reconnect
        self._with_domains = False
        # Of the script that was read last and the one that was planned last: what is read again is mostly one of them.
        self._readers: t.List[rules.RuleReader] = []

    parts = (SCRIPT_FILE, CONFIG_FILE)

    @property
    def kind(self) -> str:
        """The name of the dialect profile."""
        return self.dialect.name

    @property
    def keeps_backups(self) -> bool:
        """Where it is known what the server does a backup is an offer; elsewhere it is the rule."""
        return self.dialect.name != "postern"

    @property
    def version(self) -> str:
        """What the server said when the session began."""
        return self.session.version

    def started(self, snapshot: Snapshot) -> t.Tuple[t.Dict[str, t.Optional[bool]], t.List[str]]:
        """Whether the services of SMTP are among those that the server starts."""
        from . import services

        found = services.started(snapshot.files[CONFIG_FILE])
        return found, services.notes(found)

    def general(self, rule: t.Any) -> t.Optional[GeneralRule]:
        """The rule as conditions and actions of the policy script."""
        from .general_forms import view

        return view(rule, self.dialect)

    # --- read -----------------------------------------------------------------------------------

    def read(self) -> Snapshot:
        """Script and configuration tree in one visit. Raises :class:`ServerError`."""
        self.session.enter("CONFIG", "SERVER")
        snapshot = self._read_here()
        self.session.leave("BACK")
        return snapshot

    def _domains(self) -> t.FrozenSet[str]:
        # Few tasks need them, and a module's code is compiled anew in each of them.
        from .accounts import AccountStore

        return AccountStore(self.session).domains()

    def _read_here(self) -> Snapshot:
        text = self.session.command("SHOW", "SmtpFilters").text
        return self._snapshot(text, self.session.command("SHOW", "Config").text)

    def _snapshot(self, text: str, tree: str) -> Snapshot:
        sections = _listener_sections(tree)
        found, spellings = self._listeners(sections)
        reader = self._reader(text)
        starttls, notes = reader.starttls()
        relay, relay_notes = reader.relay()
        policy = Policy(listeners=found, starttls=starttls, rules=reader.rules(), relay=relay)
        digest = hashlib.sha256(language.one_line_end(text).encode("utf-8", "surrogateescape"))
        digest.update(repr(found).encode("utf-8", "surrogateescape"))
        token = digest.hexdigest()
        notes += relay_notes + tuple(
            "%s stands twice in the policy script; the server's choice decides" % name
            for name in ["event " + name for name in reader.script.duplicate_events]
            + ["method " + name for name in reader.script.duplicate_methods]
        )
        native = _Native(reader, sections, spellings)
        files = {SCRIPT_FILE: text, CONFIG_FILE: tree}
        return Snapshot(policy, token, notes, native, self._rule_notes(), files)

    def _reader(self, text: str) -> rules.RuleReader:
        """Reads a script, unless this very text was read before. Raises :class:`ProtocolError`."""
        for reader in self._readers:
            if reader.script.text == text:
                return reader
        reader = rules.RuleReader(_parse_script(text), self.dialect)
        self._keep(reader)
        return reader

    def _keep(self, reader: rules.RuleReader) -> None:
        self._readers = [reader, *self._readers[:1]]

    def _listeners(
        self, sections: t.Mapping[str, t.Any]
    ) -> t.Tuple[t.Tuple[Listener, ...], t.Dict[str, t.Dict[str, str]]]:
        found, spellings = [], {}
        try:
            for address, section in sections.items():
                found.append(listeners.read_listener(section, self.dialect))
                spellings[address] = listeners.spellings(section)
        except _UNREADABLE as error:
            raise _unreadable(error)
        return tuple(sorted(found, key=lambda listener: sort_key(listener.address))), spellings

    def _rule_notes(self) -> t.Tuple[str, ...]:
        dialect = self.dialect
        unknown = []
        if None in (dialect.plain_auth_var, dialect.tls_auth_var, dialect.auth_none):
            unknown.append("authentication rules")
        if dialect.rcpt_domain_var is None:
            unknown.append("forced-TLS domains")
        if not unknown:
            return ()
        if dialect.relay.ssl is None:
            unknown.append("TLS that is required for mail that goes out")
        return (
            'dialect profile "%s" is unverified: some names are not known, and %s cannot be recognised. The playbook '
            "securemail.smtp.learn finds them (dialect_profile)" % (dialect.name, ", ".join(unknown)),
        )

    def require(self, kind: t.Type[t.Any]) -> None:
        """Refuse tasks about forced-TLS domains where the script's name for the recipient's domain is not known."""
        if kind is ForcedTlsDomain and self.dialect.rcpt_domain_var is None:
            from .refusals import unknown_name

            raise unknown_name(
                "manage forced-TLS domains", "the domain of the recipient", self.dialect, "recipient_domain_variable"
            )

    def require_outbound(self) -> None:
        """Look at the server's own domains too; refuse where rules for domains of outgoing mail cannot be recognised."""
        if None in (self.dialect.relay.domain_var, self.dialect.relay.level_var, self.dialect.relay.match_var):
            from .refusals import check_outbound

            check_outbound("manage forced-TLS domains of mail that goes out", self.dialect)
        self._with_domains = True

    # --- plan -----------------------------------------------------------------------------------

    def plan(self, snapshot: Snapshot, desired: Policy) -> Plan:
        """Script text and listener changes. Raises ``PolicyError`` or :class:`ServerError`; sends reading verbs only."""
        desired = replace(
            desired, listeners=tuple(listeners.without_certificate(listener) for listener in desired.listeners)
        )
        before = snapshot.policy
        general = {rule.name.lower() for rule in desired.rules if isinstance(rule, GeneralRule)}
        if general and before.rules != desired.rules:
            from .general_forms import settled

            desired = settled(before, desired, self.dialect)
        listeners.check_ranges(desired.listeners)
        native: _Native = snapshot.native
        # Who changes no rule needs no list of domains.
        own = self._domains() if self._with_domains and desired.rules != before.rules else frozenset()
        capability.check(before, desired, self.dialect, own)
        changes = tuple(listeners.changes(before.listeners, desired.listeners, self.dialect))
        warnings = self._check_files(desired, changes) if changes else []
        desired, script, actions, effects = self._plan_script(native.reader, before, desired, general)
        if changes:
            self._check_offers(changes, native.spellings)
        steps = _Steps(snapshot, script, changes)
        actions += [change.describe() for change in changes]
        return Plan(desired, tuple(actions), tuple(warnings + effects), steps)

    def _plan_script(
        self, reader: rules.RuleReader, before: Policy, desired: Policy, general: t.Collection[str]
    ) -> t.Tuple[Policy, t.Optional[str], t.List[str], t.List[str]]:
        """The desired policy as it can be, the new script (None: as it is), actions and warnings.

        ``general`` as for ``rule_edit.edit_rules``.
        """
        if (before.rules, before.starttls, before.relay) == (desired.rules, desired.starttls, desired.relay):
            return desired, None, [], []
        # Most runs change nothing, and a module's code is compiled anew in each of them.
        from . import effect, rule_edit

        edited = rule_edit.edit_rules(reader, before, desired, general)
        changed = rules.RuleReader(edited.script, self.dialect)
        self._keep(changed)
        effect.check(changed, before, edited.desired, reader)
        script = None if edited.script.text == reader.script.text else edited.script.text
        warnings = edited.warnings + effect.warnings(changed, before, edited.desired)
        return edited.desired, script, edited.actions, warnings

    def _check_offers(
        self,
        changes: t.Sequence[listeners.ListenerChange],
        spellings: t.Mapping[str, t.Mapping[str, str]],
    ) -> None:
        """Refuse what the server's own HELP does not name."""
        # Most runs change nothing, and a module's code is compiled anew in each of them.
        from . import offers

        problems = offers.check(self.session, changes, spellings)
        if problems:
            raise PolicyError(*problems)

    def _check_files(self, desired: Policy, changes: t.Sequence[t.Any]) -> t.List[str]:
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

    # --- back to a former state -----------------------------------------------------------------

    def restore(self, snapshot: Snapshot, files: t.Mapping[str, str], exact: bool = True) -> Plan:
        """The policy script byte for byte, and every attribute of the listeners. Raises :class:`ProtocolError`."""
        from . import former

        native: _Native = snapshot.native
        goal = self._snapshot(files[SCRIPT_FILE], files[CONFIG_FILE])
        there: _Native = goal.native
        text = there.reader.script.text
        script = None if language.equal_but_line_ends(native.reader.script.text, text) else text
        changes = tuple(former.changes(native.sections, there.sections, self.dialect, exact))
        actions = [] if script is None else ["set back the policy script"]
        actions += [change.describe() for change in changes]
        warnings = former.ignored(native.sections, there.sections, exact)
        if changes and not exact:
            try:
                warnings += self._check_files(goal.policy, changes)
            except PolicyError as error:
                # The server had them, and judges them once more.
                warnings += error.problems
        return Plan(goal.policy, tuple(actions), tuple(warnings), _Steps(snapshot, script, changes, former.send))

    def foreign(self, plan: Plan, snapshot: Snapshot) -> t.List[str]:
        """The policy script when it is neither the old nor the new one, and listeners with other changes than ours."""
        from . import former

        steps: _Steps = plan.native
        before: _Native = steps.before.native
        now: _Native = snapshot.native
        texts = [before.reader.script.text] + ([] if steps.script is None else [steps.script])
        ours = any(language.equal_but_line_ends(now.reader.script.text, text) for text in texts)
        found = [] if ours else ["the policy script"]
        return found + former.foreign(now.sections, before.sections, steps.changes, self.dialect)

    def unproven(self, before: Policy, desired: Policy, asked: bool) -> t.Tuple[ForcedTlsDomain, ...]:
        """Enabled rules for mail that comes in, where isSSLConnection may or may not be yes after STARTTLS."""
        known = self.dialect.ssl_after_starttls is not None
        if (known and not asked) or before.rules == desired.rules:
            return ()
        present = set(before.rules)
        new = [rule for rule in desired.rules if rule.event == "rcpt" and rule.enabled and rule not in present]
        return tuple(tried for tried in map(_tried, new) if tried is not None)

    # --- apply ----------------------------------------------------------------------------------

    def begin(self, plan: Plan) -> None:
        """Enter the server context and compare. Raises :class:`Conflict` and other :class:`ServerError`."""
        steps: _Steps = plan.native
        try:
            self.session.enter("CONFIG", "SERVER")
            if not self._is_still(steps.before):
                raise Conflict("change the server", "its configuration changed since it was read", "Run the task again.")
        except ServerError:
            try:
                self.session.back_to_root()
            except ServerError:
                self.session.close()
            raise

    def _is_still(self, before: Snapshot) -> bool:
        """Whether script and configuration are what they were. Equal texts say the same; others have to be read."""
        text = self.session.command("SHOW", "SmtpFilters").text
        tree = self.session.command("SHOW", "Config").text
        if (text, tree) == (before.files[SCRIPT_FILE], before.files[CONFIG_FILE]):
            return True
        return self._snapshot(text, tree).token == before.token

    def apply(self, plan: Plan) -> None:
        """Write script and listeners and commit them together. Raises :class:`ServerError`.

        Before the last COMMIT BACK drops what is pending, with two exceptions: a script may be active as soon as it is
        uploaded, and a listener when its own COMMIT is done, on a server whose profile does not promise otherwise.
        """
        steps: _Steps = plan.native
        if steps.script is not None:
            self._upload(steps.script)
        if steps.changes:
            self.session.enter("CONFIG", "SMTP-INCOMING")
            for change in steps.changes:
                steps.send(self.session, change, steps.before.native.spellings.get(change.address, {}))
            self.session.leave("COMMIT")
        self.session.leave("COMMIT")

    def _upload(self, text: str) -> None:
        self.session.upload("UPDATE", "SmtpFilters", text=text)
        stored = self.session.command("SHOW", "SmtpFilters").text
        if not language.equal_but_line_ends(stored, text):
            raise ReadBackError("upload the policy script", "the server shows another text than it was given")

    def recover(self) -> None:
        """BACK to the root context; another session when this one is broken or stays unclear."""
        if not self.session.closed:
            try:
                self.session.back_to_root()
                return
            except ServerError:
                # The end of a session drops what is pending in it.
                self.session.close()
        self.session = self._reconnect()

    def save(self) -> None:
        """``SAVE CONFIG`` at the root context."""
        self.session.command("SAVE", "CONFIG")

    def close(self) -> None:
        """End the session."""
        self.session.close()


def _tried(rule: t.Any) -> t.Optional[ForcedTlsDomain]:
    """A rule as one for a domain of which a look from outside tells something; None for what refuses nobody."""
    if isinstance(rule, ForcedTlsGroup):
        return next(rule.members())
    if not isinstance(rule, ForcedTlsDomain) or not rule.forces:
        return None
    # Nobody has a domain like these (RFC 6761 section 6.4), and the rule is about it all the same.
    if rule.domain.startswith("."):
        return replace(rule, domain="starttls-sample" + rule.domain)
    return replace(rule, domain="starttls-sample.invalid") if rule.domain == EVERY_DOMAIN else rule


#: What reading a configuration raises that is in the syntax, and means something else than it should.
_UNREADABLE = (config.ConfigError, PolicyError, KeyError, AttributeError, TypeError, ValueError)


def _listener_sections(tree: str) -> t.Dict[str, t.Any]:
    """The SMTP listeners of a configuration by canonical address. Raises :class:`ProtocolError`."""
    try:
        server = config.parse(tree)
        server = server.get("server", server)
        found = server.get("smtpIncoming", {}).get("listeners", ())
        return {listener_address(str(section["address"])): section for section in found}
    except _UNREADABLE as error:
        raise _unreadable(error)


def _unreadable(error: Exception) -> ProtocolError:
    said = "a listener without %s" % error if isinstance(error, KeyError) else str(error)
    return ProtocolError("read the server's configuration", said, "Nothing was changed.")


def _parse_script(text: str) -> language.Script:
    try:
        return language.parse(text)
    except language.ScriptError as error:
        raise ProtocolError(
            "read the policy script",
            "line %d, column %d: %s" % (error.line, error.column, error.reason),
            "It is left as it is: nothing was written. Mend that line, or take the construct out of the script.",
        )
