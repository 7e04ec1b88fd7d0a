# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail that goes out: modules against a real server, and what that server's own engine makes of the script."""

from __future__ import annotations

import base64
import json

import pytest
from ansible.module_utils.basic import AnsibleModule
from mta_process import PASSWORD, SCRIPT, Mta, call, play
from postern.rules import relay as engine
from postern.rules.engine import compile_script
from test_steps import Walk, assert_only_read

#: Rules that other hands made, with comments and a layout of their own.
FOREIGN = SCRIPT.replace(
    b"event onRelay {\n\tcall (WA_Routing_basic);\n}\n",
    b"event onRelay {\n\tcall (WA_Routing_basic);\n\t# the archive's route } {\n\tcall ( By_Hand ) ;\n}\n",
) + (
    b"\n# do not touch\nmethod By_Hand {\n"
    b'  if ( anyOf ( isCase(mailFromDomain,"archive.test") ) ) { set(maxDataSize, "10") ; } # as it was\n'
    b"}\n"
)
RULE = {"name": "use_only_tls11_and_12_when_relaying", "level": "encrypt", "versions": ["TLSv1.1", "TLSv1.2"]}
SECRET = 'Re-9 "x" %authUser% }#\\'
RELAY = {
    "host": "smarthost.example.net",
    "port": 587,
    "level": "verify",
    "username": "relay@example.test",
    "password": SECRET,
}
BANK = {"domain": "bank.test", "direction": "outbound"}
HOST = {"host": "smarthost.test", "port": 587}


@pytest.fixture
def walk(mta, run):
    return Walk(mta, run)


def decided(mta, domain="partner.test", sender="alice@example.test"):
    """How the server sends mail to a domain, as its own engine reads the script."""
    return engine.decide(compile_script(mta.script().decode()), domain, sender, "alice")


@pytest.fixture
def warned(monkeypatch):
    """What modules warned about since the last call. Ansible itself keeps the warnings of the whole process."""
    shown = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning, **options: shown.append(warning))

    def taken():
        text, shown[:] = "; ".join(shown), []
        return text

    return taken


def plain(name, versions=None, level="may"):
    return {"name": name, "level": level, "versions": versions}


# --- rules for all mail ---------------------------------------------------------------------------


def test_relay_tls(walk, mta, run):
    def step(changed, **parameters):
        return walk.step("smtp_relay_tls", changed, **parameters)["rule"]

    before = mta_script(mta, run)
    assert step(True, **RULE) == dict(RULE, match=[], fingerprints=[], enabled=True)
    assert decided(mta).level == "encrypt"
    assert decided(mta).versions == ("TLSv1.1", "TLSv1.2")
    assert step(True, **(RULE | {"versions": ["1.2", "1.3"]}))["versions"] == ["TLSv1.2", "TLSv1.3"]
    step(False, name=RULE["name"], level="ENCRYPT")
    assert step(True, name=RULE["name"], level="encrypt", versions=[])["versions"] == []
    assert decided(mta).versions == ("TLSv1.2", "TLSv1.3")
    step(True, **(RULE | {"versions": ["1.2", "1.3"]}))
    assert step(True, name=RULE["name"], level="may")["level"] == "may"
    assert (decided(mta).level, decided(mta).versions) == ("may", ("TLSv1.2", "TLSv1.3"))
    assert step(True, name="second", level="encrypt", versions=["1.3"])["versions"] == ["TLSv1.3"]
    assert walk.state()["rule_order"]["relay"] == ["WA_Routing_basic", RULE["name"], "second"]
    step(True, name="second", level="encrypt", position="first")
    assert walk.state()["rule_order"]["relay"] == ["WA_Routing_basic", "second", RULE["name"]]
    step(False, name="second", level="encrypt", position={"before": RULE["name"]})
    step(True, name="second", level="encrypt", position={"after": RULE["name"]})
    assert decided(mta).versions == ("TLSv1.3",)
    assert step(True, name="second", level="encrypt", enabled=False)["enabled"] is False
    assert decided(mta).level == "may"
    assert step(True, name="second", level="encrypt", enabled=True)["enabled"] is True
    assert step(True, name="second", state="absent") == {}
    step(True, name=RULE["name"], state="absent")
    step(False, name=RULE["name"], state="absent")
    assert mta.script() == before


def mta_script(mta, run):
    """The script as the server saves it: by a task that changes and restores something."""
    run("smtp_auth_rule", name="made", connection="plain", mechanisms=[])
    run("smtp_auth_rule", name="made", state="absent")
    return mta.script()


def test_article_rule_as_the_article_shows_it(mta, run):
    assert run("smtp_relay_tls", **RULE)["changed"] is True
    assert (
        b"method use_only_tls11_and_12_when_relaying {\n"
        b'\tset (sslEnabled, "yes");\n\tset (allowedSSLVersions, "tls11 tls12 ");\n}\n'
    ) in mta.script()
    assert b"\tcall (WA_Routing_basic);\n\tcall (use_only_tls11_and_12_when_relaying);\n" in mta.script()


def test_later_rule_that_decides_is_named(run, warned):
    run("smtp_relay_tls", name="one", level="may", versions=["1.2"])
    assert warned() == ""
    run("smtp_relay_tls", name="two", level="may", versions=["1.3"])
    assert warned() == "rule one: its versions have no effect, because two stands behind it and sets allowedSSLVersions"
    assert run("smtp_relay_tls", name="two", level="may", versions=["1.3"])["changed"] is False
    assert warned() == ""


# --- single domains -------------------------------------------------------------------------------


def test_outbound_domain(walk, mta):
    def step(changed, **parameters):
        result = walk.step("smtp_forced_tls_domain", changed, **dict({"direction": "outbound"}, **parameters))
        return result["forced_tls_domains"]

    (rule,) = step(True, domain="partner.test")
    assert (rule["name"], rule["level"]) == ("allow_only_tls_for_partner_test_outbound", "encrypt")
    assert decided(mta).level == "encrypt"
    assert decided(mta, "PARTNER.test").level == "encrypt"
    assert decided(mta, "sub.partner.test").level == decided(mta, "other.test").level == "may"
    step(False, domain="Partner.TEST.", level="encrypt")
    assert step(True, domain="partner.test", level="verify")[0]["level"] == "verify"
    assert step(True, domain="partner.test", versions=["1.3"])[0]["versions"] == ["TLSv1.3"]
    assert decided(mta).versions == ("TLSv1.3",)
    (rule,) = step(True, domain="partner.test", level="secure", match=["mx.partner.test", ".partner.test"])
    assert sorted(rule["match"]) == [".partner.test", "mx.partner.test"]
    assert sorted(decided(mta).match) == [".partner.test", "mx.partner.test"]
    step(False, domain="partner.test")
    assert step(True, domain="partner.test", enabled=False)[0]["enabled"] is False
    assert decided(mta).level == "may"
    step(True, domain="partner.test", enabled=True)
    assert len(step(True, domains=["a.test", "b.test", "b\u00fccher.test"])) == 3
    assert decided(mta, "xn--bcher-kva.test").level == "encrypt"
    step(True, domains=["a.test", "b.test", "b\u00fccher.test"], state="absent")
    assert step(True, domain="partner.test", state="absent") == []
    step(False, domain="partner.test", state="absent")


def test_both_directions(walk, mta):
    def step(changed, **parameters):
        result = walk.step("smtp_forced_tls_domain", changed, domain="partner.test", **parameters)
        return {rule["direction"]: rule["name"] for rule in result["forced_tls_domains"]}

    names = {"inbound": "partner", "outbound": "partner_outbound"}
    assert step(True, direction="both", name="partner") == names
    assert step(False, direction="inbound") == names
    assert step(False, direction="outbound") == names
    assert step(True, direction="inbound", state="absent") == {"outbound": "partner_outbound"}
    assert decided(mta).level == "encrypt"
    assert step(True, direction="both", name="partner") == names
    assert step(True, direction="both", state="absent") == {}


def test_general_rules_stand_before_single_domains(run, walk, mta, warned):
    run("smtp_forced_tls_domain", domain="partner.test", direction="outbound", versions=["1.3"])
    run("smtp_relay_tls", name="general", level="may", versions=["1.2"])
    assert walk.state()["rule_order"]["relay"] == [
        "WA_Routing_basic", "general", "allow_only_tls_for_partner_test_outbound",
    ]
    assert decided(mta).versions == ("TLSv1.3",)
    assert decided(mta, "other.test").versions == ("TLSv1.2",)
    assert warned() == ""
    run("smtp_relay_tls", name="general", level="may", position="last")
    assert "allow_only_tls_for_partner_test_outbound: its versions have no effect, because general" in warned()


def test_many_domains_in_one_visit(run, mta):
    domains = ["d%d.test" % number for number in range(2000)]
    seen = len(mta.verbs())
    assert run("smtp_forced_tls_domain", domains=domains, direction="outbound")["changed"] is True
    verbs = mta.verbs()[seen:]
    assert verbs.count(("UPDATE", "SmtpFilters")) == 1
    assert run("smtp_forced_tls_domain", domains=domains[::-1], direction="outbound")["changed"] is False
    assert decided(mta, "d1999.test").level == "encrypt"


def test_local_domains_are_looked_up_only_for_rules_about_them(run, mta):
    seen = len(mta.verbs())
    run("smtp_relay_tls", **RULE)
    run("smtp_forced_tls_domain", domain="partner.test")
    assert "LIST" not in [verb for verb, _subject in mta.verbs()[seen:]]
    seen = len(mta.verbs())
    run("smtp_forced_tls_domain", domain="partner.test", direction="outbound", check=True)
    assert [verb for verb, _subject in mta.verbs()[seen:]].count("LIST") == 1


# --- relay host -----------------------------------------------------------------------------------


def test_relay_host(walk, mta, run):
    before = mta_script(mta, run)

    def step(changed, **relay):
        return walk.step("smtp_policy", changed, relay=relay)["policy"]["relay"]

    assert step(True, **RELAY) == {
        "host": "smarthost.example.net", "port": 587, "tls": "starttls", "level": "verify",
        "username": "relay@example.test", "allow_clear_text_login": False,
    }
    assert decided(mta) == engine.Relay(
        "verify", ("TLSv1.2", "TLSv1.3"), (), "smarthost.example.net", 587, False, "relay@example.test", SECRET
    )
    # The password is kept where it is not given, and setting the same one is no change.
    step(False, host="Smarthost.Example.Net.", port=587)
    step(False, **RELAY)
    assert step(True, **(RELAY | {"level": "secure"}))["level"] == "secure"
    assert step(True, **(RELAY | {"username": "other"}))["username"] == "other"
    assert decided(mta).password == SECRET
    implicit = {"host": "192.0.2.7", "port": 465, "level": "encrypt"}
    assert step(True, **implicit)["tls"] == "implicit"
    assert decided(mta) == engine.Relay("encrypt", ("TLSv1.2", "TLSv1.3"), (), "192.0.2.7", 465, True)
    assert b"Password" not in mta.script()
    step(True, host="2001:DB8::0:7", port=2525, level="none", username="u", password="p", allow_clear_text_login=True)
    assert decided(mta).host == "2001:db8::7"
    assert decided(mta).clear_login is True
    assert step(True, state="absent") is None
    step(False, state="absent")
    assert mta.script() == before


def test_new_password_is_a_change_that_shows_nothing(run, mta):
    run("smtp_policy", relay=RELAY)
    new = dict(RELAY, password="Other-\u00fc-4711")
    for check in (True, False):
        result = run("smtp_policy", relay=new, check=check)
        assert result["changed"] is True
        assert result["actions"] == ["change relay host smarthost.example.net port 587 (password)"]
        assert "4711" not in result.output
    assert run("smtp_policy", relay=new)["changed"] is False
    assert decided(mta).password == "Other-\u00fc-4711"


def test_password_by_hand_in_plain_text_is_no_difference(start_mta):
    mta = start_mta(
        SCRIPT.replace(
            b"method WA_Routing_basic {\n",
            b'method WA_Routing_basic {\n\tset (remoteSmtpHost, "[192.0.2.9]");\n\tset (REMOTESMTPUSER, "u");\n'
            b'\tset (remoteSmtpPassword, "by-hand-77");\n\tset (tlsLevel, "encrypt");\n',
        )
    )
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    wanted = {"host": "192.0.2.9", "port": 25, "username": "u", "level": "encrypt"}
    same = call("smtp_policy", dict(connection, relay=dict(wanted, password="by-hand-77")), False)
    assert same["changed"] is False, same
    assert call("smtp_policy", dict(connection, relay=wanted), False)["changed"] is False
    other = call("smtp_policy", dict(connection, relay=dict(wanted, password="x")), False)
    assert other["changed"] is True
    assert b"by-hand-77" not in mta.script()
    assert "by-hand-77" not in json.dumps(call("smtp_info", connection, False))


def test_basic_settings_that_are_missing_are_made(start_mta):
    """A script with nothing in it gets the method that holds a relay host, called before every rule."""
    mta = start_mta(b"# empty\n")
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    document = {
        "starttls": {"inbound": False, "outbound": True},
        "relay": RELAY,
        "relay_tls": [plain("versions", ["1.2", "1.3"])],
        "forced_tls_domains": [{"domain": "partner.test", "direction": "outbound", "level": "secure"}],
    }
    predicted = call("smtp_policy", dict(connection, **document), True)
    result = call("smtp_policy", dict(connection, **document), False)
    assert result.get("changed") is True, result
    assert predicted["diff"] == result["diff"]
    assert result["policy"]["rule_order"]["relay"] == [
        "WA_Routing_basic", "versions", "allow_only_tls_for_partner_test_outbound",
    ]
    again = call("smtp_policy", dict(connection, **document), False)
    assert again["changed"] is False, again
    assert (decided(mta).level, decided(mta, "other.test").level) == ("secure", "verify")


def test_weaker_level_for_one_domain_is_named(run, warned):
    run("smtp_policy", relay=dict(RELAY, level="secure"))
    assert warned() == ""
    run("smtp_forced_tls_domain", domain="partner.test", direction="outbound", level="encrypt", check=True)
    named = "partner.test goes to the relay host at level encrypt, weaker than the relay host's own level secure"
    assert named in warned()


def test_names_that_the_relay_host_does_not_have_are_named(run, warned):
    run("smtp_policy", relay=RELAY)
    domain = {"domain": "partner.test", "direction": "outbound", "level": "secure", "check": True}
    run("smtp_forced_tls_domain", **domain, match=[RELAY["host"]])
    assert "waits unless" not in warned()
    run("smtp_forced_tls_domain", **domain, match=[".partner.test", "other.test"])
    assert "waits unless the certificate there is for .partner.test or other.test" in warned()


def test_what_was_gathered_can_be_applied(run, mta):
    run("smtp_policy", relay=RELAY, relay_tls=[RULE, plain("off", ["1.3"]) | {"enabled": False}])
    secure = {"level": "secure", "match": [".partner.test"], "versions": ["1.3"]}
    domains = [
        dict(secure, domain="partner.test", direction="both"),
        {"domain": "other.test", "direction": "outbound", "level": "verify"},
    ]
    assert run("smtp_policy", forced_tls_domains=domains)["changed"] is True
    before = mta.script()
    gathered = run("smtp_info")["policy"]
    sections = ("starttls", "relay", "auth_rules", "relay_tls", "forced_tls_domains")
    again = run("smtp_policy", **{name: gathered[name] for name in sections if gathered[name] is not None})
    assert again.get("changed") is False, again
    assert mta.script() == before


# --- what other hands made ------------------------------------------------------------------------


def test_foreign_content_stays(start_mta):
    mta = start_mta(FOREIGN)
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}

    def run(module, **parameters):
        result = call(module, dict(connection, **parameters), False)
        assert result.get("changed") is True, result

    run("smtp_relay_tls", **RULE)
    run("smtp_forced_tls_domain", domain="partner.test", direction="outbound")
    run("smtp_policy", relay=RELAY)
    with_all = mta.script()
    assert FOREIGN[FOREIGN.index(b"\n# do not touch"):FOREIGN.index(b"# as it was\n")] in with_all
    assert b"\t# the archive's route } {\n\tcall ( By_Hand ) ;\n" in with_all
    run("smtp_policy", relay={"state": "absent"})
    run("smtp_forced_tls_domain", domain="partner.test", direction="outbound", state="absent")
    run("smtp_relay_tls", name=RULE["name"], state="absent")
    assert mta.script() == FOREIGN


def test_same_rule_by_hand_is_recognised(start_mta):
    mta = start_mta(
        FOREIGN.replace(b"call ( By_Hand ) ;", b"call (By_Hand);\n\tcall (Bank);\n\tcall (All);")
        + b"\nmethod Bank { if ( isCase (RELAYDOMAIN, \"Bank.TEST\") ) {"
        + b' set (TLSlevel, "Secure"); set (tlsMatch, ".bank.test"); } }\n'
        + b'method All { set (allowedSSLVersions, "tls13 tls12"); set (allowStartTLS, "Yes"); }\n'
    )
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    policy = call("smtp_info", connection, False)["policy"]
    assert [(rule["name"], rule["match"]) for rule in policy["forced_tls_domains"]] == [("Bank", [".bank.test"])]
    assert [(rule["name"], rule["versions"]) for rule in policy["relay_tls"]] == [("All", ["TLSv1.2", "TLSv1.3"])]
    for module, parameters in (
        ("smtp_relay_tls", {"name": "all", "level": "may", "versions": ["1.2", "1.3"]}),
        ("smtp_forced_tls_domain", dict(BANK, level="secure", match=[".bank.test"])),
    ):
        result = call(module, dict(connection, **parameters), False)
        assert result["changed"] is False, result


# --- bad input ------------------------------------------------------------------------------------

# Module, parameters, and parts of the message.
REFUSED = [
    ("smtp_relay_tls", {"name": "r", "level": "always"}, ["level", "always", "may", "encrypt"]),
    ("smtp_relay_tls", {"name": "r", "level": "dane"}, ["TLS level dane comes later", "this server has none, may"]),
    ("smtp_relay_tls", {"name": "r", "level": "required"}, ["required", "encrypt"]),
    ("smtp_relay_tls", {"name": "r", "level": "verify", "match": ["x.test"]}, ["match has a meaning with level: secure only"]),
    ("smtp_relay_tls", {"name": "r", "level": "may", "versions": ["1.1", "1.3"]}, ["gap", "TLSv1.2"]),
    ("smtp_relay_tls", {"name": "r", "level": "may", "versions": ["SSLv3"]}, ["SSLv3", "7568"]),
    ("smtp_relay_tls", {"name": "WA_x", "level": "may"}, ["WA_"]),
    ("smtp_relay_tls", {"name": "By_Hand", "state": "absent"}, ["By_Hand", "not understood"]),
    ("smtp_relay_tls", {"name": "r", "level": "may", "position": {"after": "nobody"}}, ["nobody"]),
    ("smtp_forced_tls_domain", dict(BANK, level="fingerprint"), ["level: fingerprint needs fingerprints", "for bank.test has none"]),
    ("smtp_forced_tls_domain", dict(BANK, level="dane"), ["TLS level dane comes later", "encrypt, verify, secure"]),
    ("smtp_forced_tls_domain", dict(BANK, level="dane-only"), ["TLS level dane-only comes later"]),
    ("smtp_forced_tls_domain", dict(BANK, level="mta-sts"), ["TLS level mta-sts comes later"]),
    ("smtp_forced_tls_domain", dict(BANK, direction="both", level="dane"), ["TLS level dane comes later"]),
    ("smtp_forced_tls_domain", dict(BANK, level="may"), ["level", "may"]),
    ("smtp_forced_tls_domain", dict(BANK, versions=["1.0", "1.2"]), ["gap", "TLSv1.1"]),
    ("smtp_forced_tls_domain", dict(BANK, level="verify", match=["x.test"]), ["match", "secure"]),
    (
        "smtp_forced_tls_domain",
        dict(BANK, domain="Local.Test."),
        ["local.test is a domain of this server", "delivered here", "direction: inbound"],
    ),
    ("smtp_forced_tls_domain", dict(BANK, domain="local.test", direction="both"), ["local.test", "delivered here"]),
    (
        "smtp_policy",
        {"forced_tls_domains": [dict(BANK, level="dane"), dict(BANK, domain="local.test")]},
        ["TLS level dane comes later", "local.test is a domain of this server"],
    ),
    ("smtp_policy", {"relay": {"host": "smarthost.test"}}, ["relay.port", "missing"]),
    ("smtp_policy", {"relay": {"port": 25}}, ["relay.host"]),
    ("smtp_policy", {"relay": dict(HOST, host="smarthost.test:587")}, ["host", "port: 587"]),
    ("smtp_policy", {"relay": dict(HOST, port=70000)}, ["port", "65535"]),
    ("smtp_policy", {"relay": dict(HOST, level="dane")}, ["level", "dane"]),
    ("smtp_policy", {"relay": dict(HOST, level="may", username="u", password="pw-77")}, ["clear text", "encrypt"]),
    ("smtp_policy", {"relay": dict(HOST, username="u")}, ["password", "u"]),
    ("smtp_policy", {"relay": dict(HOST, password="pw-77")}, ["username"]),
    ("smtp_policy", {"relay": dict(HOST, username='u"', password="pw-77")}, ["username", "double quote"]),
    ("smtp_policy", {"relay": dict(HOST, username="%mailFrom%", password="pw-77")}, ["username", "percent sign"]),
    ("smtp_policy", {"starttls": {"outbound": False}, "relay_tls": [plain("r")]}, ["outbound is off", "rule r"]),
]


@pytest.fixture(scope="module")
def steady(tmp_path_factory, password_hash):
    """A server with rules by other hands and one domain of its own, which no test may change."""
    mta = Mta(tmp_path_factory.mktemp("relay"), password_hash, FOREIGN)
    mta.start()
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    made = call("smtp_account", dict(connection, domain="local.test", postmaster_password="Pm-12345"), False)
    assert made["changed"] is True, made
    yield mta
    mta.stop()


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
@pytest.mark.parametrize(
    "module, parameters, parts", REFUSED, ids=["%s-%d" % (row[0], at) for at, row in enumerate(REFUSED)]
)
def test_refused(module, parameters, parts, check, steady):
    seen = len(steady.verbs())
    connection = {"admin_port": steady.port, "admin_password": PASSWORD}
    result = call(module, dict(connection, **parameters), check)
    assert result.get("failed"), result
    for part in parts:
        assert part in result["msg"], result["msg"]
    assert "Traceback" not in result.output
    assert "pw-77" not in result["msg"]
    assert_only_read(steady.verbs()[seen:])
    assert steady.script() == FOREIGN


def test_disabled_rule_for_a_local_domain_is_nobody_s_trap(steady):
    """A rule that forces nothing may stand there, and an old one can always be taken away."""
    connection = {"admin_port": steady.port, "admin_password": PASSWORD}
    wish = dict(connection, domain="local.test", direction="outbound")
    assert call("smtp_forced_tls_domain", dict(wish, enabled=False), True)["changed"] is True
    assert call("smtp_forced_tls_domain", dict(wish, state="absent"), True)["changed"] is False


# --- a server whose names are not known -------------------------------------------------------------


@pytest.mark.parametrize(
    "module, parameters, parts",
    [
        ("smtp_relay_tls", {"name": "r", "level": "encrypt"}, ["sslEnabled", "axigen", "WebAdmin", "Level may"]),
        (
            "smtp_relay_tls",
            {"name": "r", "level": "fingerprint", "fingerprints": ["a1" * 32]},
            ["write rule r (level fingerprint)", "axigen", "names (match) and fingerprints", "can hold level may"],
        ),
        ("smtp_forced_tls_domain", BANK, ["axigen", "domain of the recipient"]),
        ("smtp_forced_tls_domain", dict(BANK, state="absent"), ["axigen", "domain of the recipient"]),
        ("smtp_policy", {"relay": dict(HOST, level="encrypt")}, ["axigen", "TLS level", "Host and port alone"]),
        (
            "smtp_policy",
            {"relay": dict(HOST, tls="implicit", username="u", password="pw-77")},
            ["the TLS level, implicit TLS, the user name, the password"],
        ),
    ],
)
def test_unknown_names_are_refused(module, parameters, parts, steady):
    connection = {"admin_port": steady.port, "admin_password": PASSWORD, "dialect": "axigen"}
    result = call(module, dict(connection, **parameters), False)
    assert result.get("failed"), result
    for part in parts:
        assert part in result["msg"], result["msg"]
    assert "pw-77" not in result["msg"]
    assert steady.script() == FOREIGN


def test_known_names_are_written(run, mta):
    def step(module, **parameters):
        for check in (True, False):
            result = run(module, check=check, dialect="axigen", **parameters)
            assert result.get("changed") is True, result
        assert run(module, dialect="axigen", **parameters)["changed"] is False
        return result

    step("smtp_relay_tls", name="versions", level="may", versions=["1.2"])
    assert decided(mta).versions == ("TLSv1.2",)
    relay = step("smtp_policy", relay=HOST)["policy"]["relay"]
    assert (relay["host"], relay["port"], relay["level"], relay["tls"]) == ("smarthost.test", 587, "may", "starttls")
    assert (decided(mta).host, decided(mta).port) == ("smarthost.test", 587)
    step("smtp_policy", relay={"state": "absent"})
    step("smtp_relay_tls", name="versions", state="absent")


# --- settings that another rule decides -------------------------------------------------------------


def test_setting_that_a_rule_behind_it_decides_is_refused(start_mta):
    late = b'method Late { set (remoteSmtpHost, "late.test"); set (allowStartTLS, "no"); }\n'
    mta = start_mta(FOREIGN.replace(b"call ( By_Hand ) ;", b"call (Late);") + late)
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    before = call("smtp_info", connection, False)["policy"]
    seen = len(mta.verbs())
    relay = call("smtp_policy", dict(connection, relay=HOST), True)
    assert "the relay host cannot be set in WA_Routing_basic: Late sets remoteSmtpHost" in relay["msg"]
    gone = call("smtp_policy", dict(connection, relay={"state": "absent"}), False)
    assert "the relay host cannot be removed from WA_Routing_basic: Late sets remoteSmtpHost" in gone["msg"]
    starttls = call("smtp_tls", dict(connection, starttls_outbound=True), False)
    assert "STARTTLS outbound cannot be set to yes in WA_Routing_basic: Late sets allowStartTLS" in starttls["msg"]
    assert_only_read(mta.verbs()[seen:])
    assert call("smtp_info", connection, False)["policy"] == before


def test_rule_that_turns_on_what_is_off_is_refused(run, mta):
    run("smtp_tls", starttls_outbound=False)
    before = mta.script()
    result = run("smtp_relay_tls", name="r", level="may")
    assert "STARTTLS outbound is off, and rule r (level may) turns it on" in result["msg"]
    assert run("smtp_relay_tls", name="r", level="encrypt", check=True)["changed"] is True
    assert mta.script() == before
    run("smtp_policy", starttls={"outbound": True}, relay_tls=[plain("r")])
    off = run("smtp_tls", starttls_outbound=False)
    assert "rule r (level may) turns it on" in off["msg"]
    run("smtp_relay_tls", name="r", state="absent")
    assert run("smtp_tls", starttls_outbound=False)["changed"] is True


# --- secrets --------------------------------------------------------------------------------------


def test_relay_password_is_shown_nowhere(mta, tmp_path):
    """Not in what ``ansible-playbook -vvv --diff`` prints, not in the server's log, not in errors."""
    secret, other = "Relay-pw-5Zt", "Relay-pw-6Yu"
    wish = dict(HOST, username="u", level="encrypt")
    tasks = [
        {"securemail.smtp.smtp_policy": {"relay": dict(wish, password=secret)}},
        {"securemail.smtp.smtp_policy": {"relay": dict(wish, password=secret)}},
        {"securemail.smtp.smtp_policy": {"relay": dict(wish, password=other)}},
        {"securemail.smtp.smtp_policy": {"relay": dict(wish, password=other, level="may")}, "ignore_errors": True},
        {
            "securemail.smtp.smtp_policy": {"relay": dict(wish, password=other), "listeners": [{"address": "x"}]},
            "ignore_errors": True,
        },
        {"securemail.smtp.smtp_info": {}},
    ]
    playbook = tmp_path / "relay.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    output = play(playbook, mta.port, "-vvv", "--diff", SECUREMAIL_ADMIN_PASSWORD=PASSWORD)
    assert "changed=2" in output, output
    assert decided(mta).password == other
    for password in (secret, other):
        for spelling in (password, base64.b64encode(password.encode()).decode()):
            assert spelling not in output
            assert spelling not in mta.log.read_text()
