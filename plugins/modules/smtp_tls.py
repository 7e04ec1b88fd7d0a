#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_tls
short_description: Manage TLS settings of listeners, and STARTTLS
version_added: 0.1.0
description:
  - Sets TLS versions, ciphers, certificate and DH parameters of one, several or all SMTP listeners in one go.
  - Switches STARTTLS of the whole server on and off, for mail that comes in and for mail that goes out.
  - Options that are not given are left as they are on the server.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._safety
  - securemail.smtp._safety.proof
  - securemail.smtp._listener
  - securemail.smtp._attributes
  - securemail.smtp._attributes.actiongroup_smtp
options:
  listeners:
    description:
      - Addresses of the listeners to set, as V(0.0.0.0:25). Each must exist. If not given, all listeners are set.
    type: list
    elements: str
  starttls_inbound:
    description:
      - Whether STARTTLS is offered to clients (RFC 3207). Listeners without a certificate do not offer it.
    type: bool
  starttls_outbound:
    description:
      - Whether STARTTLS is used with servers that offer it, where nothing requires TLS. Where it fails, the mail goes out in clear.
      - V(false) switches that off. Rules that require TLS (M(securemail.smtp.smtp_relay_tls),
        M(securemail.smtp.smtp_forced_tls_domain)) count all the same, and so does the level of a relay host.
    type: bool
seealso:
  - module: securemail.smtp.smtp_relay_tls
  - module: securemail.smtp.smtp_listener
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: Present-day TLS on every listener
  securemail.smtp.smtp_tls:
    versions: [TLSv1.2, TLSv1.3]
    ciphers: "ECDHE+AESGCM:ECDHE+CHACHA20"
    starttls_inbound: true
    starttls_outbound: true
    admin_password: "{{ vault_admin_password }}"

- name: Another certificate on the submission ports
  securemail.smtp.smtp_tls:
    listeners: ["0.0.0.0:587", "0.0.0.0:465"]
    certificate: /etc/mail/submission.pem
    admin_password: "{{ vault_admin_password }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["change listener 0.0.0.0:587 (versions, ciphers)", "set STARTTLS inbound to yes"]
backup_file:
  description: The folder with the backup of the state before the change. M(securemail.smtp.smtp_restore) brings it back.
  type: str
  returned: when something was changed and O(backup) is in force
  sample: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
  version_added: 0.3.0
listeners:
  description: The listeners that were meant, as they are now.
  type: list
  elements: dict
  returned: success
starttls:
  description: STARTTLS of the server as it is now.
  type: dict
  returned: success
  sample: {inbound: true, outbound: true}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import StartTls


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _module.argument_spec(),
            listeners={"type": "list", "elements": "str"},
            starttls_inbound={"type": "bool"},
            starttls_outbound={"type": "bool"},
            **_module.tls_options(),
        ),
        supports_check_mode=True,
    )
    with _module.failures(module):
        addresses = options.addresses(module.params["listeners"], "listeners")
        settings = options.tls_values(module.params)
    _module.warn_withdrawn(module, settings.get("versions"))
    starttls = StartTls(module.params["starttls_inbound"], module.params["starttls_outbound"])

    def view(policy):
        meant = [listener for listener in policy.listeners if addresses is None or listener.address in addresses]
        return {
            "listeners": [document.listener_document(listener) for listener in meant],
            "starttls": document.starttls_document(policy.starttls),
        }

    _module.run(
        module,
        lambda policy: edit.put_tls(policy, addresses, settings, starttls),
        view,
        lambda outcome: view(outcome.after),
    )


if __name__ == "__main__":
    main()
