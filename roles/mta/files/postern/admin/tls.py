# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS of the admin port."""

from __future__ import annotations

import ssl

from ..settings import ActivationError
from ..smtp.renewal import stamp_of


class AdminTls:
    """The context of the admin port, which takes up a renewed certificate (:mod:`..smtp.renewal`).

    ``path`` is a PEM file with key and chain. Raises :class:`ActivationError`.
    """

    name = "admin port"

    def __init__(self, path: str) -> None:
        self.files = (path,)
        self.stamp = stamp_of(self.files)
        self.context = self.prepare()

    def prepare(self) -> ssl.SSLContext:
        """The context anew. Raises :class:`ActivationError`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Its key would live as long as the server; nobody resumes a session here.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        try:
            context.load_cert_chain(self.files[0])
        except OSError as error:
            raise ActivationError(f"admin certificate {self.files[0]}: {error.strerror or error}") from None
        return context

    def take(self, _prepared: ssl.SSLContext) -> None:
        """Have the listening socket's context use the file, which was found to be good."""
        try:
            self.context.load_cert_chain(self.files[0])
        except OSError:
            # Changed again in this very moment. The next look finds it.
            self.stamp = ()
