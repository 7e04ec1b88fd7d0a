# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificate files of a server as people have them, good and bad."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.credentials import Authority, dh_parameters

NAME = "mail.example.test"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


class Lab:
    """A folder with an authority, server certificates for ``mail.example.test``, and a DH file; all values are paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = Authority(folder)
        self.ca_file = self._authority.ca_file
        self.ecdsa = self._authority.server_pem("ec", NAME)
        self.rsa = self._authority.server_pem("rsa", NAME)
        self.dh_params = self._write("dh.pem", dh_parameters(2048).decode())

    def expired(self) -> str:
        """A certificate whose time is over."""
        return self._authority.server_pem("ec", NAME, days=-1)

    def mismatched(self) -> str:
        """A certificate with somebody else's key."""
        key = Path(self.rsa).read_text().partition(_CERTIFICATE)[0]
        return self._write("mismatched.pem", key + "".join(Path(self.ecdsa).read_text().partition(_CERTIFICATE)[1:]))

    def _write(self, name: str, content: str) -> str:
        path = self.folder / name
        path.write_text(content)
        return str(path)
