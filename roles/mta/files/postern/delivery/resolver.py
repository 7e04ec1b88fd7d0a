# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What delivery asks the DNS: mail exchangers and addresses.

A thin layer on dnspython's stub resolver, which brings TCP after truncation, CNAME chains and the checks of an answer.
Names are always complete: search lists are not used. Answers are kept for their time to live, an hour at most, so
that a mistake in a zone is forgotten soon after its owner has corrected it.
"""

from __future__ import annotations

import asyncio
import os
import re
import time

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from .nameserver import named_servers, server_address

#: Where the system names its DNS servers.
SYSTEM_CONFIGURATION = "/etc/resolv.conf"

#: Seconds that an answer is kept at most, and how many are kept.
_MAX_AGE, _MAX_ANSWERS = 3600.0, 10_000
#: Seconds until one server's silence makes the resolver ask the next one, or the same again.
_TRY_SECONDS = 3.0
#: Octets of an answer over UDP that pass everywhere without fragments (DNS flag day 2020).
_UDP_PAYLOAD = 1232
# What can be connected to and named in TLS: a zone may hold any octets in a label.
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


class LookupFailed(Exception):
    """No way to a domain. The text is the reason; ``status`` its code (RFC 3463), ``temporary``: it may work later."""

    def __init__(self, reason: str, status: str, temporary: bool) -> None:
        super().__init__(reason)
        self.status = status
        self.temporary = temporary


class Resolver:
    """Asks ``servers`` (``192.0.2.53``, ``127.0.0.1:5353``, ``[::1]:53``), or the system's when none are given.

    ``timeout``: seconds for one question, all attempts together. The system's servers are read when they are needed,
    and again when the file changes. Nothing is opened before the first question. Raises ValueError for what is no
    address.
    """

    def __init__(
        self, servers: tuple[str, ...] = (), timeout: float = 10.0, configuration: str = SYSTEM_CONFIGURATION
    ) -> None:
        self._configuration = configuration
        self._read: tuple[int, ...] | None = None
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.cache = _Cache(_MAX_ANSWERS)
        self._resolver.lifetime = timeout
        self._resolver.timeout = min(_TRY_SECONDS, timeout)
        self._resolver.use_edns(0, 0, _UDP_PAYLOAD)
        self._fixed = bool(servers)
        self._use([server_address(server) for server in servers])

    async def mx(self, domain: str) -> tuple[tuple[int, str], ...]:
        """Preferences and lower-case host names, the most preferred first; empty when the domain has no MX.

        Raises :class:`LookupFailed`: temporarily when the DNS does not answer, for good when the domain does not
        exist (5.1.2) or says that it takes no mail (5.1.10, RFC 7505).
        """
        try:
            answer = await self._ask(domain, "MX")
        except dns.resolver.NXDOMAIN:
            raise LookupFailed(f"the domain {domain} does not exist", "5.1.2", temporary=False) from None
        found = [(record.preference, _text(record.exchange)) for record in answer]
        if found and all(not host for _preference, host in found):
            raise LookupFailed(f"the domain {domain} takes no mail (null MX)", "5.1.10", temporary=False)
        # RFC 7505 section 3: a null MX beside others is a mistake; the others count.
        return tuple(sorted((preference, host) for preference, host in found if host))

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The host's IPv4 addresses, then its IPv6 ones, each in the order of the answer; empty when it has none.

        Raises :class:`LookupFailed`, temporary, when the DNS does not answer and no address is known.
        """
        if not _HOST.fullmatch(host.lower()):
            return ()
        answers = await asyncio.gather(self._addresses(host, "A"), self._addresses(host, "AAAA"))
        found = tuple(address for answer in answers if not isinstance(answer, LookupFailed) for address in answer)
        failed = [answer for answer in answers if isinstance(answer, LookupFailed)]
        # Servers that cannot answer for AAAA are not rare; the IPv4 address is as good without.
        if failed and not found:
            raise failed[0]
        return found

    async def _addresses(self, host: str, kind: str) -> tuple[str, ...] | LookupFailed:
        try:
            return tuple(record.address for record in await self._ask(host, kind))
        except dns.resolver.NXDOMAIN:
            return ()
        except LookupFailed as error:
            return error

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer:
        if not self._fixed:
            self._read_configuration()
        try:
            absolute = dns.name.from_text(name, dns.name.root)
        except dns.exception.DNSException:
            raise LookupFailed(f"{name!r} is no domain name", "5.1.2", temporary=False) from None
        try:
            return await self._resolver.resolve(absolute, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            raise
        except (dns.exception.DNSException, OSError, EOFError) as error:
            reason = f"DNS: no answer about {kind} of {name}: {_reasons(error)}"
            raise LookupFailed(reason, "4.4.3", temporary=True) from None

    # --- which servers ----------------------------------------------------------------------------

    def _use(self, servers: list[tuple[str, int]]) -> None:
        self._resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]

    def _read_configuration(self) -> None:
        path = self._configuration
        try:
            state = os.stat(path)
            # The clock of a file system is coarse: two changes may have one time.
            changed = (state.st_mtime_ns, state.st_ino, state.st_size)
            if changed != self._read:
                with open(path, encoding="utf-8", errors="replace") as file:
                    self._use(named_servers(file.read()))
                self._read = changed
        except OSError as error:
            raise LookupFailed(_unconfigured(f"{path}: {error.strerror}"), "4.4.3", temporary=True) from None
        if not self._resolver.nameservers:
            raise LookupFailed(_unconfigured(f"{path} names none"), "4.4.3", temporary=True)


class _Cache(dns.resolver.LRUCache):
    """Keeps nothing longer than :data:`_MAX_AGE`, whatever a zone says."""

    def put(self, key, value) -> None:
        value.expiration = min(value.expiration, time.time() + _MAX_AGE)
        super().put(key, value)


def _unconfigured(reason: str) -> str:
    return f"DNS: there is no server to ask ({reason}); name servers there or in the bootstrap file, [dns] servers"


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


def _reasons(error: BaseException) -> str:
    """What each server said last, without dnspython's long sentences."""
    said: dict[str, str] = {}
    for _name, _tcp, _port, reason, *_more in getattr(error, "kwargs", {}).get("errors") or ():
        server = re.sub(r"^Do53:(.*)@(\d+)$", r"\1 port \2", str(_name))
        if isinstance(reason, dns.exception.Timeout):
            said[server] = "is silent"
        elif isinstance(reason, str):
            said[server] = f"says {reason}"
        else:
            said[server] = str(reason) or type(reason).__name__
    return ", ".join(f"{server} {text}" for server, text in said.items()) or str(error) or type(error).__name__
