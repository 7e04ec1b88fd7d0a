# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a Postfix hands mail for a domain to, as its tables say: worked out here, and asked of Postfix itself."""

from __future__ import annotations

import re
import shutil
import smtplib
import tempfile
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix import configuration
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.next_hop import chain, hops
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.programs import Programs
from postfix_host import PostfixHost

TRANSPORT = """\
routed.test       smtp:[gate.test]:587
bare.test         relay:
empty.test        :
port.test         :mx.port.test:26
first.test        smtp:[shared.test]
second.test       smtp:[shared.test]
.parent.test      smtp:[parents.test]
deep.lower.test   smtp:[deep.test]
box@mailbox.test  smtp:[box.test]
paper.test        lmtp:unix:/run/paper
custom.test       strange:
own.test          tabled:
"""

MASTER = """\
strange unix - - n - - pipe
  flags=R user=nobody argv=/bin/true
tabled unix - - n - - smtp
  -o smtp_tls_policy_maps=
"""


@pytest.fixture(scope="module")
def host():
    """One instance for all: only its files are read."""
    folder = Path(tempfile.mkdtemp(prefix="securemail-postfix-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch, PostfixHost(folder, "") as made:
        for name, value in made.environment().items():
            patch.setenv(name, value)
        made.master_cf.write_text(made.master_cf.read_text() + MASTER)
        yield made
    shutil.rmtree(folder)


@pytest.fixture
def found(host):
    """A function: domains and main.cf -> what is worked out for each domain, and the remarks."""
    before = host.main_cf.read_text()

    def work(domains, main="", transport=TRANSPORT):
        (host.config_directory / "transport").write_text(transport)
        host.main_cf.write_text(before + main)
        configuration.settle_file(host.main_cf)
        conf = configuration.read(Programs(str(host.config_directory), str(host.command_directory)), str(host.config_directory))
        remarks = []
        return hops(conf, domains, remarks), remarks

    yield work
    host.main_cf.write_text(before)


ROUTED = "transport_maps = texthash:${config_directory}/transport\n"


@pytest.mark.parametrize(
    "domain, key",
    [
        ("plain.test", "plain.test"), (".plain.test", ".plain.test"), ("routed.test", "[gate.test]:587"), ("sub.routed.test", "sub.routed.test"),
        ("bare.test", "bare.test"), ("empty.test", "empty.test"), ("port.test", "mx.port.test:26"), (".parent.test", "[parents.test]"),
        ("parent.test", "parent.test"), ("mailbox.test", "mailbox.test"), ("xn--bcher-kva.test", "xn--bcher-kva.test"),
    ],
)
def test_keys(found, domain, key):
    hop = found([domain], ROUTED)[0][domain]
    assert (hop.key, hop.problem) == (key, "")


@pytest.mark.parametrize(
    "domain, main, said",
    [
        ("first.test", ROUTED, "and so does that of second.test (transport_maps)"),
        ("a.parent.test", ROUTED, "goes to [parents.test] together with that of other domains"),
        ("paper.test", ROUTED, "goes by the transport lmtp"),
        ("custom.test", ROUTED, "goes by the transport strange (transport_maps), which knows no TLS policy"),
        ("own.test", ROUTED, "tabled, which has its own tables of policies (master.cf line "),
        ("plain.test", "relayhost = [smart.test]:587\n", "goes to the relay host [smart.test]:587"),
        ("plain.test", "default_transport = smtp:[smart.test]\n", "[smart.test] (default_transport)"),
        ("plain.test", "default_transport = error\n", "goes by the transport error (default_transport)"),
        ("plain.test", "relay_domains = plain.test\nrelay_transport = relay:[in.test]\n", "[in.test] (relay_transport)"),
        ("sub.plain.test", "relay_domains = plain.test\nrelay_transport = lmtp\n", "goes by the transport lmtp (relay_transport)"),
        ("plain.test", "sender_dependent_relayhost_maps = inline:{a@b.test=[c.test]}\n", "sender_dependent_relayhost_maps sends mail of some"),
        ("plain.test", "mydestination = $myhostname, Plain.TEST\n", "plain.test is a domain of this server"),
        ("plain.test", "virtual_mailbox_domains = inline:{plain.test=x}\n", "plain.test is a domain of this server"),
        ("plain.test", "transport_maps = inline:{*=smtp:[smart.test]}\n", "goes to [smart.test] together with that of other domains"),
        ("plain.test", "transport_maps = static:smtp:[smart.test]\n", "goes to [smart.test] together with that of other domains"),
        ("plain.test", "transport_maps = regexp:{{/@plain\\.test$$/ smtp:[smart.test]}}\n", "goes to [smart.test] together with that of other domains"),
        ("routed.test", ROUTED + "relayhost = [gate.test]:587\n", "goes to the next hop [gate.test]:587, and so does that of all other domains"),
        ("next.test", "transport_maps = inline:{other.test=smtp:next.test}\n", "goes to the next hop next.test, and so does that of other.test"),
    ],
)
def test_entries_that_would_be_dead_or_hit_others(found, domain, main, said):
    hop = found([domain], main)[0][domain]
    assert hop.key == ""
    assert said in hop.problem


def test_domains_with_one_next_hop_are_one_case_when_all_of_them_are_asked(found):
    keys = found(["first.test", "second.test"], ROUTED)[0]
    assert [keys[domain].key for domain in ("first.test", "second.test")] == ["[shared.test]", "[shared.test]"]


def test_mail_with_a_way_of_its_own_is_told(found):
    keys = found([".lower.test", "mailbox.test"], ROUTED)[0]
    assert "mail for deep.lower.test has a way of its own" in keys[".lower.test"].remark
    assert "mail for box@mailbox.test has a way of its own" in keys["mailbox.test"].remark


def test_tables_that_cannot_be_asked_are_told(found):
    keys, remarks = found(["plain.test"], "transport_maps = socketmap:unix:/run/x:y\n")
    assert keys["plain.test"].key == "plain.test"
    assert ["socketmap:unix:/run/x:y" in remark for remark in remarks] == [True]


def test_parents_as_the_host_looks_them_up(found):
    main = ROUTED + "parent_domain_matches_subdomains = transport_maps\n"
    keys = found(["a.up.test", "up.test"], main, "up.test smtp:[gate.test]\n")[0]
    assert "together with that of other domains" in keys["a.up.test"].problem
    assert keys["up.test"].key == "[gate.test]"


def test_chain():
    assert chain("a.b.test") == ["a.b.test", ".b.test", ".test"]
    assert chain(".b.test") == [".b.test", ".test"]
    for key in ("[a.b.test]", "a.b.test:587", "[192.0.2.1]:25"):
        assert chain(key) == [key]


def test_postfix_hands_mail_to_the_same_next_hops(found, make_host, free_port):
    """Names of hosts are looked up in vain, and the log says which."""
    domains = ["plain.test", "routed.test", "bare.test", "empty.test", "port.test", "a.parent.test"]
    main = ROUTED + "disable_dns_lookups = yes\nsmtp_host_lookup = native\n"
    keys = found(domains[:-1], main)[0]
    port = free_port()
    host = make_host(f"127.0.0.1:{port} inet n - n - - smtpd\n  -o mynetworks=127.0.0.0/8\n", main)
    (host.config_directory / "transport").write_text(TRANSPORT)
    host.start()
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("a@example.test", [f"someone@{domain}" for domain in domains], "Subject: x\n\nx\n")
    for domain in domains:
        host.wait_log(f"to=<someone@{domain}>")
        (line,) = re.findall(f"to=<someone@{domain}>, .*", host.log)
        key = keys[domain].key if domain in keys else "[parents.test]"
        assert re.sub(r"\[?([^]:]*)\]?(:.*)?", r"\1", key) in line.partition("status=")[2]
