# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""master.cf as a text: what is read of it, and that an edit leaves the bytes of everything else."""

from __future__ import annotations

import random

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.master_cf import MasterCf

ODD = """\
# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
#smtp     inet  n       -       y       -       1       postscreen
submission inet n       -       y       -       20      smtpd -v
  -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt
# about the next one
\t-o { smtpd_client_restrictions = permit_sasl_authenticated, reject }
  -o
    smtpd_helo_required=yes
smtps     inet  n       -       y       -       -       smtpd -o smtpd_tls_wrappermode=yes
smtps     inet  n       -       y       -       -       smtpd
pickup    unix  n       -       y       60      1       pickup
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}"""


def options(master, identity):
    return master.service(identity).options


def test_what_is_read():
    master = MasterCf.parse(ODD)
    assert master.text == ODD
    assert [service.id for service in master.services] == [
        "smtp/inet", "submission/inet", "smtps/inet", "smtps/inet#2", "pickup/unix", "maildrop/unix",
    ]
    service = master.service("submission/inet")
    assert service.options == (
        ("syslog_name", "postfix/submission"),
        ("smtpd_tls_security_level", "encrypt"),
        ("smtpd_client_restrictions", "permit_sasl_authenticated, reject"),
        ("smtpd_helo_required", "yes"),
    )
    assert (service.line, service.last_line, service.option_line("smtpd_client_restrictions")) == (4, 9, 7)
    assert (service.arguments, service.column("chroot"), service.column("process_limit")) == (("-v",), "y", "20")
    assert options(master, "smtps/inet") == (("smtpd_tls_wrappermode", "yes"),)


@pytest.mark.parametrize("identity, name, value, before, after", [
    ("submission/inet", "smtpd_tls_security_level", "may", "=encrypt\n", "=may\n"),
    ("submission/inet", "smtpd_client_restrictions", "permit", "-o { smtpd_client_restrictions = permit_sasl_authenticated, reject }",
     "-o smtpd_client_restrictions=permit"),
    ("submission/inet", "smtpd_helo_required", "no", "    smtpd_helo_required=yes", "    smtpd_helo_required=no"),
    ("submission/inet", "x", "a b", "    smtpd_helo_required=yes\n", "    smtpd_helo_required=yes\n  -o { x = a b }\n"),
    ("smtps/inet", "smtpd_tls_wrappermode", "no", "wrappermode=yes", "wrappermode=no"),
    ("smtp/inet", "x", "1", "       smtpd\n#smtp", "       smtpd\n  -o x=1\n#smtp"),
])
def test_an_option_changes_its_own_piece_alone(identity, name, value, before, after):
    changed = MasterCf.parse(ODD).with_option(identity, name, value)
    assert changed.text == ODD.replace(before, after, 1)
    assert dict(options(changed, identity))[name] == value


@pytest.mark.parametrize("identity, name, before, after", [
    ("submission/inet", "syslog_name", "  -o syslog_name=postfix/submission -o", "  -o"),
    ("submission/inet", "smtpd_tls_security_level", " -o smtpd_tls_security_level=encrypt\n", "\n"),
    ("submission/inet", "smtpd_client_restrictions", "\t-o { smtpd_client_restrictions = permit_sasl_authenticated, reject }\n", ""),
    ("submission/inet", "smtpd_helo_required", "  -o\n    smtpd_helo_required=yes\n", ""),
    ("smtps/inet", "smtpd_tls_wrappermode", " -o smtpd_tls_wrappermode=yes", ""),
])
def test_an_option_goes(identity, name, before, after):
    changed = MasterCf.parse(ODD).without_option(identity, name)
    assert changed.text == ODD.replace(before, after, 1)
    assert name not in dict(options(changed, identity))


def test_of_an_option_that_stands_twice_the_last_one_counts():
    text = "a inet n - n - - smtpd\n -o x=1\n -o x=2\n"
    assert MasterCf.parse(text).with_option("a/inet", "x", "3").text == text.replace("2", "3")
    assert MasterCf.parse(text).without_option("a/inet", "x").text == "a inet n - n - - smtpd\n"


@pytest.mark.parametrize("identity", ["smtp/inet", "submission/inet", "smtps/inet", "smtps/inet#2", "maildrop/unix"])
def test_what_is_switched_off_comes_back_byte_for_byte(identity):
    master = MasterCf.parse(ODD)
    name = master.service(identity).name
    off = master.commented(identity)
    assert len(off.services) == len(master.services) - 1
    (service,) = off.disabled
    assert service.name == name
    assert off.uncommented(service.id).text == ODD


def test_a_service_comes_behind_its_like_and_goes():
    master = MasterCf.parse(ODD).with_service("0.0.0.0:587", "smtp/inet", [("a", "b")])
    added = "0.0.0.0:587 inet  n       -       y       -       -       smtpd\n  -o a=b\n"
    assert master.text == ODD.replace("pickup ", added + "pickup ", 1)
    assert master.without_service("0.0.0.0:587/inet").text == ODD
    assert MasterCf.parse("# nothing").with_service("25").services[0].command == "smtpd"


def test_a_column_keeps_the_others_in_their_places():
    changed = MasterCf.parse(ODD).with_column("submission/inet", "process_limit", "100").with_column("submission/inet", "chroot", "n")
    assert "submission inet n       -       n       -       100     smtpd -v\n" in changed.text
    assert changed.with_column("submission/inet", "process_limit", "20").with_column("submission/inet", "chroot", "y").text == ODD


def test_options_below_a_comment_belong_to_the_service_above():
    text = "smtp inet n - y - - smtpd\n#submission inet n - y - - smtpd\n  -o a=1\n#  -o b=2\n  -o c=3\npickup unix n - y 60 1 pickup\n"
    (stray,) = MasterCf.parse(text).strays
    assert (stray.line, stray.service_id, stray.options) == (2, "smtp/inet", (("a", "1"), ("c", "3")))
    assert not MasterCf.parse(ODD).strays, "a comment that has no options below it is one"


def test_a_comment_with_blanks_before_it_separates_no_more():
    (stray,) = MasterCf.parse("smtp inet n - y - - smtpd\n  #smtps inet n - y - - smtpd\n  -o a=1\n").strays
    assert (stray.line, stray.options) == (2, (("a", "1"),))


HEAD = "a inet n - n - - smtpd"


@pytest.mark.parametrize("words, expected", [
    (" -ox=1", [("x", "1")]),
    (" -o x={a b}", [("x", "{a b}")]),
    (" -o x=y,static:{530 5.7.0 no},z -o u=v", [("x", "y,static:{530 5.7.0 no},z"), ("u", "v")]),
    (" -o { x = {a b} }", [("x", "{a b}")]),
    ("\n  -o { x = a,\n# c\n    b }\n  -o u=v", [("x", "a, b"), ("u", "v")]),
    (" {-o x = a b} -o u=v", [("x", "a b"), ("u", "v")]),
    (" -vo x=1 -vox=2", [("x", "1"), ("x", "2")]),
    (" -o x=a}b -o u=v", [("x", "a}b"), ("u", "v")]),
])
def test_options_in_all_their_spellings(words, expected):
    """As ``postconf -P`` of Postfix 3.7 tells them, but for a flag inside braces, which it leaves out."""
    text = HEAD + words + "\nb inet n - n - - smtpd\n"
    master = MasterCf.parse(text)
    assert list(options(master, "a/inet")) == expected
    for value in ("1", "p q", "s:{t u}"):
        changed = master.with_option("a/inet", "x", value)
        assert dict(options(changed, "a/inet")) == dict(expected, x=value)
        assert options(changed, "b/inet") == () and ("# c\n" in changed.text) == ("# c\n" in text)
    gone = master.without_option("a/inet", "x")
    assert options(gone, "a/inet") == tuple(pair for pair in expected if pair[0] != "x")
    assert gone.service("a/inet").arguments == master.service("a/inet").arguments and len(gone.services) == 2


@pytest.mark.parametrize("words, after", [
    (" -ox=1", " -o { x = p q }"),
    (" -vox=1", " -vo { x = p q }"),
    ("\n  -o { x = a,\n# c\n    b } -o u=v", "\n  -o { x = p q } -o u=v\n# c"),
])
def test_a_value_with_blanks_is_a_word_of_its_own(words, after):
    assert MasterCf.parse(HEAD + words + "\n").with_option("a/inet", "x", "p q").text == HEAD + after + "\n"


def test_options_of_the_command_that_a_daemon_runs_are_not_its_own():
    text = "p unix - n n - - pipe\n  flags=F argv=/bin/x -o a=b\nq unix - n n - - pipe -o u=1 argv=/bin/x -o a=b\n"
    master = MasterCf.parse(text)
    assert options(master, "p/unix") == () and options(master, "q/unix") == (("u", "1"),)
    assert master.without_option("p/unix", "a").text == text
    both = master.with_option("p/unix", "a", "1").with_option("q/unix", "a", "2")
    assert both.text == text.replace("  flags", "  -o a=1\n  flags").replace("u=1 argv", "u=1 -o a=2 argv")
    assert both.without_option("p/unix", "a").without_option("q/unix", "a").text == text


def test_an_entry_that_begins_with_a_blank_where_nothing_stands_above_is_none():
    assert [service.name for service in MasterCf.parse("  " + HEAD + "\nb inet n - n - - smtpd\n").services] == ["b"]


@pytest.mark.parametrize("value", ["a\nb", "a{b", "a } b { c"])
def test_what_an_option_cannot_hold_is_refused(value):
    with pytest.raises(ValueError):
        MasterCf.parse(HEAD + "\n").with_option("a/inet", "x", value)


@pytest.mark.parametrize("end", ["", "\r\n"])
def test_line_ends_are_those_of_the_file(end):
    text = (ODD + "\n").replace("\n", "\r\n")[: None if end else -2].encode().replace(b"about", b"\xff").decode("utf-8", "surrogateescape")
    master = MasterCf.parse(text)
    assert master.service("submission/inet").options == MasterCf.parse(ODD).service("submission/inet").options
    added = master.with_service("x", "smtps/inet", [("a", "b c")]).with_option("pickup/unix", "k", "v").with_option("smtp/inet", "k", "v")
    assert added.text.count("\n") == added.text.count("\r\n") == text.count("\n") + 4
    assert added.without_service("x/inet").without_option("pickup/unix", "k").without_option("smtp/inet", "k").text == text
    last = master.with_option("maildrop/unix", "k", "v")
    assert last.without_option("maildrop/unix", "k").text == text


@pytest.mark.parametrize("seed", range(100))
def test_services_that_go_off_and_on_in_any_order_leave_every_byte(seed):
    dice = random.Random(seed)
    master = MasterCf.parse(ODD.replace("smtps     inet  n       -       y       -       -       smtpd\n", ""))
    text, names = master.text, [service.id for service in master.services]
    off = dice.sample(names, dice.randrange(1, len(names) + 1))
    for identity in off:
        master = master.commented(identity)
        assert master.service(identity) is None
    assert {service.id for service in master.disabled} == set(off)
    assert {service.id for service in master.services} == set(names) - set(off)
    dice.shuffle(off)
    for identity in off:
        master = master.uncommented(identity)
    assert master.text == text


@pytest.mark.parametrize("seed", range(200))
def test_random_edits_leave_everything_else(seed):
    dice = random.Random(seed)
    master = MasterCf.parse(ODD)
    wanted = {service.id: dict(service.options) for service in master.services}
    touched = set()
    for unused in range(dice.randrange(1, 6)):
        identity = dice.choice(["smtp/inet", "submission/inet", "smtps/inet"])
        name = dice.choice(["syslog_name", "smtpd_tls_security_level", "x", "smtpd_tls_wrappermode", "smtpd_helo_required"])
        touched.add(name)
        if dice.random() < 0.4:
            master = master.without_option(identity, name)
            wanted[identity].pop(name, None)
        else:
            wanted[identity][name] = dice.choice(["1", "$y", "a b, c"])
            master = master.with_option(identity, name, wanted[identity][name])
        assert {service.id: dict(service.options) for service in master.services} == wanted
    kept = iter(master.text.splitlines())
    for line in ODD.splitlines():
        if not any(name in line for name in touched) and line != "  -o":
            assert line in kept, (seed, line)
