# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers by name, each with what must be known to look at it: hardened ones, and ones with a single fault."""

from __future__ import annotations

import contextlib
import ssl
import typing as t
from pathlib import Path

import handmade
import running_postern as bundled
import zoo
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import (
    Credentials,
    ForcedDomain,
    Listener,
    listener,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe import twin
from odd_certificates import NAME, Office, der

LOCAL, FORCED, OTHER = bundled.DOMAINS
_OLD = {"allowed_versions": ("tls1", "tls1_1", "tls1_2"), "cipher_suite": "ALL:!aNULL:!eNULL"}


class Running(t.Protocol):
    """What all kinds of servers have."""

    @property
    def port(self) -> int: ...


class Bench:
    """Where sites stand: an office for certificates and one bundled server for all sites that are one. A context manager.

    One site of the bundled server at a time.
    """

    def __init__(self, office: Office, folder: Path) -> None:
        self.office, self._folder = office, folder
        self._server: bundled.RunningServer | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._server is not None:
            self._server.close()

    def postern(self, script: str, implicit: bool, **tls: t.Any) -> Running:
        """The bundled server with one listener, whose port stays the same."""
        if self._server is None:
            self._server = bundled.RunningServer(self._folder)
        self._server.activate(script, bundled.listener("127.0.0.1", implicit, **tls))
        return self._server


class Site(t.NamedTuple):
    """``start`` gives a server, ``tls`` and ``more`` are for its :class:`Listener`."""

    start: t.Callable[[Bench], t.ContextManager[Running]]
    tls: str = "starttls"
    more: t.Mapping[str, t.Any] = {}


def _postern(script: str, implicit: bool = False, **tls: t.Any) -> t.Callable[[Bench], t.Any]:
    """The bundled server; ``cert_file`` may be a function of the office."""

    @contextlib.contextmanager
    def start(bench: Bench) -> t.Iterator[Running]:
        certificate = tls.get("cert_file", lambda office: office.server_pem("ec", NAME, 60))
        yield bench.postern(script, implicit, **{**tls, "cert_file": certificate and certificate(bench.office)})

    return start


def _twin(**different: t.Any) -> t.Callable[[Bench], t.Any]:
    """A twin; ``context`` may be a function of the office."""

    def start(bench: Bench) -> t.Any:
        context = different.get("context", lambda office: office.context(days=60))
        made = {**different, "context": context(bench.office)}
        return zoo.smtp(**{"forces": (FORCED,), "hosts": (LOCAL, FORCED, OTHER), "explanation": bundled.EXPLANATION, **made})

    return start


def _odd(**different: t.Any) -> t.Callable[[Bench], t.Any]:
    """A twin with a certificate that no careful authority would sign."""

    def context(office: Office) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Security level 0: keys of any length.
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
        made.load_cert_chain(_file(office, different))
        return made

    return _twin(context=context)


def _file(office: Office, different: t.Mapping[str, t.Any]) -> Path:
    if "sha1" in different:
        return office.sha1("sha1.pem")
    name = "-".join(f"{key}={str(value)[:20]}" for key, value in sorted(different.items())) or "plain"
    return office.odd("".join(char if char.isalnum() else "_" for char in name) + ".pem", **different)


def _by_hand(implicit: bool = False, **different: t.Any) -> t.Callable[[Bench], t.Any]:
    def start(bench: Bench) -> t.Any:
        chain = (der(bench.office.odd("by_hand.pem", "rsa2048")),)
        return zoo.by_hand(implicit, **{"chain": chain, **different})

    return start


@contextlib.contextmanager
def _closed(unused: Bench) -> t.Iterator[Running]:
    class _Port:
        def __init__(self, port: int) -> None:
            self.port = port

    with zoo.closed_port() as port:
        yield _Port(port)


def _turn_away(caller: zoo.Caller) -> None:
    if caller.number > 1:
        caller.say(b"421 4.7.0 Too many connections\r\n")
        raise EOFError


_POSTERN = {"credentials": Credentials(bundled.ACCOUNT, bundled.PASSWORD)}
_TWIN = {"credentials": Credentials(twin.ACCOUNT, twin.PASSWORD)}
_MECHANISMS = "plain login "

SITES: dict[str, Site] = {
    # The bundled server, hardened and not.
    "hardened": Site(_postern(bundled.hardened(_MECHANISMS)), more=_POSTERN),
    "hardened implicit": Site(_postern(bundled.hardened(_MECHANISMS), implicit=True), "implicit", _POSTERN),
    "submission": Site(_postern(bundled.submission(_MECHANISMS)), more=_POSTERN),
    "submission implicit": Site(_postern(bundled.submission(_MECHANISMS), implicit=True), "implicit", _POSTERN),
    "unhardened": Site(
        _postern(bundled.initial("unhardened"), cert_file=lambda office: office.server_pem("rsa", NAME, 60), **_OLD),
        more=_POSTERN,
    ),
    "without TLS": Site(_postern(bundled.initial("unhardened"), cert_file=None), more=_POSTERN),
    "all versions": Site(
        _postern(bundled.hardened(_MECHANISMS), allowed_versions=("tls1", "tls1_1", "tls1_2", "tls1_3")), more=_POSTERN
    ),
    "client's order": Site(_postern(bundled.hardened(_MECHANISMS), prefer_server_ciphers=False), more=_POSTERN),
    "expired": Site(
        _postern(bundled.hardened(_MECHANISMS), cert_file=lambda office: office.server_pem("ec", NAME, -1))
    ),
    "other name": Site(
        _postern(bundled.hardened(_MECHANISMS), cert_file=lambda office: office.server_pem("ec", "other.test"))
    ),
    # Twins: right but for one thing.
    "twin": Site(_twin(), more=_TWIN),
    "closed": Site(_closed),
    "greets with 554": Site(_twin(greeting="554 5.7.1 Nobody talks to you")),
    "answers in clear": Site(_twin(implicit=True, answers_clear_on_implicit=True), "implicit"),
    "STARTTLS inside TLS": Site(_twin(starttls_inside_tls=True)),
    "broken handshake": Site(lambda unused: zoo.behind_starttls(handmade.alert(handmade.HANDSHAKE_FAILURE))),
    "breaks off": Site(_twin(breaks_off_behind_hello=True)),
    "SCRAM too": Site(_twin(tls_mechanisms=("PLAIN", "LOGIN", "SCRAM-SHA-256")), more=_TWIN),
    "SCRAM without password": Site(_twin(tls_mechanisms=("SCRAM-SHA-256",), no_password=True), more=_TWIN),
    "no AUTH": Site(_twin(tls_mechanisms=()), more=_TWIN),
    "throttling": Site(_twin(before=_turn_away)),
    "hidden CRAM-MD5": Site(_twin(accepts_unoffered=True), more=_TWIN),
    "no password": Site(_twin(no_password=True), more=_TWIN),
    "any password": Site(_twin(any_password=True), more=_TWIN),
    "keeps the buffer": Site(_twin(keeps_buffer=True)),
    "skips late plaintext": Site(_twin(skips_late_plaintext=True)),
    "keeps the state": Site(_twin(keeps_state=True)),
    "open relay": Site(_twin(relays=True)),
    "forces inside TLS": Site(_twin(forces_inside_tls=True)),
    "forces everything": Site(_twin(forces=(FORCED, OTHER))),
    "other words": Site(_twin(explanation="Go away")),
    "code as text": Site(_twin(overrule={"MAIL": "550 " + bundled.STARTTLS_FIRST}, overrule_inside={"X": ""})),
    "other reply": Site(_twin(overrule={"MAIL": "530 5.7.0 Go away"}, overrule_inside={"X": ""})),
    "DH 1024": Site(_twin(context=lambda office: office.context("TLSv1_2", "TLSv1_2", "DHE+AES", 1024, "rsa"))),
    "DH 2048": Site(_twin(context=lambda office: office.context("TLSv1_2", "TLSv1_2", "DHE+AES", 2048, "rsa"))),
    # Certificates.
    "not yet valid": Site(_odd(after=0.25, days=90.25)),
    "for ten years": Site(_odd(days=3650)),
    "ends soon": Site(_odd(days=3)),
    "self-signed": Site(_odd(self_signed=True)),
    "RSA 1024": Site(_odd(key="rsa1024")),
    "P-384": Site(_odd(key="P-384")),
    "RSA 2048": Site(_odd(key="rsa2048")),
    "SHA-1": Site(_odd(sha1=True)),
    # TLS by hand.
    "SSL 2.0": Site(_by_hand(versions=("SSLv2",))),
    "SSL 3.0": Site(_by_hand(versions=("SSLv3",), suites=("DES-CBC3-SHA", "RC4-SHA"))),
    "SSL 3.0 with one suite": Site(_by_hand(versions=("SSLv3",), suites=("RC4-SHA",))),
    "RC4": Site(_by_hand(suites=("RC4-SHA", "RC4-MD5"))),
    "client's order by hand": Site(_by_hand(prefers="client")),
    "brainpool": Site(_by_hand(groups=("brainpoolP256r1", "P-256"))),
    "CCM 8": Site(_by_hand(versions=("TLSv1.3",), suites=("TLS_AES_128_CCM_8_SHA256",), groups=("X448",))),
    "compression": Site(_by_hand(compression=True)),
    "old master secret": Site(_by_hand(extended_master_secret=False)),
    "old renegotiation": Site(_by_hand(secure_renegotiation=False)),
    "MAC then encrypt": Site(_by_hand(encrypt_then_mac=False)),
    "by hand": Site(_by_hand()),
    "by hand implicit": Site(_by_hand(True), "implicit"),
}


def where(site: Site, server: Running, office: Office) -> Listener:
    """The listener of a running site."""
    more = {
        "forced_domains": (ForcedDomain(FORCED, bundled.EXPLANATION),), "other_domain": OTHER, "local_domain": LOCAL,
        "ca_file": office.ca_file, **site.more,
    }
    return listener(f"127.0.0.1:{server.port}", site.tls, NAME, **more)
