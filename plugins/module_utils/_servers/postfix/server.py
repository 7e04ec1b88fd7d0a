# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Postfix: its policy is in main.cf, in the options of services in master.cf, and in lookup tables.

What is read is what Postfix says is in force, with all overrides and defaults (postconf(1)). A plan is new texts of these
files, made in memory. Before anything is written they are laid into a folder of their own, and read there by the same
code: a plan that does not read as what was asked for is refused.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._policy.address import sort_key
from ..._policy.errors import PolicyError
from ..._policy.policy import Policy, StartTls
from ..._policy.rule import ForcedTlsDomain, GeneralRule
from ..._policy.value import Value
from ..base import MailServer, NotSupported, Plan, Snapshot
from . import configuration, notes
from .configuration import MAIN, MASTER, OWN_FILES, Configuration, Draft, own_path
from .programs import Programs

NOTES = "notes.json"


class _Native(t.NamedTuple):
    """What was read: the configuration, and the policy in it under plain names, without what only notes say."""

    conf: Configuration
    bare: Policy
    notes: notes.Notes


class _Steps(Value):
    """What is to be written: contents by path (None: the file goes), from which state."""

    def __init__(self, before: Configuration, changes: t.Mapping[str, t.Optional[bytes]]) -> None:
        self.__dict__.update(before=before, changes=dict(changes))


def opened(
    config_directory: t.Optional[str],
    command_directory: t.Optional[str],
    timeout: float,
    writes: bool,
    allow_generated: bool,
) -> PostfixServer:
    """The Postfix with this configuration directory (None: the one that postconf names). Raises :class:`ServerError`."""
    programs = Programs(config_directory, command_directory, timeout)
    return PostfixServer(programs, writes, allow_generated)


class PostfixServer(MailServer):
    """One configuration directory. ``writes``: the task may change it, so that an interrupted change is brought to its end first."""

    kind = "postfix"
    parts = (MAIN, MASTER)

    def __init__(self, programs: Programs, writes: bool = False, allow_generated: bool = False) -> None:
        self.programs = programs
        self.directory = programs.config_directory
        self._writes = writes
        self._allow_generated = allow_generated
        self._outbound = False
        self._version = ""
        self._installation: t.Any = None

    @property
    def version(self) -> str:
        """What ``mail_version`` says, as ``3.7.11``."""
        if not self._version:
            self._version = self.programs.postconf("-h", "mail_version").lines[0].strip()
        return self._version

    def started(self, snapshot: Snapshot) -> t.Tuple[t.Dict[str, t.Optional[bool]], t.List[str]]:
        """Whether the master process runs: it starts all others."""
        running = self.installation.is_running()
        remarks = [] if running in (True, None) else ["Postfix is not running: nobody answers, whatever the policy is"]
        return {"receiving": running, "sending": running}, remarks

    def general(self, rule: t.Any) -> t.Optional[GeneralRule]:
        """Only general rules are said in conditions and actions here."""
        return rule if isinstance(rule, GeneralRule) else None

    @property
    def installation(self) -> t.Any:
        """What writes. Reading needs none of it."""
        if self._installation is None:
            from .writing import Installation

            self._installation = Installation(self.programs, self.directory)
        return self._installation

    # --- read -------------------------------------------------------------------------------------

    def read(self) -> Snapshot:
        """Everything that is in force. Raises :class:`ServerError`."""
        if self._writes:
            self.installation.finish_interrupted()
        conf = configuration.read(self.programs, self.directory)
        self._version = conf.version
        remarks: t.List[str] = []
        bare = read_policy(conf, remarks)
        from . import deprecated

        remarks += deprecated.notes(conf)
        noted = notes.parse(conf.own_text(NOTES), own_path(NOTES))
        files = {path.rpartition("/")[2]: configuration.text_of(content) for path, content in conf.files.items()}
        return Snapshot(
            replace(bare, rules=noted.named(bare.rules)),
            conf.token,
            tuple(remarks),
            _Native(conf, bare, noted),
            files=files,
        )

    def require(self, kind: t.Type[t.Any]) -> None:
        """Everything that can be held can be recognised."""

    def require_outbound(self) -> None:
        """Domains that mail is sent to are looked up in all tables that are asked before ours."""
        self._outbound = True

    # --- plan -------------------------------------------------------------------------------------

    def plan(self, snapshot: Snapshot, desired: Policy) -> Plan:
        """New texts, tried in a folder beside. Raises ``PolicyError`` and :class:`ServerError`; changes nothing."""
        if desired == snapshot.policy:
            return Plan(desired)
        from .settle import settled, unfulfilled

        native: _Native = snapshot.native
        desired = settled(snapshot.policy, desired, native.notes)
        if desired == snapshot.policy:
            return Plan(desired)
        from . import listener_edit

        desired, remarks = listener_edit.settled(snapshot.policy, desired)
        noted, told = notes.written(desired.rules)
        draft = Draft(native.conf)
        draft.warnings += remarks
        _write_rooms(draft, native.bare, replace(desired, rules=told))
        if noted != native.conf.own_text(NOTES):
            draft.table(NOTES, noted)
            if not draft.actions:
                draft.actions.append("note what rules are called, and which are off")
        changes = draft.changed_files()
        if not changes:
            problems = unfulfilled(snapshot.policy, desired, snapshot.policy)
            if problems:
                raise _cannot(problems)
            return Plan(snapshot.policy, warnings=tuple(draft.warnings))
        self._check_host(draft)
        found = self._tried(draft)
        problems = unfulfilled(snapshot.policy, desired, found)
        if problems:
            raise _cannot(problems)
        actions = draft.actions or ["change %s" % ", ".join(sorted(changes))]
        return Plan(found, tuple(actions), tuple(draft.warnings), _Steps(native.conf, changes))

    def _check_host(self, draft: Draft) -> None:
        """What stands against changing this host at all. Raises ``PolicyError``."""
        from . import deprecated, generated

        problems = list(draft.problems) + deprecated.contradictions(draft)
        problems += [
            "main.cf line %d: %s. The task would change %s, and that line with it; move it to the beginning of a line of its own, or take it away"
            % (problem.line, problem.text, problem.name)
            for problem in draft.base.main.problems
            if problem.swallowed and draft.main.get(problem.name) != draft.base.main.get(problem.name)
        ]
        signs = generated.managed_by(self.directory, draft.base.main)
        if signs.refuse and not self._allow_generated:
            problems.append(
                "%s is written by something else (%s): what is changed here it may write over. Change it there; "
                "allow_generated: true does it all the same" % (self.directory, "; ".join(signs.refuse))
            )
        draft.warnings += signs.warn
        if problems:
            raise PolicyError(*problems)

    def _tried(self, draft: Draft) -> Policy:
        """The policy as it reads in a copy of the configuration with the new texts."""
        with self.installation.side(draft) as directory:
            conf = configuration.read(self.programs, directory)
            bare = read_policy(conf, [])
            noted = notes.parse(conf.own_text(NOTES), own_path(NOTES))
        return replace(bare, rules=noted.named(bare.rules))

    # --- back to a former state -------------------------------------------------------------------

    def restore(self, snapshot: Snapshot, files: t.Mapping[str, str], exact: bool = True) -> Plan:
        """All files byte for byte."""
        native: _Native = snapshot.native
        changes: t.Dict[str, t.Optional[bytes]] = {}
        paths = [MAIN, MASTER, *map(own_path, OWN_FILES)]
        paths += [path for path in native.conf.files if path not in paths]
        for path in paths:
            text = files.get(path.rpartition("/")[2])
            wanted = None if text is None else configuration.bytes_of(text)
            if native.conf.files.get(path) != wanted:
                changes[path] = wanted
        actions = ["set back %s" % path for path in changes]
        # What these files mean is read when they are there.
        return Plan(snapshot.policy, tuple(actions), (), _Steps(native.conf, changes))

    def foreign(self, plan: Plan, snapshot: Snapshot) -> t.List[str]:
        """Files that are neither as they were nor as the plan has them."""
        steps: _Steps = plan.native
        now: t.Mapping[str, bytes] = snapshot.native.conf.files
        found = []
        for path in sorted({*now, *steps.before.files, *steps.changes}):
            content = now.get(path)
            known = [steps.before.files.get(path)]
            if path in steps.changes:
                known.append(steps.changes[path])
            if content not in known:
                found.append(path)
        return found

    def unproven(self, before: Policy, desired: Policy, asked: bool) -> t.Tuple[ForcedTlsDomain, ...]:
        """What Postfix calls encrypted is known."""
        return ()

    # --- apply ------------------------------------------------------------------------------------

    def begin(self, plan: Plan) -> None:
        """Take the lock and compare. Raises :class:`Conflict` and other :class:`ServerError`."""
        steps: _Steps = plan.native
        self.installation.begin(steps.before.files)

    def apply(self, plan: Plan) -> None:
        """Write all files, make Postfix read them, and see that it answers. Raises :class:`ServerError`."""
        steps: _Steps = plan.native
        self.installation.apply(steps.changes)

    def recover(self) -> None:
        """Bring an interrupted change to its end."""
        self.installation.finish_interrupted()

    def save(self) -> None:
        """Files are what survives a restart."""

    def close(self) -> None:
        """Give the lock back."""
        if self._installation is not None:
            self._installation.close()


def read_policy(conf: t.Any, remarks: t.List[str]) -> Policy:
    """What a configuration, or a draft of one, does, with rules under plain names. ``remarks`` get what could not be said."""
    from . import authentication, inbound, listeners, outbound, relay, submission
    from .slot import in_order

    found = tuple(sorted(listeners.read(conf, remarks), key=lambda listener: sort_key(listener.address)))
    rules = [
        *authentication.read(conf, remarks),
        *submission.read(conf, remarks),
        *inbound.read(conf, remarks),
        *relay.read(conf, remarks),
        *outbound.read(conf, remarks),
    ]
    starttls = StartTls(listeners.starttls(conf), relay.starttls(conf))
    return Policy(found, starttls, in_order(rules), relay.host(conf, remarks))


def _write_rooms(draft: Draft, before: Policy, desired: Policy) -> None:
    """Let every room write its part. Raises ``PolicyError`` with all problems, :class:`NotSupported` with all refusals."""
    from ..._policy.errors import Problems
    from ..base import together
    from . import authentication, inbound, listener_edit, outbound, relay, submission

    problems = Problems()
    refusals: t.List[NotSupported] = []
    # Listeners first: the others look at those that will be there.
    for room in (listener_edit, authentication, submission, inbound, relay, outbound):
        with problems.collecting():
            try:
                room.write(draft, before, desired)
            except NotSupported as refusal:
                refusals.append(refusal)
    if problems.found():
        raise PolicyError(*problems.found(), *map(str, refusals))
    if refusals:
        raise together(refusals)


def _cannot(problems: t.Sequence[str]) -> PolicyError:
    return PolicyError(*("Postfix would not do what is asked: %s" % problem for problem in problems))
