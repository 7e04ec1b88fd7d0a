# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the services of master.cf do, as listeners of a policy (smtpd(8), postconf(5)); :mod:`.listener_edit` is the other way.

A listener is an address, a service an entry, and one entry can be several listeners.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy.policy import Listener
from . import addresses, tls_values
from .configuration import _State
from .master_cf import Service

#: Both halves, for optional and for mandatory TLS: only one of them is the usual mistake.
PROTOCOLS = ("smtpd_tls_protocols", "smtpd_tls_mandatory_protocols")
GRADES = ("smtpd_tls_ciphers", "smtpd_tls_mandatory_ciphers")
EXCLUDES = ("smtpd_tls_exclude_ciphers", "smtpd_tls_mandatory_exclude_ciphers")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def read(conf: _State, notes: t.List[str]) -> t.Tuple[Listener, ...]:
    """The listeners, those that were switched off here included. ``notes`` get what could not be said."""
    notes += addresses.twice(conf)
    for stray in conf.master.strays:
        service = conf.master.service(stray.service_id)
        names = ", ".join("%s=%s" % option for option in stray.options)
        notes.append(
            "master.cf line %d is a comment, and the options below it are none: they belong to the service %s above (%s)"
            % (stray.line, service.name if service else stray.service_id, names)
        )
    for problem in conf.main.problems:
        notes.append("main.cf line %d: %s" % (problem.line, problem.text))
    for name in conf.main.doubles:
        notes.append("main.cf has %s more than once; the last one, in line %d, is in force" % (name, conf.main.line(name)))
    for service in conf.postscreen:
        notes.append(
            "master.cf line %d: postscreen stands in front of %s; what it says to strangers is set by its own parameters, which "
            "are not read here" % (service.line, service.name)
        )
    found: t.Dict[str, Listener] = {}
    for service in conf.smtpd:
        where = addresses.sockets(conf, service)
        if where.unknown:
            notes.append("master.cf line %d: %s" % (service.line, where.unknown))
        for address in where.addresses:
            found.setdefault(address, _listener(conf, service, address, True, notes))
    for service in conf.master.disabled:
        for address in addresses.sockets(conf, service).addresses:
            found.setdefault(address, _listener(conf, service, address, False, []))
    return tuple(found.values())


def starttls(conf: _State) -> t.Optional[bool]:
    """Whether STARTTLS is offered: by a listener, or by what main.cf says for those that come. None: each is asked by itself."""
    if _mode(conf, None) == "starttls" or any(_mode(conf, service) == "starttls" for service in conf.smtpd):
        return True
    return False if conf.value("smtpd_tls_security_level") == "none" else None


def _listener(conf: _State, service: Service, address: str, enabled: bool, notes: t.List[str]) -> Listener:
    def value(name: str) -> str:
        return conf.value(name, service)

    mode = _mode(conf, service)
    strict = mode == "implicit" or level(conf, service) in tls_values.REQUIRED
    versions = tls_values.versions_of(value(PROTOCOLS[strict]))
    if versions is None:
        notes.append("listener %s: %s is no list of protocols: %s" % (address, PROTOCOLS[strict], value(PROTOCOLS[strict])))
    return Listener(
        address=address,
        enabled=enabled,
        tls=mode,
        versions=versions,
        ciphers=_ciphers(conf, service, strict),
        prefer_server_ciphers=yes(value("tls_preempt_cipherlist")),
        certificate=certificate(conf, service),
        ca_file=value("smtpd_tls_CAfile"),
        dh_params=value("smtpd_tls_dh1024_param_file"),
        request_client_certificate=yes(value("smtpd_tls_ask_ccert")) or yes(value("smtpd_tls_req_ccert")),
        idle_timeout=seconds(value("smtpd_timeout")),
        max_connections=_number(
            value("default_process_limit") if service.column("process_limit") == "-" else service.column("process_limit")
        ),
        max_interval_connections=0,
        peer_max_connections=_number(value("smtpd_client_connection_count_limit")),
        peer_max_interval_connections=_number(value("smtpd_client_connection_rate_limit")),
        peer_interval=seconds(conf.value("anvil_rate_time_unit")),
        allowed_networks=(),
        denied_networks=(),
    )


def _mode(conf: _State, service: t.Optional[Service]) -> str:
    if yes(conf.value("smtpd_tls_wrappermode", service)):
        return "implicit"
    hidden = tls_values.words(conf.value("smtpd_discard_ehlo_keywords", service))
    return "starttls" if level(conf, service) in tls_values.OFFERED and "starttls" not in hidden else "none"


def level(conf: _State, service: t.Optional[Service]) -> str:
    """The security level in force; where none is set the old switches count (postconf(5))."""
    found = tls_values.receiving_level(conf.value("smtpd_tls_security_level", service))
    if found:
        return found
    if yes(conf.value("smtpd_enforce_tls", service)):
        return "encrypt"
    return "may" if yes(conf.value("smtpd_use_tls", service)) else "none"


def _ciphers(conf: _State, service: Service, strict: bool) -> t.Optional[str]:
    """The list, where exactly one is in force; grades and what is subtracted from them cannot be said as a list."""
    excluded = EXCLUDES if strict else EXCLUDES[:1]
    own = conf.own("tls_high_cipherlist", service)
    if own is None or conf.value(GRADES[strict], service) != "high" or any(conf.value(name, service) for name in excluded):
        return None
    return conf.value("tls_high_cipherlist", service)


def certificate(conf: _State, service: t.Optional[Service]) -> str:
    """The file that a listener's certificate is read from, the first one of several; "" for none."""
    chain = conf.value("smtpd_tls_chain_files", service)
    if chain:
        return re.split(r"[,\s]+", chain)[0]
    found = conf.value("smtpd_tls_cert_file", service)
    return "" if found == "none" else found


def yes(text: str) -> bool:
    """Whether a switch is on."""
    return text.strip().lower() == "yes"


def _number(text: str) -> t.Optional[int]:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def seconds(text: str) -> t.Optional[int]:
    """A time span in seconds; None for what is no span."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    return int(match.group(1)) * _UNITS[match.group(2) or "s"] if match else None
