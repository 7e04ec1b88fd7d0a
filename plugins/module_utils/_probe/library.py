# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local TLS library: contexts to look with, and who is to blame for what it reports."""

from __future__ import annotations

import socket
import ssl
import typing as t
import warnings

from .reply import LOCAL_LIBRARY, NETWORK, SERVER_ALERT, SERVER_CLOSED, SERVER_REPLY, Unobservable

#: OpenSSL's words for bytes that are no TLS, or were not signed with the certificate's key (its "unsupported protocol"
#: is another thing: a version that it lacks).
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNEXPECTED_MESSAGE",
    "BAD_RECORD_TYPE",
    "INVALID_RECORD",
    "UNKNOWN_PROTOCOL",
    "BAD_SIGNATURE",
)


def side_of(error: Exception) -> str:
    """Who ended a connection, by the exception that the local library made of it."""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)):
        return SERVER_CLOSED
    if isinstance(error, ssl.SSLError):
        # OpenSSL names alerts that it received TLSV1_ALERT_… or SSLV3_ALERT_…, a closed one UNEXPECTED_EOF_….
        reason = error.reason or ""
        if "ALERT" in reason:
            return SERVER_ALERT
        if reason in _NOT_TLS:
            return SERVER_REPLY
        return SERVER_CLOSED if "EOF" in reason else LOCAL_LIBRARY
    return NETWORK if isinstance(error, OSError) else LOCAL_LIBRARY


def lenient_context(version: t.Optional[str] = None, suites: t.Sequence[str] = ()) -> ssl.SSLContext:
    """A client context that takes whatever the local library can: for looking at a server, never for mail.

    No certificate is checked and the security level is lowered, so that a refusal is the server's (OpenSSL 3 does
    TLS 1.0 and 1.1 at level 0 only). ``version`` ("TLSv1" … "TLSv1.3") and ``suites`` (OpenSSL names) limit it to
    these. Raises :class:`Unobservable` when the local library has none of them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        # Python warns of TLS 1.0 and 1.1; here they are what is asked about.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            if version is not None:
                context.maximum_version = getattr(ssl.TLSVersion, version.replace(".", "_"))
                context.minimum_version = context.maximum_version
        except ValueError as error:
            raise Unobservable("%s: %s" % (version, error), LOCAL_LIBRARY) from None
    try:
        context.set_ciphers(":".join(tuple(suites) or ("ALL",)) + ":@SECLEVEL=0")
    except ssl.SSLError as error:
        # A library without security levels has nothing to lower; one without the suites cannot be asked.
        if suites:
            raise Unobservable("the suites: %s" % words_of(error), LOCAL_LIBRARY) from None
    return context


def verifying_context(ca_file: t.Optional[str]) -> ssl.SSLContext:
    """A client context as a careful sender has it: chain and name checked, against ``ca_file`` or the system's list.

    Raises :class:`Unobservable` when the file cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:
        raise Unobservable("CA file %s: %s" % (ca_file, words_of(error)), LOCAL_LIBRARY) from None


def words_of(error: Exception) -> str:
    """What the local library says about an error, in words for people."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, socket.timeout):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
