# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the admin dialect that differ between servers, as data.

Some names in AXIGEN's policy script appear in no public source. They are None in its profile, and
nothing is ever guessed: whoever needs one refuses and says how it can be learned. What was learned is a
document (see ``profile``) that is laid over the profile. The bundled MTA's names are its own choice and all known.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._policy.mechanism import mechanisms as canonical_order
from ..._policy.value import Value

#: Protocol versions of the policy, oldest first, and how the listener attribute ``allowedVersions`` spells them.
_LISTENER_TOKENS = {
    "SSLv2": "ssl2",
    "SSLv3": "ssl3",
    "TLSv1": "tls1",
    "TLSv1.1": "tls1_1",
    "TLSv1.2": "tls1_2",
    "TLSv1.3": "tls1_3",
}
VERSIONS = tuple(_LISTENER_TOKENS)
_RANK = {version: rank for rank, version in enumerate(VERSIONS)}

#: How the policy script spells those versions of which a generated script or a document shows it.
_DOCUMENTED_TOKENS = (("TLSv1.1", "tls11"), ("TLSv1.2", "tls12"), ("TLSv1.3", "tls13"))


@dataclass(init=False, repr=False, eq=False)
class RelayNames(Value):
    """What the script of the event onRelay calls what mail to other hosts needs. None means that it is not known.

    ``ssl`` is what ``ssl_var`` set to yes does: ``required`` (no delivery outside TLS; STARTTLS where the port is not
    465), ``implicit`` (TLS from the first byte, which hosts on port 25 do not speak). ``level_var`` holds one of
    ``levels``, weakest first; ``match_var`` the names that a certificate may have, ``fingerprint_var`` the SHA-256 of
    certificates or keys that are accepted; ``tls_var`` implicit TLS or STARTTLS at the relay host; ``clear_login_var``
    whether credentials may go outside TLS. STARTTLS, protocol versions, host and port of the relay host are documented,
    and their names are the same everywhere.
    """

    ssl: t.Optional[str] = None
    ssl_var: str = "sslEnabled"
    domain_var: t.Optional[str] = None
    level_var: t.Optional[str] = None
    levels: t.Tuple[str, ...] = ()
    match_var: t.Optional[str] = None
    fingerprint_var: t.Optional[str] = None
    tls_var: t.Optional[str] = None
    user_var: t.Optional[str] = None
    password_var: t.Optional[str] = None
    clear_login_var: t.Optional[str] = None


@dataclass(init=False, repr=False, eq=False)
class Dialect(Value):
    """One server's names. None means that the name is not known.

    ``verified``: all is known, so that what has no name here is something that the server does not have. ``auth_none``
    is the value for "no mechanism". ``equals_test`` compares a text, ``encryption_test`` (None: the same) the variable
    isSSLConnection. ``mechanism_names`` pairs canonical SASL names (RFC 4422: upper case) with the script's spelling,
    ``version_names`` protocol versions with members of the script's ``allowedSSLVersions``, oldest first.
    ``ssl_after_starttls``: whether isSSLConnection is yes after STARTTLS, None when not known. ``atomic_commit``:
    script and settings become active together at the server COMMIT. ``starttls_default`` is STARTTLS where no script
    says anything, None when not known. ``relay`` holds the names of the event onRelay.

    ``subdomain_test`` is true of the subdomains of a domain and not of itself. ``inbound_level_var`` says in the event
    onRcptTo whether mail for the recipient must come over TLS, ``inbound_message_var`` what a sender in clear is told.
    ``reason_var`` and ``until_var`` are texts about an exception, without effect, in both events. ``max_line`` is the
    longest line of a script in octets, ``max_script`` the largest script, None when not known. ``lacks`` are documented
    variables, methods and events (as the policy calls them) that this server takes and does nothing with.
    """

    name: str
    verified: bool
    plain_auth_var: t.Optional[str]
    tls_auth_var: t.Optional[str]
    auth_none: t.Optional[str]
    rcpt_domain_var: t.Optional[str]
    equals_test: str
    mechanism_names: t.Tuple[t.Tuple[str, str], ...]
    version_names: t.Tuple[t.Tuple[str, str], ...]
    ssl_after_starttls: t.Optional[bool]
    atomic_commit: bool
    starttls_default: t.Optional[bool]
    relay: RelayNames
    encryption_test: t.Optional[str] = None
    subdomain_test: t.Optional[str] = None
    inbound_level_var: t.Optional[str] = None
    inbound_message_var: t.Optional[str] = None
    reason_var: t.Optional[str] = None
    until_var: t.Optional[str] = None
    max_line: int = 8192
    max_script: t.Optional[int] = None
    lacks: t.Tuple[str, ...] = ()

    @property
    def mechanisms(self) -> t.Tuple[str, ...]:
        """Canonical names of the SASL mechanisms that this server has, in the policy's order."""
        return canonical_order([canonical for canonical, _spelling in self.mechanism_names])

    def mechanisms_to_script(self, mechanisms: t.Sequence[str]) -> str:
        """The value of a variable for these mechanisms; a set has a space behind every member, as WebAdmin writes it.

        Raises ``ValueError`` for a mechanism that this server does not have, or when "none" has no known word.
        """
        if not mechanisms:
            if self.auth_none is None:
                raise ValueError('dialect profile "%s" has no known word for "no mechanism"' % self.name)
            return self.auth_none
        spellings = dict(self.mechanism_names)
        unknown = [mechanism for mechanism in mechanisms if mechanism not in spellings]
        if unknown:
            raise ValueError("no mechanism %s; this server has %s" % (", ".join(unknown), ", ".join(self.mechanisms)))
        return "".join(spellings[mechanism] + " " for mechanism in mechanisms)

    def mechanisms_from_script(self, value: str) -> t.Optional[t.Tuple[str, ...]]:
        """The mechanisms that a variable's value means, in canonical order; None when it has an unknown word."""
        words = value.strip().strip("()").lower().split()
        if not words or (self.auth_none is not None and words == self.auth_none.lower().split()):
            return ()
        known = {spelling.lower(): canonical for canonical, spelling in self.mechanism_names}
        if words == ["all"] and "all" not in known:
            return self.mechanisms
        if any(word not in known for word in words):
            return None
        return canonical_order([known[word] for word in words])

    @staticmethod
    def listener_tokens(versions: t.Iterable[str]) -> t.Tuple[str, ...]:
        """Members of ``allowedVersions`` for protocol versions; raises ``ValueError`` for an unknown one."""
        return _translate(versions, _LISTENER_TOKENS)

    @staticmethod
    def listener_versions(tokens: t.Iterable[str]) -> t.Tuple[str, ...]:
        """Protocol versions, oldest first, for members of ``allowedVersions``. An unknown member stays as it is."""
        return _versions(tokens, _LISTENER_TOKENS)

    def script_tokens(self, versions: t.Iterable[str]) -> t.Tuple[str, ...]:
        """Members of the script's ``allowedSSLVersions``, which are spelt in another way than those of listeners.

        Raises ``ValueError`` for a version whose spelling is not known.
        """
        return _translate(versions, dict(self.version_names))

    def script_versions(self, tokens: t.Iterable[str]) -> t.Tuple[str, ...]:
        """Protocol versions, oldest first, for members of ``allowedSSLVersions``. An unknown member stays as it is."""
        return _versions(tokens, dict(self.version_names))


def _translate(versions: t.Iterable[str], table: t.Mapping[str, str]) -> t.Tuple[str, ...]:
    wanted = list(versions)
    unknown = [version for version in wanted if version not in table]
    if unknown:
        raise ValueError("no protocol version %s; there are %s" % (", ".join(unknown), ", ".join(table)))
    return tuple(table[version] for version in sorted(wanted, key=VERSIONS.index))


def _versions(tokens: t.Iterable[str], table: t.Mapping[str, str]) -> t.Tuple[str, ...]:
    known = {token.lower(): version for version, token in table.items()}
    found = [known.get(token.lower(), token) for token in tokens]
    return tuple(sorted(found, key=lambda version: (_RANK.get(version, len(_RANK)), version)))


#: The bundled MTA. Names that AXIGEN's documentation does not show are this MTA's own.
POSTERN = Dialect(
    name="postern",
    verified=True,
    plain_auth_var="plainConnAuthTypes",
    tls_auth_var="secureConnAuthTypes",
    auth_none="none",
    rcpt_domain_var="rcptDomain",
    equals_test="isCase",
    mechanism_names=(("PLAIN", "plain"), ("LOGIN", "login"), ("SCRAM-SHA-256", "scram-sha-256")),
    version_names=(("SSLv2", "ssl2"), ("SSLv3", "ssl3"), ("TLSv1", "tls10"), *_DOCUMENTED_TOKENS),
    ssl_after_starttls=True,
    atomic_commit=True,
    starttls_default=True,
    lacks=(
        "allowBinaryData",
        "allowDSN",
        "waitProcessingTimeout",
        "SPFResult",
        "SPFExplanation",
        "ReverseDNSResult",
        "SenderMXCheckResult",
        "DNSBLServer",
        "DNSBLResult",
        "DNSBLExplanation",
        "checkSPF",
        "checkReverseDNS",
        "checkDNSBL",
        "headers",
    ),
    relay=RelayNames(
        ssl="required",
        domain_var="relayDomain",
        level_var="tlsLevel",
        levels=("none", "may", "encrypt", "verify", "secure", "fingerprint"),
        match_var="tlsMatch",
        fingerprint_var="tlsFingerprints",
        tls_var="remoteSmtpTls",
        user_var="remoteSmtpUser",
        password_var="remoteSmtpPassword",
        clear_login_var="remoteSmtpClearLogin",
    ),
    subdomain_test="isSubdomainOf",
    inbound_level_var="tlsLevel",
    inbound_message_var="tlsExplanation",
    reason_var="tlsReason",
    until_var="tlsUntil",
    max_script=128 * 1024 * 1024,
)

#: AXIGEN as far as public sources go: its HELP texts, its documentation, a generated script.
AXIGEN = Dialect(
    name="axigen",
    verified=False,
    plain_auth_var=None,
    tls_auth_var=None,
    auth_none=None,
    rcpt_domain_var=None,
    equals_test="isCase",
    mechanism_names=(
        ("PLAIN", "plain"),
        ("LOGIN", "login"),
        ("CRAM-MD5", "cram-md5"),
        ("DIGEST-MD5", "digest-md5"),
        ("GSSAPI", "gssapi"),
    ),
    version_names=_DOCUMENTED_TOKENS,
    ssl_after_starttls=None,
    atomic_commit=False,
    starttls_default=None,
    relay=RelayNames(),
)

PROFILES = {dialect.name: dialect for dialect in (POSTERN, AXIGEN)}


def is_bundled(version: str) -> bool:
    """Whether a server that reports this version is the bundled MTA."""
    return "-postern" in version.lower()


def profile(name: str, version: str = "") -> Dialect:
    """The profile with this name; ``auto`` takes it from the version that the server reports.

    Raises ``ValueError`` for a name that no profile has.
    """
    if name == "auto":
        return POSTERN if is_bundled(version) else AXIGEN
    if name not in PROFILES:
        raise ValueError("no dialect profile %r; there are auto, %s" % (name, ", ".join(sorted(PROFILES))))
    return PROFILES[name]
