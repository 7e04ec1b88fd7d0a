# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundled MTA as a process of its own, and modules run against it as Ansible runs them."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args

POSTERN = Path(__file__).resolve().parents[2] / "roles" / "mta" / "files"
PASSWORD = "Adm-1 \"quoted\" \\ pw"
MODULES = "ansible_collections.securemail.smtp.plugins.modules."

#: What an administrator's WebAdmin has made: basic settings, no rule of her own.
SCRIPT = b"""event onConnect {
}

event onEhlo {
\tcall (WA_Acceptance_basic);
\tcall (WA_Routing_basic_delivery);
}

event onMailFrom {
}

event onRcptTo {
}

event onRelay {
\tcall (WA_Routing_basic);
}

method WA_Acceptance_basic {
\tset (allowStartTLS, "yes");
\tset (localDelivery, "all");
}

method WA_Routing_basic_delivery {
\tset (remoteDelivery, "auth");
}

method WA_Routing_basic {
\tset (allowStartTLS, "yes");
\tset (allowedSSLVersions, "tls12 tls13 ");
}
"""


class Mta:
    """A running server. ``state`` is its folder, ``log`` its log file, ``port`` its admin port.

    ``bootstrap``: further tables of the bootstrap file. ``python``: the interpreter that runs it.
    """

    def __init__(
        self, folder: Path, password_hash: str, script: bytes, bootstrap: str = "", python: str = sys.executable
    ) -> None:
        self._python = python
        self.state = folder / "state"
        self.log = folder / "postern.log"
        self.config = folder / "postern.toml"
        self.state.mkdir(mode=0o700)
        (self.state / "admin.passwd").write_text(password_hash + "\n")
        (self.state / "admin.passwd").chmod(0o600)
        (folder / "initial.script").write_bytes(script)
        self.config.write_text(
            f'host_name = "mail.example.test"\nstate_dir = "{self.state}"\nrun_dir = "{folder / "run"}"\n'
            f'log_file = "{self.log}"\nuser = "{"root" if os.geteuid() == 0 else ""}"\n'
            f'initial_script = "{folder / "initial.script"}"\n[admin]\naddress = "127.0.0.1:0"\n'
            # Tests may connect more often in a minute than a server of the dialect allows.
            f"interval_connections = 0\n{bootstrap}"
        )
        self._process = None
        self.port = 0

    def start(self) -> None:
        """Start the server and wait until it says that it answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind("")  # an address of its own in the abstract name space
            manager.settimeout(30)
            environment = dict(os.environ, PYTHONPATH=str(POSTERN))
            environment["NOTIFY_SOCKET"] = "@" + manager.getsockname()[1:].decode()
            self._process = subprocess.Popen(
                [self._python, "-m", "postern", "serve", "--config", str(self.config)],
                env=environment,
                stderr=subprocess.PIPE,
            )
            try:
                manager.recv(64)
            except TimeoutError:
                self._process.kill()
                raise RuntimeError(self._process.communicate()[1].decode()) from None
        status = json.loads((self.state / "status.json").read_text())
        self.port = int(status["admin"].rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.communicate()
            self._process = None

    def events(self, name: str) -> list[dict]:
        """The log's events of one kind."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event.get("event") == name]

    def verbs(self) -> list[tuple[str, str]]:
        """The admin commands so far: verb and object."""
        return [(event["verb"], event.get("object", "")) for event in self.events("admin.command")]

    def script(self) -> bytes:
        """The policy script on disk, as it was saved last."""
        return (self.state / "filters" / "smtpFilters.script").read_bytes()


class Result(dict):
    """What a module returned; ``output`` is all that it printed."""

    output = ""


def call(name: str, parameters: dict, check: bool) -> Result:
    """Run a module's ``main`` as Ansible does, in this process."""
    arguments = dict(parameters, _ansible_check_mode=check, _ansible_diff=True)
    stdout = io.StringIO()
    # Ansible keeps warnings for the life of a process, which elsewhere is that of one module run.
    warnings._global_warnings.clear()
    main = importlib.import_module(MODULES + name).main
    with patch_module_args(arguments), contextlib.redirect_stdout(stdout), pytest.raises(SystemExit):
        main()
    result = Result(json.loads(stdout.getvalue()))
    result.output = stdout.getvalue()
    return result


def play(playbook: Path, port: int, *options: str, **variables: str) -> str:
    """Run ``ansible-playbook`` on this host against the server with this admin port; returns all that it printed.

    ``variables`` are added to the environment.
    """
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
    command += ["-e", "ansible_python_interpreter=%s" % sys.executable, *options, str(playbook)]
    # The first folder of PYTHONPATH is the one that holds ansible_collections.
    collections = os.environ.get("PYTHONPATH", "").split(os.pathsep)[0]
    environment = dict(
        os.environ, SECUREMAIL_ADMIN_PORT=str(port), ANSIBLE_NOCOLOR="1", ANSIBLE_COLLECTIONS_PATH=collections, **variables
    )
    # What a module was called with is shown only when Ansible is told to, or is older.
    environment["ANSIBLE_INJECT_INVOCATION"] = "true"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode:
        raise AssertionError(output)
    return output
