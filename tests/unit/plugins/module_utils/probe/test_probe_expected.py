# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a policy asks of a listener that can be seen from outside: no more than it says, and no less."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.document import policy_document
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener, Policy, StartTls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import AuthRule, ForcedTlsDomain
from ansible_collections.securemail.smtp.plugins.module_utils._probe import expected, inquiry
from ansible_collections.securemail.smtp.plugins.module_utils._probe.declared import UNREAD, declared
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import (
    Credentials,
    ForcedDomain,
    listener,
)

RELAY, SUBMISSION, SUBMISSIONS = (listener("mx.example.org:%d" % port) for port in (25, 587, 465))

#: What is asked of everybody, whatever the policy says.
EVERYBODY = [
    "reachable", "greeting", "starttls_works", "starttls_inside_tls", "injection", "late_plaintext", "ehlo_again",
    "transaction_forgotten", "open_relay",
]
CERTIFICATE = ["certificate_trusted", "certificate_name", "certificate_valid"]


def policy(*listeners, **more):
    return dict(more, listeners=list(listeners))


def at(port, **settings):
    return dict(settings, address="0.0.0.0:%d" % port)


def asked(document, of=SUBMISSION):
    """The requirements as pairs of check and parameters, without what is asked of everybody."""
    return [
        (requirement.check, dict(requirement.parameters))
        for requirement in expected.policy_requirements(document, of)
        if requirement.check not in EVERYBODY + CERTIFICATE + ["silent_in_clear"]
        and requirement.source == "policy"
    ]


def checks(document, of=SUBMISSION):
    return [requirement.check for requirement in expected.policy_requirements(document, of)]


# ---- which listener of the policy


@pytest.mark.parametrize("addresses, probed, found", [
    (["0.0.0.0:587"], "mx.example.org:587", "0.0.0.0:587"),
    (["192.0.2.1:587", "192.0.2.2:587"], "192.0.2.2:587", "192.0.2.2:587"),
    (["192.0.2.1:587", "0.0.0.0:587"], "192.0.2.1:587", "192.0.2.1:587"),
    (["192.0.2.1:587", "0.0.0.0:587"], "192.0.2.7:587", "0.0.0.0:587"),
    (["0.0.0.0:587", "[::]:587"], "[2001:db8::1]:587", "[::]:587"),
    (["192.0.2.1:587"], "127.0.0.1:587", "192.0.2.1:587"),
    (["192.0.2.1:587"], "127.0.0.1:25", None),
    (["192.0.2.1:587", "192.0.2.2:587"], "mx.example.org:587", None),
    ([], "mx.example.org:587", None),
])
def test_the_listener_of_the_policy(addresses, probed, found):
    # Each differs from the others, so that none may stand for another.
    document = policy(*({"address": address, "versions": ["TLSv1.%d" % (number + 1)]} for number, address in enumerate(addresses)))
    match, reason = expected.declared_listener(document, listener(probed))
    assert (match["address"] if match else None) == found
    assert bool(reason) == (found is None)


def test_listeners_that_look_the_same_stand_for_each_other():
    document = policy(at(587, tls="starttls", idle_timeout=60), dict(at(587, tls="starttls"), address="[::]:587"))
    assert "declared" not in checks(document)


@pytest.mark.parametrize("document, words", [
    (policy(at(25)), "no listener of the policy has port 587"),
    (
        policy({"address": "192.0.2.1:587", "tls": "none"}, {"address": "192.0.2.2:587", "tls": "starttls"}),
        "several listeners of the policy have port 587 and differ: 192.0.2.1:587, 192.0.2.2:587",
    ),
    (policy({"address": "0.0.0.0:587", "state": "absent"}), "no listener of the policy has port 587"),
])
def test_a_listener_that_is_not_declared_is_an_error_and_nothing_else(document, words):
    (requirement,) = expected.policy_requirements(document, SUBMISSION)
    assert (requirement.check, requirement.severity, requirement.parameters["reason"]) == ("declared", "error", words)


def test_a_listener_that_is_switched_off_must_not_be_there():
    assert asked(policy(at(587, enabled=False, tls="starttls"))) == []
    (requirement,) = expected.policy_requirements(policy(at(587, enabled=False, tls="starttls")), SUBMISSION)
    assert (requirement.check, requirement.parameters, requirement.severity) == ("reachable", {"reachable": False}, "error")


# ---- what holds for everybody


def test_a_policy_that_says_nothing_asks_for_what_holds_for_everybody():
    found = expected.policy_requirements({}, SUBMISSION)
    assert sorted(requirement.check for requirement in found) == sorted(EVERYBODY + CERTIFICATE + ["version"] * 2)
    assert {requirement.parameters["version"] for requirement in found if requirement.check == "version"} == {"SSLv2", "SSLv3"}
    assert {requirement.origin for requirement in found} == {"policy"}
    assert all(requirement.source.startswith(("RFC", "policy")) for requirement in found)


def test_implicit_tls_is_silent_in_clear():
    found = checks(policy(at(465, tls="implicit")), SUBMISSIONS)
    assert "silent_in_clear" in found
    assert not {"starttls_offered", "injection", "auth_offered_clear"} & set(found)


def test_the_certificate_is_a_warning_on_a_public_relay_port_only():
    for of, severity in ((RELAY, "warning"), (SUBMISSION, "error"), (SUBMISSIONS, "error")):
        found = [requirement for requirement in expected.policy_requirements({}, of) if requirement.check in CERTIFICATE]
        assert [requirement.severity for requirement in found] == [severity] * 3


# ---- TLS mode and STARTTLS


@pytest.mark.parametrize("settings, starttls, offered", [
    ({"tls": "starttls"}, None, True),
    ({"tls": "starttls"}, {"inbound": True}, True),
    ({"tls": "starttls"}, {"inbound": False}, False),
    ({"tls": "none"}, {"inbound": True}, False),
    ({}, {"inbound": False}, False),
    # A listener offers it when it has a certificate, and nobody says that this one has.
    ({}, {"inbound": True}, None),
    ({}, None, None),
])
def test_starttls(settings, starttls, offered):
    found = [value["offered"] for check, value in asked(policy(at(587, **settings), starttls=starttls)) if check == "starttls_offered"]
    assert found == ([] if offered is None else [offered])


def test_starttls_of_a_server_of_which_no_listener_is_named():
    assert ("starttls_offered", {"offered": True}) in asked({"starttls": {"inbound": True}})
    assert ("starttls_offered", {"offered": False}) in asked({"starttls": {"inbound": False}})


def test_without_starttls_nothing_is_asked_inside_tls():
    document = policy(
        at(587, tls="none", versions=["TLSv1.2"]),
        auth_rules=[{"name": "a", "connection": "tls", "mechanisms": ["PLAIN"]}],
    )
    assert sorted(checks(document)) == ["greeting", "open_relay", "reachable", "starttls_offered"]


@pytest.mark.parametrize("mode, of", [("implicit", SUBMISSION), ("starttls", SUBMISSIONS), ("none", SUBMISSIONS)])
def test_a_listener_that_was_looked_at_in_the_wrong_mode(mode, of):
    document = policy(at(of.port, tls=mode, versions=["TLSv1.2"]))
    assert [(requirement.check, requirement.parameters) for requirement in expected.policy_requirements(document, of)] == [
        ("reachable", {}), ("tls_mode", {"mode": mode}),
    ]


# ---- versions, suites, DH


def test_versions_are_exactly_those_that_are_declared():
    found = asked(policy(at(587, tls="starttls", versions=["TLSv1.3", "tls1_2"])))
    assert [(value["version"], value["accepted"]) for check, value in found if check == "version"] == [
        ("SSLv2", False), ("SSLv3", False), ("TLSv1", False), ("TLSv1.1", False), ("TLSv1.2", True), ("TLSv1.3", True),
    ]


def test_settings_of_the_whole_document_count_for_its_listeners():
    found = asked(policy(at(587, tls="starttls"), tls={"versions": ["TLSv1.3"]}))
    assert ("version", {"version": "TLSv1.2", "accepted": False}) in found


def suites_of(found):
    return {value["version"]: value for check, value in found if check == "suites"}


def test_a_cipher_list_becomes_suites():
    found = suites_of(asked(policy(at(587, tls="starttls", versions=["TLSv1.2", "TLSv1.3"], ciphers="ECDHE+AESGCM"))))
    # No list restricts TLS 1.3.
    assert list(found) == ["TLSv1.2"]
    assert set(found["TLSv1.2"]["allowed"]) == {
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
    }
    assert found["TLSv1.2"]["ciphers"] == "ECDHE+AESGCM"


def test_a_list_holds_for_every_old_version_that_may_be_there():
    assert list(suites_of(asked(policy(at(587, tls="starttls", ciphers="AES128-SHA"))))) == ["TLSv1", "TLSv1.1", "TLSv1.2"]
    assert suites_of(asked(policy(at(587, tls="starttls", ciphers="AES128-SHA", versions=["TLSv1.3"])))) == {}


def test_suites_that_the_library_here_is_too_new_for_are_known_by_name():
    assert expected.selected_suites("EXP-RC4-MD5") == ["EXP-RC4-MD5"]
    assert expected.selected_suites("AES128-SHA:EXP-RC4-MD5,IDEA-CBC-SHA") == ["AES128-SHA", "EXP-RC4-MD5", "IDEA-CBC-SHA"]
    # What the library knows, it also knows to leave out.
    assert expected.selected_suites("AES128-SHA:AES256-SHA:!AES128") == ["AES256-SHA"]


@pytest.mark.parametrize("ciphers", ["kGOST-OF-OLD", "TLS_AES_128_GCM_SHA256", ""])
def test_a_list_that_nobody_here_can_read_cannot_be_judged(ciphers):
    found = suites_of(asked(policy(at(587, tls="starttls", versions=["TLSv1.2"], ciphers=ciphers))))
    assert found["TLSv1.2"].get("allowed") is None
    assert "does not know what" in found["TLSv1.2"]["reason"]


@pytest.mark.parametrize("value, by", [(True, "server"), (False, "client")])
def test_the_order_of_suites(value, by):
    assert ("server_preference", {"by": by}) in asked(policy(at(587, tls="starttls", prefer_server_ciphers=value)))


@pytest.mark.parametrize("settings, wanted", [
    ({"ciphers": "DHE-RSA-AES128-SHA256", "dh_params": "/etc/dh.pem"}, True),
    ({"ciphers": "DHE-RSA-AES128-SHA256", "dh_params": ""}, False),
    ({"ciphers": "DHE-RSA-AES128-SHA256"}, False),
    ({"ciphers": "ECDHE+AESGCM", "dh_params": "/etc/dh.pem"}, False),
    ({"dh_params": "/etc/dh.pem"}, False),
    ({"ciphers": "DHE-RSA-AES128-SHA256", "dh_params": "/etc/dh.pem", "versions": ["TLSv1.3"]}, False),
])
def test_a_dh_file_is_used_and_long_enough(settings, wanted):
    found = expected.policy_requirements(policy(at(587, tls="starttls", **settings)), SUBMISSION)
    sizes = [(requirement.parameters, requirement.source) for requirement in found if requirement.check == "dh_size"]
    offered = [requirement.parameters for requirement in found if requirement.check == "suite_offered"]
    assert sizes == ([({"bits": 2048}, "RFC 9325 section 4.5")] if wanted else [])
    assert offered == ([{"version": "TLSv1.2", "any_of": ["DHE-RSA-AES128-SHA256"]}] if wanted else [])


# ---- login


def rule(connection, mechanisms, **more):
    return dict(more, name="r%d" % len(mechanisms), connection=connection, mechanisms=mechanisms)


def test_no_login_in_clear_and_exactly_these_inside_tls():
    document = policy(at(587, tls="starttls"), auth_rules=[rule("plain", []), rule("tls", ["plain"])])
    assert [pair for pair in asked(document) if pair[0].startswith(("auth", "login"))] == [
        ("auth_offered_clear", {"mechanisms": []}),
        ("auth_refused_clear", {"mechanism": "PLAIN"}),
        ("auth_refused_clear", {"mechanism": "LOGIN"}),
        ("auth_offered_tls", {"mechanisms": ["PLAIN"]}),
        ("auth_refused_tls", {"mechanism": "LOGIN"}),
        ("auth_refused_tls", {"mechanism": "SCRAM-SHA-256"}),
        ("auth_refused_tls", {"mechanism": "CRAM-MD5"}),
    ]


def test_the_last_enabled_rule_counts():
    rules = [rule("tls", ["PLAIN"]), rule("tls", ["LOGIN"]), rule("tls", ["CRAM-MD5"], enabled=False)]
    found = asked(policy(at(587, tls="starttls"), auth_rules=rules))
    assert ("auth_offered_tls", {"mechanisms": ["LOGIN"]}) in found


def test_a_policy_may_allow_what_is_bad():
    found = asked(policy(at(587, tls="starttls"), auth_rules=[rule("plain", ["LOGIN", "PLAIN"])]))
    assert ("auth_offered_clear", {"mechanisms": ["PLAIN", "LOGIN"]}) in found
    assert not [check for check, value in found if check == "auth_refused_clear"]


def test_without_a_rule_nothing_is_said_about_logins():
    assert not [check for check in checks(policy(at(587, tls="starttls"), auth_rules=[])) if check.startswith("auth")]


def test_a_login_is_expected_where_there_are_credentials():
    document = policy(at(587, tls="starttls"), auth_rules=[rule("tls", ["PLAIN", "OAUTHBEARER"])])
    of = listener("mx.example.org:587", credentials=Credentials("u", "p"))
    assert [value for check, value in asked(document, of) if check == "login"] == [{"mechanism": "PLAIN"}]
    assert "login" not in checks(document)


# ---- forced domains


FORCED = [
    {"domain": "a.example", "reject_message": "TLS only"},
    {"domain": "b.example", "direction": "outbound", "level": "secure"},
    {"domain": "c.example", "direction": "both"},
    {"domain": "d.example", "enabled": False},
    {"domain": ".e.example"},
]


def test_forced_domains_that_were_tried():
    of = listener(
        "mx.example.org:25",
        forced_domains=(ForcedDomain("a.example"), ForcedDomain("c.example"), ForcedDomain("d.example")),
        other_domain="other.example",
    )
    assert list(asked(policy(at(25, tls="starttls"), forced_tls_domains=FORCED), of))[1:] == [
        ("forced_clear", {"domain": "a.example", "reject_message": "TLS only"}),
        ("forced_tls", {"domain": "a.example"}),
        ("forced_clear", {"domain": "c.example", "reject_message": None}),
        ("forced_tls", {"domain": "c.example"}),
        ("other_clear", {"domain": "other.example"}),
        (
            "outside",
            {
                "what": "1 more forced-TLS domain",
                "why": "not tried here; which names there are below a domain nobody outside knows",
            },
        ),
    ]


def test_forced_domains_of_an_implicit_listener_are_never_in_clear():
    of = listener("mx.example.org:465", forced_domains=(ForcedDomain("a.example"),), other_domain="other.example")
    found = asked(policy(at(465, tls="implicit"), forced_tls_domains=FORCED[:1]), of)
    assert found == [("forced_tls", {"domain": "a.example"})]


def test_an_exception_takes_mail_in_clear_and_what_has_no_name_is_not_tried():
    document = policy(at(25, tls="starttls"), forced_tls_domains=[
        {"domain": "*"}, {"domain": ".gov.example"}, {"domain": "old.gov.example", "level": "may", "reason": "ticket 88"},
        {"domain": "fax.example", "direction": "both", "level": "none"}, {"domain": "a.example"},
    ])
    (of,) = inquiry.with_policy_domains([RELAY], inquiry.Expectation(policy=declared(document)), [])
    assert [(one.domain, one.exempt) for one in of.forced_domains] == [
        ("old.gov.example", True), ("fax.example", True), ("a.example", False),
    ]
    found = [(check, value.get("domain") or value.get("what")) for check, value in asked(document, of)]
    assert [one for one in found if one[1]] == [
        ("forced_clear", "a.example"), ("forced_tls", "a.example"), ("other_clear", "old.gov.example"),
        ("other_clear", "fax.example"), ("outside", "2 more forced-TLS domains"),
    ]


@pytest.mark.parametrize(("other", "clear"), [
    ("other.example", False), ("new.gov.example", False), ("old.gov.example", True), ("lab.old.gov.example", False),
    ("x.lab.test", True), ("lab.test", False),
])
def test_another_domain_takes_mail_in_clear_unless_a_parent_or_the_default_says_otherwise(other, clear):
    document = declared(policy(at(25, tls="starttls"), forced_tls_domains=[
        {"domain": "*"}, {"domain": ".gov.example"}, {"domain": "old.gov.example", "level": "may"},
        {"domain": ".lab.test", "level": "may"}, {"domain": "off.example", "enabled": False}, {"domain": "a.example"},
    ]))
    of = listener("mx.example.org:25", forced_domains=(ForcedDomain("a.example"),), other_domain=other)
    found = [(one.check, one.parameters.get("domain")) for one in expected.declared_requirements(document, of)]
    assert ("forced_clear", "a.example") in found
    assert (("other_clear", other) in found) is clear


def test_ten_thousand_domains_that_were_not_tried_are_one_row():
    many = [{"domain": "d%d.example" % number} for number in range(10000)]
    found = asked(policy(at(25, tls="starttls"), forced_tls_domains=many), RELAY)
    assert [value["what"] for check, value in found if check == "outside"] == ["10000 more forced-TLS domains"]


# ---- general rules: who may log in, and who may send


STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"
LOGIN_FIRST = "530 5.7.0 Authentication required"


def general(name, conditions, actions, **more):
    return dict(
        more,
        name=name,
        conditions=[{"variable": variable, "value": value} for variable, value in conditions.items()],
        actions=[{"set": variable, "value": value} for variable, value in actions.items()],
    )


def refusing(name, conditions, explanation, **more):
    return general(name, conditions, {"smtpAction": "reject", "smtpExplanation": explanation}, **more)


STRICT = [
    general("no_auth", {"smtpPort": 25}, {"plainConnAuthTypes": "none", "secureConnAuthTypes": "none"}),
    refusing("login", {"smtpPort": 587, "authUser": ""}, LOGIN_FIRST),
    refusing("tls", {"smtpPort": 587, "isSSLConnection": False}, STARTTLS_FIRST),
    refusing("implicit", {"smtpPort": 465, "authUser": ""}, LOGIN_FIRST),
]
AUTH = [
    {"name": "clear", "connection": "plain", "mechanisms": []},
    {"name": "tls_only", "connection": "tls", "mechanisms": ["PLAIN"]},
]


def strict(rules=None, **more):
    listeners = (at(25, tls="starttls"), at(587, tls="starttls"), at(465, tls="implicit"))
    return policy(*listeners, auth_rules=AUTH, rules=STRICT if rules is None else rules, **more)


def chosen(document, of, *kinds):
    return [(check, value) for check, value in asked(document, of) if check in kinds]


MAIL = ("mail_refused_clear", "mail_refused_tls")
OFFERED = ("auth_offered_clear", "auth_offered_tls")


def test_a_submission_listener_refuses_mail_in_clear_and_without_a_login():
    assert chosen(strict(), SUBMISSION, *MAIL) == [
        ("mail_refused_clear", {"explanation": STARTTLS_FIRST}), ("mail_refused_tls", {"explanation": LOGIN_FIRST}),
    ]
    assert chosen(strict(), SUBMISSIONS, *MAIL) == [("mail_refused_tls", {"explanation": LOGIN_FIRST})]
    assert chosen(strict(), RELAY, *MAIL) == []
    assert chosen(strict([]), SUBMISSION, *MAIL) == []


def test_a_relay_listener_offers_no_login():
    nothing = [("auth_offered_clear", {"mechanisms": []}), ("auth_offered_tls", {"mechanisms": []})]
    assert chosen(strict(), RELAY, *OFFERED) == nothing
    assert chosen(strict(), SUBMISSION, *OFFERED) == [nothing[0], ("auth_offered_tls", {"mechanisms": ["PLAIN"]})]
    assert ("auth_refused_tls", {"mechanism": "PLAIN"}) in asked(strict(), RELAY)
    of = listener("mx.example.org:25", credentials=Credentials("u", "p"))
    assert "login" not in checks(strict(), of)


@pytest.mark.parametrize("order, offered", [
    (["clear", "tls_only", "no_auth"], []), (["clear", "no_auth", "tls_only"], ["PLAIN"]), (["no_auth"], []), (None, []),
    (["CLEAR", "No_Auth", "TLS_only"], ["PLAIN"]),
])
def test_the_last_rule_counts(order, offered):
    document = strict(rule_order={"ehlo": order} if order else None)
    assert chosen(document, RELAY, "auth_offered_tls") == [("auth_offered_tls", {"mechanisms": offered})]


@pytest.mark.parametrize("more, explanation", [
    (refusing("behind", {"mailFromDomain": "spam.example"}, "No spam", event="mail"), LOGIN_FIRST),
    (refusing("behind", {"mailFrom": ""}, "No bounces", event="mail"), "No bounces"),
    (refusing("behind", {}, "Nobody", event="mail"), "Nobody"),
    (refusing("behind", {}, "Not %ehloHost%", event="mail"), None),
    (refusing("behind", {"authUser": "", "smtpPort": 25}, "x", match="any", event="mail"), "x"),
    (refusing("behind", {"authUser": "joe", "smtpPort": 25}, "x", match="any", event="mail"), LOGIN_FIRST),
    (refusing("behind", {}, "x", enabled=False, event="mail"), LOGIN_FIRST),
    (refusing("behind", {}, "x", state="absent", event="mail"), LOGIN_FIRST),
    (refusing("behind", {}, "x", event="rcpt"), LOGIN_FIRST),
    (general("behind", {}, {"smtpAction": "accept"}, event="mail"), "nothing"),
    (general("behind", {"remoteSmtpIp": "192.0.2.1"}, {"smtpAction": "accept"}, event="mail"), "nothing"),
    (general("behind", {"remoteSmtpIp": "192.0.2.1", "smtpPort": 25}, {"smtpAction": "accept"}, event="mail"), LOGIN_FIRST),
    (general("behind", {"remoteSmtpIp": "192.0.2.1"}, {"smtpExplanation": "From there"}, event="mail"), None),
    (general("behind", {}, {"smtpAction": "tmpreject"}, event="mail"), "nothing"),
    (general("behind", {}, {"maxRcptCount": 5}, event="mail"), LOGIN_FIRST),
])
def test_what_other_rules_leave_open_is_not_asked_for(more, explanation):
    found = chosen(strict([*STRICT, more]), SUBMISSION, "mail_refused_tls")
    assert found == ([] if explanation == "nothing" else [("mail_refused_tls", {"explanation": explanation})])


def test_a_domain_cannot_be_named_where_mail_is_refused():
    domains = [{"domain": "a.example"}, {"domain": "old.example", "level": "may", "reason": "x"}]
    forced = (ForcedDomain("a.example"), ForcedDomain("old.example", exempt=True))
    for port, found in ((587, []), (25, ["forced_clear", "forced_tls", "other_clear", "other_clear"])):
        of = listener("mx.example.org:%d" % port, forced_domains=forced, other_domain="other.example")
        document = strict(forced_tls_domains=domains)
        assert [name for name in checks(document, of) if name.startswith(("forced", "other"))] == found


def test_a_greater_port_is_understood():
    ports = general("high", {}, {"secureConnAuthTypes": "none"})
    ports["conditions"] = [{"variable": "smtpPort", "test": "greaterThan", "value": 100}]
    assert chosen(strict([ports]), SUBMISSION, "auth_offered_tls") == [("auth_offered_tls", {"mechanisms": []})]
    assert chosen(strict([ports]), RELAY, "auth_offered_tls") == [("auth_offered_tls", {"mechanisms": ["PLAIN"]})]


def test_a_rule_about_where_clients_come_from_leaves_mechanisms_open():
    inside = general("inside", {"remoteSmtpIp": "10.0.0.0/8"}, {"secureConnAuthTypes": "none"})
    assert chosen(strict([inside]), SUBMISSION, *OFFERED) == [("auth_offered_clear", {"mechanisms": []})]


# ---- the whole document, and what is none


def test_what_smtp_info_returns_can_be_expected():
    document = policy_document(Policy(
        listeners=(Listener("0.0.0.0:587", enabled=True, tls="starttls", versions=("TLSv1.2",), ciphers="ECDHE+AESGCM"),),
        starttls=StartTls(True, True),
        rules=(AuthRule("a", "plain", ()), ForcedTlsDomain("b", "a.example", "TLS only")),
    ))
    assert set(document) <= set(declared(document)) | set(UNREAD), "what is not looked at is known, too"
    of = listener("mx.example.org:587", forced_domains=(ForcedDomain("a.example", "TLS only"),))
    found = checks(document, of)
    assert {"starttls_offered", "version", "suites", "auth_offered_clear", "forced_clear", "forced_tls"} <= set(found)


@pytest.mark.parametrize("document, words", [
    (None, "a policy is a dictionary with keys like listeners"),
    ("modern", "a policy is a dictionary"),
    ({"listener": []}, "listener is no part of a policy"),
    ({"rules": [{"name": "x", "conditions": [{"variable": "smtpPorts", "value": 1}], "actions": [{"set": "smtpAction", "value": "reject"}]}]},
     "the policy.rules #1: conditions #1 variable: no variable"),
    ({"rules": ["x"]}, "the policy.rules must be a list of dictionaries"),
    ({"listeners": {}}, "the policy.listeners must be a list of dictionaries"),
    ({"listeners": ["0.0.0.0:25"]}, "the policy.listeners must be a list of dictionaries"),
    ({"listeners": [{"address": "25"}]}, "address must be like"),
    ({"listeners": [{"address": "0.0.0.0:25", "tls": "yes"}]}, "tls must be one of"),
    ({"listeners": [{"address": "0.0.0.0:25", "versions": ["TLSv2"]}]}, "TLSv2"),
    ({"auth_rules": [{"name": "a", "connection": "ssl", "mechanisms": []}]}, "connection must be one of plain, tls"),
    ({"auth_rules": [{"name": "a", "connection": "tls"}]}, "mechanisms"),
    ({"forced_tls_domains": [{"domain": "user@example.com"}]}, "domain"),
    ({"starttls": True}, "the policy.starttls must be a dictionary"),
])
def test_what_is_no_policy_is_refused_before_anything_is_asked(document, words):
    with pytest.raises(ValueError, match=words):
        expected.policy_requirements(document, SUBMISSION)
