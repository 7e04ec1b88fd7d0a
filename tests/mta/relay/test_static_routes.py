# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Static routes: which one counts, what is left of the script's wishes, and what the real server does with both."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import replace

import pytest
import relay_lab
import wire_fingerprints
from postern import bootstrap
from postern.rules.engine import compile_script
from postern.rules.relay import DEFAULT_VERSIONS, VERSIONS, Relay, RelayRefused, decide
from postern.rules.static_routes import Route, Routes

ONE, OTHER, THIRD = (bytes(range(start, start + 32)).hex(":").upper() for start in (0, 32, 64))
PASSWORD = "zebra crossing ü"


def together(route: Route | None, **said: str) -> Relay:
    """What a script that sets these variables and a route decide about b.example."""
    script = "event onRelay { %s }" % " ".join(f'set ({name}, "{value}");' for name, value in said.items())
    return decide(compile_script(script), "b.example", "ann@a.example", "", Routes([route] if route else []))


def route(**fields) -> Route:
    return Route("b.example", **fields)


# --- which one ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("domain", "found"), [
    ("example.com", "example.com"), ("Example.COM.", "example.com"), ("a.example.com", ".example.com"),
    ("b.a.example.com", ".a.example.com"), ("a.b.a.example.com", ".a.example.com"), ("c.b.example.com", ".example.com"),
    ("badexample.com", "*"), ("com", "*"), ("example.net", "*"), ("[192.0.2.1]", "*"), ("[IPv6:2001:db8::1]", "*"),
])  # fmt: skip
def test_the_most_exact_route_counts(domain, found):
    names = ("*", ".example.com", "example.com", ".a.example.com", "0.2.1]")
    for order in (names, names[::-1]):
        assert Routes([Route(name) for name in order]).find(domain).domain == found
    assert Routes([Route("example.com"), Route(".example.com")]).find("example.net") is None


# --- the stricter of both -------------------------------------------------------------------------


@pytest.mark.parametrize(("by_route", "said", "level"), [
    ("", {}, "may"), ("", {"tlsLevel": "verify"}, "verify"),
    # The script says nothing of TLS: the route's level holds, a weak one too.
    ("none", {}, "none"), ("may", {}, "may"), ("encrypt", {}, "encrypt"),
    ("secure", {"tlsMatch": "x.example"}, "secure"),
    ("none", {"remoteSmtpPort": "2525", "allowedSSLVersions": "tls13"}, "none"), ("none", {"sslEnabled": ""}, "none"),
    # It says something: the stricter one.
    ("none", {"allowStartTLS": "yes"}, "may"), ("none", {"tlsLevel": "encrypt"}, "encrypt"),
    ("encrypt", {"allowStartTLS": "no"}, "encrypt"), ("verify", {"tlsLevel": "none", "allowStartTLS": "no"}, "verify"),
    ("verify", {"sslEnabled": "yes"}, "verify"), ("encrypt", {"tlsLevel": "secure"}, "secure"),
    # TLS from the first byte is a wish for TLS.
    ("none", {"remoteSmtpTls": "implicit"}, "encrypt"),
])  # fmt: skip
def test_the_level(by_route, said, level):
    assert together(route(level=by_route), **said).level == level


def test_the_reason_is_of_the_one_whose_level_holds():
    said = {"tlsLevel": "verify", "tlsReason": "contract 17"}
    assert together(route(level="encrypt"), **said).reason == "contract 17"
    assert together(route(level="verify"), **said).reason == "contract 17"
    assert together(route(level="secure"), **said).reason == "static route b.example"
    assert together(route(level="may")).reason == "static route b.example"
    assert together(route()).reason == ""


def test_level_fingerprint_of_one_or_both():
    pinned = route(level="fingerprint", fingerprints=(ONE, OTHER))
    for said in ({}, {"tlsLevel": "secure", "tlsMatch": "x.example"}):
        found = together(pinned, **said)
        assert (found.level, found.fingerprints) == ("fingerprint", (ONE, OTHER))
    script = {"tlsLevel": "fingerprint", "tlsFingerprints": f"{OTHER} {THIRD}"}
    assert together(pinned, **script).fingerprints == (OTHER,)
    assert together(route(level="secure", match=("x.example",)), **script).fingerprints == (OTHER, THIRD)
    with pytest.raises(RelayRefused, match="b.example have no fingerprints in common") as refused:
        together(replace(pinned, fingerprints=(ONE,)), **script)
    assert refused.value.status == "4.7.5"


@pytest.mark.parametrize(("by_route", "by_script", "match"), [
    ((), "x.example", ("x.example",)), (("x.example",), "", ("x.example",)),
    ((".example", "mx.test"), "a.example b.test mx.test", ("a.example", "mx.test")),
    (("a.b.example",), ".example", ("a.b.example",)), ((".b.example",), ".example", (".b.example",)),
    ((".example",), "example", None), (("a.example",), "b.example", None),
])  # fmt: skip
def test_names_that_both_accept(by_route, by_script, match):
    said = {"tlsLevel": "secure", **({"tlsMatch": by_script} if by_script else {})}
    if match is None:
        with pytest.raises(RelayRefused, match="no names of a certificate in common"):
            together(route(level="secure", match=by_route), **said)
    else:
        assert together(route(level="secure", match=by_route), **said).match == match


def test_versions_that_both_allow():
    assert together(route()).versions == DEFAULT_VERSIONS
    assert together(route(versions=VERSIONS[1:3])).versions == VERSIONS[1:3]
    assert together(route(versions=VERSIONS[1:3]), allowedSSLVersions="tls12 tls13").versions == ("TLSv1.2",)
    with pytest.raises(RelayRefused, match="no TLS versions in common"):
        together(route(versions=("TLSv1.3",)), allowedSSLVersions="tls12")


# --- where it goes --------------------------------------------------------------------------------


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "relay.password"
    path.write_text(PASSWORD + "\n")
    return str(path)


def test_a_host_of_the_route(password_file):
    found = together(
        route(host="r.example", port=2525, user="ann", password_file=password_file),
        remoteSmtpPort="26", remoteSmtpUser="bob", remoteSmtpPassword="x", remoteSmtpClearLogin="yes",
    )  # fmt: skip
    assert (found.host, found.port, found.implicit) == ("r.example", 2525, False)
    assert (found.user, found.password, found.clear_login) == ("ann", PASSWORD, False)
    assert PASSWORD not in repr(found)


def test_a_host_of_the_script_gets_nothing_that_is_the_routes_but_the_level(password_file):
    full = route(host="r.example", port=2465, implicit=True, level="verify", user="ann", password_file=password_file)
    found = together(full, remoteSmtpHost="other.example")
    assert (found.host, found.port, found.implicit, found.level) == ("other.example", 25, False, "verify")
    assert (found.user, found.password) == ("", "")
    # The route spoke TLS from the first byte: in clear it goes to nobody.
    assert together(replace(full, level=""), remoteSmtpHost="other.example").level == "encrypt"


@pytest.mark.parametrize(("fields", "said", "where"), [
    ({"host": "r.example"}, {}, ("r.example", 25, False, "may")),
    ({"host": "r.example", "implicit": True}, {}, ("r.example", 465, True, "encrypt")),
    ({"host": "r.example", "port": 465, "level": "none"}, {}, ("r.example", 465, True, "encrypt")),
    ({"host": "r.example", "port": 465, "implicit": False}, {}, ("r.example", 465, False, "may")),
    ({"port": 2525}, {}, ("", 2525, False, "may")), ({"port": 2525}, {"remoteSmtpPort": "26"}, ("", 26, False, "may")),
    ({"implicit": True}, {"remoteSmtpPort": "26"}, ("", 26, True, "encrypt")),
    ({"port": 465}, {}, ("", 465, True, "encrypt")),
])  # fmt: skip
def test_ports(fields, said, where):
    found = together(route(**fields), **said)
    assert (found.host, found.port, found.implicit, found.level) == where


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\n", b"a\0b\n", b"x" * 5000])
def test_a_password_file_that_cannot_be_used_makes_mail_wait(content, tmp_path):
    path = tmp_path / "relay.password"
    path.write_bytes(content)
    for file in (path, tmp_path / "none"):
        with pytest.raises(RelayRefused, match="static route b.example: password file .*: ") as refused:
            together(route(host="r.example", user="ann", password_file=str(file)))
        assert refused.value.status == "4.3.5" and "lines" not in str(refused.value)


# --- the tables -----------------------------------------------------------------------------------

HEAD = f"""\
host_name = "mail.example.test"
state_dir = "/var/lib/postern"
run_dir = "/run/postern"
user = "{pwd.getpwuid(os.geteuid()).pw_name}"
[[route]]
domain = "first.example"
"""


def load(folder, text: str, files: bool = False) -> bootstrap.Bootstrap:
    path = folder / "postern.toml"
    path.write_text(HEAD + text)
    return bootstrap.load(str(path), files=files)


def test_a_table_with_everything(tmp_path, password_file):
    found = load(tmp_path, f"""
[[route]]
domain = "*.München.example."
host = "[192.0.2.1]"
port = 2525
tls = "implicit"
level = "fingerprint"
fingerprints = ["{ONE.lower()}", "sha256:{ONE.replace(":", "")}"]
versions = ["TLSv1.3", "TLSv1.2"]
user = "ann"
password_file = "relay.password"
[[route]]
domain = "*"
level = "secure"
match = [".Example."]
""", files=True)  # fmt: skip
    assert found.routes == (
        Route("first.example"),
        Route(".xn--mnchen-3ya.example", "192.0.2.1", 2525, True, "fingerprint", (), (ONE,), DEFAULT_VERSIONS, "ann",
              password_file),
        Route("*", level="secure", match=(".example",)),
    )  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), [
    ('domain = "FIRST.example"', "domain: first.example has another route already"),
    ("domain = 5", "domain: it must be a text in quotes"),
    ('domain = "ann@b.example"', "domain: it must be a domain name like"),
    ('level = "dane"', "level: this server has no level 'dane'; it has none, may, encrypt, verify, secure, fin"),
    ('level = "fingerprint"', "fingerprints: level fingerprint needs at least one"),
    (f'fingerprints = ["{ONE}"]', "fingerprints: they are for level fingerprint alone"),
    (f'fingerprints = ["{ONE[3:]}"]', "is no SHA-256 fingerprint"),
    ('level = "verify"\nmatch = ["b.example"]', "match: names are for level secure alone"),
    ('match = ["*.b.example"]', "'*.b.example' is neither a name nor a dot and a name"),
    ("match = \"b.example\"", "match: it must be a list of texts in quotes"),
    ('versions = ["TLSv1.1", "TLSv1.3"]', "versions: there is a gap"),
    ('versions = ["tls12"]', "versions: known are: TLSv1, "),
    ("port = true", "port: it must be a whole number"), ("port = 0", "port: it must be a whole number"),
    ('tls = "none"', "tls: 'none' is neither starttls nor implicit"),
    ('host = "r.example:25"', "host: 'r.example:25' is neither"),
    ('user = "ann"\nhost = "r.example"', "password_file: it is missing, and there is user"),
    ('password_file = "x"', "user: it is missing, and there is password_file"),
    ('user = "ann"\npassword_file = "x"', "user: there is no host to log in at"),
    ('user = "ann"\npassword_file = "x"\nhost = "r.example"\nlevel = "none"', "level: a login is not sent without TLS"),
    ('user = "ann"\npassword_file = "none"\nhost = "r.example"', "none: no such file or directory"),
    ('password = "secret"', "password: unknown key"),
])  # fmt: skip
def test_a_table_that_cannot_be_used_is_named_with_its_line(line, reason, tmp_path):
    domain = "" if line.startswith("domain") else 'domain = "b.example"\n'
    with pytest.raises(bootstrap.BootstrapError) as error:
        load(tmp_path, f"[[route]]\n{domain}{line}\n", files=True)
    (problem,) = [each for each in str(error.value).splitlines() if reason in each]
    place, _blank, rest = problem.partition(": ")
    text, number = (HEAD + f"[[route]]\n{domain}{line}\n").splitlines(), int(place.rpartition(":")[2])
    key = rest.partition(":")[0].removeprefix("route[2].")
    # A key that is missing is missed in its table.
    assert text[number - 1].startswith(f"{key} = ") or text[number - 1] == "[[route]]", problem
    assert number > HEAD.count("\n") and "secret" not in str(error.value)


def test_what_is_no_table_of_routes(tmp_path):
    with pytest.raises(bootstrap.BootstrapError, match=r"postern.toml:1: route: it must be tables: \[\[route\]\]"):
        path = tmp_path / "postern.toml"
        path.write_text("route = 5\n" + HEAD.partition("[[")[0])
        bootstrap.load(str(path))


# --- the real server ------------------------------------------------------------------------------

#: As an auditor asks for it: TLS with everybody but those who are named; some must prove who they are.
TABLES = f"""
[[route]]
domain = "*"
level = "encrypt"
[[route]]
domain = ".gov.test"
level = "secure"
match = [".gov.test"]
[[route]]
domain = "old.gov.test"
level = "may"
[[route]]
domain = "fax.test"
level = "none"
[[route]]
domain = "werk.test"
host = "relay.werk.test"
port = PORT
level = "fingerprint"
fingerprints = ["{ONE}", "PINNED"]
user = "ann"
password_file = "relay.password"
"""


@pytest.fixture(scope="module")
def pinned(authority):
    """A certificate that nobody has signed."""
    return authority.issue_self_signed("werk.pem", "x.invalid")


@pytest.fixture(scope="module")
def routed(tmp_path_factory, authority, pinned):
    """A lab with routes."""
    folder = tmp_path_factory.mktemp("routed")
    (folder / "relay.password").write_text(PASSWORD + "\n")
    with relay_lab.Lab(folder, authority, tables=TABLES.replace("PINNED", wire_fingerprints.of_key(pinned))) as lab:
        yield lab


@pytest.mark.parametrize(("domain", "clear", "said", "level", "reached", "reason"), [
    ("any.test", False, {}, "encrypt", "encrypt", "*"), ("any.test", True, {}, "encrypt", "", "*"),
    ("a.gov.test", False, {}, "secure", "secure", ".gov.test"), ("b.a.gov.test", True, {}, "secure", "", ".gov.test"),
    ("old.gov.test", False, {}, "may", "encrypt", "old.gov.test"),
    ("old.gov.test", True, {}, "may", "clear", "old.gov.test"),
    ("fax.test", False, {}, "none", "clear", "fax.test"), ("gov.test", False, {}, "encrypt", "encrypt", "*"),
    # The script can raise a level and not lower it.
    ("fax.test", False, {"tlsLevel": "verify"}, "verify", "verify", ""),
    ("any.test", True, {"allowStartTLS": "no", "tlsLevel": "none"}, "encrypt", "", "*"),
])  # fmt: skip
def test_every_domain_at_its_level(routed, domain, clear, said, level, reached, reason):
    host = f"mx.{domain}"
    behaviour = {"starttls": False} if clear else {"certificate": routed.certificate(host)}
    seen = len(routed.events.all("relay.attempt", domain=domain))
    with routed.peer(host, **behaviour) as sink:
        routed.mx(domain, host)
        routed.policy(**said)
        routed.submit(f"r@{domain}")
        event = routed.attempt(domain, seen + 1)
        sink.wait_idle()
        assert len(sink.messages) == bool(reached)
    assert (event["level"], event["reached"]) == (level, reached or "clear")
    assert event["level_reason"] == (f"static route {reason}" if reason else "")
    assert event["result"] == ("sent" if reached else "deferred")
    if not reached:
        assert event["reason"].startswith("4.7.4") and event["retry"] > 0


def test_a_route_with_a_login_and_a_known_key(routed, pinned):
    login = {"auth": {"ann": PASSWORD}}
    routed.policy(tlsLevel="encrypt")
    with routed.peer("relay.werk.test", certificate=routed.certificate("relay.werk.test"), **login) as sink:
        routed.submit("r@werk.test")
        event = routed.attempt("werk.test")
        (session,) = sink.wait_idle()
        assert not session.logins and not sink.messages
    assert (event["level"], event["result"], event["reason"][:5]) == ("fingerprint", "deferred", "4.7.5")
    with routed.peer("relay.werk.test", certificate=pinned, **login) as sink:
        routed.submit("r@werk.test")
        event = routed.attempt("werk.test", 2)
        assert [message.user for message in sink.messages] == ["ann"]
    assert (event["level"], event["reached"], event["result"]) == ("fingerprint", "fingerprint", "sent")
    text = routed.events.text()
    assert PASSWORD not in text and json.dumps(PASSWORD)[1:-1] not in text
