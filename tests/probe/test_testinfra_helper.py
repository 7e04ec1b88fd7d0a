# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sentences about listeners: for each of them a server of which it is true, one of which it is not, and one not seen."""

from __future__ import annotations

import contextlib
import inspect
import subprocess
import sys

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe.inquiry import Limits
from ansible_collections.securemail.smtp.plugins.plugin_utils.testinfra import Smtp, SmtpListener
from every_check import STRONG
from odd_certificates import NAME
from running_postern import ACCOUNT, EXPLANATION, LOGIN_FIRST, PASSWORD, STARTTLS_FIRST
from sites import FORCED, OTHER, SITES, Bench, where

PLUGIN = "ansible_collections.securemail.smtp.plugins.plugin_utils.testinfra"
#: What OpenSSL's own list has.
GROUPS = (
    "X25519", "P-256", "X448", "P-384", "P-521", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192",
    "X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024",
)
LIMITS = Limits(max_connections=500, timeout=5, total_timeout=30)

#: Sentence, its arguments, a site of which it is true, sites of which it is not.
SENTENCES = (
    ("is_reachable", (), "hardened", ["closed"]),
    ("is_not_reachable", (), "closed", ["hardened"]),
    ("greets", (), "hardened", ["greets with 554", "closed"]),
    ("is_silent_in_clear", (), "hardened implicit", ["answers in clear"]),
    ("offers_starttls", (), "hardened", ["without TLS", "broken handshake", "closed"]),
    ("offers_no_starttls", (), "without TLS", ["hardened", "closed"]),
    ("hides_starttls_inside_tls", (), "hardened", ["STARTTLS inside TLS", "without TLS"]),
    ("forgets_what_was_said_before_tls", (), "hardened", ["keeps the buffer", "skips late plaintext", "keeps the state"]),
    ("accepts_version", ("TLSv1.2", "TLSv1.3"), "hardened", ["unhardened", "SSL 3.0", "closed"]),
    ("refuses_version", ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1"), "hardened", ["all versions", "SSL 2.0", "SSL 3.0", "closed"]),
    ("accepts_suite", ("TLSv1.2", *STRONG), "hardened", ["RC4", "SSL 3.0"]),
    ("accepts_no_other_suites", ("TLSv1.2", *STRONG), "hardened", ["unhardened", "closed"]),
    ("refuses_suites", ("TLSv1.2", "RC4", "DES-CBC3-SHA"), "hardened", ["RC4"]),
    ("refuses_suites", ("TLSv1.2", "AES128-SHA"), "hardened", ["unhardened"]),
    ("decides_the_suite", (), "hardened", ["client's order"]),
    ("negotiates_no_groups_but", GROUPS, "hardened", ["brainpool"]),
    ("has_dh_of", (2048,), "DH 2048", ["DH 1024"]),
    ("does_not_compress", (), "hardened", ["compression"]),
    ("presents_trusted_certificate", (), "hardened", ["self-signed", "other name", "expired", "without TLS"]),
    ("certificate_lasts", (14,), "hardened", ["ends soon", "expired", "not yet valid"]),
    ("certificate_key_has", (2048, 256), "RSA 2048", ["RSA 1024"]),
    ("refuses_plain_auth", (), "hardened", ["unhardened", "closed"]),
    ("offers_mechanisms", ("PLAIN", "login"), "hardened", ["SCRAM too", "no AUTH", "closed"]),
    ("offers_mechanisms", (), "no AUTH", ["hardened"]),
    ("refuses_mechanism", ("SCRAM-SHA-256",), "hardened", ["SCRAM too"]),
    ("accepts_login", ("PLAIN", "LOGIN"), "hardened", ["no password"]),
    ("refuses_wrong_password", ("PLAIN",), "hardened", ["any password"]),
    ("is_no_open_relay", (), "hardened", ["open relay", "closed"]),
    ("refuses_mail_in_clear", (), "submission", ["hardened", "closed"]),
    ("refuses_mail_in_clear", (STARTTLS_FIRST,), "submission", ["other reply"]),
    ("refuses_mail_without_login", (LOGIN_FIRST,), "submission", ["hardened", "closed"]),
    ("forces_tls_for", (FORCED, EXPLANATION), "hardened", ["other words", "unhardened", "forces inside TLS", "closed"]),
    ("forces_tls_for", (FORCED,), "other words", ["unhardened"]),
    ("takes_mail_in_clear_for", (OTHER,), "hardened", ["forces everything", "closed"]),
    ("meets", ("intermediate",), "hardened", ["unhardened", "closed"]),
    ("meets_policy", ({"forced_tls_domains": [{"domain": FORCED}]},), "hardened", ["unhardened", "closed"]),
    (
        "meets_policy", ({"auth_rules": [
            {"name": "a", "connection": "plain", "mechanisms": []},
            {"name": "b", "connection": "tls", "mechanisms": ["PLAIN", "LOGIN"]},
        ]},), "hardened", ["unhardened", "SCRAM too"],
    ),
)
#: What is no sentence.
OTHERS = {"forget", "observation", "fact", "rows"}


@pytest.fixture(scope="module")
def at(office, tmp_path_factory):
    """A function that gives a running site as a listener; each is started once, and all of them run till the end."""
    known = {}
    with contextlib.ExitStack() as running:

        def listener(name):
            if name not in known:
                bench = running.enter_context(Bench(office, tmp_path_factory.mktemp("bench")))
                server = running.enter_context(SITES[name].start(bench))
                known[name] = SmtpListener(where(SITES[name], server, office), LIMITS)
            return known[name]

        yield listener


def say(listener, sentence, arguments):
    return getattr(listener, sentence)(*arguments)


@pytest.mark.parametrize("sentence, arguments, true, false", SENTENCES, ids=["%s-%d" % (row[0], at) for at, row in enumerate(SENTENCES)])
def test_a_sentence_is_true_of_one_server_and_not_of_others(at, sentence, arguments, true, false):
    assert say(at(true), sentence, arguments) is True
    for name in false:
        with pytest.raises(AssertionError) as failure:
            say(at(name), sentence, arguments)
        for part in ("expected: ", "seen: ", "source: "):
            assert part in str(failure.value), (name, str(failure.value))


def test_each_sentence_has_both():
    public = {name for name, _function in inspect.getmembers(SmtpListener, inspect.isfunction) if not name.startswith("_")}
    assert public - OTHERS == {row[0] for row in SENTENCES}


@pytest.mark.parametrize("sentence, arguments", [row[:2] for row in SENTENCES if row[0] != "is_not_reachable"])
def test_no_sentence_is_true_of_a_server_that_nobody_can_see(at, sentence, arguments, office):
    """Least of all those that say what a server does not do."""
    class _Gone:
        port = at("closed")._asked.port

    site = SITES["hardened implicit" if sentence == "is_silent_in_clear" else "hardened"]
    with pytest.raises(AssertionError) as failure:
        say(SmtpListener(where(site, _Gone, office), LIMITS), sentence, arguments)
    assert "refused" in str(failure.value)


def test_a_failure_says_what_was_expected_and_seen_and_who_asks_for_it(at):
    with pytest.raises(AssertionError) as failure:
        at("unhardened").refuses_version("TLSv1.1", "TLSv1.3")
    words = str(failure.value)
    # TLSv1.3 is refused there, so that only one of the two is told.
    assert "1 of 2 checks did not pass" in words and "TLSv1.3" not in words
    assert "TLSv1.1\n    expected: refused\n    seen:     TLSv1.1 " in words
    assert "source:   RFC 8996" in words
    # The end of the connection that shows it.
    assert "C: ClientHello TLSv1.1" in words


def test_what_was_not_seen_says_why(at):
    with pytest.raises(AssertionError, match="not observable: .*refused.*network"):
        at("closed").refuses_plain_auth()


def test_a_listener_is_looked_at_when_a_sentence_needs_it_and_once(office, tmp_path):
    with Bench(office, tmp_path) as bench, SITES["hardened"].start(bench) as server:
        listener = SmtpListener(where(SITES["hardened"], server, office), LIMITS)
        assert listener._seen is None
        assert listener.offers_starttls()
        first = listener.observation("dialogue").connections
        assert listener.greets() and listener.offers_starttls() and listener.hides_starttls_inside_tls()
        assert listener.observation("dialogue").connections == first
        # Something else is looked at beside it, and the numbers of the connections go on.
        assert listener.refuses_version("TLSv1.1")
        seen = listener.observation("versions")
        assert [dialogue.number for dialogue in seen.dialogues] == list(range(1, seen.connections + 1))
        assert min(seen.fact("version.TLSv1.1").evidence) > first
        assert not [name for name in seen.facts if name.startswith(("suites.", "login.", "wrong_password.", "forced_"))]
    # The server is gone, and what was seen stays until somebody says otherwise.
    assert listener.greets()
    listener.forget()
    with pytest.raises(AssertionError):
        listener.greets()


def test_the_password_is_shown_to_nobody(at):
    listener = at("no password")
    with pytest.raises(AssertionError) as failure:
        listener.accepts_login("PLAIN")
    everything = "%s %r %r" % (failure.value, listener, listener.observation("login"))
    assert at("no password")._asked.credentials.password not in everything


def test_the_same_words_give_the_same_listener(at, office):
    smtp = Smtp(ca_file=office.ca_file)
    port = at("hardened")._asked.port
    words = {"server_name": NAME, "username": ACCOUNT, "password": PASSWORD, "other_domain": OTHER}
    listener = smtp.listener("127.0.0.1:%d" % port, forced_tls_domains=[FORCED], **words)
    assert listener.presents_trusted_certificate() and listener.accepts_login("PLAIN")
    assert listener is smtp.listener("127.0.0.1:%d" % port, forced_tls_domains=[FORCED], **words)
    assert listener is not smtp.listener("127.0.0.1:%d" % port, "none")
    assert PASSWORD not in repr(listener)


CONFTEST = "pytest_plugins = ['%s']\n" % PLUGIN
SOMEBODYS_TESTS = """
def test_right(smtp):
    assert smtp.listener("127.0.0.1:{port}").refuses_plain_auth()

def test_wrong(smtp):
    assert smtp.listener("127.0.0.1:{port}").accepts_version("TLSv1.1")

def test_looked_at_once(smtp):
    assert smtp.listener("127.0.0.1:{port}")._seen is not None
"""


def test_somebodys_own_tests(at, tmp_path):
    """As the module's documentation says it, in a pytest that knows nothing of this one."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_mail.py").write_text(SOMEBODYS_TESTS.format(port=at("hardened")._asked.port))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "expected: accepted" in done.stdout and "source:   RFC 8996" in done.stdout
    assert "Warning" not in done.stdout


@pytest.mark.parametrize(
    "address, more, words",
    [
        ("mail.example.org", {}, "port is missing"),
        ("[::]:25", {}, "no host"),
        ("mail.example.org:25", {"tls": "ssl"}, "starttls"),
        ("mail.example.org:25", {"username": "anna"}, "password is missing"),
        ("mail.example.org:25", {"ca_file": "/nonexistent.pem"}, "nonexistent"),
        ("mail.example.org:25", {"forced_tls_domains": ["a@b"]}, "mail address"),
    ],
)
def test_bad_words_are_named_at_once(address, more, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        Smtp().listener(address, **more)


def test_what_cannot_be_said_is_refused(at):
    listener = at("hardened implicit")
    with pytest.raises(TypeError, match="port"):
        Smtp().listener("mail.example.org:25", port=25)
    for nothing in (listener.refuses_version, listener.refuses_suites, listener.meets):
        with pytest.raises((ValueError, TypeError)):
            nothing()
    with pytest.raises(ValueError, match="nothing is named"):
        listener.refuses_suites("TLSv1.2")
    # Of what nobody knows there is none anywhere.
    with pytest.raises(ValueError, match="no suite and no family"):
        listener.refuses_suites("TLSv1.2", "RC5")
    with pytest.raises(ValueError, match=r"TLSv1\.4"):
        listener.refuses_version("TLSv1.4")
    with pytest.raises(ValueError, match="perfect"):
        listener.meets("perfect")
    with pytest.raises(ValueError, match="is no part of a policy"):
        listener.meets_policy({"listener": []})
    with pytest.raises(ValueError, match="checks"):
        listener.observation("everything")
    with pytest.raises(ValueError, match="has to speak first"):
        at("hardened").is_silent_in_clear()
    with pytest.raises(ValueError, match="username"):
        at("expired").accepts_login("PLAIN")


def test_rows_are_those_of_the_module(at):
    rows = at("hardened").rows("intermediate", {"forced_tls_domains": [{"domain": FORCED, "reject_message": EXPLANATION}]})
    assert {row.origin for row in rows} == {"intermediate", "policy"}
    assert [row.verdict for row in rows if row.check == "forced_clear"] == ["pass"]
