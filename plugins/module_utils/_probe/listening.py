# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at listeners: the greeting, what EHLO offers in clear and inside TLS, and the seam between the two."""

from __future__ import annotations

from .check import Verdict, judged
from .records import printable
from .smtp import NETWORK, SERVER_BUSY, SERVER_CLOSED, SERVER_REPLY, Unobservable, lenient_context, refusing_side
from .target import Endpoint


def greets(endpoint: Endpoint) -> Verdict:
    """The banner comes in clear, without being asked for, and is 220."""
    with endpoint.conversation() as conversation:
        banner = conversation.connect()
        return judged(banner.code == 220, banner)


def offers_starttls(endpoint: Endpoint) -> Verdict:
    """EHLO in clear has STARTTLS."""
    with endpoint.clear() as conversation:
        keywords = conversation.ehlo(endpoint.target.client_name)
        return judged("STARTTLS" in keywords, "offers " + (" ".join(sorted(keywords)) or "nothing"))


def hides_starttls(endpoint: Endpoint) -> Verdict:
    """EHLO inside TLS has no STARTTLS, and a second STARTTLS is refused."""
    with endpoint.secure() as conversation:
        keywords = conversation.ehlo(endpoint.target.client_name)
        if "STARTTLS" in keywords:
            return judged(False, "STARTTLS offered inside TLS")
        reply = conversation.command("STARTTLS")
        if 400 <= reply.code < 500:
            raise Unobservable("STARTTLS inside TLS gets %s" % reply, SERVER_BUSY)
        return judged(500 <= reply.code < 600, "not offered; asked for all the same: %s" % reply)


def silent_in_clear(endpoint: Endpoint) -> Verdict:
    """Nothing is said before the handshake, EHLO in clear gets no SMTP reply, and inside TLS the banner comes at once.

    The last part is the control: a listener that is silent because it is broken must not pass.
    """
    with endpoint.conversation() as conversation:
        conversation.open()
        data = conversation.receive_bytes(endpoint.target.silence)
        if data:
            return judged(False, "speaks before the handshake: %s" % printable(data[:80]))
        if data is None:
            conversation.send_bytes(b"EHLO %s\r\n" % endpoint.target.client_name.encode("ascii"))
            data = conversation.receive_bytes(endpoint.target.timeout)
        # 21 is a TLS alert: the server takes the line for a bad handshake, as it should.
        if data and data[0] != 21:
            return judged(False, "answers EHLO in clear: %s" % printable(data[:80]))
    with endpoint.secure() as conversation:
        ending = {None: "silence", b"": "closed"}.get(data, "TLS alert")
        return judged(True, "silent, then %s; inside TLS: %s" % (ending, conversation.banner))


def forgets_plaintext(endpoint: Endpoint) -> Verdict:
    """A command in one segment with STARTTLS has no effect and no reply inside TLS (CVE-2011-0411 and its kin)."""
    target = endpoint.target
    # The control: STARTTLS alone works, so that an ending below is the server's answer to the injection.
    endpoint.secure().close()
    with endpoint.clear() as conversation:
        conversation.ehlo(target.client_name)
        conversation.send_bytes(b"STARTTLS\r\nMAIL FROM:<%s>\r\n" % target.sender.encode("utf-8"))
        try:
            reply = conversation.reply("reply to STARTTLS")
        except Unobservable as error:
            return _cut_off(error, "closed without a reply")
        if reply.code != 220:
            return judged(reply.code >= 500, "refused: %s" % reply)
        if conversation.pending:
            return judged(False, "answers the injected command in clear: %s" % printable(conversation.pending[:80]))
        try:
            conversation.begin_tls(lenient_context())
        except Unobservable as error:
            return _cut_off(error, "closed in the handshake")
        try:
            # Were MAIL kept, RCPT would be accepted; were it answered, the replies from here on would be one behind.
            recipient = conversation.command("RCPT TO:<%s@%s>" % (target.recipient, target.local_domain))
            hello = conversation.command("EHLO " + target.client_name)
        except Unobservable as error:
            return _cut_off(error, "closed inside TLS")
        if recipient.code < 500:
            return judged(False, "the injected command has an effect: RCPT gets %s" % recipient)
        if hello.code != 250 or len(hello.lines) < 2:
            return judged(False, "the injected command is answered inside TLS: EHLO gets %s" % hello)
        return judged(True, "taken for nothing: RCPT gets %s" % recipient)


def refuses_late_plaintext(endpoint: Endpoint) -> Verdict:
    """A command in clear after the 220 to STARTTLS, before the ClientHello, is a broken handshake and nothing else."""
    endpoint.secure().close()
    with endpoint.clear() as conversation:
        conversation.ehlo(endpoint.target.client_name)
        reply = conversation.command("STARTTLS")
        if reply.code != 220:
            raise Unobservable("STARTTLS gets %s" % reply, refusing_side(reply))
        conversation.send_bytes(b"NOOP\r\n")
        try:
            conversation.begin_tls(lenient_context())
        except Unobservable as error:
            if error.side in (NETWORK, SERVER_BUSY):
                raise
            # What the server says in clear now reads as a broken record; that it ends here is what counts.
            return judged(True, "the handshake fails: %s" % error)
        return judged(False, "the handshake goes on behind a command in clear")


def _cut_off(error: Unobservable, words: str) -> Verdict:
    if error.side == SERVER_CLOSED:
        return judged(True, words)
    if error.side == SERVER_REPLY and error.reason.startswith("bytes in clear"):
        return judged(False, error.reason)
    raise error


def wants_ehlo_again(endpoint: Endpoint) -> Verdict:
    """MAIL inside TLS without a new EHLO is out of sequence, whatever was said in clear (RFC 3207 section 4.2)."""
    with endpoint.secure() as conversation:
        reply = conversation.command("MAIL FROM:<%s>" % endpoint.target.sender)
        return judged(reply.code == 503, reply)


def forgets_transaction(endpoint: Endpoint) -> Verdict:
    """A sender named in clear is forgotten at STARTTLS: RCPT inside TLS is out of sequence."""
    target = endpoint.target
    with endpoint.clear() as conversation:
        conversation.ehlo(target.client_name)
        sender = conversation.command("MAIL FROM:<%s>" % target.sender)
        if not sender.accepted:
            raise Unobservable("MAIL in clear gets %s" % sender, refusing_side(sender))
        reply = conversation.starttls(lenient_context())
        if reply.code != 220:
            words = "STARTTLS inside a transaction gets %s" % reply
            if reply.code == 503:
                # Nothing can be carried over where STARTTLS is out of sequence.
                return judged(True, words)
            raise Unobservable(words, refusing_side(reply))
        recipient = conversation.command("RCPT TO:<%s@%s>" % (target.recipient, target.local_domain))
        return judged(recipient.code == 503, "RCPT gets %s" % recipient)
