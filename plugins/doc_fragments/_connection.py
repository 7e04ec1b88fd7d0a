# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a private fragment of the collection and may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    # How to reach the server
    DOCUMENTATION = r"""
options:
  server:
    description:
      - Which kind of server is meant, and by which way it is configured.
      - If not given, E(SECUREMAIL_SERVER) is used, then the default.
    type: str
    default: admin_cli
    choices:
      admin_cli: The admin CLI of AXIGEN, which the MTA of this collection speaks too. The options that begin with C(admin_) say where it is.
      postfix: >-
        Postfix on the host that runs the module, by its own programs and files. The task needs root to change anything. What of
        a policy a Postfix can hold, and what is refused, is in the collection's documentation (C(docs/postfix.md)). Options about
        the admin CLI mean nothing then, but O(admin_timeout).
    version_added: 0.6.0
  config_directory:
    description:
      - With O(server=postfix), the folder with C(main.cf) and C(master.cf), an absolute path. One task is about one instance.
      - If not given, E(SECUREMAIL_CONFIG_DIRECTORY) is used, else what C(postconf -h config_directory) says.
    type: path
    version_added: 0.6.0
  command_directory:
    description:
      - With O(server=postfix), the folder with C(postconf), C(postmap) and C(postfix), an absolute path.
      - If not given, E(SECUREMAIL_COMMAND_DIRECTORY) is used, else they are looked for in C(PATH), C(/usr/sbin) and C(/usr/local/sbin).
    type: path
    version_added: 0.6.0
  allow_generated:
    description:
      - With O(server=postfix), whether a configuration may be changed that something else writes, such as a panel (Plesk, ISPConfig,
        iRedMail, Zimbra) or a container image. It is refused otherwise, with the signs that it was recognised by. The other
        program may write over the change at any time.
      - If not given, E(SECUREMAIL_ALLOW_GENERATED) is used, then the default.
    type: bool
    default: false
    version_added: 0.6.0
  admin_host:
    description:
      - Host name or address of the admin interface.
      - Anything but loopback is refused in clear text. See O(admin_tls) and O(allow_clear_text).
      - When this is one end of an SSH tunnel to another host, see O(server_files) too.
      - If not given, E(SECUREMAIL_ADMIN_HOST) is used, then the default.
    type: str
    default: 127.0.0.1
  admin_port:
    description:
      - TCP port of the admin interface, 1 to 65535.
      - If not given, E(SECUREMAIL_ADMIN_PORT) is used, then the default.
    type: int
    default: 7000
  admin_user:
    description:
      - User that logs in.
      - If not given, E(SECUREMAIL_ADMIN_USER) is used, then the default.
    type: str
    default: admin
  admin_password:
    description:
      - Password of O(admin_user). It is never logged and appears in no message.
      - Login is tried once, because servers count failures.
      - If not given, E(SECUREMAIL_ADMIN_PASSWORD) is used. One of the two is required with O(server=admin_cli).
    type: str
  admin_tls:
    description:
      - Whether the admin port speaks TLS from the first byte. TLS 1.2 or newer is used.
      - If not given, E(SECUREMAIL_ADMIN_TLS) is used, then the default.
    type: bool
    default: false
  admin_ca_file:
    description:
      - PEM file, on the host that runs the module, with the authorities that the server's certificate is checked against.
      - If not given, E(SECUREMAIL_ADMIN_CA_FILE) is used, else the authorities of the system. Has no meaning without O(admin_tls).
    type: path
  admin_validate_certs:
    description:
      - Whether the server's certificate and the name in it are checked. Has no meaning without O(admin_tls).
      - If not given, E(SECUREMAIL_ADMIN_VALIDATE_CERTS) is used, then the default.
    type: bool
    default: true
  allow_clear_text:
    description:
      - Whether the password may be sent in clear text to a host that is not loopback. A warning is shown then.
      - If not given, E(SECUREMAIL_ALLOW_CLEAR_TEXT) is used, then the default.
    type: bool
    default: false
  admin_timeout:
    description:
      - Seconds that connecting, and each command with its whole answer, may take. With O(server=postfix) each of its programs.
      - More than 0, at most 86400; parts of a second count.
      - If not given, E(SECUREMAIL_ADMIN_TIMEOUT) is used, then the default.
    type: float
    default: 30.0
  dialect:
    description:
      - Which server's names are used in the policy script.
      - If not given, E(SECUREMAIL_DIALECT) is used, then the default.
    type: str
    default: auto
    choices:
      auto: The version that the server reports decides.
      axigen: >-
        AXIGEN. The script names of authentication types and of the recipient's domain are in no public source;
        rules that need them are refused with this profile, unless O(dialect_profile) says them.
      postern: The MTA that comes with this collection. All names are known.
  dialect_profile:
    description:
      - What is known of this very AXIGEN beyond public sources, as the playbook C(securemail.smtp.learn) (or
        M(securemail.smtp.smtp_dialect)) found it. It is laid over the dialect V(axigen); with V(postern) it is not used, and a
        warning says so.
      - A key that is absent or V(null) is not known, and what needs it is refused. V(format) must be there, and is V(1).
      - Keys with a name of the policy script are V(plain_auth_variable) and V(tls_auth_variable) (authentication types of connections
        in clear and over TLS), V(recipient_domain_variable), V(equals_test) (the test of two texts for equality; V(isCase) if absent),
        V(encryption_test) (the one of C(isSSLConnection), if it is another), V(relay_ssl_variable) (V(sslEnabled) if absent).
      - >-
        V(no_authentication) is the value for no mechanism, V(mechanisms) a dictionary from mechanisms to words of the script (C(PLAIN: plain)),
        V(script_versions) one from protocol versions to words of C(allowedSSLVersions) (C(TLSv1.2: tls12)).
      - V(encrypted_after_starttls) says whether C(isSSLConnection) is yes after STARTTLS. It is V(true), V(false) (forced-TLS domains are
        refused then) or V(null).
      - V(relay_ssl) says what SSL of the relaying settings does with mail to other hosts. V(required) is TLS or no delivery, with STARTTLS,
        V(implicit) is TLS from the first byte, which hosts on port 25 do not speak.
      - V(server_version) is the version that the names were found in. Another first or second number draws a warning.
      - If not given, E(SECUREMAIL_DIALECT_PROFILE) is used, as JSON.
    type: dict
    version_added: 0.3.0
  server_files:
    description:
      - Whether the server's files (certificates, DH parameters) can be looked at where the module runs, before the
        server is told to use them. Missing, weak and mismatched ones are refused then, in check mode too.
      - The server judges its files in any case.
      - If not given, E(SECUREMAIL_SERVER_FILES) is used, then the default.
    type: str
    default: auto
    choices:
      auto: V(local) when O(admin_host) is loopback, else V(remote).
      local: The module runs on the server's host, although O(admin_host) is another address of it.
      remote: The module runs on another host, although O(admin_host) is loopback, as one end of an SSH tunnel.
notes:
  - The environment variables C(SECUREMAIL_*) are those of the process that runs the module. That is the managed host,
    or the controller with C(connection=local) or C(delegate_to=localhost). Variables of the shell in which
    C(ansible-playbook) was started do not reach another host.
  - The playbook keyword C(environment) sets them there, and shows their values in that host's list of processes while
    the task runs. Give a password as O(admin_password), from a vault.
"""

    # For modules that write
    SAVE = r"""
options:
  save:
    description:
      - Whether a change is saved on the server, so that it survives a restart. Nothing is saved when nothing changed.
      - With O(server=postfix) it always is.
      - If not given, E(SECUREMAIL_SAVE) is used, then the default.
    type: bool
    default: true
"""
