# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What 1 to 100,000 forced-TLS domains in one task cost, the first run and the second one.

The time of a run is that of ``ansible-playbook`` with one task beyond the same playbook with
``ansible.builtin.ping``, medians of rounds in which both alternate; the processor seconds of all processes but the
server's stand beside it, because they say more on a busy machine. The memory is the most that the module's own process
held: it says so itself when it ends (``VmHWM``; what ``getrusage`` says is that of Ansible's process too, from which it
was forked).

``./dev bench domains``; with ``--quick`` up to 10,000 only.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "converge"), str(ROOT / "roles" / "mta" / "files"), str(ROOT / "benchmarks")]

from mta_process import PASSWORD, SCRIPT, Mta  # noqa: E402
from postern.passwords import hash_password  # noqa: E402

SIZES = (1, 100, 1_000, 10_000, 100_000)
QUICK = 10_000
MODULE = "securemail.smtp.smtp_forced_tls_domain"

#: The program that Python starts with in the module's process: what it held at most, to a file, at its end.
WITNESS = """
import atexit, os, sys


def tell():
    with open("/proc/self/status") as status, open(os.environ["BENCH_PEAK"], "a") as peak:
        peak.write([line.split()[1] for line in status if line.startswith("VmHWM")][0] + "\\n")


if "AnsiballZ_smtp_forced_tls_domain" in " ".join(sys.orig_argv if hasattr(sys, "orig_argv") else sys.argv):
    atexit.register(tell)
"""


class Cost(t.NamedTuple):
    """Seconds on the clock, and of the processor (Ansible and the module, without the server)."""

    clock: float
    processor: float

    def beyond(self, other: Cost) -> Cost:
        """What is more than another cost."""
        return Cost(self.clock - other.clock, self.processor - other.processor)

    @classmethod
    def median(cls, costs: list[Cost]) -> Cost:
        """The medians of both."""
        return cls(*(statistics.median(values) for values in zip(*costs)))

    def __str__(self) -> str:
        return "%7.2f (%6.2f)" % self


def _used() -> float:
    """Processor seconds of all processes that were waited for; a server still runs when it is asked."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


class Bench:
    """Playbooks against servers of their own, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.peak = folder / "peak"
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(WITNESS)
        self._hash = hash_password(PASSWORD)
        self._servers = 0

    def source(self, size: int) -> Path:
        """A file with so many domains, one on each line."""
        path = self._folder / ("list-%d" % size)
        if not path.exists():
            path.write_text("".join("%s\n" % name for name in names(size)))
        return path

    def pair(self, options: dict, rounds: int) -> tuple[Cost, Cost, float]:
        """First and second run beyond ping, and the most memory of the module in MB."""
        first, second = [], []
        self.peak.unlink(missing_ok=True)
        for _round in range(rounds):
            self._servers += 1
            folder = self._folder / ("server-%d" % self._servers)
            folder.mkdir()
            mta = Mta(folder, self._hash, SCRIPT)
            mta.start()
            try:
                for costs in (first, second):
                    ping = self.run(mta, {"ansible.builtin.ping": {}})
                    costs.append(self.run(mta, {MODULE: options}).beyond(ping))
            finally:
                mta.stop()
        peak = max(int(line) for line in self.peak.read_text().split()) / 1024
        return Cost.median(first), Cost.median(second), peak

    def access(self, mta: t.Any) -> dict[str, str]:
        """The variables by which the module finds a server."""
        return {"SECUREMAIL_ADMIN_PORT": str(mta.port), "SECUREMAIL_ADMIN_PASSWORD": PASSWORD}

    def run(self, mta: t.Any, task: dict) -> Cost:
        """What a playbook with this task costs."""
        playbook = self._folder / "playbook.yml"
        surroundings = {"PYTHONPATH": str(self._folder / "site"), "BENCH_PEAK": str(self.peak)}
        playbook.write_text(
            json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [dict(task, environment=surroundings)]}])
        )
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
        command += ["-e", "ansible_python_interpreter=%s" % sys.executable, str(playbook)]
        # As on a host of its own: there a task may keep what it has compiled for the next one.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = dict(kept, **self.access(mta), ANSIBLE_COLLECTIONS_PATH=os.environ["PYTHONPATH"].split(os.pathsep)[0])
        begun, used = time.perf_counter(), _used()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        taken = Cost(time.perf_counter() - begun, _used() - used)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return taken


def names(size: int) -> list[str]:
    """So many domains."""
    return ["partner-%06d.example.net" % number for number in range(size)]


def main() -> None:
    """Measure and print the tables."""
    sizes = [size for size in SIZES if "--quick" not in sys.argv[1:] or size <= QUICK]
    print("%s, Python %s, %d cores" % (platform.platform(), platform.python_version(), os.cpu_count() or 0))
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        rows(bench, sizes)
        sources(bench)
    forced = importlib.import_module("_forced")
    for row in forced.rows():
        print("%s: %s; ratio %s, target %s" % row, flush=True)


def rows(bench: Bench, sizes: list[int]) -> None:
    """The table of sizes in both forms, with the ratio of the first run to that of the size before."""
    print("seconds beyond ping (of the processor)")
    print("%-8s %8s %17s %17s %8s %9s" % ("form", "domains", "first", "second", "x first", "peak, MB"))
    for form in ("method", "compact"):
        before = None
        for size in sizes:
            options = {"source": str(bench.source(size)), "form": form}
            first, second, peak = bench.pair(options, 3 if size <= QUICK else 1)
            ratio = "%8.1f" % (first.clock / before) if before else ""
            print("%-8s %8d %17s %17s %8s %9.0f" % (form, size, first, second, ratio, peak), flush=True)
            before = first.clock if first.clock > 0 else None


def sources(bench: Bench) -> None:
    """The table of the ways in which a list comes to the module."""
    print("%-34s %17s %17s" % ("%d domains, given as" % QUICK, "first", "second"))
    path = bench.source(QUICK)
    ways = {
        "source": {"source": str(path)},
        "content, with lookup(file)": {"content": "{{ lookup('ansible.builtin.file', '%s') }}" % path},
        "domains, with lookup and splitlines": {
            "domains": "{{ lookup('ansible.builtin.file', '%s').splitlines() }}" % path
        },
        "domains, in the playbook": {"domains": names(QUICK)},
        "domains, dictionaries": {"domains": [{"domain": name, "enabled": True} for name in names(QUICK)]},
    }
    for label, options in ways.items():
        first, second, _peak = bench.pair(options, 1)
        print("%-34s %17s %17s" % (label, first, second), flush=True)


if __name__ == "__main__":
    main()
