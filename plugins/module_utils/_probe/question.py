# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The listeners that people name, as values: "host:port", or a dictionary with all that must be known of one.

Everything that can be said wrongly about a target ends here, before any connection is made: all problems in one
:class:`PolicyError`, each with the place of its target (counted from 1).
"""

from __future__ import annotations

import ipaddress
import os
import typing as t

from .._policy.domain import domain_name
from .._policy.errors import PolicyError, Problems, arrived, shown
from .._policy.tls import tls_mode
from .observation import Credentials, ForcedDomain, Listener, listener

Params = t.Mapping[str, t.Any]


def spelled_out(params: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """The options with short forms written out, before Ansible looks at their types.

    A target or a forced domain that is a string becomes a dictionary, so that every password has its place in the
    argument specification, where Ansible hides it. A policy may hold the password of a relay host, which nobody
    needs here: it is taken out.
    """
    found = dict(params)
    targets = found.get("targets")
    if isinstance(targets, str):
        targets = targets.split(",")
    if isinstance(targets, (list, tuple)):
        found["targets"] = [_target_spelled_out(target) for target in targets]
    if found.get("expect") is not None:
        found["expect"] = _without_passwords(found["expect"])
    return found


def _target_spelled_out(target: t.Any) -> t.Any:
    if isinstance(target, dict):
        domains = target.get("forced_tls_domains")
        if isinstance(domains, str):
            domains = domains.split(",")
        if isinstance(domains, (list, tuple)):
            entries = [_entry(domain, "domain") for domain in domains]
            target = dict(target, forced_tls_domains=entries)
        return target
    return _entry(target, "address")


def _entry(value: t.Any, key: str) -> t.Any:
    # What looks like a dictionary of the command line is left to Ansible; so is a type that is nothing of the sort.
    if isinstance(value, str) and ("=" in value or value.lstrip().startswith("{")):
        return value
    return {key: value} if isinstance(value, (str, int, float)) else value


def _without_passwords(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {name: _without_passwords(inner) for name, inner in value.items() if name != "password"}
    if isinstance(value, (list, tuple)):
        return [_without_passwords(inner) for inner in value]
    return value


def listeners(targets: t.Any, ca_file: t.Optional[str] = None, client_name: t.Optional[str] = None) -> t.List[Listener]:
    """The listeners that the entries of ``targets`` mean, in the order given. Raises :class:`PolicyError`."""
    problems = Problems()
    found: t.List[Listener] = []
    first: t.Dict[t.Tuple[str, int], int] = {}
    if client_name is not None:
        given, client_name = client_name, None
        with problems.collecting():
            client_name = _domain(given, "client_name")
    if ca_file is not None:
        with problems.collecting():
            ca_file = readable_file(ca_file, "ca_file")
    if not targets:
        problems.add('targets is empty; name listeners, as in ["mail.example.org:587"]')
    for place, target in enumerate(targets or (), 1):
        with problems.collecting("targets #%d: " % place):
            asked = target_listener(target or {}, ca_file, client_name)
            found.append(asked)
            known = first.setdefault((asked.host, asked.port), place)
            if known != place:
                raise PolicyError("the same listener as #%d (%s)" % (known, shown(asked.address)))
    problems.raise_any()
    return found


def target_listener(
    target: Params, ca_file: t.Optional[str] = None, client_name: t.Optional[str] = None
) -> Listener:
    """The listener that one dictionary of ``targets`` means. Raises :class:`PolicyError` with all that is wrong."""
    problems = Problems()
    # A port of this host may be the near end of a tunnel: nobody's password is worth knowing that.
    more: t.Dict[str, t.Any] = {"ca_file": ca_file, "clear_password": False}
    if client_name is not None:
        more["client_name"] = client_name
    mode: t.Optional[str] = None
    with problems.collecting():
        mode = tls_mode(target.get("tls"))
    with problems.collecting():
        more["forced_domains"] = _forced_domains(target.get("forced_tls_domains"))
    for name in ("other_domain", "local_domain"):
        if target.get(name) is not None:
            with problems.collecting():
                more[name] = _domain(target[name], name)
    if target.get("recipient") is not None:
        with problems.collecting():
            more["recipient"] = _local_part(target["recipient"])
    if target.get("ca_file") is not None:
        with problems.collecting():
            more["ca_file"] = readable_file(target["ca_file"], "ca_file")
    with problems.collecting():
        more["credentials"] = _credentials(target.get("username"), target.get("password"))
    with problems.collecting():
        _check_address(target.get("address"))
    with problems.collecting():
        server_name = _server_name(target.get("server_name"))
    problems.raise_any()
    try:
        return listener(str(target["address"]).strip(), mode, server_name, **more)
    except ValueError as error:
        raise PolicyError("address: %s" % error) from None


def _check_address(address: t.Any) -> None:
    """What people write instead of an address, each with its own advice."""
    example = '"mail.example.org:587"'
    text = str(address).strip() if isinstance(address, (str, int, float)) else ""
    if not text:
        got = "nothing" if address == text else arrived(address)
        raise PolicyError("address must be like %s; got %s" % (example, got))
    if text.replace(".", "", 1).isdigit():
        raise PolicyError("address must be like %s; got the number %s" % (example, shown(text)))
    if "/" in text:
        raise PolicyError("address must be like %s, without the parts of an URL; got %s" % (example, shown(text)))
    if "@" in text:
        raise PolicyError("address must be like %s; got a mail address" % example)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        raise PolicyError('address: the port is missing, write "%s:25"; got %s' % (text[:80], shown(text)))
    if not port.isdigit() or not 1 <= int(port[:9]) <= 65535:
        raise PolicyError("address: the port must be a number from 1 to 65535; got %s" % shown(text))
    try:
        unspecified = ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        unspecified = host in ("", "*")
    if unspecified:
        raise PolicyError("address: %s names no host that could be connected to" % shown(text))


def _server_name(value: t.Any) -> t.Optional[str]:
    if value is None:
        return None
    try:
        ipaddress.ip_address(str(value).strip())
    except ValueError:
        return _domain(value, "server_name")
    raise PolicyError("server_name: SNI holds names only (RFC 6066 section 3); leave it out for %s" % shown(value))


def _domain(value: t.Any, option: str) -> str:
    name = domain_name(value, option)
    if name.startswith("."):
        raise PolicyError("%s must be one domain; got %s" % (option, shown(value)))
    return name


def _local_part(value: t.Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > 64 or not text.isascii() or set(text) & set(' <>@"\\,;:()[]') or not text.isprintable():
        raise PolicyError('recipient must be what stands before the @, like "postmaster"; got %s' % shown(value))
    return text


def _credentials(user: t.Any, password: t.Any) -> t.Optional[Credentials]:
    if user is None and password is None:
        return None
    for name, value in (("username", user), ("password", password)):
        if not isinstance(value, str) or not value:
            raise PolicyError("username and password belong together; %s is missing" % name)
        if "\0" in value:
            raise PolicyError("%s holds a NUL, which no mechanism can carry" % name)
    return Credentials(user, password)


def _forced_domains(entries: t.Any) -> t.Tuple[ForcedDomain, ...]:
    problems = Problems()
    found: t.Dict[str, ForcedDomain] = {}
    for place, entry in enumerate(entries or (), 1):
        with problems.collecting():
            domain = _domain(entry.get("domain"), "forced_tls_domains #%d" % place)
            found.setdefault(domain, ForcedDomain(domain, entry.get("reject_message")))
    problems.raise_any()
    return tuple(found.values())


def readable_file(path: str, option: str) -> str:
    """The path when its file can be read. Raises :class:`PolicyError`."""
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise PolicyError("%s: %s: %s" % (option, shown(path), os.strerror(error.errno or 0))) from None
