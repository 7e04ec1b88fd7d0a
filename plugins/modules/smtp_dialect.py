#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_dialect
short_description: Learn the names of an AXIGEN's policy script from sample rules
version_added: 0.3.0
description:
  - Some names in AXIGEN's policy script are in no public document, and this collection guesses none of them. This module finds them.
    Somebody makes a few sample rules in WebAdmin, and the module reads the policy script before and after.
  - Without O(before) it looks at the script for the first time, and returns which rules are to be made (RV(instructions)) and what the second
    look needs to know (RV(before)).
  - With O(before) it looks again, and returns what the rules tell (RV(profile)), to be given to the other modules as
    O(securemail.smtp.smtp_policy#module:dialect_profile), and what they do not tell, with the reason (RV(missing)).
  - It changes nothing on the server. Remove the sample rules in WebAdmin afterwards.
  - The playbook C(securemail.smtp.learn) takes all the steps and writes the profile into the inventory.
  - No text of the policy script is returned, only names and single words of the sample rules.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._attributes
  - securemail.smtp._attributes.info_module
  - securemail.smtp._attributes.actiongroup_smtp
options:
  before:
    description:
      - What the first look returned as RV(before).
      - If not given, this is the first look.
    type: dict
  sample_domain:
    description:
      - The domain that the sample rule for a recipient's domain is about. It need not exist; better it does not.
    type: str
    default: securemail-sample.invalid
  sample_mechanisms:
    description:
      - The mechanisms that the sample rule for connections over TLS is to allow. Their words are learned, and no others.
      - Name those that the server has and that rules are to be about.
    type: list
    elements: str
    default: [PLAIN, LOGIN, CRAM-MD5]
  sample_versions:
    description:
      - The protocol versions that the sample rule for relaying is to allow. Old ones are only needed when rules are to name them.
    type: list
    elements: str
    default: [TLSv1.1, TLSv1.2, TLSv1.3]
  relay_ssl:
    description:
      - What the SSL encryption of a relaying rule does on this server. A script does not say it, so that somebody must have tried it.
      - V(required) is TLS or no delivery, with STARTTLS. V(implicit) is TLS from the first byte.
      - If not given, it stays unknown, and rules that require TLS for mail to other hosts are refused.
    type: str
    choices: [required, implicit]
  probe_address:
    description:
      - A listener of the server with STARTTLS, as V(address:port), that is asked whether C(isSSLConnection) is yes after STARTTLS. The module speaks
        SMTP to it from the host where it runs, and sends no mail.
      - The sample rule for a domain must be enabled.
      - When the samples about authentication are enabled too, it is checked that none of them is about the other kind of connections.
      - Used in the second look only. If not given, V(encrypted_after_starttls) of RV(profile) stays unknown.
    type: str
seealso:
  - module: securemail.smtp.smtp_info
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: Which rules to make
  securemail.smtp.smtp_dialect:
    admin_password: "{{ vault_admin_password }}"
  register: first

- name: Show them
  ansible.builtin.debug:
    var: first.instructions

- name: What the rules that were made tell
  securemail.smtp.smtp_dialect:
    before: "{{ first.before }}"
    probe_address: "192.0.2.25:587"
    admin_password: "{{ vault_admin_password }}"
  register: second
"""

RETURN = r"""
instructions:
  description: The sample rules to make in WebAdmin, under advanced settings of acceptance and routing.
  type: list
  elements: dict
  returned: in the first look
  contains:
    name:
      description: The name to give it.
      type: str
    conditions:
      description: The conditions to choose. Empty when there are none.
      type: list
      elements: str
    actions:
      description: The actions to choose, and no others.
      type: list
      elements: str
    tells:
      description: The keys of the profile that it tells.
      type: list
      elements: str
    note:
      description: Whether to enable it.
      type: str
before:
  description: What the second look needs to know. Names of methods and calls, and digests without any text of the script.
  type: dict
  returned: in the first look
profile:
  description: What is known now, as O(securemail.smtp.smtp_policy#module:dialect_profile). A key that could not be learned is absent.
  type: dict
  returned: in the second look
  sample:
    format: 1
    server_version: "10.5.12"
    plain_auth_variable: nameOfPlainTypes
    no_authentication: none
    tls_auth_variable: nameOfTlsTypes
    mechanisms: {PLAIN: plain, LOGIN: login, CRAM-MD5: cram-md5}
    recipient_domain_variable: nameOfDomain
    equals_test: isCase
    relay_ssl_variable: sslEnabled
    script_versions: {TLSv1.2: tls12, TLSv1.3: tls13}
missing:
  description: What could not be learned, and why.
  type: list
  elements: dict
  returned: in the second look
  contains:
    profile_keys:
      description: The keys of the profile.
      type: list
      elements: str
    sample:
      description: The name of the sample rule that should have told them.
      type: str
    reason:
      description: Why it does not, and what to do.
      type: str
notes:
  description: What a person should look at before she trusts the profile.
  type: list
  elements: str
  returned: in the second look
next:
  description: What is left to do.
  type: list
  elements: str
  returned: success
version:
  description: What the server says about its version.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _connection, _encryption, _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy.address import listener_address, split_address
from ansible_collections.securemail.smtp.plugins.module_utils._policy.domain import domain_name
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import Problems
from ansible_collections.securemail.smtp.plugins.module_utils._policy.mechanism import mechanisms
from ansible_collections.securemail.smtp.plugins.module_utils._policy.tls import tls_versions
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import description, learn, sample

WHERE = "WebAdmin, Security & Filtering, Acceptance & Routing, Advanced Settings"


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _connection.argument_spec(save=False),
            before={"type": "dict"},
            sample_domain={"type": "str", "default": "securemail-sample.invalid"},
            sample_mechanisms={"type": "list", "elements": "str", "default": ["PLAIN", "LOGIN", "CRAM-MD5"]},
            sample_versions={"type": "list", "elements": "str", "default": ["TLSv1.1", "TLSv1.2", "TLSv1.3"]},
            relay_ssl={"type": "str", "choices": ["required", "implicit"]},
            probe_address={"type": "str"},
        ),
        supports_check_mode=True,
    )
    with _module.failures(module):
        given = _given(module.params)
        why = "there are no names to learn: a dialect profile is about the policy script of the admin CLI"
        with _module.admin_server(module, why) as server:
            script = server.read().native.reader.script
            version = server.version
    look = _second_look if given["before"] is not None else _first_look
    module.exit_json(changed=False, version=version, **look(module, given, script, version))


def _given(params):
    """The options in canonical form; all problems in one message."""
    problems = Problems()
    given = {"before": None, "probe": None}
    with problems.collecting():
        given["domain"] = domain_name(params["sample_domain"], "sample_domain").lstrip(".")
    with problems.collecting():
        given["mechanisms"] = mechanisms(params["sample_mechanisms"], "sample_mechanisms")
        if not given["mechanisms"]:
            problems.add("sample_mechanisms must name at least one mechanism")
    with problems.collecting():
        given["versions"] = tls_versions(params["sample_versions"], "sample_versions")
    with problems.collecting():
        if params["before"] is not None:
            given["before"] = description.checked_description(params["before"])
    with problems.collecting():
        if params["probe_address"] is not None:
            given["probe"] = split_address(listener_address(params["probe_address"], "probe_address"))
    problems.raise_any()
    return given


def _first_look(module, given, script, version):
    there = description.sample_methods(block.name for block in script.methods)
    if there:
        module.fail_json(
            msg="There are sample rules already: %s. Remove them (%s) and run this step again: what was there "
            "before cannot be told from what will be made." % (", ".join(there), WHERE)
        )
    made = sample.samples(given["domain"], given["mechanisms"], given["versions"])
    return {
        "instructions": [one.document() for one in made],
        "before": description.describe(script, version),
        "next": [
            "Make the rules of instructions in %s, with these names and nothing else in them, and save." % WHERE,
            "Run this again with before, and look at profile and missing.",
        ],
    }


def _second_look(module, given, script, version):
    learned = learn.derive(
        given["before"], script, version, given["domain"], given["mechanisms"], given["versions"]
    )
    learned.state_relay_ssl(module.params["relay_ssl"])
    if given["probe"] is not None:
        host, port = given["probe"]
        learned.ask_encrypted(
            lambda explanation: _encryption.ask(
                host, port, given["domain"], explanation, float(module.params["admin_timeout"])
            )
        )
    else:
        learned.miss_encrypted("it needs a listener to ask: probe_address was not given")
    learned.note_untried()
    steps = []
    if learned.missing:
        steps.append("Mend or make the rules that missing names and run this step again, or leave what needs them.")
    if learned.methods:
        steps.append("Remove the sample rules in %s: %s." % (WHERE, ", ".join(learned.methods)))
    steps.append("Give profile to the modules as dialect_profile, for this server only.")
    return {
        "profile": learned.profile,
        "missing": [one.document() for one in learned.missing],
        "notes": learned.notes,
        "next": steps,
    }


if __name__ == "__main__":
    main()
