# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations as they are found on servers: cut down by hand, of the 8/9 era with comments, and complete."""

from __future__ import annotations

SHORT = """Server {
  services = (log processing smtp cli webadmin)
  primaryDomain = "example.test"
  smtpIncoming = {
      listeners = (
        {
          address = 0.0.0.0:25
          enable = yes
          # SSL later
          # SSLControl = {}
        }
      )
  }
  smtpOutgoing = {
  }
  cli = {
      listeners = ( { address = 127.0.0.1:7000 enable = yes } )
  }
}
"""

COMMENTED = r"""#
# long file of the old kind
#
Server {
    Services = (processing smtpIncoming smtpOutgoing log cli)
    serverName="mx \"one\" # not a comment /* nor this */"
    smtpFiltersFile = "filters/smtpFilters.script"

    scriptFilters = (
    /*
        {
            name = "off { } ( )"
        }
    */
    )

    SmtpIncoming = {
        logLevel = 15
        Listeners = (
            {
                # TYPE: REQUIRED IP_PORT
                address = 127.0.0.1:25
                enable = yes
                sslEnable = no
                SSLControl = {
                    allowedVersions = (ssl3 tls1 tls1_1 tls1_2)
                    certFile = none
                    dhParamFile = none
                    maxChainDepth = 4
                    cipherSuite = "HIGH:!aNULL:!MD5"
                    useEphemeralKey = yes
                    requestClientAuth = yes
                }
            },
            {
                ADDRESS=0.0.0.0:587
                enable = yes
                sslEnable = no
                sslControl = { allowedVersions = (tls1_1 tls1_2) certFile = "axigen_cert.pem" }
            }
        ),
        maxErrors = 20
    }
}
"""

CIPHERS = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:!aNULL:!eNULL:!RC4:!3DES:!MD5"

FULL_LISTENER = """
            {
                address = %s
                enable = yes
                idleTimeout = 300
                maxConnections = 200
                peerMaxConnections = 20
                allowRules = ()
                denyRules = ()
                sslEnable = %s
                sslControl = {
                    allowedVersions = (tls1_1 tls1_2 tls1_3)
                    certFile = "axigen_cert.pem"
                    caFile = "none"
                    dhParamFile = "axigen_dh.pem"
                    maxChainDepth = 4
                    cipherSuite = "@"
                    preferServerCipherSuiteOrder = yes
                    useEphemeralKey = yes
                    requestClientAuth = no
                }
                listenerDomain = ""
                futureAttribute = (a b)
            }""".replace("@", CIPHERS)

FULL = (
    """Server {
    services = (log processing smtpIncoming smtpOutgoing pop3 imap cli webadmin)
    serverName = "mx.example.test"
    smtpIncoming = {
        logType = internal
        listeners = ("""
    + FULL_LISTENER % ("0.0.0.0:25", "no")
    + FULL_LISTENER % ("0.0.0.0:587", "no")
    + FULL_LISTENER % ("0.0.0.0:465", "yes")
    + """
        )
        maxErrors = 20
        maxAuthErrors = 5
    }
}
"""
)
