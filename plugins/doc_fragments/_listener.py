# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a private fragment of the collection and may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    # TLS settings of a listener
    DOCUMENTATION = r"""
options:
  versions:
    description:
      - The protocol versions that are allowed, and no others.
      - Any of V(TLSv1), V(TLSv1.1), V(TLSv1.2), V(TLSv1.3), without a gap. Other common spellings (V(1.2), V(tls1_2)) are understood.
      - V(SSLv2) and V(SSLv3) are refused (RFC 6176, RFC 7568). V(TLSv1) and V(TLSv1.1) draw a warning (RFC 8996), and TLS libraries refuse them by default.
    type: list
    elements: str
  ciphers:
    description:
      - An OpenSSL cipher list for TLS 1.2 and older. The suites of TLS 1.3 are not restricted by it.
      - A list that selects nothing is refused.
    type: str
  prefer_server_ciphers:
    description:
      - Whether the server's order of ciphers decides instead of the client's.
    type: bool
  certificate:
    description:
      - A PEM file on the server with private key, certificate and chain. The empty string means no certificate.
      - Where the module runs on the server's own host and C(cryptography) is installed, the file is examined before anything is written.
    type: path
  ca_file:
    description:
      - A PEM file on the server with the authorities that client certificates are checked against. The empty string means none.
    type: path
  dh_params:
    description:
      - A PEM file on the server with Diffie-Hellman parameters. Without it no C(DHE-) suite is ever negotiated. The empty string means none.
    type: path
  request_client_certificate:
    description:
      - Whether clients are asked for a certificate.
    type: bool
"""

    # Everything else of a listener, its address and state apart
    LIMITS = r"""
options:
  enabled:
    description:
      - Whether the listener accepts connections. A new listener is enabled unless this says otherwise.
    type: bool
  tls:
    description:
      - V(none) never offers TLS. On a server where a certificate is what makes STARTTLS possible, this takes the certificate away.
      - V(starttls) greets in clear and offers STARTTLS (RFC 3207). It needs a certificate, and inbound STARTTLS of the server must be on.
      - V(implicit) speaks TLS from the first byte (RFC 8314), as usual on port 465. It needs a certificate.
      - If not given, a listener keeps its mode. A new one becomes V(starttls) when it has a certificate, else V(none).
      - YAML's V(no) and V(off) are taken for V(none).
    type: raw
  idle_timeout:
    description:
      - Seconds without a command after which a session is closed, 0 to 86400; 0 means never.
    type: int
  max_connections:
    description:
      - Connections at a time, 1 to 2048.
    type: int
  max_interval_connections:
    description:
      - New connections in each O(interval), 0 to 100000; 0 means no limit.
    type: int
  interval:
    description:
      - Length in seconds of the interval for O(max_interval_connections), 30 to 86400.
    type: int
  peer_max_connections:
    description:
      - Connections of one client address at a time, 1 to 2048.
    type: int
  peer_max_interval_connections:
    description:
      - New connections of one client address in each O(peer_interval), 0 to 100000; 0 means no limit.
    type: int
  peer_interval:
    description:
      - Length in seconds of the interval for O(peer_max_interval_connections), 30 to 86400.
    type: int
  allowed_networks:
    description:
      - Client networks that are exceptions to O(denied_networks), as V(10.0.0.0/8), V(10.0.0.1-10.0.0.20) or a single address.
      - An empty list means no exceptions.
    type: list
    elements: str
  denied_networks:
    description:
      - Client networks whose connections are refused. With V(0.0.0.0/0) here, only O(allowed_networks) get in.
      - An empty list means none.
    type: list
    elements: str
"""
