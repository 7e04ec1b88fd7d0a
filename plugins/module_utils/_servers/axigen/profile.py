# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was learned of one AXIGEN, as a document for the inventory, and laid over the profile ``axigen``.

The document is the option ``dialect_profile``. A key that is absent or null is not known; only ``format`` must be
there. Without a key the profile knows what public sources show, and no more.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ..._policy.errors import PolicyError, Problems, arrived, shown
from ..._policy.mechanism import mechanisms
from .dialect import AXIGEN, VERSIONS, Dialect

#: The one shape of the document so far.
FORMAT = 1

#: What the relay requirement does (see :class:`~.dialect.RelayNames`).
RELAY_SSL = ("required", "implicit")

#: Key of the document -> field of the dialect, for the names that stand in a script as they are.
NAMES = {
    "plain_auth_variable": "plain_auth_var",
    "tls_auth_variable": "tls_auth_var",
    "recipient_domain_variable": "rcpt_domain_var",
    "equals_test": "equals_test",
    "encryption_test": "encryption_test",
}
KEYS = (
    "format",
    "server_version",
    *NAMES,
    "no_authentication",
    "mechanisms",
    "script_versions",
    "encrypted_after_starttls",
    "relay_ssl",
    "relay_ssl_variable",
)

#: Variables whose meaning is documented. A name that was learned for something else cannot be one of them.
DOCUMENTED = (
    "isSSLConnection",
    "smtpAction",
    "smtpExplanation",
    "allowStartTLS",
    "allowedSSLVersions",
    "remoteSmtpHost",
    "remoteSmtpPort",
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
# A string of the script ends at a double quote, and the server replaces %names% inside of it.
_VALUE = re.compile(r'[^"%\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,200}\Z')
_WORD = re.compile(r'[^"%()\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}\Z')
_VERSION = re.compile(r"(\d+)\.(\d+)")


def is_name(text: t.Any) -> bool:
    """Whether this can be the name of a variable or a test in a policy script."""
    return isinstance(text, str) and bool(_NAME.match(text))


def is_value(text: t.Any) -> bool:
    """Whether this can be a value in a policy script that is written as it is."""
    return isinstance(text, str) and bool(_VALUE.match(text))


def is_word(text: t.Any) -> bool:
    """Whether this can be one member of a set in a policy script."""
    return isinstance(text, str) and bool(_WORD.match(text))


def checked(document: t.Any, option: str = "dialect_profile") -> t.Dict[str, t.Any]:
    """The document in canonical form: all of :data:`KEYS`, None for what is not known.

    Raises ``PolicyError`` with everything that is wrong in it.
    """
    if not isinstance(document, t.Mapping):
        raise PolicyError(
            "%s must be a dictionary, as the playbook learn.yml writes it; got %s" % (option, arrived(document))
        )
    problems = Problems()
    values: t.Dict[str, t.Any] = {}
    unknown = sorted(str(key) for key in document if key not in KEYS)
    if unknown:
        problems.add("%s: there is no key %s; keys are %s" % (option, ", ".join(map(shown, unknown)), ", ".join(KEYS)))
    for key in KEYS:
        with problems.collecting("%s.%s " % (option, key)):
            value = document.get(key)
            values[key] = _CHECKS.get(key, _name)(value) if value is not None or key == "format" else None
    with problems.collecting("%s: " % option):
        _check_together(values)
    problems.raise_any()
    return values


def _check_together(values: t.Mapping[str, t.Any]) -> None:
    taken = {name.lower(): "whose meaning is documented" for name in DOCUMENTED}
    for key in ("plain_auth_variable", "tls_auth_variable", "recipient_domain_variable", "relay_ssl_variable"):
        name = values.get(key)
        if name is None:
            continue
        if name.lower() in taken:
            raise PolicyError("%s cannot be %s, %s" % (key, name, taken[name.lower()]))
        taken[name.lower()] = "which is %s already" % key
    for mechanism, word in (values.get("mechanisms") or {}).items():
        if word.lower() == (values.get("no_authentication") or "").strip().lower():
            raise PolicyError("mechanisms has the word %s for %s, which is no_authentication" % (shown(word), mechanism))


def _format(value: t.Any) -> int:
    if value is None:
        raise PolicyError("is missing; it must be %d" % FORMAT)
    if isinstance(value, bool) or value not in (FORMAT, str(FORMAT)):
        raise PolicyError("must be %d, the only one that this release knows; got %s" % (FORMAT, shown(value)))
    return FORMAT


def _name(value: t.Any) -> str:
    if not is_name(value):
        got = shown(value) if isinstance(value, str) else arrived(value)
        raise PolicyError("must be a name of the policy script (a letter, then letters, digits, _); got %s" % got)
    return value


def _server_version(value: t.Any) -> str:
    if not isinstance(value, str):
        raise PolicyError("must be a text like 10.6.30; got %s" % arrived(value))
    if not _VALUE.match(value):
        raise PolicyError("must be a version like 10.6.30; got %s" % shown(value))
    return value


def _no_authentication(value: t.Any) -> str:
    if not isinstance(value, str):
        raise PolicyError("must be the text that stands in the policy script; got %s: quote it" % arrived(value))
    if not _VALUE.match(value):
        raise PolicyError("must not hold a double quote, a percent sign or a control character; got %s" % shown(value))
    return value


def _mechanisms(value: t.Any) -> t.Dict[str, str]:
    def canonical(name: t.Any) -> str:
        return mechanisms([name], "key")[0]

    return _words(value, canonical, "PLAIN: plain")


def _script_versions(value: t.Any) -> t.Dict[str, str]:
    def canonical(name: t.Any) -> str:
        if name not in VERSIONS:
            raise PolicyError("has no version %s; there are %s" % (shown(name), ", ".join(VERSIONS)))
        return name

    found = _words(value, canonical, "TLSv1.2: tls12")
    return {version: found[version] for version in VERSIONS if version in found}


def _words(value: t.Any, canonical: t.Callable[[t.Any], str], example: str) -> t.Dict[str, str]:
    """Canonical name -> word of the script; no word stands for two names."""
    if not isinstance(value, t.Mapping):
        raise PolicyError("must be a dictionary like {%s}; got %s" % (example, arrived(value)))
    problems = Problems()
    found: t.Dict[str, str] = {}
    owners: t.Dict[str, str] = {}
    for key, word in value.items():
        with problems.collecting():
            name = canonical(key)
            if not is_word(word):
                got = shown(word) if isinstance(word, str) else arrived(word)
                raise PolicyError("has %s for %s, and no word of a policy script can be that" % (got, name))
            other = owners.setdefault(word.lower(), name)
            if other != name:
                raise PolicyError("has the word %s for %s and for %s" % (shown(word), other, name))
            found[name] = word
    problems.raise_any()
    return found


def _after_starttls(value: t.Any) -> bool:
    if not isinstance(value, bool):
        got = shown(value) if isinstance(value, str) else arrived(value)
        raise PolicyError("must be true, false or null, without quotes; got %s" % got)
    return value


def _relay_ssl(value: t.Any) -> str:
    if value not in RELAY_SSL:
        got = shown(value) if isinstance(value, str) else arrived(value)
        raise PolicyError("must be %s or null; got %s" % (" or ".join(RELAY_SSL), got))
    return value


_CHECKS: t.Dict[str, t.Callable[[t.Any], t.Any]] = {
    "format": _format,
    "server_version": _server_version,
    "no_authentication": _no_authentication,
    "mechanisms": _mechanisms,
    "script_versions": _script_versions,
    "encrypted_after_starttls": _after_starttls,
    "relay_ssl": _relay_ssl,
}


def with_document(dialect: Dialect, document: t.Optional[t.Mapping[str, t.Any]]) -> Dialect:
    """The profile with what was learned laid over it, which means nothing to another one than ``axigen``.

    Raises ``PolicyError`` for a document that is none.
    """
    if not document:
        return dialect
    learned = checked(document)
    return laid_over(dialect, learned) if dialect is AXIGEN else dialect


def laid_over(base: Dialect, learned: t.Mapping[str, t.Any]) -> Dialect:
    """A dialect with what was learned; ``learned`` comes from :func:`checked`.

    Words for mechanisms are those that were learned and no others: which words a server has is in no public source.
    The documented words for protocol versions stay, unless the server uses one of them in another way.
    """
    fields = {field: learned[key] for key, field in NAMES.items() if learned[key] is not None}
    words = dict(base.version_names)
    own: t.Dict[str, str] = learned["script_versions"] or {}
    known = {word: version for version, word in words.items()}
    if any(
        known.get(word.lower(), version) != version or words.get(version, word.lower()) != word.lower()
        for version, word in own.items()
    ):
        words = {}
    words.update(own)
    relay: t.Dict[str, t.Any] = {"ssl": learned["relay_ssl"]}
    if learned["relay_ssl_variable"] is not None:
        relay["ssl_var"] = learned["relay_ssl_variable"]
    return replace(
        base,
        auth_none=learned["no_authentication"],
        mechanism_names=tuple((learned["mechanisms"] or {}).items()),
        version_names=tuple((version, words[version]) for version in VERSIONS if version in words),
        ssl_after_starttls=learned["encrypted_after_starttls"],
        relay=replace(base.relay, **relay),
        **fields,
    )


def notes(document: t.Mapping[str, t.Any], dialect: Dialect, version: str) -> t.Iterator[str]:
    """What a person should know who uses this document on a server that reports ``version``."""
    if dialect.verified:
        yield (
            "dialect_profile is not used: the server's dialect profile is %s, and all of its names are known"
            % dialect.name
        )
        return
    learned, found = (_VERSION.match(text or "") for text in (document.get("server_version"), version))
    if learned and found and learned.groups() != found.groups():
        yield (
            "dialect_profile was learned from version %s and the server's is %s: names may have changed. Run the "
            "playbook securemail.smtp.learn again, or compare and set server_version in the profile."
            % (document["server_version"], version)
        )
