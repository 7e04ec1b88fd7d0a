# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task of ours costs beside ``ansible.builtin.ping`` on the same host, in one run.

Each playbook has the same task twenty times; the cost of a task is its time beyond an empty playbook, divided
by twenty. Rounds alternate, the table has medians. ``./dev bench converge``
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "converge"), str(ROOT / "roles" / "mta" / "files")]

from lab import Lab  # noqa: E402
from mta_process import PASSWORD, SCRIPT, Mta, play  # noqa: E402
from postern.passwords import hash_password  # noqa: E402

TASKS = 20
ROUNDS = 3


def article(lab: Lab, ports: range) -> dict:
    """The hardening article as one task, on ports that are free on most machines."""
    return {
        "tls": {"versions": ["TLSv1.2", "TLSv1.3"], "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20", "certificate": lab.ecdsa},
        "listeners": [
            {"address": "127.0.0.1:%d" % port, "tls": mode}
            for port, mode in zip(ports, ("starttls", "starttls", "implicit"))
        ],
        "starttls": {"inbound": True, "outbound": True},
        "auth_rules": [
            {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []},
            {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": ["SCRAM-SHA-256", "PLAIN"]},
        ],
        "relay_tls": [
            {"name": "use_only_tls12_and_13_when_relaying", "level": "encrypt", "versions": ["TLSv1.2", "TLSv1.3"]}
        ],
        "forced_tls_domains": [
            {"domain": "mydomain.com"}, {"domain": "partner.example", "direction": "outbound", "level": "encrypt"}
        ],
    }


def main() -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lab = Lab(folder)
        policy = article(lab, range(21025, 21028))
        rows = {
            "ansible.builtin.ping": {"ansible.builtin.ping": {}},
            "smtp_policy, the article, no change": {"securemail.smtp.smtp_policy": policy},
            "smtp_listener, no change": {"securemail.smtp.smtp_listener": {"address": "127.0.0.1:21025"}},
            "smtp_auth_rule, no change": {
                "securemail.smtp.smtp_auth_rule": {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []}
            },
            "smtp_forced_tls_domain, no change": {"securemail.smtp.smtp_forced_tls_domain": {"domain": "mydomain.com"}},
            "smtp_info": {"securemail.smtp.smtp_info": {}},
        }
        mta = Mta(folder, hash_password(PASSWORD), SCRIPT)
        mta.start()
        try:
            show(measure(folder, mta, policy, rows))
        finally:
            mta.stop()


def measure(folder: Path, mta: Mta, policy: dict, rows: dict) -> dict[str, float]:
    """Seconds for one task, median of the rounds, by name."""
    run(folder, mta, [{"securemail.smtp.smtp_policy": policy}])
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _round in range(ROUNDS):
        empty = run(folder, mta, [])
        for name, task in rows.items():
            found[name].append((run(folder, mta, [task] * TASKS) - empty) / TASKS)
    return {name: statistics.median(times) for name, times in found.items()}


def run(folder: Path, mta: Mta, tasks: list) -> float:
    """Seconds that a playbook with these tasks takes."""
    path = folder / "playbook.yml"
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    begun = time.perf_counter()
    play(path, mta.port, SECUREMAIL_ADMIN_PASSWORD=PASSWORD)
    return time.perf_counter() - begun


def show(seconds: dict[str, float]) -> None:
    """The table, with the machine that it is about."""
    base = seconds["ansible.builtin.ping"]
    print("%s, Python %s, medians of %d rounds" % (platform.platform(), platform.python_version(), ROUNDS))
    print("%-38s %9s %9s" % ("task", "ms", "x ping"))
    for name, value in seconds.items():
        print("%-38s %9.0f %9.2f" % (name, value * 1000, value / base))


if __name__ == "__main__":
    main()
