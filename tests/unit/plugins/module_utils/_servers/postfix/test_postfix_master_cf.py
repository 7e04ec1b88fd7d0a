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
