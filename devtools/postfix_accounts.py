# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts for a Postfix host, with passwords in clear so that every mechanism works: of Cyrus SASL, or of Dovecot.

Cyrus is what an instance that is started by ``postfix_lab.py FOLDER start`` has: ``accounts`` on its standard input goes to
:func:`add`. Users of :func:`dovecot` are there as long as its process is.
"""

from __future__ import annotations

import os
import pwd
import typing as t

import postfix
from dovecot import Dovecot
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


def dovecot_settings() -> str:
    """Lines of main.cf that ask Dovecot, at the socket that :func:`dovecot` makes."""
    return "smtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n"


def dovecot(host: PostfixHost, accounts: t.Mapping[str, str], mechanisms: t.Sequence[str] = MECHANISMS) -> Dovecot:
    """A running Dovecot with these accounts, which the instance asks. A context manager. Raises as :class:`Dovecot`."""
    folder = host.folder / "dovecot"
    folder.mkdir()
    folder.chmod(0o755)
    users = folder / "accounts"
    users.write_text("".join(f"{name}:{{PLAIN}}{password}\n" for name, password in accounts.items()))
    words = " ".join(mechanisms).lower()
    listener = f"unix_listener {host.folder}/queue/private/auth {{\n    mode = 0666\n  }}"
    return Dovecot(folder, [], f"""\
auth_mechanisms = {words}
passdb {{
  driver = passwd-file
  args = {users}
}}
service auth {{
  {listener}
}}
""")
