# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of the modules, as far as they get without a server: arguments and values are accepted.

Each runs against an address where nothing listens, so that the connection is the first thing that fails.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import socket

import pytest
import yaml

from ansible.module_utils.testing import patch_module_args

from ansible_collections.securemail.smtp.plugins import modules
from ansible_collections.securemail.smtp.plugins.module_utils import _backup

#: What a file with domains holds that an example names.
LIST = "a.test\n.b.test  # all of its subdomains\n"

#: What an expression of an example stands for.
VALUES = {
    "gathered.policy.starttls": {"inbound": True, "outbound": True},
    "gathered.policy.auth_rules": [{"name": "a", "connection": "plain", "mechanisms": [], "enabled": True}],
    "gathered.policy.relay_tls": [{"name": "r", "level": "may", "versions": None, "enabled": True}],
    "gathered.policy.forced_tls_domains": [
        {
            "domain": "a.test",
            "direction": "outbound",
            "reject_message": None,
            "level": "encrypt",
            "versions": None,
            "match": None,
            "name": "n",
            "enabled": True,
        }
    ],
    "gathered.policy.rules": [],
    "gathered.policy | combine({'prune': true, 'admin_password': vault_admin_password})": {
        "relay": None,
        "auth_rules": [],
        "other_rules": [{"name": "WA_Acceptance_basic", "event": "ehlo", "enabled": True}],
        "rule_order": {"ehlo": ["WA_Acceptance_basic"]},
        "prune": True,
    },
    "first.before": {"format": 1, "methods": {}},
    "lookup('ansible.builtin.file', 'partners.txt')": LIST,
}

#: What a backup that an example names holds.
BACKUP = {"smtpFilters.script": "event onEhlo {\n}", "server.cfg": "Server {\n}"}


def resolved(value):
    if isinstance(value, dict):
        return {key: resolved(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [resolved(entry) for entry in value]
    if isinstance(value, str) and "{{" in value:
        expression = value.strip()[2:-2].strip()
        if expression.startswith("vault_"):
            return "secret-of-the-vault"
        return VALUES[expression]
    return value


def examples():
    for module in sorted(info.name for info in pkgutil.iter_modules(modules.__path__)):
        loaded = importlib.import_module(modules.__name__ + "." + module)
        if "actiongroup_smtp" not in loaded.DOCUMENTATION:
            # No administrator's connection: nothing here would stop it.
            continue
        for task in yaml.safe_load(loaded.EXAMPLES):
            name = "securemail.smtp." + module
            if name in task:
                yield pytest.param(loaded, task[name], id="%s: %s" % (module, task["name"]))


def run(module, arguments, capfd, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        arguments = dict(
            arguments, admin_host="127.0.0.1", admin_port=closed.getsockname()[1], admin_password="admin-word"
        )
        if "source" in arguments:
            (tmp_path / "partners.txt").write_text("a.test\n")
            arguments["source"] = str(tmp_path / "partners.txt")
        if "src" in arguments:
            peer = "127.0.0.1:%d" % arguments["admin_port"]
            arguments["src"] = _backup.write(str(tmp_path), peer, BACKUP, {"server": peer, "host": os.uname().nodename})
        if "source" in arguments:
            arguments["source"] = str(tmp_path / "partners.txt")
            (tmp_path / "partners.txt").write_text(LIST)
        with patch_module_args(arguments):
            with pytest.raises(SystemExit):
                module.main()
    return json.loads(capfd.readouterr().out)


@pytest.mark.parametrize(("module", "arguments"), list(examples()))
def test_an_example_is_accepted(module, arguments, capfd, tmp_path):
    if "query" in arguments:
        pytest.importorskip("jmespath", reason="queries need jmespath")
    result = run(module, resolved(arguments), capfd, tmp_path)
    assert result["failed"] is True
    assert result["operation"].startswith("connect to the admin interface at 127.0.0.1:")
    assert "secret-of-the-vault" not in json.dumps(result)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("smtp_relay_tls", {"name": "r"}, "state is present but all of the following are missing: level"),
        ("smtp_relay_tls", {"name": "r", "level": "none"}, "level must be one of may, encrypt, verify, secure"),
        (
            "smtp_relay_tls",
            {"name": "r", "level": "secure", "fingerprints": ["a1" * 32]},
            "fingerprints have a meaning with level: fingerprint only; got level: secure",
        ),
        (
            "smtp_forced_tls_domain",
            {"domains": ["a.test", {"domain": "b.test", "fingerprints": ["x"]}], "direction": "outbound"},
            "domains #2: fingerprints #1 must be a SHA-256 fingerprint",
        ),
        ("smtp_relay_tls", {"name": "r", "level": "may", "position": "middle"}, "position must be first, last"),
        ("smtp_forced_tls_domain", {"domain": "a.test", "level": "verify"}, "level: verify cannot be asked of mail that comes in"),
        ("smtp_policy", {"relay": {"host": "relay.test"}}, "relay.port is missing; usual are 587"),
        ("smtp_policy", {"relay": {"state": "present"}}, "relay.host must be the name or IP address"),
        (
            "smtp_policy",
            {"relay": {"host": "relay.test", "port": 25, "username": "u", "password": "pw-pw", "level": "no"}},
            "relay.level: none would let the credentials go out in clear text",
        ),
        ("smtp_policy", {"relay_tls": [{"name": "r"}]}, "state is present but all of the following are missing: level"),
    ],
)
def test_bad_input_is_refused_before_the_server_is_asked(name, arguments, said, capfd, tmp_path):
    result = run(importlib.import_module(modules.__name__ + "." + name), arguments, capfd, tmp_path)
    assert result["failed"] is True
    assert said in result["msg"]
    assert "operation" not in result
    assert "pw-pw" not in json.dumps(result)
