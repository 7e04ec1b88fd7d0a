# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options that all modules share, and the session that they mean."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible.module_utils.basic import env_fallback

from ._policy.errors import PolicyError, Problems
from ._servers.base import ServerError

#: Every option may come from the environment: SECUREMAIL_ and the option's name in capitals.
ENVIRONMENT = "SECUREMAIL_"

#: Seconds. Longer than a day is infinity, or a slip of the pen.
MAX_TIMEOUT = 86400

#: Values of ``server``: the admin CLI of AXIGEN's dialect, and Postfix with its own programs.
ADMIN_CLI, POSTFIX = "admin_cli", "postfix"

#: What a Postfix calls its configuration directory, but for builds that were told otherwise.
DEFAULT_DIRECTORY = "/etc/postfix"

if t.TYPE_CHECKING:
    import ssl

    from ._servers.axigen.cli import AdminSession
    from ._servers.axigen.dialect import Dialect
    from ._servers.postfix.server import PostfixServer


class ClearTextRefused(ServerError):
    """The admin password would have crossed a network unprotected."""


def argument_spec(save: bool = True) -> t.Dict[str, t.Any]:
    """The connection options as an argument spec; without ``save`` for modules that only read."""
    spec: t.Dict[str, t.Dict[str, t.Any]] = {
        "server": {"type": "str", "default": ADMIN_CLI, "choices": [ADMIN_CLI, POSTFIX]},
        "config_directory": {"type": "path"},
        "command_directory": {"type": "path"},
        "allow_generated": {"type": "bool", "default": False},
        "admin_host": {"type": "str", "default": "127.0.0.1"},
        "admin_port": {"type": "int", "default": 7000},
        "admin_user": {"type": "str", "default": "admin"},
        "admin_password": {"type": "str", "no_log": True},
        "admin_tls": {"type": "bool", "default": False},
        "admin_ca_file": {"type": "path"},
        "admin_validate_certs": {"type": "bool", "default": True},
        "allow_clear_text": {"type": "bool", "default": False},
        "admin_timeout": {"type": "float", "default": 30.0},
        "dialect": {"type": "str", "default": "auto", "choices": ["auto", "axigen", "postern"]},
        "dialect_profile": {"type": "dict"},
        "server_files": {"type": "str", "default": "auto", "choices": ["auto", "local", "remote"]},
    }
    if save:
        spec["save"] = {"type": "bool", "default": True}
    for name, option in spec.items():
        option["fallback"] = (env_fallback, [ENVIRONMENT + name.upper()])
    return spec


def is_loopback(host: str) -> bool:
    """Whether a host is this host by its own spelling. Other names are not looked up: an answer may change."""
    name = host.strip().rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def has_server_files(params: t.Mapping[str, t.Any]) -> bool:
    """Whether a path on the server is the same path here, where the module runs.

    With ``server_files: auto`` a loopback address means this host, which is wrong for one end of an SSH tunnel.
    """
    if params["server_files"] == "auto":
        return is_loopback(params["admin_host"])
    return params["server_files"] == "local"


def peer(params: t.Mapping[str, t.Any]) -> str:
    """The admin interface as ``host:port``, in the spelling that backups are known by; ``postfix:DIRECTORY`` for one."""
    if params["server"] == POSTFIX:
        return "%s:%s" % (POSTFIX, params["config_directory"] or DEFAULT_DIRECTORY)
    return "%s:%d" % (params["admin_host"].strip().strip("[]").lower(), params["admin_port"])


def seen_as(params: t.Mapping[str, t.Any]) -> t.Tuple[str, ...]:
    """Names under which the server's other ports can be reached from here; none at one end of an SSH tunnel."""
    host = params["admin_host"].strip().strip("[]")
    if not is_loopback(host):
        return (host, "127.0.0.1", "::1") if has_server_files(params) else (host,)
    return ("127.0.0.1", "::1") if has_server_files(params) else ()


def open_session(params: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> t.Tuple[AdminSession, Dialect]:
    """A session that is logged in, and the dialect profile of its server.

    ``params`` are the options of :func:`argument_spec`; ``warn`` takes what a person should know.
    Raises ``PolicyError`` for options that cannot be used and :class:`ServerError` for the rest.
    """
    # Here and not above: a Postfix needs none of it.
    from ._servers.axigen import wire
    from ._servers.axigen.cli import AdminSession
    from ._servers.axigen.dialect import is_bundled, profile

    host, port = params["admin_host"].strip(), params["admin_port"]
    _check(params, host, port)
    learned = _learned(params.get("dialect_profile"))
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    context = _tls_context(params, warn) if params["admin_tls"] else None
    if context is None:
        _guard_clear_text(params, host, wire.peer_name(host, port), warn)
    session = AdminSession(host, port, tls=context, server_hostname=host, timeout=params["admin_timeout"])
    try:
        version = session.get_version()
        session.login(params["admin_user"], params["admin_password"])
    except ServerError:
        session.close()
        raise
    dialect = profile(params["dialect"], version)
    if learned:
        from ._servers.axigen.profile import notes, with_document

        dialect = with_document(dialect, learned)
        for note in notes(learned, dialect, version):
            warn(note)
    if version and dialect.verified and not is_bundled(version):
        warn(
            "dialect: %s was asked for, and the server reports version %s, which is no version of the bundled MTA: "
            "names that only the bundled MTA has are written into its policy script." % (dialect.name, version)
        )
    return session, dialect


def open_postfix(params: t.Mapping[str, t.Any], writes: bool) -> PostfixServer:
    """The Postfix that the options mean; ``writes``: a task that may change it.

    Raises ``PolicyError`` for options that cannot be used and :class:`ServerError` for the rest.
    """
    from ._servers.postfix.server import opened

    for name in ("config_directory", "command_directory"):
        if params[name] is not None and not params[name].startswith("/"):
            raise PolicyError("%s must be an absolute path; got %s" % (name, params[name]))
    _check_timeout(params)
    return opened(
        params["config_directory"],
        params["command_directory"],
        params["admin_timeout"],
        writes=writes,
        allow_generated=params["allow_generated"],
    )


def _learned(document: t.Optional[t.Mapping[str, t.Any]]) -> t.Optional[t.Mapping[str, t.Any]]:
    """The document, looked at before the server is asked anything; None for none. Raises ``PolicyError``."""
    if not document:
        return None
    # Most servers have none, and a module's code is compiled anew in each task.
    from ._servers.axigen.profile import checked

    return checked(document)


def _check(params: t.Mapping[str, t.Any], host: str, port: int) -> None:
    collected = Problems()
    if params["admin_password"] is None:
        collected.add("missing required arguments: admin_password (server: %s needs it)" % ADMIN_CLI)
    if not host or any(char.isspace() or not char.isprintable() for char in host):
        collected.add("admin_host must be a host name or an IP address")
    if not 1 <= port <= 65535:
        collected.add("admin_port must be between 1 and 65535; got %d" % port)
    with collected.collecting():
        _check_timeout(params)
    collected.raise_any()


def _check_timeout(params: t.Mapping[str, t.Any]) -> None:
    # Written so that "nan" is refused too.
    if not 0 < params["admin_timeout"] <= MAX_TIMEOUT:
        raise PolicyError(
            "admin_timeout must be more than 0 and at most %d seconds; got %g" % (MAX_TIMEOUT, params["admin_timeout"])
        )


def _guard_clear_text(params: t.Mapping[str, t.Any], host: str, peer: str, warn: t.Callable[[str], None]) -> None:
    if is_loopback(host):
        return
    if not params["allow_clear_text"]:
        raise ClearTextRefused(
            "connect to the admin interface at %s" % peer,
            "not tried: the admin password would cross the network in clear",
            "Run the task on the mail server itself with admin_host: 127.0.0.1, or use a port that speaks TLS with "
            "admin_tls: true, or come through an SSH tunnel. allow_clear_text: true accepts the risk.",
        )
    warn("The admin password is sent to %s in clear text, because allow_clear_text is true." % peer)


def _tls_context(params: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> ssl.SSLContext:
    """TLS 1.2 or newer (RFC 8996), the server's certificate checked unless the user says no."""
    # Here and not above: without admin_tls nothing needs the library, and loading it takes its time.
    import ssl

    ca_file = params["admin_ca_file"]
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PolicyError("admin_ca_file %s cannot be used: %s" % (ca_file, reason)) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not params["admin_validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if not is_loopback(params["admin_host"]):
            warn(
                "The certificate of %s is not checked: anybody on the way can read the admin password."
                % params["admin_host"]
            )
    return context
