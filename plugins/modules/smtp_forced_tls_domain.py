#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_forced_tls_domain
short_description: Manage domains that take mail over TLS only
version_added: 0.1.0
description:
  - Mail for such a domain that arrives in clear is refused at RCPT with an explanation; other recipients of the same message are not affected.
  - One domain or a whole list is managed in one call, with one visit to the server.
  - A rule is recognised by what it says, so that one that was made by hand for the same domain is taken over in its place.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._attributes
  - securemail.smtp._attributes.actiongroup_smtp
options:
  domain:
    description:
      - The recipient domain. Case, a final dot and umlauts do not matter; it is compared as an A-label (IDNA 2008).
    type: str
  domains:
    description:
      - Several recipient domains. Empty entries are skipped, equal ones merged, bad ones all named in one error.
    type: list
    elements: str
  direction:
    description:
      - The direction of mail that the rule is about.
    type: str
    choices:
      inbound: Mail that the server receives.
    default: inbound
  reject_message:
    description:
      - The explanation that the sending server gets, printable ASCII without double quotes, backslashes and percent signs.
      - If not given, an existing rule keeps its own, and a new one says
        C(Accepting only secure delivery (STARTTLS) for) and the domain.
    type: str
  name:
    description:
      - Name of the rule, only together with O(domain). If not given, it is derived from the domain,
        C(allow_only_tls_for_mydomain_com) for C(mydomain.com).
    type: str
  enabled:
    description:
      - Whether the server applies the rules. New rules are enabled unless this says otherwise.
    type: bool
  state:
    description:
      - Whether the rules exist.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: The article's example
  securemail.smtp.smtp_forced_tls_domain:
    domain: mydomain.com
    reject_message: "Accepting only secure delivery (STARTTLS) for mydomain.com"
    admin_password: "{{ vault_admin_password }}"

- name: All partners from a file, in one call
  securemail.smtp.smtp_forced_tls_domain:
    domains: "{{ lookup('ansible.builtin.file', 'partners.txt').splitlines() }}"
    admin_password: "{{ vault_admin_password }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["add rule allow_only_tls_for_mydomain_com", "call rule allow_only_tls_for_mydomain_com"]
forced_tls_domains:
  description: The rules for the named domains as they are now.
  type: list
  elements: dict
  returned: success
  sample:
    - domain: mydomain.com
      direction: inbound
      reject_message: Accepting only secure delivery (STARTTLS) for mydomain.com
      name: allow_only_tls_for_mydomain_com
      enabled: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _connection, _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import ForcedTlsDomain


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _connection.argument_spec(),
            domain={"type": "str"},
            domains={"type": "list", "elements": "str"},
            direction={"type": "str", "choices": ["inbound"], "default": "inbound"},
            reject_message={"type": "str"},
            name={"type": "str"},
            enabled={"type": "bool"},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        ),
        required_one_of=[("domain", "domains")],
        mutually_exclusive=[("domain", "domains"), ("name", "domains")],
        supports_check_mode=True,
    )
    with _module.failures(module):
        entries, notices = options.forced_domains(module.params)
    for notice in notices:
        module.warn(notice)
    domains = frozenset(entry["domain"] for entry in entries)

    def change(policy):
        if module.params["state"] == "absent":
            return edit.remove_forced_domains(policy, domains, module.params["direction"])
        return edit.put_forced_domains(policy, entries)

    def view(policy):
        return document.forced_domain_documents(policy, domains)

    _module.run(module, change, view, lambda outcome: {"forced_tls_domains": view(outcome.after)}, [ForcedTlsDomain])


if __name__ == "__main__":
    main()
