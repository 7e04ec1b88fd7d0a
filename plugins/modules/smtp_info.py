#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_info
short_description: Read the SMTP policy of a mail server
version_added: 0.1.0
description:
  - Returns listeners, TLS settings, STARTTLS, relay host and rules of a server in the vocabulary of the other modules.
  - RV(policy) can be given to M(securemail.smtp.smtp_policy) unchanged, as a whole or in parts. No password is in it.
  - V(null) means that the server did not say, or that a value has no meaning there.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._attributes
  - securemail.smtp._attributes.info_module
  - securemail.smtp._attributes.actiongroup_smtp
options:
  query:
    description:
      - A JMESPath expression that picks a part of the policy. Its result is RV(result).
      - Needs the Python library C(jmespath) on the host that runs the module.
    type: str
  general:
    description:
      - Whether all rules are returned as M(securemail.smtp.smtp_rule) says them, too, in RV(rules_general), which O(query) sees as
        C(rules_general).
    type: bool
    default: false
    version_added: 0.5.0
seealso:
  - module: securemail.smtp.smtp_policy
  - module: securemail.smtp.smtp_rule
"""

EXAMPLES = r"""
- name: Read everything
  securemail.smtp.smtp_info:
    admin_password: "{{ vault_admin_password }}"
  register: smtp

- name: Which listeners still speak TLS 1.0
  securemail.smtp.smtp_info:
    query: "listeners[?contains(versions || `[]`, 'TLSv1')].address"
    admin_password: "{{ vault_admin_password }}"
  register: old

- name: Which domains does mail leave for over TLS only
  securemail.smtp.smtp_info:
    query: "forced_tls_domains[?direction=='outbound' && enabled].domain"
    admin_password: "{{ vault_admin_password }}"
  register: forced

- name: Which rules look at the address of the peer, whatever they are
  securemail.smtp.smtp_info:
    general: true
    query: "rules_general[?conditions[?variable=='remoteSmtpIp']].name"
    admin_password: "{{ vault_admin_password }}"
  register: by_address
"""

RETURN = r"""
policy:
  description: The policy of the server.
  type: dict
  returned: success
  contains:
    listeners:
      description: All SMTP listeners.
      type: list
      elements: dict
    starttls:
      description: STARTTLS of the server, C(inbound) and C(outbound).
      type: dict
    relay:
      description:
        - The relay host that takes all mail that goes out, without the password; V(null) when mail goes out as DNS says.
        - >-
          Keys are C(host), C(port), C(tls), C(level), C(username) and C(allow_clear_text_login), as in
          O(securemail.smtp.smtp_policy#module:relay).
      type: dict
    auth_rules:
      description: The authentication rules in order.
      type: list
      elements: dict
    relay_tls:
      description: The relay TLS rules in order, with C(name), C(level), C(versions), C(match), C(fingerprints) and C(enabled).
      type: list
      elements: dict
    rules:
      description:
        - The general rules of each event in order, with C(name), C(event), C(match), C(conditions), C(actions) and C(enabled),
          as in M(securemail.smtp.smtp_rule).
      type: list
      elements: dict
      version_added: 0.5.0
    forced_tls_domains:
      description:
        - The domains whose mail is taken (C(direction) is C(inbound)) or sent (C(outbound)) over TLS only, and the exceptions
          from that with C(reason) and C(until), one entry for each domain and direction. A domain like C(.example.com) stands
          for its subdomains, C(*) for every one.
        - C(reject_message) is V(null) outbound, and C(versions), C(match) and C(fingerprints) are V([]) where the rule names none. Inbound these
          are V(null), and C(level) is V(may) for an exception, else V(null). C(form) is C(compact) where a rule is for many domains, else C(method).
      type: list
      elements: dict
    other_rules:
      description:
        - Rules of other kinds, with name, event and whether they are enabled. They are never touched, and
          M(securemail.smtp.smtp_policy) ignores them.
      type: list
      elements: dict
    rule_order:
      description:
        - The names of all enabled rules of each event that has some, in the order in which the server applies them.
          M(securemail.smtp.smtp_policy) ignores it, because its order follows from the lists of rules.
      type: dict
coverage:
  description:
    - How mail for each domain that a rule names is protected, one entry for each direction in which a rule decides.
    - What a list for auditors has to say; M(securemail.smtp.smtp_report) makes one of it. Only enabled rules count.
  type: list
  elements: dict
  returned: success
  version_added: 0.5.0
  contains:
    domain:
      description: The domain, C(.example.com) for its subdomains, or C(*) for every one.
      type: str
    direction:
      description: C(inbound) or C(outbound).
      type: str
    level:
      description: The level that is in force. C(encrypt) inbound means that mail is taken over TLS only.
      type: str
    source:
      description: The rule that decides is one for the domain itself (C(exact)), for its parent (C(parent)) or for every domain (C(default)).
      type: str
    exception:
      description: Whether mail may travel in clear, or less protected than the rule for more domains says.
      type: bool
    reason:
      description: Why, if somebody said so.
      type: str
    until:
      description: The last day of the exception.
      type: str
    rule:
      description: The name of the rule that decides.
      type: str
  sample:
    - {domain: fax.example, direction: outbound, level: none, source: exact, exception: true, reason: no TLS at all, until: "2026-12-31",
       rule: tls_exception_for_fax_example_outbound}
rules_general:
  description:
    - All rules that can be said as conditions and actions, as M(securemail.smtp.smtp_rule) shows them, in the order of
      events and inside of these. Rules for many domains at once cannot, and rules that do anything else.
  type: list
  elements: dict
  returned: when O(general) is true
  version_added: 0.5.0
services:
  description:
    - Whether the server starts the services that C(receiving) mail and C(sending) it need; V(null) where it does not say. A Postfix
      does both when its master process runs, which only root can ask.
    - A service that is not started answers on no listener, whatever the policy is.
  type: dict
  returned: success
  sample: {"receiving": true, "sending": true}
version:
  description: What the server says about its version.
  type: str
  returned: success
  sample: "10.6.30-postern"
dialect:
  description: The dialect profile that was used; V(postfix) with O(server=postfix).
  type: str
  returned: success
  sample: postern
notes:
  description: What could not be read for certain.
  type: list
  elements: str
  returned: success
result:
  description: Result of O(query).
  type: raw
  returned: when O(query) is given
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _connection, _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import coverage, document


def main():
    module = AnsibleModule(
        argument_spec=dict(_connection.argument_spec(save=False), query={"type": "str"}, general={"type": "bool", "default": False}),
        supports_check_mode=True,
    )
    query = module.params["query"]
    results = {}
    with _module.failures(module):
        expression = _compiled(module, query)
        with _module.server(module) as server:
            snapshot = server.read()
            results["version"] = server.version
            results["dialect"] = server.kind
            started, remarks = server.started(snapshot)
    results["policy"] = document.policy_document(snapshot.policy)
    results["coverage"] = coverage.effective(snapshot.policy)
    results["services"] = started
    results["notes"] = list(snapshot.notes + snapshot.rule_notes) + remarks
    if module.params["general"]:
        results["rules_general"] = _general(snapshot.policy, server)
    if expression is not None:
        searched = dict(results["policy"], rules_general=results.get("rules_general"))
        results["result"] = _searched(module, expression, searched)
    module.exit_json(changed=False, **results)


def _general(policy, server):
    """Every rule that has a general view. Only who asks for it pays for the code."""
    from ansible_collections.securemail.smtp.plugins.module_utils._policy.general_rule import general_document

    found = [server.general(rule) for rule in policy.rules]
    return [general_document(rule) for rule in found if rule is not None]


def _compiled(module, query):
    """The query is checked before the server is asked anything."""
    if query is None:
        return None
    # Few tasks have a query, and loading the library takes its time.
    try:
        import jmespath
    except ImportError:
        missing = missing_required_lib("jmespath", reason="for the option query")
        module.fail_json(msg=missing, exception=traceback.format_exc())
    try:
        return jmespath.compile(query)
    except jmespath.exceptions.JMESPathError as error:
        module.fail_json(msg="query: %r is not a JMESPath expression: %s" % (query, error))


def _searched(module, expression, policy):
    import jmespath

    try:
        return expression.search(policy)
    except jmespath.exceptions.JMESPathError as error:
        module.fail_json(msg="query: %s" % error)


if __name__ == "__main__":
    main()
