# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long one task of ``smtp_probe`` takes for a hundred listeners, with its default checks and against a profile.

The listeners are those of a real server on this machine: three on each of 34 addresses of the loopback interface, so
that server and probe share the processor. A hundred listeners elsewhere cost the probe less. ``./dev bench probe``

Seen in November 2026 on two cores with Python 3.13: 2934 connections, 5.8 s for the probe, 13.4 s for the whole run of
``ansible-playbook``; beside other work that kept the load at 9 (and at 15), 20 s (28 s) and 40 s (58 s). The limit is
120 s.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "converge"), str(ROOT / "roles" / "mta" / "files")]

from lab import NAME, Lab  # noqa: E402
from mta_process import PASSWORD, SCRIPT, Mta, call, play  # noqa: E402
from postern.passwords import hash_password  # noqa: E402

LISTENERS = 100
#: Ports that are free on most machines -> how TLS begins there.
PORTS = {22025: "starttls", 22587: "starttls", 22465: "implicit"}
LIMIT = 120


def places() -> dict[str, str]:
    """Addresses of the listeners, and their modes."""
    hosts = ["127.0.5.%d" % number for number in range(1, LISTENERS // len(PORTS) + 2)]
    every = {"%s:%d" % (host, port): mode for host in hosts for port, mode in PORTS.items()}
    return dict(list(every.items())[:LISTENERS])


def hardened(lab: Lab) -> dict:
    """A policy for all of them, as options of ``smtp_policy``."""
    return {
        "tls": {"versions": ["TLSv1.2", "TLSv1.3"], "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20", "certificate": lab.ecdsa},
        "listeners": [{"address": address, "tls": mode} for address, mode in places().items()],
        "starttls": {"inbound": True},
        "auth_rules": [
            {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []},
            {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": ["PLAIN", "LOGIN"]},
        ],
    }


def task(lab: Lab, result: Path) -> list:
    """The play's tasks: one look at everything, and the numbers to a file."""
    targets = [{"address": address, "tls": mode, "server_name": NAME} for address, mode in places().items()]
    look = {"targets": targets, "expect": "intermediate", "fail_on": "never", "ca_file": lab.ca_file}
    keep = {"content": "{{ seen.summary | to_json }}", "dest": str(result), "mode": "0644"}
    return [
        {"securemail.smtp.smtp_probe": look, "register": "seen"},
        {"ansible.builtin.copy": keep},
    ]


def main() -> None:
    """Start the server, look at it, print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lab = Lab(folder)
        mta = Mta(folder, hash_password(PASSWORD), SCRIPT)
        mta.start()
        try:
            written = call("smtp_policy", dict(hardened(lab), admin_port=mta.port, admin_password=PASSWORD, backup=False), False)
            if written.get("failed"):
                raise SystemExit(written["msg"])
            seconds, summary = measure(folder, mta, lab)
        finally:
            mta.stop()
    show(seconds, summary)


def measure(folder: Path, mta: Mta, lab: Lab) -> tuple[float, dict]:
    """Seconds of the whole run of ``ansible-playbook``, and the summary of the probe."""
    result, playbook = folder / "summary.json", folder / "playbook.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": task(lab, result)}]))
    begun = time.perf_counter()
    play(playbook, mta.port)
    return time.perf_counter() - begun, json.loads(result.read_text())


def show(seconds: float, summary: dict) -> None:
    """The figures, with the machine that they are about."""
    print("%s, Python %s, %d cores" % (platform.platform(), platform.python_version(), os.cpu_count() or 0))
    print("listeners          %6d on %d hosts" % (summary["listeners"], summary["hosts"]))
    print("connections        %6d, %.1f for each listener" % (summary["connections"], summary["connections"] / summary["listeners"]))
    print("rows               %6d passed, %d failed, %d not observable" % (summary["pass"], summary["fail"], summary["unobservable"]))
    print("the probe itself   %6.1f s" % summary["seconds"])
    print("ansible-playbook   %6.1f s, %s the limit of %d s" % (seconds, "within" if seconds <= LIMIT else "BEYOND", LIMIT))


if __name__ == "__main__":
    main()
