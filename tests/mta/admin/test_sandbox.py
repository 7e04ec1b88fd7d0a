# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the unit forbids is nothing that the server does: its system calls, compared with the unit's own rules."""

from __future__ import annotations

import os
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import urllib.request

import pytest
from test_opensslconf import tls_port
from test_program import PLACE

UNIT = PLACE.parent / "templates" / "postern.service.j2"
#: Of a server that is root, as tests in containers are: it gives files to its user, and SQLite keeps their owner.
ROOT = {"chown", "fchown", "fchownat", "lchown"} if os.geteuid() == 0 else set()


def setting(name: str) -> list[list[str]]:
    """The words of each line of the unit with this name."""
    return [words.split() for words in re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)]


def calls(*words: str) -> set[str]:
    """System calls by name or group, groups in groups too, as this systemd has them."""
    groups = [word for word in words if word.startswith("@")]
    found = set(words) - set(groups)
    if groups:
        command = ["systemd-analyze", "syscall-filter", "--no-pager", *groups]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        found |= calls(*re.findall(r"^ +(@?[a-z_]\w*(?:-\w+)*)$", done.stdout, re.MULTILINE))
    return found


def allowed() -> set[str]:
    """What the filter of the unit leaves: a line with ~ takes away from those in front of it."""
    found: set[str] = set()
    for words in setting("SystemCallFilter"):
        if words[0].startswith("~"):
            found -= calls(words[0][1:], *words[1:])
        else:
            found |= calls(*words)
    return found


@pytest.fixture
def traced(program, authority, tmp_path):
    """What strace saw of a server from its start to its end, with mail over TLS and figures in between."""
    for tool in ("strace", "systemd-analyze"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not here")
    with open(program.config, "a") as config:
        config.write('[metrics]\naddress = "127.0.0.1:0"\n')
    trace = tmp_path / "trace"
    # Its words are those of the program, behind strace's.
    program._command[:0] = ["strace", "-f", "-qq", "-s", "0", "-o", str(trace)]
    process = program.popen("serve")
    del program._command[:7]
    program.event("server.started")
    admin = program.admin()
    admin.ok("CREATE Domain name here.test postmasterPassword secret-1", "COMMIT", "CONFIG SERVER")
    assert admin.upload(b'event onEhlo {\n\tset (localDelivery, "all");\n}\n').startswith("+OK")
    admin.ok("COMMIT")
    admin.close()
    port = tls_port(program, authority.issue("sandbox.pem"))
    context = ssl._create_unverified_context()
    with smtplib.SMTP_SSL("127.0.0.1", port, timeout=60, context=context) as client:
        client.sendmail("", ["postmaster@here.test"], "a: b\n\nc")
    assert program.event("delivery.local")["recipient"] == "postmaster@here.test"
    with urllib.request.urlopen(f"http://{program.status()['metrics']}/metrics", timeout=60) as answer:
        figures = answer.read()
    assert b"postern_local_deliveries_total 1.0" in figures and b"process_open_fds " in figures
    assert program.run("reload").returncode == 0
    os.kill(program.status()["pid"], signal.SIGTERM)
    assert process.wait(60) == 0
    return trace.read_text()


def test_the_unit_forbids_nothing_that_the_server_does(traced):
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z]\w*)(?:\(| resumed)", traced, re.MULTILINE))
    assert {"execve", "listen", "fsync"} <= used
    assert sorted(used - allowed() - ROOT) == []
    # A mapping that can be written and run at once, MemoryDenyWriteExecute.
    assert setting("MemoryDenyWriteExecute") == [["true"]]
    assert re.findall(r"^.*\b(?:PROT_WRITE\|PROT_EXEC|mprotect\(.*PROT_EXEC)\b.*$", traced, re.MULTILINE) == []
    # The C library asks the kernel for addresses of this machine, and does without where it may not.
    families = set(re.findall(r"\bsocket\((AF_\w+)", traced))
    assert families - set(setting("RestrictAddressFamilies")[0]) <= {"AF_NETLINK"}
    # The figures of the process are missing without a word where /proc has processes only.
    assert 'openat(AT_FDCWD, "/proc/stat"' in traced
    assert setting("ProcSubset") in ([], [["all"]])
