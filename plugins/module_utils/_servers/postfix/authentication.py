# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may log in: rules for connections in clear and over TLS, and what smtpd(8) is told of SASL (SASL_README).

Postfix has one list of mechanisms for all connections, and two switches about those in clear: none at all
(``smtpd_tls_auth_only``), or none that shows the password (``smtpd_sasl_security_options``). What lies between cannot be said.
"""

from __future__ import annotations

import glob
import os
import re
import socket
import typing as t

from ..._policy.errors import PolicyError
from ..._policy.mechanism import in_order
from ..._policy.policy import Policy
from ..._policy.rule import CONNECTIONS, AuthRule
from ..base import NotSupported
from . import tls_values
from .configuration import SASL_FOLDER, Draft, _State
from .master_cf import Service

#: Mechanisms that show the password to who listens (RFC 4616, and LOGIN, which was never a standard).
PLAINTEXT = ("PLAIN", "LOGIN")

#: The choice of mechanisms in an application's file of Cyrus SASL.
_MECH_LIST = re.compile(r"^[ \t]*mech_list[ \t]*:[ \t]*(.*)$", re.MULTILINE)

#: Mechanism -> the plugin of Cyrus SASL that has it.
_PLUGINS = {"SCRAM-": "scram", "PLAIN": "plain", "LOGIN": "login", "CRAM-MD5": "crammd5", "DIGEST-MD5": "digestmd5", "GSSAPI": "gssapiv2", "NTLM": "ntlm"}

_OPERATION = "set who may log in"

#: Seconds that a SASL server has for telling its mechanisms.
_PATIENCE = 5.0


def read(conf: _State, notes: t.List[str]) -> t.List[AuthRule]:
    """What connections may use where logins are on at all; no rules where nobody ever said anything of logins.

    What one listener allows is allowed: the rules are what all of them together let through, so that one that is open is seen.
    Listeners on which logins are off are said by :mod:`.submission`.
    """
    kinds: t.Dict[str, t.Dict[t.Tuple[str, ...], t.List[str]]] = {connection: {} for connection in CONNECTIONS}
    servers: _Servers = {}
    idle: t.Tuple[str, ...] = ()
    for service in conf.smtpd:
        if not enabled(conf, service):
            continue
        for connection, names in _allowed(conf, service, notes, servers).items():
            if connection == "tls" and not speaks_tls(conf, service):
                idle = in_order((*idle, *names))
            else:
                kinds[connection].setdefault(names, []).append(service.name)
    if not any(kinds.values()):
        off = yes(conf, "smtpd_sasl_auth_enable") or conf.main.get("smtpd_sasl_auth_enable") is None
        return [] if off else [AuthRule("auth_plain", "plain", ()), AuthRule("auth_tls", "tls", ())]
    found = {}
    for connection, groups in kinds.items():
        found[connection] = in_order(name for names in groups for name in names) if groups else None
        for names, services in groups.items():
            if names != found[connection]:
                notes.append(
                    "logins at %s differ from those elsewhere: %s connections may use %s"
                    % (", ".join(services), "clear" if connection == "plain" else "TLS", _shown(names))
                )
    # Where nobody can come in clear, or nobody over TLS, nothing speaks against a rule: it is what they could use.
    secure = found["tls"] if found["tls"] is not None else idle
    return [AuthRule("auth_plain", "plain", found["plain"] or ()), AuthRule("auth_tls", "tls", secure)]


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Have every listener on which logins are on allow what the rules say. Raises ``PolicyError``, :class:`NotSupported`."""
    rules = {rule.connection: rule for rule in desired.rules if isinstance(rule, AuthRule)}
    old = {rule.connection: rule for rule in before.rules if isinstance(rule, AuthRule)}
    if rules == old:
        if rules and before.listeners != desired.listeners:
            _extend(draft, rules)
        return
    if not rules or ("tls" in rules and not any(rule.mechanisms for rule in rules.values())):
        _switch_off(draft, said=bool(rules))
        return
    missing = [connection for connection in CONNECTIONS if connection not in rules]
    if missing:
        rules[missing[0]] = _assumed(draft, missing[0], rules)
    plain, secure = rules["plain"].mechanisms, rules["tls"].mechanisms
    params = _params(draft, plain, secure)
    exact = _choose(draft, secure)
    if "smtpd_sasl_mechanism_filter" not in draft.known:
        params.pop("smtpd_sasl_mechanism_filter", None)
        if not exact:
            raise NotSupported(
                _OPERATION,
                "Postfix %s cannot choose mechanisms (smtpd_sasl_mechanism_filter came with 3.6)" % draft.version,
                "Choose them in the SASL server: mech_list of Cyrus SASL, auth_mechanisms of Dovecot.",
            )
    draft.actions.append("allow logins: in clear %s, over TLS %s" % (_shown(plain), _shown(secure)))
    _set_all(draft, dict(params, smtpd_sasl_auth_enable="yes"), switch=not any(enabled(draft, one) for one in draft.smtpd))


def _extend(draft: Draft, rules: t.Mapping[str, AuthRule]) -> None:
    """A listener that came asks the SASL server of the others, and in clear allows no more than they. They stay as they are."""
    old = {service.id for service in draft.base.smtpd}
    model = next((service for service in draft.smtpd if service.id in old and logins_on(draft, service)), None)
    for service in draft.smtpd:
        if service.id in old:
            continue
        if model is not None:
            for name in ("smtpd_sasl_type", "smtpd_sasl_path", "smtpd_sasl_mechanism_filter"):
                if draft.own(name, model) is not None and draft.value(name, service) != draft.value(name, model):
                    draft.set(name, draft.own(name, model) or "", service)
        # If it is to have logins: submission's rules about its port are written later.
        said: t.Set[str] = set(rules["plain"].mechanisms) if "plain" in rules else set()
        if not said.issuperset(_allowed(draft, service, [], {}).get("plain", ())):
            draft.set("smtpd_tls_auth_only", "yes", service)


def yes(conf: _State, name: str, service: t.Optional[Service] = None) -> bool:
    """Whether a switch is on."""
    return conf.value(name, service).lower() == "yes"


def logins_on(conf: _State, service: Service) -> bool:
    """Whether anybody can log in at a listener."""
    return enabled(conf, service) and (speaks_tls(conf, service) or not yes(conf, "smtpd_tls_auth_only", service))


def enabled(conf: _State, service: Service) -> bool:
    """Whether a listener follows the rules about logins, so that somebody who comes as they say can log in."""
    return yes(conf, "smtpd_sasl_auth_enable", service) and not _hides(conf, service, "auth")


def speaks_tls(conf: _State, service: Service) -> bool:
    """Whether a listener has TLS, of whatever kind."""
    from .listeners import level

    if yes(conf, "smtpd_tls_wrappermode", service):
        return True
    return level(conf, service) in tls_values.OFFERED and not _hides(conf, service, "starttls")


def _hides(conf: _State, service: Service, keyword: str) -> bool:
    """Whether a listener is told not to offer a keyword: it refuses the command then."""
    return keyword in tls_values.words(conf.value("smtpd_discard_ehlo_keywords", service))


def _set_all(draft: Draft, params: t.Mapping[str, str], switch: bool) -> None:
    """In main.cf, and away with what listeners say against it; ``switch``: logins are on for those that were without, too.

    Where logins are off on a listener stays so: that is said by a rule of its own.
    """
    for name, value in params.items():
        if name == "smtpd_sasl_auth_enable" and not switch:
            continue
        if not _same(draft.value(name), value):
            draft.set(name, value)
    for service in draft.smtpd:
        for name, value in params.items():
            if name == "smtpd_sasl_auth_enable":
                continue
            if draft.own(name, service) is not None and not _same(draft.value(name, service), value):
                draft.unset(name, service)


def _switch_off(draft: Draft, said: bool) -> None:
    """Nobody logs in anywhere; ``said``: by rules that allow nothing, which are read back from a "no" in main.cf."""
    draft.actions.append("allow no logins")
    if said:
        draft.set("smtpd_sasl_auth_enable", "no")
    else:
        draft.unset("smtpd_sasl_auth_enable")
    for service in draft.smtpd:
        if yes(draft, "smtpd_sasl_auth_enable", service):
            draft.unset("smtpd_sasl_auth_enable", service)


def _assumed(draft: Draft, connection: str, rules: t.Mapping[str, AuthRule]) -> AuthRule:
    """What Postfix does of the kind of connection that no rule is about."""
    if connection == "plain":
        only = yes(draft, "smtpd_tls_auth_only")
        return AuthRule("auth_plain", "plain", () if only else rules["tls"].mechanisms)
    raise PolicyError(
        "authentication rules: there is one for connections in clear (%s) and none for those over TLS; Postfix allows over TLS at "
        "least what it allows in clear, so say what" % rules["plain"].name
    )


def _params(draft: Draft, plain: t.Sequence[str], secure: t.Sequence[str]) -> t.Dict[str, str]:
    """What says this. Raises :class:`NotSupported` with the nearest thing that can be said."""
    options = [word for word in re.split(r"[,\s]+", draft.value("smtpd_sasl_security_options").lower()) if word]
    strict = [word for word in options if word != "noplaintext"] or ["noanonymous"]
    if set(plain) == set(secure):
        only, in_clear = "no", strict
    elif not plain:
        only, in_clear = "yes", strict
    elif set(plain) == set(secure) - set(PLAINTEXT):
        only, in_clear = "no", strict + ["noplaintext"]
    else:
        raise NotSupported(
            _OPERATION,
            "Postfix has one list of mechanisms for all connections, and cannot allow %s in clear and %s over TLS"
            % (_shown(plain), _shown(secure)),
            "It can allow none in clear, the same as over TLS, or those that do not show the password (%s)."
            % _shown([name for name in secure if name not in PLAINTEXT]),
        )
    params = {
        "smtpd_tls_auth_only": only,
        "smtpd_sasl_security_options": ", ".join(in_clear),
        "smtpd_sasl_tls_security_options": ", ".join(strict),
    }
    if secure:
        params["smtpd_sasl_mechanism_filter"] = ", ".join(name.lower() for name in secure)
    # What means the same already keeps its spelling.
    found = {name: value for name, value in params.items() if not _same(draft.value(name), value) or _differs(draft, name, value)}
    follower = "smtpd_sasl_tls_security_options"
    if "smtpd_sasl_security_options" in found and "$" in (draft.main.get(follower) or "$"):
        # By default it follows the one for connections in clear.
        found[follower] = params[follower]
    return found


def _differs(draft: Draft, name: str, value: str) -> bool:
    return any(not _same(draft.value(name, service), value) for service in draft.smtpd)


def _same(one: str, other: str) -> bool:
    return tls_values.words(one) == tls_values.words(other)


def _filter(text: str) -> t.List[str]:
    return [word.lower() for word in re.split(r"[,\s]+", text) if word]


def _passes(words: t.Sequence[str], name: str) -> bool:
    """Whether a filter lets a mechanism through: the first word that is about it decides (match_list of Postfix)."""
    for word in words:
        pattern = word.lstrip("!")
        # What is in a table or a file is not looked up: it may be there.
        if pattern == name.lower() or pattern.startswith("static:") or (word[0] != "!" and (":" in word or word[0] == "/")):
            return word[0] != "!"
    return False


def _shown(mechanisms: t.Sequence[str]) -> str:
    return ", ".join(mechanisms) if mechanisms else "none"


# --- what there is ---------------------------------------------------------------------------------


#: What SASL servers have, by kind and path; None: it cannot be seen.
_Servers = t.Dict[t.Tuple[str, str], t.Optional[t.Tuple[str, ...]]]

#: Security options that take mechanisms away by properties that are not known here.
_OTHER_OPTIONS = ("noactive", "nodictionary", "forward_secrecy", "mutual_auth")


def _allowed(conf: _State, service: Service, notes: t.List[str], servers: _Servers) -> t.Dict[str, t.Tuple[str, ...]]:
    """The mechanisms that work at a listener, offered or not: over TLS (if it has that), and in clear where that is not refused."""
    from .listeners import level

    names = _working(conf, service, notes, servers)
    found = {"tls": _without(names, tls_values.words(conf.value("smtpd_sasl_tls_security_options", service)))}
    # An implicit or a required TLS leaves nobody in clear who could log in.
    if not yes(conf, "smtpd_tls_wrappermode", service) and level(conf, service) not in tls_values.REQUIRED:
        options = tls_values.words(conf.value("smtpd_sasl_security_options", service))
        found["plain"] = () if yes(conf, "smtpd_tls_auth_only", service) else _without(names, options)
    others = [
        word
        for word in _OTHER_OPTIONS
        if word in tls_values.words(conf.value("smtpd_sasl_tls_security_options", service))
    ]
    if others:
        notes.append("logins at %s: %s takes mechanisms away, which is not seen here" % (service.name, ", ".join(others)))
    if conf.value("smtpd_sasl_exceptions_networks", service):
        notes.append("logins at %s are not offered to the networks of smtpd_sasl_exceptions_networks" % service.name)
    return found


def _working(conf: _State, service: Service, notes: t.List[str], servers: _Servers) -> t.Tuple[str, ...]:
    """What the SASL server has. Postfix's filter hides mechanisms in the answer to EHLO, and a client that asks all the same has them."""
    key = (conf.value("smtpd_sasl_type", service), conf.value("smtpd_sasl_path", service))
    words = _filter(conf.value("smtpd_sasl_mechanism_filter", service))
    if key not in servers:
        try:
            servers[key] = available(conf, service)
        except PolicyError as error:
            notes += error.problems
            servers[key] = ()
        if servers[key] is None:
            notes.append(
                "logins: which mechanisms the SASL server (%s %s) has cannot be seen from here; those that are offered are taken for "
                "all of them" % key
            )
    names = servers[key]
    if not names:
        known = in_order(word.upper() for word in words if word[0] not in "!/" and ":" not in word)
        return known if known or names is not None else tuple(name for name in _plugins() if _passes(words, name))
    if words and not any(_passes(words, name) for name in names):
        notes.append(
            "logins at %s: the filter %s leaves none of the mechanisms that the SASL server has (%s): nobody is answered there at all"
            % (service.name, " ".join(words), _shown(names))
        )
        return ()
    hidden = [name for name in names if words and not _passes(words, name)]
    if hidden:
        notes.append(
            "logins at %s: %s is not offered and works all the same: smtpd_sasl_mechanism_filter hides it, and the SASL server has it"
            % (service.name, ", ".join(hidden))
        )
    return names


def _without(names: t.Sequence[str], options: t.Container[str]) -> t.Tuple[str, ...]:
    return in_order(name for name in names if not ("noplaintext" in options and name in PLAINTEXT))


def _choose(draft: Draft, secure: t.Sequence[str]) -> bool:
    """Have the SASL servers offer these mechanisms and no others: Postfix's filter hides others, and lets them through.

    One that a SASL server lacks, or none that it has, would end every process of a listener. Raises ``PolicyError``. Returns
    whether it is known that they have exactly these.
    """
    servers: t.Dict[t.Tuple[str, str], t.Optional[Service]] = {}
    # Those with logins; where there are none yet, all but those that said no.
    services = [service for service in draft.smtpd if enabled(draft, service)] or [
        service for service in draft.smtpd if (draft.own("smtpd_sasl_auth_enable", service) or "").lower() != "no"
    ]
    for service in services:
        servers.setdefault((draft.value("smtpd_sasl_type", service), draft.value("smtpd_sasl_path", service)), service)
    if not servers:
        servers[draft.value("smtpd_sasl_type"), draft.value("smtpd_sasl_path")] = None
    # Each of them, whatever came of the others.
    known = [_choose_at(draft, kind, service, secure) for (kind, unused), service in servers.items()]
    return all(known)


def _choose_at(draft: Draft, kind: str, service: t.Optional[Service], secure: t.Sequence[str]) -> bool:
    if kind not in draft.sasl_types:
        raise PolicyError(
            "logins: smtpd_sasl_type is %s, and this Postfix has %s" % (kind or "not set", ", ".join(draft.sasl_types) or "none")
        )
    there = available(draft, service)
    if kind == "cyrus" and _choose_in_cyrus(draft, service, secure, there):
        return True
    if there is None:
        draft.warnings.append(
            "logins: which mechanisms the SASL server (%s) has cannot be seen from here; one that it lacks is not offered, a listener "
            "with none at all says nothing, and others that it has work although they are not offered" % kind
        )
        return False
    where = "auth_mechanisms of Dovecot" if kind == "dovecot" else "mech_list of %s.conf" % (draft.value("smtpd_sasl_path", service) or "smtpd")
    missing = [name for name in secure if name not in there]
    more = [name for name in there if name not in secure]
    problems = []
    if missing:
        problems.append("logins: the SASL server has no mechanism %s; it has %s (%s)" % (", ".join(missing), _shown(there), where))
    if more:
        problems.append(
            "logins: the SASL server has %s beside the mechanisms that are asked for, and Postfix would hide it and let it through all the "
            "same; take it out of %s" % (", ".join(more), where)
        )
    if problems:
        raise PolicyError(*problems)
    return True


def _choose_in_cyrus(
    draft: Draft, service: t.Optional[Service], secure: t.Sequence[str], there: t.Optional[t.Sequence[str]]
) -> bool:
    """Write ``mech_list`` where the application's file is beside main.cf. Raises ``PolicyError`` for a plugin that is missing."""
    path = "%s/%s.conf" % (SASL_FOLDER, draft.value("smtpd_sasl_path", service) or "smtpd")
    text = draft.text(path)
    if text is None:
        return False
    if there is not None and set(there) == set(secure):
        return True
    missing = [name for name in secure if _is_missing(name)]
    if missing:
        raise PolicyError("logins: Cyrus SASL has no plugin for %s on this host" % ", ".join(missing))
    line = "mech_list: %s" % " ".join(secure)
    found = list(_MECH_LIST.finditer(text))
    if found:
        for match in reversed(found):
            text = text[: match.start()] + line + text[match.end() :]
    else:
        text += "%s%s\n" % ("" if text.endswith("\n") or not text else "\n", line)
    draft.put_text(path, text)
    return True


def _is_missing(name: str) -> bool:
    """Whether there are plugins, and none for this mechanism."""
    family = next((plugin for prefix, plugin in _PLUGINS.items() if name.startswith(prefix)), None)
    plugins = _plugin_files()
    return bool(plugins) and family is not None and not any("lib%s." % family in file for file in plugins)


def _plugin_files() -> t.List[str]:
    folders = os.environ.get("SASL_PATH", "").split(":") + glob.glob("/usr/lib/*/sasl2") + ["/usr/lib/sasl2", "/usr/lib64/sasl2"]
    return [file for folder in folders if folder for file in glob.glob(os.path.join(folder, "lib*.so*"))]


def _plugins() -> t.Tuple[str, ...]:
    """Mechanisms that Cyrus SASL has plugins for, which it offers where nobody chose; those with a password in clear if none are seen."""
    files = _plugin_files()
    found = [
        "SCRAM-SHA-256" if name == "SCRAM-" else name
        for name, family in _PLUGINS.items()
        if any("lib%s." % family in file for file in files)
    ]
    return in_order(found or PLAINTEXT)


def available(conf: _State, service: t.Optional[Service]) -> t.Optional[t.Tuple[str, ...]]:
    """The mechanisms of the SASL server; None where that cannot be seen. Raises ``PolicyError`` where there is no server."""
    if conf.value("smtpd_sasl_type", service) == "dovecot":
        return _of_dovecot(conf, service)
    return _of_cyrus(conf, service)


def _of_dovecot(conf: _State, service: t.Optional[Service]) -> t.Optional[t.Tuple[str, ...]]:
    """What Dovecot says when somebody connects to its authentication socket: a line MECH for each."""
    path = conf.value("smtpd_sasl_path", service)
    found: t.List[str] = []
    try:
        if path.startswith("inet:"):
            host, unused, port = path[5:].rpartition(":")
            connection = socket.create_connection((host, int(port)), _PATIENCE)
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_PATIENCE)
            connection.connect(os.path.join(conf.value("queue_directory"), path))
        with connection:
            # Newer ones wait for the client's word.
            connection.sendall(b"VERSION\t1\t1\nCPID\t%d\n" % os.getpid())
            said = b""
            while b"\nDONE" not in said:
                part = connection.recv(4096)
                if not part:
                    break
                said += part
    except PermissionError:
        # Who only looks may not.
        return None
    except (OSError, ValueError) as error:
        raise PolicyError(
            "logins: the socket of Dovecot (smtpd_sasl_path = %s) cannot be reached: %s. Without it a listener with logins says nothing "
            "at all" % (path, error)
        ) from None
    for line in said.decode("ascii", "replace").splitlines():
        words = line.split("\t")
        if words[0] == "MECH" and len(words) > 1:
            found.append(words[1].upper())
    return in_order(found)


def _of_cyrus(conf: _State, service: t.Optional[Service]) -> t.Optional[t.Tuple[str, ...]]:
    """``mech_list`` of the application's file; None where it has none, for then every plugin is offered."""
    name = (conf.value("smtpd_sasl_path", service) or "smtpd") + ".conf"
    beside = conf.text("%s/%s" % (SASL_FOLDER, name))
    if beside is not None:
        match = _MECH_LIST.search(beside)
        return in_order(word.upper() for word in match.group(1).split()) if match else None
    folders = [*conf.value("cyrus_sasl_config_path", service).split(":")]
    for folder in [*folders, "/etc/sasl2", "/usr/lib/sasl2", "/usr/lib64/sasl2"]:
        if not folder:
            continue
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        match = _MECH_LIST.search(text)
        return in_order(word.upper() for word in match.group(1).split()) if match else None
    return None
