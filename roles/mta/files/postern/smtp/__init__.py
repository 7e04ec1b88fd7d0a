# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Receiving mail over SMTP.

``listener`` opens sockets and changes generations; ``connection`` carries bytes between a socket, a ``tlslayer`` and a
``session``; the session is sans-I/O and calls the ``verbs``, which return a ``reply``. ``dataframe`` finds the end of a
message, ``auth`` knows the SASL mechanisms, ``access`` who may connect, ``tls`` what a listener's settings mean.

What it does not do yet, on purpose: send. A message of an authenticated user to a domain that is not local is
accepted (250 once it is durable) and stays in the queue. No SMTPUTF8, DSN, CHUNKING or REQUIRETLS is offered,
because none of them is implemented in full.
"""
