# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy that somebody expects to see, in canonical form.

It has the structure of ``smtp_policy`` and of what ``smtp_info`` returns. Here it is not written to a server, so it is
read more generously than there: what a server really has, such as SSLv3 or a text that no playbook may set, is
something to compare with and no mistake. What is no policy at all is refused, all problems in one error.
"""

from __future__ import annotations

import typing as t

from .._policy.address import listener_address
from .._policy.domain import domain_name
from .._policy.errors import PolicyError, Problems, arrived, shown
from .._policy.mechanism import mechanisms
from .._policy.rule import CONNECTIONS, DIRECTIONS
from .._policy.tls import VERSIONS, tls_mode, tls_versions

#: Keys of a policy with a list of dictionaries, with a dictionary, and those that are not looked at.
LISTS = ("listeners", "auth_rules", "relay_tls", "rules", "forced_tls_domains")
MAPPINGS = ("tls", "starttls", "relay", "rule_order")
UNREAD = ("other_rules",)
KEYS = LISTS[:1] + MAPPINGS[:-1] + LISTS[1:] + UNREAD + MAPPINGS[-1:]

#: Settings of a listener that ``tls`` may hold for all of them.
_COMMON = ("versions", "ciphers", "prefer_server_ciphers", "certificate", "ca_file", "dh_params")

#: Levels of exceptions. With direction ``both``, ``none`` means ``may`` for mail that arrives.
EXEMPT = ("may", "none")

Document = t.Dict[str, t.Any]


def declared(policy: t.Mapping[str, t.Any], option: str = "expect") -> Document:
    """The policy with addresses, modes, versions, mechanisms and domains in canonical form, without what is absent.

    ``tls`` is laid under the listeners. Entries with ``state: absent`` are left out, ``enabled`` is True where nothing
    is said, a domain with direction ``both`` becomes two. Raises :class:`PolicyError`.
    """
    problems = Problems()
    _shape(policy, option, problems)
    found: Document = {name: policy[name] for name in policy if name in MAPPINGS and name != "tls"}
    common = policy.get("tls") or {}
    readers: t.Dict[str, t.Callable[[t.Mapping[str, t.Any], str], t.List[Document]]] = {
        "listeners": lambda entry, label: [_listener(entry, common, label)],
        "auth_rules": lambda entry, label: [_auth_rule(entry, label)],
        "relay_tls": lambda entry, _label: [dict(entry)],
        "rules": lambda entry, label: [_general_rule(entry, label)],
        "forced_tls_domains": _forced_domain,
    }
    for name, reader in readers.items():
        if policy.get(name) is not None:
            found[name] = []
            for label, entry in _present(policy[name], "%s.%s" % (option, name)):
                with problems.collecting():
                    found[name] += reader(entry, label)
    problems.raise_any()
    return found


def forced_domains(policy: t.Mapping[str, t.Any]) -> t.List[Document]:
    """The domains of a policy (as :func:`declared` gives it) that take mail over TLS only."""
    return [entry for entry in _inbound(policy) if entry.get("level") not in EXEMPT]


def exempt_domains(policy: t.Mapping[str, t.Any]) -> t.List[Document]:
    """Those that take mail in clear all the same, as exceptions."""
    return [entry for entry in _inbound(policy) if entry.get("level") in EXEMPT]


def is_covered(policy: t.Mapping[str, t.Any], domain: str) -> bool:
    """Whether mail for this domain, which the policy need not name, is taken over TLS only: the most special rule decides."""
    rules = {entry["domain"]: entry.get("level") not in EXEMPT for entry in _inbound(policy)}
    name, dot = domain, -1
    while name:
        if name in rules:
            return rules[name]
        dot = domain.find(".", dot + 1)
        name = domain[dot:] if dot >= 0 else ""
    return rules.get("*", False)


def _inbound(policy: t.Mapping[str, t.Any]) -> t.List[Document]:
    return [
        entry
        for entry in policy.get("forced_tls_domains") or ()
        if entry["direction"] == "inbound" and entry["enabled"]
    ]


def _shape(policy: t.Mapping[str, t.Any], option: str, problems: Problems) -> None:
    """What must be right before anything can be read. Raises :class:`PolicyError` when it is not."""
    unknown = sorted(str(name) for name in policy if name not in KEYS)
    if unknown:
        problems.add(
            "%s: %s is no part of a policy, which has %s%s"
            % (
                option,
                ", ".join(unknown),
                ", ".join(KEYS),
                "; of what smtp_info returned, give the key policy" if "policy" in unknown else "",
            )
        )
    for names, kind, word in ((LISTS, list, "a list of dictionaries"), (MAPPINGS, dict, "a dictionary")):
        for name in names:
            value = policy.get(name)
            good = value is None or isinstance(value, kind)
            if good and kind is list:
                good = all(isinstance(entry, dict) for entry in value or ())
            if not good:
                problems.add("%s.%s must be %s; got %s" % (option, name, word, _got(value)))
    problems.raise_any()


def _got(value: t.Any) -> str:
    if isinstance(value, list):
        return "a list with %s" % ", ".join(sorted({arrived(entry) for entry in value if not isinstance(entry, dict)}))
    return shown(value) if isinstance(value, str) else arrived(value)


def _present(entries: t.Iterable[t.Any], option: str) -> t.Iterator[t.Tuple[str, t.Mapping[str, t.Any]]]:
    for place, entry in enumerate(entries, 1):
        if entry.get("state") != "absent":
            yield "%s #%d: " % (option, place), entry


def _enabled(entry: t.Mapping[str, t.Any], label: str, problems: Problems) -> bool:
    value = entry.get("enabled")
    if value not in (None, True, False):
        problems.add("%senabled must be true or false; got %s" % (label, _got(value)))
    return value is None or bool(value)


def _listener(entry: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any], label: str) -> Document:
    problems = Problems()
    found: Document = {name: common[name] for name in _COMMON if common.get(name) is not None}
    found.update({name: value for name, value in entry.items() if value is not None and name != "state"})
    found["enabled"] = _enabled(entry, label, problems)
    with problems.collecting(label):
        found["address"] = listener_address(entry.get("address"))
    with problems.collecting(label):
        found["tls"] = tls_mode(entry.get("tls"))
    if found.get("versions") is not None:
        with problems.collecting(label):
            found["versions"] = _versions(found["versions"])
    problems.raise_any()
    return found


def _versions(values: t.Any) -> t.List[str]:
    try:
        return list(tls_versions(values))
    except PolicyError:
        # A server may have what nobody may ask for: SSLv3, or a set with a gap.
        if isinstance(values, (list, tuple)) and all(value in VERSIONS for value in values):
            return [version for version in VERSIONS if version in values]
        raise


def _auth_rule(entry: t.Mapping[str, t.Any], label: str) -> Document:
    problems = Problems()
    found = dict(entry, enabled=_enabled(entry, label, problems))
    with problems.collecting(label):
        if entry.get("connection") not in CONNECTIONS:
            words = ", ".join(CONNECTIONS)
            raise PolicyError("connection must be one of %s; got %s" % (words, _got(entry.get("connection"))))
    with problems.collecting(label):
        found["mechanisms"] = list(mechanisms(entry.get("mechanisms")))
    problems.raise_any()
    return found


def _general_rule(entry: t.Mapping[str, t.Any], label: str) -> Document:
    """A rule with ``conditions`` and ``actions`` as values, in the event where it runs."""
    from .._policy.general_rule import content, first_event

    problems = Problems()
    found = dict(entry, enabled=_enabled(entry, label, problems))
    with problems.collecting(label):
        said = content(entry.get("match"), entry.get("conditions"), entry.get("actions"))
        found.update(said, event=entry.get("event") or first_event(said))
    problems.raise_any()
    return found


def _forced_domain(entry: t.Mapping[str, t.Any], label: str) -> t.List[Document]:
    problems = Problems()
    found = dict(entry, enabled=_enabled(entry, label, problems))
    direction = entry.get("direction") or "inbound"
    directions = tuple(DIRECTIONS) if direction == "both" else (direction,)
    with problems.collecting(label):
        found["domain"] = domain_name(entry.get("domain"), every=True)
    if not set(directions) <= set(DIRECTIONS):
        problems.add("%sdirection must be one of %s, both; got %s" % (label, ", ".join(DIRECTIONS), _got(direction)))
    message = entry.get("reject_message")
    if message is not None and not isinstance(message, str):
        problems.add("%sreject_message must be a text; got %s" % (label, arrived(message)))
    problems.raise_any()
    return [
        dict(found, direction=one, reject_message=message if one == "inbound" else None) for one in directions
    ]
