# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles: well-formed data with a source for every value, and servers that they like and do not like."""

from __future__ import annotations

import ast
import json
import pathlib
import re

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe import catalogue, expected, profiles, verdict
from ansible_collections.securemail.smtp.plugins.module_utils._probe.family import FAMILIES
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import Fact, Observation, listener
from ansible_collections.securemail.smtp.plugins.module_utils._probe.profiles.common import INCLUDES
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import (
    ARTICLE_SUITES,
    GROUPS,
    SUITES,
    VERSIONS,
    all_suites_of,
)

NAMES = ("article", "modern", "intermediate", "rfc9325", "bsi-tr-02102-2", "bsi-tr-03108")
RELAY, SUBMISSION, SUBMISSIONS = listener("mx.example.org:25"), listener("mx.example.org:587"), listener("mx.example.org:465")
CLEAR = listener("mx.example.org:25", "none")


def test_the_names():
    assert profiles.NAMES == NAMES


@pytest.mark.parametrize("name", ["Modern", "bsi_tr_03108", "", "nist"])
def test_an_unknown_profile_is_refused_before_anything_is_asked(name):
    with pytest.raises(ValueError, match=re.escape("there is no profile %r; there are article, modern," % name)):
        expected.profile_requirements(name, RELAY)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_data_that_is_complete(name):
    profile = profiles.load(name)
    assert set(profile) == {"name", "title", "version", "of", "date", "sources", "caveats", "includes", "requirements"}
    assert profile["name"] == name
    # Nothing is called conformant.
    assert profile["title"].startswith("Checks drawn from ")
    assert re.match(r"[0-9]+\.[0-9]+\Z", profile["version"]) and re.match(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]\Z", profile["date"])
    assert profile["of"] and profile["sources"] and profile["caveats"]
    for source in profile["sources"]:
        assert set(source) == {"title", "url", "read"}
        assert source["title"] and source["read"] in ("text", "secondary")
    for caveat in profile["caveats"]:
        assert set(caveat) == {"text", "where"} and caveat["where"] in ("everywhere", "opportunistic")
    assert json.loads(json.dumps(profile["caveats"])) == profile["caveats"]


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_a_source_and_means_something(name):
    known = {"check", "parameters", "severity", "source", "secondary", "modes", "opportunistic"}
    for entry in profiles.load(name)["requirements"]:
        assert set(entry) <= known and entry["source"].strip(), entry
        assert entry.get("severity", "error") in ("error", "warning")
        assert entry.get("opportunistic", "error") in ("error", "warning", "")
        parameters = entry.get("parameters", {})
        version = parameters.get("version", "TLSv1.2")
        assert version in VERSIONS
        for suite in parameters.get("allowed") or [] if entry["check"] == "suites" else []:
            assert suite in all_suites_of(version) or suite in SUITES, suite
        for suite in parameters.get("any_of", []):
            assert suite in all_suites_of(version), suite
        if entry["check"] == "suites":
            assert set(parameters.get("forbidden", [])) <= set(FAMILIES)
        if entry["check"] in ("groups", "group_offered"):
            assert set(parameters.get("allowed", [parameters.get("group")])) <= set(GROUPS.values()) | {None}
    for asked in (RELAY, SUBMISSION, SUBMISSIONS, CLEAR):
        rows = expected.profile_requirements(name, asked)
        assert {requirement.origin for requirement in rows} == {name}
        kinds = [(row.check, sorted(row.parameters.items())) for row in rows]
        assert all(kinds.count(kind) == 1 for kind in kinds)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_holds_one_literal(name):
    folder = pathlib.Path(profiles.__file__).parent
    tree = ast.parse((folder / (name.replace("-", "_") + ".py")).read_text(encoding="utf-8"))
    (statement,) = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign, ast.FunctionDef))]
    assert ast.literal_eval(statement.value)["name"] == name


def test_nobody_can_change_a_profile_for_others():
    profiles.load("modern")["requirements"][0]["parameters"]["version"] = "SSLv2"
    profiles.load("modern")["requirements"].clear()
    assert profiles.load("modern")["requirements"][0]["parameters"]["version"] == "TLSv1"


def test_values_from_secondary_sources_say_so_in_every_row():
    rows = [row for row in expected.profile_requirements("bsi-tr-02102-2", SUBMISSION) if row.check == "groups"]
    assert [row.source.endswith("(from secondary sources)") for row in rows] == [True]


# ---- the listener decides what is asked


@pytest.mark.parametrize("name", NAMES)
def test_tls_is_not_demanded_of_everybody(name):
    """A listener without STARTTLS is asked to offer it, and nothing that only TLS could show."""
    checks = [requirement.check for requirement in expected.profile_requirements(name, CLEAR)]
    assert "starttls_offered" in checks and "auth_offered_clear" in checks
    assert not {"version", "suites", "injection", "certificate_trusted", "starttls_works"} & set(checks)


@pytest.mark.parametrize("name", NAMES)
def test_an_implicit_listener_is_not_asked_what_it_cannot_show(name):
    checks = [requirement.check for requirement in expected.profile_requirements(name, SUBMISSIONS)]
    assert "silent_in_clear" in checks
    assert not {"starttls_offered", "starttls_works", "injection", "auth_offered_clear", "auth_refused_clear"} & set(checks)


def severities(name, asked):
    return {
        (requirement.check, repr(sorted(requirement.parameters.items()))): requirement.severity
        for requirement in expected.profile_requirements(name, asked)
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_public_relay_port_is_never_asked_for_more(name):
    relay, submission = severities(name, RELAY), severities(name, SUBMISSION)
    assert set(relay) <= set(submission)
    assert not [key for key in relay if relay[key] == "error" and submission[key] == "warning"]


@pytest.mark.parametrize("name, check", [
    ("modern", ("version", "[('accepted', False), ('version', 'TLSv1.2')]")),
    ("bsi-tr-03108", ("version", "[('accepted', False), ('version', 'TLSv1')]")),
    ("intermediate", ("certificate_trusted", "[]")),
])
def test_what_makes_senders_fall_back_to_clear_text_is_a_warning_there(name, check):
    assert (severities(name, RELAY)[check], severities(name, SUBMISSION)[check]) == ("warning", "error")


def test_intermediate_holds_on_a_public_relay_port_too():
    assert severities("intermediate", RELAY)[("version", "[('accepted', False), ('version', 'TLSv1')]")] == "error"


@pytest.mark.parametrize("name", ["modern", "intermediate", "rfc9325", "bsi-tr-02102-2", "bsi-tr-03108"])
def test_one_caveat_is_about_the_relay_port(name):
    places = [caveat["where"] for caveat in profiles.load(name)["caveats"]]
    assert len(places) == places.count("everywhere") + 1


# ---- values


def allowed(name, check, version=None):
    return [
        requirement.parameters.get("allowed")
        for requirement in expected.profile_requirements(name, SUBMISSION)
        if requirement.check == check and requirement.parameters.get("version") == version
        and requirement.parameters.get("allowed") is not None
    ]


def test_the_article_allows_its_own_list():
    assert allowed("article", "suites", "TLSv1.2") == [list(ARTICLE_SUITES)]


def versions(name, asked=SUBMISSION):
    return {
        requirement.parameters["version"]: requirement.parameters["accepted"]
        for requirement in expected.profile_requirements(name, asked)
        if requirement.check == "version"
    }


@pytest.mark.parametrize("name, accepted, open_", [
    ("article", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"], []),
    ("modern", ["TLSv1.3"], []),
    ("intermediate", ["TLSv1.2", "TLSv1.3"], []),
    ("rfc9325", ["TLSv1.2", "TLSv1.3"], []),
    ("bsi-tr-02102-2", ["TLSv1.3"], ["TLSv1.2"]),
    ("bsi-tr-03108", ["TLSv1.2", "TLSv1.3"], []),
])
def test_versions(name, accepted, open_):
    found = versions(name)
    assert [version for version in VERSIONS if found.get(version)] == accepted
    assert [version for version in VERSIONS if version not in found] == open_


def test_the_bsi_lists_neither_chacha20_nor_x25519():
    assert not any("CHACHA20" in suite for suite in allowed("bsi-tr-02102-2", "suites", "TLSv1.2")[0])
    assert not any("CHACHA20" in suite for suite in allowed("bsi-tr-02102-2", "suites", "TLSv1.3")[0])
    assert "X25519" not in allowed("bsi-tr-02102-2", "groups")[0]


def test_what_nobody_can_see_is_listed_and_never_passes():
    rows = verdict.judge(server(SUBMISSION), expected.profile_requirements("bsi-tr-03108", SUBMISSION))
    outside = [row for row in rows if row.check == "outside"]
    numbers = {number for row in outside for number in re.findall(r"TR-03108-([0-9]{2})", row.source)}
    assert numbers == {"01", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16"}
    assert {row.verdict for row in outside} == {"unobservable"}
    assert verdict.failed(outside, "warning") == []


# ---- whole servers


CERTIFICATE = {
    "subject": "CN=mx.example.org", "not_before": "2026-11-01T00:00:00Z", "not_after": "2027-01-30T00:00:00Z",
    "begun": True, "days_left": 66, "lifetime_days": 90, "key": "EC", "key_bits": 256, "curve": "P-256",
    "signature": "ecdsa-with-SHA256", "signature_hash": "sha256", "self_signed": False,
}


def server(asked, accepted=("TLSv1.3",), suites=None, **different):
    """An observation of a server that does everything right with TLS 1.3 only, and of ``different`` ones."""
    facts = {
        "reachable": True,
        "banner": {"code": 220, "text": "ready"},
        "silent_in_clear": True,
        "starttls_offered": True,
        "starttls_works": True,
        "starttls_inside_tls": False,
        "auth_offered_clear": [],
        "auth_clear.PLAIN": "refused",
        "auth_clear.LOGIN": "refused",
        "injection": False,
        "late_plaintext": False,
        "ehlo_again": True,
        "transaction_forgotten": True,
        "open_relay": False,
        "groups": {"accepted": ["P-256", "P-384"], "complete": True},
        "certificate": CERTIFICATE,
        "chain": [CERTIFICATE],
        "certificate_trusted": True,
        "certificate_name": True,
    }
    facts.update({"version.%s" % version: version in accepted for version in VERSIONS})
    tls13 = {"accepted": ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"], "complete": True}
    facts["suites.TLSv1.3"] = tls13
    for version, names in (suites or {}).items():
        facts["suites." + version] = {"accepted": list(names), "complete": True}
    facts.update(different)
    found = {name: Fact(value, "seen", evidence=(1,)) for name, value in facts.items() if value is not None}
    return Observation(asked, found, (), 1, 0.1, ())


TLS12 = {
    "accepted": ("TLSv1.2", "TLSv1.3"),
    "suites": {"TLSv1.2": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]},
    "compression": False,
    "extended_master_secret": True,
    "secure_renegotiation": True,
    "encrypt_then_mac": False,
}
ARTICLE = {
    "accepted": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "suites": {
        "TLSv1": ["DHE-RSA-AES128-SHA"], "TLSv1.1": ["DHE-RSA-AES128-SHA"], "TLSv1.2": ["DHE-RSA-AES128-SHA256"],
    },
    "dh_bits": 2048,
}
BRAINPOOL = dict(TLS12, groups={"accepted": ["brainpoolP256r1", "P-256"], "complete": True})


def bad(name, observation):
    rows = verdict.judge(observation, expected.profile_requirements(name, observation.listener))
    return sorted({row.title for row in verdict.failed(rows, "warning")})


@pytest.mark.parametrize("name, different", [
    ("article", ARTICLE),
    ("modern", {}),
    ("intermediate", TLS12),
    ("rfc9325", TLS12),
    ("bsi-tr-02102-2", {}),
    ("bsi-tr-02102-2", TLS12),
    ("bsi-tr-03108", BRAINPOOL),
])
@pytest.mark.parametrize("asked", [RELAY, SUBMISSION, SUBMISSIONS], ids=["relay", "submission", "submissions"])
def test_a_server_that_follows_a_profile_has_no_bad_row(name, different, asked):
    assert bad(name, server(asked, **different)) == []


CHACHA = {"TLSv1.3": ["TLS_CHACHA20_POLY1305_SHA256"], "TLSv1.2": ["ECDHE-RSA-CHACHA20-POLY1305"]}


@pytest.mark.parametrize("name, different, titles", [
    ("article", TLS12, ["TLSv1", "TLSv1.1", "a wanted suite of TLSv1.2", "suites of TLSv1.2"]),
    ("article", dict(ARTICLE, dh_bits=1024), ["DH size"]),
    ("article", dict(ARTICLE, auth_offered_clear=["PLAIN"]), ["AUTH in clear"]),
    ("modern", TLS12, ["TLSv1.2"]),
    ("modern", {"certificate": dict(CERTIFICATE, key="RSA", key_bits=4096, curve=None)}, ["key of the certificate"]),
    ("modern", {"certificate": dict(CERTIFICATE, lifetime_days=91)}, ["lifetime of the certificate"]),
    ("intermediate", dict(TLS12, accepted=("TLSv1", "TLSv1.2", "TLSv1.3")), ["DH size", "TLSv1"]),
    ("intermediate", dict(TLS12, suites={"TLSv1.2": ["AES128-SHA"]}), ["suites of TLSv1.2"]),
    ("intermediate", dict(TLS12, groups={"accepted": ["X448"], "complete": True}), ["groups for the key exchange"]),
    ("rfc9325", dict(TLS12, accepted=("TLSv1.3",)), ["TLSv1.2"]),
    ("rfc9325", dict(TLS12, suites={"TLSv1.2": ["AES128-GCM-SHA256"]}), ["a wanted suite of TLSv1.2", "suites of TLSv1.2"]),
    ("rfc9325", dict(TLS12, extended_master_secret=False), ["extended master secret"]),
    ("rfc9325", dict(TLS12, groups={"accepted": ["P-192"], "complete": True}), ["groups for the key exchange"]),
    ("bsi-tr-02102-2", dict(TLS12, suites=CHACHA), ["suites of TLSv1.2", "suites of TLSv1.3"]),
    ("bsi-tr-02102-2", {"groups": {"accepted": ["X25519"], "complete": True}}, ["groups for the key exchange"]),
    (
        "bsi-tr-02102-2",
        dict(TLS12, suites={"TLSv1.2": ["ECDHE-RSA-AES128-SHA256"]}),
        ["CBC suites"],
    ),
    (
        "bsi-tr-02102-2",
        {"certificate": dict(CERTIFICATE, key="RSA", key_bits=2048, curve=None), "chain": None},
        ["key of the certificate"],
    ),
    ("bsi-tr-03108", TLS12, ["group brainpoolP256r1"]),
    ("bsi-tr-03108", dict(BRAINPOOL, starttls_offered=False), ["STARTTLS in clear"]),
])
def test_a_server_that_does_not_has_the_bad_rows(name, different, titles):
    assert bad(name, server(SUBMISSION, **different)) == titles


@pytest.mark.parametrize("name", NAMES)
def test_a_server_of_which_nothing_could_be_seen_passes_nothing(name):
    nothing = Observation(SUBMISSION, {}, (), 0, 0.0, ())
    rows = verdict.judge(nothing, expected.profile_requirements(name, SUBMISSION))
    assert {row.verdict for row in rows} == {"unobservable"}


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_is_not_there_fails(name):
    gone = Observation(SUBMISSION, {"reachable": Fact(False, "connection refused", "network", evidence=(1,))}, (), 1, 0.0, ())
    rows = verdict.judge(gone, expected.profile_requirements(name, SUBMISSION))
    assert [row.check for row in verdict.failed(rows, "error")] == ["reachable"]


# ---- the page for people


def page_row(entry):
    """The line of docs/profiles.md about one requirement."""
    parameters = entry.get("parameters", {})
    values = {name: ", ".join(value) if isinstance(value, list) else value for name, value in parameters.items()}
    title = catalogue.TITLES[entry["check"]] % values
    wanted = catalogue.EXPECTED[catalogue.key(entry["check"], parameters)] % values
    if parameters.get("of") == "leaf":
        wanted += " (the server's own certificate)"
    severity = entry.get("severity", "error")
    if entry.get("opportunistic", severity) != severity:
        severity += ", on port 25 %s" % (entry["opportunistic"] or "not asked")
    modes = " ".join(entry.get("modes", ("starttls", "implicit")))
    source = entry["source"] + (" (secondary)" if entry.get("secondary") else "")
    return "| %s | %s | %s | %s | %s |" % (title, wanted, modes, severity, source)


def test_the_page_about_profiles_is_what_the_data_say():
    page = pathlib.Path(__file__).parents[5].joinpath("docs", "profiles.md")
    if not page.is_file():
        pytest.skip("the documents are not part of this tree")
    text = page.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `([a-z0-9-]+)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(NAMES) | set(INCLUDES)
    for name, entries in INCLUDES.items():
        assert [page_row(entry) for entry in entries] == re.findall(r"^\| (?!What|---).*$", sections[name], re.MULTILINE)
    for name in NAMES:
        profile, section = profiles.load(name), sections[name]
        for words in [profile["title"], profile["of"]] + [source["title"] for source in profile["sources"]]:
            assert words in section, words
        for caveat in profile["caveats"]:
            assert caveat["text"] in section, caveat["text"]
        own = profile["requirements"][: -sum(len(INCLUDES[included]) for included in profile["includes"])]
        assert [page_row(entry) for entry in own] == re.findall(r"^\| (?!What|---).*$", section, re.MULTILINE)
        assert "Includes %s." % ", ".join("`%s`" % included for included in profile["includes"]) in section
