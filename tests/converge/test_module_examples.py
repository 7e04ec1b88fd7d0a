# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples in the documentation of the modules, as one playbook in check mode."""

from __future__ import annotations

import importlib
import json
import re

import yaml
from mta_process import MODULES, PASSWORD, POSTERN, play

ROOT = POSTERN.parents[2]
GROUP = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["smtp"]


def examples(module: str) -> list[dict]:
    """The tasks in a module's EXAMPLES."""
    return yaml.safe_load(importlib.import_module(MODULES + module).EXAMPLES)


def test_every_module_that_connects_to_a_server_s_admin_interface_is_in_the_action_group():
    """The others know none of its options, so that defaults for the group would make them fail."""
    found = {path.stem: path.read_text() for path in (ROOT / "plugins" / "modules").glob("*.py")}
    assert GROUP == sorted(name for name, text in found.items() if "_connection.argument_spec(" in text or "_module.argument_spec(" in text)
    assert GROUP == sorted(name for name, text in found.items() if "securemail.smtp._attributes.actiongroup_smtp" in text)


def test_every_example_predicts(mta, run, tmp_path):
    """The action group's defaults hold in all of them: the examples' certificates are not on this host."""
    account = {"domain": "example.com", "account": "user1", "password": "u-Pass-12", "postmaster_password": "p-Pass-12"}
    assert "failed" not in run("smtp_account", **account)
    # In check mode an example cannot build on what the one before it would have made.
    assert "failed" not in run("smtp_auth_rule", name="disableAUTH_on_non_SSL", connection="plain", mechanisms=[])
    # Listeners that are off take no port.
    listeners = [{"address": "0.0.0.0:%d" % port, "enabled": False} for port in (465, 587)]
    assert "failed" not in run("smtp_policy", listeners=listeners)
    (tmp_path / "partners.txt").write_text("partner-a.example\npartner-b.example\n")
    backup = run("smtp_tls", starttls_inbound=False, backup=True, backup_dir=str(tmp_path))["backup_file"]
    assert "failed" not in run("smtp_tls", starttls_inbound=True)
    begun = len(mta.verbs())
    tasks = [{"securemail.smtp.smtp_info": {"admin_password": PASSWORD}, "register": "gathered"}]
    tasks += [task for module in GROUP for task in examples(module)]
    for task in tasks:
        if "securemail.smtp.smtp_restore" in task:
            task["securemail.smtp.smtp_restore"]["src"] = backup
        if "source" in task.get("securemail.smtp.smtp_forced_tls_domain", {}):
            task["securemail.smtp.smtp_forced_tls_domain"]["source"] = str(tmp_path / "partners.txt")
    names = set(re.findall(r"\bvault_\w+", json.dumps(tasks)))
    variables = dict({name: "an-Example-1" for name in names}, vault_admin_password=PASSWORD)
    (tmp_path / "vault.json").write_text(json.dumps(variables))
    defaults = {"group/securemail.smtp.smtp": {"server_files": "remote", "admin_timeout": 60}}
    (tmp_path / "examples.yml").write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}])
    )
    output = play(tmp_path / "examples.yml", mta.port, "--check", "--diff", "-e", "@%s" % (tmp_path / "vault.json"))
    assert "failed=0" in output and "Callback dispatch" not in output and "an-Example-1" not in output
    sent = mta.verbs()[begun:]
    assert not {verb for verb, _object in sent} & {"ADD", "COMMIT", "CREATE", "DELETE", "DONE", "REMOVE", "SAVE", "SET"}
    # A domain's accounts are listed in its context, a listener's shows what it offers; nothing else is entered.
    assert {thing.lower() for verb, thing in sent if verb == "UPDATE"} <= {"domain", "listener"}
