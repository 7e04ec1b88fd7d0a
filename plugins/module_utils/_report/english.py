# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of the report in English. :mod:`.german` has the same keys with the same placeholders."""

from __future__ import annotations

import typing as t

#: Fixed words of the page.
TEXTS: t.Dict[str, str] = {
    "title": "E-mail transport encryption: audit report",
    "skip": "Skip to the summary",
    "contents": "Contents",
    "at": "%(date)s UTC",
    # Counts: one, many.
    "listener.one": "%(n)d listener",
    "listener.many": "%(n)d listeners",
    "host.one": "%(n)d host",
    "host.many": "%(n)d hosts",
    "check.one": "%(n)d check",
    "check.many": "%(n)d checks",
    "connection.one": "%(n)d connection",
    "connection.many": "%(n)d connections",
    "day.one": "%(n)d day",
    "day.many": "%(n)d days",
    "domain.one": "%(n)d domain",
    "domain.many": "%(n)d domains",
    "exception.one": "%(n)d exception",
    "exception.many": "%(n)d exceptions",
    "look.one": "looked at once",
    "look.many": "looked at %(n)d times",
    # Summary
    "summary": "Summary",
    "summary.looked": (
        "Looked at on %(date)s UTC, from outside, as any stranger on the network can: %(listeners)s on %(hosts)s."
    ),
    "summary.none": "On %(date)s UTC no listener could be looked at.",
    "summary.fail": "At %(listeners)s something that is required does not hold.",
    "summary.fail.none": "No required check failed.",
    "summary.warning": "At %(listeners)s nothing required fails, but there are warnings.",
    "summary.unobservable": (
        "At %(listeners)s nothing fails, but something could not be observed: that is neither good nor bad."
    ),
    "summary.pass": "At %(listeners)s every check passed that was made.",
    "summary.nothing": "At %(listeners)s nothing was checked: there was no expectation.",
    "summary.unprobed": "%(hosts)s could not be probed at all.",
    "tile.fail": "listeners that fail",
    "tile.warning": "listeners with warnings",
    "tile.unobservable": "listeners not wholly observable",
    "tile.pass": "listeners that pass",
    "tile.nothing": "listeners without checks",
    "tile.unprobed": "hosts not probed",
    "scope": "What was checked",
    "scope.when": "When",
    "scope.from": "From where",
    "scope.what": "What",
    "scope.what.is": "%(listeners)s on %(hosts)s; %(checks)s in %(connections)s",
    "scope.by": "By which rules",
    "scope.policy": "the policy that was declared for the servers",
    "scope.drawn": "checks drawn from: %(of)s (profile %(name)s %(version)s, compared with it on %(date)s)",
    "scope.opportunistic": "(public relay port, where mail may come in clear) ",
    "scope.unknown": "checks drawn from: %(title)s",
    "scope.caveats": "What to know about these rules",
    "scope.means": "What this report says, and what it does not",
    "scope.means.moment": (
        "It shows what these servers did at that time, seen from that place. It is evidence, and no certificate: that"
        " checks drawn from a guideline pass does not say that the guideline as a whole is met."
    ),
    "scope.means.unobservable": (
        '"Not observable" means that the probe could not find out, and who or what stood in its way. It is never'
        " counted as a pass."
    ),
    "scope.means.side": (
        "Where something was refused, the report says which side refused: the server, the network, or the probing"
        " host's own TLS library."
    ),
    # States
    "state": "Result",
    "state.fail": "fail",
    "state.warning": "warning",
    "state.unobservable": "not observable",
    "state.pass": "pass",
    "state.nothing": "not checked",
    "legend": "How to read the results",
    "legend.fail": "the server does something else than what is required",
    "legend.warning": "the server does something else than what is recommended",
    "legend.unobservable": "the probe could not find out",
    "legend.pass": "the server does what is expected",
    "legend.nothing": "no expectation, or it does not apply here",
    # Findings
    "findings": "What does not hold",
    "findings.none": "Nothing that was checked failed.",
    "findings.caption": "What failed, the same finding of several listeners together",
    "where": "Where",
    "more": "and %(n)d more",
    # Not probed
    "unprobed": "Hosts that could not be probed",
    "unprobed.caption": "Of these hosts nothing is known",
    "unprobed.unknown": "no result came back",
    "reason": "Reason",
    # Changes
    "changes": "Changes since the last report",
    "changes.first": "There is no earlier report to compare with.",
    "changes.unreadable": "The earlier report could not be read, so nothing is compared: %(reason)s",
    "changes.none": "Nothing has changed since the report of %(date)s UTC.",
    "changes.some": "Compared with the report of %(date)s UTC.",
    "changes.caption": "Checks whose result is another one",
    "changes.before": "Before",
    "changes.after": "Now",
    "changes.direction": "Direction",
    "changes.worse": "worse",
    "changes.better": "better",
    "changes.other": "different",
    "changes.facts": "What else is different at these servers",
    "changes.fact": "Fact",
    "changes.new_hosts": "New hosts",
    "changes.gone_hosts": "Hosts that are no longer in the report",
    "changes.lost_hosts": "Hosts that could be probed then and could not be now",
    "changes.found_hosts": "Hosts that could not be probed then and could be now",
    "changes.new_listeners": "New listeners",
    "changes.gone_listeners": "Listeners that are no longer in the report",
    "changes.rules": "The expectations themselves have changed: %(more)s new, %(fewer)s no longer made.",
    "changes.rules.origins": "Rules then: %(before)s. Rules now: %(after)s.",
    "changes.nothing": "not there",
    "changes.domains": "Domains whose level or exception is another one",
    "changes.more": "and %(n)d more; the JSON document has them all",
    # Matrix
    "matrix": "Results by listener",
    "matrix.caption": "One line for each listener, one column for each group of checks. Details are behind the links.",
    "matrix.only": "Show only listeners where not everything passed",
    "matrix.scroll": "Table of results",
    "host": "Host",
    "listener": "Listener",
    "overall": "Overall",
    "unprobed.cell": "not probed",
    "group.connection": "Connection",
    "group.starttls": "STARTTLS",
    "group.versions": "TLS versions",
    "group.suites": "Cipher suites",
    "group.exchange": "Key exchange",
    "group.protocol": "Protocol",
    "group.certificate": "Certificate",
    "group.login": "Login",
    "group.session": "Session",
    "group.mail": "Mail",
    "group.other": "Other",
    # Certificates
    "certificates": "Certificates by days left",
    "certificates.none": "No certificate was seen.",
    "certificates.caption": "Each certificate once, the one that ends first on top",
    "certificates.days": "Days left",
    "certificates.until": "Valid until",
    "certificates.subject": "Name",
    "certificates.issuer": "Issued by",
    "certificates.key": "Key",
    "certificates.ended": "ended %(days)s ago",
    "certificates.soon": "soon",
    "certificates.self": "itself (self-signed)",
    "certificates.early": "not yet valid",
    # Domains
    "domains": "Domains and exceptions",
    "domains.lead": (
        "How mail for each domain has to be protected, as the rules of the server say. The most special rule decides:"
        " the one for the domain itself, then the one for the longest parent, then the default for every domain."
    ),
    "domains.means.inbound": (
        "Inbound: TLS proves that mail is encrypted on its way here. It does not prove who sends it, unless certificates"
        " of clients are demanded."
    ),
    "domains.means.outbound": "Outbound: nobody sees from outside how a server sends mail; its log does.",
    "domains.means.seen": "Last seen: the worst of what this probe saw of mail for the domain, and where.",
    "domains.unread": "The rules of this server could not be read",
    "domains.notes": "What could not be read for certain:",
    "domains.none": "The rules of this server are about no domain.",
    "domains.count": "The rules name %(domains)s, with %(exceptions)s.",
    "domains.expired": "The last day of %(n)d of them is over.",
    "domains.telling": "%(host)s: defaults, subdomains, exceptions, and domains where something does not hold",
    "domains.plain": "%(domains)s without exception or finding",
    "domains.plain.caption": "%(host)s: domains without exception or finding",
    "domains.cut": "These are the first %(shown)d entries; the JSON document has the other %(n)d, too.",
    "domains.domain": "Recipient domain",
    "domains.direction": "Direction",
    "domains.level": "Level",
    "domains.source": "Where it comes from",
    "domains.exception": "Exception",
    "domains.seen": "Last seen",
    "domains.source.exact": "the domain itself",
    "domains.source.parent": "subdomains",
    "domains.source.default": "default",
    "domains.exception.no": "no",
    "domains.exception.unexplained": "no reason is given",
    "domains.exception.until": "until %(day)s",
    "domains.exception.expired": "this day is over",
    "domains.unseen": "not looked at",
    "domains.unjudged": "seen, and not judged",
    "direction.inbound": "inbound",
    "direction.outbound": "outbound",
    # Outside
    "outside": "What cannot be seen from outside",
    "outside.lead": (
        "These requirements belong to the rules above, but no look from outside can show them. They have to be shown in"
        " another way."
    ),
    "outside.caption": "Requirements that are not observable from outside",
    "outside.what": "Requirement",
    "outside.why": "Why",
    # Details
    "details": "Details by listener",
    "details.mode": "TLS: %(mode)s",
    "details.name": "name asked for: %(name)s",
    "details.took": "%(connections)s in %(seconds)s s",
    "mode.none": "none",
    "mode.starttls": "STARTTLS",
    "mode.implicit": "from the first byte",
    "details.problems": "Not passed",
    "details.passed": "%(checks)s passed",
    "details.passed.caption": "Passed",
    "details.nothing": "Nothing was checked here.",
    "check": "Check",
    "expected": "Expected",
    "seen": "Seen",
    "source": "Source",
    "side": "Side",
    "evidence": "Evidence",
    "origin.policy": "policy",
    "evidence.summary": "Evidence: what was said in %(connections)s",
    "evidence.connection": "Connection %(number)d: %(purpose)s (%(seconds)s s)",
    "evidence.legend": (
        "S: the server, C: the probe, --: what the probe notes. Passwords are taken out when a dialogue is recorded."
    ),
    "evidence.reduced": (
        "To keep this page small it shows the first conversation with each listener and the connections that prove what"
        " did not pass; the JSON document has all of them."
    ),
    "evidence.none": "This page shows no evidence; the JSON document has it.",
    # Footer
    "footer": "Made by securemail.smtp. The same content for programs: %(json)s (JSON) and %(junit)s (JUnit XML).",
}

#: Who refused, or who is in the way, by the probe's constants.
SIDES: t.Dict[str, str] = {
    "server alert": "server (TLS alert)",
    "server closed": "server (closed the connection)",
    "server reply": "server (SMTP reply)",
    "server busy": "server (busy: temporary reply)",
    "network": "network",
    "local library": "probing host (its TLS library)",
    "probe budget": "probe (its limit of connections or time)",
    "not asked for": "nobody: it was not asked for",
}


def date(year: int, month: int, day: int) -> str:
    """A day as ISO 8601 has it, which every reader of English understands in one way."""
    return "%04d-%02d-%02d" % (year, month, day)
