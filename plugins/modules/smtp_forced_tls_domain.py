#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_forced_tls_domain
short_description: Manage domains whose mail is taken and sent over TLS only
version_added: 0.1.0
description:
  - Inbound, mail for such a domain that arrives in clear is refused at RCPT with an explanation; other recipients of the same message are not affected.
  - Outbound, mail to such a domain is sent over TLS or not at all. Where its hosts cannot be reached over TLS as the rule says,
    it stays in the queue; it never goes out in clear.
  - One domain or a list of thousands is managed in one call, with one visit to the server. The list stands in the playbook
    (O(domains)), in a text (O(content)) or in a file on the host where the module runs (O(source)).
  - A rule is recognised by what it says and never by its name, so that one that was made by hand for the same domain and
    direction is taken over in its place. Where a server has several of them, all are changed.
  - The directions do not disturb each other.
  - C(.example.com) and C(*.example.com) mean the subdomains of C(example.com) and not the domain itself, C(*) alone means every domain
    (see O(every_domain)). The most special rule decides, whatever the order of entries is. That is the rule of the domain itself, then
    that of the longest parent, then C(*).
  - A rule that is weaker than the one for more domains is an exception. It must be written as one, with O(level) and O(reason); it
    never arises from order or from an entry that is missing. Where an entry says no level, it gets that of the rule that covers it, if
    that is stricter.
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
  domain:
    description:
      - The recipient domain. Case, a final dot and umlauts do not matter; it is compared as an A-label (IDNA 2008).
      - Exactly one of O(domain), O(domains), O(content) and O(source) is needed.
    type: str
  domains:
    description:
      - Several recipient domains. Each entry is a name, or a dictionary with the key C(domain) and settings of its own.
      - Keys of such a dictionary are the options of this module about one domain, with the same meaning. They are C(direction),
        C(level), C(reject_message), C(versions), C(match), C(fingerprints), C(reason), C(until), C(override), C(form), C(name), C(enabled) and
        C(state). What an entry does not say is taken from the options of the task, where it has a meaning for the entry.
      - What M(securemail.smtp.smtp_info) returns as C(forced_tls_domains) can be given here.
      - Empty entries are skipped and equal ones merged, whatever their spelling. Bad ones and such that contradict each other are
        named by position in one error, and nothing is written then. The order of entries does not matter.
      - A very long list costs the controller less as O(content).
    type: list
    elements: raw
  content:
    description:
      - The text of a list, one domain on each line. C(#) begins a comment, empty lines and blanks around a domain do not matter.
      - For a file on the controller, with the lookup P(ansible.builtin.file#lookup).
      - A list with no domain in it is refused, unless O(allow_unsafe=true).
    type: str
    version_added: 0.5.0
  source:
    description:
      - Path of a regular file with such a list on the host where the module runs, in UTF-8, with or without a byte order mark,
        64 MB at most.
    type: path
    version_added: 0.5.0
  direction:
    description:
      - The direction of mail that the rule is about.
    type: str
    choices:
      inbound: Mail that the server receives.
      outbound: >-
        Mail that the server sends to other hosts. A domain that the server holds itself is refused, because its mail never leaves.
      both: Two rules, one for each direction.
    default: inbound
  reject_message:
    description:
      - The explanation that the sending server gets, printable ASCII without double quotes, backslashes and percent signs.
      - If not given, an existing rule keeps its own, and a new one says
        C(Accepting only secure delivery (STARTTLS) for) and the domain.
      - Belongs to mail that comes in, and is refused with O(direction=outbound) and for exceptions.
    type: str
  level:
    description:
      - How well TLS must protect mail, with Postfix's names.
      - V(encrypt) needs TLS and does not look at the certificate. It stops those who only listen.
      - V(verify) also needs a trusted certificate for the name of the host. DNS says which host that is, so that it is as good as DNS.
      - V(secure) also needs a trusted certificate for the domain itself, or for a name in O(match).
      - V(fingerprint) needs a certificate or a public key that is named in O(fingerprints), whoever has signed it. It is the strictest
        one, because no authority and no DNS is trusted with it.
      - The bundled server holds V(encrypt), V(verify), V(secure) and V(fingerprint), a Postfix V(dane) and V(dane-only) too. V(mta-sts) comes later.
        A server that cannot hold a level refuses it by name and never takes a weaker one instead.
      - V(none) (no TLS) and V(may) (TLS where the other side offers it) force nothing. They are for exceptions from rules for more
        domains, and need O(reason).
      - Mail that comes in knows V(encrypt) and V(may) only, because the sending server decides how it looks. With O(direction=both) a
        stricter level means V(encrypt) for it, and V(none) means V(may).
      - If not given, an existing rule that forces TLS keeps its own, and a new one gets V(encrypt), or the level of the rule that covers it
        if that is stricter, with its O(fingerprints). An existing exception keeps its own only with O(reason) or O(until), and otherwise ends.
    type: str
    version_added: 0.2.0
  versions:
    description:
      - The protocol versions that may be used for mail that goes out, and no others. Refused with O(direction=inbound).
      - Any of V(TLSv1), V(TLSv1.1), V(TLSv1.2), V(TLSv1.3), without a gap. V(TLSv1) and V(TLSv1.1) draw a warning (RFC 8996).
      - If not given, an existing rule keeps its own, and a new one leaves them to the rules before it and to the server. V([]) means
        that the rule names none.
    type: list
    elements: str
    version_added: 0.2.0
  match:
    description:
      - Names that the certificate may be for, only with O(level=secure). A leading dot means any subdomain.
      - If not given, an existing rule keeps its own, and a new one takes the domain and its subdomains. V([]) means these.
    type: list
    elements: str
    version_added: 0.2.0
  fingerprints:
    description:
      - The certificates or public keys that are accepted, by their SHA-256. Needed for O(level=fingerprint), and refused at any other level.
      - Of a certificate it is what C(openssl x509 -noout -fingerprint -sha256) prints, of a key the SHA-256 of its
        SubjectPublicKeyInfo in DER. That of a key outlives the renewal of the certificate, if the key stays.
      - With or without colons, in upper or lower case, with C(sha256:) in front or not. Any of them will do, so that the old and the new
        one stand side by side while a peer changes its certificate. 20 at most.
      - If not given, an existing rule at this level keeps its own.
    type: list
    elements: str
    version_added: 0.6.0
  reason:
    description:
      - Why a rule is weaker than the one for more domains, 200 printable characters at most, without double quotes, backslashes and percent signs.
      - Needed for a new or changed exception. If not given, an existing one keeps its own. The empty string takes away that of a rule
        which is no exception any more.
    type: str
    version_added: 0.5.0
  until:
    description:
      - The last day on which an exception shall hold, as V(2026-12-31). The server does not end it; see O(expired_exceptions).
      - If not given, an existing exception keeps its own, and a new one has none. The empty string takes it away.
    type: str
    version_added: 0.5.0
  override:
    description:
      - What an exception overrules besides, V(dane) or V(mta-sts).
      - Refused, because the servers of this collection do neither, so that nothing could be overruled. It is never ignored.
    type: list
    elements: str
    version_added: 0.5.0
  form:
    description:
      - How a rule stands in the policy script. Domains with subdomains only, C(*) and exceptions always have a method of their own.
      - V(method) is one method for each domain. It is what AXIGEN's WebAdmin reads and shows.
      - V(compact) is one method for many domains with the same settings. On an AXIGEN it draws a warning, because WebAdmin then
        offers to overwrite the file.
      - If not given, existing rules stay as they are written, and new ones get a method of their own.
    type: str
    choices: [method, compact]
    version_added: 0.5.0
  name:
    description:
      - Name of a new rule, only together with O(domain) or in an entry of O(domains). If not given, it is derived from the domain,
        C(allow_only_tls_for_mydomain_com) for C(mydomain.com), outbound with C(_outbound) behind it.
      - With O(direction=both) the outbound rule is called like this with C(_outbound) behind it.
      - A rule is recognised by what it says. Where there is one for this domain and direction under another name,
        it keeps that name, and this option has no effect on it.
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
  prune:
    description:
      - Whether rules for domains that the list does not name are removed, in the direction of the task (O(direction)).
      - Rules whose content is not understood and the server's own ones are never removed.
      - A list that names no domain to be kept is refused then, unless O(allow_unsafe=true).
    type: bool
    default: false
    version_added: 0.5.0
  keep:
    description:
      - Shell patterns for domains, and for names of rules, that O(prune) leaves alone, in any case.
    type: list
    elements: str
    version_added: 0.5.0
  every_domain:
    description:
      - Whether C(*) alone may stand for a domain, which means every one.
      - Inbound, a listener on port 25 that the Internet reaches must take mail in clear (RFC 3207). Where there is one, a new rule of
        this kind is refused, unless O(allow_unsafe=true).
    type: bool
    default: false
    version_added: 0.5.0
  expired_exceptions:
    description:
      - What happens when O(until) of an exception on the server lies in the past, whether the task names it or not.
    type: str
    choices:
      warn: A warning names each of them.
      fail: The task fails before anything is written.
    default: warn
    version_added: 0.5.0
seealso:
  - module: securemail.smtp.smtp_dialect
  - module: securemail.smtp.smtp_relay_tls
  - module: securemail.smtp.smtp_policy
"""

EXAMPLES = r"""
- name: The article's example
  securemail.smtp.smtp_forced_tls_domain:
    domain: mydomain.com
    reject_message: "Accepting only secure delivery (STARTTLS) for mydomain.com"
    admin_password: "{{ vault_admin_password }}"

- name: All partners from a file of the controller, in one call, for mail in both directions
  securemail.smtp.smtp_forced_tls_domain:
    content: "{{ lookup('ansible.builtin.file', 'partners.txt') }}"
    direction: both
    admin_password: "{{ vault_admin_password }}"

- name: The file on the mail server is the whole truth, but for what the test department has made
  securemail.smtp.smtp_forced_tls_domain:
    source: /etc/mail/partners.txt
    prune: true
    keep: ["*.test.example", "lab_*"]
    admin_password: "{{ vault_admin_password }}"

- name: Mail to a bank goes only to hosts that prove who they are
  securemail.smtp.smtp_forced_tls_domain:
    domain: bank.example
    direction: outbound
    level: secure
    versions: [TLSv1.2, TLSv1.3]
    match: [bank.example, .mail.bank.example]
    admin_password: "{{ vault_admin_password }}"

- name: Mail to a partner goes only to hosts with one of two certificates, today's and next year's
  securemail.smtp.smtp_forced_tls_domain:
    domain: partner.example
    direction: outbound
    level: fingerprint
    fingerprints:
      - "5E:DD:3C:2A:1B:96:4F:6E:0A:52:7D:11:C8:03:9B:E4:77:28:F0:63:AD:15:8C:B2:40:D9:6A:31:FE:84:0C:97"
      - "sha256:b1946ac92492d2347c6235b4d2611184e3b0c44298fc1c149afbf4c8996fb924"
    admin_password: "{{ vault_admin_password }}"

- name: All mail goes out over TLS, that to authorities to proven hosts, and two old devices are exceptions
  securemail.smtp.smtp_forced_tls_domain:
    domains:
      - {domain: "*", level: encrypt}
      - {domain: ".gov.example", level: secure, match: [".gov.example"]}
      - {domain: old.gov.example, level: may, reason: "appliance is replaced, ticket 88", until: "2027-03-31"}
      - {domain: fax.example, level: none, reason: "no TLS at all, accepted by the CISO", until: "2026-12-31"}
      - {domain: former.example, state: absent}
    direction: outbound
    every_domain: true
    expired_exceptions: fail
    admin_password: "{{ vault_admin_password }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["add rule allow_only_tls_for_mydomain_com", "call rule allow_only_tls_for_mydomain_com"]
backup_file:
  description: The folder with the backup of the state before the change. M(securemail.smtp.smtp_restore) brings it back.
  type: str
  returned: when something was changed and O(backup) is in force
  sample: /home/admin/.securemail/backups/127.0.0.1_7000/20261125T120000Z-0a1b2c3d4e5f
  version_added: 0.3.0
counts:
  description:
    - How many domains the list names, and what became of them and of others, each direction counted. Equal entries count once.
  type: dict
  returned: success, with a list
  version_added: 0.5.0
  contains:
    listed:
      description: Named by the list.
      type: int
    added:
      description: Have a rule that had none.
      type: int
    changed:
      description: Have another rule than before.
      type: int
    removed:
      description: Have no rule any more, whether the list said so or O(prune) did.
      type: int
    unchanged:
      description: Named by the list, and as they were.
      type: int
  sample: {listed: 10000, added: 12, changed: 1, removed: 0, unchanged: 9987}
forced_tls_domains:
  description:
    - With O(domain), the rules for this domain as they are now, in all directions.
    - With a list, the rules that the task added or changed, of more than 2000 the first ones by name. RV(counts) counts all, and
      M(securemail.smtp.smtp_info) returns all.
    - What belongs to the other direction is V(null). Outbound C(versions), C(match) and C(fingerprints) are V([]) where the rule names none.
  type: list
  elements: dict
  returned: success
  sample:
    - domain: mydomain.com
      direction: inbound
      level:
      reject_message: Accepting only secure delivery (STARTTLS) for mydomain.com
      versions:
      match:
      fingerprints:
      reason:
      until:
      form: method
      name: allow_only_tls_for_mydomain_com
      enabled: true
"""

import os
import stat

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils import _module
from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, forced_options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import ForcedTlsDomain

SOURCES = ("domain", "domains", "content", "source")

#: Most rules of a list that are returned: ten thousand cost Ansible longer than the server.
RETURNED = 2000


def argument_spec():
    return dict(
        _module.argument_spec(),
        domain={"type": "str"},
        # Entries may be names or dictionaries, and a number must not become a text on the way.
        domains={"type": "list", "elements": "raw"},
        content={"type": "str"},
        source={"type": "path"},
        direction={"type": "str", "choices": ["inbound", "outbound", "both"], "default": "inbound"},
        reject_message={"type": "str"},
        level={"type": "str"},
        versions={"type": "list", "elements": "str"},
        match={"type": "list", "elements": "str"},
        fingerprints={"type": "list", "elements": "str"},
        reason={"type": "str"},
        until={"type": "str"},
        override={"type": "list", "elements": "str"},
        form={"type": "str", "choices": ["method", "compact"]},
        name={"type": "str"},
        enabled={"type": "bool"},
        state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        prune={"type": "bool", "default": False},
        keep={"type": "list", "elements": "str"},
        every_domain={"type": "bool", "default": False},
        expired_exceptions={"type": "str", "choices": ["warn", "fail"], "default": "warn"},
        allow_unsafe={"type": "bool", "default": False},
    )


def read_file(path):
    """The octets of a list on this host, one more than are allowed at most. Raises PolicyError."""
    from ansible_collections.securemail.smtp.plugins.module_utils._policy.source_file import SIZE_LIMIT

    if not path:
        raise PolicyError("source is empty; give the path of a file with a list of domains, or leave it out")
    try:
        # Whoever opens a pipe waits for its writer, and a device may do something.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is no regular file but a directory, a pipe or a device")
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            return file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PolicyError(
            "source %s cannot be read on %s, where the module runs: %s; a file on the controller is given with content and "
            "lookup('ansible.builtin.file', ...)" % (path, os.uname().nodename, reason)
        ) from None


def wanted(params):
    """The entries that a task means, and notices. Raises PolicyError."""
    if params["content"] is None and params["source"] is None:
        return forced_options.forced_domains(params)
    from ansible_collections.securemail.smtp.plugins.module_utils._policy import source_file

    if params["source"] is not None:
        name = "source %s" % params["source"]
        text = source_file.text_of(read_file(params["source"]), name)
    else:
        name, text = "content", params["content"]
    lines = source_file.entries(text, name, params["allow_unsafe"])
    return forced_options.forced_domains(params, lines, name.replace("%", "%%") + " line %d")


def kept(patterns):
    """What a prune leaves alone; None for nothing. Raises PolicyError."""
    if patterns is None:
        return None
    from ansible_collections.securemail.smtp.plugins.module_utils._policy.domain import domain_name
    from ansible_collections.securemail.smtp.plugins.module_utils._policy.keep import Keep

    return Keep(patterns, canonical=lambda value, option: domain_name(value, option, True))


class Single:
    """A task about one domain: its rules are shown."""

    sides = True

    def __init__(self, entries):
        self._domains = frozenset(entry["domain"] for entry in entries)

    def view(self, policy):
        return {"forced_tls_domains": document.forced_domain_documents(policy, self._domains)}

    def results(self, outcome):
        return self.view(outcome.after)


class Many:
    """A task about a list: rules that differ are shown, and the others counted."""

    def __init__(self, entries):
        self._listed = {(entry["domain"], entry["direction"]) for entry in entries}
        self._changes = None

    @staticmethod
    def view(policy):
        return document.policy_document(policy)

    def sides(self, outcome):
        changes = self._found(outcome)
        # Rules that only moved show in the order.
        return (
            {"forced_tls_domains": changes.before(), "rule_order": document.rule_orders(outcome.before)},
            {"forced_tls_domains": changes.after(), "rule_order": document.rule_orders(outcome.after)},
        )

    def results(self, outcome):
        if not outcome.changed:
            count = len(self._listed)
            counts = {"listed": count, "added": 0, "changed": 0, "removed": 0, "unchanged": count}
            return {"forced_tls_domains": [], "counts": counts}
        changes = self._found(outcome)
        return {"forced_tls_domains": changes.after(RETURNED), "counts": changes.counts(self._listed)}

    def _found(self, outcome):
        if self._changes is None:
            # Most runs change nothing, and a module's code is compiled anew in each of them.
            from ansible_collections.securemail.smtp.plugins.module_utils._policy.forced_changes import ForcedChanges

            self._changes = ForcedChanges(outcome.before, outcome.after)
        return self._changes


def main():
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_one_of=[SOURCES],
        mutually_exclusive=[SOURCES],
        supports_check_mode=True,
    )
    params = module.params
    with _module.failures(module):
        entries, notices = wanted(params)
        pruned = forced_options.pruned_directions(params, entries)
        keep = kept(params["keep"])
    for notice in notices:
        module.warn(notice)
    _module.warn_withdrawn(module, *{entry["versions"] for entry in entries if entry["state"] == "present"})
    task = Single(entries) if params["domain"] is not None else Many(entries)

    def edited(policy):
        desired = edit.put_forced_domains(policy, entries, keep, pruned, params["allow_unsafe"])
        if params["expired_exceptions"] == "fail":
            _module.ended_exceptions(desired, "fail")
        return desired

    def results(outcome):
        _module.warn_ended(module, outcome.after)
        return task.results(outcome)

    _module.run(
        module,
        edited,
        task.view,
        results,
        [ForcedTlsDomain],
        forced_options.has_outbound(entries) or "outbound" in pruned,
        differing=task.sides,
    )


if __name__ == "__main__":
    main()
