# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as people write them, through a real playbook: what YAML made of them is understood or refused, never guessed.

Everything runs in one playbook, in check mode. The texts of the tasks are what stands in somebody's file.
"""

from __future__ import annotations

import json
import re
import textwrap

import pytest
import yaml
from mta_process import PASSWORD, POSTERN, play

ROOT = POSTERN.parents[2]

#: Name -> the task as it is written.
WRITTEN = {
    "right": """
        smtp_policy:
          listeners:
            - {address: "127.0.0.1:1", enabled: false, versions: [1.2, 1.3]}
            - {address: "127.0.0.1:2", enabled: false, versions: ["1.2", "1.3"]}
            - {address: "127.0.0.1:3", enabled: false, versions: [tls1_2, tls1_3]}
            - {address: "127.0.0.1:4", enabled: false, versions: [TLSv1.2, TLSv1.3]}
            - {address: "127.0.0.1:5", enabled: false, versions: [tlsv1.2, tlsv1.3]}
            - address: "[::]:25"
              enabled: false
              tls: no
              ciphers: "!aNULL:HIGH"
            - address: "[::]:587"
              enabled: false
              tls: off
          auth_rules:
            - {name: none_of_them, connection: plain, mechanisms: []}
            - name: comma
              connection: tls
              mechanisms: PLAIN, LOGIN
          forced_tls_domains:
            - domain: "*.example.test"
              reject_message: "550 TLS: required"
            - domain: cut.test
              reject_message: TLS required # see wiki
    """,
    "wrong": """
        smtp_policy:
          listeners:
            - address: 10:25
            - address: 0465
            - {address: "127.0.0.1:1", tls: yes}
            - {address: "127.0.0.1:2", versions: [1.10, 1.3]}
          forced_tls_domains:
            - domain: 123.456
    """,
    "nothing": """
        smtp_auth_rule:
          name: some
          connection: plain
          mechanisms:
    """,
    "comma": """
        smtp_forced_tls_domain:
          domains: Example.TEST, other.test,partner.test
    """,
}

UNREADABLE = [
    "address: [::]:25",
    "domain: *.example.test",
    "domain: @example.test",
    "ciphers: !aNULL:HIGH",
    "protocols: !SSLv2, !SSLv3",
    "reject_message: 550 TLS: required",
    "reject_message: %domain% needs TLS",
    "version: >=TLSv1.2",
]

#: A list of listeners as other systems give it away, and what it means.
ADDRESSES = {
    "0.0.0.0:25": "0.0.0.0:25",
    "*:25": None,
    ":25": None,
    "[::]:25": "[::]:25",
    "[0:0:0:0:0:0:0:0]:25": "[::]:25",
    "[::0]:25": "[::]:25",
    "[2001:DB8::25]:587": "[2001:db8::25]:587",
    "[2001:0db8:0000:0000:0000:0000:0000:0025]:587": "[2001:db8::25]:587",
    "2001:db8::25:587": None,
    "[::ffff:192.0.2.1]:25": "[::ffff:192.0.2.1]:25",
    "[fe80::1%eth0]:25": None,
    "localhost:25": None,
    "192.0.2.1:smtp": None,
    "192.0.2.1:00587": None,
    "192.0.2.1:65536": None,
    "192.0.2.256:25": None,
}


def listeners(addresses):
    return "smtp_policy:\n  listeners:\n" + "".join('    - {address: "%s", enabled: false}\n' % one for one in addresses)


@pytest.fixture(scope="module")
def result(shared_mta, tmp_path_factory):
    """What each task returned: a function of its name."""
    folder = tmp_path_factory.mktemp("traps")
    tasks = dict(
        WRITTEN,
        addresses=listeners(ADDRESSES),
        listeners=listeners(address for address, meant in ADDRESSES.items() if meant),
    )
    text = "- hosts: all\n  gather_facts: false\n  module_defaults:\n    group/securemail.smtp.smtp:\n"
    text += "      admin_password: %s\n  tasks:\n" % json.dumps(PASSWORD)
    for number, (name, task) in enumerate(tasks.items()):
        text += "    - name: %s\n      register: task_%d\n      ignore_errors: true\n" % (name, number)
        text += textwrap.indent("securemail.smtp." + textwrap.dedent(task).strip() + "\n", "      ")
    (folder / "traps.yml").write_text(text)
    # In check mode nothing is copied, unless a task says otherwise.
    results = "{{ [%s] | to_json }}" % ", ".join("task_%d" % number for number in range(len(tasks)))
    with (folder / "traps.yml").open("a") as file:
        file.write('    - ansible.builtin.copy: {content: "%s", dest: %s}\n      check_mode: false\n' % (results, folder / "results"))
    play(folder / "traps.yml", shared_mta.port, "--check", "--diff")
    found = dict(zip(tasks, json.loads((folder / "results").read_text())))
    return found.__getitem__


def test_what_was_meant(result):
    policy = result("right")["policy"]
    spelled, others = policy["listeners"][:5], policy["listeners"][5:]
    assert [listener["versions"] for listener in spelled] == [["TLSv1.2", "TLSv1.3"]] * 5
    assert [(listener["address"], listener["tls"]) for listener in others] == [("[::]:25", "none"), ("[::]:587", "none")]
    assert others[0]["ciphers"] == "!aNULL:HIGH"
    assert [rule["mechanisms"] for rule in policy["auth_rules"]] == [[], ["PLAIN", "LOGIN"]]
    assert [(rule["domain"], rule["reject_message"]) for rule in policy["forced_tls_domains"]] == [
        (".example.test", "550 TLS: required"),
        # What YAML cut off nobody can know; the result shows what is left.
        ("cut.test", "TLS required"),
    ]


def test_nothing_is_not_none_of_them(result):
    assert result("nothing")["failed"] and "mechanisms" in result("nothing")["msg"]


@pytest.mark.parametrize(
    "problem",
    [
        'listeners #1: address must be like "0.0.0.0:25" or "[::]:25"; got the number 625, quote it',
        'listeners #2: address must be like "0.0.0.0:25" or "[::]:25"; got the number 309, quote it',
        'listeners #3: tls must be one of "none", "starttls", "implicit"; got the boolean true',
        "listeners #4: versions",
        "domain must be a domain name",
        "got the number 123.456",
    ],
)
def test_what_cannot_be_right_is_refused_with_the_option_and_what_arrived(result, problem):
    assert result("wrong")["failed"] is True
    assert problem in result("wrong")["msg"]


def test_a_comma_string_is_a_list(result):
    shown = yaml.safe_load(result("comma")["diff"]["after"])["forced_tls_domains"]
    assert [rule["domain"] for rule in shown] == ["example.test", "other.test", "partner.test"]


def test_addresses_in_many_spellings(result):
    message = result("addresses")["msg"]
    for number, (address, meant) in enumerate(ADDRESSES.items(), 1):
        assert ('listeners #%d: address must be like "0.0.0.0:25" or "[::]:25"; got "%s": ' % (number, address) in message) is (
            meant is None
        )
    found = [one["address"] for one in result("listeners")["policy"]["listeners"]]
    assert sorted(found) == sorted({meant for meant in ADDRESSES.values() if meant})


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_at_all(text):
    # By the library that Ansible reads with; Ansible's own reader in this process would take warnings of modules away.
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("- hosts: all\n  vars:\n    " + text)


# --- what our own examples show -----------------------------------------------------------------

#: Keys whose values people copy, and what makes one need quotes.
QUOTED = {
    "address": ".",
    "addresses": ".",
    "probe_address": ".",
    "listeners": ".",
    "ciphers": ".",
    "reject_message": ".",
    "reason": ".",
    "until": ".",
    "domain": r"[*.@]",
    "domains": r"[*.@]",
}


def texts():
    """Every YAML text that people copy: the examples of the modules, the playbooks, and the blocks of the pages."""
    for path in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        found = re.search(r'^EXAMPLES = r"""\n(.*?)"""', path.read_text(), re.DOTALL | re.MULTILINE)
        if found:
            yield path.name, found[1]
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "roles").glob("*/README.md"))]:
        for block in re.findall(r"```ya?ml\n(.*?)```", path.read_text(), re.DOTALL):
            # A block may begin in the middle of a playbook.
            yield str(path.relative_to(ROOT)), textwrap.dedent(block)
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        yield path.name, path.read_text()


def plain(node, key=""):
    """The scalars without quotes under each key of the table."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from plain(value, name.value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from plain(value, key)
    elif key in QUOTED and node.style is None and re.match(QUOTED[key], node.value):
        yield "%s: %s" % (key, node.value)


def test_our_own_examples_quote_what_needs_it():
    found = list(texts())
    assert len(found) > 12
    wrong = [(name, value) for name, text in found for root in yaml.compose_all(text) for value in plain(root)]
    assert wrong == []
