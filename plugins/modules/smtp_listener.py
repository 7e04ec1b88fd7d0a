#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_listener
short_description: Manage one SMTP listener of a mail server
version_added: 0.1.0
description:
  - Creates, changes or removes one address on which the server receives SMTP, with its TLS settings, limits and networks.
  - Options that are not given are left as they are on the server.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._safety
  - securemail.smtp._safety.proof
  - securemail.smtp._listener
  - securemail.smtp._listener.limits
  - securemail.smtp._attributes
  - securemail.smtp._attributes.actiongroup_smtp
options:
  address:
    description:
      - Address and port, as V(0.0.0.0:25) or V([::]:587). Quote it, since YAML reads some of these as numbers or lists.
      - It is compared in canonical form, so that every spelling of an IPv6 address means the same listener.
    type: str
    required: true
  state:
    description:
      - Whether the listener exists.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: securemail.smtp.smtp_tls
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: Submission with STARTTLS
  securemail.smtp.smtp_listener:
    address: "0.0.0.0:587"
    tls: starttls
    versions: [TLSv1.2, TLSv1.3]
    ciphers: "ECDHE+AESGCM:ECDHE+CHACHA20"
    certificate: /etc/mail/mail.example.com.pem
    admin_password: "{{ vault_admin_password }}"

- name: Submission with TLS from the first byte
  securemail.smtp.smtp_listener:
    address: "[::]:465"
    tls: implicit
    certificate: /etc/mail/mail.example.com.pem
    admin_password: "{{ vault_admin_password }}"

- name: See what taking a listener away would do
  securemail.smtp.smtp_listener:
    address: "0.0.0.0:2525"
    state: absent
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
  sample: ["change listener 0.0.0.0:587 (versions)"]
backup_file:
  description: The folder with the backup of the state before the change. M(securemail.smtp.smtp_restore) brings it back.
  type: str
  returned: when something was changed and O(backup) is in force
  sample: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
  version_added: 0.3.0
listener:
  description: The listener as it is now; V(null) for a value that the server did not say and nobody set. Empty when it is absent.
  type: dict
  returned: success
  sample:
    address: "0.0.0.0:587"
    enabled: true
    tls: starttls
    versions: [TLSv1.2, TLSv1.3]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import coverage, document, edit
from ansible_collections.securemail.smtp.plugins.module_utils._policy.address import listener_address
from ansible_collections.securemail.smtp.plugins.module_utils._policy.options import listener_values
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _module.argument_spec(),
            address={"type": "str", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            **_module.listener_options(),
        ),
        supports_check_mode=True,
    )
    with _module.failures(module):
        address = listener_address(module.params["address"])
        wanted = Listener(address, **listener_values(module.params))
    _module.warn_withdrawn(module, wanted.versions)

    def change(policy):
        if module.params["state"] == "absent":
            return edit.remove_listener(policy, address)
        return edit.put_listener(policy, wanted)

    def view(policy):
        listener = policy.listener(address)
        return document.listener_document(listener) if listener else {}

    def results(outcome):
        unsafe = coverage.shut_out(outcome.before, outcome.after)
        if unsafe is not None:
            module.warn(unsafe)
        return {"listener": view(outcome.after)}

    _module.run(module, change, view, results)


if __name__ == "__main__":
    main()
