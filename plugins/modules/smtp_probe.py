#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_probe
short_description: See from outside what SMTP listeners do, and compare it with what is expected
version_added: 0.4.0
description:
  - Connects to SMTP listeners as a stranger on the network does, and returns what it saw. No admin access is needed, and no mail is ever sent.
  - What was seen can be compared with a policy, with profiles, or with both; there is one row for each thing that is asked, with what was
    expected, what was seen, the verdict, and who asks for it.
  - Old protocol versions and suites are offered by hand-made bytes, so that the answer does not depend on the TLS library of the host that runs
    the module. Every refusal says which side it came from.
  - What could not be seen is V(unobservable), with the reason. It never counts as passed, and draws a warning where it does not make the task fail.
  - Certificates are read with the Python library C(cryptography) on the host that runs the module. Without it, what is in them is V(unobservable).
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._attributes
  - securemail.smtp._attributes.info_module
options:
  targets:
    description:
      - The listeners to look at. A string V(host:port) is short for a dictionary with that O(targets[].address).
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description:
          - Host and port, as V(mail.example.org:587), V(192.0.2.25:25) or V([2001:db8::25]:465).
        type: str
        required: true
      tls:
        description:
          - V(none) talks in clear only, V(starttls) begins in clear (RFC 3207), V(implicit) speaks TLS from the first byte (RFC 8314).
          - If not given, it is V(implicit) at port 465 and V(starttls) elsewhere.
          - YAML's V(no) and V(off) are taken for V(none).
        type: raw
      server_name:
        description:
          - The name that is asked for in the handshake (SNI), and that the certificate must be for.
          - If not given, it is the host of O(targets[].address) when that is a name.
        type: str
      username:
        description:
          - The name to log in with. It needs O(targets[].password). Logins happen inside TLS only.
        type: str
      password:
        description:
          - The password for O(targets[].username).
        type: str
      forced_tls_domains:
        description:
          - Domains that take mail over TLS only, to try whether they do. A string is short for a dictionary with that C(domain).
          - Those of an expected policy are tried too.
        type: list
        elements: dict
        suboptions:
          domain:
            description:
              - The domain.
            type: str
            required: true
          reject_message:
            description:
              - What a client in clear must be told; anything when it is not given.
            type: str
      other_domain:
        description:
          - A domain of the server that takes mail in clear too. It shows that a forced domain is refused for being one.
        type: str
      local_domain:
        description:
          - A domain that the server takes mail for. It shows that a recipient elsewhere is refused for being elsewhere.
        type: str
      recipient:
        description:
          - The part before the @ of the recipients that are named to the server.
          - If not given, it is C(postmaster), which every domain has (RFC 5321 section 4.5.1).
        type: str
      ca_file:
        description:
          - As O(ca_file), for this listener.
        type: path
  checks:
    description:
      - The groups of checks to look at. What is expected beyond them is V(unobservable) and fails no task.
      - If not given, these are V(dialogue), V(auth), V(session), V(relay), V(versions), V(suites) and V(certificate), with V(login) for targets
        with a password and V(forced_domains) for targets with such domains.
    type: list
    elements: str
    choices:
      dialogue: Greeting, EHLO keywords before and after TLS, STARTTLS, timing.
      auth: The mechanisms that are offered, and that are really looked at, in clear and inside TLS. Made-up credentials only are sent.
      login: Whether the password of a target is accepted by each offered mechanism, inside TLS.
      wrong_password: Whether a wrong password gets 535. Servers may lock an account for it.
      session: Whether anything from before TLS has an effect inside it.
      relay: Whether strangers may send to other people's domains. No message is sent.
      forced_domains: Whether mail for forced-TLS domains is refused in clear and accepted inside TLS. No message is sent.
      versions: The protocol versions from SSLv2 to TLSv1.3 that are accepted and refused.
      suites: The cipher suites, groups and extensions of TLS.
      certificate: The certificate, its chain, its trust and its names.
  expect:
    description:
      - What the listeners are compared with.
      - A string is the name of a profile, a list holds names of profiles.
      - A dictionary is a policy, as M(securemail.smtp.smtp_info) returns it and M(securemail.smtp.smtp_policy) takes it, and may have the key C(profile)
        beside. Listeners of the policy are recognised by address, or by port when just one listener of the policy has that port.
      - Everything that a policy says and nobody can see from outside gives a row that says so.
    type: raw
  profile:
    description:
      - Names of profiles to compare with, beside O(expect).
    type: list
    elements: str
  fail_on:
    description:
      - Which rows make the task fail.
    type: str
    choices:
      error: Those of severity V(error) with the verdict V(fail), and one of each listener of which nothing that was asked could be observed.
      warning: All with the verdict V(fail), and those that could not be observed.
      never: None.
    default: error
  timeout:
    description:
      - Seconds that each step may take, as connecting, a reply or a handshake.
    type: float
    default: 10
  total_timeout:
    description:
      - Seconds that one listener may take. What was not seen by then is V(unobservable).
    type: float
    default: 60
  max_connections:
    description:
      - Connections that are made to one listener at most, always one after the other. What needs more is V(unobservable).
      - A listener that turns the probe away (421) is left alone after the second time.
    type: int
    default: 60
  pause:
    description:
      - Seconds between two connections to one listener.
    type: float
    default: 0
  parallel:
    description:
      - Hosts that are looked at at the same time. Listeners of one host are looked at one after the other.
    type: int
    default: 5
  evidence:
    description:
      - Whether the result holds the dialogues of all connections, without secrets. A report shows them.
    type: bool
    default: true
  ca_file:
    description:
      - A PEM file with the authorities that certificates are checked against, on the host that runs the module. If not given, the system's.
    type: path
  client_name:
    description:
      - The name that is said in EHLO.
    type: str
    default: probe.invalid
seealso:
  - module: securemail.smtp.smtp_info
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: What do they do
  securemail.smtp.smtp_probe:
    targets: ["mail.example.org:25", "mail.example.org:587", "mail.example.org:465"]
  delegate_to: localhost
  register: seen

- name: Fail unless they do what is common sense today
  securemail.smtp.smtp_probe:
    targets: ["mail.example.org:587"]
    expect: intermediate
  delegate_to: localhost

- name: Is what the server says about itself what a stranger sees
  securemail.smtp.smtp_info:
    admin_password: "{{ vault_admin_password }}"
  register: smtp

- name: Compare it with the policy and with two profiles
  securemail.smtp.smtp_probe:
    targets:
      - "mail.example.org:25"
      - address: "mail.example.org:587"
        username: anna@example.org
        password: "{{ vault_anna_password }}"
    expect: "{{ smtp.policy }}"
    profile: [rfc9325, bsi-tr-02102-2]
  delegate_to: localhost

- name: A partner's domain takes mail over TLS only
  securemail.smtp.smtp_probe:
    targets:
      - address: "mx.example.org:25"
        forced_tls_domains: [partner.example]
        other_domain: example.org
    checks: [forced_domains]
    expect:
      forced_tls_domains:
        - {domain: partner.example}
  delegate_to: localhost
"""

RETURN = r"""
observations:
  description: What was seen, one entry for each target, in the order of O(targets).
  type: list
  elements: dict
  returned: when the options were in order
  contains:
    listener:
      description: The address as it was given.
      type: str
      sample: mail.example.org:587
    tls:
      description: How TLS was begun.
      type: str
      sample: starttls
    server_name:
      description: The name that was asked for.
      type: str
      sample: mail.example.org
    connections:
      description: How many connections were made.
      type: int
      sample: 34
    seconds:
      description: How long that took.
      type: float
      sample: 1.4
    checks:
      description: The groups of checks that were asked for.
      type: list
      elements: str
    facts:
      description:
        - The facts by name, each with C(value) (V(null) when not observable), C(seen) (in words), C(side) (who refused, or who is in the way),
          C(observable) and C(evidence) (the numbers of the connections that show it).
      type: dict
      sample:
        version.TLSv1.1: {value: false, seen: "server alert: protocol_version", side: server alert, observable: true, evidence: [4]}
    dialogues:
      description: What was said on each connection, with C(number), C(purpose), C(lines) and C(seconds). Empty when O(evidence=false).
      type: list
      elements: dict
rows:
  description: One entry for each thing that is expected of each listener.
  type: list
  elements: dict
  returned: when the options were in order
  contains:
    listener:
      description: The address as it was given.
      type: str
      sample: mail.example.org:587
    check:
      description: The kind of check.
      type: str
      sample: version
    parameters:
      description: What the check is about.
      type: dict
      sample: {version: TLSv1.1, accepted: false}
    title:
      description: What was looked at.
      type: str
      sample: TLSv1.1
    expected:
      description: What a server does that passes.
      type: str
      sample: refused
    seen:
      description: What the server did, or why that could not be seen.
      type: str
      sample: accepted
    verdict:
      description: V(pass), V(fail) or V(unobservable).
      type: str
      sample: fail
    severity:
      description: V(error) or V(warning).
      type: str
      sample: error
    source:
      description: Who asks for it.
      type: str
      sample: RFC 8996 section 2
    origin:
      description: V(policy), or the name of the profile.
      type: str
      sample: intermediate
    side:
      description: Who refused, or who is in the way of seeing it.
      type: str
    evidence:
      description: The numbers of the connections that show it.
      type: list
      elements: int
summary:
  description:
    - Numbers of rows by verdict, of listeners, hosts and connections, the seconds that all took, and the addresses of listeners that could not be
      reached and that turned the probe away.
  type: dict
  returned: when the options were in order
  sample: {pass: 40, fail: 1, unobservable: 2, listeners: 2, hosts: 1, connections: 70, seconds: 3.1, unreachable: [], throttled: []}
problems:
  description: What is wrong with the options, one sentence each.
  type: list
  elements: str
  returned: when the options were not in order
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._probe import inquiry, question
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import CHECKS
from ansible_collections.securemail.smtp.plugins.module_utils._probe.verdict import FAIL_ON


class ProbeModule(AnsibleModule):
    """A module whose targets may be strings: they are written out before Ansible looks for passwords to hide."""

    def _load_params(self):
        super()._load_params()
        self.params = question.spelled_out(self.params)


def argument_spec():
    return {
        "targets": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "address": {"type": "str", "required": True},
                # YAML reads no and off as a boolean.
                "tls": {"type": "raw"},
                "server_name": {"type": "str"},
                "username": {"type": "str"},
                "password": {"type": "str", "no_log": True},
                "forced_tls_domains": {
                    "type": "list",
                    "elements": "dict",
                    "options": {"domain": {"type": "str", "required": True}, "reject_message": {"type": "str"}},
                },
                "other_domain": {"type": "str"},
                "local_domain": {"type": "str"},
                "recipient": {"type": "str"},
                "ca_file": {"type": "path"},
            },
        },
        "checks": {"type": "list", "elements": "str", "choices": list(CHECKS)},
        "expect": {"type": "raw"},
        "profile": {"type": "list", "elements": "str"},
        "fail_on": {"type": "str", "choices": list(FAIL_ON), "default": "error"},
        "timeout": {"type": "float", "default": 10},
        "total_timeout": {"type": "float", "default": 60},
        "max_connections": {"type": "int", "default": 60},
        "pause": {"type": "float", "default": 0},
        "parallel": {"type": "int", "default": 5},
        "evidence": {"type": "bool", "default": True},
        "ca_file": {"type": "path"},
        "client_name": {"type": "str", "default": "probe.invalid"},
    }


def main():
    module = ProbeModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        asked = inquiry.inquiry(module.params)
    except PolicyError as error:
        module.fail_json(msg=str(error), problems=error.shown)
    for notice in asked.notices:
        module.warn(notice)
    answer = asked.ask()
    results = {
        "changed": False,
        "observations": answer.documents(module.params["evidence"]),
        "rows": [row.document() for row in answer.rows],
        "summary": answer.summary(),
    }
    failing = answer.failing(module.params["fail_on"])
    for notice in answer.unseen(failing):
        module.warn(notice)
    if failing:
        module.fail_json(msg=answer.words(failing), **results)
    module.exit_json(**results)


if __name__ == "__main__":
    main()
