# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How mail is sent where no table says anything else: the level and the versions in main.cf (TLS_README, postconf(5))."""

from __future__ import annotations

import re
import typing as t

from ..._policy.errors import PolicyError
from . import tls_values
from .configuration import Draft, _State
from .policy_tables import old_fingerprints
from .strictest import Defaults, TlsPolicy

LEVEL = "smtp_tls_security_level"
PROTOCOLS = ("smtp_tls_protocols", "smtp_tls_mandatory_protocols")

#: What each level matches a certificate with.
MATCHES = {"secure": "smtp_tls_secure_cert_match", "fingerprint": "smtp_tls_fingerprint_cert_match"}

#: Levels that Postfix knows.
_KNOWN = ("none", "may", "encrypt", "dane", "dane-only", "verify", "secure", "fingerprint")


def level(conf: _State) -> str:
    """The level of all mail; where none is set the old switches count (postconf(5))."""
    found = conf.value(LEVEL).lower()
    if found:
        return found
    if conf.value("smtp_enforce_tls") == "yes":
        return "verify"
    return "may" if conf.value("smtp_use_tls") == "yes" else "none"


def general(conf: _State) -> TlsPolicy:
    """What holds where no table has an answer. A level that Postfix does not know stops mail, and counts as none here."""
    found = level(conf)
    return TlsPolicy(found if found in _KNOWN else "none")


def defaults(conf: _State) -> Defaults:
    """What main.cf says where an entry of a table says nothing."""
    return Defaults(
        tls_values.versions_of(conf.value(PROTOCOLS[0])),
        tls_values.versions_of(conf.value(PROTOCOLS[1])),
        items(conf.value(MATCHES["secure"]).lower()),
        items(conf.value(MATCHES["fingerprint"]).upper()),
    )


def unusable(conf: _State, wanted: t.Optional[str]) -> str:
    """What a level needs and this Postfix does not have, in words; "" for nothing."""
    if wanted in ("verify", "secure") and not conf.value("smtp_tls_CAfile") and not conf.value("smtp_tls_CApath"):
        return (
            "level %s checks certificates, and this Postfix trusts no authority; set smtp_tls_CAfile or smtp_tls_CApath in main.cf"
            % wanted
        )
    if wanted in ("dane", "dane-only") and conf.value("smtp_dns_support_level") != "dnssec":
        return (
            "level %s is about signed records (RFC 7672), and smtp_dns_support_level is \"%s\"; with a resolver on this host that "
            "checks signatures set it to dnssec in main.cf" % (wanted, conf.value("smtp_dns_support_level"))
        )
    return ""


def items(text: str) -> t.Tuple[str, ...]:
    """The items of a list of names or fingerprints: in the latter a colon separates nothing."""
    prints = re.fullmatch(r"[0-9A-F:,\s|]*", text)
    return tuple(word for word in re.split(r"[,\s|]+" if prints else r"[,\s:|]+", text) if word)


def use_sha256(draft: Draft) -> None:
    """Fingerprints of a policy are SHA-256; older installations count in MD5. Raises ``PolicyError`` where those are in use."""
    if draft.value("smtp_tls_fingerprint_digest").lower() == "sha256":
        return
    old = [word for word in re.split(r"[,\s|]+", draft.base.value(MATCHES["fingerprint"])) if word]
    if any(len(word) < 64 for word in old):
        raise PolicyError(
            "smtp_tls_fingerprint_digest is %s, and smtp_tls_fingerprint_cert_match has fingerprints of that kind; replace them by SHA-256 ones"
            % draft.value("smtp_tls_fingerprint_digest")
        )
    entries = old_fingerprints(draft)
    if entries:
        raise PolicyError(
            "smtp_tls_fingerprint_digest is %s, and other tables of policies have fingerprints of that kind for %s; replace them by SHA-256 ones"
            % (draft.value("smtp_tls_fingerprint_digest"), ", ".join(entries[:5]))
        )
    draft.set("smtp_tls_fingerprint_digest", "sha256")
