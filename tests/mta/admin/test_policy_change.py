# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A new policy while mail comes in: nobody is cut off, and nobody stays with the old rules for longer than a mail."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import threading

import pytest
from postern import passwords
from postern.rules import compiled
from whole_server import add_listener, free_port, put_script, smtp, tls

OPEN = b'event onEhlo { set (remoteDelivery, "all"); }\n'
CLOSED = b"""event onEhlo { set (remoteDelivery, "all"); set (plainConnAuthTypes, "none"); }
event onRcptTo { call (forced); }
method forced {
\tif (allOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, "partner.test"))) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "only with TLS");
\t}
}
"""
PLAIN = "AUTH PLAIN " + base64.b64encode(b"\0u@example.com\0wrong").decode()


def big(count: int) -> bytes:
    """A script of this many domains, 280 bytes each."""
    head = CLOSED.rstrip().replace(b"call (forced);", b"call (forced);\n\t%s\n" % b"\n\t".join(
        b"call (allow_only_tls_for_d%d_example_com);" % n for n in range(count)
    ))  # fmt: skip
    method = CLOSED[CLOSED.index(b"method") :]
    return head + b"".join(
        b"\n\n" + method.replace(b"forced", b"allow_only_tls_for_d%d_example_com" % n).replace(b"partner", b"d%d" % n)
        for n in range(count)
    )


@pytest.fixture
def port(whole, certificate, monkeypatch):
    """A listener that takes mail for everybody, in clear and inside TLS."""
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 4)
    found = free_port()
    admin = whole.admin()
    admin.ok("CREATE Domain partner.test postmasterPassword x", "COMMIT")
    add_listener(admin, found, f"certFile {certificate}")
    put_script(admin, OPEN)
    return found


def code(session: smtplib.SMTP, command: str) -> int:
    return session.docmd(command)[0]


def test_sessions_live_on_and_the_new_rules_hold_for_their_next_mail(whole, port, certificate):
    with smtp(port) as greeted, smtp(port) as idle, smtp(port) as busy, smtp(port) as secured:
        for session in (idle, busy, secured):
            assert session.ehlo()[0] == 250
        assert "auth" in idle.esmtp_features
        secured.starttls(context=tls(certificate))
        assert (secured.ehlo()[0], code(secured, "MAIL FROM:<a@b.test>")) == (250, 250)
        assert code(busy, "MAIL FROM:<a@b.test>") == 250
        put_script(whole.admin(), CLOSED)

        # Inside a transaction nothing changes, and what was begun is taken.
        assert code(busy, "RCPT TO:<postmaster@partner.test>") == 250
        assert code(busy, "DATA") == 354
        busy.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert busy.getreply()[0] == 250
        assert (code(busy, "MAIL FROM:<a@b.test>"), code(busy, "RCPT TO:<postmaster@partner.test>")) == (250, 550)
        assert code(busy, "RCPT TO:<x@other.test>") == 250
        # A login that was offered and is not any more: the password has not been sent yet, or is in vain.
        assert code(idle, PLAIN) == 538
        assert (code(idle, "MAIL FROM:<a@b.test>"), code(idle, "RCPT TO:<postmaster@partner.test>")) == (250, 550)
        assert (code(secured, "RCPT TO:<postmaster@partner.test>"), code(secured, "RSET")) == (250, 250)
        assert (code(secured, "MAIL FROM:<a@b.test>"), code(secured, "RCPT TO:<postmaster@partner.test>")) == (250, 250)
        assert greeted.ehlo()[0] == 250 and "auth" not in greeted.esmtp_features

        put_script(whole.admin(), b'event onConnect { set (smtpAction, "reject"); set (smtpExplanation, "closed"); }\n')
        assert code(busy, "RCPT TO:<y@other.test>") == 250
        assert idle.docmd("RSET")[0] == 250
        # Who would not get in any more says goodbye, or hears it again.
        assert [idle.docmd("MAIL FROM:<a@b.test>") for _again in range(2)] == [(550, b"5.7.1 closed")] * 2
        assert code(greeted, "EHLO x") == 550
        put_script(whole.admin(), OPEN)
        assert (code(idle, "MAIL FROM:<a@b.test>"), code(idle, "RCPT TO:<postmaster@partner.test>")) == (250, 250)


def test_mail_comes_in_while_five_megabytes_of_policy_are_compiled(whole, port, monkeypatch):
    """The compiler waits for mails to come in, which they do only when they do not wait for the compiler."""
    arrived, begun = threading.Semaphore(0), threading.Event()
    compile_script, on_the_loop = compiled.compile_script, []

    def slowly(*arguments):
        try:
            asyncio.get_running_loop()
            on_the_loop.append(arguments)
        except RuntimeError:
            begun.set()
            assert all(arrived.acquire(timeout=20) for _mail in range(3))
        return compile_script(*arguments)

    monkeypatch.setattr(compiled, "compile_script", slowly)
    script = big(20_000)
    assert len(script) > 5_000_000
    admin = whole.admin()
    with smtp(port) as session:
        session.ehlo()
        change = threading.Thread(target=put_script, args=(admin, script))
        change.start()
        assert begun.wait(20)
        for _mail in range(3):
            assert (code(session, "MAIL FROM:<a@b.test>"), code(session, "RCPT TO:<x@d77.test>")) == (250, 250)
            assert code(session, "RSET") == 250
            arrived.release()
        change.join(30)
        assert not change.is_alive() and not on_the_loop
        # What was compiled at the upload is what COMMIT made the policy; no second time was waited for mails.
        assert (code(session, "MAIL FROM:<a@b.test>"), code(session, "RCPT TO:<x@d77.test>")) == (250, 550)
    admin.ok("CONFIG SERVER")
    assert admin.script() == script
