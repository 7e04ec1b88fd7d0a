# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task of ours costs beside ``ansible.builtin.ping`` on the same host, and beside another way of doing the same.

All tasks that are compared stand in one playbook, one after the other and again and again, so that a machine that is
busier now than a minute ago is it for all of them; the table has medians. ``./dev bench converge``
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lab import Playbooks, article, is_quick, machine  # noqa: E402
from lab import Lab  # noqa: E402
from mta_process import PASSWORD, SCRIPT, Mta  # noqa: E402
from postern.passwords import hash_password  # noqa: E402

ROUNDS = 12
#: Runs with a fresh server each.
FRESH = 5
DOMAINS = ["partner-%02d.example.net" % number for number in range(50)]
PORTS = range(21025, 21028)
PING: dict = {"ansible.builtin.ping": {}}
SMTP = "securemail.smtp.smtp_"


def main() -> None:
    """Measure and print the tables."""
    rounds, fresh = (3, 1) if is_quick() else (ROUNDS, FRESH)
    print("%s; medians of %d rounds" % (machine(), rounds))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy = article(Lab(folder).ecdsa, "127.0.0.1", PORTS)
        playbooks = Playbooks(folder)
        both_runs(folder, playbooks, policy, fresh)
        server = start(folder / "no-change")
        try:
            no_change(playbooks, server, policy, rounds)
            fifty_domains(folder, playbooks, server, max(1, rounds // 3))
        finally:
            server.stop()


def start(folder: Path) -> Mta:
    """A server with basic settings and nothing else."""
    folder.mkdir()
    server = Mta(folder, hash_password(PASSWORD), SCRIPT)
    server.start()
    return server


def both_runs(folder: Path, playbooks: Playbooks, policy: dict, rounds: int) -> None:
    """The article as one task on a fresh server, and again; at first on a host where no task of ours ever ran.

    In all other rounds somebody looks before: a server that was just started has to hash the password once, on
    purpose slowly, and knows it then.
    """
    found: dict[str, list[float]] = {"ansible.builtin.ping": [], "smtp_info, the first login": [], "first run": [], "second run": []}
    never = 0.0
    for number in range(rounds + 1):
        server = start(folder / ("fresh-%d" % number))
        try:
            task, look = named("article", {SMTP + "policy": policy}), {SMTP + "info": {}}
            tasks = [PING, PING, look, PING, task, PING, task, PING] if number else [PING, PING, task]
            times = [seconds for _name, seconds in playbooks.run(tasks, SECUREMAIL_ADMIN_PORT=str(server.port))]
        finally:
            server.stop()
        if not number:
            never = times[2] / times[1]
            continue
        for name, values in zip(found, (times[1::2], times[2:3], times[4:5], times[6:7])):
            found[name] += values
    show("the article as one task", "x ping", found["ansible.builtin.ping"], found)
    print("%-48s %9s %9.2f" % ("first run, first login, first task on that host", "", never), flush=True)


def no_change(playbooks: Playbooks, server: Mta, policy: dict, rounds: int) -> None:
    """One call of each module that changes nothing."""
    spam = {
        "name": "no_spam_test", "conditions": [{"variable": "mailFromDomain", "value": "spam.example"}],
        "actions": [{"set": "smtpAction", "value": "reject"}],
    }
    tasks = {
        "policy": policy,
        "listener": {"address": "127.0.0.1:%d" % PORTS[0], "tls": "starttls"},
        "tls": {"starttls_inbound": True},
        "auth_rule": policy["auth_rules"][0],
        "relay_tls": policy["relay_tls"][0],
        "forced_tls_domain": {"domain": "mydomain.com"},
        "rule": spam,
        "info": {},
    }
    calls = [named(name, {SMTP + name: options}) for name, options in tasks.items()]
    port = {"SECUREMAIL_ADMIN_PORT": str(server.port)}
    playbooks.run([*calls, *calls], **port)
    found = by_name(playbooks.run([task for _round in range(rounds) for task in (named("ping", PING), *calls)], **port))
    ping = found.pop("ping")
    rows = {"ansible.builtin.ping": ping}
    rows.update({"smtp_" + name: times for name, times in found.items()})
    show("a call that changes nothing", "x ping", ping, rows)


def fifty_domains(folder: Path, playbooks: Playbooks, server: Mta, rounds: int) -> None:
    """Fifty domains that must have TLS: one task, a loop, and lines of a file that Postfix reads."""
    (folder / "tls_policy.j2").write_text("{% for domain in domains %}{{ domain }} encrypt\n{% endfor %}")
    lines = {"path": str(folder / "lines"), "create": True, "mode": "0600", "regexp": "^{{ item }} ", "line": "{{ item }} encrypt"}
    template = {"src": str(folder / "tls_policy.j2"), "dest": str(folder / "tls_policy"), "mode": "0600"}
    options = {"direction": "outbound", "level": "encrypt"}
    calls = [
        named("ansible.builtin.ping", PING),
        named("smtp_forced_tls_domain, a list", {SMTP + "forced_tls_domain": dict(options, domains=DOMAINS)}),
        named("smtp_forced_tls_domain, a loop", {SMTP + "forced_tls_domain": dict(options, domain="{{ item }}"), "loop": DOMAINS}),
        named("template, one file for all", {"ansible.builtin.template": template, "vars": {"domains": DOMAINS}}),
        named("lineinfile, a loop", {"ansible.builtin.lineinfile": lines, "loop": DOMAINS}),
    ]
    port = {"SECUREMAIL_ADMIN_PORT": str(server.port)}
    playbooks.run([calls[1], calls[3], calls[4]], **port)
    found = by_name(playbooks.run(calls * rounds, **port))
    show("fifty domains, nothing to change", "x ping", found["ansible.builtin.ping"], found)


def named(name: str, task: dict) -> dict:
    """The task with a name."""
    return dict(task, name=name)


def by_name(times: t.Sequence[t.Tuple[str, float]]) -> dict[str, list[float]]:
    """The seconds of all tasks of a name."""
    found: dict[str, list[float]] = {}
    for name, seconds in times:
        found.setdefault(name, []).append(seconds)
    return found


def show(title: str, unit: str, base: t.Sequence[float], rows: t.Mapping[str, t.Sequence[float]]) -> None:
    """A table of medians."""
    print("\n%-48s %9s %9s" % (title, "ms", unit))
    for name, times in rows.items():
        value = statistics.median(times)
        print("%-48s %9.0f %9.2f" % (name, value * 1000, value / statistics.median(base)), flush=True)


if __name__ == "__main__":
    main()
