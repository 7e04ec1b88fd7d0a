#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_auth_rule
short_description: Manage one rule that says who may authenticate how
version_added: 0.1.0
description:
  - An authentication rule names the SASL mechanisms (RFC 4954) that connections of one kind may use.
  - The usual pair is one rule that takes authentication away from connections in clear, and behind it one that chooses
    the mechanisms inside TLS.
  - Rules are applied in order, and the last one that speaks about a kind of connection decides.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._safety
  - securemail.smtp._safety.proof
  - securemail.smtp._attributes
  - securemail.smtp._attributes.actiongroup_smtp
options:
  name:
    description:
      - Name of the rule, a letter followed by letters, digits and underscores. Names that begin with V(WA_) belong to the server.
      - A rule of this name that was made by hand is taken over in its place.
    type: str
    required: true
  connection:
    description:
      - The kind of connection that the rule speaks about.
      - Required when O(state=present).
    type: str
    choices:
      plain: Connections in clear.
      tls: Connections inside TLS, after STARTTLS or on a listener with implicit TLS.
  mechanisms:
    description:
      - The mechanisms that may be used, such as V(PLAIN), V(LOGIN), V(SCRAM-SHA-256) or V(CRAM-MD5); which exist depends on the server.
      - An empty list, V([]), means that no authentication takes place. An option without a value is not the same and is refused.
      - Required when O(state=present).
    type: list
    elements: str
  position:
    description:
      - Where the rule stands among the rules of its event, as V(first), V(last), or a dictionary with one of the keys
        C(before) and C(after) and the name of another rule.
      - V(first) is first among the administrator's own rules, behind the server's basic settings.
      - If not given, a rule keeps its place, and a new one comes last.
    type: raw
  enabled:
    description:
      - Whether the server applies the rule. A new rule is enabled unless this says otherwise.
    type: bool
  state:
    description:
      - Whether the rule exists.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: securemail.smtp.smtp_dialect
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: No authentication in clear
  securemail.smtp.smtp_auth_rule:
    name: disableAUTH_on_non_SSL
    connection: plain
    mechanisms: []
    position: first
    admin_password: "{{ vault_admin_password }}"

- name: Authentication inside TLS, without PLAIN and LOGIN
  securemail.smtp.smtp_auth_rule:
    name: enableAUTH_on_SSL
    connection: tls
    mechanisms: [SCRAM-SHA-256]
    position:
      after: disableAUTH_on_non_SSL
    admin_password: "{{ vault_admin_password }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["add rule disableAUTH_on_non_SSL", "call rule disableAUTH_on_non_SSL"]
backup_file:
  description: The folder with the backup of the state before the change. M(securemail.smtp.smtp_restore) brings it back.
  type: str
  returned: when something was changed and O(backup) is in force
  sample: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
  version_added: 0.3.0
rule:
  description: The rule as it is now. Empty when it is absent.
  type: dict
  returned: success
  sample: {name: disableAUTH_on_non_SSL, connection: plain, mechanisms: [], enabled: true}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import AuthRule
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_name import rule_name


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _module.argument_spec(),
            name={"type": "str", "required": True},
            connection={"type": "str", "choices": ["plain", "tls"]},
            mechanisms={"type": "list", "elements": "str"},
            position={"type": "raw"},
            enabled={"type": "bool"},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        ),
        required_if=[("state", "present", ("connection", "mechanisms"))],
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    with _module.failures(module):
        name = rule_name(module.params["name"])
        position = options.position(module.params["position"])
        entry = options.auth_rule(module.params) if present else None

    def change(policy):
        return edit.put_auth_rule(policy, entry, position) if present else edit.remove_rule(policy, name, AuthRule)

    def view(policy):
        return document.rule_order(policy, "ehlo", name)

    _module.run(
        module,
        change,
        view,
        lambda outcome: {"rule": document.rule_document(outcome.after.rule(name))},
        [AuthRule],
    )


if __name__ == "__main__":
    main()
