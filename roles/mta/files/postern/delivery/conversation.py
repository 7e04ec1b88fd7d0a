# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client's side of an SMTP conversation, at the TLS level that was asked for: up to where mail can follow, and on.

The order of the steps is the security of it. TLS comes first and is judged before anything about the message or the
login goes out; what the peer said before it is forgotten (RFC 3207 section 4.2). Where TLS is required and not to be
had, the peer hears EHLO and QUIT and nothing else. Only level ``may`` tries again in clear, once, on a new connection,
and never where there is a login.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from aiosmtplib.esmtp import parse_esmtp_extensions

from ..rules.relay import Relay
from ..rules.variables import LEVELS, TLS_LEVELS
from .content import Content
from .login import LoginFailed, log_in
from .outcome import HostFailed, Limits, Outcome, Result, Security, clean, enhanced
from .peer_tls import (
    PINNED_LEVEL, VERIFIED_LEVELS, Trust, TrustError, fingerprints, is_pinned, matched_name, subject, wanted_names,
)  # fmt: skip
from .route import Hop
from .transaction import Transaction
from .wire import CLOSED, ConnectionFailed, TlsFailed, Wire

__all__ = ("Connection", "HostFailed", "Limits", "Outcome", "Result", "Security", "Trust", "connect", "converse")

#: RFC 5321 section 4.2.2 and 4.2.4: what a peer answers that does not know EHLO.
_EHLO_UNKNOWN = (500, 502, 504)


async def converse(
    hop: Hop,
    relay: Relay,
    domain: str,
    sender: str,
    recipients: Sequence[str],
    text: Iterable[bytes],
    eight_bit: bool,
    smtputf8: bool,
    helo: str,
    trust: Trust,
    limits: Limits,
) -> Result:
    """Deliver a message to ``recipients`` over ``hop``; returns an outcome for each of them.

    ``domain`` is the recipient domain (A-label). ``sender`` and ``recipients`` are addresses as they stand between
    ``<`` and ``>``, a local part quoted where it must be, ``sender`` empty for a notification. ``text`` yields the
    pieces of the message, with whatever line ends, as often as it is iterated; it may block. ``eight_bit`` and
    ``smtputf8``: its sender declared it as 8BITMIME, as SMTPUTF8. ``helo`` is the name of this host.

    Raises :class:`HostFailed` when nothing was accepted and nothing refused for good, so that another host may be
    tried; no other exception but ``asyncio.CancelledError``, which closes the socket at once. Cancelled in the goodbye,
    behind the peer's acceptance, it returns the result nevertheless: nobody else knows that the message is through.
    """
    try:
        content = await asyncio.to_thread(Content.of, text)
    except Exception as error:  # the queue cannot be read
        raise HostFailed(f"{type(error).__name__}: {clean(str(error))}", "4.3.0") from error
    transaction = Transaction(sender, recipients, content, eight_bit, smtputf8, limits)
    if transaction.nobody_left:
        return Result(transaction.outcomes)
    connection = await connect(hop, relay, domain, helo, trust, limits)
    try:
        result = await connection.send(transaction)
        try:
            await connection.leave()
        except asyncio.CancelledError:
            if not transaction.sent:
                raise
        return result
    finally:
        await connection.close()


async def connect(hop: Hop, relay: Relay, domain: str, helo: str, trust: Trust, limits: Limits) -> "Connection":
    """A connection over ``hop`` that is ready for mail to ``domain``, at the level that ``relay`` asks for.

    Raises :class:`HostFailed`, whose ``greeted`` says whether the host had answered EHLO by then; no other exception
    but ``asyncio.CancelledError``, which closes the socket at once.
    """
    opening = _Opening(hop, relay, domain, helo, trust, limits)
    try:
        return await opening.run()
    except HostFailed as failure:
        # RFC 7435: at "may" mail in clear is better than none. Where TLS was made by connecting there is no clear
        # service behind the port, and a login is never worth it.
        if not failure.tls or relay.level != "may" or relay.implicit or relay.user:
            raise
        return await opening.run(without_tls=failure.reason)


class Connection:
    """A connection that is ready for mail. One message at a time; whoever opened it closes it.

    ``security`` is how it is protected, ``opened`` when it was made (the event loop's clock), ``messages`` how many
    transactions it has seen.
    """

    def __init__(self, wire: Wire, extensions: dict[str, str], security: Security, limits: Limits) -> None:
        self.security = security
        self.opened = asyncio.get_running_loop().time()
        self.messages = 0
        self._wire = wire
        self._extensions = extensions
        self._limits = limits
        self._clean: bool | None = True

    @property
    def is_usable(self) -> bool:
        """Whether another message may follow, as far as anybody can know before trying."""
        return self._clean is not None and self._wire.is_quiet

    def on_end(self, told: Callable[[], None] | None) -> None:
        """Have ``told`` called when the peer closes the connection or says something that it was not asked for."""
        self._wire.on_end = told

    async def send(self, transaction: Transaction) -> Result:
        """One message. Raises :class:`HostFailed` when nothing was accepted and nothing refused for good."""
        kept, self.messages = self.messages > 0, self.messages + 1
        clean_before, self._clean = self._clean, None
        try:
            if not clean_before:
                code, text = await self._wire.command("RSET", limit=self._limits.mail)
                if code != 250:
                    raise ConnectionFailed(f"refused at RSET: {code} {clean(text)}", "4.5.0")
            outcomes = await transaction.send(self._wire, self._extensions, kept)
        except ConnectionFailed as error:
            raise HostFailed(str(error), error.status, security=self.security) from None
        except Exception as error:  # whatever a library does on a peer's input must not reach the queue
            reason = f"{type(error).__name__}: {clean(str(error))}"
            raise HostFailed(reason, "4.3.0", security=self.security) from error
        self._clean = transaction.clean
        return Result(outcomes, self.security)

    async def leave(self) -> None:
        """Say goodbye and close, within the limit for it."""
        await self._wire.quit(self._limits.quit)
        await self._wire.close()

    async def close(self) -> None:
        """Close the socket at once."""
        await self._wire.close()


class _Opening:
    def __init__(self, hop: Hop, relay: Relay, domain: str, helo: str, trust: Trust, limits: Limits) -> None:
        self._hop = hop
        self._relay = relay
        self._domain = domain
        self._helo = helo
        self._trust = trust
        self._limits = limits
        self._security = Security()
        self._extensions: dict[str, str] = {}
        self._mechanisms: tuple[str, ...] = ()
        self._greeted = False

    async def run(self, without_tls: str = "") -> Connection:
        """One connection. ``without_tls``: do not try TLS, because it failed before, with this reason."""
        self._security = Security(fallback=bool(without_tls), reason=without_tls)
        self._greeted = False
        level = self._relay.level
        if level not in LEVELS or (without_tls and level != "may"):
            raise self._failure(f"TLS level {level!r} is not known to this server", "4.7.5", tls=True)
        wire, ready = None, False
        try:
            context = self._context(level)
            wire = await Wire.open(self._hop.address, self._hop.port, self._relay.implicit, self._limits.connect)
            await self._prepare(wire, None if without_tls else context)
            ready = True
            return Connection(wire, self._extensions, self._security, self._limits)
        except ConnectionFailed as error:
            raise self._failure(str(error), error.status) from None
        except HostFailed:
            if wire is not None:
                await wire.quit(self._limits.quit)
            raise
        except Exception as error:  # whatever a library does on a peer's input must not reach the queue
            raise self._failure(f"{type(error).__name__}: {clean(str(error))}", "4.3.0") from error
        finally:
            if wire is not None and not ready:
                await wire.close()

    def _context(self, level: str) -> ssl.SSLContext | None:
        if level == "none" and not self._relay.implicit:
            return None
        try:
            return self._trust.context(level in VERIFIED_LEVELS, self._relay.versions, level == PINNED_LEVEL)
        except TrustError as error:
            # Our own mistake, and no reason to go on with less.
            raise self._failure(str(error), "4.3.5") from None

    async def _prepare(self, wire: Wire, context: ssl.SSLContext | None) -> None:
        relay = self._relay
        if relay.implicit:
            await self._secure(wire, context)
        await self._greeting(wire)
        await self._hello(wire)
        if not relay.implicit and context is not None:
            await self._start_tls(wire, context)
        if relay.user:
            await self._log_in(wire)

    def _failure(self, reason: str, status: str, tls: bool = False) -> HostFailed:
        return HostFailed(reason, status, tls, self._security, self._greeted)

    # --- greeting ---------------------------------------------------------------------------------

    async def _greeting(self, wire: Wire) -> None:
        code, text = await wire.banner(self._limits.banner)
        if code != 220:
            raise self._unavailable("the greeting", code, text)

    async def _hello(self, wire: Wire) -> None:
        self._extensions, self._mechanisms = {}, ()
        name = self._helo.encode("ascii", "replace")
        code, text = await wire.command("EHLO", name, limit=self._limits.hello)
        if code == 250:
            extensions, mechanisms = parse_esmtp_extensions(text)
            self._extensions, self._mechanisms = extensions, tuple(mechanisms)
            self._greeted = True
        elif code not in _EHLO_UNKNOWN:
            raise self._unavailable("EHLO", code, text)
        elif self._relay.user or (self._relay.level in TLS_LEVELS and self._security.reached == "clear"):
            what = "TLS" if self._relay.level in TLS_LEVELS else "a login"
            raise self._failure(f"{what} is required, and the peer does not know EHLO", "4.7.4", tls=True)
        else:
            code, text = await wire.command("HELO", name, limit=self._limits.hello)
            if code != 250:
                raise self._unavailable("HELO", code, text)
            self._greeted = True

    def _unavailable(self, step: str, code: int, text: str) -> HostFailed:
        # Before there is a sender there is nobody to refuse: also a 5xx here is about this host, and it may have come
        # from anybody on the way. Another host, or later, never a bounce.
        status = {4: enhanced(code, text), 5: "4.3.2"}.get(code // 100, "4.5.0")
        return self._failure(f"refused at {step}: {code} {clean(text)}", status)

    # --- TLS --------------------------------------------------------------------------------------

    async def _start_tls(self, wire: Wire, context: ssl.SSLContext) -> None:
        if "starttls" not in self._extensions:
            if self._relay.level in TLS_LEVELS:
                raise self._failure("TLS is required, and the peer does not offer STARTTLS", "4.7.4", tls=True)
            return
        try:
            code, text = await wire.command("STARTTLS", limit=self._limits.hello)
        except ConnectionFailed as error:
            raise self._failure(f"STARTTLS failed: {error}", "4.7.5", tls=True) from None
        if code != 220:
            raise self._failure(f"STARTTLS was refused: {code} {clean(text)}", "4.7.4", tls=True)
        await self._secure(wire, context)
        try:
            await self._hello(wire)
        except ConnectionFailed as error:
            # With TLS 1.3 the handshake is over for us before the peer has judged it: its refusal comes as an alert or
            # the end of the connection where the reply is awaited. Only a reply proves that TLS works.
            if error.status != CLOSED:
                raise
            self._security = Security()
            raise self._failure(f"no word through TLS: {error}", "4.7.5", tls=True) from None

    async def _secure(self, wire: Wire, context: ssl.SSLContext) -> None:
        """The handshake, and the judgement of whom it was with. Raises :class:`HostFailed` for anything less."""
        name = None if self._hop.literal else self._hop.host.rstrip(".")
        try:
            transport = await wire.start_tls_now(context, name, self._limits.handshake)
        except TlsFailed as error:
            raise self._failure(str(error), "4.7.5", tls=True) from None
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True)
        protocol, cipher = tls.version() or "", (tls.cipher() or ("",))[0]
        self._security = Security("encrypt", protocol, cipher, subject(certificate))
        if self._relay.level == PINNED_LEVEL:
            self._judge_fingerprint(certificate)
        elif self._relay.level in VERIFIED_LEVELS:
            self._judge_names(tls.getpeercert() or {})

    def _judge_fingerprint(self, certificate: bytes | None) -> None:
        # In the log, so that somebody can compare it with what the partner says on the telephone.
        shown = next(iter(fingerprints(certificate)), "")
        self._security = replace(self._security, fingerprint=shown)
        if not is_pinned(certificate, self._relay.fingerprints):
            raise self._failure("the peer's certificate has none of the fingerprints of the policy", "4.7.5", tls=True)
        self._security = replace(self._security, reached=PINNED_LEVEL)

    def _judge_names(self, certificate: dict) -> None:
        relay = self._relay
        wanted = wanted_names(relay.level, self._domain, self._host_name(), relay.host, relay.match)
        name = matched_name(certificate, wanted)
        if not name:
            names = clean(" ".join(wanted))
            raise self._failure(f"the peer's certificate is for none of these names: {names}", "4.7.5", tls=True)
        self._security = replace(self._security, reached=relay.level, verified=clean(name))

    def _host_name(self) -> str:
        return self._hop.address if self._hop.literal else self._hop.host

    # --- login ------------------------------------------------------------------------------------

    async def _log_in(self, wire: Wire) -> None:
        if self._security.reached == "clear" and not self._relay.clear_login:
            raise self._failure("a login is not sent without TLS, and there is none", "4.7.4", tls=True)
        try:
            await log_in(wire, self._mechanisms, self._relay.user, self._relay.password, self._limits.login)
        except LoginFailed as error:
            raise self._failure(str(error), error.status) from None
