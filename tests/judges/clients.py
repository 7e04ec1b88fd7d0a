# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail clients and servers of other people that send a message to the server, each the way people set it up.

All of them check the server's certificate and name and refuse to go on without TLS.
"""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import ssl
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib

import programs
from grid import HOST, free_port
from judged_server import DOMAIN, SERVER_NAME, USER_PASSWORD, USERS, JudgedServer, Place

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import apart  # noqa: E402
import debian  # noqa: E402
import postfix  # noqa: E402
import receivers  # noqa: E402

#: Who logs in and sends, and who gets it.
SENDER, RECIPIENT = f"{USERS[0]}@{DOMAIN}", f"{USERS[1]}@{DOMAIN}"


@dataclass(frozen=True)
class Mail:
    """A message and where it goes in; ``folder`` is for the client's files, and others may enter it."""

    place: Place
    subject: str
    ca_file: str
    folder: Path

    @property
    def text(self) -> str:
        """The message with line ends of a file."""
        return f"From: {SENDER}\nTo: {RECIPIENT}\nSubject: {self.subject}\n\n.a dot first\nlast line\n"

    @property
    def wire(self) -> bytes:
        """The message with line ends of the wire."""
        return self.text.replace("\n", "\r\n").encode()

    def file(self, name: str, text: str) -> str:
        """A file that nobody else may read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return str(path)


def swaks(mail: Mail) -> None:
    """swaks, with PLAIN."""
    tls = () if mail.place.implicit else ("--tls",)
    programs.get("swaks").run(
        *mail.place.swaks, *tls, "--tls-verify", "--tls-ca-path", mail.ca_file, "--from", SENDER, "--to", RECIPIENT,
        "--auth", "PLAIN", "--auth-user", SENDER, "--auth-password", USER_PASSWORD, "--data", mail.file("message", mail.text.rstrip("\n")),
    )


def msmtp(mail: Mail) -> None:
    """msmtp with its configuration file; the mechanism is its own choice."""
    words = {
        "host": HOST, "port": mail.place.port, "from": SENDER, "tls": "on", "tls_trust_file": mail.ca_file,
        "tls_host_override": SERVER_NAME, "tls_starttls": "off" if mail.place.implicit else "on", "auth": "on",
        "user": SENDER, "password": USER_PASSWORD, "timeout": 20,
    }
    path = mail.file("msmtprc", "account default\n" + "".join(f"{name} {value}\n" for name, value in words.items()))
    programs.get("msmtp").run("-C", path, RECIPIENT, text=mail.text)


def curl(mail: Mail) -> None:
    """curl."""
    scheme, port = "smtps" if mail.place.implicit else "smtp", mail.place.port
    programs.get("curl").run(
        "-sS", "--ssl-reqd", "--cacert", mail.ca_file, "--resolve", f"{SERVER_NAME}:{port}:{HOST}", "--max-time", "20",
        "--user", f"{SENDER}:{USER_PASSWORD}", "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--crlf",
        "-T", mail.file("message", mail.text), f"{scheme}://{SERVER_NAME}:{port}/client.example.test",
    )


def s_nail(mail: Mail) -> None:
    """s-nail (mailx)."""
    scheme = "smtps" if mail.place.implicit else "submission"
    account = f"{SENDER.replace('@', '%40')}:{USER_PASSWORD}@{SERVER_NAME}:{mail.place.port}"
    settings = (
        "v15-compat", f"mta={scheme}://{account}", "smtp-auth=plain", "tls-verify=strict", f"tls-ca-file={mail.ca_file}",
        "tls-ca-no-defaults", "sendwait", *(() if mail.place.implicit else ("smtp-use-starttls",)),
    )
    path = mail.file("mailrc", "".join(f"set {setting}\n" for setting in settings))
    etc = mail.folder / "etc"
    etc.mkdir()
    view = apart.View(debian.unpacked("s-nail"), etc, hosts=[SERVER_NAME])
    body = mail.text.partition("\n\n")[2]
    done = view.run(
        "env", "HOME=/nonexistent", f"MAILRC={path}", "s-nail", "-n", "-r", SENDER, "-s", mail.subject, RECIPIENT,
        text=body.encode(),
    )
    assert done.returncode == 0, done.stdout


class _Named(ssl.SSLContext):
    """A client's context that checks for the server's name, whatever address the connection goes to."""

    def wrap_socket(self, sock, **more):
        """For smtplib."""
        return super().wrap_socket(sock, **{**more, "server_hostname": SERVER_NAME})

    def wrap_bio(self, incoming, outgoing, **more):
        """For asyncio."""
        return super().wrap_bio(incoming, outgoing, **{**more, "server_hostname": SERVER_NAME})


def _context(mail: Mail) -> ssl.SSLContext:
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(mail.ca_file)
    return context


def python_smtplib(mail: Mail) -> None:
    """Python's smtplib."""
    port, context = mail.place.port, _context(mail)
    implicit = mail.place.implicit
    with smtplib.SMTP_SSL(HOST, port, timeout=20, context=context) if implicit else smtplib.SMTP(HOST, port, timeout=20) as client:
        if not implicit:
            client.starttls(context=context)
        client.login(SENDER, USER_PASSWORD)
        client.sendmail(SENDER, [RECIPIENT], mail.wire)


def python_aiosmtplib(mail: Mail) -> None:
    """aiosmtplib."""
    client = aiosmtplib.SMTP(
        hostname=HOST, port=mail.place.port, use_tls=mail.place.implicit, start_tls=not mail.place.implicit,
        tls_context=_context(mail), username=SENDER, password=USER_PASSWORD, timeout=20,
    )

    async def send() -> None:
        async with client:
            await client.sendmail(SENDER, [RECIPIENT], mail.wire)

    asyncio.run(send())


def exim(mail: Mail) -> None:
    """Exim with a smarthost and a login."""
    protocol = "smtps" if mail.place.implicit else "smtp"
    own = mail.folder / "authority.pem"
    shutil.copyfile(mail.ca_file, own)
    own.chmod(0o644)
    view = receivers.exim_view(mail.folder, f"""\
begin routers
smarthost:
  driver = manualroute
  route_list = * {SERVER_NAME} byname
  self = send
  transport = smarthost
begin transports
smarthost:
  driver = smtp
  port = {mail.place.port}
  protocol = {protocol}
  allow_localhost
  hosts_require_tls = *
  hosts_require_auth = *
  tls_verify_certificates = {own}
  tls_verify_hosts = *
  tls_verify_cert_hostnames = *
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{SENDER}^{USER_PASSWORD}
""", [SERVER_NAME])
    done = view.run("exim4", "-odf", "-f", SENDER, RECIPIENT, text=mail.text.encode())
    assert done.returncode == 0, done.stdout


def postfix_relay(mail: Mail) -> None:
    """Postfix, which takes the message itself first; it has no login, and talks to the port for other servers."""
    own = mail.folder / "authority.pem"
    shutil.copyfile(mail.ca_file, own)
    own.chmod(0o644)
    port = free_port()
    settings = {
        "relayhost": f"[{HOST}]:{mail.place.port}", "mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtp_tls_security_level": "secure", "smtp_tls_secure_cert_match": SERVER_NAME, "smtp_tls_CAfile": str(own),
        "smtp_tls_loglevel": "1", "smtpd_tls_security_level": "none", "smtpd_tls_chain_files": "",
    }
    with postfix.Postfix(mail.folder, HOST, port, "", [], **settings) as instance:
        with smtplib.SMTP(HOST, port, timeout=20) as client:
            client.sendmail(SENDER, [RECIPIENT], mail.wire)
        instance.wait_log("status=sent")
        assert "Verified TLS connection established" in instance.log


CLIENTS: dict[str, t.Callable[[Mail], None]] = {
    "swaks": swaks, "msmtp": msmtp, "curl": curl, "s-nail": s_nail, "smtplib": python_smtplib, "aiosmtplib": python_aiosmtplib,
    "Exim": exim,
}


def deliver(server: JudgedServer, client: t.Callable[[Mail], None], place: Place, subject: str, ca_file: str = "") -> str:
    """Have a client send a message to this place of a server; the text of the message in the recipient's mailbox."""
    before = set(server.mailbox(USERS[1]))
    folder = Path(tempfile.mkdtemp(prefix="securemail-client-"))
    folder.chmod(0o755)
    try:
        client(Mail(place, subject, ca_file or server.authority.ca_file, folder))
    finally:
        shutil.rmtree(folder)
    (path,) = server.delivered(USERS[1], before, 1)
    return path.read_text(encoding="utf-8")
