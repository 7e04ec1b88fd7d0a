# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requirements: what a policy or a profile asks of one listener that can be seen from outside.

A policy is compared with what it says and with nothing that it leaves open, besides what holds for every server
(:data:`.profiles.common.EVERYBODY`) and the certificate. What a listener cannot show (limits, networks, client
certificates, mail that goes out) is not compared.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._policy import tls as policy_tls
from .._policy.address import split_address
from .._policy.errors import PolicyError
from . import declared, profiles
from .admission import Admission
from .observation import Listener
from .profiles.common import CERTIFICATE, EVERYBODY, NO_SSL
from .requirement import ERROR, POLICY, WARNING, Requirement
from .sasl import MECHANISMS
from .suites import SUITES, VERSIONS

#: Mechanisms that are tried whether they are offered or not, in clear and inside TLS.
TRIED_IN_CLEAR = ("PLAIN", "LOGIN")
TRIED_IN_TLS = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5")

#: Settings of a listener that make one of its addresses differ from another, as far as they can be seen.
_VISIBLE = ("enabled", "tls", "versions", "ciphers", "prefer_server_ciphers", "dh_params")

_Document = t.Mapping[str, t.Any]


def opportunistic(listener: Listener) -> bool:
    """Whether anybody may send here in clear, so that TLS that is too strict makes it worse (RFC 3207 section 4)."""
    return listener.tls == "starttls" and listener.port == 25


# ---- profiles


def profile_requirements(name: str, listener: Listener) -> t.List[Requirement]:
    """What the profile asks of this listener. Raises ValueError for an unknown profile."""
    return _entries(profiles.load(name)["requirements"], listener, name)


def _entries(entries: t.Iterable[_Document], listener: Listener, origin: str) -> t.List[Requirement]:
    """Those of a profile's entries that are about a listener like this one."""
    found = []
    for entry in entries:
        if listener.tls not in entry.get("modes", ("starttls", "implicit")):
            continue
        severity = entry.get("severity", ERROR)
        if opportunistic(listener):
            severity = entry.get("opportunistic", severity)
        if not severity:
            continue
        source = entry["source"] + (" (from secondary sources)" if entry.get("secondary") else "")
        found.append(Requirement(entry["check"], entry.get("parameters", {}), severity, source, origin))
    return found


# ---- policies


def policy_requirements(policy: _Document, listener: Listener) -> t.List[Requirement]:
    """What the policy, in the structure of ``smtp_policy`` or ``smtp_info``, asks of this listener.

    The listener of the policy is found by its address, else by its port (:func:`declared_listener`). Without one, the
    only row is that of the missing declaration; a policy that names no listeners at all is compared with all else.
    Raises ValueError, with all problems, for what is no policy.
    """
    return declared_requirements(_read(policy), listener)


def declared_requirements(document: _Document, listener: Listener) -> t.List[Requirement]:
    """The same of a policy as :func:`.declared.declared` gives it, which was read once for all listeners."""
    entry: _Document = {}
    if document.get("listeners") is not None:
        match, reason = declared_listener(document, listener)
        if match is None:
            return [_policy("declared", reason=reason)]
        entry = match
    if not entry.get("enabled", True):
        return [_policy("reachable", reachable=False)]
    mode = entry.get("tls")
    if mode is not None and (mode == "implicit") != (listener.tls == "implicit"):
        # Looked at in the wrong way: nothing else that was seen would mean anything.
        return _entries(EVERYBODY[:1], listener, POLICY) + [_policy("tls_mode", mode=mode)]
    offered = _starttls(document, entry)
    found: t.List[Requirement] = []
    if listener.tls != "implicit" and offered is not None:
        found.append(_policy("starttls_offered", offered=offered))
    inside = listener.tls == "implicit" or (listener.tls == "starttls" and offered is not False)
    if inside:
        found += _tls(entry) + _entries(CERTIFICATE, listener, POLICY)
    found += _login(document, listener, inside)
    found += _mail(document, listener, inside)
    found += _forced(document, listener, inside)
    # A listener without STARTTLS has to keep the rules of those that speak in clear only.
    return _entries(EVERYBODY, listener, POLICY) + found if inside else _in_clear(listener) + found


def declared_listener(policy: _Document, listener: Listener) -> t.Tuple[t.Optional[_Document], str]:
    """The listener of a policy (as :func:`.declared.declared` gives it) that this one is, or None and why.

    It has the very address; else the wildcard address of the family and the port; else it is the only one with this
    port, or one of several that look the same from outside.
    """
    entries = policy.get("listeners") or ()
    same_port = [entry for entry in entries if split_address(entry["address"])[1] == listener.port]
    if not same_port:
        return None, "no listener of the policy has port %d" % listener.port
    wanted = _addresses(listener.host)
    for address in wanted:
        for entry in same_port:
            if _ip(split_address(entry["address"])[0]) == address:
                return entry, ""
    faces = {repr([entry.get(name) for name in _VISIBLE]) for entry in same_port}
    if len(faces) > 1:
        names = ", ".join(entry["address"] for entry in same_port)
        return None, "several listeners of the policy have port %d and differ: %s" % (listener.port, names)
    return same_port[0], ""


def _addresses(host: str) -> t.List[t.Any]:
    """What the policy may call this host: its address, and the one that stands for all of its family."""
    address = _ip(host)
    if address is None:
        return []
    return [address, ipaddress.ip_address("0.0.0.0" if address.version == 4 else "::")]


def _ip(text: str) -> t.Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _read(policy: _Document) -> _Document:
    if not isinstance(policy, dict):
        raise ValueError("a policy is a dictionary with keys like %s; got %r" % (", ".join(declared.KEYS[:3]), policy))
    try:
        return declared.declared(policy, "the policy")
    except PolicyError as error:
        raise ValueError(str(error)) from None


def _policy(check: str, severity: str = ERROR, source: str = POLICY, **parameters: t.Any) -> Requirement:
    return Requirement(check, parameters, severity, source, POLICY)


def _in_clear(listener: Listener) -> t.List[Requirement]:
    names = ("reachable", "greeting", "open_relay")
    return _entries([entry for entry in EVERYBODY if entry["check"] in names], listener, POLICY)


def _starttls(document: _Document, entry: _Document) -> t.Optional[bool]:
    """Whether STARTTLS must be offered: by a listener that has TLS, when the server has it switched on. None: open."""
    mode, inbound = entry.get("tls"), (document.get("starttls") or {}).get("inbound")
    if mode == "none" or inbound is False:
        return False
    return True if mode == "starttls" or (inbound and not entry) else None


# ---- TLS


def _tls(entry: _Document) -> t.List[Requirement]:
    versions = entry.get("versions")
    if versions is None:
        found = [Requirement(rule["check"], rule["parameters"], ERROR, rule["source"], POLICY) for rule in NO_SSL]
    else:
        found = [_policy("version", version=version, accepted=version in versions) for version in VERSIONS]
    if entry.get("ciphers") is not None:
        # No list restricts TLS 1.3.
        listed = [version for version in versions or ("TLSv1", "TLSv1.1", "TLSv1.2") if version in VERSIONS]
        found += _ciphers(str(entry["ciphers"]), [version for version in listed if version != "TLSv1.3"], entry)
    if entry.get("prefer_server_ciphers") is not None:
        found.append(_policy("server_preference", by="server" if entry["prefer_server_ciphers"] else "client"))
    return found


def _ciphers(ciphers: str, versions: t.Sequence[str], entry: _Document) -> t.List[Requirement]:
    names = selected_suites(ciphers)
    if not names:
        reason = "the TLS library here does not know what %s means" % ciphers
        return [_policy("suites", version=version, ciphers=ciphers, reason=reason) for version in versions]
    found = [_policy("suites", version=version, ciphers=ciphers, allowed=names) for version in versions]
    dhe = [name for name in names if name.startswith(("DHE-", "EDH-"))]
    if entry.get("dh_params") and dhe and versions:
        # A file for DHE that is not used proves nothing about its length.
        found.append(_policy("suite_offered", version=versions[-1], any_of=dhe))
        found.append(_policy("dh_size", source="RFC 9325 section 4.5", bits=2048))
    return found


def selected_suites(ciphers: str) -> t.List[str]:
    """The suites before TLS 1.3 that an OpenSSL cipher list selects; empty when nobody here knows.

    That is what the library here makes of it, and the suites that the list calls by names too old for the library.
    """
    found = {suite.name: None for suite in policy_tls.suites(ciphers)}
    for word in re.split("[:, ]+", ciphers):
        if word in SUITES and not word.startswith("TLS_") and not policy_tls.suites(word):
            found[word] = None
    return list(found)


# ---- login


def _login(document: _Document, listener: Listener, inside: bool) -> t.List[Requirement]:
    """The last enabled rule that is about a connection is the one that counts; without one the policy says nothing."""
    found: t.List[Requirement] = []
    clear = None if listener.tls == "implicit" else Admission(document, listener, False).mechanisms("plain")
    if clear is not None:
        found.append(_policy("auth_offered_clear", mechanisms=clear))
        found += [_policy("auth_refused_clear", mechanism=name) for name in TRIED_IN_CLEAR if name not in clear]
    secure = Admission(document, listener, True).mechanisms("tls") if inside else None
    if secure is not None:
        found.append(_policy("auth_offered_tls", mechanisms=secure))
        found += [_policy("auth_refused_tls", mechanism=name) for name in TRIED_IN_TLS if name not in secure]
        if listener.credentials is not None:
            found += [_policy("login", mechanism=name) for name in secure if name in MECHANISMS]
    return found


# ---- who may send


def _refused(document: _Document, listener: Listener, inside: bool) -> bool:
    """Whether the policy refuses the MAIL of a stranger, so that nothing behind it can be seen."""
    return Admission(document, listener, inside).refusal() is not None


def _mail(document: _Document, listener: Listener, inside: bool) -> t.List[Requirement]:
    """MAIL in clear and MAIL without a login, where rules refuse it for good."""
    found = []
    for check, secure in (("mail_refused_clear", False), ("mail_refused_tls", True)):
        if inside if secure else listener.tls != "implicit":
            refusal = Admission(document, listener, secure).refusal()
            if refusal is not None and refusal.action == "reject":
                found.append(_policy(check, explanation=refusal.explanation))
    return found


# ---- forced domains


def _forced(document: _Document, listener: Listener, inside: bool) -> t.List[Requirement]:
    """The forced domains of the policy that the listener was to be asked about; how many more there are is one row.

    Exceptions must take mail in clear. Where MAIL is refused already, no domain can be named.
    """
    clear = listener.tls != "implicit" and not _refused(document, listener, False)
    inside = inside and not _refused(document, listener, True)
    asked = {forced.domain for forced in listener.forced_domains if not forced.exempt}
    exempt = {forced.domain for forced in listener.forced_domains if forced.exempt}
    found: t.List[Requirement] = []
    untried = 0
    for rule in declared.forced_domains(document):
        domain = rule["domain"]
        if domain not in asked:
            untried += 1
            continue
        if clear:
            found.append(_policy("forced_clear", domain=domain, reject_message=rule.get("reject_message")))
        if inside:
            found.append(_policy("forced_tls", domain=domain))
    if clear:
        found += [
            _policy("other_clear", domain=rule["domain"])
            for rule in declared.exempt_domains(document)
            if rule["domain"] in exempt
        ]
    other = listener.other_domain
    if found and clear and other and not declared.is_covered(document, other):
        found.append(_policy("other_clear", domain=listener.other_domain))
    if untried:
        what = "%d more forced-TLS domain%s" % (untried, "" if untried == 1 else "s")
        why = "not tried here; which names there are below a domain nobody outside knows"
        found.append(_policy("outside", WARNING, what=what, why=why))
    return found
