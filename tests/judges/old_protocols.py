# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An SMTP server whose TLS is tlslite-ng: it still speaks SSL 3.0, RC4 and Triple-DES, which OpenSSL has given up."""

from __future__ import annotations

import socket
import typing as t
from pathlib import Path

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe import twin
from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.errors import BaseTLSException


class OldServer(twin.Server):
    """``port`` is where it listens; ``handshake`` are attributes of tlslite's HandshakeSettings."""

    def __init__(self, certificate: Path, implicit: bool, **handshake: t.Any) -> None:
        pem = certificate.read_text()
        chain, key = X509CertChain(), parsePEMKey(pem, private=True)
        chain.parsePemList(pem)
        settings = HandshakeSettings()
        for name, value in handshake.items():
            if not hasattr(settings, name):
                raise AttributeError(f"tlslite has no setting {name}")
            setattr(settings, name, value)
        if "maxVersion" in handshake:
            settings.versions = [one for one in settings.versions if one <= settings.maxVersion]

        class Session(twin.Session):
            def handshake(self) -> None:
                connection = TLSConnection(self.sock)
                # A refusal is told in an alert; the connection is closed by the caller.
                connection.closeSocket = False
                connection.handshakeServer(certChain=chain, privateKey=key, settings=settings)
                self.sock, self.inside_tls = connection, True

        behaviour = twin.Behaviour(implicit=implicit, context=t.cast(t.Any, settings))

        def serve(sock: socket.socket) -> None:
            session = Session(sock, behaviour)
            try:
                session.serve()
            except (BaseTLSException, AssertionError, ValueError) as error:
                # What a peer's broken bytes do to tlslite is none of the test's.
                raise EOFError from error

        super().__init__(serve)
