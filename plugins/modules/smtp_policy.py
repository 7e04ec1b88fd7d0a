#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_policy
short_description: Manage the whole SMTP policy of a mail server in one task
version_added: 0.1.0
description:
  - Listeners, TLS settings, STARTTLS, authentication rules and forced-TLS domains as one document, in one visit to the server.
  - What the document does not name stays as it is on the server; nothing is pruned.
  - The server takes all of it or nothing, as far as it can.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._attributes
  - securemail.smtp._attributes.actiongroup_smtp
options:
  listeners:
    description:
      - SMTP listeners. See M(securemail.smtp.smtp_listener) for the meaning of each value.
    type: list
    elements: dict
    suboptions:
      address:
        description: Address and port, as V(0.0.0.0:25) or V([::]:587), quoted.
        type: str
        required: true
      state:
        description: Whether the listener exists.
        type: str
        choices: [present, absent]
        default: present
      enabled:
        description: Whether the listener accepts connections.
        type: bool
      tls:
        description: V(none), V(starttls) or V(implicit). See M(securemail.smtp.smtp_listener).
        type: raw
      versions:
        description: The protocol versions that are allowed, and no others.
        type: list
        elements: str
      ciphers:
        description: An OpenSSL cipher list for TLS 1.2 and older.
        type: str
      prefer_server_ciphers:
        description: Whether the server's order of ciphers decides.
        type: bool
      certificate:
        description: A PEM file on the server with key, certificate and chain. The empty string means none.
        type: path
      ca_file:
        description: A PEM file on the server with authorities for client certificates. The empty string means none.
        type: path
      dh_params:
        description: A PEM file on the server with Diffie-Hellman parameters. The empty string means none.
        type: path
      request_client_certificate:
        description: Whether clients are asked for a certificate.
        type: bool
      idle_timeout:
        description: Seconds without a command after which a session is closed, 0 to 86400; 0 means never.
        type: int
      max_connections:
        description: Connections at a time, 1 to 2048.
        type: int
      max_interval_connections:
        description: New connections in each interval, 0 to 100000; 0 means no limit.
        type: int
      interval:
        description: Length in seconds of that interval, 30 to 86400.
        type: int
      peer_max_connections:
        description: Connections of one client address at a time, 1 to 2048.
        type: int
      peer_max_interval_connections:
        description: New connections of one client address in each of its intervals, 0 to 100000; 0 means no limit.
        type: int
      peer_interval:
        description: Length in seconds of that interval, 30 to 86400.
        type: int
      allowed_networks:
        description: Client networks that are exceptions to the denied ones.
        type: list
        elements: str
      denied_networks:
        description: Client networks whose connections are refused.
        type: list
        elements: str
  tls:
    description:
      - TLS settings for every listener of the document that does not set its own.
    type: dict
    suboptions:
      versions:
        description: The protocol versions that are allowed, and no others.
        type: list
        elements: str
      ciphers:
        description: An OpenSSL cipher list for TLS 1.2 and older.
        type: str
      prefer_server_ciphers:
        description: Whether the server's order of ciphers decides.
        type: bool
      certificate:
        description: A PEM file on the server with key, certificate and chain. The empty string means none.
        type: path
      ca_file:
        description: A PEM file on the server with authorities for client certificates. The empty string means none.
        type: path
      dh_params:
        description: A PEM file on the server with Diffie-Hellman parameters. The empty string means none.
        type: path
      request_client_certificate:
        description: Whether clients are asked for a certificate.
        type: bool
  starttls:
    description:
      - STARTTLS of the whole server.
    type: dict
    suboptions:
      inbound:
        description: Whether STARTTLS is offered to clients.
        type: bool
      outbound:
        description: Whether STARTTLS is used with servers that offer it.
        type: bool
  auth_rules:
    description:
      - Authentication rules. They stand on the server in this order.
        See M(securemail.smtp.smtp_auth_rule) for the meaning of each value.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the rule.
        type: str
        required: true
      connection:
        description: The kind of connection that the rule speaks about.
        type: str
        choices: [plain, tls]
      mechanisms:
        description: The mechanisms that may be used; V([]) means no authentication.
        type: list
        elements: str
      enabled:
        description: Whether the server applies the rule.
        type: bool
      state:
        description: Whether the rule exists.
        type: str
        choices: [present, absent]
        default: present
  forced_tls_domains:
    description:
      - Domains that take mail over TLS only. See M(securemail.smtp.smtp_forced_tls_domain) for the meaning of each value.
    type: list
    elements: dict
    suboptions:
      domain:
        description: The recipient domain.
        type: str
        required: true
      direction:
        description: The direction of mail that the rule is about.
        type: str
        choices: [inbound]
        default: inbound
      reject_message:
        description: The explanation that the sending server gets.
        type: str
      name:
        description: Name of the rule. If not given, it is derived from the domain.
        type: str
      enabled:
        description: Whether the server applies the rule.
        type: bool
      state:
        description: Whether the rule exists.
        type: str
        choices: [present, absent]
        default: present
seealso:
  - module: securemail.smtp.smtp_info
  - module: securemail.smtp.smtp_listener
  - module: securemail.smtp.smtp_auth_rule
  - module: securemail.smtp.smtp_forced_tls_domain
"""

EXAMPLES = r"""
- name: Secure the SMTP services
  securemail.smtp.smtp_policy:
    tls:
      versions: [TLSv1.2, TLSv1.3]
      ciphers: "ECDHE+AESGCM:ECDHE+CHACHA20"
      certificate: /etc/mail/mail.example.com.pem
    listeners:
      - {address: "0.0.0.0:25", tls: starttls}
      - {address: "0.0.0.0:587", tls: starttls}
      - {address: "0.0.0.0:465", tls: implicit}
    starttls: {inbound: true, outbound: true}
    auth_rules:
      - {name: disableAUTH_on_non_SSL, connection: plain, mechanisms: []}
      - {name: enableAUTH_on_SSL, connection: tls, mechanisms: [SCRAM-SHA-256, PLAIN]}
    forced_tls_domains:
      - domain: mydomain.com
        reject_message: "Accepting only secure delivery (STARTTLS) for mydomain.com"
    admin_password: "{{ vault_admin_password }}"

- name: What would change, before it does
  securemail.smtp.smtp_policy:
    listeners:
      - {address: "0.0.0.0:25", versions: [TLSv1.3]}
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
  sample: ["add rule disableAUTH_on_non_SSL", "add listener 0.0.0.0:587 (enabled, versions)"]
policy:
  description: The whole policy as it is now, as M(securemail.smtp.smtp_info) returns it.
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _connection, _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import AuthRule, ForcedTlsDomain

STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}


def argument_spec():
    return dict(
        _connection.argument_spec(),
        listeners={
            "type": "list",
            "elements": "dict",
            "options": dict(_module.listener_options(), address={"type": "str", "required": True}, state=STATE),
        },
        tls={"type": "dict", "options": _module.tls_options()},
        starttls={"type": "dict", "options": {"inbound": {"type": "bool"}, "outbound": {"type": "bool"}}},
        auth_rules={
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "connection": {"type": "str", "choices": ["plain", "tls"]},
                "mechanisms": {"type": "list", "elements": "str"},
                "enabled": {"type": "bool"},
                "state": STATE,
            },
            "required_if": [("state", "present", ("connection", "mechanisms"))],
        },
        forced_tls_domains={
            "type": "list",
            "elements": "dict",
            "options": {
                "domain": {"type": "str", "required": True},
                "direction": {"type": "str", "choices": ["inbound"], "default": "inbound"},
                "reject_message": {"type": "str"},
                "name": {"type": "str"},
                "enabled": {"type": "bool"},
                "state": STATE,
            },
        },
    )


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    with _module.failures(module):
        wanted, notices = options.policy_document(module.params)
    for notice in notices:
        module.warn(notice)
    _module.warn_withdrawn(module, *(entry["listener"].versions for entry in wanted["listeners"]))
    _module.run(
        module,
        lambda policy: edit.put_document(policy, wanted),
        document.policy_document,
        lambda outcome: {"policy": document.policy_document(outcome.after)},
        [kind for kind, key in ((AuthRule, "auth_rules"), (ForcedTlsDomain, "forced_tls_domains")) if wanted[key]],
    )


if __name__ == "__main__":
    main()
