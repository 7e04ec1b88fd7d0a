# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole task on a Postfix, of which each call of a program fails or kills the task: all of it is in force, or nothing."""

from __future__ import annotations

import multiprocessing

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix import answering, configuration
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.programs import Programs
from faulty_programs import FaultyPrograms


@pytest.fixture
def site(make_host, lab, tmp_path, free_port):
    """A running host, its faulty programs, and a task that changes files of every kind."""
    ports = [free_port() for unused in range(2)]
    host = make_host(f"127.0.0.1:{ports[0]} inet n - n - - smtpd\n", f"smtpd_tls_chain_files = {lab.ecdsa}\n", ["a.test"])
    host.start()
    host.faulty = FaultyPrograms(host, tmp_path)
    host.task = {
        "listeners": [{"address": f"127.0.0.1:{ports[1]}", "tls": "implicit", "certificate": lab.ecdsa, "enabled": True}],
        "tls": {"versions": ["TLSv1.2", "TLSv1.3"]},
        "relay_tls": [{"name": "out", "level": "encrypt", "enabled": True}],
        "forced_tls_domains": [{"domain": "a.test", "enabled": True}, {"domain": "b.test", "direction": "outbound", "level": "secure"}],
        "command_directory": str(host.faulty.commands),
        "admin_timeout": 20,
    }
    return host


def contents(host) -> dict[str, bytes]:
    """All files of the configuration, of an index only that it is there; without folders for a moment."""
    return {
        str(path.relative_to(host.config_directory)): b"" if path.suffix == ".lmdb" else path.read_bytes()
        for path in sorted(host.config_directory.rglob("*"))
        if path.is_file()
    }


def wrong(host) -> dict[str, str]:
    """Listeners of the configuration that do not answer, with the reason."""
    directory = str(host.config_directory)
    conf = configuration.read(Programs(directory, str(host.command_directory), 20.0), directory)
    found = {address: answering.silent(door, address, 5.0) for address, door in answering.doors(conf).items()}
    return {address: reason for address, reason in found.items() if reason}


def back(host, run, before: dict[str, bytes]) -> None:
    """Everything as it was, by hand and with a reload."""
    for name in contents(host).keys() - before.keys():
        (host.config_directory / name).unlink()
    for name, content in before.items():
        if not name.endswith(".lmdb"):
            (host.config_directory / name).write_bytes(content)
    host.reload()
    assert not wrong(host)


def test_each_call_fails(site, run):
    before = contents(site)
    site.faulty.fault()
    assert run(site, "smtp_policy", **site.task).get("changed")
    after, number = contents(site), len(site.faulty.calls)
    assert number > 10
    back(site, run, before)
    for at in range(1, number + 1):
        site.faulty.fault(at)
        result = run(site, "smtp_policy", **site.task)
        found = contents(site)
        assert found == (before if result.get("failed") else after), (at, site.faulty.calls[at - 1], result)
        assert not wrong(site), (at, site.faulty.calls[at - 1])
        if result.get("failed"):
            assert "Traceback" not in result["msg"] and result.get("server_state", "unchanged") in ("unchanged", "rolled back"), result
        else:
            back(site, run, before)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_killed_at_each_call(site, run):
    before = contents(site)
    site.faulty.fault()
    assert run(site, "smtp_policy", **site.task).get("changed")
    after, number = contents(site), len(site.faulty.calls)
    back(site, run, before)
    fork = multiprocessing.get_context("fork")
    for at in range(1, number + 1):
        site.faulty.fault(at, "kill")
        process = fork.Process(target=run, args=(site, "smtp_policy"), kwargs=site.task)
        process.start()
        process.join(60)
        assert process.exitcode == -9, (at, process.exitcode, site.faulty.calls)
        # The next run undoes what it finds, and does it all.
        site.faulty.fault()
        assert "failed" not in run(site, "smtp_policy", **site.task), (at, site.faulty.calls)
        assert contents(site) == after and not wrong(site), at
        back(site, run, before)
