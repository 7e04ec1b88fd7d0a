# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates by name, their renewal while sessions go on, handshakes that wait, clients with certificates."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl

import pytest
import wire_certificates
import wire_server
from postern.settings import ActivationError, TlsSettings
from postern.smtp import handshakes
from postern.smtp.listener import SmtpService
from postern.smtp.renewal import Renewal
from wire_peer import Peer, client_context
from wire_server import HOST_NAME, listener


class Server(wire_server.Server):
    """One with more certificates, and with what looks after files."""

    def __init__(self, folder, directory, certificates: tuple[str, ...] = ()) -> None:
        self._certificates = certificates
        super().__init__(folder, directory)

    async def _make(self) -> SmtpService:
        service = SmtpService(self.directory, self.store, self.log, HOST_NAME, certificates=self._certificates)
        self.renewal = Renewal(lambda: service.tls, self.log, lambda: None)
        return service


@pytest.fixture
def serve(tmp_path, directory):
    """A function that starts a server with these certificates beside those of its listeners."""
    with contextlib.ExitStack() as stack:

        def make(*certificates: str) -> Server:
            server = Server(tmp_path, directory, certificates)
            stack.callback(server.close)
            return server

        yield make


def shown(server, name: str | None, host: str = "127.0.0.1") -> str:
    """The fingerprint of the certificate that a client sees which asks for this name."""
    context = client_context()
    with Peer(host, server.port(host)) as peer:
        peer.start()
        peer.expect("STARTTLS", 220)
        peer.socket = context.wrap_socket(peer.socket, server_hostname=name)
        peer.expect("NOOP", 250)
        return hashlib.sha256(peer.socket.getpeercert(binary_form=True)).hexdigest()


def own(path: str) -> str:
    """The fingerprint of the first certificate of a file."""
    text = open(path, encoding="ascii").read()
    first = text[text.index("-----BEGIN CERTIFICATE") :].partition("-----END CERTIFICATE-----")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first[0] + first[1])).hexdigest()


# --- by name --------------------------------------------------------------------------------------


def test_the_name_that_is_asked_for_picks_the_certificate(serve, authority, ec_file):
    exact = authority.issue("exact.pem", wire_certificates.rsa_key(), names=["MX.b.test", "mail.c.test"])
    wild = authority.issue("wild.pem", names=["*.b.test", "*.example.test", "xn--mnchen-3ya.test"])
    server = serve(exact, wild)
    server.activate(
        listener("127.0.0.1", tls=TlsSettings(cert_file=ec_file)),
        listener("127.0.0.2", tls=TlsSettings(cert_file=wild)),
    )
    table = {
        "mx.b.test": exact, "mail.c.test": exact,
        "other.b.test": wild, "xn--mnchen-3ya.test": wild,
        # One label is what an asterisk is for; a name for nobody, and none at all, see the listener's own.
        "deep.other.b.test": ec_file, "b.test": ec_file, "unknown.test": ec_file, None: ec_file,
        # The listener's own certificate is for this name itself.
        "mx.example.test": ec_file, "other.example.test": wild,
    }  # fmt: skip
    assert {name: shown(server, name) for name in table} == {name: own(path) for name, path in table.items()}
    assert shown(server, "unknown.test", "127.0.0.2") == own(wild)


def test_the_listeners_settings_hold_for_every_certificate(serve, authority, ec_file):
    other = authority.issue("other.pem", names=["mx.b.test"])
    server = serve(other)
    server.activate(listener(tls=TlsSettings(("tls1_2",), "ECDHE-ECDSA-AES256-GCM-SHA384", cert_file=ec_file)))
    for name in ("mx.b.test", "mx.example.test"):
        with Peer("127.0.0.1", server.port()) as peer:
            peer.start()
            peer.expect("STARTTLS", 220)
            peer.secure(client_context(), name)
            assert (peer.socket.version(), peer.socket.cipher()[0]) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")


def test_certificates_that_cannot_work(serve, authority, tmp_path, ec_file):
    (tmp_path / "garbage.pem").write_text("no PEM")
    files = {
        str(tmp_path / "missing.pem"): "no such file or directory",
        str(tmp_path / "garbage.pem"): "it lacks a private key or a certificate",
        authority.issue("nameless.pem", names=["192.0.2.1"]): "its certificate is for no host name",
        authority.issue_mismatched("two.pem"): "the private key does not belong",
        authority.issue("rsa-only.pem", wire_certificates.rsa_key()): "works with the RSA key",
    }
    for path, reason in files.items():
        server = serve(path)
        tls = TlsSettings(("tls1_2",), "ECDHE-ECDSA-AES256-GCM-SHA384", cert_file=ec_file)
        with pytest.raises(ActivationError) as raised:
            server.activate(listener(tls=tls))
        assert str(raised.value).startswith("listener 127.0.0.1:0: ") and path in str(raised.value)
        assert reason in str(raised.value)


# --- renewal --------------------------------------------------------------------------------------


def renew(authority, path, **more) -> str:
    """Put another certificate in the place of this one, as a renewal does: in one step."""
    os.replace(authority.issue("next.pem", **more), path)
    return own(path)


def test_a_reload_during_fifty_sessions(serve, authority, tmp_path):
    path = str(tmp_path / "server.pem")
    before = renew(authority, path)
    server = serve()
    tls = TlsSettings(cert_file=path)
    server.activate(listener("127.0.0.1", tls=tls), listener("127.0.0.2", tls=tls, ssl_enable=True))
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(Peer("127.0.0.1", server.port())) for _one in range(50)]
        for peer in inside:
            peer.start()
            peer.starttls()
        waiting = stack.enter_context(Peer("127.0.0.1", server.port()))
        waiting.start()
        after = renew(authority, path)
        server.run(server.renewal.reload())
        for peer in inside:
            assert hashlib.sha256(peer.socket.getpeercert(binary_form=True)).hexdigest() == before
            peer.expect("EHLO again", 250)
            peer.expect("MAIL FROM:<a@example.test>", 250)
        # New handshakes see the new one, on a connection that was there already too.
        waiting.starttls()
        assert hashlib.sha256(waiting.socket.getpeercert(binary_form=True)).hexdigest() == after != before
        assert shown(server, None) == after
    assert server.renewal.count == 1 and server.renewal.problems == []
    assert server.log.wait("tls.reload", of="listener 127.0.0.1:0")["result"] == "changed"


def test_new_clients_while_it_is_reloaded_again_and_again(serve, authority, tmp_path):
    path = str(tmp_path / "server.pem")
    renew(authority, path)
    server = serve()
    server.activate(listener(tls=TlsSettings(cert_file=path)))
    for _turn in range(20):
        known = renew(authority, path)
        server.run(server.renewal.look())
        assert shown(server, None) == known


def test_a_link_that_points_elsewhere_is_a_change(serve, authority, tmp_path):
    first, second = authority.issue("first.pem"), authority.issue("second.pem")
    link = tmp_path / "live.pem"
    link.symlink_to(first)
    server = serve()
    server.activate(listener(tls=TlsSettings(cert_file=str(link))))
    server.run(server.renewal.look())
    link.unlink()
    link.symlink_to(second)
    server.run(server.renewal.look())
    assert shown(server, None) == own(second)


@pytest.mark.parametrize("kind", ["certificate", "named certificate", "ca", "dh"])
def test_a_broken_file_leaves_the_old_ones(serve, authority, tmp_path, ec_file, dh_file, kind):
    paths = {
        "certificate": authority.issue("a.pem"), "named certificate": authority.issue("b.pem", names=["mx.b.test"]),
        "ca": authority.ca_file, "dh": dh_file,
    }  # fmt: skip
    for name, path in paths.items():
        paths[name] = str(tmp_path / f"{name.split(' ', maxsplit=1)[0]}{len(name)}.pem")
        (tmp_path / paths[name]).write_bytes(open(path, "rb").read())
    server = serve(paths["named certificate"])
    tls = TlsSettings(
        cert_file=paths["certificate"], ca_file=paths["ca"], dh_param_file=paths["dh"], request_client_auth=True
    )
    server.activate(listener(tls=tls))
    good = (tmp_path / paths[kind]).read_bytes()
    (tmp_path / paths[kind]).write_text("half written")
    for _turn in range(3):
        server.run(server.renewal.look())
    assert shown(server, None) == own(authority.folder / "a.pem")
    (problem,) = server.renewal.problems
    assert problem.startswith("listener 127.0.0.1:0: ") and paths[kind] in problem
    told = [one for one in server.log.records if one["event"] == "tls.reload"]
    assert [(one["level"], one["result"]) for one in told] == [("error", "failed")]
    (tmp_path / paths[kind]).write_bytes(good)
    server.run(server.renewal.look())
    assert server.renewal.problems == [] and shown(server, "mx.b.test") == own(authority.folder / "b.pem")
    server.log.wait("tls.reload", result="changed")


# --- handshakes that wait -------------------------------------------------------------------------


def secured(host: str, port: int, source: str = "127.0.0.1") -> Peer:
    """A client inside TLS from the first byte."""
    peer = Peer(host, port, source)
    peer.secure()
    return peer


def test_a_waiting_handshake_is_not_read_and_comes_to_its_turn(serve, ec_file, monkeypatch):
    monkeypatch.setattr(handshakes, "SILENCE", 3600.0)
    server = serve()
    server.activate(listener("127.0.0.2", tls=TlsSettings(cert_file=ec_file), ssl_enable=True))
    port = server.port("127.0.0.2")
    with contextlib.ExitStack() as stack:
        holding = [stack.enter_context(Peer("127.0.0.2", port)) for _one in range(handshakes.MOST_OF_PEER)]
        for peer in holding:
            peer.send(b"\x16")  # a ClientHello begins, and does not end
        late = stack.enter_context(Peer("127.0.0.2", port))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        late.send(outgoing.read())
        # Peers with other addresses have places of their own; the server has done all that it does for the late one.
        stack.enter_context(secured("127.0.0.2", port, "127.0.0.9"))
        late.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            late.socket.recv(1)
        holding[0].socket.close()
        late.socket.settimeout(10)
        assert late.socket.recv(1) == b"\x16"


def test_silent_handshakes_keep_nobody_out(serve, ec_file):
    """Twice as many as there are places, from many addresses, and all of them stay."""
    server = serve()
    tls = TlsSettings(cert_file=ec_file)
    server.activate(listener("127.0.0.2", tls=tls, ssl_enable=True))
    port = server.port("127.0.0.2")
    with contextlib.ExitStack() as stack:
        for number in range(2 * handshakes.MOST):
            stack.enter_context(Peer("127.0.0.2", port, f"127.0.1.{1 + number // 5}")).send(b"\x16\x03\x01")
        for _one in range(3):
            with secured("127.0.0.2", port) as peer:
                assert peer.reply()[0] == 220


def test_the_time_for_a_handshake_runs_while_it_waits(serve, ec_file, monkeypatch):
    from postern.smtp import connection

    monkeypatch.setattr(handshakes, "SILENCE", 3600.0)
    monkeypatch.setattr(connection, "_HANDSHAKE_TIMEOUT", 1.0)
    server = serve()
    server.activate(listener("127.0.0.2", tls=TlsSettings(cert_file=ec_file), ssl_enable=True))
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer("127.0.0.2", server.port("127.0.0.2"))) for _one in range(15)]
        assert all(peer.is_closed() for peer in peers)
    # Places came back with them.
    with secured("127.0.0.2", server.port("127.0.0.2")) as peer:
        assert peer.reply()[0] == 220


# --- clients with certificates --------------------------------------------------------------------

DEMANDING = """
event onConnect {
\tset (localDelivery, "all");
}
event onMailFrom {
\tcall (demand);
}
method demand {
\tif (allOf (ipRange (remoteSmtpIp, "127.0.0.9-127.0.0.9"), isCase (sslClientVerified, "no"))) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "554 5.7.0 a client certificate is needed");
\t}
\tif (isCase (sslClientFingerprint, "FINGERPRINT")) {
\t\tset (smtpAction, "tmpreject");
\t\tset (smtpExplanation, "known");
\t}
}
"""


@pytest.fixture
def demanding(serve, authority, ec_file):
    """A server whose rule wants a certificate of 127.0.0.9, and has a word for one of them."""
    authority.issue("known.pem", name="known.example.test")
    digest = own(authority.folder / "known.pem").upper()
    script = DEMANDING.replace("FINGERPRINT", ":".join(digest[at : at + 2] for at in range(0, 64, 2)))
    server = serve()
    tls = TlsSettings(cert_file=ec_file, ca_file=authority.ca_file, request_client_auth=True)
    server.activate(listener(tls=tls), script=script)
    return server


def mail(server, source: str, certificate: str | None = None, version: str = "TLSv1_3") -> tuple[int, str]:
    """The answer to MAIL from this address, inside TLS with this certificate."""
    context = client_context()
    context.maximum_version = ssl.TLSVersion[version]
    if certificate:
        context.load_cert_chain(certificate)
    with Peer("127.0.0.1", server.port(), source) as peer:
        peer.start()
        peer.starttls(context)
        code, text = peer.say("EHLO inside")
        return peer.say("MAIL FROM:<a@example.test>") if code == 250 else (code, text)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_rule_demands_a_certificate_of_a_named_peer(demanding, authority, version):
    """RFC 3207 section 4.1: 554 where TLS came up and is not good enough."""
    good = authority.issue("good.pem", name="client.example.test")
    assert mail(demanding, "127.0.0.9", version=version) == (554, "554 5.7.0 a client certificate is needed\r\n")
    assert mail(demanding, "127.0.0.8", version=version)[0] == 250
    assert mail(demanding, "127.0.0.9", good, version)[0] == 250
    assert mail(demanding, "127.0.0.8", str(authority.folder / "known.pem"), version) == (451, "451 4.7.1 known\r\n")
    seen = demanding.log.wait("smtp.tls", peer="127.0.0.9", client_certificate=":".join(
        own(good).upper()[at : at + 2] for at in range(0, 64, 2)
    ))
    assert seen["result"] == "established"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_certificate_of_an_unknown_authority(demanding, tmp_path, version):
    """The handshake with it fails; the next one is without the question, and a rule still sees that none was shown."""
    (tmp_path / "foreign").mkdir()
    foreign = wire_certificates.Authority(tmp_path / "foreign").issue("client.pem", name="client.example.test")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        assert mail(demanding, "127.0.0.9", foreign, version)[0]
    failed = demanding.log.wait("smtp.tls", result="failed", peer="127.0.0.9")
    reason = "client certificate: self-signed certificate in certificate chain; it is not asked for one for a while"
    assert failed["reason"] == reason
    assert mail(demanding, "127.0.0.9", foreign, version)[0] == 554
    # It is about this peer only.
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        assert mail(demanding, "127.0.0.8", foreign, version)[0]
    assert mail(demanding, "127.0.0.8", foreign, version)[0] == 250


def test_peers_that_are_not_asked_are_forgotten_again():
    class Clock:
        now = 0.0

        def time(self) -> float:
            return self.now

    clock = Clock()
    known = handshakes.Handshakes(clock)
    known.forgive("192.0.2.1")
    assert known.is_forgiven("192.0.2.1") and not known.is_forgiven("192.0.2.2")
    clock.now = handshakes.FORGIVEN
    assert not known.is_forgiven("192.0.2.1")
    for number in range(handshakes._MOST_FORGIVEN + 1):
        known.forgive(f"2001:db8::{number:x}")
    assert not known.is_forgiven("2001:db8::0") and known.is_forgiven("2001:db8::1")


def test_what_nobody_thought_of_keeps_no_other_file_from_being_taken_up(serve, ec_file):
    class Odd:
        name, files, stamp = "odd", (), ()

        def prepare(self):
            raise KeyError("extension")

        def take(self, prepared):
            raise AssertionError

    server = serve()
    server.activate(listener(tls=TlsSettings(cert_file=ec_file)))
    renewal = Renewal(lambda: [Odd(), *server.service.tls], server.log, lambda: None)
    before = server.service.tls[0].context(False)
    server.run(renewal.look(everything=True))
    assert server.service.tls[0].context(False) is not before
    assert renewal.problems == ["odd: KeyError: 'extension'"]


def test_a_64_is_one_peer_among_handshakes_and_leaves_nothing():
    class One:
        begun = False

        def start_handshake(self) -> None:
            self.begun = True

    async def play():
        known = handshakes.Handshakes(asyncio.get_running_loop())
        ones = {f"2001:db8::{number:x}": One() for number in range(handshakes.MOST)}
        for peer, one in ones.items():
            known.begin(one, peer)
        assert sum(one.begun for one in ones.values()) == handshakes.MOST_OF_PEER
        other = One()
        known.begin(other, "2001:db8:0:1::1")
        assert other.begun
        known.end(other, "2001:db8:0:1::1")
        for peer, one in ones.items():
            known.end(one, peer)
        known.close()
        assert not known._holders and not known._of_peer and not known._waiting

    asyncio.run(play())


def test_no_ticket_in_tls_1_3(serve, ec_file):
    server = serve()
    server.activate(listener(tls=TlsSettings(cert_file=ec_file)))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        peer.starttls()
        peer.expect("NOOP", 250)
        assert peer.socket.version() == "TLSv1.3" and not peer.socket.session.has_ticket
