# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Own tables of a Postfix: their type on different hosts, their text, and what is said to a refused client."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import ForcedTlsDomain
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_name import default_reject_message
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix import inbound, table
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.main_cf import MainCf
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.master_cf import MasterCf


def host(types, default, main="", master=""):
    """What is asked of a host for its tables."""
    return SimpleNamespace(types=tuple(types.split()), default_type=default, main=MainCf.parse(main), master=MasterCf.parse(master))


OURS = (
    "smtpd_recipient_restrictions = check_recipient_access "
    "pipemap:{regexp:${config_directory}/securemail/recipient_domain, %s:${config_directory}/securemail/inbound}\n"
)


@pytest.mark.parametrize("types, default, main, kind", [
    ("btree cidr hash inline regexp texthash", "hash", "", "hash"),
    ("cidr inline lmdb pcre regexp texthash", "lmdb", "", "lmdb"),
    ("cidr inline regexp texthash", "lmdb", "", "texthash"),
    ("cdb cidr inline regexp texthash", "cdb", "", "cdb"),
    # What the tables of the host are, if it can be opened.
    ("hash lmdb texthash", "hash", "alias_maps = hash:/etc/aliases\n", "hash"),
    ("hash lmdb texthash", "hash", "virtual_alias_maps = proxy:cdb:/etc/v, proxy:hash:/etc/w\n", "hash"),
    ("lmdb texthash", "lmdb", "alias_maps = hash:/etc/aliases\n", "lmdb"),
    ("hash lmdb texthash", "hash", "# alias_maps = hash:/etc/aliases\nsmtp_tls_session_cache_database = btree:${data_directory}/scache\n", "lmdb"),
    # Ours stay as they are, until they cannot be opened any more.
    ("cdb hash lmdb", "hash", "alias_maps = hash:/etc/aliases\n" + OURS % "cdb", "cdb"),
    ("lmdb", "lmdb", "alias_maps = hash:/etc/aliases\n" + OURS % "hash", "lmdb"),
])
def test_kind(types, default, main, kind):
    assert table.kind(host(types, default, main)) == kind


def test_references_are_those_of_settings_and_not_of_comments():
    conf = host("lmdb", "lmdb", OURS % "lmdb", "# -o x=hash:${config_directory}/securemail/inbound\nsmtp inet n - n - - smtpd\n"
                "  -o smtp_tls_policy_maps=cdb:${config_directory}/securemail/outbound\n")
    assert table.references(conf) == {"inbound": "lmdb", "outbound": "cdb", "recipient_domain": "regexp"}


def test_tables_of_others_that_cannot_be_opened_are_named_with_their_line():
    conf = host("lmdb regexp", "lmdb", "a = hash:/etc/a\nb = lmdb:/etc/b pcre:${config_directory}/b\nc = unix:/run/milter\n" + OURS % "hash",
                "smtp inet n - n - - smtpd\n  -o alias_maps=cdb:$config_directory/c\n")
    found = table.unopenable(conf)
    assert [re.match(r"(\S+ line \d+: \S+) has a table of type (\S+),", line).groups() for line in found] == [
        ("main.cf line 1: a", "hash"), ("main.cf line 2: b", "pcre"), ("master.cf line 2: alias_maps", "cdb"),
    ]


def test_text_and_entries():
    text = table.source("Title.", {"b.test": "dunno", "A.test": "reject"})
    assert dict(table.entries(text)) == {"a.test": "reject", "b.test": "dunno"}
    assert dict(table.entries("# c\n\nKey  one\n  two\n# c\n\tthree\nM\u00dcLLER.test x\nSTRA\u00dfE y\n")) == {
        "key": "one two three", "m\u00fcller.test": "x", "strasse": "y",
    }


# --- keys of recipients ---------------------------------------------------------------------------


def key_of(text, recipient):
    """What a regexp table makes of a key (regexp_table(5))."""
    for line in text.splitlines():
        if not line.startswith("#"):
            pattern, unused, result = line.rpartition("/ ")
            match = re.search(pattern[1:], recipient)
            if match:
                return result.replace("$1", match.group(1) if match.re.groups else "")
    return None


def meant(domains, name):
    """The rule that decides for a domain: its own, else that of the nearest parent."""
    if name in domains:
        return domains[name]
    while "." in name:
        name = name.partition(".")[2]
        if "." + name in domains:
            return domains["." + name]
    return None


def test_keys_lead_to_the_most_special_rule():
    labels = ["a", "b", "c-d"]
    names = [*labels, *(f"{x}.{y}" for x in labels for y in labels), *(f"{x}.{y}.{z}" for x in labels for y in labels for z in labels)]
    sets = [("a.b", ".b"), (".b", ".a.b", "b"), (".a", ".b", "c-d.a.b"), ("a", "b"), (".c-d", ".c-d.c-d", "a.c-d.c-d", "b.c-d")]
    for chosen in sets:
        domains = {name: "rule of " + name for name in chosen}
        text = inbound._keys(domains)
        for name in names:
            assert domains.get(key_of(text, "x@y@" + name)) == meant(domains, name), (chosen, name)
        assert key_of(text, "user@") is None and key_of(text, "a.b") is None


# --- what is said ---------------------------------------------------------------------------------


def rule(domain, message=None):
    return ForcedTlsDomain("n", domain, default_reject_message(domain) if message is None else message)


@pytest.mark.parametrize("rules, message", [
    ([rule("a.test")], default_reject_message("a.test")),
    ([rule("a.test"), rule("b.test")], None),
    ([rule("a.test", "Use $TLS"), rule("b.test", "Use $TLS")], "Use $TLS"),
    ([rule("a.test", ""), rule("b.test", "Use TLS")], "Use TLS"),
    ([rule("a.test", ""), rule("b.test")], None),
    ([rule("a.test", default_reject_message("b.test")), rule("b.test")], default_reject_message("b.test")),
])
def test_one_message_for_all(rules, message):
    inbound._check(rules)
    assert inbound._message(rules) == message


@pytest.mark.parametrize("rules", [
    [rule("a.test", "one"), rule("b.test", "two")],
    [rule("a.test", "one"), rule("b.test")],
    [rule("a.test", "530 5.7.0 one")],
    [rule("*")],
    [rule("xn--strae-oqa.test"), rule("strasse.test")],
])
def test_what_one_table_cannot_say(rules):
    with pytest.raises(PolicyError):
        inbound._check(rules)


@pytest.mark.parametrize("message, line", [
    (None, "/^523 5\\.7\\.1 Session encryption is required$/ \\c. Accepting only secure delivery (STARTTLS) for this domain"),
    ("Pay $5", "/^523 5\\.7\\.1 Session encryption is required$/ \\c. Pay $$$$5"),
    ("550 5.7.1 No", "/^550 5\\.7\\.1 Session encryption is required$/ \\c. No"),
    ("404 is no code here", "/^523 5\\.7\\.1 Session encryption is required$/ \\c. 404 is no code here"),
    ("Session encryption is required", None),
])
def test_explanation(message, line):
    text = inbound._explanation(message, "450")
    assert [found for found in text.splitlines() if not found.startswith("#")] == ([line] if line else [])
    assert (inbound._comment(text, "#? "), inbound._comment(text, "#< ")) == (message, "450")


@pytest.mark.parametrize("value, rest", [
    ((OURS % "hash").partition("= ")[2].strip(), ""),
    ("permit_mynetworks, " + (OURS % "lmdb").partition("= ")[2].strip() + ", reject", "permit_mynetworks, reject"),
    ("check_recipient_access   pipemap:{regexp:/etc/postfix/securemail/recipient_domain,cdb:/etc/postfix/securemail/inbound} reject", "reject"),
    ("check_recipient_access pipemap:{regexp:/etc/postfix/other, cdb:/etc/postfix/x}, reject",
     "check_recipient_access pipemap:{regexp:/etc/postfix/other, cdb:/etc/postfix/x}, reject"),
])
def test_without_our_check(value, rest):
    assert inbound._without_ours(value) == rest
