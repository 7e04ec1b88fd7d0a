# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters of main.cf that are read (postconf(5)), by the room that reads them.

Each of them is asked for in one call of ``postconf``. What this Postfix does not know is not in its answer, which is how
features are found: no list of versions says what a build has.
"""

from __future__ import annotations

import typing as t

#: What every reading needs.
GENERAL = (
    "mail_version",
    "compatibility_level",
    "config_directory",
    "queue_directory",
    "default_database_type",
    "inet_interfaces",
    "inet_protocols",
    "mail_owner",
    "multi_instance_enable",
    "smtputf8_enable",
    "smtpd_upstream_proxy_protocol",
)

LISTENERS = (
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_use_tls",
    "smtpd_enforce_tls",
    "smtpd_discard_ehlo_keywords",
    "smtpd_tls_protocols",
    "smtpd_tls_mandatory_protocols",
    "smtpd_tls_ciphers",
    "smtpd_tls_mandatory_ciphers",
    "smtpd_tls_exclude_ciphers",
    "smtpd_tls_mandatory_exclude_ciphers",
    "tls_high_cipherlist",
    "tls_medium_cipherlist",
    "tls_preempt_cipherlist",
    "smtpd_tls_chain_files",
    "smtpd_tls_cert_file",
    "smtpd_tls_key_file",
    "smtpd_tls_CAfile",
    "smtpd_tls_dh1024_param_file",
    "smtpd_tls_ask_ccert",
    "smtpd_tls_req_ccert",
    "smtpd_timeout",
    "default_process_limit",
    "smtpd_client_connection_count_limit",
    "smtpd_client_connection_rate_limit",
    "anvil_rate_time_unit",
    "smtpd_client_restrictions",
)

LOGIN = (
    "smtpd_sasl_auth_enable",
    "smtpd_sasl_type",
    "smtpd_sasl_path",
    "smtpd_sasl_mechanism_filter",
    "smtpd_sasl_security_options",
    "smtpd_sasl_tls_security_options",
    "smtpd_sasl_exceptions_networks",
    "smtpd_tls_auth_only",
    "cyrus_sasl_config_path",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "securemail_needs_login",
)

INBOUND = (
    "smtpd_recipient_restrictions",
    "smtpd_delay_reject",
    "smtpd_reject_footer_maps",
    "plaintext_reject_code",
    "parent_domain_matches_subdomains",
    "soft_bounce",
)

OUTBOUND = (
    "smtp_tls_security_level",
    "smtp_use_tls",
    "smtp_enforce_tls",
    "smtp_tls_per_site",
    "smtp_tls_protocols",
    "smtp_tls_mandatory_protocols",
    "smtp_tls_ciphers",
    "smtp_tls_mandatory_ciphers",
    "smtp_tls_exclude_ciphers",
    "smtp_tls_mandatory_exclude_ciphers",
    "smtp_tls_policy_maps",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_fingerprint_cert_match",
    "smtp_tls_fingerprint_digest",
    "smtp_tls_secure_cert_match",
    "smtp_tls_verify_cert_match",
    "smtp_tls_wrappermode",
    "smtp_dns_support_level",
    "smtp_sasl_auth_enable",
    "smtp_sasl_password_maps",
    "smtp_sasl_security_options",
    "smtp_sasl_tls_security_options",
    "smtp_sender_dependent_authentication",
    "relayhost",
    "transport_maps",
    "default_transport",
    "relay_transport",
    "sender_dependent_relayhost_maps",
    "sender_dependent_default_transport_maps",
    "mydestination",
    "myhostname",
    "relay_domains",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
)

#: All of them, each once.
NAMES: t.Tuple[str, ...] = tuple(dict.fromkeys(GENERAL + LISTENERS + LOGIN + INBOUND + OUTBOUND))
