# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""General rules: what a stranger sees of them, and that they and the typed modules speak of the same rules."""

from __future__ import annotations

import smtplib

import pytest

REFUSED = {
    "name": "no_spam",
    "conditions": [{"variable": "mailfromdomain", "value": "Spam.Test."}],
    "actions": [
        {"set": "smtpAction", "value": "reject"},
        {"set": "smtpExplanation", "value": "Nothing from %MAILFROMDOMAIN% here"},
    ],
}
LIMITED = {
    "name": "few_recipients",
    "conditions": [{"variable": "remoteSmtpIp", "test": "iprange", "value": ["192.0.2.0/24", "127.0.0.1-127.0.0.9"]}],
    "actions": [{"set": "maxRcptCount", "value": 1}],
}
NO_AUTH = {"name": "no_auth", "conditions": [], "actions": [{"set": "plainConnAuthTypes", "value": "none"}]}
FORCED = {
    "name": "allow_only_tls_for_a_test",
    "conditions": [{"variable": "rcptDomain", "value": "a.test"}, {"variable": "isSSLConnection", "value": False}],
    "actions": [
        {"set": "smtpExplanation", "value": "Accepting only secure delivery (STARTTLS) for a.test"},
        {"set": "smtpAction", "value": "reject"},
    ],
}


def converged(run, **parameters):
    """The result of a run that did what check mode had said, and that a second run has nothing to add to."""
    predicted = run("smtp_rule", check=True, **parameters)
    done = run("smtp_rule", **parameters)
    assert done.get("changed") is True, done
    assert {key: value for key, value in done.items() if key not in ("invocation", "backup_file")} == {
        key: value for key, value in predicted.items() if key not in ("invocation", "backup_file")
    }
    again = run("smtp_rule", **parameters)
    assert (again["changed"], again["actions"]) == (False, []), again
    return done


def test_seen_over_smtp(run, free_port):
    port = free_port()
    assert run("smtp_listener", address="127.0.0.1:%d" % port)["changed"]
    account = {"domain": "here.test", "postmaster_password": "Pm-12345", "account": "user", "password": "Us-12345"}
    assert run("smtp_account", **account)["changed"]
    mailboxes = ("postmaster@here.test", "user@here.test")
    rule = converged(run, **REFUSED)["rule"]
    assert (rule["event"], rule["conditions"]) == (
        "mail",
        [{"variable": "mailFromDomain", "test": "isCase", "value": "spam.test"}],
    )
    done = converged(run, **LIMITED)
    assert (done["rule"]["event"], done["typed"]) == ("ehlo", None)
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as peer:
        peer.ehlo("peer.test")
        assert peer.mail("a@SPAM.test") == (550, b"5.7.1 Nothing from spam.test here")
        assert peer.mail("a@ham.test")[0] == 250
        assert [peer.rcpt(mailbox)[0] for mailbox in mailboxes] == [250, 452]
    assert run("smtp_rule", name="FEW_recipients", state="absent")["actions"] == ["remove rule few_recipients"]
    assert run("smtp_rule", name="no_spam", enabled=False, **{key: REFUSED[key] for key in ("conditions", "actions")})[
        "actions"
    ] == ["disable rule no_spam"]
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as peer:
        peer.ehlo("peer.test")
        assert peer.mail("a@spam.test")[0] == 250
        assert [peer.rcpt(mailbox)[0] for mailbox in mailboxes] == [250, 250]


def test_both_views_are_of_one_rule(run):
    done = run("smtp_auth_rule", name="no_auth", connection="plain", mechanisms=[])
    seen = run("smtp_rule", **NO_AUTH)
    assert (seen["changed"], seen["typed"]) == (False, done["rule"])
    seen = converged(run, **FORCED)
    typed = run("smtp_forced_tls_domain", domain="a.test")
    assert (typed["changed"], seen["typed"]["domain"]) == (False, "a.test")
    # What the general view shows is that view's own input.
    assert run("smtp_rule", **seen["rule"])["changed"] is False
    shown = run("smtp_info", general=True, query="rules_general[].name")
    assert (shown["result"], shown["policy"]["rules"]) == (["no_auth", "allow_only_tls_for_a_test"], [])
    assert shown["rules_general"][1] == seen["rule"]
    # One more condition, and it is no rule of the other module any more; who has the name decides.
    condition = {"variable": "remoteSmtpIp", "value": "127.0.0.1"}
    changed = run("smtp_rule", **dict(FORCED, conditions=[*FORCED["conditions"], condition]))
    assert (changed["typed"], changed["actions"]) == (None, ["change rule allow_only_tls_for_a_test"])
    assert not changed.get("warnings")
    back = run("smtp_forced_tls_domain", domain="a.test")
    assert back["changed"] and "by other hands or by smtp_rule" in str(back["warnings"])
    assert run("smtp_rule", **FORCED)["changed"] is False
    assert run("smtp_rule", name="no_auth", state="absent")["actions"] == ["remove rule no_auth"]


ACCEPTS = [
    ({"conditions": [{"variable": "rcptDomain", "value": "A.test"}]}, "rule allow_only_tls_for_a_test"),
    ({"conditions": [{"variable": "isSSLConnection", "value": "no"}], "event": "rcpt"}, "rules allow_only_tls_for_a_test, many"),
    (
        {"conditions": [{"variable": "rcptDomain", "value": "c.test"}, {"variable": "authUser", "value": ""}], "match": "any"},
        "rule many",
    ),
    # With further conditions it is an exception that somebody means.
    ({"conditions": [{"variable": "rcptDomain", "value": "a.test"}, {"variable": "mailFrom", "value": "x@y.test"}]}, ""),
]


def test_a_rule_that_accepts_what_another_one_rejects_is_told(run):
    run("smtp_forced_tls_domain", domain="a.test")
    many = [{"domain": domain, "form": "compact", "name": "many"} for domain in ("b.test", "c.test")]
    run("smtp_forced_tls_domain", domains=many)
    accept = {"actions": [{"set": "smtpAction", "value": "accept"}], "name": "accepts", "check": True}
    for conditions, expected in ACCEPTS:
        behind = run("smtp_rule", position="last", **conditions, **accept)
        told = "%s without effect: rule accepts stands behind and sets smtpAction to accept" % expected
        assert told in str(behind["warnings"]) if expected else not behind.get("warnings"), behind
        assert not run("smtp_rule", position="first", **conditions, **accept).get("warnings")


def test_where_a_rule_stands(run):
    assert run("smtp_auth_rule", name="no_auth", connection="plain", mechanisms=[])["changed"]
    done = converged(run, **dict(LIMITED, position={"before": "no_auth"}))
    assert done["diff"]["after"]["place"] == {"after": "WA_Routing_basic_delivery", "before": "no_auth"}
    moved = converged(run, **dict(LIMITED, position="last"))
    assert moved["actions"] == ["move rule few_recipients"]
    # Another event, because somebody wants it.
    later = converged(run, **dict(LIMITED, event="onMailFrom"))
    assert later["rule"]["event"] == "mail"
    assert run("smtp_rule", **LIMITED)["changed"] is False


BAD = {
    "conditions": [
        {"variable": "isSSLConection", "value": "no"},
        {"variable": "isSSLConnection", "value": "never"},
        {"variable": "remoteSmtpIp", "value": "192.0.2.1/24"},
        {"variable": "smtpPort", "test": "ipRange", "value": 25},
        {"variable": "smtpAction", "value": "reject"},
        {"variable": "mailFromDomain", "value": ".a.test"},
        {"variable": "ehloHost", "value": None},
    ],
    "actions": [
        {"set": "maxRcptCount", "value": 1001},
        {"set": "smtpAction", "value": "bounce"},
        {"set": "smtpExplanation", "value": 'say "please"'},
        {"set": "smtpExplanation", "value": "100 % sure"},
        {"set": "authUser", "value": "me"},
        {"set": "remoteSmtpPassword", "value": "s3cret"},
        {"call": "addHeader"},
    ],
}
NAMED = (
    'conditions #1 variable: no variable "isSSLConection"; did you mean isSSLConnection',
    'conditions #2 value: isSSLConnection is yes or no; got "never"',
    "conditions #3 value #1 must be like",
    "conditions #4 test: ipRange has no meaning for smtpPort",
    "conditions #5 variable: variable smtpAction can be set and not tested",
    'conditions #6 value: no domain equals .a.test; test: isSubdomainOf with "a.test"',
    "conditions #7 value must be a text; got nothing",
    "actions #1 value: maxRcptCount is a whole number from 0 to 1000; got 1001",
    "actions #2 value: smtpAction is one of accept, reject, tmpreject",
    "actions #3 value must be printable ASCII text on one line without double quotes",
    "actions #4 value: a percent sign stands around",
    "actions #5 set: variable authUser can be tested and not set",
    "actions #6 set: variable remoteSmtpPassword is none of a general rule",
    "actions #7 call: no public document names",
)


@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_named_whole_and_the_server_is_not_asked(shared_mta, shared_run, check):
    before = len(shared_mta.verbs())
    refused = shared_run("smtp_rule", check=check, name="bad", **BAD)
    assert refused["failed"] and len(refused["problems"]) == len(NAMED)
    for said, expected in zip(refused["problems"], NAMED):
        assert said.startswith(expected), said
    assert len(shared_mta.verbs()) == before


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (
            {"conditions": [{"variable": "ehloHost", "value": "x"}], "actions": [{"set": "remoteSmtpHost", "value": "mx.test"}]},
            "no event of a mail transaction has all of it: ehloHost is known in ehlo",
        ),
        ({"conditions": [], "actions": [{"call": "checkSPF"}]}, "this server does not have checkSPF"),
        ({"conditions": [], "actions": [{"set": "remoteSmtpHost", "value": "mx.test"}]}, "relay host is the one for all mail"),
        ({"conditions": [], "actions": [{"set": "allowStartTLS", "value": False}]}, "STARTTLS inbound cannot be set to yes"),
        ({"conditions": [], "actions": [{"set": "smtpAction", "value": "reject"}], "name": "WA_mine"}, "belongs to the server"),
        ({"conditions": [], "actions": [{"set": "smtpAction", "value": "reject"}], "name": "checkSPF"}, "predefined method"),
        ({"conditions": [], "actions": [{"set": "smtpGreeting", "value": "hi"}], "event": "rcpt"}, "it can run in connect"),
        ({"state": "absent", "name": "WA_Routing_basic"}, "belongs to the server"),
    ],
)
def test_what_the_server_cannot_hold_is_refused_before_anything_is_written(shared_mta, shared_run, parameters, reason):
    for check in (True, False):
        refused = shared_run("smtp_rule", check=check, **dict({"name": "mine"}, **parameters))
        assert refused.get("failed") and reason in refused["msg"], refused
    assert not [verb for verb, _object in shared_mta.verbs() if verb == "COMMIT"]


HAND = b"""event onRcptTo {
\tcall (Greylist);
\tcall (Strange);
}

method Greylist {
\tif (anyOf (isCase (ehloHost, "[192.0.2.1]"), greaterThan (remoteSmtpPort, "1024"))) {
\t\tset (smtpAction, "TMPREJECT");
\t}
}

method Strange {
\tset (smtpAction, "accept");
\tset (mine, "1");
}
"""


def test_rules_made_by_hand(start_mta, runner):
    run = runner(start_mta(HAND))
    (rule,) = run("smtp_info")["policy"]["rules"]
    assert (rule["name"], rule["event"], rule["match"]) == ("Greylist", "rcpt", "any")
    # It stays where it was made, although it could run as soon as there is a name.
    assert run("smtp_rule", **rule)["changed"] is False
    assert run("smtp_rule", **{key: rule[key] for key in ("name", "match", "conditions", "actions")})["changed"] is False
    assert "not understood" in run("smtp_rule", name="Strange", state="absent")["msg"]
    assert run("smtp_rule", name="greylist", state="absent")["actions"] == ["remove rule Greylist"]
    taken = run("smtp_rule", name="Strange", conditions=[], actions=[{"set": "smtpAction", "value": "accept"}])
    assert taken["actions"] == ["change rule Strange"] and "is not understood" in str(taken["warnings"])


def test_what_shuts_the_internet_out_is_told_and_a_task_for_everything_refuses_it(run, shared_run):
    clear = {"conditions": [{"variable": "isSSLConnection", "value": "no"}], "actions": [{"set": "smtpAction", "value": "reject"}]}
    every = {"conditions": [], "actions": [{"set": "tlsLevel", "value": "encrypt"}, {"set": "tlsExplanation", "value": "TLS"}]}
    document = {"listeners": [{"address": "0.0.0.0:25"}], "rules": [dict(clear, name="closed")]}
    message = shared_run("smtp_policy", check=True, **document)["msg"]
    assert message.startswith("rule closed: listener 0.0.0.0:25 on port 25") and "3207" in message and "allow_unsafe" in message
    for rule in (clear, every):
        result = run("smtp_rule", name="closed", **rule)
        assert result["changed"] and "3207" not in str(result.get("warnings")), result
        warned = run("smtp_listener", check=True, address="0.0.0.0:25")
        assert warned["changed"] and "listener 0.0.0.0:25 on port 25" in str(warned["warnings"]), warned
        assert "warnings" not in run("smtp_listener", check=True, address="127.0.0.1:25")
