# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The survey of TLS against real TLS; what no library has any more is looked for in tests/probe."""

from __future__ import annotations

import re
import socket
import ssl
import sys

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe import certificate, library, reply
from ansible_collections.securemail.smtp.plugins.module_utils._probe.budget import Budget
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import Fact, listener
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import ARTICLE_SUITES, VERSIONS
from ansible_collections.securemail.smtp.plugins.module_utils._probe.tls_survey import fact_names, survey
from ansible_collections.securemail.smtp.plugins.module_utils._probe.visit import Visit
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import SERVER_NAME, smtp_twin

ALL = ("versions", "suites", "certificate")


def visit_of(server, implicit=True, name=SERVER_NAME, ca_file=None, connections=300):
    address = "127.0.0.1:%d" % server.port
    where = listener(address, "implicit" if implicit else "starttls", name, ca_file=ca_file)
    return Visit(where, Budget(connections, step_timeout=5.0, total_timeout=60.0))


def facts(context, checks=ALL, implicit=True, connections=300, session=None, **more):
    with smtp_twin(context=context, implicit=implicit) as server:
        visit = visit_of(server, implicit, connections=connections, **more)
        if session is not None:
            visit.facts["tls_session"] = Fact({"version": session, "cipher": "?"}, session, evidence=(7,))
        survey(visit, checks)
        assert server.connections == visit.budget.connections == visit.number
    return visit.facts


def own_suites(context, exchanges):
    """What a server with an RSA certificate can negotiate below TLS 1.3, by what the local library says."""
    found = set()
    for cipher in context.get_ciphers():
        words = dict(re.findall(r"(Kx|Au)=(\S+)", cipher["description"]))
        if words["Au"] == "RSA" and words["Kx"] in exchanges:
            found.add(cipher["name"])
    return found


@pytest.mark.parametrize("implicit", [True, False])
def test_a_hardened_server(authority, implicit):
    context = authority.context(kind="rsa", ciphers="ECDHE+AESGCM")
    found = facts(context, implicit=implicit, ca_file=authority.ca_file)
    assert {name for name in VERSIONS if found["version.%s" % name].value} == {"TLSv1.2", "TLSv1.3"}
    assert all(found["version_completed.%s" % name].value is True for name in ("TLSv1.2", "TLSv1.3"))
    assert set(found["suites.TLSv1.2"].value["accepted"]) == own_suites(context, ["ECDH"])
    assert len(found["suites.TLSv1.2"].value["accepted"]) == 2
    assert found["suites.TLSv1.2"].value["complete"] is True
    assert set(found["suites.TLSv1.3"].value["accepted"]) == {
        "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"
    }
    assert {"X25519", "P-256", "P-384", "P-521", "X448"} <= set(found["groups"].value["accepted"])
    assert found["groups"].value["complete"] is True
    expected = {
        "compression": False, "extended_master_secret": True, "secure_renegotiation": True, "server_preference": "server",
        "certificate_trusted": True, "certificate_name": True,
    }
    assert {name: found[name].value for name in expected} == expected
    assert [part["subject"] for part in found["chain"].value] == ["CN=%s" % SERVER_NAME]
    for name in ("dh_bits", "encrypt_then_mac"):
        assert (found[name].observable, found[name].side) == (False, ""), found[name]
    assert set(fact_names(ALL)) <= set(found)


def test_every_old_version_that_is_on_is_found_and_completed(authority):
    found = facts(authority.context("TLSv1", "TLSv1_2", kind="rsa"), ["versions"])
    old = {"TLSv1", "TLSv1.1", "TLSv1.2"}
    assert {name for name in VERSIONS if found["version.%s" % name].value} == old
    assert {name for name in old if found["version_completed.%s" % name].value is True} == old
    assert found["version.TLSv1.3"].side == "server alert" and "protocol_version" in found["version.TLSv1.3"].seen
    assert "version_completed.TLSv1.3" not in found
    assert not [name for name in found if not name.startswith("version")]


def test_all_suites_that_a_library_will_do_are_found(authority):
    context = authority.context("TLSv1_2", "TLSv1_2", "ALL:eNULL:@SECLEVEL=0", 2048, kind="rsa")
    found = facts(context, ["suites"])
    fact = found["suites.TLSv1.2"]
    anonymous = {cipher["name"] for cipher in context.get_ciphers() if "Au=None" in cipher["description"]}
    assert anonymous and set(fact.value["accepted"]) == own_suites(context, ["ECDH", "DH", "RSA"]) | anonymous
    assert fact.value["complete"] is True and len(fact.evidence) > len(fact.value["accepted"])
    assert found["dh_bits"].value == 2048


@pytest.mark.parametrize("bits", [1024, 2048])
def test_the_article_s_server(authority, bits):
    found = facts(authority.context("TLSv1_2", "TLSv1_2", ":".join(ARTICLE_SUITES), bits, kind="rsa"))
    assert set(found["suites.TLSv1.2"].value["accepted"]) == {name for name in ARTICLE_SUITES if "RSA" in name}
    assert found["dh_bits"].value == bits
    assert found["encrypt_then_mac"].value is True
    assert found["groups"].value == {"accepted": [], "complete": True}
    # A careful client of today takes no 1024 bits; its own limit is no reason not to look at the certificate.
    assert found["certificate_trusted"].observable is True


@pytest.mark.parametrize("whose", ["server", "client"])
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_2"])
def test_whose_order_counts(authority, whose, version):
    context = authority.context(version, version, "AES128-SHA:AES256-SHA:ECDHE-RSA-AES128-SHA", kind="rsa")
    if whose == "client":
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    assert facts(context, ["suites"])["server_preference"].value == whose


@pytest.mark.parametrize("curve, name", [("prime256v1", "P-256"), ("secp384r1", "P-384"), ("brainpoolP256r1", "brainpoolP256r1")])
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_one_curve_below_tls13(authority, curve, name, kind):
    context = authority.context("TLSv1_2", "TLSv1_2", "ECDHE+AESGCM", kind=kind)
    try:
        context.set_ecdh_curve(curve)
    except ValueError:
        pytest.skip("this library cannot choose this curve")
    found = facts(context, ["suites"])
    assert found["groups"].value == {"accepted": [name], "complete": True}
    assert found["suites.TLSv1.2"].value["complete"] is True


def test_one_group_of_tls13(authority):
    context = authority.context("TLSv1_3")
    try:
        context.set_ecdh_curve("secp521r1")
    except ValueError:
        pytest.skip("this library cannot choose one group")
    found = facts(context, ["suites"])
    assert found["groups"].value == {"accepted": ["P-521"], "complete": True}
    assert found["suites.TLSv1.3"].value["complete"] is True
    assert (found["compression"].observable, found["compression"].side) == (False, "")


def test_a_library_s_limit_is_not_the_server_s(authority, monkeypatch):
    def without_tls1(version=None, suites=()):
        if version == "TLSv1":
            raise reply.Unobservable("TLSv1: this library has none", reply.LOCAL_LIBRARY)
        return library.lenient_context(version, suites)

    monkeypatch.setattr(
        "ansible_collections.securemail.smtp.plugins.module_utils._probe.tls_survey.lenient_context", without_tls1
    )
    found = facts(authority.context("TLSv1", "TLSv1_2", kind="rsa"), ["versions"])
    assert found["version.TLSv1"].value is True
    assert (found["version_completed.TLSv1"].observable, found["version_completed.TLSv1"].side) == (False, "local library")
    assert found["version_completed.TLSv1.1"].value is True


def test_a_handshake_that_ends_half_way_is_accepted_and_not_completed(authority):
    context = authority.context("TLSv1_2", "TLSv1_2", kind="rsa")
    with smtp_twin(context=context, breaks_off_behind_hello=True) as server:
        visit = visit_of(server, implicit=False)
        survey(visit, ["versions"])
    assert visit.facts["version.TLSv1.2"].value is True
    assert visit.facts["version_completed.TLSv1.2"].value is False
    assert visit.facts["version_completed.TLSv1.2"].side == "server closed"


# ---- few connections


def test_no_handshake_is_made_twice(authority):
    context = authority.context(kind="rsa")
    # Six offers; the trusted handshake completes TLS 1.2, the conversation before completed TLS 1.3.
    found = facts(context, ["versions", "certificate"], connections=7, session="TLSv1.3", ca_file=authority.ca_file)
    assert found["version_completed.TLSv1.3"].evidence == (7,)
    assert found["version_completed.TLSv1.2"].evidence == found["certificate_trusted"].evidence
    assert all(fact.observable for fact in found.values())


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_alone_takes_three_connections(authority, trusted):
    ca_file = authority.ca_file if trusted else None
    found = facts(authority.context(kind="rsa"), ["certificate"], connections=3, ca_file=ca_file)
    assert found["certificate_trusted"].value is trusted
    assert set(found) == {"certificate", "chain", "certificate_trusted", "certificate_name"}
    assert all(fact.observable for fact in found.values())


def test_a_hardened_server_costs_few(authority):
    with smtp_twin(context=authority.context(kind="rsa", ciphers="ECDHE+AESGCM")) as server:
        survey(visit_of(server, implicit=False), ALL)
        assert server.connections < 35


@pytest.mark.parametrize("connections", range(0, 34, 3))
def test_a_budget_that_ends_anywhere_leaves_facts_that_say_so(authority, connections):
    found = facts(authority.context(kind="rsa"), connections=connections)
    assert set(fact_names(ALL)) <= set(found)
    for name, fact in found.items():
        if not fact.observable and fact.side:
            assert "budget" in fact.seen or fact.side == "local library", (name, fact)
        if name.startswith("suites.") and fact.observable and not fact.value["complete"]:
            assert fact.side == "probe budget", (name, fact)
        if name.startswith("version.") and fact.observable:
            assert fact.value is (name in ("version.TLSv1.2", "version.TLSv1.3"))


# ---- the certificate


def test_tls13_alone_shows_its_chain_to_a_library_that_tells(authority):
    found = facts(authority.context("TLSv1_3"), ["certificate"])
    assert found["certificate"].value["curve"] == "P-256"
    assert found["certificate_trusted"].value is False
    assert "local issuer" in found["certificate_trusted"].seen
    assert found["chain"].observable is (sys.version_info >= (3, 10))


def test_tls13_alone_and_a_python_that_hides_the_chain(authority, monkeypatch):
    module = "ansible_collections.securemail.smtp.plugins.module_utils._probe.certificate_survey"
    monkeypatch.setattr(module + ".sent_chain", lambda sock: None)
    found = facts(authority.context("TLSv1_3"), ["certificate"])
    assert found["certificate"].value["names"] == [SERVER_NAME]
    assert (found["chain"].observable, found["chain"].side) == (False, "local library")


def test_a_chain_is_told_in_the_order_in_which_it_was_sent(authority, tmp_path):
    for version in ("TLSv1_2", "TLSv1_3"):
        context = authority.context(version, version)
        path = tmp_path / "with-authority.pem"
        with open(authority.server_pem("ec"), encoding="ascii") as leaf, open(authority.ca_file, encoding="ascii") as root:
            path.write_text(leaf.read() + root.read())
        context.load_cert_chain(str(path))
        found = facts(context, ["certificate"], ca_file=authority.ca_file)
        if version == "TLSv1_3" and sys.version_info < (3, 10):
            continue
        subjects = [part["subject"] for part in found["chain"].value]
        assert subjects == ["CN=%s" % SERVER_NAME, "CN=twin authority"]
        assert [part["self_signed"] for part in found["chain"].value] == [False, True]
        assert found["chain"].seen == "2 certificates: CN=%s < CN=twin authority" % SERVER_NAME


@pytest.mark.parametrize(
    "name, value",
    [(SERVER_NAME, True), ("other.example.test", False), ("127.0.0.1", False)],
)
def test_the_name_is_judged_apart_from_the_trust(authority, name, value):
    found = facts(authority.context(), ["certificate"], name=name, ca_file=authority.ca_file)
    assert found["certificate_name"].value is value
    assert found["certificate_trusted"].value is True


def test_without_a_name_there_is_nothing_to_compare(authority):
    found = facts(authority.context(), ["certificate"], name=None, ca_file=authority.ca_file)
    assert (found["certificate_name"].observable, found["certificate_name"].side) == (False, "not asked for")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_an_expired_certificate_is_not_trusted_and_still_read(authority, version):
    found = facts(authority.context(version, version, days=-1), ["certificate"], ca_file=authority.ca_file)
    assert found["certificate_trusted"].value is False
    assert "expired" in found["certificate_trusted"].seen
    assert found["certificate"].value["days_left"] < 0 and "expired on" in found["certificate"].seen


def test_an_old_server_s_certificate_is_looked_at_too(authority):
    found = facts(authority.context("TLSv1", "TLSv1", kind="rsa"), ["certificate"], ca_file=authority.ca_file)
    assert found["certificate"].value["key_bits"] == 2048
    assert found["certificate_trusted"].value is True


def test_a_ca_file_that_cannot_be_read_is_nobody_s_fault_but_ours(authority):
    found = facts(authority.context(), ["certificate"], ca_file="/nowhere/ca.pem")
    assert (found["certificate_trusted"].observable, found["certificate_trusted"].side) == (False, "local library")
    assert found["certificate"].observable and found["certificate_name"].value is True


def test_without_cryptography_the_advice_is_to_install_it(authority, monkeypatch):
    path = authority.server_pem("ec")
    context = authority.context()
    with open(path, encoding="ascii") as file:
        pem = file.read()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])
    monkeypatch.setitem(sys.modules, "cryptography", None)
    found = facts(context, ["certificate"], ca_file=authority.ca_file)
    for name in ("certificate", "certificate_name"):
        assert not found[name].observable and "install cryptography" in found[name].seen
    assert certificate.fingerprint(der) in found["certificate"].seen
    assert found["certificate_trusted"].value is True


# ---- no TLS at all


def test_a_port_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    visit = Visit(listener("127.0.0.1:%d" % port, "implicit"), Budget(20))
    survey(visit, ALL)
    assert not any(visit.facts[name].observable for name in fact_names(ALL))
    assert visit.facts["version.TLSv1.2"].side == "network"


@pytest.mark.parametrize(
    "different, words",
    [
        ({"greeting": "554 5.7.1 Go away"}, "554 5.7.1 Go away"),
        ({"overrule": {"EHLO": "451 4.3.0 Try again later"}}, "451 4.3.0 Try again later"),
        ({"overrule": {"STARTTLS": "454 4.7.0 TLS not available"}}, "454 4.7.0 TLS not available"),
    ],
)
def test_a_server_that_never_gets_to_tls_is_not_asked_for_ever(authority, different, words):
    with smtp_twin(context=authority.context(), **different) as server:
        visit = visit_of(server, implicit=False)
        survey(visit, ALL)
        assert server.connections == 2
    assert all(words in visit.facts[name].seen for name in fact_names(ALL))
    assert not any(visit.facts[name].observable for name in fact_names(ALL))


def test_a_server_that_has_no_time(authority):
    with smtp_twin(context=authority.context(), greeting="421 4.7.0 Too many connections") as server:
        visit = visit_of(server, implicit=False)
        survey(visit, ALL)
        # A blocked scanner stops knocking.
        assert server.connections == 2
    for name in fact_names(ALL):
        assert not visit.facts[name].observable
        assert "421" in visit.facts[name].seen and visit.facts[name].side == "server busy", visit.facts[name]
