# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server whose names nobody knows: rules are refused, samples are made, and with what they tell all rules hold."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import shuffled
import yaml
from ansible.module_utils.basic import AnsibleModule
from mta_process import PASSWORD, call, play
from postern.emulation import read as emulation
from postern.rules import relay as engine
from postern.rules.engine import compile_script
from shuffled import PREFIX, PROFILE, SAMPLES, change, offered, said_to

AUTH = {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []}
AUTH_TLS = {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": ["PLAIN", "LOGIN"]}
FORCED = {"domain": "partner.example"}
RELAY = {"name": "use_only_tls11_and_12_when_relaying", "level": "encrypt", "versions": ["TLSv1.1", "TLSv1.2"]}
TASKS = [
    ("smtp_auth_rule", AUTH),
    ("smtp_auth_rule", AUTH_TLS),
    ("smtp_forced_tls_domain", FORCED),
    ("smtp_relay_tls", RELAY),
]
POLICY = {
    "auth_rules": [AUTH, AUTH_TLS],
    "forced_tls_domains": [FORCED, {"domain": "other.example"}],
    "relay_tls": [RELAY],
}


class Server:
    """A server with shuffled names and one listener with STARTTLS on ``port``."""

    def __init__(self, mta, port, certificate):
        self.mta = mta
        self.port = port
        self.address = "127.0.0.1:%d" % port
        self.run("smtp_listener", address=self.address, tls="starttls", certificate=certificate)

    def run(self, name, /, check=False, **parameters):
        return call(name, {"admin_port": self.mta.port, "admin_password": PASSWORD, **parameters}, check)

    def changes(self, name, /, **parameters):
        result = self.run(name, **parameters)
        assert "failed" not in result, result["msg"]
        return result["changed"]

    def relay(self):
        """How mail goes out, as the server's own engine reads its script."""
        text = (self.mta.state / "filters" / "smtpFilters.script").read_text()
        table = tomllib.loads(self.mta.config.read_text())["emulation"]
        return engine.decide(compile_script(text, emulation(table, pytest.fail)), "a.example", "u@example.test", "")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Backups go into the home of whoever runs the module."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def server(start_mta, free_port, lab):
    """A function that starts one; its parameters are keys of the table ``[emulation]``."""

    def start(**habits):
        return Server(start_mta(shuffled.SCRIPT, shuffled.bootstrap(**habits)), free_port(), lab.ecdsa)

    return start


def learned(**changes):
    """The profile with what was stated or seen."""
    return {"dialect_profile": PROFILE | {"encrypted_after_starttls": True, "relay_ssl": "required"} | changes}


def test_from_refusal_to_rules(server):
    one = server()
    for name, parameters in TASKS:
        refused = one.run(name, check=True, **parameters)
        assert refused["failed"] and "dialect_profile" in refused["msg"] and "server_said" not in refused

    first = one.run("smtp_dialect")
    asked_for = [rule["name"] for rule in first["instructions"]]
    assert asked_for == [PREFIX + word for word in ("plain", "tls", "forced", "relay")]
    change(one.mta.port, SAMPLES)
    before = one.mta.script()
    again = one.run("smtp_dialect")
    assert again["failed"] and "There are sample rules already: Securemail_Sample_plain" in again["msg"]
    second = one.run("smtp_dialect", before=first["before"], probe_address=one.address, relay_ssl="required")
    assert second["missing"] == [], second
    assert second["profile"] == learned()["dialect_profile"]
    # Two words spell nothing; each was the only one left, which is said.
    assert sum("the only one that is left" in note for note in second["notes"]) == 2
    assert one.mta.script() == before
    assert not {first["changed"], second["changed"]} - {False}
    assert shuffled.SECRET in before.decode()
    assert not [one for one in (first, again, second) if shuffled.SECRET in one.output]
    change(one.mta.port, remove=[sample.name for sample in SAMPLES])

    profile = {"dialect_profile": second["profile"]}
    for name, parameters in TASKS:
        assert one.changes(name, **parameters, **profile)
        assert not one.changes(name, **parameters, **profile)
    assert not one.changes("smtp_policy", **(POLICY | {"forced_tls_domains": [FORCED]}), **profile)
    assert (offered(one.port, tls=False), offered(one.port, tls=True)) == (set(), {"PLAIN", "LOGIN"})
    assert "Accepting only secure delivery" in said_to(one.port, "partner.example", tls=False)
    assert "Accepting only secure delivery" not in said_to(one.port, "partner.example", tls=True)
    relay = one.relay()
    assert (relay.level, relay.versions, relay.implicit) == ("encrypt", ("TLSv1.1", "TLSv1.2"), False)

    # Everything is taken back, and the foreign text is what it was.
    for name, parameters in TASKS:
        assert one.changes(name, **(parameters | {"state": "absent"}), **profile)
    assert b"authForPlain" not in one.mta.script() and b"toWhom" not in one.mta.script()


def test_policy_in_one_step(server):
    one = server()
    assert one.changes("smtp_policy", **POLICY, **learned())
    assert not one.changes("smtp_policy", **POLICY, **learned())
    text = one.mta.script().decode()
    assert 'set (whatMayLogIn2, "PLAIN_ userpw ");' in text
    assert 'sameText (isSSLConnection, "no"),\n\t\t\tsameText (toWhom, "other.example")' in text
    assert 'set (allowedSSLVersions, "tlsv1.1 modern ");' in text


def test_rules_of_webadmin_are_taken_over(server):
    one = server()
    change(one.mta.port, [shuffled.webadmin.forced("by_hand", "partner.example", "no mail in clear")])
    before = one.mta.script()
    result = one.run("smtp_forced_tls_domain", reject_message="no mail in clear", **FORCED, **learned())
    assert result["changed"] is False, result
    assert one.mta.script() == before
    assert one.changes("smtp_forced_tls_domain", reject_message="another text", **FORCED, **learned())
    assert one.mta.script() == before.replace(b"no mail in clear", b"another text")


def test_words_that_spell_nothing_need_rules_of_their_own(server):
    one = server()
    first = one.run("smtp_dialect")
    change(one.mta.port, [shuffled.webadmin.relay(PREFIX + "relay", ["TLSv1", "TLSv1.2"], enabled=False)])
    asked = {"before": first["before"], "sample_versions": ["TLSv1", "TLSv1.1", "TLSv1.2"]}
    second = one.run("smtp_dialect", **asked)
    reason = [entry["reason"] for entry in second["missing"] if entry["profile_keys"] == ["script_versions"]]
    assert 'what the word "modern" means' in reason[0] and PREFIX + "version_TLSv1_2" in reason[0]
    assert second["profile"]["script_versions"] == {"TLSv1": "tls1"}
    change(one.mta.port, [shuffled.webadmin.relay(PREFIX + "version_TLSv1_2", ["TLSv1.2"], enabled=False)])
    third = one.run("smtp_dialect", **asked)
    assert third["profile"]["script_versions"] == {"TLSv1.2": "modern", "TLSv1": "tls1"}
    assert any(PREFIX + "version_TLSv1_2" in step for step in third["next"])


# --- encryption after STARTTLS --------------------------------------------------------------------


def second_look(one, *samples, **options):
    first = one.run("smtp_dialect")
    change(one.mta.port, samples)
    return one.run("smtp_dialect", before=first["before"], probe_address=one.address, **options)


def reason_of(result, key):
    return [entry["reason"] for entry in result["missing"] if key in entry["profile_keys"]][0]


def test_a_server_that_does_not_see_tls_behind_starttls(server):
    one = server(encrypted_after_starttls=False)
    found = second_look(one, SAMPLES[2])
    assert found["profile"]["encrypted_after_starttls"] is False
    refused = one.run("smtp_forced_tls_domain", check=True, **FORCED, dialect_profile=found["profile"])
    assert refused["failed"] and "STARTTLS" in refused["msg"]


def test_samples_about_the_other_kind_of_connections(server):
    """The two rules were made the wrong way round: the script looks right, and the listener tells."""
    one = server()
    plain = shuffled.webadmin.auth(PREFIX + "tls", "plain", ["PLAIN", "LOGIN", "CRAM-MD5"])
    tls = shuffled.webadmin.auth(PREFIX + "plain", "tls", [])
    found = second_look(one, plain, tls, SAMPLES[2])
    assert "plain_auth_variable" not in found["profile"]
    assert "offers LOGIN, PLAIN in clear and no login after STARTTLS" in reason_of(found, "plain_auth_variable")


def test_a_listener_that_cannot_tell(server, free_port):
    one = server()
    one.run("smtp_listener", address=one.address, tls="none")
    found = second_look(one, SAMPLES[2])
    assert "the listener offers no STARTTLS" in reason_of(found, "encrypted_after_starttls")
    nobody = "127.0.0.1:%d" % free_port()
    nothing = one.run("smtp_dialect", before={"format": 1, "methods": {}}, probe_address=nobody)
    assert "no connection to 127.0.0.1" in reason_of(nothing, "encrypted_after_starttls")


# --- what SSL does --------------------------------------------------------------------------------


def test_implicit_tls_is_no_requirement(server):
    one = server(relay_ssl="implicit")
    refused = one.run("smtp_relay_tls", **RELAY, **learned(relay_ssl="implicit"))
    assert refused["failed"] and "nextHopSecure opens TLS from the first byte" in refused["msg"]
    assert one.changes("smtp_relay_tls", **(RELAY | {"level": "may"}), **learned(relay_ssl="implicit"))
    assert one.relay().implicit is False


def test_a_relay_host_may_have_implicit_tls(server):
    one = server(relay_ssl="implicit")
    relay = {"relay": {"host": "relay.example", "port": 465, "tls": "implicit"}}
    assert one.changes("smtp_policy", **relay, **learned(relay_ssl="implicit"))
    assert not one.changes("smtp_policy", **relay, **learned(relay_ssl="implicit"))
    found = one.relay()
    assert (found.host, found.port, found.implicit, found.level) == ("relay.example", 465, True, "encrypt")
    relay["relay"] = {"host": "relay.example", "port": 25}
    assert one.changes("smtp_policy", **relay, **learned(relay_ssl="implicit"))
    assert (one.relay().implicit, one.relay().level) == (False, "may")


def test_domains_of_mail_that_goes_out_are_refused(server):
    one = server()
    outbound = {"domain": "a.example", "direction": "outbound", "level": "encrypt"}
    refused = one.run("smtp_forced_tls_domain", **outbound, **learned())
    assert refused["failed"] and "cannot be learned either" in refused["msg"]


def test_a_version_without_a_known_word_is_refused(shared_run):
    """Listeners spell it tls1; how the script does is in no public source."""
    rule = {"name": "versions", "level": "may", "versions": ["TLSv1", "TLSv1.1"]}
    refused = shared_run("smtp_relay_tls", check=True, dialect="axigen", **rule)
    assert refused["failed"] and "the protocol version TLSv1 (known are TLSv1.1, TLSv1.2, TLSv1.3)" in refused["msg"]
    word = {"format": 1, "script_versions": {"TLSv1": "tls1"}}
    assert shared_run("smtp_relay_tls", check=True, dialect="axigen", dialect_profile=word, **rule)["changed"]


@pytest.mark.parametrize(
    "keys, unknown",
    [
        (set(PROFILE), None),
        (set(PROFILE) - {"recipient_domain_variable"}, "forced-TLS domains, TLS that is required"),
        (set(PROFILE) - {"no_authentication"}, "authentication rules, TLS that is required"),
        ({"format"}, "authentication rules, forced-TLS domains, TLS that is required"),
    ],
)
def test_what_cannot_be_recognised_is_told(shared_run, keys, unknown):
    profile = {key: value for key, value in PROFILE.items() if key in keys}
    notes = shared_run("smtp_info", dialect="axigen", dialect_profile=profile)["notes"]
    assert [unknown in note for note in notes] == [True] if unknown else not notes


# --- options --------------------------------------------------------------------------------------


def test_bad_options_are_told_before_the_server_is_asked(shared_mta, shared_run):
    asked = len(shared_mta.verbs())
    refused = shared_run("smtp_tls", dialect_profile={"format": 1, "plain_auth_var": "x", "relay_ssl": "yes"})
    assert len(refused["problems"]) == 2
    refused = shared_run("smtp_dialect", before={}, sample_domain="a b", sample_mechanisms=[], probe_address="x")
    assert len(refused["problems"]) == 4, refused
    assert len(shared_mta.verbs()) == asked


def test_the_environment_and_the_version(server, monkeypatch):
    one = server()
    warned = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning, **options: warned.append(warning))
    document = learned()["dialect_profile"] | {"server_version": "10.6.1"}
    monkeypatch.setenv("SECUREMAIL_DIALECT_PROFILE", json.dumps(document))
    assert one.changes("smtp_auth_rule", **AUTH)
    assert any("learned from version 10.6.1 and the server's is 10.5.12" in warning for warning in warned)


def test_a_profile_is_not_for_the_bundled_server(shared_run, monkeypatch):
    warned = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning, **options: warned.append(warning))
    result = shared_run("smtp_auth_rule", check=True, **AUTH, dialect_profile=PROFILE)
    assert result["changed"] and any("dialect_profile is not used" in warning for warning in warned)


# --- the playbook ---------------------------------------------------------------------------------


def test_the_playbook_knows_no_place_beside_a_list_of_hosts():
    with pytest.raises(AssertionError) as failed:
        play(Path("securemail.smtp.learn"), 1, "-e", "target=all", "-e", "securemail_learn_step=before")
    assert "securemail_dialect_file must name the file to write" in str(failed.value)


def test_the_playbook(server, tmp_path):
    """Two steps for two hosts, which are one server here; on the second one the samples were made too early."""
    one = server()
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "hosts.ini").write_text(
        "[mail]\n" + "".join(
            "mail%d ansible_connection=local securemail_learn_state=%s/state/%d.json\n" % (number, tmp_path, number)
            for number in (1, 2)
        )
    )
    given = {
        "secure_smtp_admin_password": PASSWORD,
        "secure_smtp_admin_port": one.mta.port,
        "securemail_learn_probe_address": one.address,
        "securemail_learn_relay_ssl": "required",
    }
    (tmp_path / "given.json").write_text(json.dumps(given))

    def run(book, hosts, *options):
        shared = ("-i", str(inventory / "hosts.ini"), "-l", hosts, "-e", "@%s" % (tmp_path / "given.json"))
        return play(book, one.mta.port, *shared, *options)

    with pytest.raises(AssertionError) as failed:
        run("securemail.smtp.learn", "mail1", "-e", "securemail_learn_step=after")
    assert "There was no first look at mail1" in str(failed.value)
    output = run("securemail.smtp.learn", "mail1", "-e", "securemail_learn_step=before")
    assert PREFIX + "forced" in output and PASSWORD not in output
    change(one.mta.port, SAMPLES)
    late = {"format": 1, "methods": {sample.method: "" for sample in SAMPLES}}
    (tmp_path / "state" / "2.json").write_text(json.dumps(late))
    with pytest.raises(AssertionError) as failed:
        run("securemail.smtp.learn", "mail", "-e", "securemail_learn_step=after")
    assert "whatMayLogIn2" in str(failed.value) and PASSWORD not in str(failed.value)
    assert "Nothing was learned" in str(failed.value) and "there at the first look already" in str(failed.value)
    assert not (inventory / "host_vars" / "mail2").exists()
    stored = yaml.safe_load((inventory / "host_vars" / "mail1" / "securemail_dialect.yml").read_text())
    assert stored == {"securemail_dialect_profile": learned()["dialect_profile"]}

    change(one.mta.port, remove=[sample.name for sample in SAMPLES])
    variables = {"dialect_profile": "securemail_dialect_profile", "admin_password": "secure_smtp_admin_password"}
    options = {option: "{{ %s }}" % variable for option, variable in variables.items()}
    tasks = [{"securemail.smtp.smtp_auth_rule": AUTH | options} for _again in range(2)]
    (inventory / "use.yml").write_text(json.dumps([{"hosts": "mail", "gather_facts": False, "tasks": tasks}]))
    assert "changed=1" in run(inventory / "use.yml", "mail1")
    assert offered(one.port, tls=False) == set()


def test_all_that_is_not_known_is_told_at_once(start_mta):
    """The whole hardening on a server that nobody has learned: one message, not one after the other."""
    mta = start_mta()
    connection = {"admin_port": mta.port, "admin_password": PASSWORD, "dialect": "axigen"}
    policy = {"auth_rules": [AUTH, AUTH_TLS], "forced_tls_domains": [FORCED], "relay_tls": [RELAY]}
    begun = len(mta.verbs())
    for check in (True, False):
        result = call("smtp_policy", dict(connection, **policy), check)
        assert result["failed"] and "securemail.smtp.learn" in result["msg"]
        for part in (
            "plain_auth_variable",
            "tls_auth_variable",
            "recipient_domain_variable",
            "the authentication types of plain connections",
            "the domain of the recipient",
            "sslEnabled",
        ):
            assert part in result["msg"], part
        assert result["msg"].count("the domain of the recipient") == 1
    assert not {verb for verb, _object in mta.verbs()[begun:]} & {"SET", "UPDATE", "COMMIT", "SAVE"}
