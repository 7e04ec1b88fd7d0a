# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault matrix: a task is recorded once, then run again with one harm to each of its steps in turn.

Nothing here names a command of a module. The steps are what a fault-free run did in front of a real server; the old and
the new state are what the server had before and after it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import typing as t
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

from fault_relay import CUT, HALF_CUT, HALF_STALLED, REFUSED, STALLED, TRAILED, FaultRelay, Step
from mta_process import PASSWORD, Mta, Result, call

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import config
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession

#: Time limits of a command, in seconds: for most cases, and for the second try. A harm that only a time-out ends takes as
#: long as the limit. A busy machine may miss a short limit in another step too; a case that looks bad is therefore tried
#: again with a long one.
QUICK, PATIENT = 0.25, 3.0

#: What a message must say when a failure left something other than the old state.
_ADMITS = re.compile(r"could not be|not known|not saved|done before", re.I)
_READ_BACK = "read back what was written: "
#: Where the answer came and its content is wrong, the error says what was read and not how.
_MEANINGS = {
    "SHOW SmtpFilters": ("read the policy script", "upload the policy script"),
    "SHOW Config": "read the server's configuration",
}
_LEAVING = ("BACK", "COMMIT", "DONE")


@dataclass(frozen=True)
class State:
    """What a server has: ``saved`` comes back at a restart, ``running`` counts now. Texts are hashed, they hold secrets."""

    saved: tuple[str, ...]
    running: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One module call; ``secrets`` may be seen nowhere.

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

    ``connection``: options of every task.
    """

    FILES = ("postern.cfg", "filters/smtpFilters.script")

    def __init__(self, mta: Mta, **connection: t.Any) -> None:
        self._mta = mta
        self._connection = connection
        self._session: t.Optional[AdminSession] = None
        self._kept: dict[str, bytes] = {}
        self._listeners: list[dict[str, t.Any]] = []
        self._hashes: set[str] = set()
        self._recordings: dict[int, Recording] = {}

    def run(self, task: Task, port: int = 0, timeout: float = PATIENT) -> Result:
        """The task as Ansible runs it, against the server or against a relay before it."""
        connection = {"admin_port": port or self._mta.port, "admin_password": PASSWORD, "admin_timeout": timeout}
        return call(task.module, self._connection | connection | dict(task.parameters), check=False)

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
            rows = directory.execute("SELECT name, '' FROM domains UNION SELECT local || '@' || domain, scrypt FROM accounts")
            return sorted(rows)

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
        """Remember what is saved now as the state that :meth:`reset` brings back."""
        self._kept = {name: (self._mta.state / name).read_bytes() for name in self.FILES}
        self._listeners = self.must(INFO)["policy"]["listeners"]
        self._hashes = {"", *(password for _name, password in self._stored())}

    def reset(self, recording: Recording) -> None:
        """Bring the kept state back: quickly over the admin interface, or else with a new start."""
        if recording.task.undo is not None:
            self.must(recording.task.undo)
            self._hashes |= {password for _name, password in self._stored()}
        state = self.state()
        if state == recording.before:
            return
        self._restore(listeners=(state.saved[0], state.running[0]) != (recording.before.saved[0], recording.before.running[0]))
        if self.state() != recording.before:
            self.close()
            self._mta.stop()
            for name, content in self._kept.items():
                (self._mta.state / name).write_bytes(content)
            self._mta.start()
        assert self.state() == recording.before

    def _restore(self, listeners: bool) -> None:
        """The old script as it was, and the listeners that differ made anew."""
        if listeners:
            self._restore_listeners()
        session = self._logged_in()
        session.enter("CONFIG", "SERVER")
        session.upload("UPDATE", "SmtpFilters", text=self._kept[self.FILES[1]].decode("utf-8", "surrogateescape"))
        session.leave("COMMIT")
        session.command("SAVE", "CONFIG")

    def _restore_listeners(self) -> None:
        known = {listener["address"]: listener for listener in self._listeners}
        found = {listener["address"]: listener for listener in self.must(INFO)["policy"]["listeners"]}
        differing = [address for address in known.keys() | found.keys() if known.get(address) != found.get(address)]
        gone = [{"address": address, "state": "absent"} for address in differing if address in found]
        made = [known[address] for address in differing if address in known]
        for listeners in filter(None, (gone, made)):
            self.must(Task("smtp_policy", {"listeners": listeners}))

    # --- recordings -------------------------------------------------------------------------------

    def recording(self, task: Task) -> Recording:
        """A fault-free run of the task, made once; the old state is back behind it."""
        if id(task) not in self._recordings:
            self._recordings[id(task)] = self._record(task)
        return self._recordings[id(task)]

    def _record(self, task: Task) -> Recording:
        before = self.state()
        seen: set[State] = set()
        with FaultRelay(self._mta.port, watch=(lambda: seen.add(self.state())) if task.staged else None) as relay:
            result = self.run(task, relay.port)
        assert not result.get("failed"), result
        recording = Recording(task, relay.steps, before, self.state(), seen)
        if recording.after != before:
            assert result["changed"] is True
            assert task.undo is not None or self.must(task)["changed"] is False
            self.reset(recording)
        return recording

    # --- cases ------------------------------------------------------------------------------------

    def problems(self, recording: Recording, harm: str, lasting: bool) -> list[str]:
        """What goes wrong when this harm comes to each step of the task in turn.

        ``lasting``: where the client fails and has something to undo, the same once more with a harm that lasts.
        """
        found = []
        for step in recording.steps:
            for one in _variants(step, harm):
                wrong, recovers = self._case(recording, step, one, lasting=False)
                found += wrong
                if recovers and lasting:
                    found += self._case(recording, step, one, lasting=True)[0]
        return found

    def _case(self, recording: Recording, step: Step, harm: str, lasting: bool) -> tuple[list[str], bool]:
        """What goes wrong in one case, and whether the client failed and asked the server for something after that."""
        for timeout in (QUICK, PATIENT):
            with FaultRelay(self._mta.port, step.number, harm, lasting) as relay:
                result = self.run(recording.task, relay.port, timeout)
            state = self.state()
            # What the client can do without, or overlooks in time, is seen at the next step.
            harmed = [step, *relay.later[:1 if lasting or harm == TRAILED else 0]]
            wrong = list(_judge(recording, harmed, lasting, result, state))
            if relay.struck is None:
                wrong.append("the run did not come to this step: %s" % result.get("msg"))
            elif (relay.struck.kind, relay.struck.sent) != (step.kind, step.sent):
                wrong.append("the run made another step: %s" % (relay.struck.line or relay.struck.kind))
            if state != recording.before:
                wrong += self._converges(recording, state)
                self.reset(recording)
            if not wrong:
                break
        name = "step %d (%s) %s%s: " % (step.number, _name(step), harm, " and so on" if lasting else "")
        return [name + problem for problem in wrong], bool(result.get("failed") and relay.later)

    def _converges(self, recording: Recording, state: State) -> t.Iterator[str]:
        """With the fault gone the same task leads to the new state, and then changes nothing. Once for each state."""
        if state in recording.proved or state == recording.after:
            return
        recording.proved.add(state)
        result = self.run(recording.task)
        if result.get("failed") or self.state() != recording.after:
            yield "the same task does not converge: %s" % result.get("msg", "another state")
        elif recording.task.undo is None and self.must(recording.task)["changed"]:
            yield "the same task changes something again"


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
    recording: Recording, harmed: list[Step], lasting: bool, result: Result, state: State
) -> t.Iterator[str]:
    before, after = recording.before, recording.after
    failed, message = result.get("failed", False), result.get("msg", "")
    whole = state in recording.between and "done before" in message
    if not whole and state.saved not in (before.saved, after.saved):
        yield "the saved state is neither the old nor the new one (%s)" % message
    if not whole and state.running not in (before.running, after.running):
        yield "the running state is neither the old nor the new one (%s)" % message
    if not failed:
        if state != after:
            yield "success, and not the new state but %s" % _where(recording, state)
        if result["changed"] is not (before != after):
            yield "success, and changed is %s" % result["changed"]
    else:
        operation = result.get("operation", "")
        if operation not in message or not any(_is_named(recording.steps, step, operation) for step in harmed):
            yield "the error names %r: %s" % (operation, message)
        if state != before and not whole and not lasting:
            yield "failure, and left is %s (%s)" % (_where(recording, state), message)
        if state != before and not _ADMITS.search(message):
            yield "the error does not say what is left, %s: %s" % (_where(recording, state), message)
    for secret in (PASSWORD, *recording.task.secrets):
        if any(form in _texts(result) for form in (secret, secret.replace("\\", "\\\\").replace('"', '\\"'))):
            yield "a secret is in the result"


def _where(recording: Recording, state: State) -> str:
    def one(name: str) -> str:
        part = getattr(state, name)
        old, new = part == getattr(recording.before, name), part == getattr(recording.after, name)
        return "%s %s" % (name, "old" if old else "new" if new else "other")

    return "%s, %s" % (one("saved"), one("running"))


def _texts(result: t.Any) -> str:
    """All texts of a result as they are, not as JSON writes them."""
    if isinstance(result, dict):
        return "\n".join(_texts(item) for pair in result.items() for item in pair)
    if isinstance(result, (list, tuple)):
        return "\n".join(map(_texts, result))
    return str(result)


# --- names of steps -------------------------------------------------------------------------------


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
    return operation.removeprefix(_READ_BACK).startswith(words) and all(" in " + edited in operation for edited in _edited(steps, step))


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
    objects = [[word for word in words[1:] if word not in ("address", "name")] for _prompt, words in entered if len(words) > 2]
    return [" ".join(words[:2]) for words in objects]
