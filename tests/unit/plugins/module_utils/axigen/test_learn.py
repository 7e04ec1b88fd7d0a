# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names from sample rules: right ones whatever they are called, and none from a sample that is wrong."""

from __future__ import annotations

import json

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._encryption import Answer
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import description, learn, profile
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import script as language
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen import sample_scripts as made

NAMES = made.NAMES
SHUFFLED = {
    **NAMES,
    "plain": "authForPlain",
    "tls": "AuthWhenSecret",
    "domain": "recipientPart2",
    "ssl": "tlsNextHop",
    "equals": "sameText",
    "encrypted": "sameWord",
    "none": "nothing",
    "CRAM-MD5": "CRAMMD5",
    "TLSv1.1": "TLSv1.1",
    "TLSv1.2": "tls1_2",
    "TLSv1.3": "TLS13",
}
EXPECTED = {
    "format": 1,
    "server_version": "10.5.12",
    "plain_auth_variable": "authForPlain",
    "no_authentication": "nothing",
    "tls_auth_variable": "AuthWhenSecret",
    "mechanisms": {"PLAIN": "plain", "LOGIN": "login", "CRAM-MD5": "CRAMMD5"},
    "recipient_domain_variable": "recipientPart2",
    "equals_test": "sameText",
    "encryption_test": "sameWord",
    "script_versions": {"TLSv1.1": "TLSv1.1", "TLSv1.2": "tls1_2", "TLSv1.3": "TLS13"},
    "relay_ssl_variable": "tlsNextHop",
}


def derived(after, before=made.BASE, **changes):
    """What two looks tell: the description goes the way of a file."""
    first = json.loads(json.dumps(description.describe(language.parse(before), "10.5.12")))
    given = {"version": "10.5.12", "domain": made.DOMAIN, "mechanisms": made.MECHANISMS, "versions": made.VERSIONS}
    given.update(changes)
    found = learn.derive(description.checked_description(first), language.parse(after), **given)
    told = json.dumps([found.profile, [one.document() for one in found.missing], found.notes, first])
    assert made.SECRET not in told and "secret explanation" not in told
    return found


def missed(found):
    """Sample (without its prefix) to reason."""
    return {one.sample[len("securemail_sample_") :]: one.reason for one in found.missing}


# --- samples that are right -----------------------------------------------------------------------


def test_all_names_are_found():
    found = derived(made.all_four(SHUFFLED))
    assert found.missing == []
    assert found.profile == EXPECTED
    assert profile.checked(found.profile)
    assert found.explanation == "a secret explanation"
    assert sorted(found.methods) == sorted("securemail_sample_" + word for word in ("plain", "tls", "forced", "relay"))


def test_somebody_else_s_hand():
    found = derived(made.script(made.by_hand(SHUFFLED)))
    assert found.missing == []
    assert found.profile == EXPECTED


def test_the_documented_names_need_no_second_test():
    found = derived(made.all_four(NAMES))
    assert found.missing == []
    assert found.profile["equals_test"] == "isCase"
    assert "encryption_test" not in found.profile


@pytest.mark.parametrize("change", [str.upper, lambda name: name.replace("_", ""), lambda name: "Rule_%s_1" % name])
def test_webadmin_may_change_a_name(change):
    after = made.all_four(SHUFFLED)
    for word in ("plain", "tls", "forced", "relay"):
        after = after.replace("securemail_sample_" + word, change("securemail_sample_" + word))
    found = derived(after)
    assert (found.missing, found.profile) == ([], EXPECTED)


def test_a_sample_that_is_not_in_force_tells_its_names():
    found = derived(
        made.script(made.plain(NAMES), made.tls(NAMES), made.forced(NAMES), made.relay(NAMES), enabled=False)
    )
    assert found.missing == []
    assert found.explanation is None
    assert sum("is not called" in note for note in found.notes) == 4


def test_a_condition_that_nobody_meets_is_no_harm():
    guarded = made.method(
        "securemail_sample_plain",
        'if (ipRange (remoteSmtpIp, "192.0.2.1-192.0.2.1")) {',
        "\t" + made.assign("x", "none"),
        "}",
    )
    found = derived(made.script(guarded, made.tls(NAMES), made.forced(NAMES)))
    assert (found.profile["plain_auth_variable"], found.profile["no_authentication"]) == ("x", "none")
    # It is called and shows nothing at the listener, which is no reason to distrust it.
    found.ask_encrypted(lambda _explanation: Answer(True, "", frozenset(["PLAIN"]), frozenset(["PLAIN"])))
    assert found.profile["plain_auth_variable"] == "x"


@pytest.mark.parametrize("word", ["", "none ", "()", "-"])
def test_no_authentication_in_other_words(word):
    found = derived(made.all_four({**NAMES, "none": word}))
    assert found.profile["no_authentication"] == word


def test_other_rules_that_were_made_meanwhile_do_not_matter():
    after = made.all_four(SHUFFLED) + made.method("mine", made.assign("a", "b"), "call (other);")
    assert derived(after).profile == EXPECTED


# --- words that spell nothing ---------------------------------------------------------------------

ODD = {**SHUFFLED, "PLAIN": "p1", "LOGIN": "p2", "CRAM-MD5": "p3", "TLSv1.1": "a", "TLSv1.2": "b", "TLSv1.3": "c"}


def test_words_that_spell_nothing_ask_for_more_rules():
    found = derived(made.all_four(ODD))
    assert "mechanisms" not in found.profile and "script_versions" not in found.profile
    assert found.profile["tls_auth_variable"] == "AuthWhenSecret"
    reasons = missed(found)
    assert 'the words "p1", "p2", "p3" mean' in reasons["tls"]
    assert "securemail_sample_mechanism_CRAM_MD5, securemail_sample_mechanism_PLAIN" in reasons["tls"]
    assert "securemail_sample_version_TLSv1_1, securemail_sample_version_TLSv1_2" in reasons["relay"]


def test_a_rule_with_one_word_tells_it():
    more = [
        made.tls(ODD, "securemail_sample_mechanism_PLAIN", ("PLAIN",)),
        made.tls(ODD, "Securemail Sample mechanism_LOGIN".replace(" ", "_"), ("LOGIN",)),
        made.relay(ODD, "securemail_sample_version_TLSv1_1", ("TLSv1.1",)),
        made.relay(ODD, "securemail_sample_version_TLSv1_2", ("TLSv1.2",)),
    ]
    found = derived(made.all_four(ODD) + "".join(more))
    assert found.missing == []
    assert found.profile["mechanisms"] == {"PLAIN": "p1", "LOGIN": "p2", "CRAM-MD5": "p3"}
    assert found.profile["script_versions"] == {"TLSv1.1": "a", "TLSv1.2": "b", "TLSv1.3": "c"}
    # The last one of each was the only one left, and that is said.
    assert sum("the only one that is left" in note for note in found.notes) == 2
    assert len(found.methods) == 8


def test_a_rule_with_one_word_is_believed_before_the_spelling():
    crossed = {**NAMES, "PLAIN": "login", "LOGIN": "plain"}
    more = [made.tls(crossed, "securemail_sample_mechanism_" + one, (one,)) for one in ("PLAIN", "LOGIN")]
    # What one of them says about its own word, it says about the other's too.
    for some in (more, more[:1], more[1:]):
        found = derived(made.all_four(crossed) + "".join(some))
        assert found.profile["mechanisms"] == {"PLAIN": "login", "LOGIN": "plain", "CRAM-MD5": "cram-md5"}
        assert found.missing == []


def test_one_mechanism_that_was_not_chosen():
    after = made.script(made.plain(SHUFFLED), made.tls({**NAMES, "PLAIN": SHUFFLED["none"]}, mechanisms=("PLAIN",)))
    found = derived(after, mechanisms=("PLAIN",))
    assert missed(found)["tls"] == "its value is the one for no authentication: its types were not chosen"
    assert "mechanisms" not in found.profile


def test_a_rule_with_one_word_that_has_more():
    found = derived(made.all_four(ODD) + made.tls(ODD, "securemail_sample_mechanism_PLAIN", ("PLAIN", "LOGIN")))
    assert "to one word, and sets it to 2" in missed(found)["mechanism_PLAIN"]


def test_a_mechanism_that_the_server_lacks_is_told_and_the_others_are_learned():
    found = derived(made.script(made.tls(NAMES, mechanisms=("PLAIN", "LOGIN"))))
    assert found.profile["mechanisms"] == {"PLAIN": "plain", "LOGIN": "login"}
    assert "no word for CRAM-MD5" in missed(found)["tls"]


def test_more_than_was_asked_for_is_learned_where_it_is_spelled():
    names = {**NAMES, "DIGEST-MD5": "digest-md5"}
    found = derived(made.script(made.tls(names, mechanisms=("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"))))
    assert found.profile["mechanisms"]["DIGEST-MD5"] == "digest-md5"
    names["DIGEST-MD5"] = "odd"
    found = derived(made.script(made.tls(names, mechanisms=("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"))))
    assert "DIGEST-MD5" not in found.profile["mechanisms"]
    assert 'what the word "odd" means' in missed(found)["tls"]


def test_a_word_for_all_is_not_the_last_mechanism():
    found = derived(made.script(made.tls({**NAMES, "CRAM-MD5": "all"})))
    assert "stands for all or for none" in missed(found)["tls"]
    assert found.profile["mechanisms"] == {"PLAIN": "plain", "LOGIN": "login"}


def test_old_versions_are_spelled_in_several_ways():
    names = {**NAMES, "SSLv3": "ssl3", "TLSv1": "tls1"}
    found = derived(made.script(made.relay(names, versions=("SSLv3", "TLSv1", *made.VERSIONS))))
    assert found.profile["script_versions"]["TLSv1"] == "tls1"
    names["SSLv3"] = "tls10"
    found = derived(made.script(made.relay(names, versions=("SSLv3", "TLSv1", *made.VERSIONS))))
    assert 'both "tls10" and "tls1" could be TLSv1' in missed(found)["relay"]


# --- samples that are wrong -----------------------------------------------------------------------


def test_nothing_was_made():
    found = derived(made.BASE)
    assert set(found.profile) == {"format", "server_version"}
    assert set(missed(found)) == {"plain", "tls", "forced", "relay"}
    assert all("were the rules saved?" in reason for reason in missed(found).values())
    assert found.methods == []


def test_one_is_missing():
    found = derived(made.script(made.plain(SHUFFLED), made.forced(SHUFFLED), made.relay(SHUFFLED)))
    assert list(missed(found)) == ["tls"]
    assert "it was not made or not saved" in missed(found)["tls"]
    assert found.profile == {k: v for k, v in EXPECTED.items() if k not in ("tls_auth_variable", "mechanisms")}


def test_one_has_another_name():
    found = derived(made.script(made.plain(NAMES, "my_sample")))
    assert "new are my_sample: give it the name securemail_sample_plain exactly" in missed(found)["plain"]


def test_it_was_there_before():
    before = made.script(made.plain(NAMES))
    found = derived(made.all_four(SHUFFLED), before)
    assert list(missed(found)) == ["plain"]
    assert "there at the first look already" in missed(found)["plain"]


def test_it_stands_twice():
    found = derived(made.script(made.plain(NAMES), made.plain(SHUFFLED, "SECUREMAIL_sample_PLAIN")))
    assert "2 times in the script (securemail_sample_plain, SECUREMAIL_sample_PLAIN)" in missed(found)["plain"]


def test_another_server_is_told():
    assert any("not the same server" in note for note in derived(made.all_four(NAMES), version="10.6.1").notes)


FORCED = made.forced(NAMES)


@pytest.mark.parametrize(
    "sample, method, said",
    [
        ("plain", made.tls(NAMES, "securemail_sample_plain"), "several words"),
        ("plain", made.method("securemail_sample_plain", made.assign("a", "login ")), '"login", a mechanism'),
        ("plain", made.method("securemail_sample_plain", made.assign("a", "%x%")), "cannot be written"),
        ("plain", made.method("securemail_sample_plain", made.assign("a", "all ")), "the word for all types"),
        ("plain", made.method("securemail_sample_plain"), "no action was chosen"),
        ("plain", made.method("securemail_sample_plain", made.assign("a", "x"), made.assign("b", "x")), "it sets a, b"),
        ("plain", made.method("securemail_sample_plain", made.assign("a", "x"), made.assign("A", "x")), "sets A twice"),
        ("plain", made.method("securemail_sample_plain", made.assign("allowStartTLS", "no")), "about allowStartTLS,"),
        ("plain", made.method("securemail_sample_plain", "call (checkSPF);"), "it calls checkSPF"),
        ("plain", made.method("securemail_sample_plain", "unset (a);"), "not understood"),
        ("plain", made.method("securemail_sample_plain", 'if (is (a, "1")) { if (is (b, "2")) { set (c, ""); } }'), "(if)"),
        ("tls", made.plain(NAMES, "securemail_sample_tls"), "its value is 1 word(s) for 3 types"),
        ("tls", made.method("securemail_sample_tls", made.assign("a", "all ")), "its value is 1 word(s) for 3 types"),
        ("tls", made.method("securemail_sample_tls", made.assign("a", "plain login %x% ")), "cannot be written"),
        ("forced", made.method("securemail_sample_forced", made.assign("smtpAction", "reject")), "it has no condition"),
        ("forced", FORCED.replace("allOf", "anyOf"), "joined with ANY: choose ALL"),
        ("forced", FORCED.replace('"no"', '"yes"'), "its condition on SSL must be no"),
        ("forced", FORCED.replace("isSSLConnection", "isESMTP"), "its conditions are about isESMTP, rcptDomain"),
        ("forced", FORCED.replace("rcptDomain", "isSSLConnection"), "one condition must be that the connection is SSL"),
        ("forced", FORCED.replace("rcptDomain", "mailFromDomain"), "about mailFromDomain, whose meaning is documented"),
        ("forced", made.forced(NAMES, domain="other.test"), "something else than the domain " + made.DOMAIN),
        ("forced", FORCED.replace('isCase (rcptDomain', 'isCase (a, "b"), isCase (rcptDomain'), "3 condition(s)"),
        ("forced", FORCED.replace('"reject"', '"accept"'), "its action is not reject"),
        ("forced", FORCED.replace("smtpExplanation", "smtpText"), "it has no explanation"),
        ("forced", FORCED.replace("\t}\n}", "\t}\n\tset (a, \"b\");\n}"), "something else as well"),
        ("forced", FORCED.replace("\t}\n}", '\t}\n\tif (is (a, "b")) { set (c, "d"); }\n}'), "2 separate conditions"),
        ("forced", FORCED.replace("\t}\n}", '\t} else { set (c, "d"); }\n}'), "something else as well"),
        ("forced", FORCED.replace("set (smtpA", 'if (is (a, "b")) { set (c, "d"); } set (smtpA'), "(if) inside"),
        ("relay", made.method("securemail_sample_relay", made.assign("sslEnabled", "yes")), "does not set allowedSSLV"),
        ("relay", made.method("securemail_sample_relay", made.assign("allowedSSLVersions", "tls12 ")), "encryption on"),
        ("relay", made.relay({**NAMES, "ssl": "allowStartTLS"}), "it is about allowStartTLS, whose meaning"),
        ("relay", made.relay(NAMES).replace('"yes"', '"no"'), "gives sslEnabled another value than yes"),
    ],
)  # fmt: skip
def test_a_wrong_sample_tells_nothing_but_why(sample, method, said):
    found = derived(made.script(method))
    assert said in missed(found)[sample]
    (keys,) = [one.keys for one in found.missing if one.sample.endswith(sample) and said in one.reason]
    assert not set(keys) & set(found.profile)


def test_a_sample_in_another_event_is_another_rule():
    after = made.called(made.script(made.plain(NAMES), enabled=False), "onRcptTo", "securemail_sample_plain")
    reason = missed(derived(after))["plain"]
    assert "it is called from onRcptTo, and rules of this kind are written into onEhlo" in reason


def test_the_two_samples_of_authentication_are_about_one_variable():
    found = derived(made.all_four({**NAMES, "tls": NAMES["plain"]}))
    assert "it sets the same variable as securemail_sample_plain" in missed(found)["tls"]
    assert not {"plain_auth_variable", "tls_auth_variable", "mechanisms", "no_authentication"} & set(found.profile)


def test_samples_that_contradict_each_other():
    found = derived(made.all_four({**NAMES, "domain": NAMES["tls"]}))
    assert "the samples contradict" in found.missing[-1].reason
    assert not [key for key in found.profile if key.endswith("_variable")]


def test_names_that_say_the_opposite_are_worth_a_look():
    found = derived(made.all_four({**NAMES, "plain": "secureConnAuthTypes", "tls": "plainConnAuthTypes"}))
    assert found.missing == []
    assert any("the wrong way round" in note for note in found.notes)
    assert not any("the wrong way round" in note for note in derived(made.all_four(SHUFFLED)).notes)


# --- what no script says --------------------------------------------------------------------------


def test_the_meaning_of_the_requirement_must_be_stated():
    found = derived(made.all_four(SHUFFLED))
    found.state_relay_ssl(None)
    assert "no script says what tlsNextHop does" in missed(found)["relay"]
    found.state_relay_ssl("implicit")
    assert found.profile["relay_ssl"] == "implicit"
    nothing = derived(made.BASE)
    nothing.state_relay_ssl("required")
    assert "relay_ssl" not in nothing.profile


@pytest.mark.parametrize("answer", [True, False])
def test_encryption_after_starttls_is_asked(answer):
    found = derived(made.all_four(NAMES))
    found.ask_encrypted(lambda explanation: Answer(answer, explanation, frozenset(), frozenset(["PLAIN"])))
    assert found.profile["encrypted_after_starttls"] is answer
    assert found.missing == []


def test_encryption_after_starttls_that_was_not_seen():
    found = derived(made.all_four(NAMES))
    found.ask_encrypted(lambda _explanation: Answer(None, "no connection"))
    assert missed(found) == {"forced": "no connection"}
    found = derived(made.script(made.forced(NAMES), enabled=False))
    found.ask_encrypted(lambda _explanation: pytest.fail("the rule is not in force"))
    assert "must be right and enabled" in missed(found)["forced"]


@pytest.mark.parametrize("clear, secure", [(["PLAIN"], []), (["PLAIN"], ["PLAIN"]), ([], [])])
def test_samples_that_are_about_the_other_kind_of_connections_are_found_out(clear, secure):
    found = derived(made.all_four(NAMES))
    found.ask_encrypted(lambda _explanation: Answer(True, "", frozenset(clear), frozenset(secure)))
    assert "about the other kind of connections" in missed(found)["plain"]
    assert not {"plain_auth_variable", "tls_auth_variable", "mechanisms", "no_authentication"} & set(found.profile)


@pytest.mark.parametrize(
    "document", [None, [], {}, {"format": 1}, {"format": 2, "methods": {}}, {"format": 1, "methods": []}]
)
def test_a_description_that_is_none(document):
    with pytest.raises(PolicyError, match="before"):
        description.checked_description(document)


def test_the_description_does_not_depend_on_what_is_secret():
    assert description.describe(language.parse(made.BASE), "1") == description.describe(
        language.parse(made.BASE.replace(made.SECRET, "another")), "1"
    )
    assert description.describe(language.parse(made.BASE), "1") != description.describe(
        language.parse(made.all_four(NAMES)), "1"
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_that_two_samples_may_be_exchanged_is_noted_until_a_listener_was_asked(enabled):
    found = derived(made.script(made.plain(NAMES), made.tls(NAMES), enabled=enabled))
    found.explanation = "text"
    found.ask_encrypted(lambda _explanation: Answer(True, "", frozenset(), frozenset(["PLAIN"])))
    found.note_untried()
    assert any("no listener was asked" in note for note in found.notes) is not enabled
