# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that pretends to be another one: its names in the script, and the table that gives them."""

from __future__ import annotations

import os

import pytest
from postern import ADMIN_VERSION, bootstrap
from postern.emulation import ITSELF, Emulation
from postern.rules.engine import RuleSet, compile_script
from postern.rules.relay import Relay, RelayRefused, decide
from postern.rules.script import ScriptError
from postern.rules.variables import ASKED, OWN_ASKED, OWN_TOLD, TOLD, Variables

OTHER = Emulation(
    extensions=False,
    names={
        "plainconnauthtypes": "authForPlain",
        "secureconnauthtypes": "authForTls",
        "rcptdomain": "recipientHost",
        "smtpexplanation": "whyNot",
        "sslenabled": "smtpExplanation",
    },
    tests={"iscase": "sameText"},
    values={"none": "nothing", "plain": "clear", "login": "plain", "tls12": "v12"},
)


def rules(script: str, emulation: Emulation = OTHER) -> RuleSet:
    """A compiled script with these methods, called in this order by every event."""
    return compile_script(script, emulation)


def run(body: str, emulation: Emulation = OTHER, event: str = "onEhlo", **known: str) -> Variables:
    """The variables after one event with these statements."""
    variables = Variables()
    variables.tell(**known)
    compile_script(f"event {event} {{ {body} }}", emulation).run(event, variables)
    return variables


# --- names ----------------------------------------------------------------------------------------


def test_a_name_that_was_given_is_understood_and_the_own_one_is_not():
    assert run('set (AUTHFORPLAIN, "nothing");').mechanisms(False, OTHER) == ()
    assert run('set (plainConnAuthTypes, "nothing");').mechanisms(False, OTHER) == ("PLAIN", "LOGIN")


def test_a_name_may_be_one_that_another_thing_has_left():
    variables = run('set (smtpExplanation, "yes"); set (whyNot, "text");')
    assert (variables.text("sslEnabled"), variables.text("smtpExplanation")) == ("yes", "text")


def test_what_the_session_knows_has_its_new_name_in_tests_and_texts():
    body = 'if (sameText (recipientHost, "B.example.")) { set (whyNot, "%recipientHost% is %rcptDomain%forced"); }'
    variables = run(body, event="onRcptTo", rcptDomain="b.example")
    assert variables.text("smtpExplanation") == "b.example is forced"
    # What the session knows cannot be set, under no name.
    assert run('set (recipientHost, "x");', rcptDomain="b.example").text("rcptDomain") == "b.example"


def test_a_name_that_does_not_exist_is_a_variable_as_any_other():
    variables = run('set (rcptDomain, "x"); if (is (rcptDomain, "x")) { set (whyNot, "%rcptDomain%"); }')
    assert (variables.text("rcptDomain"), variables.text("smtpExplanation")) == ("", "x")


def test_a_test_that_has_another_name_does_not_exist_under_its_own():
    with pytest.raises(ScriptError) as raised:
        rules('event onEhlo {\n if (isCase (a, "b")) { }\n}')
    assert raised.value.line == 2 and "(it has greaterThan, ipRange, is, sameText)" in raised.value.reason


def test_rows_of_rules_are_looked_up_by_the_new_name():
    methods = "".join(
        f'method d{n} {{ if (allOf (sameText (isSSLConnection, "no"), sameText (recipientHost, "d{n}.example"))) '
        f'{{ set (whyNot, "{n}"); }} }}'
        for n in range(6)
    )
    compiled = rules("event onRcptTo { %s } %s" % ("".join(f"call (d{n});" for n in range(6)), methods))
    variables = Variables()
    variables.tell(rcptDomain="d4.example", isSSLConnection="no")
    compiled.run("onRcptTo", variables)
    assert variables.text("smtpExplanation") == "4"


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("nothing", ()),
        ("", ()),
        ("()", ()),
        ("clear plain ", ("PLAIN", "LOGIN")),
        ("Clear", ("PLAIN",)),
        ("plain cram-md5 ", ("LOGIN",)),
        ("cram-md5 gssapi ", ()),
        ("all", ("PLAIN", "LOGIN")),
        # Nothing that this server knows: as if it had not been said.
        ("none", ("PLAIN", "LOGIN")),
        ("login", ("PLAIN", "LOGIN")),
    ],
)
def test_mechanisms_by_their_new_words(value, found):
    assert run(f'set (authForTls, "{value}");').mechanisms(True, OTHER) == found


def test_no_mechanism_may_be_an_empty_set_only():
    other = Emulation(values={"none": ""})
    assert run('set (plainConnAuthTypes, "");', other).mechanisms(False, other) == ()
    assert run('set (plainConnAuthTypes, "none");', other).mechanisms(False, other) != ()


def test_this_servers_own_mechanism_is_no_default_of_another_one():
    assert Variables().mechanisms(True, Emulation(extensions=False)) == ("PLAIN", "LOGIN")
    assert "SCRAM-SHA-256" in Variables().mechanisms(True, ITSELF)


# --- mail that goes out ---------------------------------------------------------------------------


def relay(body: str, emulation: Emulation) -> Relay:
    return decide(compile_script("event onRelay { %s }" % body, emulation), "b.example", "ann@a.example", "")


def test_versions_by_their_new_words_only():
    assert relay('set (allowedSSLVersions, "v12 tls13 ");', OTHER).versions == ("TLSv1.2", "TLSv1.3")
    for value in ("tls12 ", "tls1_2", "TLSv1.2"):
        with pytest.raises(RelayRefused, match="holds no TLS version"):
            relay(f'set (allowedSSLVersions, "{value}");', OTHER)


def test_another_server_has_none_of_this_ones_variables():
    body = "".join(
        f'set ({name}, "{value}"); '
        for name, value in (
            ("tlsLevel", "secure"), ("tlsMatch", "mx.b.example"), ("remoteSmtpHost", "relay.example"),
            ("remoteSmtpTls", "implicit"), ("remoteSmtpUser", "u"), ("remoteSmtpPassword", "p"),
            ("remoteSmtpClearLogin", "yes"),
        )
    )  # fmt: skip
    body += 'if (isCase (relayDomain, "b.example")) { set (allowStartTLS, "no"); }'
    assert relay(body, Emulation(extensions=False)) == Relay("may", host="relay.example")
    assert relay(body, ITSELF).level == "secure"


def test_another_server_has_none_of_this_ones_tests():
    with pytest.raises(ScriptError) as refused:
        run('if (isSubdomainOf (rcptDomain, "gov.test")) { }', Emulation(extensions=False))
    assert "does not know the test isSubdomainOf" in str(refused.value)
    assert "(it has greaterThan, ipRange, is, isCase)" in str(refused.value)


def test_implicit_tls_at_the_next_hop():
    implicit = Emulation(relay_ssl="implicit")
    assert relay('set (sslEnabled, "yes");', implicit) == Relay("encrypt", port=25, implicit=True)
    assert relay('set (sslEnabled, "yes"); set (remoteSmtpPort, "465");', implicit).port == 465
    assert relay('set (sslEnabled, "no");', implicit) == Relay("may")
    assert relay('set (sslEnabled, "yes");', ITSELF) == Relay("encrypt")


# --- the table ------------------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path):
    """Load a bootstrap file with this table."""

    def loaded(table: str) -> Emulation:
        path = tmp_path / "postern.toml"
        user = 'user = "root"\n' if os.geteuid() == 0 else ""
        path.write_text(f'host_name = "m.example"\nstate_dir = "/s"\nrun_dir = "/r"\n{user}{table}')
        return bootstrap.load(str(path)).emulation

    return loaded


def test_no_table_is_this_server_itself(load):
    assert load("") == load("[emulation]\n") == ITSELF == Emulation()
    assert ITSELF.version == ADMIN_VERSION


def test_the_whole_table(load):
    found = load(
        '[emulation]\nversion = "10.5.12|Linux|x86_64"\nencrypted_after_starttls = false\nscript_active = "upload"\n'
        'relay_ssl = "implicit"\nextensions = false\n[emulation.names]\nPLAINconnAuthTypes = "authForPlain"\n'
        'secureConnAuthTypes = "plainConnAuthTypes"\nisCase = "same"\n[emulation.values]\nnone = "nothing"\n'
        'plain = "x-1"\n'
    )
    assert found == Emulation(
        version="10.5.12|Linux|x86_64", encrypted_after_starttls=False, script_active="upload", relay_ssl="implicit",
        extensions=False, tests={"iscase": "same"}, values={"none": "nothing", "plain": "x-1"},
        names={"plainconnauthtypes": "authForPlain", "secureconnauthtypes": "plainConnAuthTypes"},
    )  # fmt: skip


def test_every_variable_can_have_another_name(load):
    names = TOLD + ASKED + OWN_TOLD + OWN_ASKED
    table = "[emulation.names]\n" + "".join(f'{name} = "v{number}"\n' for number, name in enumerate(names))
    emulation = load(table)
    assert [emulation.variable(f"V{number}") for number in range(len(names))] == [name.lower() for name in names]


@pytest.mark.parametrize(
    ("table", "line", "reason"),
    [
        ('[emulation]\nvesion = "1"\n', 2, "emulation.vesion: unknown key; known are: version, "),
        ('[emulation]\nversion = "axigen"\n', 2, "emulation.version: it must be a text like "),
        ('[emulation]\nversion = "10.5\\n"\n', 2, "emulation.version: it must be a text like "),
        ("[emulation]\nextensions = 1\n", 2, "emulation.extensions: it must be true or false"),
        ('[emulation]\nscript_active = "later"\n', 2, "it must be one of: commit, upload"),
        ('[emulation]\nrelay_ssl = ["x"]\n', 2, "it must be one of: required, implicit"),
        ('[emulation]\nnames = "x"\n', 2, "emulation.names: it must be a table: [emulation.names]"),
        ('emulation = "x"\n', 1, "emulation: it must be a table: [emulation]"),
        ('[emulation.names]\n\nauthTypes = "x"\n', 3, "there is nothing of this name to rename; there are: isSSL"),
        ('[emulation]\nnames = {authTypes = "x"}\n', 2, "there is nothing of this name to rename"),
        ('[emulation.names]\nrcptDomain = "a b"\n', 2, "it must be a name of letters, digits and _"),
        ('[emulation.names]\nrcptDomain = "2a"\n', 2, "it must be a name"),
        ('[emulation.names]\nrcptDomain = ""\n', 2, "it must be a name"),
        ("[emulation.names]\nrcptDomain = 5\n", 2, "it must be a name"),
        ('[emulation.names]\nrcptDomain = "x"\nRCPTDOMAIN = "y"\n', 3, "it is renamed twice"),
        ('[emulation.names]\nrcptDomain = "x"\nrcptTo = "X"\n', 3, "X is the name of rcptDomain already"),
        ('[emulation.names]\nrcptDomain = "RcptTo"\n', 2, "RcptTo is the name of rcptTo already"),
        ('[emulation]\nextensions = false\n[emulation.names]\ntlsLevel = "x"\n', 4, "nothing of this name to rename"),
        ('[emulation.values]\nnone = "two words"\n', 2, "it must be one word"),
        ('[emulation.values]\nplain = ""\n', 2, "it must be one word"),
        ('[emulation.values]\nplain = "login"\n', 2, "login is the name of login already"),
        ('[emulation.values]\nssl2 = "x"\n', 2, "there are: none, all, scram-sha-256, plain, login, cram-md5"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(load, table, line, reason):
    with pytest.raises(bootstrap.BootstrapError) as raised:
        load(table)
    offset = 4 if os.geteuid() == 0 else 3
    assert f"postern.toml:{line + offset}: " in str(raised.value) and reason in str(raised.value)
