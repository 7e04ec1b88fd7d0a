#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_rule
short_description: Manage one general rule of conditions and actions
version_added: 0.5.0
description:
  - A general rule does something when its conditions hold. It is for what the modules for authentication, relay TLS and
    forced-TLS domains do not cover.
  - The rule runs in the first event of a mail transaction in which everything that it tests and sets is known and has an
    effect. Rules are applied in order inside of an event, and a value that is set later counts.
  - A rule that says exactly what one of the other modules says is that rule, whoever wrote it. Both modules see it, and
    RV(typed) shows it as the other one does.
  - Rules that do anything undocumented, and methods of the server's own pages, are never changed unless the task has their name.
    The latter belong to the server and are refused.
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
  conditions:
    description:
      - What must hold. An empty list, V([]), means that the actions are always done.
      - Required when O(state=present).
    type: list
    elements: dict
    suboptions:
      variable:
        description:
          - What is tested, in any case.
          - >-
            Known when mail is received are V(isSSLConnection), V(smtpIp), V(smtpPort), V(remoteSmtpIp), V(remoteSmtpPort),
            V(DNSBLResult), V(DNSBLExplanation), V(ReverseDNSResult), V(sslVersion), V(sslCipher), V(sslClientVerified) and
            V(sslClientFingerprint) from the connection on;
            V(ehloHost) and V(isESMTP) from EHLO on; V(mailFrom), V(mailFromDomain), V(authUser), V(SPFResult),
            V(SPFExplanation) and V(SenderMXCheckResult) from MAIL on; V(rcptTo) and V(rcptDomain) with RCPT.
          - >-
            V(sslClientVerified) is V(yes) when the client has shown a certificate that an authority of the listener's CA file
            vouches for, which C(request_client_certificate) of the listener asks it for, else V(no). V(sslClientFingerprint) is the
            SHA-256 of that certificate, pairs of capital hexadecimal digits with colons between, as Postfix writes it; empty
            without one.
          - >-
            Known when mail is sent are V(relayDomain), V(rcptDomain), V(mailFrom), V(mailFromDomain) and V(authUser), on servers
            that have them there.
        type: str
        required: true
      test:
        description:
          - V(isCase) compares texts without regard to case, V(is) compares numbers, or texts to the letter, V(greaterThan)
            compares numbers, V(ipRange) asks for addresses in networks or ranges, V(isSubdomainOf) for the subdomains of a domain.
          - If not given, it is V(is) for numbers, V(ipRange) for addresses and V(isCase) for everything else.
        type: str
      value:
        description:
          - What the variable is compared with. Networks may be a list.
          - A name between percent signs stands for the value of that variable, as in V("%ehloHost%").
          - The empty text, V(""), holds for a user that has not logged in and for the null sender.
        type: raw
        required: true
  match:
    description:
      - Whether V(all) of the conditions must hold or V(any) of them.
    type: str
    choices: [all, any]
    default: all
  actions:
    description:
      - What is done, in order.
      - Required when O(state=present).
    type: list
    elements: dict
    suboptions:
      set:
        description:
          - The variable that gets a value, in any case.
          - >-
            At every stage of receiving, V(smtpAction) (V(accept), V(reject) or V(tmpreject)), V(smtpExplanation) and V(DNSBLServer);
            at the connection, V(smtpGreeting); at EHLO, V(allowStartTLS), V(allow8bitMime), V(allowBinaryData), V(allowPipelining),
            V(allowDSN), V(plainConnAuthTypes), V(secureConnAuthTypes) and V(waitProcessingTimeout); at EHLO and MAIL,
            V(maxDataSize) (KB), V(maxRcptCount) (up to 1000) and V(maxReceivedHeaders); at EHLO, MAIL and RCPT, V(localDelivery)
            and V(remoteDelivery) (V(all), V(auth) or V(none)); at RCPT, V(tlsLevel), V(tlsExplanation), V(tlsReason) and V(tlsUntil).
          - >-
            When mail is sent, V(allowStartTLS), V(sslEnabled), V(allowedSSLVersions), V(remoteSmtpHost), V(remoteSmtpPort),
            V(remoteSmtpTls), V(tlsLevel), V(tlsMatch), V(tlsFingerprints), V(tlsReason) and V(tlsUntil).
        type: str
      value:
        description:
          - The value. Mechanisms, protocol versions and names of certificates may be a list.
          - In texts a name between percent signs stands for the value of that variable.
          - >-
            The bundled server answers with the codes that V(smtpExplanation) begins with, as in V(530 5.7.0 Log in first), when they fit
            what the rule does (V(5yz 5.y.z) for V(reject), V(4yz 4.y.z) for V(tmpreject)). For every other server they are text.
            Codes that do not fit are refused.
        type: raw
      call:
        description:
          - One of the server's own methods instead, V(checkSPF), V(checkReverseDNS) or V(checkDNSBL), which needs V(DNSBLServer)
            set in front of it. Its result is there for the rules behind.
        type: str
  event:
    description:
      - The event in which the rule runs, V(connect), V(ehlo), V(mail), V(rcpt), V(headers), V(data) or V(relay).
      - If not given, a rule stays in its event as long as it can run there, and a new one gets the first event that has all
        that it tests and sets. What works both ways, such as V(allowStartTLS), is then about mail that is received.
      - >-
        A new rule that tests V(isSSLConnection), V(sslVersion), V(sslCipher), V(sslClientVerified) or V(sslClientFingerprint)
        and rejects gets V(mail) or a later event, because every client that is going to use STARTTLS speaks in clear before.
        Who means V(connect) or V(ehlo) says so.
    type: str
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
  - module: securemail.smtp.smtp_auth_rule
  - module: securemail.smtp.smtp_relay_tls
  - module: securemail.smtp.smtp_forced_tls_domain
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: No mail from a domain that only sends spam
  securemail.smtp.smtp_rule:
    name: no_spam_test
    conditions:
      - {variable: mailFromDomain, value: "spam.example"}
    actions:
      - {set: smtpAction, value: reject}
      - {set: smtpExplanation, value: "No mail from %mailFromDomain% here"}
    admin_password: "{{ vault_admin_password }}"

- name: A partner's servers may not send to many at a time, and only small messages
  securemail.smtp.smtp_rule:
    name: limits_for_partner
    conditions:
      - {variable: remoteSmtpIp, test: ipRange, value: "192.0.2.0/24"}
    actions:
      - {set: maxRcptCount, value: 10}
      - {set: maxDataSize, value: 2048}
    admin_password: "{{ vault_admin_password }}"

- name: On the submission port nobody sends mail in clear text without a login
  securemail.smtp.smtp_rule:
    name: log_in_first
    match: all
    conditions:
      - {variable: isSSLConnection, value: "no"}
      - {variable: authUser, value: ""}
      - {variable: smtpPort, value: 587}
    actions:
      - {set: smtpAction, value: reject}
      - {set: smtpExplanation, value: "Please log in"}
    position: first
    admin_password: "{{ vault_admin_password }}"

- name: The rule is not needed any more
  securemail.smtp.smtp_rule:
    name: no_spam_test
    state: absent
    admin_password: "{{ vault_admin_password }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["add rule no_spam_test", "call rule no_spam_test"]
backup_file:
  description: The folder with the backup of the state before the change. M(securemail.smtp.smtp_restore) brings it back.
  type: str
  returned: when something was changed and O(backup) is in force
  sample: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
rule:
  description: The rule as it is now, with all options that say it. Empty when it is absent.
  type: dict
  returned: success
  sample:
    name: no_spam_test
    event: mail
    match: all
    conditions: [{variable: mailFromDomain, test: isCase, value: spam.example}]
    actions: [{set: smtpAction, value: reject}]
    enabled: true
typed:
  description:
    - The same rule as the module for its kind shows it, where there is one.
    - V(null) for a rule that only this module knows.
  type: dict
  returned: success
  sample: null
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import coverage, document, edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.general_rule import general_document, general_rule
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import GeneralRule, OpaqueRule


def rule_options():
    """A general rule without its name, position and state as module options."""
    return {
        "conditions": {
            "type": "list",
            "elements": "dict",
            "options": {
                "variable": {"type": "str", "required": True},
                "test": {"type": "str"},
                "value": {"type": "raw", "required": True},
            },
        },
        "match": {"type": "str", "choices": ["all", "any"], "default": "all"},
        "actions": {
            "type": "list",
            "elements": "dict",
            "options": {"set": {"type": "str"}, "value": {"type": "raw"}, "call": {"type": "str"}},
            "mutually_exclusive": [("set", "call")],
            "required_one_of": [("set", "call")],
        },
        "event": {"type": "str"},
        "enabled": {"type": "bool"},
    }


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _module.argument_spec(),
            name={"type": "str", "required": True},
            position={"type": "raw"},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            **rule_options(),
        ),
        required_if=[("state", "present", ("conditions", "actions"))],
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    with _module.failures(module):
        entry = general_rule(module.params)
        position = options.position(module.params["position"])
    name = entry["name"]
    servers = []

    def change(policy):
        return edit.put_general_rule(policy, entry, position) if present else edit.remove_rule(policy, name)

    def both(policy):
        rule = policy.rule(name)
        general = servers[0].general(rule)
        typed = None if isinstance(rule, (GeneralRule, OpaqueRule)) else rule
        return (general_document(general) if general else {}), (document.rule_document(typed) or None)

    def view(policy):
        general, typed = both(policy)
        shown = general or typed or document.rule_document(policy.rule(name))
        return {"rule": shown, "place": document.rule_place(policy, name)}

    def results(outcome):
        unsafe = coverage.shut_out(outcome.before, outcome.after)
        if unsafe is not None:
            module.warn(unsafe)
        general, typed = both(outcome.after)
        return {"rule": general, "typed": typed}

    _module.run(module, change, view, results, [GeneralRule], meet=servers.append)


if __name__ == "__main__":
    main()
