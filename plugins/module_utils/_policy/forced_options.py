# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of forced-TLS domains, one or thousands, in canonical form: entries for ``edit.put_forced_domains``.

An entry is about one domain in one direction: ``domain``, ``direction`` (inbound or outbound), ``name``, ``enabled``,
``reject_message``, ``level``, ``versions``, ``match``, ``fingerprints``, ``reason``, ``until``, ``form`` (``method`` or
``compact``), ``state``, ``label`` (for messages), ``exact``. None means "as it is", and of ``versions``, ``match`` and
``fingerprints`` an empty tuple that the rule names none. An inbound ``level`` is ``encrypt`` (forced) or
``may`` (an exception); ``said`` is the level in the words of whoever wrote it, which may be stricter.

Everything takes linear time. Settings that many entries have in common are looked at once.
"""

from __future__ import annotations

import re
import typing as t
from datetime import date

from .domain import domain_name, domain_names, notice
from .errors import PolicyError, Problems, arrived, few, listed, shown
from .fingerprint import fingerprints
from .level import LEVELS, proof_problem, tls_level
from .rule import DIRECTIONS, EVERY_DOMAIN
from .rule_name import outbound_name, reject_message, rule_name
from .tls import tls_versions

Params = t.Mapping[str, t.Any]
Entry = t.Dict[str, t.Any]

#: How rules for whole domains are written.
FORMS = ("method", "compact")

#: Longest reason of an exception, in characters.
REASON_LENGTH = 200

STATES = ("present", "absent")

#: What other standards may say about a domain, and an exception would overrule.
_OVERRIDDEN = ("dane", "mta-sts")

#: Options of a forced-TLS domain that belong to one direction only; ``level`` has a meaning of its own in each.
_DIRECTED = {"inbound": ("reject_message",), "outbound": ("versions", "match", "fingerprints")}

#: How a peer proves who it is, and the only level at which that counts.
_PROOFS = {"match": "secure", "fingerprints": "fingerprint"}

_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def forced_domain(params: Params, label: str = "", every: bool = True) -> t.Tuple[t.List[Entry], t.List[str]]:
    """One forced-TLS domain as entries, one for each direction, and notices.

    ``every``: whether ``*`` is allowed. Raises :class:`PolicyError`.
    """
    reader = ListReader({}, every)
    reader.read_one(params, label)
    return reader.done()


def forced_domains(
    params: Params, lines: t.Optional[t.Iterable[t.Tuple[int, t.Any]]] = None, place: str = "domains #%d"
) -> t.Tuple[t.List[Entry], t.List[str]]:
    """The entries of a task about one ``domain`` or many, sorted by domain, and notices.

    Many are ``domains``, or ``lines`` (number and domain) of another source; ``place`` names one of them in messages.
    The other ``params`` hold for all that do not say their own. Raises :class:`PolicyError`.
    """
    every = bool(params.get("every_domain"))
    if params.get("domains") is None and lines is None:
        return forced_domain(params, "", every)
    reader = ListReader(params, every)
    if params.get("name") is not None:
        reader.refuse(
            "name is for one domain; in a list it belongs to an entry: {domain: example.com, name: partner}"
        )
    values = enumerate(listed(params["domains"], "domains", '["example.com"]'), 1) if lines is None else lines
    for number, value in values:
        if isinstance(value, str) and not value.strip():
            continue
        reader.read(value, place % number)
    entries, notices = reader.done()
    problems = Problems()
    entries = merged(entries, place.partition(" ")[0], problems)
    problems.raise_any()
    entries.sort(key=lambda entry: (entry["domain"], entry["direction"]))
    return entries, notices


def has_outbound(entries: t.Iterable[Params]) -> bool:
    """Whether one of these entries is wanted for mail that goes out."""
    return any(entry["direction"] == "outbound" and entry["state"] == "present" for entry in entries)


def pruned_directions(params: Params, entries: t.Sequence[Params]) -> t.Tuple[str, ...]:
    """The directions in which a prune takes rules; none without ``prune``. Raises :class:`PolicyError`."""
    if not params.get("prune"):
        if params.get("keep") is not None:
            raise PolicyError("keep is about what prune would take away; say prune: true, or leave it out")
        return ()
    if params.get("domain") is not None:
        raise PolicyError("prune takes away what a list does not name; give a list with domains, content or source")
    direction = params.get("direction") or "inbound"
    if not params.get("allow_unsafe") and not any(entry["state"] == "present" for entry in entries):
        where = "in both directions" if direction == "both" else "for direction %s" % direction
        raise PolicyError(
            "prune: the list names no domain whose rules shall stay, so that every forced-TLS domain %s would be removed; "
            "say allow_unsafe: true when that is meant" % where
        )
    return _directions(direction, "direction")


# --- a list -------------------------------------------------------------------------------------


class ListReader:
    """Reads the entries of a list; ``common`` are the settings of those that do not say their own.

    ``every``: whether ``*`` is allowed.
    """

    def __init__(self, common: Params, every: bool) -> None:
        self._every = every
        self._entries: t.List[Entry] = []
        self._notices: t.List[str] = []
        self._problems = Problems()
        self._common = _read(common, self._problems)
        self._common["reject_message"] = None
        if common.get("reject_message") is not None:
            with self._problems.collecting():
                self._common["reject_message"] = reject_message(common["reject_message"])
        self._plain = _Settings(self._common, {}, self._common["reject_message"])
        self._own: t.Dict[t.Any, _Settings] = {}

    def read(self, value: t.Any, label: str) -> None:
        """One entry: a domain, or a dictionary with a domain and settings."""
        if not isinstance(value, dict):
            # What is wrong with the common settings is said once, and not for each entry.
            for problem in self._plain.problems:
                self._problems.add(problem)
            self._add(value, self._plain, {}, label, label, [])
            return
        unknown = [name for name in value if name not in _KNOWN]
        if unknown:
            said = "%s: an entry has no %s; it has %s"
            self._problems.add(said % (label, ", ".join(map(shown, unknown)), ", ".join(sorted(_KNOWN))))
            return
        self.read_one(value, label)

    def read_one(self, own: Params, label: str = "") -> None:
        """One entry with settings of its own."""
        # Many entries differ in nothing but the texts of their own; of these it counts whether they are said.
        key: t.Any = tuple([own.get(name) for name in _SHARED]) + (own.get("reject_message") is None,)
        try:
            settings = self._own.get(key)
        except TypeError:
            key = repr(key)
            settings = self._own.get(key)
        if settings is None:
            problems = Problems()
            message = None if own.get("reject_message") is None else ""
            settings = self._own[key] = _Settings(_read(own, problems), self._common, message, problems)
        prefix = "%s: " % label if label else ""
        self._add(
            own.get("domain"), settings, own, label, prefix + "domain", [prefix + said for said in settings.problems]
        )

    def _add(
        self, value: t.Any, settings: _Settings, own: Params, label: str, option: str, problems: t.List[str]
    ) -> None:
        prefix = "%s: " % label if label else ""
        domain, names, message = "", (None, None), None
        try:
            if own.get("reject_message") is not None:
                message = reject_message(own["reject_message"])
        except PolicyError as error:
            problems += [prefix + problem for problem in error.problems]
        try:
            if own.get("name") is not None:
                names = settings.names(rule_name(own["name"]))
        except PolicyError as error:
            problems += [prefix + problem for problem in error.problems]
        try:
            domain = domain_name(value, option, True)
        except PolicyError as error:
            problems += error.problems
        whole = domain[:1] not in (".", EVERY_DOMAIN)
        if domain == EVERY_DOMAIN and not self._every:
            problems.append(
                '%s must be a domain name like "example.com"; got "*": this is every domain; say every_domain: true when '
                "that is meant" % option
            )
        if settings.compact and not whole:
            problems.append("%sform: compact is for whole domains; %s needs a rule of its own" % (prefix, domain))
        if problems:
            for problem in problems:
                self._problems.add(problem)
            return
        if value[:1] in ("@", " ", "\t"):
            self._notices += notice(value, domain, option)
        for template, name in zip(settings.templates, names):
            entry = dict(template, domain=domain, name=name, label=label)
            if message is not None and entry["direction"] == "inbound":
                entry["reject_message"] = message
            if not whole:
                entry["form"] = None
            self._entries.append(entry)

    def refuse(self, problem: str) -> None:
        """Note a problem with the list as a whole."""
        self._problems.add(problem)

    def done(self) -> t.Tuple[t.List[Entry], t.List[str]]:
        """The entries and notices. Raises :class:`PolicyError` that names all bad entries."""
        self._problems.raise_any()
        return self._entries, few(self._notices, "%d more entries that begin with @")


class _Settings:
    """What entries with the same settings have in common: one template for each direction, or problems."""

    def __init__(
        self, own: Params, common: Params, message: t.Optional[str], problems: t.Optional[Problems] = None
    ) -> None:
        """``own`` and ``common`` are in canonical form; ``message`` is the own one, None for none."""
        self._problems = problems or Problems()
        self._own = dict(own, reject_message=message)
        self._directions = own.get("direction") or common.get("direction") or ("inbound",)
        self._given = {
            name: common.get(name) if self._own.get(name) is None else self._own[name]
            for name in (*_READERS, "reject_message")
        }
        self._check()
        self.compact = own.get("form") == "compact" and bool(common)
        self.templates = [self._template(direction) for direction in self._directions]
        self.problems = self._problems.found()

    def names(self, name: str) -> t.Tuple[t.Optional[str], ...]:
        """The names of the rules, one for each template. Raises :class:`PolicyError`."""
        if len(self._directions) == 1:
            return (name,)
        return (name, outbound_name(name))

    def _check(self) -> None:
        """Settings that mean nothing here: a problem when the entry says them, else they are meant for others."""
        level, directions = self._given["level"], self._directions
        known = "%s belongs to direction %s and means nothing with direction %s; leave it out, or say direction: both"
        for owner, names in _DIRECTED.items():
            for name in names:
                if owner not in directions:
                    self._drop(name, known % (name, owner, directions[0]))
        if "outbound" not in directions and self._own["level"] not in (None, "may", "encrypt"):
            if level == "none":
                advice = "say level: may for mail that is taken in clear as well"
            else:
                advice = "say level: encrypt, or direction: both or outbound"
            self._problems.add(
                "level: %s cannot be asked of mail that comes in, where the sending server decides how it looks; %s"
                % (level, advice)
            )
        if level in ("none", "may"):
            weak = "means nothing for an exception, which has level: %s" % level
            self._drop("reject_message", "reject_message " + weak)
            self._drop("form", "form: compact " + weak, ("compact",))
        elif level is not None and "outbound" not in directions:
            for name in ("reason", "until"):
                self._drop(
                    name, "%s belongs to an exception, and level: %s is none for mail that comes in" % (name, level)
                )
        if level == "none":
            self._drop("versions", "versions mean nothing without TLS (level: none)")
        for name, only in _PROOFS.items():
            if level not in (None, only):
                said = proof_problem(level, **{"match": None, "fingerprints": None, name: ("",)})
                self._drop(name, said or "")
        wanted = level == "fingerprint" and "outbound" in directions and self._given["state"] != "absent"
        if wanted and self._given["fingerprints"] == ():
            self._problems.add(proof_problem(level, None, ()) or "")

    def _drop(self, name: str, problem: str, values: t.Optional[t.Tuple[str, ...]] = None) -> None:
        given = self._given[name]
        if given is None or (given == "" and name in ("reason", "until")) or (values is not None and given not in values):
            return
        # Who says that a rule names none says nothing that could be wrong.
        if self._own.get(name) not in (None, ()):
            self._problems.add(problem)
        self._given[name] = None

    def _template(self, direction: str) -> Entry:
        given = self._given
        entry: Entry = {"direction": direction, "enabled": given["enabled"], "state": given["state"] or "present"}
        for owner, names in _DIRECTED.items():
            entry.update({name: given[name] if owner == direction else None for name in names})
        level = entry["said"] = given["level"]
        if direction == "inbound" and level is not None:
            level = "may" if level in ("none", "may") else "encrypt"
        entry["level"] = level
        exceptional = direction == "outbound" or level != "encrypt"
        # What takes a note away holds for every rule that has one.
        entry.update({name: given[name] if exceptional or not given[name] else None for name in ("reason", "until")})
        entry["form"] = given["form"]
        entry["exact"] = None
        return entry


# --- single settings ----------------------------------------------------------------------------


def _read(params: Params, problems: Problems) -> t.Dict[str, t.Any]:
    """Those settings in canonical form that many entries may share; None for what is not given or bad."""
    values: t.Dict[str, t.Any] = dict.fromkeys(_READERS)
    for name, reader in _READERS.items():
        if params.get(name) is not None:
            with problems.collecting():
                values[name] = reader(params[name], name)
    return values


def _directions(value: t.Any, option: str) -> t.Tuple[str, ...]:
    if value == "both":
        return tuple(DIRECTIONS)
    return (_choice(value, option, (*DIRECTIONS, "both")),)


def _choice(value: t.Any, option: str, known: t.Sequence[str]) -> str:
    if isinstance(value, str) and value.strip(" \t").lower() in known:
        return value.strip(" \t").lower()
    got = shown(value) if isinstance(value, str) else arrived(value)
    raise PolicyError("%s must be one of %s; got %s" % (option, ", ".join(known), got))


def _level(value: t.Any, option: str) -> str:
    return tls_level(value, option, LEVELS)


def named_versions(values: t.Any, option: str) -> t.Tuple[str, ...]:
    """Protocol versions; none for those of the rules before this one and of the server."""
    return () if isinstance(values, (list, tuple)) and not values else tls_versions(values, option)


def named_hosts(values: t.Any, option: str) -> t.Tuple[str, ...]:
    """Names for certificates; none for the domain and its subdomains."""
    if isinstance(values, (list, tuple)) and not values:
        return ()
    names, _notices = domain_names(values, option)
    if not names:
        raise PolicyError("%s is empty; name what certificates may be for, or give [] to mean the domain" % option)
    return names


def _reason(value: t.Any, option: str) -> str:
    """Why a rule is weaker than others: a text that a policy script can hold as it is, umlauts included; "" for none."""
    if not isinstance(value, str):
        raise PolicyError("%s must be a text; got %s" % (option, arrived(value)))
    text = value.strip(" \t")
    if not text:
        return ""
    bad = sorted({character for character in text if not character.isprintable() or character in '"%\\'})
    if bad or len(text) > REASON_LENGTH:
        got = "it holds %s" % ", ".join(map(shown, bad[:5])) if bad else "it has %d" % len(text)
        raise PolicyError(
            "%s must be 1 to %d printable characters on one line, without double quotes, percent signs and backslashes; %s"
            % (option, REASON_LENGTH, got)
        )
    return text


def _until(value: t.Any, option: str) -> str:
    """The last day of an exception as ``YYYY-MM-DD``; "" for none."""
    if isinstance(value, str) and not value.strip():
        return ""
    text = str(value).strip() if isinstance(value, (str, date)) else ""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            return date(*map(int, text.split("-"))).isoformat()
        except ValueError:
            pass
    got = shown(value) if isinstance(value, str) else arrived(value)
    raise PolicyError('%s must be the last day of the exception like "2026-12-31"; got %s' % (option, got))


def _override(values: t.Any, option: str) -> None:
    """Which standards an exception overrules; nothing here can be asked to, so that nobody believes it does."""
    words = [str(value).strip().lower() for value in listed(values, option, "[dane]")]
    unknown = [word for word in words if word not in _OVERRIDDEN]
    if unknown:
        raise PolicyError("%s knows %s; got %s" % (option, ", ".join(_OVERRIDDEN), ", ".join(map(shown, unknown))))
    if words:
        raise PolicyError(
            "%s: [%s] is refused: this server does neither DANE nor MTA-STS, so there is nothing to override; leave it out"
            % (option, ", ".join(words))
        )


def _form(value: t.Any, option: str) -> str:
    return _choice(value, option, FORMS)


def _state(value: t.Any, option: str) -> str:
    return _choice(value, option, STATES)


def _enabled(value: t.Any, option: str) -> bool:
    """A boolean, also as Ansible's templates leave it; entries of long lists have no argument spec."""
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value)
    if not isinstance(value, bool):
        raise PolicyError("%s must be true or false; got %s" % (option, shown(value)))
    return value


_READERS: t.Dict[str, t.Callable[[t.Any, str], t.Any]] = {
    "direction": _directions,
    "level": _level,
    "versions": named_versions,
    "match": named_hosts,
    "fingerprints": fingerprints,
    "reason": _reason,
    "until": _until,
    "override": _override,
    "form": _form,
    "enabled": _enabled,
    "state": _state,
}
_SHARED = tuple(_READERS)
_KNOWN = frozenset(_READERS) | {"domain", "name", "reject_message"}


# --- entries that mean the same -----------------------------------------------------------------


def merged(entries: t.Sequence[Entry], option: str, problems: Problems) -> t.List[Entry]:
    """The entries with equal ones merged; contradictions are noted with both positions and what differs.

    A server may have two rules for one domain, and whoever reads them gets both: entries with different names. Each of
    these means the one rule that has its name (``exact``: the names of all of them, in lower case).
    """
    groups: t.Dict[t.Tuple[str, str], t.List[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry["domain"], entry["direction"]), []).append(entry)
    found: t.List[Entry] = []
    for group in groups.values():
        found += group if len(group) == 1 else _distinct(group, option, problems)
    return found


def _distinct(group: t.Sequence[Entry], option: str, problems: Problems) -> t.List[Entry]:
    names = {(entry["name"] or "").lower() for entry in group}
    exact = frozenset(names) if len(names) > 1 and "" not in names else None
    first: t.Dict[t.Any, Entry] = {}
    for entry in group:
        key = (entry["name"] or "").lower() if exact else ""
        known = first.setdefault(key, entry)
        entry["exact"] = exact
        differing = _differences(known, entry)
        if differing:
            problems.add(
                "%s %s and %s both mean %s and contradict each other: %s"
                % (option, _position(known, option), _position(entry, option), entry["domain"], ", ".join(differing))
            )
        elif known["said"] is None and entry["said"] is not None:
            first[key] = entry
    return list(first.values())


def _position(entry: Entry, option: str) -> str:
    """The position in a label like ``domains #7`` or ``source /list line 7``."""
    return entry["label"].rpartition(" ")[2] if entry["label"].startswith(option + " #") else entry["label"]


def _differences(one: Entry, other: Entry) -> t.List[str]:
    names = [name for name in one if name not in _NOT_COMPARED and one[name] != other[name]]
    if (one["name"] or "").lower() != (other["name"] or "").lower():
        names.append("name")
    inbound = one["direction"] == "inbound"
    if one["said"] is None or other["said"] is None:
        # Forced is what mail that comes in is when nobody says anything.
        differs = (
            (one["level"] or "encrypt") != (other["level"] or "encrypt") if inbound else one["said"] != other["said"]
        )
    else:
        differs = one["said"] != other["said"]
    return sorted(names + ["level"] if differs else names)


_NOT_COMPARED = ("label", "name", "exact", "level", "said")
