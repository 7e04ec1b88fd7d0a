# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault matrix: a task is recorded once, then run again with one harm to each of its steps in turn.

Nothing here names a command of a module. The steps are what a fault-free run did in front of a real server; the old and
the new state are what the server had before and after it.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sqlite3
import typing as t
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest

from fault_relay import CUT, HALF_CUT, HALF_STALLED, LOST, STALLED, TORN, TRAILED, FaultRelay, Step
from mta_process import PASSWORD, Mta, Result, call

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import config
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession

#: The usual time limit of a command in seconds.
PATIENT = 30.0
#: Harms that the client sees at once. Of others it may wait for the end.
_AT_ONCE = (CUT, LOST, TORN, HALF_CUT)
#: Limits where nothing but a time-out ends the harm: a first and a second try. A busy machine may miss a short one in
#: another step too; a case that looks bad is therefore tried again with a long one.
HURRIED = (0.25, 3.0)
#: The same where the server makes hashes of new passwords, which takes a while on purpose.
HURRIED_HASHES = (1.0, 5.0)

#: A piece of the admin password that stays the same however it is quoted; Ansible masks the whole only.
SECRET = PASSWORD[:5]

#: What a result's ``server_state`` says when the old state is there: None before anything was written.
_OLD = (None, "unchanged", "rolled back")
#: What a message says of accounts, which have transactions of their own and no way back.
_ADMITS = re.compile(r"not known whether|done before")
_READ_BACK = "read back what was written: "
#: Where the answer came and its content is wrong, the error says what was read and not how.
_MEANINGS = {
    "SHOW SmtpFilters": ("read the policy script", "upload the policy script"),
    "SHOW Config": "read the server's configuration",
}
_LEAVING = ("BACK", "COMMIT", "DONE")


@dataclass(frozen=True)
class State:
    """What a server has: ``saved`` comes back at a restart, ``running`` counts now. Texts are hashed."""

    saved: tuple[str, ...]
    running: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One module call. ``secrets`` are pieces of passwords, which may be seen nowhere.

    ``undo`` brings the old accounts back, which are no part of the configuration. ``staged`` says that the task is
    several transactions: between them it may stop, when it says what is done.
    """

    module: str
    parameters: t.Mapping[str, t.Any] = field(repr=False)
    secrets: tuple[str, ...] = ()
    undo: t.Optional[Task] = None
    staged: bool = False


INFO = Task("smtp_info", {})


@dataclass
class Recording:
    """What a fault-free run did: its steps, the states before and behind it, and those between its transactions."""

    task: Task
    steps: list[Step]
    before: State
    after: State
    between: set[State]
    proved: set[State] = field(default_factory=set)


class Bench:
    """One server for many cases: looks at its state past all relays, and brings the old one back.

    ``connection`` are options of every task. ``at_once``: a script counts, and is on disk, when it was uploaded.
    """

    FILES = ("postern.cfg", "filters/smtpFilters.script")

    def __init__(self, mta: Mta, at_once: bool = False, **connection: t.Any) -> None:
        self.tasks: dict[str, Task] = {}
        self._mta = mta
        self._at_once = at_once
        self._connection = connection
        self._session: t.Optional[AdminSession] = None
        self._kept: dict[str, bytes] = {}
        self._listeners: list[dict[str, t.Any]] = []
        self._hashes: set[str] = set()
        self._before = State((), ())
        self._recordings: dict[int, Recording] = {}

    def run(self, task: Task, port: int = 0, timeout: float = PATIENT) -> Result:
        """The task as Ansible runs it, against the server or against a relay before it."""
        options = {"admin_port": port or self._mta.port, "admin_password": PASSWORD, "admin_timeout": timeout}
        if task.module not in ("smtp_info", "smtp_dialect", "smtp_account"):
            options["backup"] = False
        return call(task.module, self._connection | options | dict(task.parameters), check=False)

    def must(self, task: Task) -> Result:
        """The task against the server, which must succeed."""
        result = self.run(task)
        assert not result.get("failed"), result
        return result

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    # --- state ------------------------------------------------------------------------------------

    def state(self) -> State:
        """What the server has now."""
        tree, script = ((self._mta.state / name).read_bytes() for name in self.FILES)
        saved = (_tree(tree.decode("utf-8", "surrogateescape")), _digest(script), *self._accounts())
        return State(saved, self._running())

    def _accounts(self) -> t.Iterator[str]:
        """Domains and accounts, and whether their passwords are the old ones: they have their own storage."""
        for name, password in self._stored():
            yield name if password in self._hashes else name + " (other password)"

    def _stored(self) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self._mta.state / "directory.sqlite3")) as directory:
            accounts = directory.execute("SELECT local || '@' || domain, scrypt FROM accounts")
            return sorted([*directory.execute("SELECT name, '' FROM domains"), *accounts])

    def _running(self) -> tuple[str, str]:
        session = self._logged_in()
        session.enter("CONFIG", "SERVER")
        script = session.command("SHOW", "SmtpFilters").text
        tree = session.command("SHOW", "Config").text
        session.leave("BACK")
        return _tree(tree), _digest(script.encode("utf-8", "surrogateescape"))

    def _logged_in(self) -> AdminSession:
        if self._session is None:
            self._session = AdminSession("127.0.0.1", self._mta.port, timeout=PATIENT)
            self._session.login("admin", PASSWORD)
        return self._session

    def keep(self) -> None:
        """Remember what is saved now as the state that :meth:`go_back` brings back."""
        self._kept = {name: (self._mta.state / name).read_bytes() for name in self.FILES}
        self._listeners = self.must(INFO)["policy"]["listeners"]
        self._hashes = {"", *(password for _name, password in self._stored())}
        self._before = self.state()

    def go_back(self, undo: t.Optional[Task] = None) -> None:
        """Bring the kept state back: quickly over the admin interface, or else with a new start."""
        if self.state() == self._before:
            return
        if undo is not None:
            self.must(undo)
            self._hashes |= {password for _name, password in self._stored()}
        state = self.state()
        if state == self._before:
            return
        self._restore(listeners=any(now[0] != old[0] for now, old in zip(_parts(state), _parts(self._before))))
        if self.state() != self._before:
            self.close()
            self._mta.stop()
            for name, content in self._kept.items():
                (self._mta.state / name).write_bytes(content)
            self._mta.start()
        assert self.state() == self._before

    def _restore(self, listeners: bool) -> None:
        """The old script as it was, and the listeners made anew."""
        if listeners:
            self._restore_listeners()
        session = self._logged_in()
        session.enter("CONFIG", "SERVER")
        session.upload("UPDATE", "SmtpFilters", text=self._kept[self.FILES[1]].decode("utf-8", "surrogateescape"))
        session.leave("COMMIT")
        session.command("SAVE", "CONFIG")

    def _restore_listeners(self) -> None:
        """All of them, so that they stand in the same order as before."""
        found = self.must(INFO)["policy"]["listeners"]
        gone = [{"address": listener["address"], "state": "absent"} for listener in found]
        for listeners in filter(None, (gone, self._listeners)):
            self.must(Task("smtp_policy", {"listeners": listeners}))

    # --- recordings -------------------------------------------------------------------------------

    def recording(self, task: Task) -> Recording:
        """A fault-free run of the task, made once; the old state is back behind it."""
        if id(task) not in self._recordings:
            self._recordings[id(task)] = self._record(task)
        return self._recordings[id(task)]

    def _record(self, task: Task) -> Recording:
        self.go_back()
        before = self._before
        seen: set[State] = set()
        with FaultRelay(self._mta.port, watch=(lambda: seen.add(self.state())) if task.staged else None) as relay:
            result = self.run(task, relay.port)
        assert not result.get("failed"), result
        recording = Recording(task, relay.steps, before, self.state(), seen)
        if recording.after != before:
            assert result["changed"] is True
            assert task.undo is not None or self.must(task)["changed"] is False
            self.go_back(recording.task.undo)
        return recording

    # --- cases ------------------------------------------------------------------------------------

    def problems(
        self, recording: Recording, harm: str, lasting: bool, beside: t.Optional[Recording] = None
    ) -> list[str]:
        """What goes wrong when this harm comes to each step of the task in turn.

        ``lasting``: where the client fails and has something to undo, the same once more with a harm that lasts.
        Steps that ``beside`` has too, in a context of the same name, are left out.
        """
        found = []
        known = {_likeness(step) for step in beside.steps} if beside else set()
        steps = [step for step in recording.steps if _likeness(step) not in known]
        assert steps
        for step in steps:
            for one in _variants(step, harm):
                wrong, recovers = self._case(recording, step, one, lasting=False)
                found += wrong
                if recovers and lasting:
                    found += self._case(recording, step, one, lasting=True)[0]
        return found

    def _case(self, recording: Recording, step: Step, harm: str, lasting: bool) -> tuple[list[str], bool]:
        """What goes wrong in one case, and whether the client failed and asked the server for something after that."""
        limits = HURRIED if recording.task.undo is None else HURRIED_HASHES
        for timeout in (PATIENT,) if harm in _AT_ONCE else limits:
            with FaultRelay(self._mta.port, step.number, harm, lasting) as relay:
                result = self.run(recording.task, relay.port, timeout)
            state = self.state()
            # What the client can do without, or overlooks in time, is seen at the next step.
            harmed = [step, *relay.later[:1 if lasting or harm == TRAILED else 0]]
            wrong = list(_judge(recording, harmed, lasting, lasting and self._at_once, result, state))
            if relay.struck is None:
                wrong.append("the run did not come to this step: %s" % result.get("msg"))
            elif (relay.struck.kind, relay.struck.sent) != (step.kind, step.sent):
                wrong.append("the run made another step: %s" % (relay.struck.line or relay.struck.kind))
            if state != recording.before:
                wrong += self._converges(recording, state, result.get("msg", ""))
                self.go_back(recording.task.undo)
            if not wrong:
                break
        name = "step %d (%s) %s%s: " % (step.number, _name(step), harm, " and so on" if lasting else "")
        return [name + problem for problem in wrong], bool(result.get("failed") and relay.later)

    def _converges(self, recording: Recording, state: State, message: str) -> t.Iterator[str]:
        """With the fault gone the same task leads to the new state, and then changes nothing. Once for each state.

        A task that finds in force what it wants saves nothing: that it was not saved is what the error must have said.
        """
        if state in recording.proved or state == recording.after:
            return
        result = self.run(recording.task)
        now = self.state()
        if result.get("failed") or now.running != recording.after.running:
            yield "the same task does not converge: %s" % result.get("msg", "another state")
        elif now.saved != recording.after.saved and "SAVE CONFIG" not in message:
            yield "nobody says that the new state must be saved: %s" % message
        elif recording.task.undo is None and self.must(recording.task)["changed"]:
            yield "the same task changes something again"
        else:
            recording.proved.add(state)


def _parts(state: State) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return state.saved, state.running


@functools.lru_cache
def _tree(text: str) -> str:
    """A configuration tree, less the order of its listeners, which means nothing."""
    return _digest(repr(_plain(config.parse(text))).encode("utf-8", "surrogateescape"))


def _plain(value: t.Any, name: str = "") -> t.Any:
    if isinstance(value, Mapping):
        return {key: _plain(item, key) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        return sorted(items, key=lambda item: item["address"]) if name == "listeners" else items
    return value


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _variants(step: Step, harm: str) -> tuple[str, ...]:
    """The harm, and in the body of an upload also the same in the middle."""
    if step.kind == "body":
        return {CUT: (CUT, HALF_CUT), STALLED: (STALLED, HALF_STALLED)}.get(harm, (harm,))
    return (harm,)


def _judge(
    recording: Recording, harmed: list[Step], lasting: bool, torn: bool, result: Result, state: State
) -> t.Iterator[str]:
    """What is wrong. ``torn``: a mixture may be left where nobody can undo anything any more, if the error says so."""
    before, after = recording.before, recording.after
    failed, message = result.get("failed", False), result.get("msg", "")
    left = "%s: %s" % (_where(recording, state), message)
    accounts = recording.task.undo is not None
    admitted = failed and bool(_ADMITS.search(message) if accounts else result.get("server_state") not in _OLD)
    if not (admitted and (torn or state in recording.between)):
        for part, old, new in zip(_parts(state), _parts(before), _parts(after)):
            if part not in (old, new):
                yield "a mixture is left, %s" % left
    if not failed:
        if state != after:
            yield "success, and left is %s" % left
        if result["changed"] is not (before != after):
            yield "success, and changed is %s" % result["changed"]
    else:
        operation = result.get("operation", "")
        if operation not in message or not any(_is_named(recording.steps, step, operation) for step in harmed):
            yield "the error names %r: %s" % (operation, message)
        if state != before and not admitted:
            yield "the error says that the old state is there, and left is %s" % left
        if not lasting and not accounts and result.get("server_state") not in _OLD:
            yield "the old state was not brought back, %s" % left
    if any(secret in _texts(result) for secret in (SECRET, *recording.task.secrets)):
        yield "a secret is in the result"


def _where(recording: Recording, state: State) -> str:
    """What of a state is old and what is new: script and configuration, saved and running."""
    before, after = recording.before, recording.after
    return "; ".join(
        "%s: %s" % (name, ", ".join("old" if x == old else "new" if x == new else "other" for x, old, new in parts))
        for name, parts in (
            ("saved configuration, script, accounts", zip_longest(state.saved, before.saved, after.saved)),
            ("running configuration, script", zip_longest(state.running, before.running, after.running)),
        )
    )


def _texts(result: t.Any) -> str:
    """All texts of a result as they are, not as JSON writes them."""
    if isinstance(result, dict):
        return "\n".join(_texts(item) for pair in result.items() for item in pair)
    if isinstance(result, (list, tuple)):
        return "\n".join(map(_texts, result))
    return str(result)


# --- names of steps -------------------------------------------------------------------------------


def _likeness(step: Step) -> tuple[str, ...]:
    """What two steps have in common when the same code sends them: where they stand, and verb and object."""
    return (step.kind, step.prompt, *step.line.split(" ")[:2])


def _name(step: Step) -> str:
    return step.line or step.kind


def _is_named(steps: list[Step], step: Step, operation: str) -> bool:
    if step.kind == "body":
        return _is_named(steps, steps[step.number - 1], operation)
    if step.kind == "connect":
        return operation.startswith(("wait for the login prompt of 127.0.0.1:", "connect to the admin interface at"))
    if step.kind == "password" or step.line.startswith("USER "):
        return operation.startswith("log in to 127.0.0.1:")
    if operation.endswith(_MEANINGS.get(step.line, ())):
        return True
    words = " ".join(step.line.split(" ")[:2])
    objects = [" in " + edited for edited in _edited(steps, step)]
    return operation.removeprefix(_READ_BACK).startswith(words) and all(edited in operation for edited in objects)


def _edited(steps: list[Step], step: Step) -> list[str]:
    """The objects whose contexts a step is in, from the prompts on the way there: ``Listener 127.0.0.1:25``."""
    entered: list[tuple[str, list[str]]] = []
    for before, now in zip(steps, steps[1:step.number + 1]):
        if before.kind != "command" or before.prompt == now.prompt:
            continue
        if before.line in _LEAVING:
            entered.pop()
        else:
            entered.append((now.prompt, before.line.split(" ")))
    objects = [words[1:] for _prompt, words in entered if words[2:]]
    return [" ".join([word for word in words if word not in ("address", "name")][:2]) for words in objects]
