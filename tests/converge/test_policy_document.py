# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One document for a whole server: what it prunes and what it does not, in which order, and that it travels."""

from __future__ import annotations

import datetime
import json

import pytest
import yaml
from mta_process import PASSWORD, SCRIPT, Mta, call
from test_steps import assert_only_read

#: A rule that nobody understands, one that nobody calls, and two for one domain that other hands have made.
BY_HAND = SCRIPT.replace(
    b"event onRcptTo {\n}", b"event onRcptTo {\n\tcall (first_twin);\n\tcall (second_twin);\n\tcall (mystery);\n}"
) + b"".join(
    b'\nmethod %s {\n\tif (\n\t\tallOf (\n\t\t\tisCase (isSSLConnection, "no"),\n\t\t\tisCase (rcptDomain, "twin.test")\n\t\t)\n\t) {\n'
    b'\t\tset (smtpAction, "reject");\n\t\tset (smtpExplanation, "%s");\n\t}\n}\n' % (name, text)
    for name, text in ((b"first_twin", b"No"), (b"second_twin", b"Never"))
) + (
    b'\nmethod mystery {\n\tset (neverHeardOf, "yes");\n}\n'
    b'\nmethod uncalled {\n\tset (neverHeardOf, "no");\n}\n'
)

CLOSED = {"name": "no_clear_text", "connection": "plain", "mechanisms": []}
GREETING = {
    "name": "nobody_from_spam",
    "conditions": [{"variable": "mailFromDomain", "value": "spam.test"}],
    "actions": [{"set": "smtpAction", "value": "reject"}, {"set": "smtpExplanation", "value": "Nothing from spam.test"}],
}
#: In the event that relay TLS rules and domains have, so that order matters. Not by level alone: it would be a group.
CAREFUL = {
    "name": "careful",
    "match": "any",
    "conditions": [{"variable": "relayDomain", "value": name} for name in ("bank.test", "insurance.test")],
    "actions": [{"set": "tlsLevel", "value": "verify"}, {"set": "remoteSmtpPort", "value": 2525}],
}
VERSIONS = {"name": "versions", "level": "may", "versions": ["TLSv1.2", "TLSv1.3"]}
EXCEPTION = {"domain": "old.gov.test", "direction": "outbound", "level": "may", "reason": "bis zum Umbau f\u00fcr alle"}
DOMAINS = [
    {"domain": "b.test", "direction": "both"},
    EXCEPTION,
    {"domain": ".gov.test", "direction": "outbound", "level": "verify"},
    {"domain": "*", "direction": "outbound", "level": "encrypt"},
]


def converged(mta, changed=True, **document):
    """The result of a run that did what check mode had said, and that a second run has nothing to add to."""
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    begun = len(mta.verbs())
    predicted = call("smtp_policy", dict(connection, **document), True)
    assert_only_read(mta.verbs()[begun:])
    done = call("smtp_policy", dict(connection, **document), False)
    assert done.get("changed") is changed, done
    assert {name: done[name] for name in ("diff", "actions", "policy")} == {
        name: predicted[name] for name in ("diff", "actions", "policy")
    }
    for check in (True, False):
        again = call("smtp_policy", dict(connection, **document), check)
        assert (again["changed"], again["actions"], again["diff"]) == (False, [], {"before": "", "after": ""}), again
        assert again["policy"] == gathered(mta)
    # What nobody said about a new listener the server decides.
    for planned, found in zip(done["policy"]["listeners"], again["policy"]["listeners"]):
        planned.update({name: value for name, value in found.items() if planned[name] is None})
    assert done["policy"] == again["policy"]
    return done


def gathered(mta):
    return call("smtp_info", {"admin_port": mta.port, "admin_password": PASSWORD}, False)["policy"]


def refused(mta, **document):
    begun = len(mta.verbs())
    for check in (True, False):
        result = call("smtp_policy", dict(document, admin_port=mta.port, admin_password=PASSWORD), check)
        assert result.get("failed"), result
    assert_only_read(mta.verbs()[begun:])
    return result["msg"]


def test_order_of_rules_and_of_what_is_done(start_mta, free_port):
    mta = start_mta(BY_HAND)
    address = "127.0.0.1:%d" % free_port()
    first = converged(mta, relay_tls=[dict(VERSIONS, name="early")], forced_tls_domains=DOMAINS[:1], auth_rules=[CLOSED])
    assert first["policy"]["rule_order"]["relay"] == ["WA_Routing_basic", "early", "allow_only_tls_for_b_test_outbound"]
    done = converged(
        mta,
        listeners=[{"address": address}],
        starttls={"inbound": False},
        auth_rules=[{"name": "tls_only", "connection": "tls", "mechanisms": ["PLAIN"]}, dict(CLOSED, state="absent")],
        rules=[CAREFUL, GREETING],
        relay_tls=[VERSIONS],
        forced_tls_domains=DOMAINS,
    )
    assert done["policy"]["rule_order"]["relay"] == [
        "WA_Routing_basic",
        "early",
        "versions",
        "careful",
        "allow_only_tls_for_every_domain_outbound",
        "allow_only_tls_for_b_test_outbound",
        *(rule["name"] for domain in (".gov.test", "old.gov.test") for rule in named(done, domain)),
    ]
    (exception,) = named(done, "old.gov.test")
    actions = done["actions"]
    kinds = [
        "listener" if " listener " in action
        # What asks for less than before.
        else "loose" if exception["name"] in action or action in ("remove rule no_clear_text", "set STARTTLS inbound to no")
        else "strict"
        for action in actions
    ]
    assert kinds == sorted(kinds, key=["strict", "loose", "listener"].index), actions
    assert kinds.count("loose") == 4 and kinds.count("listener") == 1, actions
    diff = yaml.safe_load(done["diff"]["after"])
    assert sorted(diff) == ["auth_rules", "forced_tls_domains", "listeners", "relay_tls", "rule_order", "rules", "starttls"] or diff
    assert [rule["domain"] for rule in diff["forced_tls_domains"]] == ["*", ".gov.test", "old.gov.test"]


def named(result, domain):
    return [rule for rule in result["policy"]["forced_tls_domains"] if rule["domain"] == domain]


def test_prune(start_mta, free_port):
    mta = start_mta(BY_HAND)
    places = ["127.0.0.1:%d" % free_port() for _number in range(3)]
    before = converged(
        mta,
        listeners=[{"address": place} for place in places],
        auth_rules=[CLOSED, dict(CLOSED, name="extra", connection="tls", enabled=False)],
        rules=[CAREFUL, GREETING],
        relay_tls=[VERSIONS],
        forced_tls_domains=[*DOMAINS, *({"domain": "%s.test" % name, "form": "compact"} for name in "klm")],
    )
    # Each of them needs somebody who means it.
    assert "every enabled listener (%s)" % ", ".join(sorted(places)) in refused(mta, prune=True, listeners=[])
    assert "rule no_clear_text" in refused(mta, prune=["auth_rules"], auth_rules=[])
    assert "give rules: [] to mean none" in refused(mta, prune=["rules"], listeners=[])
    done = converged(
        mta,
        prune=True,
        keep={"listeners": [places[1][:-1] + "?"], "forced_tls_domains": ["k.*"]},
        listeners=[{"address": places[0]}],
        auth_rules=[CLOSED],
        rules=[GREETING],
        forced_tls_domains=[{"domain": "b.test", "direction": "outbound"}, {"domain": "l.test"}],
    )
    policy = done["policy"]
    assert {listener["address"] for listener in policy["listeners"]} >= set(places[:2])
    assert [rule["name"] for rule in policy["auth_rules"] + policy["rules"]] == ["no_clear_text", "nobody_from_spam"]
    # A section that the document does not have is not pruned.
    assert policy["relay_tls"] == before["policy"]["relay_tls"]
    assert sorted((rule["domain"], rule["direction"]) for rule in policy["forced_tls_domains"]) == [
        ("b.test", "outbound"),
        ("k.test", "inbound"),
        ("l.test", "inbound"),
    ]
    everything = {name: [] for name in ("listeners", "auth_rules", "rules", "relay_tls", "forced_tls_domains")}
    left = converged(mta, prune=True, allow_unsafe=True, **everything)["policy"]
    assert {name: left[name] for name in everything} == everything
    assert [rule["name"] for rule in left["other_rules"]] == [
        "WA_Acceptance_basic",
        "WA_Routing_basic_delivery",
        "mystery",
        "WA_Routing_basic",
        "uncalled",
    ]
    assert b"neverHeardOf" in mta.script()


def test_what_was_gathered_is_applied_elsewhere(start_mta, tmp_path, password_hash, free_port, lab):
    """With everything that a policy may have, by way of a YAML file; a second server is equal, and the first one unchanged."""
    source = start_mta(BY_HAND)
    listener = {"certificate": lab.ecdsa, "versions": ["TLSv1.3"], "idle_timeout": 77, "denied_networks": ["192.0.2.0/24"]}
    converged(
        source,
        listeners=[dict(listener, address="127.0.0.1:%d" % free_port(), enabled=False), {"address": "[::1]:%d" % free_port()}],
        starttls={"outbound": True},
        relay={"host": "mx.test", "port": 587, "level": "verify", "username": "us", "password": "our secret 1"},
        auth_rules=[CLOSED, {"name": "idle", "connection": "tls", "mechanisms": ["PLAIN"], "enabled": False}],
        rules=[CAREFUL, GREETING, dict(GREETING, name="idle_too", enabled=False)],
        relay_tls=[VERSIONS],
        forced_tls_domains=[
            *DOMAINS,
            {"domain": "off.test", "enabled": False},
            {"domain": "friend.test", "level": "may", "reason": "no TLS there", "until": "2999-12-31"},
            {"domain": "named.test", "direction": "outbound", "level": "secure", "match": [".mx.test"], "name": "mine"},
            *({"domain": "%s.test" % name, "direction": "both", "form": "compact"} for name in "klm"),
        ],
    )
    policy = gathered(source)
    (tmp_path / "policy.yml").write_text(yaml.safe_dump(policy, allow_unicode=True))
    document = yaml.safe_load((tmp_path / "policy.yml").read_text())
    assert document["other_rules"] and document["rule_order"]
    converged(source, changed=False, prune=True, **document)
    (tmp_path / "other").mkdir()
    other = Mta(tmp_path / "other", password_hash, SCRIPT)
    other.start()
    try:
        assert "password" in refused(other, prune=True, **document)
        document["relay"]["password"] = "our secret 1"
        # A port that the first server listens on is taken.
        for entry in document["listeners"]:
            entry["enabled"] = False
        bank = {"domain": "b.test", "direction": "outbound", "level": "secure", "versions": ["TLSv1.3"], "match": ["mx.test"]}
        converged(other, forced_tls_domains=[bank])
        converged(other, prune=True, **document)
        found = gathered(other)
    finally:
        other.stop()
    for listener in (*policy["listeners"], *found["listeners"]):
        listener["enabled"] = False
    # What nobody understands does not travel.
    assert {name: value for name, value in found.items() if name not in ("other_rules", "rule_order")} == {
        name: value for name, value in policy.items() if name not in ("other_rules", "rule_order")
    }
    # Among domains that have nothing to do with each other there is no order.
    orders = found["rule_order"]["relay"], policy["rule_order"]["relay"]
    assert orders[0][:4] == orders[1][:4] == ["WA_Routing_basic", "versions", "careful", "allow_only_tls_for_every_domain_outbound"]
    assert sorted(orders[0]) == sorted(orders[1])


def test_exceptions_whose_day_is_over(run):
    def document(until, **options):
        return dict(options, forced_tls_domains=[dict(EXCEPTION, until=until), *DOMAINS[2:]])

    today = datetime.date.today()
    yesterday, tomorrow = ((today + datetime.timedelta(days=days)).isoformat() for days in (-1, 1))
    assert not run("smtp_policy", **document(tomorrow, expired_exceptions="fail")).get("warnings")
    for check in (True, False):
        result = run("smtp_policy", check=check, **document(yesterday, expired_exceptions="fail"))
        assert result["failed"] and yesterday in result["msg"] and "bis zum Umbau" in result["msg"]
    warned = run("smtp_policy", **document(yesterday))
    assert warned["changed"] and yesterday in str(warned["warnings"])
    # Whatever the task is about.
    assert yesterday in run("smtp_policy", auth_rules=[CLOSED], expired_exceptions="fail")["msg"]


def test_every_domain_on_a_public_port(shared_run):
    document = {
        "listeners": [{"address": "0.0.0.0:25"}, {"address": "127.0.0.1:25"}],
        "forced_tls_domains": [{"domain": "*"}],
    }
    message = shared_run("smtp_policy", check=True, **document)["msg"]
    assert "0.0.0.0:25" in message and "127.0.0.1" not in message and "3207" in message and "allow_unsafe" in message
    assert shared_run("smtp_policy", check=True, allow_unsafe=True, **document)["changed"]


def test_twenty_of_many_problems(shared_run):
    document = {
        "listeners": [{"address": "host-%d" % number} for number in range(15)],
        "forced_tls_domains": [{"domain": "bad domain %d" % number} for number in range(15)],
        "auth_rules": [CLOSED, dict(CLOSED, connection="tls")],
    }
    result = shared_run("smtp_policy", check=True, **document)
    assert result["msg"].endswith("and 11 more") and len(result["problems"]) == 21, result["msg"]
    document = {"auth_rules": [dict(CLOSED, name="rule_%d" % number) for number in range(5)]}
    document["auth_rules"].append({"name": "RULE_1", "connection": "tls", "mechanisms": ["PLAIN"], "state": "absent"})
    message = shared_run("smtp_policy", check=True, **document)["msg"]
    assert message == "auth_rules #2 and #6 both mean RULE_1 and contradict each other: connection, mechanisms, state"


def test_a_password_is_a_change_that_the_diff_does_not_show(run):
    relay = {"host": "mx.test", "port": 587, "level": "verify", "username": "us", "password": "first"}
    assert run("smtp_policy", relay=relay)["changed"]
    result = run("smtp_policy", relay=dict(relay, password="second"))
    assert (result["changed"], result["actions"]) == (True, ["change relay host mx.test port 587 (password)"])
    assert "second" not in json.dumps(result)


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_weaker_entry_is_written_as_an_exception(direction, shared_run):
    document = [{"domain": ".gov.test", "direction": "both", "level": "verify"}, {"domain": "old.gov.test", "direction": direction}]
    weaker = [document[0], dict(document[1], level="may")]
    assert shared_run("smtp_policy", check=True, forced_tls_domains=document)["changed"]
    message = shared_run("smtp_policy", check=True, forced_tls_domains=weaker)["msg"]
    assert "old.gov.test" in message and ".gov.test" in message and "reason" in message
    weaker[1]["reason"] = "their gateway is old"
    assert shared_run("smtp_policy", check=True, forced_tls_domains=weaker)["changed"]
