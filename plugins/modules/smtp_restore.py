#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_restore
short_description: Bring a mail server's policy back from a backup
version_added: 0.3.0
description:
  - Brings policy script and SMTP listeners back as they were when the backup was made, whatever was changed since.
  - The script comes back byte for byte, comments and rules made by hand included. A difference in nothing but line ends is none.
  - Listeners come back with all their attributes, those included that no other module manages.
  - Backups are made by the modules that write the policy, see their option C(backup).
  - Nothing else is restored. Domains and accounts, settings of other services and of the server as a whole are in no policy; the file
    C(server.cfg) of a backup shows what they were.
  - A backup that is damaged, incomplete or of another server is refused before anything is sent.
  - As every change, a restoration that fails half way is rolled back. Forced-TLS rules that come back are not tried from outside.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._safety
  - securemail.smtp._attributes
  - securemail.smtp._attributes.actiongroup_smtp
options:
  src:
    description:
      - The folder of the backup, on the host that runs the module, as C(backup_file) named it when it was made.
    type: path
    required: true
  other_server:
    description:
      - Whether the backup may be of another server than the one that O(admin_host) and O(admin_port) name.
      - The same server under another name is another one too, because nothing in a backup proves the opposite.
    type: bool
    default: false
seealso:
  - module: securemail.smtp.smtp_policy
  - module: securemail.smtp.smtp_info
"""

EXAMPLES = r"""
- name: The state before a change is in force again
  securemail.smtp.smtp_restore:
    src: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
    admin_password: "{{ vault_admin_password }}"

- name: What would come back
  securemail.smtp.smtp_restore:
    src: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
    admin_password: "{{ vault_admin_password }}"
  check_mode: true
  diff: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["set back the policy script", "bring back listener 0.0.0.0:587"]
backup_file:
  description: The folder with the backup of the state before the restoration.
  type: str
  returned: when something was changed and O(backup) is in force
  sample: /home/admin/.securemail/backups/127.0.0.1_7000/20261126T080000Z-5f4e3d2c1b0a
policy:
  description: The whole policy as it is now, as M(securemail.smtp.smtp_info) returns it.
  type: dict
  returned: success
"""

import hashlib
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _backup, _connection, _module
from ansible_collections.securemail.smtp.plugins.module_utils._converge import converge
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import one_line_end
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.server import SCRIPT_FILE


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _module.argument_spec(proof=False),
            src={"type": "path", "required": True},
            other_server={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    with _module.failures(module):
        backup = _backup.load(module.params["src"])
        _check_server(module.params, backup.facts)
        goal = _backup.Restored(backup.files)
        with _module.server(module) as opened:
            _check_parts(module.params, backup.files, opened.parts)
            outcome = converge(opened, goal, module.check_mode, _module.safety(module, opened))
            _compare_versions(module, backup.facts, opened.version)
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(
        changed=outcome.changed,
        actions=list(outcome.actions),
        diff={
            "before": _view(outcome.before, outcome.files_before),
            "after": _view(outcome.after, backup.files),
        },
        policy=document.policy_document(outcome.after),
        **_module.kept(outcome.backup),
    )


def _check_parts(params, files, parts):
    """A Postfix has nothing to do with a policy script, and the other way round."""
    missing = [name for name in parts if name not in files]
    if missing:
        raise PolicyError(
            "src %s: it has no %s, so it is no backup of a server of this kind (server: %s). Nothing was sent to the server."
            % (params["src"], " and no ".join(missing), params["server"])
        )


def _check_server(params, facts):
    """A backup of another server is not brought here by mistake. Two hosts call themselves 127.0.0.1."""
    here = _connection.peer(params)
    there = facts.get("server")
    local = params["server"] == _connection.POSTFIX or _connection.is_loopback(here.rpartition(":")[0])
    if params["other_server"] or (there == here and (not local or facts.get("host") == os.uname().nodename)):
        return
    raise PolicyError(
        "src %s: this is a backup of the server at %s, made on host %s; the task is about %s on host %s. Nothing was "
        "sent to the server. other_server: true restores it all the same"
        % (params["src"], there, facts.get("host"), here, os.uname().nodename)
    )


def _compare_versions(module, facts, version):
    if facts.get("server_version") != version:
        then = facts.get("server_version")
        module.warn("The backup was made from version %s, and the server has version %s." % (then, version))


def _view(policy, files):
    shown = {"policy": document.policy_document(policy)}
    # They may hold a password, and differ in what no policy knows: a comment, a rule made by hand.
    if SCRIPT_FILE in files:
        return dict(shown, policy_script=_digest(one_line_end(files[SCRIPT_FILE])))
    return dict(shown, files={name: _digest(text) for name, text in sorted(files.items())})


def _digest(text):
    return "sha256 " + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


if __name__ == "__main__":
    main()
