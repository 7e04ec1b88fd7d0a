# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the listeners of a Postfix answer.

A reload with a taken port ends the whole mail system with exit status 0, a misspelt level makes a listener silent, a
certificate that cannot be read makes it answer STARTTLS with 454. None of this shows but to somebody who connects.
"""

from __future__ import annotations

import socket
import ssl
import time
import typing as t

from ..._policy.address import split_address
from . import addresses
from .configuration import _State

#: Seconds for one answer. A process has to be started first.
PATIENCE = 10.0

_PAUSE = 0.02

#: Where to connect for a listener on all addresses.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Doors(t.NamedTuple):
    """How to come in: canonical address -> whether TLS is spoken from the first byte, and whether STARTTLS is offered."""

    implicit: t.Mapping[str, bool]
    starttls: t.Mapping[str, bool]


def doors(conf: _State) -> Doors:
    """The listeners of smtpd that a configuration has."""
    implicit, starttls = {}, {}
    for service in conf.smtpd:
        wrapped = conf.value("smtpd_tls_wrappermode", service) == "yes"
        offered = not wrapped and conf.value("smtpd_tls_security_level", service) in ("may", "encrypt")
        for address in addresses.sockets(conf, service).addresses:
            implicit[address] = wrapped
            starttls[address] = offered
    return Doors(implicit, starttls)


def silent(found: Doors, address: str, patience: float = PATIENCE) -> str:
    """Why a listener does not answer as it should, within some seconds; "" if it does."""
    end = time.monotonic() + patience
    while True:
        try:
            return _look(found, address, max(end - time.monotonic(), 0.1))
        except (OSError, ValueError) as error:
            trouble = str(error) or type(error).__name__
        if time.monotonic() >= end:
            return trouble
        # A listener that is not there yet refuses at once, and nobody says when it will be.
        time.sleep(_PAUSE)


def _look(found: Doors, address: str, patience: float) -> str:
    host, port = split_address(address)
    with socket.create_connection((_LOCAL.get(host, host), port), patience) as connection:
        if found.implicit[address]:
            with _context().wrap_socket(connection) as secured:
                return _greeting(secured)
        trouble = _greeting(connection)
        if trouble or not found.starttls[address]:
            return trouble
        connection.sendall(b"EHLO localhost\r\n")
        if "STARTTLS" not in _reply(connection).upper():
            return "STARTTLS is not offered"
        connection.sendall(b"STARTTLS\r\n")
        said = _reply(connection)
        if not said.startswith("220"):
            return "STARTTLS gets %s" % said.strip()
        with _context().wrap_socket(connection):
            return ""


def _greeting(connection: socket.socket) -> str:
    said = _reply(connection)
    # 4xx and 5xx are greetings of a server that works and lets this host do nothing.
    return "" if said[:3].isdigit() else "the greeting is %r" % said[:80]


def _reply(connection: socket.socket) -> str:
    """One reply, all its lines. Raises OSError."""
    said = b""
    while True:
        part = connection.recv(4096)
        if not part:
            raise ConnectionError("the connection was closed%s" % (" after %r" % said[:80] if said else " without a word"))
        said += part
        lines = said.split(b"\n")
        if len(lines) > 1 and lines[-2][3:4] != b"-" and not lines[-1]:
            return said.decode("ascii", "replace")


def _context() -> ssl.SSLContext:
    """Whatever the listener speaks: only whether it speaks is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context
