# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sample rules that a person makes in WebAdmin, so that the names of the policy script can be read from them.

Four say everything where the words of sets spell what they mean. Where a word does not, one more rule with only that
mechanism or version tells it: :func:`mechanism_sample`, :func:`version_sample`.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

#: Stands before the names of all sample rules.
PREFIX = "securemail_sample_"

#: What the sample for a domain says when it rejects.
EXPLANATION = "securemail sample rule: TLS is required"

_NOT_IN_FORCE = (
    "Leave it disabled if WebAdmin lets you: an enabled one is in force at once, for everybody. If a disabled rule is "
    "not saved, enable it in a quiet hour for the second step, or give it a condition that nobody meets (the remote IP "
    "is 192.0.2.1)."
)


@dataclass(frozen=True)
class Sample:
    """One rule to make: ``name``, the ``event`` that must call it, what to choose in WebAdmin, and what it tells.

    ``keys`` are those of the profile. ``subject`` is the mechanism or version of a rule for one word.
    """

    name: str
    event: str
    conditions: t.Tuple[str, ...]
    actions: t.Tuple[str, ...]
    keys: t.Tuple[str, ...]
    note: str
    subject: str = ""

    def document(self) -> t.Dict[str, t.Any]:
        """The rule as plain data for a person."""
        return {
            "name": self.name,
            "conditions": list(self.conditions),
            "actions": list(self.actions),
            "tells": list(self.keys),
            "note": self.note,
        }


def plain_sample() -> Sample:
    """No authentication on connections in clear."""
    return Sample(
        PREFIX + "plain",
        "onEhlo",
        (),
        ("authentication of plain (not SSL) connections: none of the types is allowed",),
        ("plain_auth_variable", "no_authentication"),
        _NOT_IN_FORCE,
    )


def tls_sample(mechanisms: t.Sequence[str]) -> Sample:
    """Some mechanisms on connections over TLS."""
    return Sample(
        PREFIX + "tls",
        "onEhlo",
        (),
        ("authentication of SSL connections: %s, and no other type" % ", ".join(mechanisms),),
        ("tls_auth_variable", "mechanisms"),
        _NOT_IN_FORCE,
    )


def domain_sample(domain: str) -> Sample:
    """No mail for one domain outside TLS."""
    return Sample(
        PREFIX + "forced",
        "onRcptTo",
        ("match ALL of:", "the connection is SSL: no", "the domain of the recipient is: %s" % domain),
        ('reject, with the explanation "%s"' % EXPLANATION,),
        ("recipient_domain_variable", "equals_test"),
        "Enable it. It is about a domain that nobody has, and with probe_address it is tried.",
    )


def relay_sample(versions: t.Sequence[str]) -> Sample:
    """SSL for mail that goes out, in some versions."""
    return Sample(
        PREFIX + "relay",
        "onRelay",
        ("relaying mail",),
        ("SSL encryption: on", "SSL versions: %s, and no other" % ", ".join(versions)),
        ("relay_ssl_variable", "script_versions"),
        _NOT_IN_FORCE,
    )


def samples(domain: str, mechanisms: t.Sequence[str], versions: t.Sequence[str]) -> t.Tuple[Sample, ...]:
    """The four rules to make."""
    return plain_sample(), tls_sample(mechanisms), domain_sample(domain), relay_sample(versions)


def mechanism_sample(mechanism: str) -> Sample:
    """One mechanism alone on connections over TLS."""
    return Sample(
        PREFIX + "mechanism_" + _identifier(mechanism),
        "onEhlo",
        (),
        ("authentication of SSL connections: %s, and no other type" % mechanism,),
        ("mechanisms",),
        _NOT_IN_FORCE,
        mechanism,
    )


def version_sample(version: str) -> Sample:
    """One protocol version alone for mail that goes out."""
    return Sample(
        PREFIX + "version_" + _identifier(version),
        "onRelay",
        ("relaying mail",),
        ("SSL encryption: on", "SSL versions: %s, and no other" % version),
        ("script_versions",),
        _NOT_IN_FORCE,
        version,
    )


def _identifier(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", text)
