# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules, as Ansible hands them over, in canonical form.

Everything a playbook can say wrongly about values ends here, before any server is asked: all problems of a task in one
:class:`PolicyError`, each with the option and the position in its list (counted from 1). None means "not given".
"""

from __future__ import annotations

import typing as t
from dataclasses import fields

from .address import listener_address, networks
from .errors import PolicyError, Problems, arrived, listed, shown
from .fingerprint import fingerprints
from .forced_options import ListReader, merged, named_hosts, named_versions
from .level import GENERAL_LEVELS, LEVELS, proof_problem, tls_level
from .mechanism import mechanisms
from .policy import LIMIT_FIELDS, TLS_FIELDS, Listener, StartTls
from .relay_host import RelayWish, relay_wish
from .rule import CONNECTIONS
from .rule_name import forced_domain_rule_name, is_domain_rule_name, rule_name
from .tls import cipher_list, tls_mode, tls_versions

Params = t.Mapping[str, t.Any]

_FILE_FIELDS = ("certificate", "ca_file", "dh_params")
_NETWORK_FIELDS = ("allowed_networks", "denied_networks")


# --- listeners and TLS --------------------------------------------------------------------------


def addresses(values: t.Any, option: str) -> t.Optional[t.Tuple[str, ...]]:
    """Canonical addresses of listeners in the order given, equal ones merged.

    None stays None (all listeners); an empty list is refused.
    """
    if values is None:
        return None
    problems = Problems()
    found: t.Dict[str, None] = {}
    for position, value in enumerate(listed(values, option, '["0.0.0.0:25"]'), 1):
        with problems.collecting():
            found[listener_address(value, "%s #%d" % (option, position))] = None
    problems.raise_any()
    if not found:
        raise PolicyError("%s is empty; name listeners, or leave the option out to mean all of them" % option)
    return tuple(found)


def tls_values(params: Params, prefix: str = "") -> t.Dict[str, t.Any]:
    """Those of ``TLS_FIELDS`` that are given, in canonical form. ``prefix`` stands before option names in messages."""
    problems = Problems()
    values = _tls_values(params, prefix, problems)
    problems.raise_any()
    return values


def listener_values(params: Params, prefix: str = "") -> t.Dict[str, t.Any]:
    """Fields of a listener that are given, its address apart, in canonical form."""
    problems = Problems()
    values = _tls_values(params, prefix, problems)
    with problems.collecting():
        values["tls"] = tls_mode(params.get("tls"), prefix + "tls")
    values["enabled"] = params.get("enabled")
    for name in LIMIT_FIELDS:
        with problems.collecting():
            values[name] = _count(params.get(name), prefix + name)
    for name in _NETWORK_FIELDS:
        if params.get(name) is not None:
            with problems.collecting():
                values[name] = networks(params[name], prefix + name)
    problems.raise_any()
    return {name: value for name, value in values.items() if value is not None}


def _tls_values(params: Params, prefix: str, problems: Problems) -> t.Dict[str, t.Any]:
    readers: t.Dict[str, t.Callable[[t.Any, str], t.Any]] = {"versions": tls_versions, "ciphers": cipher_list}
    readers.update({name: file_path for name in _FILE_FIELDS})
    values = {}
    for name in TLS_FIELDS:
        if params.get(name) is not None:
            with problems.collecting():
                values[name] = readers.get(name, _as_given)(params[name], prefix + name)
    return values


def _as_given(value: t.Any, _option: str) -> t.Any:
    return value


def file_path(value: t.Any, option: str) -> str:
    """The path of a file on the server; ``""`` means no file. Raises :class:`PolicyError`."""
    if not isinstance(value, str):
        raise PolicyError("%s must be a path; got %s" % (option, arrived(value)))
    if value.strip().lower() == "none":
        raise PolicyError('%s: write "" for no file; got %s' % (option, shown(value)))
    if not value.isprintable():
        raise PolicyError("%s holds characters that no path should have; got %s" % (option, shown(value)))
    return value


def _count(value: t.Any, option: str) -> t.Optional[int]:
    """A number that is not negative. The server's own range is the server's to check."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        got = str(value) if isinstance(value, int) and not isinstance(value, bool) else arrived(value)
        raise PolicyError("%s must be a whole number from 0; got %s" % (option, got))
    return value


# --- rules --------------------------------------------------------------------------------------


def position(value: t.Any, option: str = "position") -> t.Union[None, str, t.Dict[str, str]]:
    """``first``, ``last``, ``{"before": name}``, ``{"after": name}``, or None. Raises :class:`PolicyError`."""
    if value is None:
        return None
    if isinstance(value, str) and value.strip().lower() in ("first", "last"):
        return value.strip().lower()
    if isinstance(value, str):
        value = _key_value(value)
    if isinstance(value, dict) and len(value) == 1:
        ((side, name),) = value.items()
        if side in ("before", "after") and isinstance(name, str) and name.strip():
            return {side: name.strip()}
    raise PolicyError(
        "%s must be first, last, or a dictionary with one of the keys before and after and the name of a rule; got %s"
        % (option, shown(value))
    )


def _key_value(text: str) -> t.Any:
    """``after=name``, as a dictionary is written on a command line."""
    key, equals, name = text.partition("=")
    return {key.strip(): name} if equals else text


def auth_rule(params: Params, label: str = "") -> t.Dict[str, t.Any]:
    """One authentication rule as an entry for ``edit.put_auth_rule``. ``label`` names the entry of a list."""
    prefix = "%s: " % label if label else ""
    problems = Problems()
    entry: t.Dict[str, t.Any] = {"label": label, "state": params.get("state") or "present"}
    entry["enabled"] = params.get("enabled")
    with problems.collecting(prefix):
        entry["name"] = rule_name(params.get("name"))
    if entry["state"] == "present":
        with problems.collecting(prefix):
            entry["connection"] = _connection(params.get("connection"))
        with problems.collecting(prefix):
            entry["mechanisms"] = mechanisms(params.get("mechanisms"))
    problems.raise_any()
    return entry


def _connection(value: t.Any) -> str:
    if value not in CONNECTIONS:
        got = shown(value) if isinstance(value, str) else arrived(value)
        raise PolicyError("connection must be one of %s; got %s" % (", ".join(CONNECTIONS), got))
    return value


def relay_tls(params: Params, label: str = "") -> t.Dict[str, t.Any]:
    """One relay TLS rule as an entry for ``edit.put_relay_tls``. ``label`` names the entry of a list."""
    prefix = "%s: " % label if label else ""
    problems = Problems()
    entry: t.Dict[str, t.Any] = {"label": label, "state": params.get("state") or "present"}
    entry.update(dict.fromkeys(_RELAY_LISTS))
    entry["enabled"] = params.get("enabled")
    with problems.collecting(prefix):
        entry["name"] = rule_name(params.get("name"))
    if entry["state"] == "present":
        with problems.collecting(prefix):
            entry["level"] = _general_level(params.get("level"))
        for name, read in _RELAY_LISTS.items():
            if params.get(name) is not None:
                with problems.collecting(prefix):
                    entry[name] = read(params[name], name)
        with problems.collecting(prefix):
            _check_proof(entry.get("level"), entry)
    problems.raise_any()
    return entry


def _check_proof(level: t.Optional[str], entry: Params) -> None:
    """What nobody says may stand on the server already."""
    fingerprints_there = ("",) if level == "fingerprint" and entry["fingerprints"] is None else entry["fingerprints"]
    problem = proof_problem(level, entry["match"], fingerprints_there) if level is not None else None
    if problem is not None:
        raise PolicyError(problem)


def _general_level(value: t.Any) -> str:
    level = tls_level(value, "level", LEVELS)
    if level == "none":
        raise PolicyError(
            "level must be one of %s; got none: that no mail uses TLS is said by STARTTLS outbound "
            "(smtp_policy: starttls.outbound, smtp_tls: starttls_outbound)" % ", ".join(GENERAL_LEVELS)
        )
    return level


_RELAY_LISTS: t.Dict[str, t.Callable[[t.Any, str], t.Any]] = {
    "versions": named_versions,
    "match": named_hosts,
    "fingerprints": fingerprints,
}


# --- the whole document -------------------------------------------------------------------------


def policy_document(params: Params) -> t.Tuple[t.Dict[str, t.Any], t.List[str]]:
    """The options of a whole policy as a document for ``edit.put_document``, and notices.

    Entries that are equal are merged. Two that mean the same object and say different things are a problem that
    names both.
    """
    problems = Problems()
    notices: t.List[str] = []
    defaults: t.Dict[str, t.Any] = {}
    with problems.collecting():
        defaults = tls_values(params.get("tls") or {}, "tls.")
    if defaults and not params.get("listeners"):
        problems.add("tls holds settings for the listeners of this document, and there are no listeners in it")
    listeners = []
    for label, entry in _labelled(params, "listeners"):
        with problems.collecting():
            listeners.append(_listener_entry(entry, label, defaults))
    auth_rules = []
    for label, entry in _labelled(params, "auth_rules"):
        with problems.collecting():
            auth_rules.append(auth_rule(entry, label))
    relay_rules = []
    for label, entry in _labelled(params, "relay_tls"):
        with problems.collecting():
            relay_rules.append(relay_tls(entry, label))
    domains: t.List[t.Dict[str, t.Any]] = []
    with problems.collecting():
        # "*" is explicit enough in a document about everything.
        reader = ListReader({}, every=True)
        for label, entry in _labelled(params, "forced_tls_domains"):
            reader.read_one(entry, label)
        domains, notices = reader.done()
    relay: t.Optional[RelayWish] = None
    if params.get("relay") is not None:
        with problems.collecting():
            relay = relay_wish(params["relay"])
    general_rules = []
    if params.get("rules"):
        # Few tasks have them, and a module's code is compiled anew in each of them.
        from .general_rule import general_rule

        for label, entry in _labelled(params, "rules"):
            with problems.collecting():
                general_rules.append(general_rule(entry, label))
    pruned: t.Dict[str, t.Any] = {}
    if params.get("prune") or params.get("keep") or params.get("prune_only"):
        from .prune import prune_sections

        with problems.collecting():
            pruned = prune_sections(params)
    starttls = params.get("starttls") or {}
    document = {
        "listeners": _merged(listeners, lambda entry: entry["address"], "listeners", problems),
        "starttls": StartTls(starttls.get("inbound"), starttls.get("outbound")),
        "relay": relay,
        "auth_rules": _merged(auth_rules, _by_name, "auth_rules", problems),
        "relay_tls": _merged(relay_rules, _by_name, "relay_tls", problems),
        "rules": _merged(general_rules, _by_name, "rules", problems),
        "forced_tls_domains": merged(domains, "forced_tls_domains", problems),
        "prune": pruned,
        "allow_unsafe": bool(params.get("allow_unsafe")),
    }
    _check_names(document, problems)
    problems.raise_any()
    return document, notices


def _check_names(document: t.Mapping[str, t.Any], problems: Problems) -> None:
    """Rules of two sections must not have one name; inside a section entries of one name mean the same rule."""
    owners: t.Dict[str, t.Tuple[str, Params]] = {}
    for section in ("auth_rules", "relay_tls", "rules"):
        for entry in document[section]:
            if entry["state"] != "absent" and entry.get("name"):
                _check_name(entry["name"], section, entry, owners, problems)
    likely = any(is_domain_rule_name(name) for name in owners)
    for entry in document["forced_tls_domains"]:
        name = entry.get("name")
        if not name and likely and entry.get("form") != "compact":
            # What the rule will be called, unless the server has one for the domain.
            weak = entry.get("level") in ("may", "none")
            name = forced_domain_rule_name(entry["domain"], entry["direction"], weak)
        if name and entry["state"] != "absent":
            _check_name(name, "forced_tls_domains", entry, owners, problems)


def _check_name(
    name: str, section: str, entry: Params, owners: t.Dict[str, t.Tuple[str, Params]], problems: Problems
) -> None:
    owner, first = owners.setdefault(name.lower(), (section, entry))
    if owner != section:
        problems.add(
            "%s and %s are both called %s; give one of them another name"
            % (first["label"], entry["label"], first["name"])
        )


def _by_name(entry: Params) -> str:
    return entry["name"].lower()


def _labelled(params: Params, option: str) -> t.Iterator[t.Tuple[str, Params]]:
    for place, entry in enumerate(params.get(option) or (), 1):
        yield "%s #%d" % (option, place), entry or {}


def _listener_entry(params: Params, label: str, defaults: Params) -> t.Dict[str, t.Any]:
    problems = Problems()
    address, values = "", {}
    with problems.collecting("%s: " % label):
        address = listener_address(params.get("address"))
    with problems.collecting("%s: " % label):
        values = listener_values(params)
    problems.raise_any()
    state = params.get("state") or "present"
    if state == "present":
        for name, value in defaults.items():
            if name == "certificate" and values.get("tls") == "none":
                continue  # A common certificate is not meant for a listener that shall have none.
            values.setdefault(name, value)
    return {"label": label, "state": state, "address": address, "listener": Listener(address, **values)}


def _merged(
    entries: t.List[t.Dict[str, t.Any]],
    key: t.Callable[[t.Dict[str, t.Any]], t.Any],
    option: str,
    problems: Problems,
) -> t.List[t.Dict[str, t.Any]]:
    """The entries with equal ones merged; contradictions are noted with both positions and what differs."""
    first: t.Dict[t.Any, t.Dict[str, t.Any]] = {}
    for entry in entries:
        known = first.setdefault(key(entry), entry)
        differing = _differences(known, entry)
        if differing:
            problems.add(
                "%s %s and %s both mean %s and contradict each other: %s"
                % (
                    option,
                    known["label"].rpartition(" ")[2],
                    entry["label"].rpartition(" ")[2],
                    entry.get("address") or entry["name"],
                    ", ".join(differing),
                )
            )
    return list(first.values())


def _differences(one: t.Dict[str, t.Any], other: t.Dict[str, t.Any]) -> t.List[str]:
    names = [
        name for name in one if name not in ("label", "listener", "name") and one[name] != other.get(name)
    ]
    if (one.get("name") or "").lower() != (other.get("name") or "").lower():
        names.append("name")
    if "listener" in one:
        names += [
            field.name
            for field in fields(Listener)
            if getattr(one["listener"], field.name) != getattr(other["listener"], field.name)
        ]
    return sorted(names)
