# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules in a policy script as the vendor's web interface writes them, for a server with any names.

What it knows of the script is its own: none of the parsers that it is there to try. Names are canonical here (those of
the bundled server); :class:`Names` says what they are in the script, with the tables of the server's ``[emulation]``.

``python webadmin.py ADMIN_PORT`` reads JSON from standard input and changes a running server's script::

    {"password": "…", "names": {}, "values": {}, "remove": ["rule"],
     "add": [{"kind": "auth", "name": "rule", "connection": "plain", "mechanisms": []},
             {"kind": "forced", "name": "rule", "domain": "d.example", "explanation": "text"},
             {"kind": "relay", "name": "rule", "versions": ["TLSv1.2"]}]}
"""

from __future__ import annotations

import json
import re
import sys
import typing as t
from dataclasses import dataclass, field

#: Words of sets. The script's spelling of versions has no dot and no underscore.
_VERSION_WORDS = {"TLSv1": "tls10", "TLSv1.1": "tls11", "TLSv1.2": "tls12", "TLSv1.3": "tls13"}


class NotThere(ValueError):
    """The script has no such event or rule."""


@dataclass(frozen=True)
class Names:
    """What canonical names of variables and tests, and canonical words of sets, are in the script."""

    names: t.Mapping[str, str] = field(default_factory=dict)
    values: t.Mapping[str, str] = field(default_factory=dict)

    def name(self, canonical: str) -> str:
        """The name of a variable or a test."""
        return {key.lower(): name for key, name in self.names.items()}.get(canonical.lower(), canonical)

    def words(self, canonical: t.Sequence[str]) -> str:
        """A set: a space behind every member; no member is one word without."""
        known = {key.lower(): word for key, word in self.values.items()}
        if not canonical:
            return known.get("none", "none")
        return "".join(known.get(word.lower(), word) + " " for word in canonical)


@dataclass(frozen=True)
class Rule:
    """One rule of the page "Advanced Settings". ``conditions`` are (variable, value), all of which must hold; values of
    ``actions`` are a text, or a tuple for a set. A disabled rule has a method that nothing calls."""

    name: str
    event: str
    actions: tuple[tuple[str, str | tuple[str, ...]], ...]
    conditions: tuple[tuple[str, str], ...] = ()
    enabled: bool = True

    @property
    def method(self) -> str:
        """The rule's name as the script has it."""
        return self.name.replace(" ", "_")


def auth(name: str, connection: str, mechanisms: t.Sequence[str], enabled: bool = True) -> Rule:
    """What may be used to log in on ``plain`` or ``tls`` connections; no mechanism: nothing."""
    variable = {"plain": "plainConnAuthTypes", "tls": "secureConnAuthTypes"}[connection]
    return Rule(name, "onEhlo", ((variable, tuple(word.lower() for word in mechanisms)),), enabled=enabled)


def forced(name: str, domain: str, explanation: str, enabled: bool = True) -> Rule:
    """No mail for one domain on connections that are not encrypted."""
    conditions = (("isSSLConnection", "no"), ("rcptDomain", domain))
    return Rule(name, "onRcptTo", (("smtpAction", "reject"), ("smtpExplanation", explanation)), conditions, enabled)


def relay(name: str, versions: t.Sequence[str], enabled: bool = True) -> Rule:
    """SSL with these versions for mail that goes out. Its condition "relaying mail" is the event."""
    words = tuple(_VERSION_WORDS[version] for version in versions)
    return Rule(name, "onRelay", (("sslEnabled", "yes"), ("allowedSSLVersions", words)), enabled=enabled)


#: Kinds of rules by their name in JSON; the other keys are the function's parameters.
KINDS = {"auth": auth, "forced": forced, "relay": relay}


# --- the text -------------------------------------------------------------------------------------


def written(rule: Rule, names: Names) -> str:
    """The rule's method."""
    sets = [
        f'set ({names.name(variable)}, "{value if isinstance(value, str) else names.words(value)}");'
        for variable, value in rule.actions
    ]
    if not rule.conditions:
        body = "".join(f"\t{line}\n" for line in sets)
    else:
        tests = ",\n".join(
            f'\t\t\t{names.name("isCase")} ({names.name(variable)}, "{value}")' for variable, value in rule.conditions
        )
        body = f"\tif (\n\t\tallOf (\n{tests}\n\t\t)\n\t) {{\n" + "".join(f"\t\t{line}\n" for line in sets) + "\t}\n"
    return f"method {rule.method} {{\n{body}}}\n"


def added(script: str, rules: t.Iterable[Rule], names: Names = Names()) -> str:
    """The script with these rules behind all others: a call as the last one of the event, a method at the end.

    Raises :class:`NotThere` for an event that the script does not have.
    """
    for rule in rules:
        if rule.enabled:
            place = _end_of_event(script, rule.event)
            script = f"{script[:place]}\tcall ({rule.method});\n{script[place:]}"
        gap = "" if script.endswith("\n") else "\n"
        script = f"{script}{gap}\n{written(rule, names)}"
    return script


def removed(script: str, rules: t.Iterable[str]) -> str:
    """The script without the rules of these names: what :func:`added` has put there, and nothing else.

    Raises :class:`NotThere` for a rule that the script does not have, or that does not look like one of WebAdmin's.
    """
    for rule in rules:
        name = re.escape(rule.replace(" ", "_"))
        script = re.sub(rf"(?m)^\tcall \({name}\);\n", "", script)
        # The method ends at the first brace in the first column; the empty line before it came with it.
        script, count = re.subn(rf"(?ms)^\nmethod {name} \{{\n.*?^\}}\n", "", script)
        if not count:
            raise NotThere(f"the script has no rule {rule} that WebAdmin wrote")
    return script


def _end_of_event(script: str, event: str) -> int:
    """Where a new last line of the event goes: before its closing brace, which stands in the first column."""
    found = re.search(rf"(?im)^event[ \t]+{event}\s*\{{", script)
    end = re.compile(r"^\}", re.MULTILINE).search(script, found.end()) if found else None
    if end is None:
        raise NotThere(f"the script has no event {event}")
    return end.start()


# --- a running server -----------------------------------------------------------------------------


def change(port: int, password: str, edit: t.Callable[[str], str]) -> None:
    """Replace the policy script of the server with this admin port on loopback by what ``edit`` makes of it.

    It is active and saved then, as after a click on "Save". Raises the collection's ``ServerError``.
    """
    from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession

    session = AdminSession("127.0.0.1", port)
    try:
        session.login("admin", password)
        session.enter("CONFIG", "SERVER")
        script = session.command("SHOW", "SmtpFilters").text
        session.upload("UPDATE", "SmtpFilters", text=edit(script))
        session.leave("COMMIT")
        session.command("SAVE", "CONFIG")
    finally:
        session.close()


def main(port: int, wanted: dict[str, t.Any]) -> None:
    """Do what the JSON says: remove rules first, then add others."""
    rules = [KINDS[rule.pop("kind")](**rule) for rule in map(dict, wanted.get("add", []))]
    names = Names(wanted.get("names", {}), wanted.get("values", {}))
    change(port, wanted["password"], lambda script: added(removed(script, wanted.get("remove", [])), rules, names))


if __name__ == "__main__":
    main(int(sys.argv[1]), json.load(sys.stdin))
