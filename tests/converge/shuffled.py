# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server of another make, with names that nobody has written down, and its WebAdmin."""

from __future__ import annotations

import json
import smtplib
import ssl
import sys
from pathlib import Path

from mta_process import PASSWORD, SCRIPT as CANONICAL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import webadmin  # noqa: E402

NAMES = {
    "plainConnAuthTypes": "authForPlain",
    "secureConnAuthTypes": "whatMayLogIn2",
    "rcptDomain": "toWhom",
    "isCase": "sameText",
    "sslEnabled": "nextHopSecure",
}
#: Words that spell something, in another way than elsewhere, and words that spell nothing.
VALUES = {
    "none": "nothing",
    "plain": "PLAIN_",
    "login": "userpw",
    "cram-md5": "CramMd5",
    "tls10": "tls1",
    "tls11": "tlsv1.1",
    "tls12": "modern",
    "tls13": "tls1_3",
}
SECRET = "hush-hush 7"
#: The basic settings, as this server's own WebAdmin wrote them, and a rule with something that is nobody's business.
SCRIPT = CANONICAL.replace(b"tls12 tls13 ", b"modern tls1_3 ") + (
    b'\nmethod provider {\n\t# was hush-hush 7\n\tset (providerPassword, "hush-hush 7");\n}\n'
)

DOMAIN = "securemail-sample.invalid"
EXPLANATION = "securemail sample rule: TLS is required"
PREFIX = "securemail_sample_"

PROFILE = {
    "format": 1,
    "server_version": "10.5.12",
    "plain_auth_variable": "authForPlain",
    "no_authentication": "nothing",
    "tls_auth_variable": "whatMayLogIn2",
    "mechanisms": {"PLAIN": "PLAIN_", "LOGIN": "userpw", "CRAM-MD5": "CramMd5"},
    "recipient_domain_variable": "toWhom",
    "equals_test": "sameText",
    "script_versions": {"TLSv1.1": "tlsv1.1", "TLSv1.2": "modern", "TLSv1.3": "tls1_3"},
    "relay_ssl_variable": "nextHopSecure",
}


def bootstrap(**changes: object) -> str:
    """The table of the bootstrap file. A key of ``changes`` is one of ``[emulation]``."""
    keys = {"version": "10.5.12|Linux|x86_64", "script_active": "upload", "extensions": False, **changes}
    # JSON's texts and booleans are TOML's too.
    lines = ["[emulation]"] + [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    for table, entries in (("names", NAMES), ("values", VALUES)):
        lines += [f"[emulation.{table}]"] + [f"{key} = {json.dumps(value)}" for key, value in entries.items()]
    return "\n".join(lines) + "\n"


SAMPLES = (
    webadmin.auth("Securemail_Sample plain", "plain", []),
    webadmin.auth(PREFIX + "tls", "tls", ["PLAIN", "LOGIN", "CRAM-MD5"]),
    webadmin.forced(PREFIX + "forced", DOMAIN, EXPLANATION),
    webadmin.relay(PREFIX + "relay", ["TLSv1.1", "TLSv1.2", "TLSv1.3"], enabled=False),
)


def change(port: int, add=(), remove=()) -> None:
    """Rules made, and rules removed, in WebAdmin."""
    names = webadmin.Names(NAMES, VALUES)
    webadmin.change(port, PASSWORD, lambda script: webadmin.added(webadmin.removed(script, remove), add, names))


def offered(port: int, tls: bool) -> set[str]:
    """The mechanisms that an SMTP listener offers."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        _hello(client, tls)
        return set(client.esmtp_features.get("auth", "").upper().split())


def said_to(port: int, domain: str, tls: bool) -> str:
    """What a listener says to mail for a domain."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        _hello(client, tls)
        client.mail("")
        code, text = client.rcpt("postmaster@" + domain)
        return f"{code} {text.decode()}"


def _hello(client: smtplib.SMTP, tls: bool) -> None:
    client.ehlo()
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.starttls(context=context)
        client.ehlo()
