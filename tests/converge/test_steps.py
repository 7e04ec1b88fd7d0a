# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module, step by step against a real server.

A step says whether it changes something. It is tried in check mode first: nothing but reading verbs
may reach the server, nothing may change, and the prediction must be what the run then reports. The
same step once more must change nothing, with an empty diff, in check mode too.
"""

from __future__ import annotations

import pytest

READING = {"GET", "USER", "CONFIG", "SHOW", "LIST", "HELP", "BACK", "QUIT", "UPDATE"}
#: These enter a context, a listener's for its HELP; UPDATE SmtpFilters would write.
NAVIGATION = {("UPDATE", "Domain"), ("UPDATE", "Listener")}


def assert_only_read(verbs):
    for verb, subject in verbs:
        assert verb in READING, (verb, subject)
        assert verb != "UPDATE" or (verb, subject) in NAVIGATION, (verb, subject)


class Walk:
    """Runs steps of one module; ``address`` is a listener address that stands for @ in the steps."""

    def __init__(self, mta, run):
        self.mta, self.run = mta, run

    def step(self, module, changed, **parameters):
        before = self.state()
        seen = len(self.mta.verbs())
        predicted = self.run(module, check=True, **parameters)
        assert not predicted.get("failed"), predicted
        assert_only_read(self.mta.verbs()[seen:])
        assert self.state() == before, "check mode changed the server"
        result = self.run(module, **parameters)
        assert not result.get("failed"), result
        assert result["changed"] is changed, result
        assert predicted["changed"] is changed, predicted
        assert predicted["diff"] == result["diff"]
        assert predicted.get("actions") == result.get("actions")
        assert (result["diff"]["before"] != result["diff"]["after"]) is changed, result["diff"]
        seen = len(self.mta.verbs())
        for check in (True, False):
            again = self.run(module, check=check, **parameters)
            assert again["changed"] is False, again
            assert again["diff"]["before"] == again["diff"]["after"]
        sent = self.mta.verbs()[seen:]
        assert_only_read(sent)
        assert "HELP" not in {verb for verb, _subject in sent}, "what is offered matters to a change only"
        return result

    def state(self):
        return self.run("smtp_info")["policy"]


@pytest.fixture
def walk(mta, run):
    return Walk(mta, run)


def test_listener(walk, lab, free_port):
    address = "127.0.0.1:%d" % free_port()

    def step(changed, **parameters):
        return walk.step("smtp_listener", changed, address=address, **parameters)["listener"]

    assert step(True)["tls"] == "none"
    assert step(True, certificate=lab.ecdsa)["tls"] == "starttls"
    assert step(True, versions=["1.2"])["versions"] == ["TLSv1.2"]
    assert step(True, versions=["TLSv1.3", "TLSv1.2"])["versions"] == ["TLSv1.2", "TLSv1.3"]
    assert step(False, versions=["TLSv1.2", "TLSv1.3"])["certificate"] == lab.ecdsa
    assert step(True, ciphers="ECDHE+AESGCM")["ciphers"] == "ECDHE+AESGCM"
    assert step(True, prefer_server_ciphers=False)["prefer_server_ciphers"] is False
    assert step(True, certificate=lab.rsa)["certificate"] == lab.rsa
    assert step(True, ca_file=lab.ca_file)["ca_file"] == lab.ca_file
    assert step(True, dh_params=lab.dh_params)["dh_params"] == lab.dh_params
    assert step(True, dh_params="")["dh_params"] == ""
    assert step(True, request_client_certificate=True)["request_client_certificate"] is True
    assert step(True, tls="implicit")["tls"] == "implicit"
    assert step(True, tls="starttls")["tls"] == "starttls"
    assert step(True, enabled=False)["enabled"] is False
    assert step(True, enabled=True)["enabled"] is True
    limits = {
        "idle_timeout": 120, "max_connections": 50, "max_interval_connections": 100, "interval": 90,
        "peer_max_connections": 5, "peer_max_interval_connections": 30, "peer_interval": 120,
    }
    for name, value in limits.items():
        assert step(True, **{name: value})[name] == value
    assert step(False, **limits)["interval"] == 90
    networks = ["10.0.0.0/8", "192.0.2.1-192.0.2.9"]
    assert step(True, allowed_networks=networks, denied_networks=["0.0.0.0/0"])["allowed_networks"] == networks
    step(False, allowed_networks=networks[::-1])
    assert step(True, allowed_networks=networks[:1])["allowed_networks"] == networks[:1]
    assert step(True, allowed_networks=[], denied_networks=[])["denied_networks"] == []
    assert step(True, tls=False)["tls"] == "none"
    assert step(True, state="absent") == {}
    assert step(False, state="absent") == {}


def test_listener_spelling(walk, free_port):
    port = free_port()
    walk.step("smtp_listener", True, address="[::1]:%d" % port)
    walk.step("smtp_listener", False, address="[0:0:0:0:0:0:0:1]:%d" % port)
    walk.step("smtp_listener", True, address="[0:0::0:1]:%d" % port, state="absent")


def test_tls_of_one_several_and_all(walk, lab, free_port):
    addresses = ["127.0.0.1:%d" % free_port() for _number in range(3)]
    for address in addresses:
        walk.step("smtp_listener", True, address=address, certificate=lab.rsa, versions=["1.2"])

    def step(changed, **parameters):
        result = walk.step("smtp_tls", changed, **parameters)
        return [listener["versions"] for listener in result["listeners"]], result["starttls"]

    assert step(True, listeners=addresses[:1], versions=["1.3"])[0] == [["TLSv1.3"]]
    assert step(False, listeners=addresses[1:], versions=["1.2"])[0] == [["TLSv1.2"]] * 2
    assert step(True, versions=["1.2", "1.3"])[0] == [["TLSv1.2", "TLSv1.3"]] * 3
    walk.step("smtp_tls", True, ciphers="ECDHE+AESGCM")
    walk.step("smtp_tls", True, prefer_server_ciphers=False)
    walk.step("smtp_tls", True, certificate=lab.ecdsa)
    walk.step("smtp_tls", True, ca_file=lab.ca_file, request_client_certificate=True)
    walk.step("smtp_tls", True, listeners=addresses[::2], dh_params=lab.dh_params)
    assert step(True, starttls_inbound=False)[1] == {"inbound": False, "outbound": True}
    assert step(True, starttls_outbound=False)[1] == {"inbound": False, "outbound": False}
    assert step(True, starttls_inbound=True, starttls_outbound=True)[1] == {"inbound": True, "outbound": True}


def test_auth_rule(walk):
    def step(changed, **parameters):
        return walk.step("smtp_auth_rule", changed, **parameters)["rule"]

    plain = {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []}
    tls = {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": ["plain", "scram-sha-256"]}
    assert step(True, **plain) == dict(plain, enabled=True)
    assert sorted(step(True, **tls)["mechanisms"]) == ["PLAIN", "SCRAM-SHA-256"]
    step(False, **(tls | {"mechanisms": "SCRAM-SHA-256, PLAIN"}))
    assert step(True, **(tls | {"mechanisms": ["LOGIN"]}))["mechanisms"] == ["LOGIN"]
    order = walk.state()["rule_order"]["ehlo"]
    assert order == ["WA_Acceptance_basic", "WA_Routing_basic_delivery", plain["name"], tls["name"]]
    step(True, **dict(plain, position="last"))
    assert walk.state()["rule_order"]["ehlo"][2:] == [tls["name"], plain["name"]]
    step(True, **dict(plain, position="first"))
    assert walk.state()["rule_order"]["ehlo"] == order
    step(False, **dict(plain, position={"before": tls["name"]}))
    step(True, **dict(plain, position={"after": tls["name"]}))
    assert walk.state()["rule_order"]["ehlo"][2:] == [tls["name"], plain["name"]]
    assert step(True, **dict(plain, enabled=False))["enabled"] is False
    step(False, **plain)
    assert step(True, **dict(plain, enabled=True))["enabled"] is True
    assert step(True, **(plain | {"connection": "tls"}))["connection"] == "tls"
    assert step(True, name=plain["name"], state="absent") == {}
    assert step(False, name=plain["name"], state="absent") == {}
    step(True, name=tls["name"], state="absent")


def test_absent_gives_the_old_script_back(walk, mta, run):
    run("smtp_auth_rule", name="one", connection="plain", mechanisms=[])
    run("smtp_auth_rule", name="one", state="absent")
    before = mta.script()
    run("smtp_auth_rule", name="two", connection="tls", mechanisms=["PLAIN"])
    run("smtp_forced_tls_domain", domains=["a.test", "b.test"])
    assert mta.script() != before
    run("smtp_forced_tls_domain", domains=["b.test", "a.test"], state="absent")
    run("smtp_auth_rule", name="two", state="absent")
    assert mta.script() == before


def test_forced_tls_domain(walk):
    def step(changed, **parameters):
        return walk.step("smtp_forced_tls_domain", changed, **parameters)["forced_tls_domains"]

    text = "Accepting only secure delivery (STARTTLS) for mydomain.com"
    (rule,) = step(True, domain="mydomain.com", reject_message=text)
    assert rule["name"] == "allow_only_tls_for_mydomain_com"
    assert rule["reject_message"] == text
    step(False, domain="MyDomain.COM.")
    assert step(True, domain="mydomain.com", reject_message="Another text")[0]["reject_message"] == "Another text"
    step(False, domain="mydomain.com")
    assert step(True, domain="mydomain.com", enabled=False)[0]["enabled"] is False
    assert step(True, domain="mydomain.com", enabled=True)[0]["enabled"] is True
    assert step(True, domain="named.test", name="my_own_name")[0]["name"] == "my_own_name"
    # Of a list only what differs is returned.
    assert [rule["domain"] for rule in step(True, domains=["b.test", "a.test", "mydomain.com"])] == ["a.test", "b.test"]
    step(False, domains=["A.test", "b.test.", "", "a.test"])
    step(True, domains=["a.test", "b.test"], state="absent")
    step(False, domains=["a.test", "b.test"], state="absent")
    assert step(True, domain="mydomain.com", state="absent") == []
    assert [rule["domain"] for rule in walk.state()["forced_tls_domains"]] == ["named.test"]


def article(lab, ports):
    return {
        "tls": {"versions": ["TLSv1.2", "TLSv1.3"], "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20", "certificate": lab.ecdsa},
        "listeners": [
            {"address": "127.0.0.1:%d" % ports[0], "tls": "starttls"},
            {"address": "127.0.0.1:%d" % ports[1], "tls": "starttls", "idle_timeout": 200},
            {"address": "127.0.0.1:%d" % ports[2], "tls": "implicit"},
        ],
        "starttls": {"inbound": True, "outbound": True},
        "auth_rules": [
            {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []},
            {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": ["SCRAM-SHA-256", "PLAIN"]},
        ],
        "forced_tls_domains": [
            {"domain": "mydomain.com", "reject_message": "Accepting only secure delivery (STARTTLS) for mydomain.com"},
        ],
    }


def test_policy(walk, lab, free_port):
    ports = [free_port() for _number in range(3)]
    policy = article(lab, ports)

    def step(changed, **parameters):
        return walk.step("smtp_policy", changed, **parameters)["policy"]

    assert len(step(True, **policy)["listeners"]) == 3
    step(True, listeners=[{"address": "127.0.0.1:%d" % ports[0], "versions": ["TLSv1.3"]}])
    step(True, **policy)
    step(True, starttls={"inbound": False})
    step(True, starttls={"inbound": True})
    swapped = step(True, auth_rules=policy["auth_rules"][::-1])
    assert swapped["rule_order"]["ehlo"][2:] == ["enableAUTH_on_SSL", "disableAUTH_on_non_SSL"]
    step(True, **policy)
    step(True, forced_tls_domains=[{"domain": "mydomain.com", "reject_message": "No"}, {"domain": "other.test"}])
    gone = step(
        True,
        listeners=[{"address": "127.0.0.1:%d" % ports[2], "state": "absent"}],
        auth_rules=[{"name": "enableAUTH_on_SSL", "state": "absent"}],
        forced_tls_domains=[{"domain": "mydomain.com", "state": "absent"}],
    )
    assert len(gone["listeners"]) == 2
    assert [rule["name"] for rule in gone["auth_rules"]] == ["disableAUTH_on_non_SSL"]
    assert [rule["domain"] for rule in gone["forced_tls_domains"]] == ["other.test"]


def test_what_was_gathered_can_be_applied(run, lab, free_port):
    run("smtp_policy", **article(lab, [free_port() for _number in range(3)]))
    gathered = run("smtp_info")["policy"]
    sections = ("listeners", "starttls", "auth_rules", "forced_tls_domains")
    again = run("smtp_policy", **{name: gathered[name] for name in sections})
    assert again.get("changed") is False, again


def test_policy_needs_one_session_and_one_commit_chain(mta, run, lab, free_port):
    seen = len(mta.verbs())
    run("smtp_policy", **article(lab, [free_port() for _number in range(3)]))
    verbs = mta.verbs()[seen:]
    assert [verb for verb, _subject in verbs].count("USER") == 1
    assert verbs.count(("UPDATE", "SmtpFilters")) == 1
    # Three listeners, the service and the server.
    assert [verb for verb, _subject in verbs].count("COMMIT") == 5
    assert verbs.count(("SAVE", "CONFIG")) == 1


def test_nothing_is_saved_unless_asked(start_mta, run, mta, free_port):
    run("smtp_listener", address="127.0.0.1:%d" % free_port(), save=False)
    kept = "127.0.0.1:%d" % free_port()
    mta.stop()
    mta.start()
    assert run("smtp_info", admin_port=mta.port)["policy"]["listeners"] == []
    run("smtp_listener", address=kept, admin_port=mta.port)
    mta.stop()
    mta.start()
    (listener,) = run("smtp_info", admin_port=mta.port)["policy"]["listeners"]
    assert listener["address"] == kept


def test_info_query(run, free_port):
    address = "127.0.0.1:%d" % free_port()
    run("smtp_listener", address=address)
    result = run("smtp_info", query="listeners[].address")
    assert result["result"] == [address]
    assert result["changed"] is False
    assert result["dialect"] == "postern"
    bad = run("smtp_info", query="listeners[?")
    assert bad["failed"] and "JMESPath" in bad["msg"]


def test_foreign_rule_is_taken_over_in_place(start_mta, lab):
    """A rule that was made by hand and says the same is recognised; one that says something else is rewritten in place."""
    from mta_process import PASSWORD, SCRIPT, call

    script = SCRIPT.replace(
        b"\tcall (WA_Routing_basic_delivery);\n",
        b"\tcall (WA_Routing_basic_delivery);\n\tcall (By_Hand);\n\tcall (Other);\n",
    ) + b'\nmethod By_Hand {\n\tset ( PlainConnAuthTypes,"none" ) ; # made by hand\n}\n\nmethod Other {\n\tset (maxRcptCount, "50");\n}\n'
    mta = start_mta(script)
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    same = call("smtp_auth_rule", dict(connection, name="By_Hand", connection="plain", mechanisms=[]), False)
    assert same["changed"] is False
    taken = call("smtp_auth_rule", dict(connection, name="Other", connection="tls", mechanisms=["PLAIN"]), False)
    assert taken["changed"] is True
    info = call("smtp_info", connection, False)["policy"]
    assert info["rule_order"]["ehlo"][2:] == ["By_Hand", "Other"]
    assert b"# made by hand" in mta.script()
