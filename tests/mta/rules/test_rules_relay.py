# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What event onRelay decides: levels, versions, relay hosts, and what is refused instead of guessed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

import postern
from postern.rules.engine import compile_script
from postern.rules.relay import Relay, RelayRefused, decide
from postern.rules.variables import Variables

INITIAL = Path(postern.__path__[0]).parent / "initial"
PASSWORD = 'p%ss "word" \\ ü'


def relay(body: str, domain: str = "b.example", sender: str = "ann@a.example", user: str = "") -> Relay:
    """What a script decides whose event holds these statements."""
    return decide(compile_script("event onRelay { %s }" % body), domain, sender, user)


def refused(body: str) -> RelayRefused:
    with pytest.raises(RelayRefused) as caught:
        relay(body)
    return caught.value


def sets(**values: str) -> str:
    return "".join(f'set ({name}, "{value}"); ' for name, value in values.items())


# --- levels ---------------------------------------------------------------------------------------


def test_a_script_that_says_nothing():
    expected = Relay("may", ("TLSv1.2", "TLSv1.3"), (), "", 25, False, "", "", False)
    assert relay("") == expected
    assert decide(compile_script("event onEhlo { set (sslEnabled, \"yes\"); }"), "b.example", "", "") == expected


@pytest.mark.parametrize(("name", "level"), [("hardened", "may"), ("unhardened", "none")])
def test_the_initial_scripts(name, level):
    rules = compile_script((INITIAL / f"{name}.script").read_text())
    assert decide(rules, "b.example", "", "") == Relay(level, ("TLSv1.2", "TLSv1.3"))


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({"allowStartTLS": "yes"}, "may"),
        ({"allowStartTLS": "NO"}, "none"),
        ({"allowStartTLS": ""}, "may"),
        ({"sslEnabled": "Yes"}, "encrypt"),
        ({"sslEnabled": "no"}, "may"),
        ({"sslEnabled": "yes", "allowStartTLS": "no"}, "encrypt"),
        ({"tlsLevel": "none"}, "may"),
        ({"tlsLevel": "none", "allowStartTLS": "no"}, "none"),
        ({"tlsLevel": "may", "allowStartTLS": "no"}, "may"),
        ({"tlsLevel": "may", "sslEnabled": "yes"}, "encrypt"),
        ({"tlsLevel": "encrypt", "allowStartTLS": "no"}, "encrypt"),
        ({"tlsLevel": "Verify", "sslEnabled": "yes"}, "verify"),
        ({"tlsLevel": "secure"}, "secure"),
    ],
)
def test_the_stricter_wish_holds(values, level):
    assert relay(sets(**values)).level == level


@pytest.mark.parametrize(
    ("exception", "level"),
    [
        ('set (tlsLevel, "may");', "may"),
        ('set (tlsLevel, "none"); set (allowStartTLS, "no");', "none"),
        ('set (tlsLevel, "none");', "may"),
    ],
)
def test_the_level_that_was_set_last_is_the_one_that_counts(exception, level):
    before, reason = 'set (tlsLevel, "secure"); set (tlsMatch, "mx.b.example");', 'set (tlsReason, "no  TLS there");'
    found = relay(before + exception + reason)
    assert (found.level, found.reason) == (level, "no TLS there")
    # The dialect's own switch knows no exceptions, and a domain below an exception may be stricter again.
    assert relay('set (sslEnabled, "yes");' + before + exception).level == "encrypt"
    stricter = relay(exception + reason + before)
    assert (stricter.level, stricter.reason) == ("secure", "")


@pytest.mark.parametrize("word", ["dane", "dane-only", "mta-sts", "fingerprints", "required", "", "%never%"])
def test_a_level_that_is_not_there(word):
    error = refused(sets(tlsLevel=word))
    assert "none, may, encrypt, verify, secure, fingerprint" in str(error) and error.status == "4.7.5"
    assert repr("" if "%" in word else word) in str(error)


@pytest.mark.parametrize("name", ["sslEnabled", "allowStartTLS", "remoteSmtpClearLogin"])
@pytest.mark.parametrize("word", ["true", "1", "required"])
def test_switches_are_yes_or_no(name, word):
    assert f"{name} '{word}' is neither yes nor no" in str(refused(sets(**{name: word})))


# --- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "versions"),
    [
        ("tls12 tls13 ", ("TLSv1.2", "TLSv1.3")),
        ("tls13 tls12 tls11", ("TLSv1.1", "TLSv1.2", "TLSv1.3")),
        ("TLS12", ("TLSv1.2",)),
        ("(tls1_1, tls1_2)", ("TLSv1.1", "TLSv1.2")),
        ("tlsv1.3", ("TLSv1.3",)),
        ("tls1 tls11", ("TLSv1", "TLSv1.1")),
        ("tls10 tls11 tls12 tls13", ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")),
        ("ssl2 ssl3 sslv3 tls12", ("TLSv1.2",)),
        ("tls12 tls12", ("TLSv1.2",)),
    ],
)
def test_versions(value, versions):
    assert relay(sets(allowedSSLVersions=value)).versions == versions


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("tls11 tls13", "has a gap"),
        ("tls10 tls12 tls13", "has a gap"),
        ("", "holds no TLS version"),
        (" ", "holds no TLS version"),
        ("ssl2 ssl3", "holds no TLS version"),
        ("tls14", "holds no TLS version"),
        ("all", "holds no TLS version"),
    ],
)
@pytest.mark.parametrize("level", ["none", "may", "encrypt"])
def test_versions_that_cannot_be(value, reason, level):
    error = refused(sets(tlsLevel=level, allowedSSLVersions=value))
    assert reason in str(error) and repr(value) in str(error) and error.status == "4.7.5"


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("", ()),
        ("MX.Partner.example .partner.example ", ("mx.partner.example", ".partner.example")),
        ("a.example, a.example.", ("a.example",)),
        ("münchen.example", ("xn--mnchen-3ya.example",)),
    ],
)
def test_names_for_secure(value, match):
    assert relay(sets(tlsLevel="secure", tlsMatch=value)).match == match


@pytest.mark.parametrize("value", ["*.partner.example", ".", "a..b", "-a.example", "a.example/x", "x" * 64])
def test_names_that_are_none(value):
    error = refused(sets(tlsMatch=value))
    assert str(error).startswith("tlsMatch ") and error.status == "4.7.5"


# --- fingerprints ---------------------------------------------------------------------------------

ONE, OTHER = bytes(range(32)).hex(":").upper(), bytes(range(32, 64)).hex(":").upper()


@pytest.mark.parametrize(
    "value",
    [
        f"{ONE} {OTHER} ",
        f"{ONE.lower()}, {OTHER.replace(':', '')}",
        f"sha256:{ONE},SHA256:{OTHER.lower().replace(':', '')}, {ONE}",
    ],
)
@pytest.mark.parametrize("order", [("tlsLevel", "tlsFingerprints"), ("tlsFingerprints", "tlsLevel")])
def test_fingerprints_as_people_copy_them(value, order):
    said = {"tlsLevel": "fingerprint", "tlsFingerprints": value}
    found = relay(sets(**{name: said[name] for name in order}))
    assert (found.level, found.fingerprints) == ("fingerprint", (ONE, OTHER))


@pytest.mark.parametrize(
    "value",
    ["", " , ", "%never%", ONE[:-3], ONE + ":00", ONE.replace(":", "-"), "sha1:" + ONE[:59], "md5:" + ONE, ONE[:-1] + "G",
     " ".join(bytes([number] * 32).hex() for number in range(21))],
)  # fmt: skip
def test_fingerprints_that_are_none(value):
    error = refused(sets(tlsLevel="fingerprint", tlsFingerprints=value))
    assert "ingerprints" in str(error) and error.status == "4.7.5"


@pytest.mark.parametrize("level", ["none", "may", "encrypt", "verify", "secure"])
def test_fingerprints_at_another_level_are_no_wish_that_can_be_ignored(level):
    assert "has no effect" in str(refused(sets(tlsLevel=level, tlsFingerprints=ONE)))
    assert "has no effect" in str(refused(sets(tlsFingerprints=ONE)))


def test_no_level_without_its_own_fingerprints():
    assert "has no fingerprints" in str(refused(sets(tlsLevel="fingerprint")))
    # Those of the level before it are not its own.
    before = sets(tlsLevel="fingerprint", tlsFingerprints=ONE)
    assert "has no fingerprints" in str(refused(before + sets(tlsLevel="fingerprint")))
    assert relay(before + sets(tlsLevel="fingerprint", tlsFingerprints=OTHER)).fingerprints == (OTHER,)
    assert relay(before + sets(tlsLevel="verify")) == relay(sets(tlsLevel="verify"))


def test_a_domain_without_names_does_not_inherit_those_of_its_parent():
    parent = sets(tlsLevel="secure", tlsMatch=".hosting.example")
    assert relay(parent + sets(tlsLevel="secure")).match == ()
    # What stands in front of the first level is that level's.
    assert relay(sets(tlsMatch="mx.b.example", tlsLevel="secure")).match == ("mx.b.example",)


# --- the relay host -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("", ""),
        ("  ", ""),
        ("Relay.Example.", "relay.example"),
        ("localhost", "localhost"),
        ("[192.0.2.1]", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[IPv6:2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[relay.example]", "relay.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_relay_hosts(value, host):
    assert relay(sets(remoteSmtpHost=value)).host == host


@pytest.mark.parametrize("value", ["relay.example:25", "a b", "300.0.2.1", "[192.0.2.1", "[]", "re/lay", "\udcff"])
def test_relay_hosts_that_are_none(value):
    error = refused(sets(remoteSmtpHost=value))
    assert str(error).startswith("remoteSmtpHost ") and error.status == "4.3.5"


@pytest.mark.parametrize(
    ("values", "port", "implicit", "level"),
    [
        ({}, 25, False, "may"),
        ({"remoteSmtpPort": "587"}, 587, False, "may"),
        ({"remoteSmtpPort": " 2525 "}, 2525, False, "may"),
        ({"remoteSmtpPort": "465"}, 465, True, "encrypt"),
        ({"remoteSmtpPort": "465", "remoteSmtpTls": "starttls"}, 465, False, "may"),
        ({"remoteSmtpPort": "2465", "remoteSmtpTls": "Implicit"}, 2465, True, "encrypt"),
        ({"remoteSmtpTls": "implicit"}, 465, True, "encrypt"),
        ({"remoteSmtpTls": ""}, 25, False, "may"),
        ({"remoteSmtpPort": "465", "allowStartTLS": "no", "tlsLevel": "none"}, 465, True, "encrypt"),
        ({"remoteSmtpPort": "465", "tlsLevel": "secure"}, 465, True, "secure"),
    ],
)
@pytest.mark.parametrize("host", ["", "relay.example"])
def test_ports(values, port, implicit, level, host):
    found = relay(sets(remoteSmtpHost=host, **values))
    assert (found.port, found.implicit, found.level) == (port, implicit, level)


@pytest.mark.parametrize("value", ["0", "65536", "-1", "smtp", "25.0", "٢٥", "100000"])
def test_ports_that_are_none(value):
    assert f"remoteSmtpPort '{value}' is no port" in str(refused(sets(remoteSmtpPort=value)))


def test_tls_at_a_relay_host_is_one_of_two_words():
    error = refused(sets(remoteSmtpTls="none"))
    assert "remoteSmtpTls 'none' is neither implicit nor starttls" in str(error) and error.status == "4.7.5"


# --- credentials ----------------------------------------------------------------------------------


def encoded(password: str) -> str:
    return "base64:" + base64.b64encode(password.encode()).decode()


def test_credentials_for_the_relay_host():
    values = {"remoteSmtpHost": "relay.example", "remoteSmtpUser": "ann"}
    found = relay(sets(**values, remoteSmtpPassword=encoded(PASSWORD)))
    assert (found.user, found.password, found.clear_login) == ("ann", PASSWORD, False)
    assert PASSWORD not in repr(found)
    found = relay(sets(**values, remoteSmtpPassword="plain text", remoteSmtpClearLogin="yes"))
    assert (found.password, found.clear_login) == ("plain text", True)


def test_credentials_go_to_nobody_but_a_relay_host():
    found = relay(sets(remoteSmtpUser="ann", remoteSmtpPassword="secret"))
    assert (found.user, found.password) == ("", "")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"remoteSmtpUser": "ann"}, "remoteSmtpPassword is not set"),
        ({"remoteSmtpUser": "ann", "remoteSmtpPassword": ""}, "remoteSmtpPassword is not set"),
        ({"remoteSmtpUser": "ann", "remoteSmtpPassword": "base64:"}, "remoteSmtpPassword is not set"),
        ({"remoteSmtpPassword": "c2VjcmV0"}, "remoteSmtpUser is not set"),
        ({"remoteSmtpUser": "ann", "remoteSmtpPassword": "base64:c2VjcmV0!"}, "is no UTF-8 text in base64"),
        ({"remoteSmtpUser": "ann", "remoteSmtpPassword": "base64:c2VjcmV0c2Vjc"}, "is no UTF-8 text in base64"),
        ({"remoteSmtpUser": "ann", "remoteSmtpPassword": "base64:c2VjcmV0/w=="}, "is no UTF-8 text in base64"),
        ({"remoteSmtpUser": "ann", "remoteSmtpPassword": encoded("secret\0")}, "cannot hold a NUL"),
    ],
)
def test_credentials_that_are_none(values, reason):
    error = refused(sets(remoteSmtpHost="relay.example", **values))
    assert reason in str(error) and error.status == "4.3.5"
    assert "c2Vj" not in str(error) and "secret" not in str(error)
    # Nothing of it in the traceback that somebody may log either.
    assert error.__cause__ is None and error.__suppress_context__ is (error.__context__ is not None)


# --- what the event knows -------------------------------------------------------------------------


def test_variables_of_the_event():
    body = 'set (tlsMatch, "%relayDomain% %rcptDomain%.r %mailFromDomain%.s %authUser%.u");'
    found = relay(body, domain="B.Example", sender="ann@A.example", user="ann")
    assert found.match == ("b.example", "b.example.r", "a.example.s", "ann.u")
    assert relay('if (isCase (mailFrom, "")) { set (sslEnabled, "yes"); }', sender="").level == "encrypt"
    assert relay('if (isCase (mailFromDomain, "")) { set (sslEnabled, "yes"); }', sender="").level == "encrypt"


def test_the_recipient_domain_decides():
    body = 'if (allOf (isCase (relayDomain, "München.example."))) { set (tlsLevel, "verify"); }'
    assert relay(body, "xn--mnchen-3ya.example").level == "verify"
    assert relay(body, "sub.xn--mnchen-3ya.example").level == "may"
    literal = 'if (isCase (relayDomain, "[192.0.2.1]")) { set (tlsLevel, "encrypt"); }'
    assert relay(literal, "[192.0.2.1]").level == "encrypt"


def test_the_recipient_domain_cannot_be_set():
    body = 'set (relayDomain, "x.example"); if (isCase (relayDomain, "b.example")) { set (tlsLevel, "verify"); }'
    assert relay(body).level == "verify"


def test_the_port_can_be_set_where_mail_goes_out_only():
    rules = compile_script("""
        event onEhlo { call (ports); }
        event onRelay { call (ports); }
        method ports { set (remoteSmtpPort, "587"); set (seen, "%remoteSmtpPort%"); }
        """)
    incoming = Variables()
    incoming.tell(remoteSmtpPort="50000")
    rules.run("onEhlo", incoming)
    assert (incoming.text("remoteSmtpPort"), incoming.text("seen")) == ("50000", "50000")
    assert decide(rules, "b.example", "", "").port == 587


def test_a_script_that_does_not_end():
    methods = "".join(f"method m{n} {{ call (m{n + 1}); call (m{n + 1}); }}" for n in range(40))
    with pytest.raises(RelayRefused, match="calls in one event") as caught:
        decide(compile_script("event onRelay { call (m0); }" + methods), "b.example", "", "")
    assert caught.value.status == "4.3.5"


def test_ten_thousand_domains_cost_one_look_up():
    """Counted, not timed: a run must not look at the other domains' rules."""
    names = [f"d{number}.example" for number in range(10_000)]
    calls = "".join(f"call (r{number});" for number in range(len(names)))
    methods = "".join(
        f'method r{number} {{ if (allOf (isCase (relayDomain, "{name}"))) {{ set (tlsLevel, "secure"); }} }}'
        for number, name in enumerate(names)
    )
    rules = compile_script(f"event onRelay {{ {calls} }} {methods}")

    class Counted(Variables):
        looks = 0

        def get(self, name, default=None):
            self.looks += name == "relaydomain"
            return super().get(name, default)

    variables = Counted()
    variables.tell(relayDomain="d7777.example", rcptDomain="d7777.example")
    rules.run("onRelay", variables)
    # Once for the row, once for the rule that it found.
    assert (variables.text("tlsLevel"), variables.looks) == ("secure", 2)
    assert decide(rules, "elsewhere.example", "", "").level == "may"
