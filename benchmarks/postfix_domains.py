# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What 1 to 100,000 forced-TLS domains in one task cost at a Postfix: the first run, the second one, and one domain more.

Times are those of ``domains.py``: seconds of ``ansible-playbook`` beyond the same playbook with ``ansible.builtin.ping``,
medians of rounds. Counted beside them: how often the table is built, how often Postfix is reloaded, and which files are
written. The first run builds the table twice, once where the plan is tried and once in its place; the second one builds and
writes nothing. At the end: what a table of 10,000 costs a recipient of another domain.

``./dev bench postfix_domains``; with ``--quick`` up to 10,000 only.
"""

from __future__ import annotations

import os
import platform
import shutil
import smtplib
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "devtools"), str(ROOT / "tests" / "converge")]

from domains import MODULE, QUICK, SIZES, Bench, Cost, names  # noqa: E402
from lab import Lab  # noqa: E402
from postfix_host import PostfixHost  # noqa: E402

#: What stands for each program of Postfix: it notes how it was called.
COUNTING = '#!/bin/sh\necho "{name} $*" >> {log}\nexec {program} "$@"\n'

#: How much more than ten times as much ten times as many domains may cost.
LINEAR = 1.3

#: Turns, and recipients of one turn.
TURNS, RECIPIENTS = 12, 400


class Counted(PostfixHost):
    """An instance whose programs are counted."""

    def __init__(self, folder: Path, certificate: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        super().__init__(
            folder, f"127.0.0.1:{self.port} inet n - n - - smtpd\n", domains=["other.example.org", *names(1)],
            main="smtpd_recipient_limit = 100000\nsmtpd_tls_chain_files = %s\n" % certificate,
        )
        self.calls = folder / "calls"
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in ("postconf", "postmap", "postfix"):
            path = self.programs / name
            path.write_text(COUNTING.format(name=name, log=self.calls, program=self.command_directory / name))
            path.chmod(0o755)

    def counted(self) -> tuple[int, int]:
        """How often a table was built and Postfix reloaded since this was asked last."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        built = [line for line in lines if line.startswith("postmap") and not {"-s", "-q"}.intersection(line.split())]
        return len(built), sum(line.endswith(" reload") for line in lines)

    def state(self) -> dict[str, tuple[int, int]]:
        """What tells that a file was written: which one it is, and when it changed."""
        paths = [self.main_cf, self.master_cf, *(self.config_directory / "securemail").glob("*")]
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


class PostfixBench(Bench):
    """Playbooks against instances of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # A listener whose STARTTLS fails would be waited for.
        self._certificate = Lab(folder).rsa

    def instance(self) -> Counted:
        """A running instance in a folder that everybody may enter."""
        folder = Path(tempfile.mkdtemp(prefix="securemail-bench-"))
        folder.chmod(0o755)
        host = Counted(folder, self._certificate)
        host.start()
        host.wait_listening("127.0.0.1", host.port)
        return host

    def access(self, mta: Counted) -> dict[str, str]:
        """The variables by which the module finds the instance."""
        return {
            **mta.environment(),
            "SECUREMAIL_SERVER": "postfix",
            "SECUREMAIL_CONFIG_DIRECTORY": str(mta.config_directory),
            "SECUREMAIL_COMMAND_DIRECTORY": str(mta.programs),
            "SECUREMAIL_BACKUP_DIR": str(mta.folder / "backups"),
        }

    def beyond(self, host: Counted, options: dict) -> Cost:
        """What a task costs beyond ping."""
        return self.run(host, {MODULE: options}).beyond(self.run(host, {"ansible.builtin.ping": {}}))


def row(bench: PostfixBench, size: int, rounds: int) -> tuple[float, list[str]]:
    """Print the costs of one size; returns the processor seconds of the first run, and what was not as it must be."""
    costs: dict[str, list[Cost]] = {"first": [], "second": [], "one more": []}
    bad = []
    bench.peak.unlink(missing_ok=True)
    for _round in range(rounds):
        host = bench.instance()
        try:
            options = {"source": str(bench.source(size))}
            costs["first"].append(bench.beyond(host, options))
            built = host.counted()
            if built != (2, 1):
                bad.append("%d domains: built %d times, reloaded %d times" % (size, *built))
            before = host.state()
            costs["second"].append(bench.beyond(host, options))
            if host.counted() != (0, 0) or host.state() != before:
                bad.append("%d domains: the second run wrote something" % size)
            costs["one more"].append(bench.beyond(host, {"domains": ["one-more.example.org"]}))
            built = host.counted()
            # With the first other domain the explanation names none any more.
            if built != (2, 1 if size == 1 else 0):
                bad.append("%d domains and one more: built %d times, reloaded %d times" % (size, *built))
        finally:
            host.stop()
            shutil.rmtree(host.folder)
    peak = max(int(line) for line in bench.peak.read_text().split()) / 1024
    medians = {name: Cost.median(found) for name, found in costs.items()}
    print("%8d %17s %17s %17s %9.0f" % (size, *medians.values(), peak), flush=True)
    return medians["first"].processor, bad


def recipients(bench: PostfixBench) -> None:
    """What a recipient of another domain costs without a table and with 10,000 domains: seconds for a thousand."""
    found: dict[int, list[float]] = {0: [], QUICK: []}
    hosts = {size: bench.instance() for size in found}
    try:
        bench.run(hosts[QUICK], {MODULE: {"source": str(bench.source(QUICK))}})
        for _turn in range(TURNS):
            for size, host in hosts.items():
                with smtplib.SMTP("127.0.0.1", host.port, timeout=60) as session:
                    session.ehlo("bench.example.org")
                    session.docmd("MAIL FROM:<a@bench.example.org>")
                    begun = time.perf_counter()
                    for number in range(RECIPIENTS):
                        if session.docmd("RCPT TO:<u%d@other.example.org>" % number)[0] != 250:
                            raise SystemExit("a recipient was refused:\n" + host.log[-2000:])
                    found[size].append((time.perf_counter() - begun) * 1000 / RECIPIENTS)
                    session.docmd("RSET")
    finally:
        for host in hosts.values():
            host.stop()
            shutil.rmtree(host.folder)
    without, with_table = (statistics.median(values) for values in found.values())
    print("a recipient of another domain: %.3f ms without a table, %.3f ms with %d domains" % (without, with_table, QUICK))


def main() -> None:
    """Measure and print; ends with 1 where something was built or written once too often, or the cost is not linear."""
    sizes = [size for size in SIZES if "--quick" not in sys.argv[1:] or size <= QUICK]
    print("%s, Python %s, %d cores" % (platform.platform(), platform.python_version(), os.cpu_count() or 0))
    print("seconds beyond ping (of the processor)")
    print("%8s %17s %17s %17s %9s" % ("domains", "first", "second", "one more", "peak, MB"))
    bad, spent = [], {}
    with tempfile.TemporaryDirectory() as name:
        bench = PostfixBench(Path(name))
        for size in sizes:
            spent[size], problems = row(bench, size, 3 if size <= QUICK else 1)
            bad += problems
        for size, ten in zip(sizes, sizes[1:]):
            # What is the same for all sizes does not count for more.
            if size >= 1_000 and spent[ten] - spent[1] > LINEAR * ten / size * (spent[size] - spent[1]) + 0.5:
                bad.append("%d domains take %.2f s, %d take %.2f s" % (size, spent[size], ten, spent[ten]))
        recipients(bench)
    for problem in bad:
        print("NOT AS IT MUST BE: " + problem)
    if bad:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
