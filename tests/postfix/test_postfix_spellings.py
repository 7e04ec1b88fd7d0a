# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a listener is what Postfix does, however somebody has written it."""

from __future__ import annotations

import smtplib
import socket
import ssl
import warnings

import pytest

VERSIONS = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}

PROTOCOLS = (
    ">=TLSv1.2",
    ">=tlsv1.1,<=TLSv1.2",
    "!SSLv2,!SSLv3",
    "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1",
    "TLSv1.2:TLSv1.3",
    "SSLv3,TLSv1",
    "TLSv1.2",
    "!TLSv1.2",
    "",
    # The last bound of a kind is in force.
    ">=TLSv1.2,>=TLSv1",
    "<=TLSv1.1,<=TLSv1.3",
    ">=TLSv1.1,!TLSv1.2",
    "TLSv1.1,TLSv1.2,!TLSv1.1",
    # As numbers of the TLS protocol.
    ">=0303",
    ">=0302,<=0303",
    ">=0x0303,<=0304",
    "<=0",
    ">=0305",
    "<=0301,>=0100",
    # No bound, and what is no list of protocols.
    ">=TLSv1.3,>=",
    ">=SSLv3",
    "!!TLSv1",
    "TLSv2",
    ">=TLSv2",
    ">=SSLv2",
)


@pytest.fixture
def many(make_host, free_port, lab):
    """A function that makes a running host with a listener for each list of ``-o``; returns it and their ports."""

    def make(*options: tuple[str, ...], main: str = ""):
        ports = []
        while len(ports) < len(options):
            port = free_port()
            ports += [] if port in ports else [port]
        services = "".join(
            f"127.0.0.1:{port} inet n - n - - smtpd\n" + "".join(f"  -o {{ {one} }}\n" for one in some)
            for port, some in zip(ports, options)
        )
        host = make_host(services, main=f"smtpd_tls_chain_files = {lab.rsa}\n{main}")
        host.start()
        return host, ports

    return make


def client(port: int) -> smtplib.SMTP:
    found = smtplib.SMTP("127.0.0.1", port, timeout=20)
    found.ehlo("client.example")
    return found


def spoken(port: int) -> list[str]:
    """The versions that a handshake succeeds with."""
    found = []
    for name, version in VERSIONS.items():
        context = ssl._create_unverified_context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        with client(port) as session:
            try:
                if session.starttls(context=context)[0] == 220:
                    found.append(name)
            except (OSError, smtplib.SMTPException):
                # The connection ended in the handshake: nothing more can be said in it.
                session.close()
    return found


def listeners(run, host) -> dict[int, dict]:
    return {int(one["address"].rpartition(":")[2]): one for one in run(host, "smtp_info")["policy"]["listeners"]}


@pytest.mark.parametrize("half", ["smtpd_tls_protocols", "smtpd_tls_mandatory_protocols"])
def test_a_list_of_protocols_means_what_postfix_makes_of_it(many, run, half):
    level = "may" if half == "smtpd_tls_protocols" else "encrypt"
    host, ports = many(*[(f"{half} = {one}", f"smtpd_tls_security_level = {level}") for one in PROTOCOLS])
    read = listeners(run, host)
    means = {spelling: read[port]["versions"] or [] for port, spelling in zip(ports, PROTOCOLS)}
    assert means == {spelling: spoken(port) for port, spelling in zip(ports, PROTOCOLS)}


LEVELS = (
    ("smtpd_tls_security_level = may",),
    ("smtpd_tls_security_level = encrypt",),
    ("smtpd_tls_security_level = MAY",),
    ("smtpd_tls_security_level = none",),
    ("smtpd_tls_security_level =",),
    ("smtpd_tls_security_level =", "smtpd_use_tls = yes"),
    ("smtpd_tls_security_level =", "smtpd_enforce_tls = yes"),
    ("smtpd_tls_security_level = none", "smtpd_enforce_tls = yes"),
    ("smtpd_tls_security_level = verify",),
    ("smtpd_tls_security_level = may", "smtpd_discard_ehlo_keywords = pipelining, starttls"),
    ("smtpd_tls_security_level = none", "smtpd_tls_wrappermode = yes"),
)


def mode(port: int) -> tuple[str, bool]:
    """As it is seen: the mode, and whether TLS must be there before mail."""
    with socket.create_connection(("127.0.0.1", port), 20) as plain:
        try:
            with ssl._create_unverified_context().wrap_socket(plain) as secured:
                assert secured.recv(3) == b"220"
            return "implicit", True
        except ssl.SSLError:
            # It greets in clear.
            pass
    with client(port) as session:
        offered = session.has_extn("starttls")
        return ("starttls" if offered else "none"), session.mail("a@b.example")[0] == 530


def test_a_mode_is_what_a_client_finds(many, run):
    host, ports = many(*LEVELS)
    info = run(host, "smtp_info")["policy"]
    read = {int(one["address"].rpartition(":")[2]): one["tls"] for one in info["listeners"]}
    required = {rule["name"] for rule in info["rules"]}
    for port, options in zip(ports, LEVELS):
        found, must = mode(port)
        assert read[port] == found, options
        if found == "starttls":
            assert (f"submission_{port}_needs_tls" in required) == must, options
