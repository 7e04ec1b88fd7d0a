# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail that a real Postfix sends: what the modules ask for, seen by the servers that it arrives at."""

from __future__ import annotations

import hashlib
import ssl

import pytest
from postfix_host import TEMPLATE
from sending import Sending

GOOD, OTHER, CLEAR, OLD = "mx.partner.test", "mx.hosting.test", "mx.clear.test", "mx.old.test"


@pytest.fixture
def world(monkeypatch):
    with Sending() as made:
        yield made


@pytest.fixture
def ask(world, run, monkeypatch):
    """Run smtp_forced_tls_domain, outbound, on the instance of this test."""

    def asked(*domains, check=False, **options):
        for name, value in world.host.environment().items():
            monkeypatch.setenv(name, value)
        return run(world.host, "smtp_forced_tls_domain", check=check, **{"domains": list(domains), "direction": "outbound", **options})

    return asked


def sent_over(sink, recipient):
    """The protocol with which the last message to a recipient came; None: in clear."""
    return [message for message in sink.messages if recipient in message.recipients][-1].protocol


def sha256(world, name):
    pem = (world.folder / f"ec-{name}-1.pem").read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE"):])
    return hashlib.sha256(der).hexdigest()


def test_levels(world, ask):
    good = world.put(GOOD, "partner.test")
    hosting = world.put(OTHER, "hosted.test")
    clear = world.put(CLEAR, "clear.test", starttls=False)
    old = world.put(OLD, "old.test", versions=("TLSv1", "TLSv1.1"))
    host = world.run()
    before = host.main_cf.read_text()
    for domain, sink, protocol in (("partner.test", good, "TLSv1.3"), ("clear.test", clear, None), ("old.test", old, "TLSv1.1")):
        assert "status=sent" in world.send(f"u@{domain}")
        assert sent_over(sink, f"u@{domain}") == protocol
    first = ask("partner.test", "clear.test", "old.test", "hosted.test")
    assert first["changed"]
    assert not ask("partner.test", "clear.test", "old.test", "hosted.test")["changed"]
    assert "status=sent" in world.send("u@partner.test")
    assert "status=sent" in world.send("u@old.test")
    assert "4.7.4" in world.send("u@clear.test")
    assert ask("old.test", versions=["TLSv1.2", "TLSv1.3"])["changed"]
    assert "status=deferred" in world.send("u@old.test")
    assert ask("partner.test", level="secure")["changed"]
    assert "status=sent" in world.send("u@partner.test")
    assert ask("hosted.test", level="verify")["changed"]
    assert "status=sent" in world.send("u@hosted.test")
    assert ask("hosted.test", level="secure")["changed"]
    assert "4.7.5" in world.send("u@hosted.test")
    assert ask("hosted.test", level="secure", match=[OTHER])["changed"]
    assert "status=sent" in world.send("u@hosted.test")
    assert ask("hosted.test", level="fingerprint", fingerprints=[sha256(world, GOOD)])["changed"]
    assert "4.7.5" in world.send("u@hosted.test")
    assert ask("hosted.test", level="fingerprint", fingerprints=[sha256(world, OTHER), sha256(world, GOOD)])["changed"]
    assert "status=sent" in world.send("u@hosted.test")
    assert {message.protocol for message in hosting.messages} == {"TLSv1.3"}
    # The rules go, and mail goes out as before.
    assert ask("clear.test", state="absent")["changed"]
    assert "status=sent" in world.send("u@clear.test")
    assert ask("partner.test", "old.test", "hosted.test", state="absent")["changed"]
    assert host.main_cf.read_text() == before
    assert "status=sent" in world.send("u@old.test")


def test_subdomains_and_exceptions(world, ask, run):
    """The most special rule decides: the domain itself, then the longest parent."""
    world.put(CLEAR, "top.test", "a.top.test", "b.a.top.test", "except.top.test", starttls=False)
    world.run()

    def sent(domain):
        return "status=sent" in world.send(f"u@{domain}")

    ask("top.test")
    assert [sent(domain) for domain in ("top.test", "a.top.test")] == [False, True]
    ask(".top.test")
    ask("top.test", state="absent")
    ask("except.top.test", level="none", reason="their server is old", until="2099-12-31")
    domains = ("top.test", "a.top.test", "b.a.top.test", "except.top.test")
    assert [sent(domain) for domain in domains] == [True, False, False, True]
    ask(".a.top.test", level="may", reason="a new server comes")
    assert [sent(domain) for domain in domains] == [True, False, True, True]
    assert ask("top.test")["changed"]
    assert not ask("top.test")["changed"]
    rules = {rule["domain"]: rule for rule in run(world.host, "smtp_info")["policy"]["forced_tls_domains"]}
    assert {domain: rule["level"] for domain, rule in rules.items()} == {
        "top.test": "encrypt", ".top.test": "encrypt", "except.top.test": "none", ".a.top.test": "may",
    }
    assert rules["except.top.test"]["until"] == "2099-12-31"


def test_names_with_umlauts(world, ask):
    """A client that speaks SMTPUTF8 hands over letters, and the next hop has them."""
    world.put(CLEAR, "xn--bcher-kva.test", "xn--brse-5qa.test", starttls=False)
    world.run()
    assert "status=sent" in world.send("u@b\u00fccher.test", "SMTPUTF8")
    ask("b\u00fccher.test")
    assert "4.7.4" in world.send("u@xn--bcher-kva.test")
    assert "4.7.4" in world.send("u@b\u00fccher.test", "SMTPUTF8")
    assert "4.7.4" in world.send("u@B\u00dcCHER.test", "SMTPUTF8")
    assert not ask("xn--bcher-kva.test")["changed"]


def test_next_hops(world, ask):
    gate = world.put("gate.test", "elsewhere.test", starttls=False)
    main = "transport_maps = texthash:${config_directory}/transport\n"
    host = world.run(main, files={"transport": f"routed.test smtp:[gate.test]:{gate.port}\nlocal.test local:\n"})
    assert "status=sent" in world.send("u@routed.test")
    ask("routed.test")
    assert "4.7.4" in world.send("u@routed.test")
    assert "status=sent" in world.send("u@elsewhere.test")
    assert f"[gate.test]:{gate.port}\tencrypt" in (host.config_directory / "securemail" / "outbound").read_text()
    refused = ask("local.test", "mine.test")
    assert refused["failed"]
    assert "mail for local.test goes by the transport local (transport_maps), which knows no TLS policy" in refused["msg"]
    # Mail goes elsewhere from now on: the rule is no more what it was, and a run says so.
    (host.config_directory / "transport").write_text("routed.test smtp:[gate.test]\n")
    assert ask("routed.test", check=True)["changed"]
    (host.config_directory / "transport").write_text("routed.test smtp:[gate.test]\nother.test smtp:[gate.test]\n")
    refused = ask("routed.test")
    assert "goes to the next hop [gate.test], and so does that of other.test" in refused["msg"]


POLICIES = """\
# bank, contract 2024
Partner.TEST\tsecure match=mx.partner.test:.hosting.test
\tprotocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1
.partner.test\tencrypt
[relay.example.test]:587\tsecure match=relay.example.test
relay.example.test\tmay
"""

LISTED = """\
smtp_tls_policy_maps = hash:${config_directory}/tls_policy,
    %sinline:{ { fax.test = may }, legacy.test=none }
transport_maps = hash:${config_directory}/transport
smtp_dns_support_level = dnssec
"""

RESOLVER = "socketmap:inet:127.0.0.1:8461:postfix,\n    "


def at_level(level):
    """Debian's main.cf with another level of all mail that is sent."""
    return TEMPLATE.replace("smtp_tls_security_level=may", f"smtp_tls_security_level={level}")


def tables(world, level="may", resolver=""):
    """An instance with an administrator's own policies."""
    host = world.run(
        LISTED % resolver, files={"tls_policy": POLICIES, "transport": "relay.example.test smtp:[relay.example.test]:587\n"},
        template=at_level(level),
    )
    for name in ("tls_policy", "transport"):
        host.run("postmap", "-c", str(host.config_directory), f"hash:{host.config_directory / name}")
    return host


def effective(host, key):
    """What the maps of main.cf say in their order, asked of postmap one by one."""
    listed = host.postconf("-xh", "smtp_tls_policy_maps").strip()
    for one in [part.strip() for part in listed.replace("inline:{ {", "inline:{{").split(", ") if part.strip()]:
        if not one.startswith("socketmap"):
            found = host.run("postmap", "-c", str(host.config_directory), "-q", key, one.rstrip(","), check=False).strip()
            if found:
                return found
    return ""


def test_strictest_of_what_stands_and_what_is_asked(world, ask):
    """What an administrator has is neither weakened nor touched."""
    host = tables(world)
    before = (host.config_directory / "tls_policy").read_bytes()
    result = ask("partner.test", "relay.example.test", "fax.test", "legacy.test", "sub.partner.test", versions=["TLSv1.2", "TLSv1.3"])
    assert result["changed"]
    assert not ask("partner.test", "relay.example.test", "fax.test", versions=["TLSv1.2", "TLSv1.3"])["changed"]
    assert (host.config_directory / "tls_policy").read_bytes() == before
    first, second = [line for line in host.main_cf.read_text().splitlines() if "tls_policy" in line or "inline" in line]
    assert first == "smtp_tls_policy_maps = lmdb:${config_directory}/securemail/outbound, hash:${config_directory}/tls_policy,".replace(
        "lmdb", first.split()[2].partition(":")[0]
    )
    assert second == "    inline:{ { fax.test = may }, legacy.test=none }"
    assert effective(host, "partner.test").split() == ["secure", "match=mx.partner.test:.hosting.test", "protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1"]
    assert effective(host, "[relay.example.test]:587") == "secure match=relay.example.test protocols=>=TLSv1.2"
    assert effective(host, "sub.partner.test") == "encrypt protocols=>=TLSv1.2"
    assert effective(host, "fax.test") == effective(host, "legacy.test") == "encrypt protocols=>=TLSv1.2"
    assert "another table asks for enough already (partner.test secure" in str(result["warnings"])
    rules = {rule["domain"]: rule["level"] for rule in result["forced_tls_domains"]}
    assert rules["partner.test"] == "encrypt"
    refused = ask("partner.test", level="may", reason="their server is old")
    assert "an exception (level may) would weaken what another table asks" in refused["msg"]
    refused = ask("partner.test", level="secure")
    assert "they match different names" in refused["msg"] and "it is left alone" in refused["msg"]
    assert not ask("partner.test", level="encrypt")["changed"]


def test_what_resolvers_and_records_say_is_not_lowered(world, ask):
    host = tables(world, "dane", RESOLVER)
    before = host.main_cf.read_text()
    refused = ask("partner.test", "dane.test", "relay.example.test", versions=["TLSv1.2", "TLSv1.3"])
    assert refused["failed"]
    assert "dane_test_outbound: socketmap:inet:127.0.0.1:8461:postfix is asked below ours" in refused["msg"]
    assert host.main_cf.read_text() == before
    # What stands before the resolver is certain, and what is stricter than all that it could say may go before it.
    ask("partner.test", "relay.example.test", versions=["TLSv1.2", "TLSv1.3"])
    assert effective(host, "[relay.example.test]:587") == "secure match=relay.example.test protocols=>=TLSv1.2"
    refused = ask("dane.test", level="secure")
    assert "secure and dane cannot be compared" in refused["msg"]
    assert "smtp_tls_security_level = dane" in refused["msg"]


def test_default_level_dane(world, ask):
    world.run("smtp_dns_support_level = dnssec\n", template=at_level("dane"))
    for level in ("encrypt", "verify", "secure"):
        refused = ask("dane.test", level=level)
        assert f"{level} and dane cannot be compared; smtp_tls_security_level = dane is left as it is" in refused["msg"]
    assert ask("dane.test", level="dane-only")["changed"]
    assert not ask("dane.test", level="dane-only")["changed"]


def test_levels_that_are_not_there(world, ask):
    host = world.run("smtp_tls_CAfile =\n", template=TEMPLATE.replace("smtp_tls_CApath=/etc/ssl/certs\n", ""))
    assert "set smtp_tls_CAfile or smtp_tls_CApath" in ask("a.test", level="verify")["msg"]
    assert "set it to dnssec" in ask("a.test", level="dane-only")["msg"]
    assert "Postfix has no level mta-sts" in ask("a.test", level="mta-sts")["msg"]
    assert "smtp_relay_tls" in ask("*", every_domain=True)["msg"]
    assert not (host.config_directory / "securemail").exists()


def test_index_that_is_gone(world, ask):
    """The text alone says nothing: what Postfix looks into is read, and built again."""
    world.put(CLEAR, "clear.test", starttls=False)
    host = world.run()
    ask("clear.test")
    (index,) = [path for path in (host.config_directory / "securemail").iterdir() if path.suffix in (".lmdb", ".db", ".cdb")]
    (host.config_directory / "securemail" / "outbound").write_text("# empty\n")
    kind = host.postconf("-h", "smtp_tls_policy_maps").partition(":")[0]
    host.run("postmap", "-c", str(host.config_directory), f"{kind}:{host.config_directory}/securemail/outbound")
    assert ask("clear.test")["changed"]
    assert "4.7.4" in world.send("u@clear.test")
    index.unlink()
    assert ask("clear.test")["changed"]
    assert "4.7.4" in world.send("u@clear.test")
