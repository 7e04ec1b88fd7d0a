# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hundred mail servers, each a process with an address of its own on loopback, converged by one playbook.

``ansible.builtin.ping`` of the same inventory, with the same forks, is what the runs are compared with. All of them
are tasks of one playbook for all hosts. ``./dev bench fleet``, with ``--quick`` twenty of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lab import PASSWORD, ROOT, Playbooks, article, children_cpu, is_quick, machine  # noqa: E402
from lab import Lab  # noqa: E402
from mta_process import SCRIPT  # noqa: E402
from postern.passwords import hash_password  # noqa: E402

SERVERS, QUICK = 200, 20
ROUNDS = 2
#: Servers that start at the same time, and seconds that one may take for it on a busy machine.
AT_ONCE, START = 8, 120
ADMIN_PORT = 7000
SMTP_PORTS = range(21025, 21028)


class Fleet:
    """Servers by address; all of them are stopped at the end, also of one that failed."""

    def __init__(self, folder: Path, password_hash: str, script: bytes) -> None:
        self._folder = folder
        self._password_hash = password_hash
        self._script = folder / "initial.script"
        self._script.write_bytes(script)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, addresses: t.Sequence[str]) -> None:
        """Start a server on each address and wait until all answer. Raises ``SystemExit`` when one does not."""
        for place in range(0, len(addresses), AT_ONCE):
            some = addresses[place:place + AT_ONCE]
            for address in some:
                self._processes[address] = self._start(address)
            for address in some:
                self._wait(address)

    def _start(self, address: str) -> subprocess.Popen[bytes]:
        folder = self._folder / address
        state = folder / "state"
        state.mkdir(parents=True, mode=0o700)
        (state / "admin.passwd").write_text(self._password_hash + "\n")
        (state / "admin.passwd").chmod(0o600)
        config = folder / "postern.toml"
        config.write_text(
            f'host_name = "mail.example.test"\nstate_dir = "{state}"\nrun_dir = "{folder / "run"}"\n'
            f'log_file = "{folder / "log"}"\nuser = "{"root" if os.geteuid() == 0 else ""}"\n'
            f'initial_script = "{self._script}"\n[admin]\naddress = "{address}:{ADMIN_PORT}"\n'
        )
        with open(folder / "stderr", "wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "postern", "serve", "--config", str(config)],
                env=dict(os.environ, PYTHONPATH=str(ROOT / "roles" / "mta" / "files")),
                stdout=subprocess.DEVNULL, stderr=errors,
            )

    def _wait(self, address: str) -> None:
        process, status = self._processes[address], self._folder / address / "state" / "status.json"
        ends = time.monotonic() + START
        # It is written when the server answers.
        while not status.exists():
            if process.poll() is not None or time.monotonic() > ends:
                raise SystemExit("no server at %s: %s" % (address, (self._folder / address / "stderr").read_text()[-2000:]))
            time.sleep(0.05)

    def memory(self) -> float:
        """Megabytes of all servers together, what they share counted once for each; 0 where /proc does not tell."""
        pages = 0
        for process in self._processes.values():
            with contextlib.suppress(OSError):
                pages += int(Path("/proc/%d/statm" % process.pid).read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """End all servers and wait until they are gone."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> None:
    """Start the fleet, measure, print the table."""
    count, rounds = (QUICK, 1) if is_quick() else (SERVERS, ROUNDS)
    addresses = ["127.0.%d.%d" % (1 + number // 250, 1 + number % 250) for number in range(count)]
    print("%s; %d servers, forks 10, medians of %d rounds" % (machine(), count, rounds), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fleet = Fleet(folder, hash_password(PASSWORD), SCRIPT)
        try:
            begun = time.monotonic()
            fleet.start(addresses)
            print("started in %.0f s, %.0f MB" % (time.monotonic() - begun, fleet.memory()), flush=True)
            show(count, measure(folder, addresses, rounds))
        finally:
            fleet.stop()


def measure(folder: Path, addresses: t.Sequence[str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds, and seconds of processor time on this side, of each kind of run."""
    hosts = {address: {"ansible_host": address} for address in addresses}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    playbooks = Playbooks(folder)
    policy = article(Lab(folder).ecdsa, "{{ inventory_hostname }}", SMTP_PORTS)
    ping = {"name": "ping", "ansible.builtin.ping": {}}
    task = {
        "name": "article",
        "securemail.smtp.smtp_policy": dict(policy, admin_host="{{ inventory_hostname }}", admin_port=ADMIN_PORT),
    }

    def one(what: dict) -> tuple[float, float]:
        cpu = children_cpu()
        times = playbooks.run([what], str(inventory))
        return times[0][1], children_cpu() - cpu

    # What compiles once compiles before; each is timed from the begin of its task to the end of the playbook.
    playbooks.run([ping])
    found = {"ansible.builtin.ping": [one(ping)], "article, first run": [one(task)], "article, second run": []}
    for _round in range(rounds):
        found["article, second run"].append(one(task))
        found["ansible.builtin.ping"].append(one(ping))
    return found


def show(count: int, found: dict[str, list[tuple[float, float]]]) -> None:
    """The table."""
    base = statistics.median(seconds for seconds, _cpu in found["ansible.builtin.ping"])
    print("%-24s %9s %13s %15s %9s" % ("%d servers" % count, "s", "servers/min", "CPU ms/server", "x ping"))
    for name, runs in found.items():
        seconds, cpu = (statistics.median(values) for values in zip(*runs))
        row = (name, seconds, count * 60 / seconds, cpu * 1000 / count, seconds / base)
        print("%-24s %9.1f %13.0f %15.0f %9.2f" % row, flush=True)


if __name__ == "__main__":
    main()
