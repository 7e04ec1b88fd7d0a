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
  - Listeners, TLS settings, STARTTLS, a relay host, authentication rules, relay TLS rules, general rules and forced-TLS domains as
    one document, in one visit to the server.
  - What the document does not name stays as it is on the server, unless O(prune) says that it goes.
  - The server takes all of it or nothing, as far as it can.
  - The C(policy) that M(securemail.smtp.smtp_info) returns can be given to it unchanged, as a whole or in parts, on the same server
    or on another one. The password of a relay host is the exception, because nobody is told it; O(relay) without it is enough for
    the server that has it already.
  - The diff is YAML that holds only what differs.
  - Rules stand on the server in an order that follows from the document. Where mail is sent these are relay TLS rules in the order of their
    list, then general rules in the order of theirs, then domains, V(*) first, then subdomains, then whole domains; the last one decides.
    General rules that are on the server keep their place among the others. A listed relay TLS rule behind domains is moved.
    A listed authentication rule behind a listed general rule that sets the mechanisms of some connections is moved, too, to
    right before it, because the rule for all connections would decide for these as well.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._safety
  - securemail.smtp._safety.proof
  - securemail.smtp._safety.unsafe
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
  relay:
    description:
      - The relay host that takes all mail that goes out, instead of the hosts that DNS names for each domain.
      - What is not said is kept while host and port stay the same. With another host or port nothing of the old relay host is kept,
        its credentials least of all.
      - A message that the relay host does not take over TLS as O(relay.level) and the rules say stays in the queue.
    type: dict
    version_added: 0.2.0
    suboptions:
      host:
        description:
          - Name or IP address of the relay host, in brackets or not. No MX records are looked up for it.
          - Required when O(relay.state=present).
        type: str
      port:
        description:
          - Its port. Usual are 587 and 25 with STARTTLS, and 465 with TLS from the first byte.
          - Required when O(relay.state=present).
        type: int
      tls:
        description:
          - How TLS begins there, V(starttls) (RFC 3207) or V(implicit), from the first byte (RFC 8314).
          - A new relay host gets V(implicit) on port 465 and else V(starttls). Whether TLS is needed is what O(relay.level) says.
        type: str
      level:
        description:
          - How well TLS must protect the way to the relay host, V(none), V(may), V(encrypt), V(verify) or V(secure).
            See M(securemail.smtp.smtp_forced_tls_domain) for the last three; V(verify) and V(secure) need a trusted certificate
            for the name of the relay host. V(may) uses STARTTLS when it is offered.
          - The strictest one counts of this level, O(starttls.outbound) and O(relay_tls). For a domain with an outbound rule
            of its own, the level of that rule counts instead, and a warning is shown where it is weaker.
          - If not given, it is V(encrypt) with credentials and with implicit TLS, and else V(may), and never weaker than it was.
        type: str
      username:
        description:
          - User name for the login at the relay host, printable ASCII without double quotes, percent signs and backslashes.
          - The empty string means no login.
        type: str
      password:
        description:
          - Password of that user. It appears in no message, diff or result, and M(securemail.smtp.smtp_info) does not return it.
          - If not given, the one that the server has is kept, as long as host, port and user name stay the same; else it is required.
        type: str
      allow_clear_text_login:
        description:
          - Whether the credentials may be sent without TLS. Unless this is true, the levels V(none) and V(may) are refused with credentials.
        type: bool
        default: false
      state:
        description: Whether there is a relay host. Without one, mail goes out as DNS says.
        type: str
        choices: [present, absent]
        default: present
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
  relay_tls:
    description:
      - Relay TLS rules. They stand on the server in this order, new ones before the rules of single domains.
        See M(securemail.smtp.smtp_relay_tls) for the meaning of each value.
    type: list
    elements: dict
    version_added: 0.2.0
    suboptions:
      name:
        description: Name of the rule.
        type: str
        required: true
      level:
        description: V(may), V(encrypt), V(verify), V(secure) or V(fingerprint).
        type: str
      versions:
        description: The protocol versions that may be used, and no others; V([]) means that the rule names none.
        type: list
        elements: str
      match:
        description: Names that certificates may be for, at level V(secure); V([]) means the domain that mail goes to.
        type: list
        elements: str
        version_added: 0.6.0
      fingerprints:
        description: SHA-256 of the certificates or public keys that are accepted, at level V(fingerprint).
        type: list
        elements: str
        version_added: 0.6.0
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
      - Domains whose mail is taken and sent over TLS only, and exceptions from that.
        See M(securemail.smtp.smtp_forced_tls_domain) for the meaning of each value.
      - The most special entry decides, whatever its place in the list. One that is weaker than the entry for more domains needs a C(reason).
    type: list
    elements: dict
    suboptions:
      domain:
        description: The recipient domain; V(.example.com) means its subdomains, V(*) every domain.
        type: str
        required: true
      direction:
        description: The direction of mail that the rule is about; V(both) means two rules.
        type: str
        choices: [inbound, outbound, both]
        default: inbound
      reject_message:
        description: The explanation that the sending server gets, for mail that comes in.
        type: str
      level:
        description:
          - V(encrypt), V(verify), V(secure), V(fingerprint) or another level that forces TLS.
          - V(may) is an exception, V(none) one for mail that goes out only.
        type: str
        version_added: 0.2.0
      versions:
        description: The protocol versions that may be used, and no others, for mail that goes out; V([]) means that the rule names none.
        type: list
        elements: str
        version_added: 0.2.0
      match:
        description: Names that the certificate may be for, for mail that goes out at level V(secure); V([]) means the domain and its subdomains.
        type: list
        elements: str
        version_added: 0.2.0
      fingerprints:
        description: SHA-256 of the certificates or public keys that are accepted, for mail that goes out at level V(fingerprint).
        type: list
        elements: str
        version_added: 0.6.0
      reason:
        description: Why the entry is an exception. The empty string takes away that of one which is none any more.
        type: str
        version_added: 0.5.0
      until:
        description: The last day of an exception, as V(2026-12-31), quoted. The empty string means none.
        type: str
        version_added: 0.5.0
      override:
        description: Standards whose word the exception shall overrule. See M(securemail.smtp.smtp_forced_tls_domain).
        type: list
        elements: str
        version_added: 0.5.0
      form:
        description: How the rule is written, V(method) or V(compact). If not given, an existing rule keeps its form.
        type: str
        choices: [method, compact]
        version_added: 0.5.0
      name:
        description: Name of a new rule. If not given, it is derived from the domain. An existing rule keeps its name.
        type: str
      enabled:
        description: Whether the server applies the rule.
        type: bool
      state:
        description: Whether the rule exists.
        type: str
        choices: [present, absent]
        default: present
  rules:
    description:
      - General rules, for what no other section says. They stand on the server in this order.
        See M(securemail.smtp.smtp_rule) for the meaning of each value.
    type: list
    elements: dict
    version_added: 0.5.0
    suboptions:
      name:
        description: Name of the rule.
        type: str
        required: true
      event:
        description: The event of a mail transaction in which it runs. If not given, it follows from conditions and actions.
        type: str
      match:
        description: Whether V(all) conditions must hold or V(any) of them. If not given, it is V(all).
        type: str
      conditions:
        description: When the actions are done; V([]) means always.
        type: list
        elements: dict
        suboptions:
          variable:
            description: What is looked at.
            type: str
            required: true
          test:
            description: How it is compared.
            type: str
          value:
            description: What it is compared with.
            type: raw
      actions:
        description: What is done, in order. Each one has C(set) and C(value), or C(call).
        type: list
        elements: dict
        suboptions:
          set:
            description: The variable that gets a value.
            type: str
          value:
            description: The value.
            type: raw
          call:
            description: The method of the server that runs.
            type: str
      enabled:
        description: Whether the server applies the rule.
        type: bool
      state:
        description: Whether the rule exists.
        type: str
        choices: [present, absent]
        default: present
  other_rules:
    description:
      - What M(securemail.smtp.smtp_info) returns under this name. It is not managed, and ignored.
    type: list
    elements: dict
    version_added: 0.5.0
  rule_order:
    description:
      - What M(securemail.smtp.smtp_info) returns under this name. It is not managed, and ignored; order follows from the lists of rules.
    type: dict
    version_added: 0.5.0
  prune:
    description:
      - Sections of which the document is the whole truth. What the server has there and the document does not name is removed,
        in the same step as everything else.
      - V(true) means each of the lists O(listeners), O(auth_rules), O(relay_tls), O(rules) and O(forced_tls_domains) that the task has. A list of
        these names means these. A section that is named must be in the task; V([]) is how a section says that there shall be none.
      - O(forced_tls_domains) that name no domain to be kept are refused then where that would remove rules, unless O(allow_unsafe=true).
      - Rules whose content is not understood, and the server's own basic settings (C(WA_)), are never removed.
      - An entry with C(state) V(absent) and O(keep) need no pruning of each other. What O(keep) names stays even if nothing lists it.
    type: raw
    default: false
    version_added: 0.5.0
  keep:
    description:
      - What O(prune) leaves alone, as shell patterns (V(*) for any text, V(?) for one character), in any case.
      - Patterns for a section that is not pruned are refused.
    type: dict
    version_added: 0.5.0
    suboptions:
      listeners:
        description: Addresses of listeners, as V(127.0.0.1:*).
        type: list
        elements: str
      auth_rules:
        description: Names of authentication rules.
        type: list
        elements: str
      relay_tls:
        description: Names of relay TLS rules.
        type: list
        elements: str
      rules:
        description: Names of general rules.
        type: list
        elements: str
      forced_tls_domains:
        description: Domains, as V(*.example.com), or names of their rules, in both directions.
        type: list
        elements: str
  prune_only:
    description:
      - What O(prune) may remove in a section, as shell patterns like those of O(keep). What no pattern names stays.
      - It lets somebody who manages some of the rules of a server take away those of them that are not needed any more.
      - Patterns for a section that is not pruned are refused.
    type: dict
    version_added: 0.6.0
    suboptions:
      listeners:
        description: Addresses of listeners, as V(127.0.0.1:*).
        type: list
        elements: str
      auth_rules:
        description: Names of authentication rules.
        type: list
        elements: str
      relay_tls:
        description: Names of relay TLS rules.
        type: list
        elements: str
      rules:
        description: Names of general rules.
        type: list
        elements: str
      forced_tls_domains:
        description: Domains, as V(*.example.com), or names of their rules, in both directions.
        type: list
        elements: str
  expired_exceptions:
    description:
      - What happens when an exception for a domain stands on the server, after this task, whose last day is over.
      - V(warn) says so in a warning, V(fail) refuses the task before anything is written.
    type: str
    choices: [warn, fail]
    default: warn
    version_added: 0.5.0
seealso:
  - module: securemail.smtp.smtp_info
  - module: securemail.smtp.smtp_listener
  - module: securemail.smtp.smtp_auth_rule
  - module: securemail.smtp.smtp_relay_tls
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

- name: Control what is sent as well as what is taken
  securemail.smtp.smtp_policy:
    starttls: {outbound: true}
    relay_tls:
      - {name: versions_when_relaying, level: may, versions: [TLSv1.2, TLSv1.3]}
    forced_tls_domains:
      - {domain: mydomain.com, direction: both}
      - {domain: bank.example, direction: outbound, level: secure}
      - domain: partner.example
        direction: outbound
        level: fingerprint
        fingerprints: ["5E:DD:3C:2A:1B:96:4F:6E:0A:52:7D:11:C8:03:9B:E4:77:28:F0:63:AD:15:8C:B2:40:D9:6A:31:FE:84:0C:97"]
    admin_password: "{{ vault_admin_password }}"

- name: All mail goes out through the provider's relay host
  securemail.smtp.smtp_policy:
    relay:
      host: smtp.provider.example
      port: 587
      level: verify
      username: customer-4711
      password: "{{ vault_relay_password }}"
    admin_password: "{{ vault_admin_password }}"

- name: All rules that another server has, and no others
  securemail.smtp.smtp_policy:
    starttls: "{{ gathered.policy.starttls }}"
    auth_rules: "{{ gathered.policy.auth_rules }}"
    relay_tls: "{{ gathered.policy.relay_tls }}"
    rules: "{{ gathered.policy.rules }}"
    forced_tls_domains: "{{ gathered.policy.forced_tls_domains }}"
    prune: true
    admin_password: "{{ vault_admin_password }}"

- name: Everything that another server has, and nothing else
  securemail.smtp.smtp_policy: "{{ gathered.policy | combine({'prune': true, 'admin_password': vault_admin_password}) }}"

- name: These domains and no others, and no listener but these and those on loopback
  securemail.smtp.smtp_policy:
    tls:
      certificate: /etc/mail/mail.example.com.pem
    listeners:
      - {address: "0.0.0.0:25", tls: starttls}
      - {address: "0.0.0.0:465", tls: implicit}
    forced_tls_domains:
      - {domain: "*", direction: outbound, level: encrypt}
      - {domain: ".gov.example", direction: outbound, level: verify}
      - domain: old.example
        direction: outbound
        level: may
        reason: "their gateway is replaced in spring"
        until: "2027-03-31"
    prune: [listeners, forced_tls_domains]
    keep:
      listeners: ["127.0.0.1:*"]
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
  description:
    - What was done, or in check mode would be done, in order. Rules and settings come first, listeners after them.
    - Among rules what makes them stricter comes before what makes them less strict. The server gets all of them at once.
  type: list
  elements: str
  returned: success
  sample: ["add rule disableAUTH_on_non_SSL", "add listener 0.0.0.0:587 (enabled, versions)"]
backup_file:
  description: The folder with the backup of the state before the change. M(securemail.smtp.smtp_restore) brings it back.
  type: str
  returned: when something was changed and O(backup) is in force
  sample: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
  version_added: 0.3.0
policy:
  description: The whole policy as it is now, as M(securemail.smtp.smtp_info) returns it.
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, forced_options, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    GeneralRule,
    RelayTlsRule,
)

KINDS = (
    (AuthRule, "auth_rules"),
    (RelayTlsRule, "relay_tls"),
    (GeneralRule, "rules"),
    (ForcedTlsDomain, "forced_tls_domains"),
)
PATTERNS = {
    "type": "dict",
    "options": {
        name: {"type": "list", "elements": "str"} for name in ("listeners", *(section for _kind, section in KINDS))
    },
}
STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}


def argument_spec():
    return dict(
        _module.argument_spec(),
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
        relay={
            "type": "dict",
            "options": {
                "host": {"type": "str"},
                "port": {"type": "int"},
                "tls": {"type": "str"},
                "level": {"type": "str"},
                "username": {"type": "str"},
                "password": {"type": "str", "no_log": True},
                "allow_clear_text_login": {"type": "bool", "default": False},
                "state": STATE,
            },
        },
        relay_tls={
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "level": {"type": "str"},
                "versions": {"type": "list", "elements": "str"},
                "match": {"type": "list", "elements": "str"},
                "fingerprints": {"type": "list", "elements": "str"},
                "enabled": {"type": "bool"},
                "state": STATE,
            },
            "required_if": [("state", "present", ("level",))],
        },
        forced_tls_domains={
            "type": "list",
            "elements": "dict",
            "options": {
                "domain": {"type": "str", "required": True},
                "direction": {"type": "str", "choices": ["inbound", "outbound", "both"], "default": "inbound"},
                "reject_message": {"type": "str"},
                "level": {"type": "str"},
                "versions": {"type": "list", "elements": "str"},
                "match": {"type": "list", "elements": "str"},
                "fingerprints": {"type": "list", "elements": "str"},
                "reason": {"type": "str"},
                "until": {"type": "str"},
                "override": {"type": "list", "elements": "str"},
                "form": {"type": "str", "choices": ["method", "compact"]},
                "name": {"type": "str"},
                "enabled": {"type": "bool"},
                "state": STATE,
            },
        },
        rules={
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "event": {"type": "str"},
                "match": {"type": "str"},
                "conditions": {
                    "type": "list",
                    "elements": "dict",
                    "options": {
                        "variable": {"type": "str", "required": True},
                        "test": {"type": "str"},
                        "value": {"type": "raw"},
                    },
                },
                "actions": {
                    "type": "list",
                    "elements": "dict",
                    "options": {"set": {"type": "str"}, "value": {"type": "raw"}, "call": {"type": "str"}},
                },
                "enabled": {"type": "bool"},
                "state": STATE,
            },
        },
        # What smtp_info returns beside, so that all of it can be given.
        other_rules={"type": "list", "elements": "dict"},
        rule_order={"type": "dict"},
        prune={"type": "raw", "default": False},
        keep=PATTERNS,
        prune_only=PATTERNS,
        allow_unsafe={"type": "bool", "default": False},
        expired_exceptions={"type": "str", "choices": ["warn", "fail"], "default": "warn"},
    )


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    with _module.failures(module):
        wanted, notices = options.policy_document(module.params)
    for notice in notices:
        module.warn(notice)
    rules = [rule for rule in wanted["relay_tls"] + wanted["forced_tls_domains"] if rule["state"] == "present"]
    _module.warn_withdrawn(
        module,
        *(entry["listener"].versions for entry in wanted["listeners"]),
        *(rule["versions"] for rule in rules),
    )
    choice = module.params["expired_exceptions"]

    def edited(policy):
        desired = edit.put_document(policy, wanted)
        if choice == "fail":
            _module.ended_exceptions(desired, choice)
        return desired

    def results(outcome):
        _module.warn_ended(module, outcome.after)
        return {"policy": document.policy_document(outcome.after)}

    _module.run(
        module,
        edited,
        document.policy_document,
        results,
        [kind for kind, key in KINDS if wanted[key] or key in wanted["prune"]],
        forced_options.has_outbound(wanted["forced_tls_domains"]),
        differing=True,
    )


if __name__ == "__main__":
    main()
