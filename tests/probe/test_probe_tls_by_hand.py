# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The survey of TLS against servers whose half of the handshake is made by hand, because no library has what they have."""

from __future__ import annotations

import dataclasses

import handmade
import pytest
import zoo
from ansible_collections.securemail.smtp.plugins.module_utils._probe import suites
from ansible_collections.securemail.smtp.plugins.module_utils._probe.budget import Budget
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import listener
from ansible_collections.securemail.smtp.plugins.module_utils._probe.tls_survey import TlsSurvey, fact_names, survey
from ansible_collections.securemail.smtp.plugins.module_utils._probe.visit import Visit
from odd_certificates import der

ALL = ("versions", "suites", "certificate")


def look(server, checks=("versions", "suites"), implicit=True, connections=200):
    visit = Visit(
        listener(server.address, "implicit" if implicit else "starttls", "mail.example.test"),
        Budget(connections, step_timeout=5.0, total_timeout=40.0),
    )
    survey(visit, checks)
    return visit


def facts(checks=("versions", "suites"), implicit=True, connections=200, **server):
    with zoo.by_hand(implicit, **server) as place:
        return look(place, checks, implicit, connections).facts


@pytest.mark.parametrize("implicit", [True, False])
def test_ssl2_and_ssl3_are_seen_without_a_library_that_has_them(implicit):
    found = facts(implicit=implicit, versions=("SSLv2", "SSLv3"), suites=("RC4-MD5", "DES-CBC-SHA", "AES128-SHA"))
    accepted = {version for version in suites.VERSIONS if found[f"version.{version}"].value}
    assert accepted == {"SSLv2", "SSLv3"}
    assert found["version.TLSv1.2"].seen == "the server answers with SSLv3"
    assert found["version.TLSv1.3"].value is False
    assert sorted(found["suites.SSLv3"].value["accepted"]) == ["AES128-SHA", "DES-CBC-SHA", "RC4-MD5"]
    assert found["suites.SSLv3"].value["complete"] is True
    assert "suites.TLSv1.2" not in found
    assert found["groups"].value == {"accepted": [], "complete": True}


@pytest.mark.parametrize("prefers", ["server", "client"])
@pytest.mark.parametrize(
    "names",
    [
        ("AES128-SHA", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"),
        ("ADH-AES128-SHA", "NULL-SHA"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES128-SHA", "AES128-SHA"),
    ],
)
def test_whose_order_decides(prefers, names):
    found = facts(suites=names, prefers=prefers)
    if names[0] == "ADH-AES128-SHA":
        # The version is offered with suites that authenticate and encrypt: nobody here accepts one.
        assert found["version.TLSv1.2"].observable is False
        return
    assert found["server_preference"].value == prefers
    assert set(found["suites.TLSv1.2"].value["accepted"]) == set(names)


def test_one_suite_has_no_order():
    found = facts(suites=("AES128-SHA",))
    assert (found["server_preference"].observable, found["server_preference"].side) == (False, "")
    assert found["suites.TLSv1.2"].value == {"accepted": ["AES128-SHA"], "complete": True}


def test_every_suite_of_the_table_is_found_when_the_server_has_it():
    names = suites.all_suites_of("TLSv1.2")
    found = facts(suites=names, connections=1000)
    assert set(found["suites.TLSv1.2"].value["accepted"]) == set(names)
    # The server chose one when the version was offered; behind that comes what is bad, one of each kind first.
    kinds = [suites.family(name) for name in found["suites.TLSv1.2"].value["accepted"][1:7]]
    assert sorted(kinds) == sorted(suites.WEAK_FAMILIES)


def test_a_search_that_is_cut_off_shows_what_is_bad_and_says_that_there_is_more():
    names = suites.all_suites_of("TLSv1.2")
    found = facts(suites=names, connections=16)
    fact = found["suites.TLSv1.2"]
    assert fact.value["complete"] is False
    assert fact.side == "probe budget" and "16 connections" in fact.seen
    assert set(suites.WEAK_FAMILIES) <= {suites.family(name) for name in fact.value["accepted"]}


@pytest.mark.parametrize("bits", [512, 1024, 2048, 3072])
def test_the_least_prime_is_told_when_dhe_is_not_what_the_server_prefers(bits):
    found = facts(suites=("ECDHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-SHA"), dh_bits=bits)
    assert found["dh_bits"].value == bits
    assert len(found["dh_bits"].evidence) == 1


class TwoPrimes(handmade.Tls):
    """A server whose older suites have a shorter prime."""

    def _exchange(self, suite, group):
        return dataclasses.replace(self, dh_bits=1024 if suite.endswith("-SHA") else 2048)._plain(suite, group)

    def _plain(self, suite, group):
        return handmade.Tls._exchange(self, suite, group)


@pytest.mark.parametrize("turned", [1, -1])
def test_the_least_prime_is_told_when_there_are_two(turned):
    names = ("DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-SHA")[::turned]
    server = TwoPrimes(suites=names)
    with zoo.smtp(by_hand=server.serve, implicit=True) as place:
        found = look(place).facts
    assert found["dh_bits"].value == 1024
    assert "DHE-RSA-AES128-SHA" in found["dh_bits"].seen


def test_the_prime_is_looked_at_before_the_many_suites():
    names = tuple(name for name in suites.all_suites_of("TLSv1.2") if suites.key_exchange(name) != "DHE")
    found = facts(suites=names + ("DHE-RSA-AES128-SHA",), connections=17, dh_bits=1024)
    assert found["suites.TLSv1.2"].value["complete"] is False
    assert found["dh_bits"].value == 1024


def test_a_server_without_dhe_has_no_prime_and_nobody_is_to_blame():
    found = facts(suites=("ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"))
    assert (found["dh_bits"].observable, found["dh_bits"].side) == (False, "")
    assert "no DHE suite" in found["dh_bits"].seen


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", ["compression", "extended_master_secret", "secure_renegotiation", "encrypt_then_mac"])
def test_what_the_server_hello_says(name, on):
    found = facts(**{name: on})
    assert found[name].value is on
    assert found[name].observable and found[name].evidence


def test_encrypt_then_mac_is_about_cbc_suites_only():
    found = facts(suites=("ECDHE-RSA-AES256-GCM-SHA384", "RC4-SHA"))
    assert (found["encrypt_then_mac"].observable, found["encrypt_then_mac"].side) == (False, "")


# ---- groups


MODERN = dict(versions=("TLSv1.3",), suites=("TLS_AES_256_GCM_SHA384", "TLS_AES_128_CCM_8_SHA256"))


@pytest.mark.parametrize(
    "groups",
    [
        ("X25519",),
        ("brainpoolP256r1", "brainpoolP512r1"),
        ("X25519MLKEM768", "X25519", "X448", "P-521"),
        ("ffdhe8192", "ffdhe2048", "P-256"),
        ("P-384", "X25519"),
    ],
)
def test_groups_of_tls13_are_enumerated_without_a_key_of_ours(groups):
    found = facts(("suites",), groups=groups, **MODERN)
    assert set(found["groups"].value["accepted"]) == set(groups)
    assert found["groups"].value["complete"] is True
    assert found["suites.TLSv1.3"].value == {"accepted": list(MODERN["suites"]), "complete": True}
    assert (found["compression"].observable, found["compression"].side) == (False, "")


@pytest.mark.parametrize("groups", [("X25519", "brainpoolP384r1"), ("secp256k1", "sect163k1", "P-256"), ("P-192",)])
def test_curves_of_tls12_are_enumerated(monkeypatch, groups):
    monkeypatch.setattr(handmade, "_SHARES", {**handmade._SHARES, "secp256k1": 65, "sect163k1": 43, "P-192": 49})
    found = facts(groups=groups)
    assert set(found["groups"].value["accepted"]) == set(groups)
    assert found["groups"].value["complete"] is True


class OwnCurve(handmade.Tls):
    """A server with an ECDSA certificate: it wants the curve of its key in the offer, as OpenSSL does."""

    def _suite(self, hello, version):
        return super()._suite(hello, version) if "P-256" in hello.groups else None


@pytest.mark.parametrize(
    "groups, seen",
    [
        # Behind its own curve nothing is ever chosen, and without it nothing at all.
        (("X25519", "P-256", "P-384"), {"X25519", "P-256"}),
        (("X25519", "P-384", "P-256"), {"X25519", "P-384", "P-256"}),
        (("X25519",), {"X25519"}),
    ],
)
def test_a_server_that_wants_the_curve_of_its_certificate_in_the_offer(office, groups, seen):
    certificate = der(office.odd("own-curve.pem"))
    server = OwnCurve(suites=("ECDHE-ECDSA-AES128-GCM-SHA256",), groups=groups, chain=(certificate,))
    with zoo.smtp(by_hand=server.serve, implicit=True) as place:
        found = look(place).facts
    assert set(found["groups"].value["accepted"]) == seen
    assert found["groups"].value["complete"] is True


class OwnCurveByTheClientsOrder(OwnCurve):
    """The same, where the client's order of groups counts."""

    def _group(self, hello):
        return next((group for group in hello.groups if group in self.groups), None)


def test_curves_behind_that_of_the_certificate_are_found_where_the_client_s_order_counts(office):
    certificate = der(office.odd("own-curve.pem"))
    groups = ("P-384", "P-256", "brainpoolP256r1")
    server = OwnCurveByTheClientsOrder(
        suites=("ECDHE-ECDSA-AES128-GCM-SHA256",), groups=groups, chain=(certificate,)
    )
    with zoo.smtp(by_hand=server.serve, implicit=True) as place:
        found = look(place).facts
    assert set(found["groups"].value["accepted"]) == set(groups)
    assert found["groups"].value["complete"] is True


class NeverAsksAgain(handmade.Tls):
    """A server that cannot say HelloRetryRequest: a key share must be there."""

    def answer(self, hello):
        if not hello.shares:
            return handmade.alert(handmade.HANDSHAKE_FAILURE)
        return super().answer(hello)

    def _retries(self, hello):
        return False


def test_a_server_that_wants_a_key_share_shows_its_suites_and_not_its_groups():
    server = NeverAsksAgain(**MODERN)
    with zoo.smtp(by_hand=server.serve, implicit=True) as place:
        found = look(place, ("suites",)).facts
    assert found["suites.TLSv1.3"].value == {"accepted": list(MODERN["suites"]), "complete": True}
    assert found["groups"].value == {"accepted": ["X25519"], "complete": False}
    assert "without a key share" in found["groups"].seen


# ---- who refuses


def test_a_server_that_refuses_everything_has_refused_nothing_in_particular():
    with zoo.from_the_first_byte(handmade.alert(handmade.HANDSHAKE_FAILURE)) as place:
        found = look(place, ALL).facts
    for name in fact_names(ALL):
        assert not found[name].observable, (name, found[name])
    assert "takes nothing else either" in found["version.TLSv1"].seen
    assert found["version.TLSv1"].side == "server alert"


def test_protocol_version_needs_no_control():
    with zoo.from_the_first_byte(handmade.alert(handmade.PROTOCOL_VERSION)) as place:
        found = look(place, ALL).facts
    assert all(found[f"version.{version}"].value is False for version in suites.VERSIONS)


@pytest.mark.parametrize(
    "server",
    [
        {"versions": ("TLSv1.3",), "suites": ("TLS_AES_128_CCM_8_SHA256",)},
        {"versions": ("TLSv1.3",), "suites": ("TLS_AES_128_GCM_SHA256",), "groups": ("brainpoolP256r1",)},
        {"versions": ("TLSv1.2",), "suites": ("SEED-SHA",)},
    ],
)
def test_what_the_local_library_does_not_offer_is_no_refusal_of_the_server(server):
    (version,) = server["versions"]
    found = facts(("versions",), **server)
    assert found[f"version.{version}"].value is True
    completed = found[f"version_completed.{version}"]
    assert (completed.observable, completed.side) == (False, "local library"), completed
    assert "does not offer" in completed.seen


def test_a_certificate_is_seen_without_a_library_that_has_the_version(office):
    certificate = der(office.odd("ssl3.pem"))
    found = facts(("certificate",), versions=("SSLv3",), suites=("RC4-SHA",), chain=(certificate,))
    assert found["certificate"].value["names"] == ["mail.example.test"]
    assert found["certificate_name"].value is True
    assert len(found["chain"].value) == 1
    assert not found["certificate_trusted"].observable


class Tired(handmade.Tls):
    """Answers ``patience`` hellos and closes without a word at all others, as some do with scanners."""

    patience = 3
    closes_at_old_ones = False
    _met = 0

    def answer(self, hello):
        object.__setattr__(self, "_met", self._met + 1)
        if self._met > self.patience:
            raise EOFError
        if self.closes_at_old_ones and not {"TLSv1.2", "TLSv1.3"} & set(hello.versions):
            raise EOFError
        return super().answer(hello)

    def _ssl2(self):
        raise EOFError


def test_a_server_that_closes_at_old_versions_refuses_them():
    server = Tired(versions=("TLSv1.2",))
    server.__dict__.update(patience=1000, closes_at_old_ones=True)
    with zoo.smtp(by_hand=server.serve, implicit=True) as place:
        found = look(place).facts
    assert {name: found[f"version.{name}"].value for name in ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2")} == {
        "SSLv2": False, "SSLv3": False, "TLSv1": False, "TLSv1.1": False, "TLSv1.2": True
    }
    assert found["version.TLSv1"].side == "server closed"
    assert found["suites.TLSv1.2"].value["complete"] is True


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_server_that_has_had_enough_has_refused_nothing(patience):
    server = Tired(versions=("TLSv1", "TLSv1.2"))
    server.__dict__.update(patience=patience)
    with zoo.smtp(by_hand=server.serve, implicit=True) as place:
        visit = look(place)
    found = visit.facts
    # Six versions and one control: then the probe goes, and does not come back.
    assert server._met <= 6 and "closes at TLSv1.2" in visit.budget.stopped
    assert found["version.TLSv1.2"].value is True
    # What it said while it still said something counts; what it closed at afterwards does not.
    assert not found["version.TLSv1"].observable
    assert "TLSv1.2 too" in found["version.TLSv1"].seen
    assert found["suites.TLSv1.2"].value["complete"] is False


@pytest.mark.parametrize("patience", [9, 10, 11, 1000])
def test_a_search_does_not_take_the_end_of_patience_for_a_refusal(patience):
    names = {"AES128-SHA", "AES256-SHA", "RC4-SHA", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA"}
    server = Tired(versions=("TLSv1.2",), suites=tuple(sorted(names)))
    server.__dict__.update(patience=patience)
    with zoo.smtp(by_hand=server.serve, implicit=True) as place:
        found = look(place).facts
    fact = found["suites.TLSv1.2"]
    assert found["version.TLSv1"].value is False
    if patience == 1000:
        assert (set(fact.value["accepted"]), fact.value["complete"]) == (names, True)
    else:
        assert set(fact.value["accepted"]) < names
        assert fact.value["complete"] is False and "closed" in fact.seen


class Abrupt(Tired):
    """Closes where others send an alert."""

    def answer(self, hello):
        answer = super().answer(hello)
        if answer == handmade.alert(handmade.HANDSHAKE_FAILURE):
            raise EOFError
        return answer


@pytest.mark.parametrize("patience", [None, -1])
def test_what_was_refused_before_the_server_accepted_again_stays_refused(patience):
    names = MODERN["suites"] + ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256")

    def survey_with(limit):
        server = Abrupt(versions=("TLSv1.2", "TLSv1.3"), suites=names)
        server.__dict__.update(patience=limit)
        with zoo.smtp(by_hand=server.serve, implicit=True) as place:
            return look(place, ("suites",)).facts, server._met

    found, hellos = survey_with(1000)
    if patience is not None:
        found, hellos = survey_with(hellos + patience)
    assert found["suites.TLSv1.3"].value == {"accepted": list(MODERN["suites"]), "complete": True}
    # The last refusal has nothing behind it but the control, which fails in the second case.
    assert found["suites.TLSv1.2"].value["complete"] is (patience is None)
    assert len(found["suites.TLSv1.2"].value["accepted"]) == 2


def test_a_suite_that_was_not_offered_neither_accepts_nor_refuses():
    answer = handmade.record(
        handmade.message(2, handmade.hello_body(0x0303, 0xFEFE)) + handmade.message(14, b"")
    )
    with zoo.from_the_first_byte(answer) as place:
        found = look(place).facts
    assert not found["version.TLSv1.2"].observable
    assert "chooses 0xfefe, which was not offered" in found["version.TLSv1.2"].seen


def test_an_accepted_version_that_ends_at_the_handshake_is_not_completed():
    found = facts(suites=("ECDHE-RSA-AES256-GCM-SHA384",))
    assert found["version.TLSv1.2"].value is True
    # The server's signature is nonsense, which the local library is the one to notice.
    assert found["version_completed.TLSv1.2"].observable is False
    assert found["version_completed.TLSv1.2"].side == "local library"


# ---- the parts


def test_what_was_not_asked_for_is_not_noted_and_costs_nothing():
    with zoo.by_hand(True) as place:
        visit = Visit(listener(place.address, "implicit"), Budget())
        survey(visit, ["dialogue"])
        assert (visit.facts, visit.number, place.connections) == ({}, 0, 0)


def test_the_two_parts_can_have_something_between_them():
    with zoo.by_hand(True) as place:
        visit = Visit(listener(place.address, "implicit"), Budget(200))
        parts = TlsSurvey(visit, ["suites"])
        parts.begin()
        before = visit.number
        assert "suites.TLSv1.2" not in visit.facts and visit.facts["version.TLSv1.2"].value is True
        parts.finish()
        assert visit.number > before and visit.facts["suites.TLSv1.2"].value["complete"] is True


def test_the_evidence_of_a_fact_is_where_it_was_seen():
    with zoo.by_hand(True) as place:
        visit = look(place)
    by_number = {dialogue.number: dialogue for dialogue in visit.dialogues}
    (number,) = visit.facts["version.TLSv1"].evidence
    assert by_number[number].lines == ("C: ClientHello TLSv1, 52 suites, 30 groups", "S: alert protocol_version")
    assert all(number in by_number for fact in visit.facts.values() for number in fact.evidence)
    assert all(line.isascii() and len(line) <= 400 for dialogue in visit.dialogues for line in dialogue.lines)


def test_a_listener_without_starttls_says_so_everywhere():
    with zoo.smtp(offers_starttls=False) as place:
        found = look(place, ALL, implicit=False).facts
    for name in fact_names(ALL):
        assert not found[name].observable
        assert "STARTTLS" in found[name].seen, (name, found[name])
