# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real server, and mail servers of other people that its mail goes to: Postfix, Exim, OpenSMTPD, smtp-sink, aiosmtpd."""

from __future__ import annotations

import email
import email.message
import email.policy
import re
import shutil
import smtplib
import ssl
import sys
import tempfile
import time
import typing as t
from contextlib import ExitStack
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from ansible_collections.securemail.smtp.tests.mta.relay.relay_lab import PATIENCE, USER, USER_PASSWORD, Lab
from ansible_collections.securemail.smtp.tests.mta.wire_certificates import Authority

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import postfix  # noqa: E402
import receivers  # noqa: E402

#: A local part that no receiver takes.
REFUSED = "nobody"
#: Mail to this domain is meant to go out in clear, to a receiver that offers STARTTLS.
IN_CLEAR = "in-clear.test"
_TLS = re.compile(r"\(using TLSv1|with (?:utf8)?e?smtps\b", re.IGNORECASE)


class Aiosmtpd(receivers.Receiver):
    """aiosmtpd with its Maildir handler; ``options`` are those of its ``SMTP`` class."""

    def __init__(self, folder: Path, address: str, port: int, certificate: str = "", **options: t.Any) -> None:
        super().__init__(folder, address, port)
        if certificate:
            options["tls_context"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            options["tls_context"].load_cert_chain(certificate)
        # It makes a mailbox of a folder only where there is none.
        self._controller = Controller(_Handler(str(self.inbox)), hostname=address, port=port, **options)
        self._controller.start()

    def close(self) -> None:
        """End it."""
        self._controller.stop()


class _Handler(Mailbox):
    async def handle_RCPT(self, _server, _session, envelope, address, rcpt_options):
        """Refuse one, as other servers do."""
        if address.startswith(f"{REFUSED}@"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 OK"

    def prepare_message(self, session, envelope):
        """Its own, with a line about TLS."""
        message = super().prepare_message(session, envelope)
        message["X-Received"] = f"by aiosmtpd with {'esmtps' if session.ssl else 'esmtp'}"
        return message


class Sending:
    """The server with all receivers, each at the mail exchanger of ``NAME.test``. A context manager.

    A receiver that is ``secure`` gets its mail at level "verify", the others at "may".
    """

    SECURE = ("postfix", "exim", "aiosmtpd")
    #: Those that know SMTPUTF8.
    WIDE = SECURE
    #: Those that can refuse one recipient of several.
    CHOOSY = (*SECURE, "opensmtpd")
    NAMES = (*CHOOSY, "smtp-sink")

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        # Daemons run as other users, who cannot enter pytest's folder.
        self._folder = Path(tempfile.mkdtemp(prefix="securemail-sent-"))
        self._stack.callback(shutil.rmtree, self._folder)
        self._folder.chmod(0o755)
        try:
            (folder / "authority").mkdir()
            (folder / "lab").mkdir()
            self._authority = Authority(folder / "authority")
            self.lab = self._stack.enter_context(Lab(folder / "lab", self._authority))
            rules = (f'\tif (isCase (relayDomain, "{name}.test")) {{ set (tlsLevel, "verify"); }}' for name in self.SECURE)
            clear = f'\tif (isCase (relayDomain, "{IN_CLEAR}")) {{ set (tlsLevel, "none"); set (allowStartTLS, "no"); }}'
            self.lab.policy(*rules, clear)
            self.receivers = {name: self._stack.enter_context(self._made(name)) for name in (*self.NAMES, "poor", "seven-bit")}
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "Sending":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def _made(self, name: str) -> t.Any:
        domain, lab = f"{name}.test", self.lab
        address, host, folder = lab.address(), f"mx.{name}.test", self._folder / name
        folder.mkdir()
        lab.zone.put(host, {"A": [address]})
        lab.mx(domain, host)
        if name == "exim":
            lab.mx(IN_CLEAR, host)
        certificate = self._authority.issue(f"{name}.pem", name=host, names=[host]) if name in self.SECURE else ""
        place = (folder, address, lab.port)
        if name == "postfix":
            refusal = f"check_recipient_access inline:{{{{{REFUSED}@{domain}=REJECT}}}}, reject_unauth_destination"
            return postfix.Postfix(*place, certificate, [domain], smtpd_recipient_restrictions=refusal)
        if name == "exim":
            return receivers.Exim(*place, certificate, f"{domain} : {IN_CLEAR}", REFUSED)
        if name == "opensmtpd":
            return receivers.OpenSmtpd(*place, domain, REFUSED)
        if name == "smtp-sink":
            return receivers.SmtpSink(*place)
        if name == "seven-bit":
            return receivers.SmtpSink(*place, "-8")
        if name == "poor":
            # With this it does not offer 8BITMIME.
            return Aiosmtpd(*place, enable_SMTPUTF8=False, decode_data=True, data_size_limit=3000)
        return Aiosmtpd(*place, certificate, enable_SMTPUTF8=True)

    def submit(self, content: bytes, *recipients: str, options: t.Sequence[str] = ()) -> str:
        """Send a message as a user; returns its number in the queue."""
        with smtplib.SMTP(*self.lab.listener, timeout=PATIENCE) as client:
            client.login(USER, USER_PASSWORD)
            client.command_encoding = "utf-8"
            for verb, text in [("MAIL", " ".join([f"FROM:<{USER}>", *options])), *(("RCPT", f"TO:<{to}>") for to in recipients)]:
                code, words = client.docmd(verb, text)
                assert code == 250, (verb, text, words)
            code, words = client.data(content)
        assert code == 250, words
        return words.decode().rpartition(" ")[2]

    def report(self, about: str) -> email.message.EmailMessage:
        """The notification about this message, from the sender's mailbox. Raises TimeoutError."""
        self.lab.events.wait("relay.notification", about=about)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for path in self.lab.mailbox().iterdir() if self.lab.mailbox().is_dir() else ():
                message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                if f"X-Queue-ID: {about}" in message.as_string():
                    return message
            # A mailbox is a folder: there is nobody who could say that something came.
            time.sleep(0.02)
        raise TimeoutError(f"there is no notification about {about}")


def over_tls(message: email.message.Message) -> bool:
    """Whether the receiver noted in its Received header (the topmost, RFC 3848) that this came inside TLS."""
    return bool(_TLS.search(" ".join(str(message["X-Received"] or message["Received"]).split())))
