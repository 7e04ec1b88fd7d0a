# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmarks share: the machine's name, playbooks whose tasks are timed, the article as a policy."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "converge"), str(ROOT / "roles" / "mta" / "files")]

import ansible  # noqa: E402
from mta_process import PASSWORD  # noqa: E402

#: Seconds after which something hangs.
LIMIT = 1200

#: (name, seconds) of each task, in order.
Times = t.List[t.Tuple[str, float]]


def machine() -> str:
    """What the figures are about."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return "%s, %s cores of %s, Python %s, ansible-core %s" % (
        platform.platform(), os.cpu_count(), model, platform.python_version(), ansible.__version__
    )


def is_quick() -> bool:
    """Whether somebody wants to see soon whether it runs, rather than figures."""
    return "--quick" in sys.argv[1:]


def article(certificate: str, host: str, ports: t.Iterable[int]) -> dict:
    """The hardening article as one task: three listeners, STARTTLS, all kinds of rules."""
    modes = ("starttls", "starttls", "implicit")
    return {
        "tls": {"versions": ["TLSv1.2", "TLSv1.3"], "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20", "certificate": certificate},
        "listeners": [{"address": "%s:%d" % (host, port), "tls": mode} for port, mode in zip(ports, modes)],
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


class Playbooks:
    """Runs playbooks from a folder, with a cache of compiled code that belongs to this run.

    ``environment``: further variables for them.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir(mode=0o700, exist_ok=True)
        # What keeps Python from writing bytecode keeps the collection from it, too.
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment.update(
            XDG_CACHE_HOME=str(self.cache),
            SECUREMAIL_ADMIN_PASSWORD=PASSWORD,
            SECUREMAIL_BACKUP_DIR=str(folder / "backups"),
            ANSIBLE_COLLECTIONS_PATH=os.environ["PYTHONPATH"].split(os.pathsep)[0],
            ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "benchmarks" / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="task_clock",
            ANSIBLE_NOCOLOR="1",
            TASK_CLOCK_FILE=str(folder / "clock.json"),
            **environment,
        )

    def run(self, tasks: t.Sequence[dict], inventory: str = "localhost,", **environment: str) -> Times:
        """Run these tasks, on all hosts of the inventory; raises ``SystemExit`` with the output when one fails."""
        path = self._folder / "playbook.yml"
        path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]))
        command = [sys.executable, "-m", "ansible", "playbook", "-i", inventory, "-c", "local", "-f", "10"]
        command += ["-e", "ansible_python_interpreter=%s" % sys.executable, str(path)]
        done = subprocess.run(
            command, env=dict(self._environment, **environment), capture_output=True, text=True, check=False, timeout=LIMIT
        )
        if done.returncode:
            raise SystemExit(done.stdout[-4000:] + done.stderr[-4000:])
        begun = json.loads((self._folder / "clock.json").read_text())
        return [(name, after - at) for (name, at), (_next, after) in zip(begun, begun[1:])]


def children_cpu() -> float:
    """Seconds of processor time that ended children, and theirs, have taken so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
