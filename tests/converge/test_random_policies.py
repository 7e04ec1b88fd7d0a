# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any policy after any other one, on a running server: with prune exactly the second, without it the first with the second
laid over it. The model below keeps dictionaries and knows nothing of scripts."""

from __future__ import annotations

import copy

import pytest
from mta_process import PASSWORD, SCRIPT, Mta
from postern.rules import relay as engine
from postern.rules.engine import compile_script

from ansible_collections.securemail.smtp.plugins.module_utils._converge import converge
from ansible_collections.securemail.smtp.plugins.module_utils._goal import Edited, Safety
from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.difference import difference
from ansible_collections.securemail.smtp.plugins.module_utils._policy.document import policy_document
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.server import AxigenServer

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

FOREIGN = SCRIPT.replace(b"event onRcptTo {\n}", b"event onRcptTo {\n\tcall (mystery);\n}") + (
    b'\nmethod mystery {\n\tset (neverHeardOf, "yes");\n}\n\nmethod uncalled {\n\tset (neverHeardOf, "no");\n}\n'
)
UNTOUCHED = ["WA_Acceptance_basic", "WA_Routing_basic_delivery", "mystery", "WA_Routing_basic", "uncalled"]

KEYS = [":".join([pair] * 32) for pair in ("A1", "B2")]

# --- documents ----------------------------------------------------------------------------------

switch = st.booleans()
versions = st.sampled_from([["TLSv1.2", "TLSv1.3"], ["TLSv1.3"]])
level = st.sampled_from(["none", "may", "encrypt", "verify", "secure", "fingerprint"])
keys = st.sampled_from([KEYS[:1], KEYS[1:], KEYS])
until = st.sampled_from(["2999-01-31", "2999-12-31"])


def entries(keys, **fields):
    """Lists of entries that say everything; some are to be absent."""
    key, values = keys
    entry = st.fixed_dictionaries({key: st.sampled_from(values), "state": st.sampled_from(["present"] * 5 + ["absent"]), **fields})
    return st.lists(entry, max_size=4, unique_by=lambda entry: entry[key])


GENERAL = {
    "general_one": ("mail", [{"variable": "mailFromDomain", "value": "spam.test"}], "smtpExplanation"),
    "general_two": ("rcpt", [{"variable": "rcptTo", "value": "root@a.test"}], "smtpExplanation"),
    "general_three": ("relay", [{"variable": "authUser", "value": "boss"}], "remoteSmtpHost"),
    "general_four": ("relay", [{"variable": "authUser", "value": "staff"}], "remoteSmtpHost"),
}


def general(entry):
    event, conditions, variable = GENERAL[entry["name"]]
    test = [dict(condition, test="isCase") for condition in conditions]
    actions = [{"set": variable, "value": entry["value"]}]
    told = {name: value for name, value in entry.items() if name != "value"}
    return dict(told, event=event, match="all", conditions=test, actions=actions)


def proof(level):
    """How a peer proves who it is at a level."""
    match = st.sampled_from([["mx.test"], [".mx.test"]]) if level == "secure" else st.just([])
    return st.fixed_dictionaries({"match": match, "fingerprints": keys if level == "fingerprint" else st.just([])})


@st.composite
def relay_rules(draw):
    plain = entries(
        ("name", ["relay_one", "relay_two", "relay_three"]),
        # Any but "may" leaves exceptions for mail that goes out without effect, which is refused.
        level=st.sampled_from(["may"] * 6 + ["encrypt", "verify", "secure", "fingerprint"]),
        versions=versions,
        enabled=switch,
    )
    return [dict(entry, **draw(proof(entry["level"]))) for entry in draw(plain)]


@st.composite
def domains(draw):
    places = st.tuples(
        st.sampled_from(["a.test", "z.test", "b.gov.test", "c.b.gov.test", ".b.gov.test", ".gov.test", "*"]),
        st.sampled_from(["inbound", "outbound"]),
    )
    found = []
    for domain, direction in draw(st.lists(places, max_size=6, unique=True)):
        entry = {"domain": domain, "direction": direction, "enabled": draw(switch)}
        entry["state"] = draw(st.sampled_from(["present"] * 5 + ["absent"]))
        entry["level"] = draw(st.sampled_from(["may", "encrypt"]) if direction == "inbound" else level)
        if domain[0] not in ".*" and entry["level"] == "encrypt" and draw(switch):
            # Together with others of the same kind.
            entry["form"] = "compact"
        if (direction, entry["level"]) == ("inbound", "encrypt"):
            entry["reject_message"] = draw(st.sampled_from(["TLS, please", "No mail in clear"]))
        else:
            entry.update(reason=draw(st.sampled_from(["old gateway", "Umbau, f\u00fcr alle"])), until=draw(until))
        if direction == "outbound" and entry["level"] != "none":
            entry["versions"] = draw(versions)
            entry.update(draw(proof(entry["level"])))
        found.append(entry)
    return found


SECTIONS = {
    "listeners": entries(
        ("address", ["127.0.0.1:2525", "127.0.0.2:2525", "[::1]:2525"]),
        enabled=st.just(False),
        versions=versions,
        idle_timeout=st.sampled_from([60, 600]),
    ),
    "auth_rules": entries(
        ("name", ["auth_one", "auth_two", "auth_three"]),
        connection=st.sampled_from(["plain", "tls"]),
        mechanisms=st.sampled_from([[], ["PLAIN"], ["PLAIN", "LOGIN"]]),
        enabled=switch,
    ),
    "relay_tls": relay_rules(),
    "rules": entries(("name", list(GENERAL)), value=st.sampled_from(["one.test", "two.test"]), enabled=switch).map(
        lambda found: [general(entry) for entry in found]
    ),
    "forced_tls_domains": domains(),
}
relay = st.sampled_from([{"state": "absent"}] + [{"host": host, "port": 587, "tls": "starttls", "level": "encrypt"} for host in ("x.test", "y.test")])
documents = st.fixed_dictionaries({"starttls": st.fixed_dictionaries({"inbound": switch})}, optional=dict(SECTIONS, relay=relay))

# --- the model ----------------------------------------------------------------------------------

KEYS = {
    "listeners": ("address",),
    "auth_rules": ("name",),
    "relay_tls": ("name",),
    "rules": ("name",),
    "forced_tls_domains": ("domain", "direction"),
}


def key_of(section, entry):
    return tuple(entry[name] for name in KEYS[section])


def merged(model, document, prune):
    """What a server has that had ``model`` when somebody asks for a document, entry by entry."""
    found = copy.deepcopy(model)
    for section in SECTIONS:
        listed = document.get(section)
        if listed is None:
            continue
        there = {} if prune else found[section]
        for entry in listed:
            there.pop(key_of(section, entry), None)
            if entry["state"] == "present":
                there[key_of(section, entry)] = entry
        found[section] = there
    return found


def assert_is(policy, model, document):
    """The server's document says what the model says, and rules stand in the order that was promised."""
    for section, entries in model.items():
        there = {key_of(section, entry): entry for entry in policy[section]}
        assert sorted(there) == sorted(entries), section
        for key, entry in entries.items():
            for name, wanted in entry.items():
                if name not in ("state", "form"):
                    assert said(there[key], name) == wanted, (section, key, name)
    order = policy["rule_order"]
    for section in ("auth_rules", "relay_tls", "rules"):
        names = [entry["name"] for entry in document.get(section, ()) if entry["state"] == "present" and entry["enabled"]]
        for names_of_event in order.values():
            listed = [name for name in names if name in names_of_event]
            assert [name for name in names_of_event if name in listed] == listed
    domain_of = {entry["name"]: entry["domain"] for entry in policy["forced_tls_domains"] if entry["form"] == "method"}
    for event in set(order) & {"rcpt", "relay"}:
        names = [name for name in order[event] if name not in UNTOUCHED]
        kinds = [0 if name.startswith("relay_") else 1 if name in GENERAL else 2 for name in names]
        assert kinds == sorted(kinds), names
        special = [domain_of[name] for name in names if name in domain_of]
        for index, domain in enumerate(special):
            assert not any(covers(domain, earlier) for earlier in special[:index]), special


def without_effect(model):
    strict = any(rule["enabled"] and rule["level"] != "may" for rule in model["relay_tls"].values())
    weak = [rule for rule in model["forced_tls_domains"].values() if rule["level"] in ("none", "may")]
    return strict and any(rule["enabled"] and rule["direction"] == "outbound" for rule in weak)


LEVELS = ("none", "may", "encrypt", "verify", "secure", "fingerprint")


def assert_decides(script, model, order, relay):
    """The server's own engine decides what the model says: the domain itself, its parents, every domain, all mail."""
    rules = compile_script(script)
    asked = [model["relay_tls"][(name,)] for name in order["relay"] if (name,) in model["relay_tls"]]
    floor = "encrypt" if any(rule["level"] != "may" for rule in asked) else "none"
    default = [rule for rule in asked if rule["level"] in ("verify", "secure", "fingerprint")][-1:]
    there = {domain: rule for (domain, way), rule in model["forced_tls_domains"].items() if way == "outbound" and rule["enabled"]}
    for domain in ("a.test", "b.gov.test", "c.b.gov.test", "x.c.b.gov.test", "else.test"):
        wider = sorted((name for name in there if covers(name, domain)), key=len, reverse=True)
        decides = [there[name] for name in ([domain] if domain in there else []) + wider] + default
        rule = decides[0] if decides else {"level": "encrypt" if relay else "may", "match": [], "fingerprints": []}
        found = engine.decide(rules, domain, "alice@example.test", "alice")
        assert found.level == max(rule["level"], floor, key=LEVELS.index), (domain, found)
        assert sorted(found.match) == sorted(rule.get("match", ())), (domain, found)
        assert found.fingerprints == tuple(rule.get("fingerprints", ())), (domain, found)


def said(entry, name):
    if name == "level" and entry.get("direction") == "inbound" and entry[name] is None:
        return "encrypt"
    return entry[name]


def covers(domain, other):
    return other != domain and (domain == "*" or (domain[0] == "." and other.endswith(domain)))


# --- a running server ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory, password_hash):
    """A session with a server that nobody else uses."""
    mta = Mta(tmp_path_factory.mktemp("random"), password_hash, FOREIGN)
    mta.start()
    try:
        session = AdminSession("127.0.0.1", mta.port)
        session.login("admin", PASSWORD)
        opened = AxigenServer(session, POSTERN, local=False, reconnect=lambda: session)
        opened.require_outbound()
        yield opened
        opened.close()
    finally:
        mta.stop()


def run(server, document, check=False, **options_):
    wanted, _notices = options.policy_document(dict(copy.deepcopy(document), allow_unsafe=True, **options_))
    outcome = converge(server, Edited(lambda policy: edit.put_document(policy, wanted)), check, Safety(save=False))
    sides = policy_document(outcome.before), policy_document(outcome.after)
    return outcome.changed, outcome.actions, difference(*sides)


def nothing():
    return dict({section: [] for section in SECTIONS}, relay={"state": "absent"}, starttls={"inbound": True})


relaxed = hypothesis.settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    # Minutes of shrinking say less than the failure itself.
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)


@relaxed
@hypothesis.given(first=documents, second=documents, prune=switch)
def test_one_policy_after_another(server, first, second, prune):
    run(server, nothing(), prune=True)
    model = {section: {} for section in SECTIONS}
    for document, pruned in ((first, False), (second, prune)):
        wanted, before = merged(model, document, pruned), server.read().policy
        try:
            predicted = run(server, document, check=True, prune=pruned)
        except PolicyError as refusal:
            # A rule for all mail that leaves an exception without effect; nothing else is wrong with these documents.
            assert "would have no effect" in str(refusal) and without_effect(wanted), refusal
            with pytest.raises(PolicyError):
                run(server, document, prune=pruned)
            assert server.read().policy == before
            return
        assert run(server, document, prune=pruned) == predicted
        changed, actions, diff = predicted
        assert changed is bool(actions) is bool(diff != ("", ""))
        assert run(server, document, prune=pruned) == (False, (), ("", ""))
        model = wanted
        policy = policy_document(server.read().policy)
        assert_is(policy, model, document)
        script = server.read().native.reader.script.text
        assert_decides(script, model, policy["rule_order"], policy["relay"])
        assert policy["starttls"]["inbound"] is document["starttls"]["inbound"]
        assert [rule["name"] for rule in policy["other_rules"]] == UNTOUCHED
    # What was read is a document itself, and says nothing new.
    gathered = {name: value for name, value in policy.items() if name not in ("other_rules", "rule_order")}
    assert run(server, gathered, prune=True) == (False, (), ("", ""))
