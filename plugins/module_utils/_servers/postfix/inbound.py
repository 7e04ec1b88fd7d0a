# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail that is taken over TLS only, by domain of the recipient: a table of restrictions (access(5), SMTPD_ACCESS_README).

``reject_plaintext_session`` in a table that is looked up by recipient refuses one recipient and no other. Whether an entry means
subdomains too is a habit of the host (``parent_domain_matches_subdomains``); here a key is made of the recipient first,
so that ``example.com`` is that domain and ``.example.com`` its subdomains, the most special one first.

The first restriction that permits ends a list, and a list is judged without the others: so ours is the first of
``smtpd_recipient_restrictions``, of main.cf and of each listener that has a list of its own.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain
from ..._policy.rule_name import default_reject_message, forced_domain_rule_name
from . import table, tls_values
from .configuration import OWN_FOLDER, Draft, _State
from .master_cf import Service

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

#: Begin comments of the explanation: what was asked, and the reply code that was in main.cf before.
_ASKED, _FORMER = "#? ", "#< "

_CHECK = "check_recipient_access"
_WRITTEN = re.compile(
    r"%s pipemap:\{regexp:\$\{config_directory\}/%s/%s, [a-z]+:\$\{config_directory\}/%s/%s\}"
    % (_CHECK, OWN_FOLDER, KEYS, OWN_FOLDER, TABLE)
)
_FOOTER = "regexp:${config_directory}/%s/%s" % (OWN_FOLDER, EXPLANATION)
_FOOTER_WRITTEN = re.compile(re.escape(_FOOTER))

#: What makes a listener one where a filter of this host gives mail back: each of these as its own, with this value (None: any).
_GIVEN_BACK = (("content_filter", ""), ("smtpd_proxy_filter", ""), ("smtpd_authorized_xforward_hosts", None))

#: Rules for subdomains from which on it is said what they cost: each is an expression that every smtpd process holds.
_MANY_PARENTS = 1_000

#: Domains that are named in an action or a message; more are counted.
_MAX_NAMES = 5


# --- reading --------------------------------------------------------------------------------------


def read(conf: _State, notes: t.List[str]) -> t.List[ForcedTlsDomain]:
    """The domains whose rules are in force at every listener that takes mail in clear."""
    notes += table.unopenable(conf)
    if FORCED in conf.main.text + conf.master.text or "_access" in conf.main.text:
        from . import inbound_foreign

        notes += inbound_foreign.made_by_hand(conf)
    found = table.in_force(conf, TABLE)
    if found is None:
        if conf.own_text(TABLE) is not None:
            notes.append("domains of securemail/%s do not force TLS: Postfix does not look into that table, or cannot open it" % TABLE)
        return []
    open_ones = [service.name for service in clear(conf) if not _is_first(conf, service)]
    if open_ones:
        notes.append(
            "mail for domains that force TLS is taken in clear at %s: in %s something that permits comes before the table of these "
            "domains there, or the table is missing" % (", ".join(open_ones), _LIST)
        )
        return []
    domains = _domains(found, notes)
    if (conf.own_text(KEYS) or "") != _keys(domains):
        notes.append("mail for domains that force TLS may be taken in clear: securemail/%s is not as it was written" % KEYS)
        return []
    if conf.value("soft_bounce") == "yes":
        notes.append("soft_bounce is on: mail in clear for domains that force TLS is refused for now only, and comes again")
    told = _told(conf)
    if told == "" and FORCED in domains.values():
        notes.append(
            "mail in clear for domains that force TLS is refused, but not with the explanation of the rules (%s, %s, securemail/%s)"
            % (_CODE, _FOOTERS, EXPLANATION)
        )
    rules = []
    for domain, value in sorted(domains.items()):
        if value == FORCED:
            message = default_reject_message(domain) if told is None else told
            rules.append(ForcedTlsDomain(forced_domain_rule_name(domain), domain, message))
        else:
            rules.append(ForcedTlsDomain(forced_domain_rule_name(domain, exception=True), domain, None, level="may"))
    return rules


def _domains(found: t.Mapping[str, str], notes: t.List[str]) -> t.Dict[str, str]:
    """The domains of a table that are in it in all their spellings, each with what is done with its mail."""
    values = {key: value.lower() for key, value in found.items()}
    others = {spelling for key in values for spelling in _spellings(key)[1:]}
    domains, strange = {}, []
    for key, value in values.items():
        if key in others or not key.isascii():
            continue
        if value not in (FORCED, EXEMPT) or any(values.get(spelling) != value for spelling in _spellings(key)):
            strange.append(key)
        else:
            domains[key] = value
    if strange:
        notes.append("securemail/%s says something of %s that is no rule of this policy" % (TABLE, _some(strange)))
    return domains


def receivers(conf: _State) -> t.List[Service]:
    """The services that are told recipients: listeners, and what postscreen(8) gives connections to."""
    behind = [one for one in conf.master.services if one.type == "pass" and one.command == "smtpd"] if conf.postscreen else []
    return [*conf.smtpd, *behind]


def clear(conf: _State) -> t.List[Service]:
    """Those that take mail in clear from others; what gives back mail that this host has filtered is none."""
    return [service for service in receivers(conf) if not _requires_tls(conf, service) and not gives_back(conf, service)]


def _requires_tls(conf: _State, service: Service) -> bool:
    """Whether nobody names a recipient in clear at a listener."""
    from .listeners import level

    return conf.value("smtpd_tls_wrappermode", service) == "yes" or level(conf, service) in tls_values.REQUIRED


def gives_back(conf: _State, service: Service) -> bool:
    """Whether a listener is where a filter of this host gives mail back (FILTER_README, SMTPD_PROXY_README).

    It listens on the loopback interface only, and is told not to filter again, or whose word about the client counts.
    """
    marks = ((conf.own(name, service), value) for name, value in _GIVEN_BACK)
    if not any(own == value if value is not None else own for own, value in marks):
        return False
    from .addresses import sockets

    addresses = sockets(conf, service).addresses
    return bool(addresses) and all(address.startswith(("127.", "[::1]")) for address in addresses)


def _is_first(conf: _State, service: t.Optional[Service]) -> bool:
    """Whether nothing that may permit stands before our table in the list of a listener."""
    from .maps import maps

    directory = re.escape(conf.directory)
    ours = re.compile(
        r"pipemap:\{regexp:%s/%s/%s,\s*%s:%s/%s/%s\}"
        % (directory, OWN_FOLDER, KEYS, table.references(conf).get(TABLE), directory, OWN_FOLDER, TABLE)
    )
    words = [one.text for one in maps(conf.value(_LIST, service))]
    while words:
        word = words.pop(0).lower()
        if word == _CHECK:
            return bool(words) and ours.fullmatch(words[0]) is not None
        if not word.startswith("reject_"):
            return False
        if word.startswith(("reject_rbl_", "reject_rhsbl_")):
            del words[:1]
    return False


def _told(conf: _State) -> t.Optional[str]:
    """What a refused client is told beside Postfix's own words, as it was asked; None: the default of its domain.

    "": code or explanation are not in force at some listener.
    """
    text = conf.own_text(EXPLANATION) or ""
    asked, former = _comment(text, _ASKED), _comment(text, _FORMER)
    code, words = _parts(asked)
    services: t.List[t.Optional[Service]] = [*clear(conf)] or [None]
    if text == _explanation(asked, former) and all(_tells(conf, service, code, bool(words)) for service in services):
        return asked
    return ""


def is_untold(rule: ForcedTlsDomain) -> bool:
    """Whether the code or the explanation of a domain are not in force: any may take their place."""
    return rule.direction == "inbound" and rule.forces and not rule.reject_message


def _tells(conf: _State, service: t.Optional[Service], code: str, more: bool) -> bool:
    footers = conf.value(_FOOTERS, service).replace(",", " ").split()
    ours = _FOOTER.replace("${config_directory}", conf.directory)
    return conf.value(_CODE, service) == code and (footers[:1] == [ours]) == more


def _comment(text: str, mark: str) -> t.Optional[str]:
    return next((line[len(mark) :] for line in text.split("\n") if line.startswith(mark)), None)


# --- writing --------------------------------------------------------------------------------------


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Put the domains into the table, and the table where nothing passes it by. Raises ``PolicyError``."""
    rules, there = _rules(desired), _rules(before)
    if rules == there:
        # A listener that comes, or that takes mail in clear from now on, has the rules too.
        if rules and not all(_is_first(draft, service) for service in clear(draft)):
            _place(draft, table.references(draft.base)[TABLE])
            _tell(draft, _message(rules))
        return
    if not rules:
        _take_away(draft)
        draft.actions.append("take mail for %s in clear again" % _some([rule.domain for rule in there]))
        return
    _check(rules)
    kind = table.kind(draft)
    if kind == table.PLAIN:
        if kind not in draft.types:
            raise PolicyError("this Postfix has no type of tables for domains (it has %s): install postfix-lmdb or its like" % ", ".join(draft.types))
        draft.warnings.append(
            "this Postfix has no type of tables with an index (it has %s): the domains are in a %s table, which each process reads whole"
            % (", ".join(draft.types), kind)
        )
    domains = {rule.domain: FORCED if rule.forces else EXEMPT for rule in rules}
    parents = sum(domain.startswith(".") for domain in domains)
    if parents > _MANY_PARENTS:
        draft.warnings.append(
            "%d rules are for subdomains: each is a regular expression, about 5 KB in every smtpd process, and all are tried for each "
            "recipient; rules for whole domains cost nothing of that" % parents
        )
    source = table.source(
        "Domains whose mail is taken over TLS only.", {name: value for domain, value in domains.items() for name in _spellings(domain)}
    )
    found = table.in_force(draft.base, TABLE)
    _say(draft, there, rules, found or {})
    draft.table(TABLE, source, stale=found != dict(table.entries(source)))
    draft.table(KEYS, _keys(domains))
    _place(draft, kind)
    _tell(draft, _message(rules))


def _rules(policy: Policy) -> t.List[ForcedTlsDomain]:
    return [rule for rule in policy.rules if isinstance(rule, ForcedTlsDomain) and rule.direction == "inbound"]


def _check(rules: t.Sequence[ForcedTlsDomain]) -> None:
    """Refuse what one table and one explanation cannot say. Raises ``PolicyError``."""
    problems = []
    if any(rule.domain == EVERY_DOMAIN for rule in rules):
        problems.append(
            "domain *: a table of recipients has no entry for every domain; a listener takes mail over TLS only with the general rule "
            "submission_PORT_needs_tls (security level encrypt)"
        )
    folded: t.Dict[str, str] = {}
    for rule in rules:
        for spelling in _spellings(rule.domain):
            other = folded.setdefault(spelling, rule.domain)
            if other != rule.domain:
                problems.append(
                    "domains %s and %s: in letters they are one to Postfix (%s); it cannot have a rule for each" % (other, rule.domain, spelling)
                )
    texts: t.Dict[str, t.List[str]] = {}
    message = _message(rules)
    for rule in rules:
        if rule.forces and not is_untold(rule):
            said = rule.reject_message or ""
            default = said == default_reject_message(rule.domain) and said != message
            texts.setdefault("" if default else said, []).append(rule.domain)
    if len(texts) > 1:
        shown = ["%s for %s" % ('"%s"' % text if text else "the default one", _some(domains)) for text, domains in texts.items()]
        problems.append(
            "reject_message: Postfix has one explanation for all domains, and these differ: %s. Say the same for all of them (what is there "
            "already counts), or none" % "; ".join(shown[:_MAX_NAMES])
        )
    for text in texts:
        match = _codes(text)
        if match and match.group(2) != "%s.7.1" % match.group(1)[0]:
            problems.append("reject_message: Postfix says %s.7.1 here and no other enhanced status code; got %s" % (match.group(1)[0], match.group(2)))
    if problems:
        raise PolicyError(*dict.fromkeys(problems))


def _message(rules: t.Sequence[ForcedTlsDomain]) -> t.Optional[str]:
    """What all of them say; None: each its default message. A message that names its only domain can be said as it is."""
    said = {rule.reject_message or "": rule.domain for rule in rules if rule.forces and not is_untold(rule)}
    if len(said) == 1 and not any(rule.forces and is_untold(rule) for rule in rules):
        return next(iter(said))
    return next((text for text, domain in said.items() if text != default_reject_message(domain)), None)


def _codes(message: str) -> t.Optional[t.Match[str]]:
    """The codes that a message begins with: reply code and enhanced one, see ``_policy.reply_code``."""
    return re.match(r"([45][0-9]{2})[ -]([0-9]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|\Z)", message)


def _parts(message: t.Optional[str]) -> t.Tuple[str, str]:
    """The reply code and the words behind Postfix's own for a message; None: the default one."""
    if message is None:
        return DEFAULT_CODE, _PLAIN_TEXT
    match = _codes(message)
    code, text = (match.group(1), message[match.end() :]) if match else (DEFAULT_CODE, message)
    return code, "" if text == _REPLY else text


def _explanation(message: t.Optional[str], former: t.Optional[str]) -> str:
    """The footer in a regexp table, and what is to be remembered."""
    code, text = _parts(message)
    lines = ["# What is said to a client whose mail is refused without TLS. Written by the Ansible collection securemail.smtp."]
    if former is not None:
        lines.append(_FORMER + former)
    if message is not None:
        lines.append(_ASKED + message)
    if text:
        # "$" is special in the result of a regexp table, and once more in the footer.
        lines.append("/^%s %s\\.7\\.1 %s$/ \\c. %s" % (code, code[0], _REPLY, text.replace("$", "$$$$")))
    return "\n".join(lines) + "\n"


def _keys(domains: t.Iterable[str]) -> str:
    """What makes a key of a recipient: the domain, or a parent whose subdomains have a rule."""
    parents = {domain for domain in domains if domain.startswith(".")}
    found = ["# Makes a key of a recipient's address. Written by the Ansible collection securemail.smtp."]
    if parents:
        for domain in sorted(domains):
            # A domain's own rule counts before that of its parent.
            if domain not in parents and not parents.isdisjoint(_above(domain)):
                found += ["/@(%s)$/ $1" % _escaped(name) for name in _spellings(domain)]
        for parent in sorted(parents, key=lambda domain: (-domain.count("."), domain)):
            found += ["/@[^@]*%s$/ %s" % (_escaped(name), name) for name in _spellings(parent)]
    found.append("/@([^@]+)$/ $1")
    return "\n".join(found) + "\n"


def _above(domain: str) -> t.Iterator[str]:
    """The keys of all parents of a domain."""
    place = domain.find(".")
    while place >= 0:
        yield domain[place:]
        place = domain.find(".", place + 1)


def _escaped(name: str) -> str:
    return name.replace(".", "\\.")


def _spellings(domain: str) -> t.Tuple[str, ...]:
    """A domain in A-labels, and in letters where that is another spelling: SMTPUTF8 clients use those, and Postfix folds them."""
    if "xn--" not in domain:
        return (domain,)
    from ..._policy.domain import readable

    try:
        letters = table.folded(readable(domain))
    except UnicodeError:
        return (domain,)
    return (domain,) if letters == domain else (domain, letters)


def _place(draft: Draft, kind: str) -> None:
    """Our table is the first restriction of every listener that takes mail in clear."""
    item = "%s pipemap:{regexp:${config_directory}/%s/%s, %s}" % (_CHECK, OWN_FOLDER, KEYS, table.reference(kind, TABLE))
    rest = draft.main.without_item(_LIST, _WRITTEN)
    if table.references(draft).get(TABLE) != kind or not _is_first(draft, None):
        draft.edit_main(rest.with_first(_LIST, item))
    for service in receivers(draft):
        own = draft.own(_LIST, service)
        if gives_back(draft, service):
            draft.set(_LIST, rest.get(_LIST) or "" if own is None else _without_ours(own), service)
            draft.warnings.append(
                "listener %s gives back mail that a filter of this host has seen: it goes on taking it in clear" % service.name
            )
        elif own is not None and (_without_ours(own) != own or not _requires_tls(draft, service)):
            if item not in own or not _is_first(draft, service):
                others = _without_ours(own)
                draft.set(_LIST, "%s, %s" % (item, others) if others else item, service)


def _tell(draft: Draft, message: t.Optional[str]) -> None:
    """The reply code and the explanation, for all listeners that take mail in clear."""
    code, text = _parts(message)
    known = draft.own_text(EXPLANATION)
    former = draft.main.get(_CODE) if known is None else _comment(known, _FORMER)
    draft.table(EXPLANATION, _explanation(message, former))
    if draft.value(_CODE) != code:
        draft.set(_CODE, code)
    footer = _FOOTER if text else ""
    _lead(draft, None, footer)
    for service in clear(draft):
        if draft.own(_CODE, service) is not None and draft.value(_CODE, service) != code:
            draft.set(_CODE, code, service)
        if draft.own(_FOOTERS, service) is not None:
            _lead(draft, service, footer)


def _lead(draft: Draft, service: t.Optional[Service], footer: str) -> None:
    """Our footer is the first table of a list, or "" is in none."""
    own = draft.main.get(_FOOTERS) if service is None else draft.own(_FOOTERS, service)
    if (own or "").startswith(footer) and (footer or _FOOTER not in (own or "")):
        return
    if service is None:
        others = draft.main.without_item(_FOOTERS, _FOOTER_WRITTEN)
        draft.edit_main(others.with_first(_FOOTERS, footer) if footer else others)
    else:
        rest = re.sub(_FOOTER_WRITTEN.pattern + r"[,\s]*", "", own or "").strip(", \t")
        draft.set(_FOOTERS, ", ".join(part for part in (footer, rest) if part), service)


def _take_away(draft: Draft) -> None:
    """Everything of ours goes, and what it took the place of comes back. Raises ``PolicyError`` where others refer to it."""
    former = _comment(draft.own_text(EXPLANATION) or "", _FORMER)
    for service in receivers(draft):
        own = draft.own(_LIST, service)
        if own is not None and gives_back(draft, service) and own == (draft.main.without_item(_LIST, _WRITTEN).get(_LIST) or ""):
            draft.unset(_LIST, service)
        elif own is not None and _without_ours(own) != own:
            draft.set(_LIST, _without_ours(own), service)
        if _FOOTER in (draft.own(_FOOTERS, service) or ""):
            _lead(draft, service, "")
    draft.edit_main(draft.main.without_item(_LIST, _WRITTEN))
    value = draft.main.get(_LIST)
    if value is not None and _without_ours(value) != value:
        draft.set(_LIST, _without_ours(value))
    _lead(draft, None, "")
    if former is not None:
        draft.set(_CODE, former)
    elif draft.own_text(EXPLANATION) is not None or draft.main.get(_CODE) == DEFAULT_CODE:
        draft.unset(_CODE)
    for name in (TABLE, KEYS, EXPLANATION):
        draft.table(name, None)
    from . import inbound_foreign

    problems = inbound_foreign.still_named(draft, (TABLE, KEYS, EXPLANATION))
    if problems:
        raise PolicyError(*problems)


def _without_ours(value: str) -> str:
    """A list without our check, however it is written; the rest keeps its words."""
    return re.sub(
        r"%s\s+pipemap:\{regexp:[^{},]*(?:\$\{config_directory\})?[^{},]*/%s/%s,\s*[a-z]+:[^{},]*(?:\$\{config_directory\})?[^{},]*/%s/%s\}[,\s]*"
        % (_CHECK, OWN_FOLDER, KEYS, OWN_FOLDER, TABLE),
        "",
        value,
    ).strip(", \t")


# --- words ----------------------------------------------------------------------------------------


def _say(draft: Draft, there: t.Sequence[ForcedTlsDomain], rules: t.Sequence[ForcedTlsDomain], found: t.Mapping[str, str]) -> None:
    """What changes, where it holds, and for whom that may be a surprise."""
    old = {rule.domain: rule for rule in there}
    new = {rule.domain: rule for rule in rules}
    changed = [domain for domain, rule in new.items() if old.get(domain) != rule]
    forced = [domain for domain in changed if new[domain].forces]
    exempt = [domain for domain in changed if not new[domain].forces]
    gone = [domain for domain in old if domain not in new]
    where = ", ".join(service.name for service in clear(draft)) or "no listener: all of them require TLS"
    if forced:
        draft.actions.append("refuse mail for %s in clear (at %s)" % (_some(forced), where))
    if exempt:
        draft.actions.append("take mail for %s in clear all the same" % _some(exempt))
    if gone:
        draft.actions.append("take mail for %s in clear again" % _some(gone))
    lost = [key for key, value in found.items() if value.lower() == FORCED and key not in new and key not in old and key.isascii()]
    if lost and not there:
        draft.warnings.append("securemail/%s named further domains, which were not in force, and which nobody asks for: %s" % (TABLE, _some(lost)))
    if forced:
        from . import inbound_foreign

        draft.warnings += inbound_foreign.surprises(draft, forced, first=not any(rule.forces for rule in there))


def _some(domains: t.Sequence[str]) -> str:
    more = len(domains) - _MAX_NAMES
    return ", ".join(domains[:_MAX_NAMES]) + (" and %d more" % more if more > 0 else "")
