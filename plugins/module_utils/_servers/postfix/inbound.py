# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail that is taken over TLS only, by domain of the recipient: a table of restrictions (access(5), SMTPD_ACCESS_README).

``reject_plaintext_session`` in a table that is looked up by recipient refuses one recipient and no other. Whether an entry means
subdomains too is a habit of the host (``parent_domain_matches_subdomains``); here a key is made of the recipient first,
so that ``example.com`` is that domain and ``.example.com`` its subdomains, the most special one first.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain
from ..._policy.rule_name import default_reject_message
from . import table, tls_values
from .configuration import Draft, _State
from .master_cf import Service
from .slot import canonical_name

_LIST = "smtpd_recipient_restrictions"
_CODE = "plaintext_reject_code"
_FOOTERS = "smtpd_reject_footer_maps"

#: Own files: the table, what makes its keys, and what a refused client is told.
TABLE, KEYS, EXPLANATION = "inbound", "recipient_domain", "explanation"

FORCED, EXEMPT = "reject_plaintext_session", "dunno"

#: What the reply is without our text; the codes are those of the policy.
_REPLY = "Session encryption is required"

#: Of RFC 5248 there is none for this; the code is the one that AXIGEN and others use.
DEFAULT_CODE = "523"

#: What stands for the message that each domain has when nobody chose one: it would name the domain, which a footer cannot.
_PLAIN_TEXT = "Accepting only secure delivery (STARTTLS) for this domain"

_ITEM = re.compile(
    r"check_recipient_access\s+pipemap:\{regexp:[^{},]*(?:\$\{config_directory\})?[^{},]*/securemail/%s,\s*[a-z]+:[^{},]*(?:\$\{config_directory\})?[^{},]*/securemail/%s\}"
    % (KEYS, TABLE)
)
_WRITTEN = re.compile(
    r"check_recipient_access pipemap:\{regexp:\$\{config_directory\}/securemail/%s, [a-z]+:\$\{config_directory\}/securemail/%s\}"
    % (KEYS, TABLE)
)
_FOOTER = re.compile(r"regexp:(?:\$\{config_directory\}|[^\s,]*)/securemail/%s" % EXPLANATION)
_FOOTER_WRITTEN = re.compile(r"regexp:\$\{config_directory\}/securemail/%s" % EXPLANATION)
_LINE = re.compile(r"/\^([45][0-9]{2}) ([45])\\\.7\\\.1 %s\$/\s+\\c\. (.*)" % _REPLY)
_CODES = re.compile(r"([45][0-9]{2})(?: ([245]\.[0-9]{1,3}\.[0-9]{1,3}))?\s+(.*)", re.DOTALL)

#: Domains that are named in an action or a message; more are counted.
_MAX_NAMES = 5


# --- reading --------------------------------------------------------------------------------------


def read(conf: _State, notes: t.List[str]) -> t.List[ForcedTlsDomain]:
    """The domains whose rules are in force at every listener that takes mail in clear."""
    notes += table.unopenable(conf)
    found = table.in_force(conf, TABLE)
    if found is None:
        return []
    open_ones = [service.name for service in _clear(conf) if not _ITEM.match(conf.value(_LIST, service))]
    if open_ones:
        notes.append(
            "mail for domains that force TLS is taken in clear at %s: %s does not begin with the table of these domains there"
            % (", ".join(open_ones), _LIST)
        )
        return []
    domains = {domain: value.lower() for domain, value in map(_canonical, found.items())}
    if (conf.own_text(KEYS) or "") != _keys(domains):
        notes.append("mail for domains that force TLS may be taken in clear: securemail/%s is not as it was written" % KEYS)
        return []
    message = _message(conf)
    rules = []
    for domain, value in sorted(domains.items()):
        if value == FORCED:
            text = default_reject_message(domain) if message == _PLAIN_TEXT else message
            rule = ForcedTlsDomain("", domain, text)
        else:
            rule = ForcedTlsDomain("", domain, None, level="may")
        rules.append(ForcedTlsDomain(**dict(vars(rule), name=canonical_name(rule))))
    return rules


def _clear(conf: _State) -> t.List[Service]:
    """The listeners that take mail in clear from others; what gives back mail that this host has filtered is none."""
    return [service for service in conf.smtpd if not requires_tls(conf, service) and not gives_back(conf, service)]


def requires_tls(conf: _State, service: Service) -> bool:
    """Whether nobody names a recipient in clear at a listener."""
    from .listeners import level

    return conf.value("smtpd_tls_wrappermode", service) == "yes" or level(conf, service) in tls_values.REQUIRED


def gives_back(conf: _State, service: Service) -> bool:
    """Whether a listener is where a content filter of this host gives mail back (FILTER_README): it filters nothing again."""
    return conf.own("content_filter", service) == ""


def _message(conf: _State) -> str:
    """What a refused client is told beside Postfix's own words, with the code where that is not ours; "" for nothing."""
    maps = conf.value(_FOOTERS)
    match = _LINE.search(conf.own_text(EXPLANATION) or "")
    code = conf.value(_CODE)
    if not _FOOTER.match(maps) or match is None or match.group(1) != code or match.group(2) != code[:1]:
        return ""
    text = match.group(3).replace("$$$$", "$")
    return text if code == DEFAULT_CODE else "%s %s.7.1 %s" % (code, code[0], text)


def _canonical(item: t.Tuple[str, str]) -> t.Tuple[str, str]:
    """A key as the policy writes it: names in A-labels."""
    key, value = item
    if key.isascii():
        return key, value
    from ..._policy.domain import domain_name

    try:
        return domain_name(key), value
    except PolicyError:
        return key, value


# --- writing --------------------------------------------------------------------------------------


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Put the domains into the table, and the table where nothing passes it by. Raises ``PolicyError``."""
    rules = [rule for rule in desired.rules if isinstance(rule, ForcedTlsDomain) and rule.direction == "inbound"]
    there = [rule for rule in before.rules if isinstance(rule, ForcedTlsDomain) and rule.direction == "inbound"]
    if rules == there:
        return
    if not rules:
        _take_away(draft)
        draft.actions.append("take mail for %s in clear again" % _some([rule.domain for rule in there]))
        return
    code, text = _check(rules)
    kind = table.kind(draft)
    if kind == table.PLAIN:
        draft.warnings.append(
            "this Postfix has no type of tables with an index (it has %s): the domains are in a %s table, which each process reads whole"
            % (", ".join(draft.types), kind)
        )
    lines = {rule.domain: FORCED if rule.forces else EXEMPT for rule in rules}
    source = table.source("Domains whose mail is taken over TLS only.", _with_letters(lines))
    stale = table.in_force(draft.base, TABLE) != dict(table.entries(source))
    draft.table(TABLE, source, stale=stale)
    draft.table(KEYS, _keys(lines))
    draft.table(EXPLANATION, _explanation(code, text))
    _place(draft, kind)
    if draft.value(_CODE) != code:
        draft.set(_CODE, code)
    if not _FOOTER.match(draft.value(_FOOTERS)):
        draft.edit_main(draft.main.without_item(_FOOTERS, _FOOTER_WRITTEN).with_first(_FOOTERS, "regexp:${config_directory}/securemail/%s" % EXPLANATION))
    _say(draft, there, rules)


def _check(rules: t.Sequence[ForcedTlsDomain]) -> t.Tuple[str, str]:
    """The code and the text for all domains. Raises ``PolicyError`` for what one footer cannot say."""
    problems = []
    if any(rule.domain == EVERY_DOMAIN for rule in rules):
        problems.append(
            "domain *: a table of recipients has no entry for every domain; a listener takes mail over TLS only with the general rule "
            "submission_PORT_needs_tls (security level encrypt)"
        )
    forced = [rule for rule in rules if rule.forces]
    texts: t.Dict[str, t.List[str]] = {}
    # A message that names its only domain can be said as it is.
    literal = len({rule.reject_message for rule in forced}) == 1
    for rule in forced:
        message = rule.reject_message or ""
        texts.setdefault("" if message == default_reject_message(rule.domain) and not literal else message, []).append(rule.domain)
    if len(texts) > 1:
        shown = ["%s for %s" % ('"%s"' % text if text else "the default one", _some(domains)) for text, domains in texts.items()]
        problems.append(
            "reject_message: Postfix has one explanation for all domains, and these differ: %s. Say the same for all of them (what is there "
            "already counts), or none" % "; ".join(shown[:_MAX_NAMES])
        )
    message = next(iter(texts), "")
    code, text = DEFAULT_CODE, message or _PLAIN_TEXT
    match = _CODES.fullmatch(message)
    if match:
        code, text = match.group(1), match.group(3)
        if match.group(2) not in (None, "%s.7.1" % code[0]):
            problems.append(
                "reject_message: Postfix says %s.7.1 here and no other enhanced status code; got %s" % (code[0], match.group(2))
            )
    if problems:
        raise PolicyError(*problems)
    return code, text


def _explanation(code: str, text: str) -> str:
    # "$" is special in the result of a regexp table, and once more in the footer.
    return (
        "# What is said to a client whose mail is refused without TLS. Written by the Ansible collection securemail.smtp.\n"
        "/^%s %s\\.7\\.1 %s$/ \\c. %s\n" % (code, code[0], _REPLY, text.replace("$", "$$$$"))
    )


def _keys(lines: t.Mapping[str, str]) -> str:
    """What makes a key of a recipient: the domain, or a parent whose subdomains have a rule."""
    parents = sorted((domain for domain in lines if domain.startswith(".")), key=lambda domain: (-len(domain), domain))
    found = ["# Makes a key of a recipient's address. Written by the Ansible collection securemail.smtp."]
    # A domain's own rule counts before that of its parent.
    for domain in sorted(lines):
        if not domain.startswith(".") and any(domain.endswith(parent) for parent in parents):
            found += ["/@(%s)$/ $1" % re.escape(name) for name in _spellings(domain)]
    for parent in parents:
        found += ["/@[^@]*%s$/ %s" % (re.escape(name), name) for name in _spellings(parent)]
    found.append("/@([^@]*)$/ $1")
    return "\n".join(found) + "\n"


def _spellings(domain: str) -> t.List[str]:
    """A domain in A-labels, and in letters where that is another spelling: SMTPUTF8 clients use those."""
    if "xn--" not in domain:
        return [domain]
    from ..._policy.domain import readable

    letters = readable(domain)
    return [domain] if letters == domain else [domain, letters]


def _with_letters(lines: t.Mapping[str, str]) -> t.Dict[str, str]:
    return {name: value for domain, value in lines.items() for name in _spellings(domain)}


def _place(draft: Draft, kind: str) -> None:
    """Our table is the first restriction of every listener that takes mail in clear."""
    item = "check_recipient_access pipemap:{regexp:${config_directory}/securemail/%s, %s}" % (KEYS, table.reference(kind, TABLE))
    rest = draft.main.without_item(_LIST, _WRITTEN)
    if _WRITTEN.match(draft.main.get(_LIST) or "") is None or item not in (draft.main.get(_LIST) or ""):
        draft.edit_main(rest.with_first(_LIST, item))
    for service in draft.smtpd:
        own = draft.own(_LIST, service)
        if gives_back(draft, service):
            if own is None:
                draft.set(_LIST, rest.get(_LIST) or "", service)
                draft.warnings.append(
                    "listener %s gives mail back that a filter of this host has seen (content_filter is empty there): it goes on taking "
                    "it in clear" % service.name
                )
        elif own is not None and not requires_tls(draft, service) and not own.startswith(item):
            others = re.sub(r"%s[,\s]*" % _WRITTEN.pattern, "", own)
            draft.set(_LIST, "%s, %s" % (item, others) if others else item, service)


def _take_away(draft: Draft) -> None:
    draft.edit_main(draft.main.without_item(_LIST, _WRITTEN))
    draft.edit_main(draft.main.without_item(_FOOTERS, _FOOTER_WRITTEN))
    for service in draft.smtpd:
        own = draft.own(_LIST, service)
        if own is None:
            continue
        others = re.sub(r"%s[,\s]*" % _WRITTEN.pattern, "", own)
        if others != own:
            if others:
                draft.set(_LIST, others, service)
            else:
                draft.unset(_LIST, service)
        elif gives_back(draft, service) and own == (draft.main.get(_LIST) or ""):
            draft.unset(_LIST, service)
    if FORCED not in draft.main.text + draft.master.text:
        draft.unset(_CODE)
    for name in (TABLE, KEYS, EXPLANATION):
        draft.table(name, None)


def _say(draft: Draft, there: t.Sequence[ForcedTlsDomain], rules: t.Sequence[ForcedTlsDomain]) -> None:
    """What changes, and where it holds."""
    old = {rule.domain: rule for rule in there}
    new = {rule.domain: rule for rule in rules}
    changed = [domain for domain, rule in new.items() if old.get(domain) != rule]
    forced = [domain for domain in changed if new[domain].forces]
    exempt = [domain for domain in changed if not new[domain].forces]
    gone = [domain for domain in old if domain not in new]
    where = ", ".join(service.name for service in _clear(draft)) or "no listener: all of them require TLS"
    if forced:
        draft.actions.append("refuse mail for %s in clear (at %s)" % (_some(forced), where))
    if exempt:
        draft.actions.append("take mail for %s in clear all the same" % _some(exempt))
    if gone:
        draft.actions.append("take mail for %s in clear again" % _some(gone))


def _some(domains: t.Sequence[str]) -> str:
    more = len(domains) - _MAX_NAMES
    return ", ".join(domains[:_MAX_NAMES]) + (" and %d more" % more if more > 0 else "")
