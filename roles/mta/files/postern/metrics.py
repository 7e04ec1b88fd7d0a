# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures for Prometheus: counted from the events of the log, served on loopback.

A line of the log and a figure cannot tell two stories, because one call makes both. No label holds what a peer has sent:
each has a few values that stand here, and listeners and certificate files are those of the configuration.
"""

from __future__ import annotations

import socket
import threading
import typing as t
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from socketserver import TCPServer
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Info, ProcessCollector, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from . import __version__
from .queue import listing

#: Seconds that a client has for its request. One is answered at a time: who is slow must not keep the next one waiting.
_REQUEST_SECONDS = 2.0
#: What a label says for a value that is none of those known here.
_OTHER = "other"

VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
STAGES = {"onConnect": "connection", "onEhlo": "hello", "onMailFrom": "sender", "onRcptTo": "recipient"}
CLASSES = ("4xx", "5xx")
LOGINS = {
    "accepted": "right",
    "refused": "wrong",
    "put off": "put_off",
    "refused in clear text": "in_clear_text",
}
RESULTS = ("sent", "deferred", "failed")
#: What :class:`Security` says of a conversation; none where there was no conversation.
REACHED = {"": "none", **{word: word for word in ("clear", "encrypt", "verify", "secure", "fingerprint")}}


@dataclass(frozen=True)
class Facts:
    """What is so at the moment. ``expiries``: by listener and file, the end of a certificate in seconds since the epoch."""

    generation: int
    listeners: int
    sessions: int
    shut: bool
    tls_problems: int
    expiries: Mapping[tuple[str, str], float]


class Metrics:
    """All figures of one server. ``watch`` takes the events of the log, from any thread.

    ``facts`` is called at each look, in the thread that serves it, and may raise ``TimeoutError``: the event loop does
    not answer, and what only it knows is left out. ``queue_file`` is the path of the queue.
    """

    def __init__(self, facts: Callable[[], Facts], queue_file: str, clock: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self._heard: dict[str, Callable[[Mapping[str, t.Any]], None]] = {
            "smtp.session": self._session,
            "smtp.message": self._message,
            "smtp.recipient": lambda fields: self._refuse("recipient", fields),
            "smtp.refused": lambda fields: self._refuse("connection", fields),
            "rules.refused": self._rule,
            "smtp.tls": self._handshake,
            "smtp.auth": self._login,
            "admin.login": self._admin_login,
            "relay.attempt": self._attempt,
            "delivery.local": lambda _fields: self._local.inc(),
            "queue.trouble": lambda _fields: self._trouble.set(1),
            "queue.failed": lambda _fields: self._trouble.set(1),
            "queue.recovered": lambda _fields: self._trouble.set(0),
            "server.defect": lambda _fields: self._defects.inc(),
            "smtp.defect": lambda _fields: self._defects.inc(),
        }
        self._sessions = self._counter("sessions", "SMTP sessions that have ended")
        self._accepted = self._counter("messages_accepted", "Messages that were taken")
        self._refused = self._counter(
            "refusals", "Connections, recipients and messages that were refused", stage=(*STAGES.values(), "message"),
            code=CLASSES,
        )  # fmt: skip
        self._versions = self._counter("tls_handshakes", "Handshakes of clients that succeeded", version=VERSIONS)
        self._unshaken = self._counter("tls_handshakes_failed", "Handshakes of clients that failed")
        self._logins = self._counter("logins", "Logins of mail clients", result=tuple(LOGINS.values()))
        self._admins = self._counter("admin_logins", "Logins of administrators", result=("right", "wrong"))
        self._remote = self._counter(
            "deliveries", "Recipients at other hosts, by what came of an attempt and the TLS level reached",
            result=RESULTS, tls=tuple(REACHED.values()),
        )  # fmt: skip
        self._local = self._counter("local_deliveries", "Recipients whose message was delivered here")
        self._defects = self._counter("defects", "Errors of the program itself; the log says which")
        self._trouble = Gauge("postern_queue_trouble", "1 while nothing can be queued", registry=self.registry)
        Info("postern", "The program", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)
        self.registry.register(_Now(facts, queue_file, clock))
        self._server: _Server | None = None

    def watch(self, name: str, fields: Mapping[str, t.Any]) -> None:
        """Count one event of the log."""
        heard = self._heard.get(name)
        if heard is not None:
            heard(fields)

    def serve(self, host: str, port: int) -> None:
        """Answer at this address until :meth:`close`. Raises ``OSError`` when it cannot be had."""
        kind = _Server6 if ":" in host else _Server
        self._server = kind((host, port), _Handler)
        self._server.set_app(make_wsgi_app(self.registry))
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def address(self) -> str:
        """``host:port`` as the kernel has it; empty when nothing is served."""
        if self._server is None:
            return ""
        host, port = self._server.server_address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"

    def close(self) -> None:
        """Stop serving; waits for the request that is being answered."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _counter(self, name: str, about: str, **labels: tuple[str, ...]) -> Counter:
        """A counter whose series are there from the start, so that the first event is an increase and no new series."""
        counter = Counter("postern_" + name, about, tuple(labels), registry=self.registry)
        combined: list[dict[str, str]] = [{}]
        for label, values in labels.items():
            combined = [{**one, label: value} for one in combined for value in values]
        for one in combined if labels else ():
            counter.labels(**one)
        return counter

    # --- what events mean -------------------------------------------------------------------------

    def _session(self, _fields: Mapping[str, t.Any]) -> None:
        self._sessions.inc()

    def _message(self, fields: Mapping[str, t.Any]) -> None:
        if fields["result"] == "accepted":
            self._accepted.inc()
        else:
            self._refuse("message", fields)

    def _rule(self, fields: Mapping[str, t.Any]) -> None:
        # A message that a rule refuses has a line of its own.
        if fields["stage"] != "onDataReceived":
            self._refuse(STAGES.get(fields["stage"], _OTHER), fields)

    def _refuse(self, stage: str, fields: Mapping[str, t.Any]) -> None:
        code = f"{int(fields['code']) // 100}xx"
        self._refused.labels(stage=stage, code=code if code in CLASSES else _OTHER).inc()

    def _handshake(self, fields: Mapping[str, t.Any]) -> None:
        if fields["result"] == "established":
            version = fields["version"]
            self._versions.labels(version=version if version in VERSIONS else _OTHER).inc()
        else:
            self._unshaken.inc()

    def _login(self, fields: Mapping[str, t.Any]) -> None:
        # That there were too many of them is said by an event of the same name, and no login.
        if fields["result"] in LOGINS:
            self._logins.labels(result=LOGINS[fields["result"]]).inc()

    def _admin_login(self, fields: Mapping[str, t.Any]) -> None:
        self._admins.labels(result="right" if fields["ok"] else "wrong").inc()

    def _attempt(self, fields: Mapping[str, t.Any]) -> None:
        result, reached = fields["result"], REACHED.get(fields["reached"], _OTHER)
        self._remote.labels(result=result if result in RESULTS else _OTHER, tls=reached).inc(fields["recipients"])


class _Now(Collector):
    """What is looked up when somebody asks."""

    def __init__(self, facts: Callable[[], Facts], queue_file: str, clock: Callable[[], float]) -> None:
        self._facts = facts
        self._queue_file = queue_file
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing: asked at registration, before the server is up."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures. What cannot be found out is left out, the rest is told."""
        try:
            totals = listing.totals(self._queue_file)
        except listing.Unreadable:
            pass
        else:
            yield _gauge("queue_messages", "Messages in the queue", totals.messages)
            yield _gauge("queue_held_recipients", "Recipients that are held", totals.held)
            age = 0.0 if totals.oldest is None else max(0.0, self._clock() - totals.oldest)
            yield _gauge("queue_oldest_seconds", "Age of the oldest message in the queue, 0 when it is empty", age)
        try:
            facts = self._facts()
        except TimeoutError:
            return
        yield _gauge("generation", "Number of the running configuration", facts.generation)
        yield _gauge("listeners", "Listeners for mail that are open", facts.listeners)
        yield _gauge("listeners_shut", "1 while a problem keeps the listeners for mail shut", facts.shut)
        yield _gauge("sessions_open", "SMTP sessions at the moment", facts.sessions)
        yield _gauge("tls_problems", "Certificates and other files of TLS that cannot be taken up", facts.tls_problems)
        expiry = GaugeMetricFamily(
            "postern_certificate_expiry_seconds",
            "End of a certificate that is in use, in seconds since the epoch",
            labels=("listener", "file"),
        )
        for labels, end in sorted(facts.expiries.items()):
            expiry.add_metric(labels, end)
        yield expiry


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily("postern_" + name, about, value=float(value))


# --- HTTP ---------------------------------------------------------------------------------------


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_SECONDS

    def log_message(self, *_arguments: t.Any) -> None:
        """Nothing: standard error is the server's log, of JSON lines."""


class _Server(WSGIServer):
    def server_bind(self) -> None:
        # That of the standard library looks its own name up, and waits for DNS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()

    def handle_error(self, *_arguments: t.Any) -> None:
        """Nothing: a client that went away is no news."""


class _Server6(_Server):
    address_family = socket.AF_INET6
