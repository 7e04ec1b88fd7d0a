# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the method of a rule says in the policy script: for each kind of rule the one form that is written and read.

``sets`` in any order and names in any case are the same form; anything more or less makes a method opaque. Names of
variables come from the dialect.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy import level as levels
from ..._policy.domain import domain_name
from ..._policy.errors import PolicyError
from ..._policy.rule import AuthRule, ForcedTlsDomain, RelayTlsRule, Rule
from ..._policy.tls import tls_versions
from ..base import NotSupported
from . import script as language

#: Variables of the event onRelay whose names every server of the dialect has.
STARTTLS = "allowStartTLS"
VERSIONS = "allowedSSLVersions"


def plain_sets(statements: t.Sequence[t.Any]) -> t.Optional[t.Dict[str, str]]:
    """The variables (lower case) that different ``set`` statements give a value; None if anything else stands there."""
    values: t.Dict[str, str] = {}
    for statement in statements:
        if not isinstance(statement, language.Set) or statement.variable.lower() in values:
            return None
        values[statement.variable.lower()] = statement.value
    return values


# --- reading ------------------------------------------------------------------------------------


def read_rule(block: t.Any, enabled: bool, dialect: t.Any) -> t.Optional[Rule]:
    """The rule that a method is, or None: then it is opaque."""
    if len(block.statements) == 1 and isinstance(block.statements[0], language.If):
        (condition,) = block.statements
        return _inbound_domain(block.name, condition, enabled, dialect) or _outbound_domain(
            block.name, condition, enabled, dialect
        )
    values = plain_sets(block.statements)
    if not values:
        return None
    return _auth_rule(block.name, values, enabled, dialect) or _relay_tls(block.name, values, enabled, dialect)


def _auth_rule(name: str, values: t.Mapping[str, str], enabled: bool, dialect: t.Any) -> t.Optional[AuthRule]:
    if len(values) != 1:
        return None
    ((variable, value),) = values.items()
    for connection, known in (("plain", dialect.plain_auth_var), ("tls", dialect.tls_auth_var)):
        if known is not None and variable == known.lower():
            mechanisms = dialect.mechanisms_from_script(value)
            return None if mechanisms is None else AuthRule(name, connection, mechanisms, enabled)
    return None


def _relay_tls(name: str, values: t.Mapping[str, str], enabled: bool, dialect: t.Any) -> t.Optional[RelayTlsRule]:
    switch = dict(values)
    versions = _read_versions(switch.pop(VERSIONS.lower(), None), dialect)
    if versions is _NO_VERSIONS or len(switch) != 1:
        return None
    ((variable, value),) = switch.items()
    if value.strip().lower() != "yes":
        return None
    if variable == STARTTLS.lower():
        return RelayTlsRule(name, "may", versions, enabled)
    if variable == dialect.relay.ssl_var.lower() and dialect.relay.ssl == "required":
        return RelayTlsRule(name, "encrypt", versions, enabled)
    return None


def _inbound_domain(name: str, condition: t.Any, enabled: bool, dialect: t.Any) -> t.Optional[ForcedTlsDomain]:
    tests = {test.variable.lower(): test for test in condition.tests}
    secure = tests.get("issslconnection")
    domain = tests.get((dialect.rcpt_domain_var or "").lower())
    if condition.match != "all" or len(condition.tests) != 2 or secure is None or domain is None:
        return None
    if domain.name.lower() != dialect.equals_test.lower() or secure.name.lower() != _encryption_test(dialect).lower():
        return None
    if secure.value.lower() != "no":
        return None
    values = plain_sets(condition.body)
    if values is None or set(values) != {"smtpaction", "smtpexplanation"}:
        return None
    compared = domain.value.lower()
    # What is compared for equality with another spelling of a domain, or with ".example.test", may meet none.
    if values["smtpaction"].strip().lower() != "reject" or _read_domain(compared) != compared or compared[0] == ".":
        return None
    return ForcedTlsDomain(name, compared, language.lines_of(values["smtpexplanation"]), enabled=enabled)


def _encryption_test(dialect: t.Any) -> str:
    return dialect.encryption_test or dialect.equals_test


def _outbound_domain(name: str, condition: t.Any, enabled: bool, dialect: t.Any) -> t.Optional[ForcedTlsDomain]:
    names = dialect.relay
    if len(condition.tests) != 1 or names.domain_var is None or names.level_var is None:
        return None
    (test,) = condition.tests
    if test.name.lower() != dialect.equals_test.lower() or test.variable.lower() != names.domain_var.lower():
        return None
    values = plain_sets(condition.body)
    if values is None:
        return None
    level = values.pop(names.level_var.lower(), "").strip().lower()
    versions = _read_versions(values.pop(VERSIONS.lower(), None), dialect)
    match = _read_match(values.pop((names.match_var or "").lower(), None))
    if values or versions is _NO_VERSIONS or level not in names.levels or not levels.forces(level):
        return None
    # Names belong to level secure; at any other they would be read and have no effect.
    if match is not None and not (match and level == "secure"):
        return None
    domain = _read_domain(test.value)
    # A test for equality with ".example.test" is true for no domain.
    if domain is None or domain.startswith("."):
        return None
    return ForcedTlsDomain(name, domain, None, "outbound", enabled, level, versions, match)


#: Domains that are canonical as they stand: most of those that a script holds, and there may be ten thousand.
_CANONICAL = re.compile(r"(?!.*--)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,4}[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
_CANONICAL_LENGTH = 200


def _read_domain(text: str) -> t.Optional[str]:
    if len(text) <= _CANONICAL_LENGTH and _CANONICAL.match(text):
        return text
    try:
        return domain_name(text)
    except PolicyError:
        return None


#: A value that is no set of versions which a rule could ask for: empty, with a gap or with a word that is no version.
_NO_VERSIONS = ("",)


def _read_versions(value: t.Optional[str], dialect: t.Any) -> t.Optional[t.Tuple[str, ...]]:
    if value is None:
        return None
    words = value.strip("() ").lower().split()
    found = dialect.script_versions(words)
    try:
        if {token.lower() for token in dialect.script_tokens(found)} != set(words):
            return _NO_VERSIONS
        return tls_versions(found)
    except (PolicyError, ValueError):
        return _NO_VERSIONS


def _read_match(value: t.Optional[str]) -> t.Optional[t.Tuple[str, ...]]:
    return None if value is None else tuple(value.lower().split())


# --- writing ------------------------------------------------------------------------------------


def statements(rule: Rule, dialect: t.Any) -> t.List[t.Any]:
    """The body of the method that says what a typed rule says.

    Raises :class:`NotSupported` when the dialect has no known name for a part of it.
    """
    # Most runs write nothing, and a module is compiled anew on each of them.
    from .script_edit import new_if, new_set

    if isinstance(rule, AuthRule):
        variable = dialect.plain_auth_var if rule.connection == "plain" else dialect.tls_auth_var
        operation = "write rule %s" % rule.name
        if variable is None:
            what = "the authentication types of %s connections" % rule.connection
            raise unknown_name(operation, what, dialect, "%s_auth_variable" % rule.connection)
        if not rule.mechanisms and dialect.auth_none is None:
            raise unknown_name(operation, "no authentication", dialect, "no_authentication")
        return [new_set(variable, dialect.mechanisms_to_script(rule.mechanisms))]
    if isinstance(rule, RelayTlsRule):
        _check_relay_tls(rule, dialect)
        switch = STARTTLS if rule.level == "may" else dialect.relay.ssl_var
        return [new_set(switch, "yes"), *_versions(rule, dialect)]
    if isinstance(rule, ForcedTlsDomain):
        tests = [(dialect.equals_test, _domain_variable(rule, dialect), rule.domain)]
        if rule.direction == "outbound":
            body = [new_set(dialect.relay.level_var, t.cast(str, rule.level)), *_versions(rule, dialect)]
            if rule.match is not None:
                body.append(new_set(dialect.relay.match_var, "".join(name + " " for name in rule.match)))
            return [new_if("all", tests, body)]
        tests.insert(0, (_encryption_test(dialect), "isSSLConnection", "no"))
        message = new_set("smtpExplanation", t.cast(str, rule.reject_message))
        return [new_if("all", tests, [new_set("smtpAction", "reject"), message])]
    raise NotSupported("write rule %s" % rule.name, "an opaque rule has no content to write")


def _versions(rule: t.Union[RelayTlsRule, ForcedTlsDomain], dialect: t.Any) -> t.List[t.Any]:
    """The ``set`` of the versions, if the rule has any; a blank stands behind each of them, as WebAdmin writes it."""
    if rule.versions is None:
        return []
    known = dict(dialect.version_names)
    unknown = [version for version in rule.versions if version not in known]
    if unknown:
        # The spelling of listeners is another one, and a word that the server does not know may switch all of them on.
        what = "the protocol version %s (known are %s)" % (", ".join(unknown), ", ".join(known) or "none")
        raise unknown_name("write rule %s" % rule.name, what, dialect, "script_versions")
    return [language.Set(VERSIONS, "".join(token + " " for token in dialect.script_tokens(rule.versions)))]


def _check_relay_tls(rule: RelayTlsRule, dialect: t.Any) -> None:
    if rule.level == "may" or dialect.relay.ssl == "required":
        return
    operation = "write rule %s (level %s)" % (rule.name, rule.level)
    if dialect.relay.ssl == "implicit":
        raise NotSupported(
            operation,
            "on this server %s opens TLS from the first byte (relay_ssl: implicit in the dialect profile), which the "
            "hosts that mail goes to do not speak on port 25: no mail would leave" % dialect.relay.ssl_var,
            "No setting of this server requires STARTTLS. Level may limits the versions and does not require TLS; a "
            "relay host with tls: implicit can be used with it.",
        )
    raise NotSupported(
        operation,
        'it is not known what %s does on a server of the dialect profile "%s": it may require TLS, or open TLS '
        "without STARTTLS, which mail servers on port 25 do not understand" % (dialect.relay.ssl_var, dialect.name),
        "Make one such rule in WebAdmin, send mail to a server with STARTTLS and to one without, and say what was "
        "seen: relay_ssl: required (or implicit) in dialect_profile. Level may, which limits the versions and does not "
        "require TLS, can be written; the bundled MTA has both levels.",
    )


def _domain_variable(rule: ForcedTlsDomain, dialect: t.Any) -> str:
    """The variable that a rule for a domain compares. Raises :class:`NotSupported`."""
    operation = "write rule %s" % rule.name
    if rule.direction == "outbound":
        check_outbound(operation, dialect)
        variable = dialect.relay.domain_var
    elif dialect.rcpt_domain_var is None:
        raise unknown_name(operation, "the domain of the recipient", dialect, "recipient_domain_variable")
    else:
        variable = dialect.rcpt_domain_var
    if rule.domain.startswith("."):
        raise NotSupported(
            operation,
            "this server compares whole domains, so that one rule for all subdomains of %s would never match"
            % rule.domain[1:],
            "Name each subdomain.",
        )
    return t.cast(str, variable)


def check_outbound(operation: str, dialect: t.Any) -> None:
    """Refuse rules for domains of outgoing mail where no name for them is known. Raises :class:`NotSupported`."""
    if None in (dialect.relay.domain_var, dialect.relay.level_var, dialect.relay.match_var):
        raise NotSupported(
            operation,
            'the dialect profile "%s" has no known script name for the domain that mail is relayed to and for its TLS '
            "level" % dialect.name,
            "Nobody has seen a server of this kind that has them, so that they cannot be learned either and no key of "
            "dialect_profile says them. A relay TLS rule (smtp_relay_tls) is about all mail that goes out; the bundled "
            "MTA has rules for single domains.",
        )


def unknown_name(operation: str, what: str, dialect: t.Any, key: str) -> NotSupported:
    """The refusal of an operation that needs a name which the dialect profile does not have.

    ``key`` is the one of the option ``dialect_profile`` that says the name.
    """
    return NotSupported(
        operation,
        'the dialect profile "%s" has no known script name for %s (key %s of dialect_profile)' % (dialect.name, what, key),
        "No public document shows such a name, and none is guessed. The playbook securemail.smtp.learn finds it with a "
        "sample rule that is made in WebAdmin, and writes dialect_profile into the inventory; the bundled MTA knows all "
        "names.",
    )


def content(rule: Rule) -> t.Tuple[t.Any, ...]:
    """What the method of a rule says: everything but whether it is called."""
    if isinstance(rule, AuthRule):
        return ("auth", rule.connection, frozenset(rule.mechanisms))
    if isinstance(rule, RelayTlsRule):
        return ("relay", rule.level, rule.versions)
    if isinstance(rule, ForcedTlsDomain):
        return ("forced", rule.domain, rule.direction, rule.reject_message, rule.level, rule.versions, rule.match)
    return ("opaque", rule.name)
