# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole server in this process: both its halves on real sockets. Needs what the receiving half needs."""

from __future__ import annotations

import smtplib
import socket
import ssl

from admin_harness import PHC, RawClient
from postern import service
from postern.bootstrap import Bootstrap
from postern.log import Log

HASH = PHC


#: The rules of the article that the collection automates.
ARTICLE = b"""event onEhlo {
\tcall (disableAUTH_on_non_SSL);
\tcall (enableAUTH_on_SSL);
}
event onRcptTo {
\tcall (allow_only_tls_for_mydomain_com);
}
method disableAUTH_on_non_SSL {
\tset (plainConnAuthTypes, "none");
}
method enableAUTH_on_SSL {
\tset (secureConnAuthTypes, "login ");
}
method allow_only_tls_for_mydomain_com {
\tif (
\t\tallOf (
\t\t\tisCase (isSSLConnection, "no"),
\t\t\tisCase (rcptDomain, "mydomain.com")
\t\t)
\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "Accepting only secure delivery (STARTTLS) for mydomain.com");
\t}
}
"""


class Whole:
    """A whole server, restartable."""

    def __init__(self, loop, state_dir, certificate=""):
        self._loop = loop
        self.state_dir = state_dir
        self.settings = Bootstrap(
            path="", host_name="mail.example.test", state_dir=str(state_dir), run_dir="", log_file="-", user="",
            initial_script="", admin_host="127.0.0.1", admin_port=0, admin_certificate=str(certificate),
        )  # fmt: skip
        self._clients = []

    def start(self):
        async def start():
            self._service = service.Service(self.settings, Log(str(self.state_dir / "log")))
            return await self._service.start()

        self.status = self._loop.run(start())
        host, _colon, port = self.status["admin"].rpartition(":")
        self.address = (host, int(port))
        return self

    def admin(self):
        client = RawClient(self.address).login()
        self._clients.append(client)
        return client

    def stop(self):
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._loop.run(self._service.close())

    def restart(self):
        self.stop()
        self.start()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def add_listener(admin, port, *controls, sets=()):
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.0.0.1:{port}")
    for pair in sets:
        admin.ok(f"SET {pair}")
    admin.ok("CONFIG SSLCONTROL", *(f"SET {pair}" for pair in controls), "DONE", "COMMIT", "COMMIT", "COMMIT")


def smtp(port):
    return smtplib.SMTP("127.0.0.1", port, timeout=10)


def refuses(port):
    with socket.socket() as attempt:
        attempt.settimeout(5)
        return attempt.connect_ex(("127.0.0.1", port)) != 0


def tls(certificate, **versions):
    """A client's TLS settings: only this certificate is trusted."""
    context = ssl.create_default_context(cafile=str(certificate))
    for name, value in versions.items():
        setattr(context, name, value)
    return context


def put_script(admin, script):
    admin.ok("CONFIG SERVER")
    assert admin.upload(script).startswith("+OK")
    admin.ok("COMMIT")
