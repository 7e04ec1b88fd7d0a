# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One generation of the server's running configuration, as immutable values.

The admin interface builds a :class:`Generation` at the server COMMIT and hands it to the SMTP
side, which takes all of it or refuses all of it. Neither side imports the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TlsSettings:
    """A listener's SSLCONTROL values. Versions in the dialect's tokens (``tls1_2``); paths absolute, None for ``none``."""

    allowed_versions: tuple[str, ...] = ("tls1_2", "tls1_3")
    cipher_suite: str = ""
    prefer_server_ciphers: bool = True
    ephemeral_key: bool = True
    cert_file: str | None = None
    ca_file: str | None = None
    dh_param_file: str | None = None
    max_chain_depth: int = 4
    request_client_auth: bool = False


@dataclass(frozen=True)
class FlowLimits:
    """How many connections at a time and in a time span (seconds), of all clients and of one; 0 means no limit."""

    max_connections: int = 0
    max_interval_connections: int = 0
    time_interval: int = 60
    peer_max_connections: int = 0
    peer_max_interval_connections: int = 0
    peer_time_interval: int = 60


@dataclass(frozen=True)
class AccessRule:
    """An allowed or denied client network: CIDR, ``a-b`` range or a single address; priority 1 is highest.

    ``limits`` are about all connections that an allowed network has let in.
    """

    ip_set: str
    enable: bool = False
    priority: int = 500
    limits: FlowLimits = FlowLimits()


@dataclass(frozen=True)
class AccessControl:
    """Rules and limits of a whole service, for connections that no rule of their listener is about."""

    allow_rules: tuple[AccessRule, ...] = ()
    deny_rules: tuple[AccessRule, ...] = ()
    limits: FlowLimits = FlowLimits()


@dataclass(frozen=True)
class ListenerSettings:
    """One SMTP listener. ``host`` without brackets; time spans in seconds; a limit of 0 means none."""

    host: str
    port: int
    enable: bool = True
    ssl_enable: bool = False
    idle_timeout: int = 300
    max_connections: int = 200
    max_interval_connections: int = 600
    time_interval: int = 60
    peer_max_connections: int = 20
    peer_max_interval_connections: int = 600
    peer_time_interval: int = 60
    tls: TlsSettings = field(default_factory=TlsSettings)
    allow_rules: tuple[AccessRule, ...] = ()
    deny_rules: tuple[AccessRule, ...] = ()

    @property
    def address(self) -> str:
        """``host:port``, IPv6 in brackets: the key in the admin dialect."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Generation:
    """The whole running configuration. ``number`` grows by one with every server COMMIT.

    Without ``processing`` nothing leaves the queue, without ``sending`` nothing for other hosts.
    """

    number: int
    server_name: str
    listeners: tuple[ListenerSettings, ...]
    script: bytes
    max_errors: int = 20
    max_auth_errors: int = 5
    access: AccessControl = AccessControl()
    processing: bool = True
    sending: bool = True


class ActivationError(Exception):
    """A generation that cannot become active; the text names the object (listener, file, script line) and the reason."""
