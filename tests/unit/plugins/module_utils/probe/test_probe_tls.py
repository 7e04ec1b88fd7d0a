# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import ssl
import struct

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe import records, suites
from ansible_collections.securemail.smtp.plugins.module_utils._probe.tls import offer
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import (
    SERVER_NAME,
    scripted_twin,
    smtp_twin,
)

NAMES = {"TLSv1": "TLSv1", "TLSv1.1": "TLSv1_1", "TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}


def ask(server, version, mode="implicit", ciphers=None, timeout=5.0):
    return offer("127.0.0.1", server.port, version, mode, ciphers, SERVER_NAME, timeout)


def message(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def hello_body(version, suite, extensions=b""):
    tail = struct.pack("!H", len(extensions)) + extensions if extensions else b""
    return struct.pack("!H", version) + b"r" * 32 + b"\x00" + struct.pack("!HB", suite, 0) + tail


def record(content, kind=22, version=0x0301):
    return struct.pack("!BHH", kind, version, len(content)) + content


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
@pytest.mark.parametrize("only", sorted(NAMES))
def test_a_server_with_one_version_accepts_that_one_and_refuses_the_others(authority, only, mode):
    context = authority.context(minimum=NAMES[only], maximum=NAMES[only], kind="rsa")
    with smtp_twin(context=context, implicit=mode == "implicit") as server:
        for version in NAMES:
            handshake = ask(server, version, mode)
            assert handshake.accepted == (version == only), (version, str(handshake))
            if version == only:
                assert (handshake.version, handshake.side) == (version, "")
                assert handshake.cipher in suites.suites_of(version)
            else:
                assert handshake.refused
                # RFC 5246 appendix E.1: offered more than it has, a server answers with the best it has.
                above = version > only and version != "TLSv1.3"
                words = "the server answers with %s" % only if above else "protocol_version"
                assert handshake.detail == words


@pytest.mark.parametrize("version", ["SSLv2", "SSLv3"])
def test_a_server_of_today_refuses_ssl(authority, version):
    with smtp_twin(context=authority.context(), implicit=True) as server:
        handshake = ask(server, version)
        assert handshake.refused, str(handshake)


def test_ssl3_is_accepted_by_a_server_that_speaks_it():
    # No library of today has SSL 3.0, so the answer is written by hand; RC4-SHA needs no ServerKeyExchange.
    answer = message(2, hello_body(0x0300, 0x0005)) + message(11, b"\x00\x00\x00") + message(14, b"")
    with scripted_twin(record(answer, version=0x0300)) as server:
        handshake = ask(server, "SSLv3")
        assert (handshake.accepted, handshake.version, handshake.cipher) == (True, "SSLv3", "RC4-SHA")


def test_ssl2_is_accepted_by_a_server_that_speaks_it():
    with scripted_twin(b"\x80\x0b\x04\x00\x01\x00\x02\x00\x00\x00\x03\x00\x10") as server:
        handshake = ask(server, "SSLv2")
        assert (handshake.accepted, handshake.version) == (True, "SSLv2")


@pytest.mark.parametrize("bits", [1024, 2048])
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1", "TLSv1.2"])
def test_dhe_tells_the_length_of_the_prime(authority, bits, version):
    context = authority.context("TLSv1", "TLSv1_2", ":".join(suites.ARTICLE_SUITES), bits, kind="rsa")
    with smtp_twin(context=context) as server:
        handshake = ask(server, version, "starttls", suites.ARTICLE_SUITES)
        assert (handshake.accepted, handshake.dh_bits) == (True, bits), str(handshake)
        assert handshake.cipher in suites.ARTICLE_SUITES
        assert len(handshake.chain) == 1


def test_dhe_without_a_dh_file_is_refused_by_the_server(authority):
    context = authority.context(ciphers=":".join(suites.ARTICLE_SUITES), maximum="TLSv1_2", kind="rsa")
    with smtp_twin(context=context) as server:
        handshake = ask(server, "TLSv1.2", "starttls", suites.ARTICLE_SUITES)
        assert (handshake.side, handshake.detail) == ("server alert", "handshake_failure")


@pytest.mark.parametrize(
    "name",
    ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA",
     "AES128-GCM-SHA256", "AES256-SHA256", "AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-SHA"],
)
def test_one_named_suite_is_negotiated_and_its_absence_refused(authority, name):
    context = authority.context(ciphers=name, maximum="TLSv1_2", dh_bits=2048, kind="rsa")
    others = [other for other in suites.suites_of("TLSv1.2") if other != name]
    with smtp_twin(context=context, implicit=True) as server:
        handshake = ask(server, "TLSv1.2", ciphers=[name])
        assert (handshake.accepted, handshake.cipher) == (True, name), str(handshake)
        assert handshake.dh_bits == (2048 if name.startswith("DHE") else None)
        assert (handshake.group == "X25519") == name.startswith("ECDHE")
        assert ask(server, "TLSv1.2", ciphers=others).detail == "handshake_failure"


def test_the_table_of_suites_agrees_with_the_local_library():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    known = {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
    both = set(known) & set(suites.SUITES)
    assert len(both) > 40
    assert {name: known[name] for name in both} == {name: suites.SUITES[name] for name in both}


def test_tls13_with_a_server_that_wants_another_group(authority):
    context = authority.context()
    try:
        context.set_ecdh_curve("secp384r1")
    except ValueError:
        pytest.skip("this library cannot choose one group")
    with smtp_twin(context=context, implicit=True) as server:
        handshake = ask(server, "TLSv1.3")
        assert (handshake.accepted, handshake.version, handshake.group) == (True, "TLSv1.3", "P-384")
        assert handshake.detail == "asked for another group"


def test_the_server_name_is_sent(authority):
    context = authority.context()
    seen = []
    context.sni_callback = lambda sock, name, unused: seen.append(name)
    with smtp_twin(context=context, implicit=True) as server:
        assert ask(server, "TLSv1.2").accepted
        assert offer("127.0.0.1", server.port, "TLSv1.3", "implicit", None, "192.0.2.1").accepted
    assert seen == [SERVER_NAME, None]


# ---- who is to blame


def test_a_server_that_closes():
    with scripted_twin(None) as server:
        handshake = ask(server, "TLSv1.2")
        assert (handshake.side, handshake.refused) == ("server closed", True)


def test_a_server_that_resets_the_connection():
    def reset(sock, unused):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with scripted_twin(reset) as server:
        handshake = ask(server, "TLSv1.2")
        assert (handshake.side, handshake.refused) == ("server closed", True)


def test_a_server_that_says_nothing_is_no_refusal():
    def silent(sock, unused):
        sock.recv(1)

    with scripted_twin(silent) as server:
        handshake = ask(server, "TLSv1.2", timeout=0.3)
        assert (handshake.side, handshake.refused) == ("network", False)
        assert "no answer" in handshake.detail


def test_a_port_where_nobody_listens_is_no_refusal():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    handshake = offer("127.0.0.1", port, "TLSv1", "implicit")
    assert (handshake.side, handshake.refused) == ("network", False)


def test_a_server_that_speaks_smtp_in_clear_is_no_refusal():
    with smtp_twin() as server:
        handshake = ask(server, "TLSv1.2")
        assert (handshake.side, handshake.refused) == ("server reply", False)
        assert "220 twin" in handshake.detail


@pytest.mark.parametrize(
    "different, side, words",
    [
        ({"offers_starttls": False}, "server reply", "STARTTLS refused: 502 5.5.1"),
        ({"greeting": "421 4.7.0 Too many connections"}, "server busy", "421 4.7.0 Too many connections"),
        ({"greeting": "554 5.7.1 Go away"}, "server reply", "greeted with 554 5.7.1 Go away"),
        ({"overrule": {"STARTTLS": "454 4.7.0 TLS not available"}}, "server busy", "STARTTLS refused: 454 4.7.0"),
        ({"overrule": {"EHLO": "421 4.3.2 Shutting down"}}, "server busy", "421 4.3.2"),
    ],
)
def test_no_handshake_because_smtp_did_not_get_there(authority, different, side, words):
    with smtp_twin(context=authority.context(), **different) as server:
        handshake = ask(server, "TLSv1", "starttls")
        assert (handshake.side, handshake.refused) == (side, False)
        assert words in handshake.detail


def test_an_answer_in_another_version_is_named():
    answer = message(2, hello_body(0x0301, 0x002F))
    with scripted_twin(record(answer)) as server:
        handshake = ask(server, "TLSv1.2")
        assert (handshake.accepted, handshake.refused, handshake.version) == (False, True, "TLSv1")
        assert handshake.detail == "the server answers with TLSv1"


@pytest.mark.parametrize(
    "answer",
    [
        record(message(2, b"\x03")),
        record(message(2, hello_body(0x0303, 0xC02F)[:-2])),
        record(message(11, b"\x00\x00\x00")),
        record(b"", kind=23),
        record(b"\x02", kind=21),
        record(message(2, hello_body(0x0303, 0xC02F)) + message(12, b"\x03\x00")),
        b"\x16\x02\x00\x00\x04abcd",
        b"\x16\x03\x01\xff\xff",
        b"\x00\x00\x00\x00\x00",
    ],
)
def test_garbage_is_neither_accepted_nor_refused(answer):
    with scripted_twin(answer) as server:
        handshake = ask(server, "TLSv1.2")
        assert (handshake.accepted, handshake.refused, handshake.side) == (False, False, "server reply"), str(handshake)


def test_an_unknown_alert_keeps_its_number():
    with scripted_twin(record(b"\x02\xc8", kind=21)) as server:
        assert ask(server, "TLSv1.2").detail == "alert 200"


def test_a_warning_does_not_end_the_handshake():
    hello = message(2, hello_body(0x0303, 0x002F)) + message(14, b"")
    answer = record(b"\x01\x70", kind=21) + record(hello, version=0x0303)
    with scripted_twin(answer) as server:
        assert ask(server, "TLSv1.2").cipher == "AES128-SHA"


def test_messages_may_be_cut_anywhere():
    whole = message(2, hello_body(0x0303, 0x0033)) + message(12, b"\x00\x80" + b"\xff" * 128) + message(14, b"")
    stream = b"".join(record(whole[at : at + 7]) for at in range(0, len(whole), 7))
    reader, found = records.RecordReader(), []
    for at in range(len(stream)):
        reader.feed(stream[at : at + 1])
        found += reader.messages()
    assert [kind for kind, unused in found] == [2, 12, 14]
    assert records.server_key_exchange(found[1][1], "DHE").dh_bits == 1024


@pytest.mark.parametrize("bad", [{"version": "TLSv9"}, {"mode": "tls"}, {"ciphers": ["AES-1"]}])
def test_slips_of_the_caller_are_not_taken_for_refusals(bad):
    arguments = {"version": "TLSv1.2", "mode": "implicit", "ciphers": None}
    arguments.update(bad)
    with pytest.raises(ValueError):
        offer("127.0.0.1", 1, **arguments)
