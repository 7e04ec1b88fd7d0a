#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_relay_tls
short_description: Manage one rule that says how TLS is used when mail is sent to other hosts
version_added: 0.2.0
description:
  - A relay TLS rule is about all mail that the server sends to other hosts, whatever its domain, be it to the hosts that DNS
    names or to a relay host. It says whether TLS is required, and which protocol versions may be used.
  - The rules are applied in order, and the last one that names versions decides about them. Where one of them requires TLS, it is
    required; of those at V(verify) or stricter the last one says who peers must be. Rules for single domains
    (M(securemail.smtp.smtp_forced_tls_domain), O(securemail.smtp.smtp_forced_tls_domain#module:direction)) stand behind them, so that
    they can name other versions and another level for their domain.
  - A rule at V(verify) or stricter is the default of all domains. A domain at a weaker level is an exception then and needs a reason,
    and one for which no level is said gets that of the rule. A new rule that would make exceptions of domains is refused and names them.
  - A message whose required TLS cannot be had stays in the queue. It never goes out in clear, and it is not returned before the
    lifetime of the queue ends.
  - Whether STARTTLS is used at all where nothing requires it is a setting of the whole server,
    O(securemail.smtp.smtp_tls#module:starttls_outbound).
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
  level:
    description:
      - Whether TLS is required, with Postfix's names.
      - V(may) uses STARTTLS when the other side offers it, and sends in clear otherwise.
      - V(encrypt) needs TLS and does not look at the certificate. Few servers can require that for the whole Internet.
      - V(verify) also needs a trusted certificate for the name of the host, V(secure) one for the domain or for a name in O(match),
        V(fingerprint) one of O(fingerprints). These are for a server that sends to few others, or to one.
      - V(dane), V(dane-only) and V(mta-sts) are no levels for all mail and are refused by name.
      - A server that cannot hold a level, or whose name for it is not known, refuses it by name; it never takes a weaker one instead.
        With the dialect profile V(axigen) V(may) can be written, and V(encrypt) only where O(dialect_profile) says V(relay_ssl=required).
      - Required when O(state=present).
    type: str
  versions:
    description:
      - The protocol versions that may be used, and no others.
      - Any of V(TLSv1), V(TLSv1.1), V(TLSv1.2), V(TLSv1.3), without a gap. Other common spellings (V(1.2), V(tls1_2)) are understood.
      - V(SSLv2) and V(SSLv3) are refused (RFC 6176, RFC 7568). V(TLSv1) and V(TLSv1.1) draw a warning (RFC 8996).
      - If not given, an existing rule keeps its own, and a new one leaves them to the server. The bundled server then uses
        TLS 1.2 and newer. V([]) means that the rule names none.
    type: list
    elements: str
  match:
    description:
      - Names that certificates may be for, only with O(level=secure). A leading dot means any subdomain.
      - If not given, an existing rule keeps its own, and a new one takes the domain that mail goes to. V([]) means that.
    type: list
    elements: str
    version_added: 0.6.0
  fingerprints:
    description:
      - The certificates or public keys that are accepted, by their SHA-256. Needed for O(level=fingerprint), and refused at any other level.
      - See O(securemail.smtp.smtp_forced_tls_domain#module:fingerprints) for the spellings.
      - If not given, an existing rule at this level keeps its own.
    type: list
    elements: str
    version_added: 0.6.0
  position:
    description:
      - Where the rule stands among the rules of its event, as V(first), V(last), or a dictionary with one of the keys
        C(before) and C(after) and the name of another rule.
      - V(first) is first among the administrator's own rules, behind the server's basic settings.
      - If not given, a rule keeps its place, and a new one comes behind the others of its kind and before the rules of single domains.
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
  - module: securemail.smtp.smtp_forced_tls_domain
  - module: securemail.smtp.smtp_tls
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: The article's example, which draws a warning today
  securemail.smtp.smtp_relay_tls:
    name: use_only_tls11_and_12_when_relaying
    level: encrypt
    versions: [TLSv1.1, TLSv1.2]
    admin_password: "{{ vault_admin_password }}"

- name: TLS where it is offered, and only of today's versions
  securemail.smtp.smtp_relay_tls:
    name: versions_when_relaying
    level: may
    versions: [TLSv1.2, TLSv1.3]
    position: first
    admin_password: "{{ vault_admin_password }}"

- name: All mail goes to the gateway of the group, which nobody can pretend to be
  securemail.smtp.smtp_relay_tls:
    name: only_to_our_gateway
    level: fingerprint
    fingerprints: ["5E:DD:3C:2A:1B:96:4F:6E:0A:52:7D:11:C8:03:9B:E4:77:28:F0:63:AD:15:8C:B2:40:D9:6A:31:FE:84:0C:97"]
    admin_password: "{{ vault_admin_password }}"

- name: No rule of this name any more
  securemail.smtp.smtp_relay_tls:
    name: use_only_tls11_and_12_when_relaying
    state: absent
    admin_password: "{{ vault_admin_password }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["add rule use_only_tls11_and_12_when_relaying", "call rule use_only_tls11_and_12_when_relaying"]
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
  sample:
    name: use_only_tls11_and_12_when_relaying
    level: encrypt
    versions: [TLSv1.1, TLSv1.2]
    match: []
    fingerprints: []
    enabled: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import RelayTlsRule


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _module.argument_spec(),
            name={"type": "str", "required": True},
            level={"type": "str"},
            versions={"type": "list", "elements": "str"},
            match={"type": "list", "elements": "str"},
            fingerprints={"type": "list", "elements": "str"},
            position={"type": "raw"},
            enabled={"type": "bool"},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        ),
        required_if=[("state", "present", ("level",))],
        supports_check_mode=True,
    )
    with _module.failures(module):
        entry = options.relay_tls(module.params)
        position = options.position(module.params["position"])
    present = entry["state"] == "present"
    _module.warn_withdrawn(module, entry["versions"] if present else None)
    name = entry["name"]

    def change(policy):
        if present:
            return edit.put_relay_tls(policy, entry, position)
        return edit.remove_rule(policy, name, RelayTlsRule)

    def view(policy):
        return document.rule_order(policy, RelayTlsRule.event, name)

    _module.run(
        module, change, view, lambda outcome: {"rule": document.rule_document(outcome.after.rule(name))}, [RelayTlsRule]
    )


if __name__ == "__main__":
    main()
