# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts for a Postfix host: users of Cyrus SASL in a database of its own, with passwords in clear so that every mechanism works."""

from __future__ import annotations

import os
import pwd
import typing as t

import postfix
from postfix_host import PostfixHost

MECHANISMS = ("SCRAM-SHA-256", "PLAIN", "LOGIN")


def settings() -> str:
    """Lines of main.cf that ask Cyrus SASL; logins are not switched on by them."""
    return "smtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd\n"


def add(host: PostfixHost, accounts: t.Mapping[str, str], mechanisms: t.Sequence[str] = MECHANISMS) -> None:
    """Make accounts (``user@domain`` -> password), and the application's file with the mechanisms that are there."""
    database = host.folder / "data" / "sasldb2"
    for name, password in accounts.items():
        user, unused, domain = name.partition("@")
        host.run("saslpasswd2", "-p", "-c", "-f", str(database), "-u", domain, user, text=password)
    owner = pwd.getpwnam(postfix.MAIL_OWNER)
    os.chown(database, owner.pw_uid, owner.pw_gid)
    database.chmod(0o600)
    folder = host.config_directory / "sasl"
    folder.mkdir(exist_ok=True)
    (folder / "smtpd.conf").write_text(
        f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: {' '.join(mechanisms)}\n"
    )
