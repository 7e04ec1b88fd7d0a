#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_account
short_description: Manage mail domains and accounts
version_added: 0.1.0
description:
  - Creates and removes mail accounts and the domains that they belong to.
  - Without O(account) the module manages the domain itself. With it, a domain that is missing is created first.
  - A server never shows a password, so a changed one is not noticed. See O(update_password).
  - Domains and accounts are no part of the policy. Each step takes effect at once and stays when a later one fails; RV(actions) says which
    ones were done. No backup is made of them, and M(securemail.smtp.smtp_restore) does not bring them back.
author:
  - securemail.smtp contributors (@securemail)
extends_documentation_fragment:
  - securemail.smtp._connection
  - securemail.smtp._connection.save
  - securemail.smtp._attributes
  - securemail.smtp._attributes.actiongroup_smtp
attributes:
  idempotent:
    support: partial
    details:
      - With O(update_password=always) and a password the module sets it every time and always reports a change.
options:
  domain:
    description:
      - The mail domain. Upper case, a final dot and umlauts (IDNA 2008) are brought into one form.
    type: str
    required: true
  account:
    description:
      - Local part of the account, the part before the C(@). If not given, only the domain is managed.
      - Upper and lower case are the same account.
    type: str
  password:
    description:
      - Password of the account. Required when the account is created.
    type: str
  postmaster_password:
    description:
      - Password of the account C(postmaster), which every domain has. Required when the domain is created.
    type: str
  domain_location:
    description:
      - Folder on the server for the data of a domain that is created. If not given, the server chooses.
      - An existing domain is never moved.
    type: str
  update_password:
    description:
      - When the passwords that are given are set.
    type: str
    default: on_create
    choices:
      on_create: Only where the account, or the domain, is created.
      always: Every time. The task is not idempotent then.
  state:
    description:
      - Whether the account, or without O(account) the domain, exists.
      - Removing a domain removes all its accounts. What becomes of their mail is the server's choice.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: A domain and one account in it
  securemail.smtp.smtp_account:
    domain: example.com
    account: user1
    password: "{{ vault_user1_password }}"
    postmaster_password: "{{ vault_postmaster_password }}"
    admin_password: "{{ vault_admin_password }}"

- name: A new password for an account that exists (reports a change every time)
  securemail.smtp.smtp_account:
    domain: example.com
    account: user1
    password: "{{ vault_new_password }}"
    update_password: always
    admin_password: "{{ vault_admin_password }}"

- name: Two accounts are gone, with the connection said once
  module_defaults:
    group/securemail.smtp.smtp:
      admin_password: "{{ vault_admin_password }}"
  block:
    - name: Remove accounts
      securemail.smtp.smtp_account:
        domain: example.com
        account: "{{ item }}"
        state: absent
      loop: [user2, user3]

- name: What would removing the domain do
  securemail.smtp.smtp_account:
    domain: example.com
    state: absent
    admin_password: "{{ vault_admin_password }}"
  check_mode: true
  diff: true
"""

RETURN = r"""
domain:
  description: The domain in canonical form.
  type: str
  returned: success
  sample: example.com
account:
  description: The address of the account.
  type: str
  returned: when O(account) is given
  sample: user1@example.com
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: always, unless the failure came before anything was planned
  sample: ["create domain example.com", "add account user1@example.com"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _connection, _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy.domain import domain_name
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import accounts
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import Secret
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import ServerError


def main():
    module = AnsibleModule(
        argument_spec=dict(
            _connection.argument_spec(),
            domain={"type": "str", "required": True},
            account={"type": "str"},
            password={"type": "str", "no_log": True},
            postmaster_password={"type": "str", "no_log": True},
            domain_location={"type": "str"},
            update_password={
                "type": "str",
                "default": "on_create",
                "choices": ["on_create", "always"],
                "no_log": False,
            },
            state={"type": "str", "default": "present", "choices": ["present", "absent"]},
        ),
        supports_check_mode=True,
    )
    with _module.failures(module):
        wish = _wish(module.params)
        with _module.admin_server(module, NO_ACCOUNTS) as server:
            found, steps = _converge(module, server, wish)
    results = {"domain": wish.domain}
    if wish.account is not None:
        results["account"] = "%s@%s" % (wish.account, wish.domain)
    module.exit_json(
        changed=bool(steps),
        actions=[step.describe() for step in steps],
        diff={"before": _before(wish, found, steps), "after": _after(wish, found, steps)},
        **results,
    )


#: Why there is nothing to do at a Postfix.
NO_ACCOUNTS = (
    "a Postfix has no accounts of its own: who logs in is known to its SASL server (Dovecot, Cyrus SASL). Make them there"
)


def _wish(params):
    wish = accounts.Wish(
        domain=domain_name(params["domain"]),
        account=None if params["account"] is None else accounts.local_part(params["account"]),
        present=params["state"] == "present",
        password=_secret(params["password"]),
        postmaster_password=_secret(params["postmaster_password"]),
        domain_location=params["domain_location"],
        always=params["update_password"] == "always",
    )
    accounts.check(wish)
    return wish


def _secret(text):
    return None if text is None else Secret(text)


def _converge(module, server, wish):
    store = accounts.AccountStore(server.session)
    found = store.read(wish.domain)
    steps = accounts.plan(wish, found)
    if not steps or module.check_mode:
        return found, steps
    done = []
    try:
        for step in store.apply(steps):
            done.append(step.describe())
        store.verify(wish)
        if module.params["save"]:
            server.save()
    except ServerError as error:
        notes = ["done before: %s" % ", ".join(done)] if done else []
        if store.unsure is not None:
            notes.append("not known whether done: %s" % store.unsure.describe())
        module.fail_json(
            msg=str(error) + (" (%s)" % "; ".join(notes) if notes else ""),
            operation=error.operation,
            server_said=error.said,
            actions=done,
            changed=bool(done or store.unsure),
        )
    return found, steps


def _before(wish, found, steps):
    view = {"domain": wish.domain, "domain_state": _state(found.domain)}
    if wish.account is not None:
        view.update(account=wish.account, account_state=_state(found.account(wish.account)))
    view.update({"password of %s" % step.account: "the old one" for step in steps if step.kind == "set_password"})
    return view


def _after(wish, found, steps):
    view = _before(wish, found, steps)
    kinds = {step.kind for step in steps}
    if "create_domain" in kinds:
        view["domain_state"] = "present"
    if "delete_domain" in kinds:
        view["domain_state"] = "absent"
    if wish.account is not None:
        # In a plan the wish is what will be: nothing else decides about the account.
        view["account_state"] = _state(wish.present)
    view.update({"password of %s" % step.account: "the given one" for step in steps if step.kind == "set_password"})
    return view


def _state(there):
    return "present" if there else "absent"


if __name__ == "__main__":
    main()
