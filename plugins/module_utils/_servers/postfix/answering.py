# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the listeners of a Postfix answer.

A reload with a taken port ends the whole mail system with exit status 0, a misspelt level makes a listener silent, a
certificate that cannot be read leaves STARTTLS on offer and lets it fail. None of this shows but to somebody who connects.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
import typing as t

from ..._policy.address import split_address
from . import addresses
from .configuration import _State

#: Seconds for one listener. A process has to be started first.
PATIENCE = 10.0

#: Seconds between two looks: at a port that is closed, and at a process that answered badly.
_PAUSE, _REST = 0.02, 0.4

#: Where to connect for a listener on all addresses.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}

_MAX_REPLY = 65536


class Door(t.NamedTuple):
    """How to come in at a listener.

    ``wrapped``: TLS from the first byte. ``starttls``: it is offered. ``certified``: a client without a certificate is sent
    away during the handshake. ``behind``: a proxy's words come first. ``screened``: postscreen(8), which lets wait.
    """

    wrapped: bool = False
    starttls: bool = False
    certified: bool = False
    behind: bool = False
    screened: bool = False


def doors(conf: _State) -> t.Dict[str, Door]:
    """The listeners that a configuration has, by their canonical addresses."""
    found = {}
    for service in conf.smtpd:
        level = conf.value("smtpd_tls_security_level", service)
        if not level and "yes" in (conf.value("smtpd_use_tls", service), conf.value("smtpd_enforce_tls", service)):
            level = "may"
        wrapped = conf.value("smtpd_tls_wrappermode", service) == "yes"
        hidden = "starttls" in conf.value("smtpd_discard_ehlo_keywords", service).lower()
        door = Door(
            wrapped,
            not wrapped and not hidden and level not in ("", "none"),
            conf.value("smtpd_tls_req_ccert", service) == "yes",
            bool(conf.value("smtpd_upstream_proxy_protocol", service)),
        )
        found.update(dict.fromkeys(addresses.sockets(conf, service).addresses, door))
    for service in conf.postscreen:
        found.update(dict.fromkeys(addresses.sockets(conf, service).addresses, Door(screened=True)))
    for address in found:
        host, port = split_address(address)
        local = _LOCAL.get(host, host)
        if local != host and ("[%s]:%d" if ":" in local else "%s:%d") % (local, port) in found:
            # Who connects there meets the entry for that one address: only that somebody listens can be seen.
            found[address] = Door(screened=True)
    return found


def silent(
    door: Door, address: str, patience: float = PATIENCE, hopeless: t.Optional[t.Callable[[], bool]] = None
) -> str:
    """Why a listener does not answer as it should, within some seconds; "" if it does.

    ``hopeless`` tells whether waiting for a port that is closed is of no use; it is asked now and then.
    """
    end = time.monotonic() + patience
    ask = time.monotonic() + 0.2
    while True:
        try:
            return _look(door, address, max(end - time.monotonic(), 0.1))
        except ConnectionRefusedError as error:
            trouble, pause = str(error), _PAUSE
            if hopeless is not None and time.monotonic() > ask:
                if hopeless():
                    return trouble
                ask = time.monotonic() + 1.0
        except (OSError, ValueError) as error:
            # A process that fails is started anew only after a while, the later the more often it is asked for.
            trouble, pause = str(error) or type(error).__name__, _REST
        if time.monotonic() >= end:
            return trouble
        # Nobody says when a listener is there.
        time.sleep(pause)


def _look(door: Door, address: str, patience: float) -> str:
    """"" if it answers. Raises OSError, ValueError."""
    host, port = split_address(address)
    with socket.create_connection((_LOCAL.get(host, host), port), patience) as connection:
        if door.screened:
            return ""
        if door.behind:
            # https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt, version 1
            kind = "TCP6" if ":" in host else "TCP4"
            here = _LOCAL.get(host, host)
            connection.sendall(("PROXY %s %s %s %d %d\r\n" % (kind, here, here, port, port)).encode("ascii"))
        try:
            return _talk(door, connection)
        except ssl.SSLError as error:
            if door.certified and any(word in str(error).upper() for word in ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")):
                return ""
            raise


def _talk(door: Door, connection: socket.socket) -> str:
    """"" if it answers. Raises OSError, ValueError."""
    if door.wrapped:
        with _context().wrap_socket(connection) as secured:
            _greeted(secured)
            _leave(secured)
        return ""
    words = _greeted(connection)
    if not words or not door.starttls:
        _leave(connection)
        return ""
    if "STARTTLS" not in words.upper():
        raise ValueError("it does not offer STARTTLS")
    said = _ask(connection, "STARTTLS")
    if not said.startswith("220"):
        raise ValueError("STARTTLS gets %r" % said.strip())
    with _context().wrap_socket(connection) as secured:
        _ask(secured, "EHLO localhost")
        _leave(secured)
    return ""


def _greeted(connection: socket.socket) -> str:
    """The answer to EHLO; "" from a server that works and wants nothing from this host. Raises OSError, ValueError."""
    said = _reply(connection)
    if not said[:3].isdigit():
        raise ValueError("the greeting is %r" % said[:80])
    if not said.startswith("2"):
        return ""
    answer = _ask(connection, "EHLO localhost")
    if not answer[:3].isdigit():
        raise ValueError("EHLO gets %r" % answer[:80])
    return answer if answer.startswith("2") else ""


def _ask(connection: socket.socket, line: str) -> str:
    connection.sendall(line.encode("ascii") + b"\r\n")
    return _reply(connection)


def _leave(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        _ask(connection, "QUIT")


def _reply(connection: socket.socket) -> str:
    """One reply, all its lines. Raises OSError."""
    said = b""
    while len(said) < _MAX_REPLY:
        part = connection.recv(4096)
        if not part:
            raise ConnectionError("the connection was closed%s" % (" after %r" % said[:80] if said else " without a word"))
        said += part
        lines = said.split(b"\n")
        if len(lines) > 1 and lines[-2][3:4] != b"-" and not lines[-1]:
            break
    return said.decode("ascii", "replace")


def _context() -> ssl.SSLContext:
    """Whatever the listener speaks: only whether it speaks is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # A listener whose certificate cannot be read goes on with suites that need none.
    context.set_ciphers("ALL:!aNULL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context
