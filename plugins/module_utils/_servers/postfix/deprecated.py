# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forms of old manuals that are still found: what they are called today, and where they contradict what a task asks.

Where a new parameter is set it wins (postconf(5)), so that an old one beside it only misleads who reads the file. Postfix 3.10
warns of them; older versions are silent.
"""

from __future__ import annotations

import typing as t

from ..._policy.tls import withdrawn
from . import tls_values
from .configuration import Draft, _State
from .master_cf import Service

#: Old parameter -> what says it today.
FORMER = {
    "smtpd_use_tls": "smtpd_tls_security_level",
    "smtpd_enforce_tls": "smtpd_tls_security_level",
    "smtp_use_tls": "smtp_tls_security_level",
    "smtp_enforce_tls": "smtp_tls_security_level",
    "smtp_tls_per_site": "smtp_tls_policy_maps",
    "smtpd_tls_cipherlist": "tls_high_cipherlist with smtpd_tls_mandatory_ciphers",
    "smtp_tls_cipherlist": "tls_high_cipherlist with smtp_tls_mandatory_ciphers",
    "smtpd_tls_eecdh_grade": "tls_eecdh_auto_curves",
    "tls_low_cipherlist": "nothing: such suites are gone",
    "tls_export_cipherlist": "nothing: such suites are gone",
}

#: Lists of protocols, whose older forms say what is off and not what is on.
_LISTS = ("smtpd_tls_protocols", "smtpd_tls_mandatory_protocols", "smtp_tls_protocols", "smtp_tls_mandatory_protocols")

#: Old switch -> the levels that say the same when it is on.
_SWITCHES = {
    "smtpd_use_tls": ("may", "encrypt"),
    "smtpd_enforce_tls": ("encrypt",),
    "smtp_use_tls": ("may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"),
    "smtp_enforce_tls": ("encrypt", "dane-only", "fingerprint", "verify", "secure"),
}


def notes(conf: _State) -> t.List[str]:
    """All old forms that are set, with where they are and what to write instead."""
    found = [
        "%s: %s = %s is an old form; today it is %s" % (where, name, value, FORMER[name])
        for where, unused, name, value in _found(conf, FORMER)
    ]
    for where, unused, name, value in _found(conf, _LISTS):
        old = withdrawn(tls_values.versions_of(value) or ())
        if old:
            found.append("%s: %s = %s is an old list: it lets %s in, which RFC 8996 withdrew" % (where, name, value, " and ".join(old)))
    return found


def contradictions(draft: Draft) -> t.List[str]:
    """Old switches that say something else than the level that a plan changes beside them."""
    problems = []
    for where, service, name, value in _found(draft, FORMER):
        if name not in _SWITCHES:
            continue
        level = FORMER[name]
        wanted, before = draft.value(level, service), draft.base.value(level, service)
        if wanted == before:
            continue
        if (value.lower() == "yes") != (wanted in _SWITCHES[name]):
            problems.append(
                "%s: %s = %s contradicts %s = %s, which this task asks for and which wins; take the old line away"
                % (where, name, value, level, wanted)
            )
    return problems


def _found(conf: _State, names: t.Collection[str]) -> t.Iterator[t.Tuple[str, t.Optional[Service], str, str]]:
    """Where, in which service, which of these parameters, with which value."""
    for name in names:
        value = conf.main.get(name)
        if value is not None:
            yield "main.cf line %d" % conf.main.line(name), None, name, value
    for service in conf.master.services:
        for name, value in service.options:
            if name in names:
                yield "master.cf line %d" % service.option_line(name), service, name, value
