# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the method of a rule says in the policy script: for each kind of rule the one form that is written and read.

``sets`` in any order and names in any case are the same form; anything more or less makes a method opaque. Names of
variables come from the dialect.
"""

from __future__ import annotations

import typing as t

from ..._policy.level import asks_who
from ..._policy.rule import AuthRule, ForcedTlsDomain, ForcedTlsGroup, GeneralRule, RelayTlsRule, Rule
from ..base import NotSupported
from . import domain_forms
from . import script as language
from .domain_forms import NO_VERSIONS, STARTTLS, VERSIONS, plain_sets, read_versions

# --- reading ------------------------------------------------------------------------------------


def read_rule(block: t.Any, enabled: bool, dialect: t.Any) -> t.Optional[Rule]:
    """The rule that a method is, or None: then it is opaque."""
    if len(block.statements) == 1 and isinstance(block.statements[0], language.If):
        (condition,) = block.statements
        return domain_forms.read_condition(block.name, condition, enabled, dialect)
    values = plain_sets(block.statements)
    if not values:
        return None
    return (
        _auth_rule(block.name, values, enabled, dialect)
        or _relay_tls(block.name, values, enabled, dialect)
        or domain_forms.read_values(block.name, values, enabled, dialect)
    )


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
    versions = read_versions(switch.pop(VERSIONS.lower(), None), dialect)
    if versions is NO_VERSIONS:
        return None
    level = switch.get((dialect.relay.level_var or "").lower())
    match, known = None, None
    if level is not None:
        # Beside the switch: alone it would be a rule for every domain.
        level = level.strip().lower()
        proof = domain_forms.read_proof(switch, dialect)
        if proof is None or not asks_who(level) or level not in dialect.relay.levels:
            return None
        match, known = proof
    if len(switch) != 1:
        return None
    ((variable, value),) = switch.items()
    if value.strip().lower() != "yes":
        return None
    if variable == STARTTLS.lower() and level is None:
        return RelayTlsRule(name, "may", versions, enabled)
    if variable == dialect.relay.ssl_var.lower() and dialect.relay.ssl == "required":
        return RelayTlsRule(name, level or "encrypt", versions, enabled, match, known)
    return None


# --- writing ------------------------------------------------------------------------------------


def statements(rule: Rule, dialect: t.Any) -> t.List[t.Any]:
    """The body of the method that says what a typed rule says.

    Raises :class:`NotSupported` when the dialect has no known name for a part of it.
    """
    # Most runs write nothing, and a module is compiled anew on each of them.
    from . import domain_writing, refusals
    from .script_edit import new_set

    if isinstance(rule, AuthRule):
        variable = dialect.plain_auth_var if rule.connection == "plain" else dialect.tls_auth_var
        operation = "write rule %s" % rule.name
        if variable is None:
            what = "the authentication types of %s connections" % rule.connection
            raise refusals.unknown_name(operation, what, dialect, "%s_auth_variable" % rule.connection)
        if not rule.mechanisms and dialect.auth_none is None:
            raise refusals.unknown_name(operation, "no authentication", dialect, "no_authentication")
        return [new_set(variable, dialect.mechanisms_to_script(rule.mechanisms))]
    if isinstance(rule, RelayTlsRule):
        refusals.check_relay_tls(rule, dialect)
        sets = [(STARTTLS if rule.level == "may" else dialect.relay.ssl_var, "yes")]
        if asks_who(rule.level):
            sets.append((dialect.relay.level_var, rule.level))
        sets += [*domain_writing.version_sets(rule, dialect), *domain_writing.proof_sets(rule, dialect)]
        return [new_set(*pair) for pair in sets]
    if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)):
        return domain_writing.statements(rule, dialect)
    if isinstance(rule, GeneralRule):
        from . import general_forms

        return general_forms.statements(rule, dialect)
    raise NotSupported("write rule %s" % rule.name, "an opaque rule has no content to write")


def content(rule: Rule) -> t.Tuple[t.Any, ...]:
    """What the method of a rule says: everything but whether it is called."""
    if isinstance(rule, AuthRule):
        return ("auth", rule.connection, frozenset(rule.mechanisms))
    if isinstance(rule, RelayTlsRule):
        return ("relay", rule.level, rule.versions, rule.match, rule.fingerprints)
    if isinstance(rule, ForcedTlsDomain):
        said = (rule.reject_message, rule.level, rule.versions, rule.match, rule.reason, rule.until, rule.fingerprints)
        return ("forced", rule.domain, rule.direction, said)
    if isinstance(rule, ForcedTlsGroup):
        said = (rule.reject_message, rule.level, rule.versions, rule.match, None, None, rule.fingerprints)
        return ("forced", rule.domains, rule.direction, said)
    if isinstance(rule, GeneralRule):
        from ..._policy.general_rule import rule_meaning

        return ("general", *rule_meaning(rule))
    return ("opaque", rule.name)
