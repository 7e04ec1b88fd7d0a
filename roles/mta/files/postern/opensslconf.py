# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OpenSSL configuration file that the server runs with: the host's own one, with fewer groups for the key exchange.

Python's ``ssl`` cannot say which groups a context offers. Without a word OpenSSL takes P-521, X448 and FFDHE too, which
no guide for mail asks for and each of which is a way to make the server compute. A configuration file can say it,
for all contexts of the process, and it is read when the library is loaded: so it is named by ``OPENSSL_CONF`` in the
environment in which the server is started. What the host's own file says besides (providers, FIPS, security level,
least version) goes on to hold, because ours includes it; a group that it leaves out stays out.
"""

from __future__ import annotations

import glob
import os
import re
import ssl
import tempfile

#: The variable that names the file (openssl(1) ENVIRONMENT).
VARIABLE = "OPENSSL_CONF"
#: The name of ours, below ``run_dir``.
FILE = "openssl.cnf"

#: Mozilla Server Side TLS 5.7, intermediate; the hybrid (draft-ietf-tls-ecdhe-mlkem) where OpenSSL is new enough.
GROUPS = ("X25519", "P-256", "P-384")
_HYBRID, _HYBRID_SINCE = "X25519MLKEM768", (3, 5)
#: Other names of the same groups (RFC 4492 appendix A), in lower case.
_ALIASES = {"p-256": ("p-256", "secp256r1", "prime256v1"), "p-384": ("p-384", "secp384r1")}

_SECTION = re.compile(r"\s*\[\s*([^\]]*?)\s*\]")
_INCLUDE = re.compile(r"\s*\.include(?:\s*=\s*|\s+)(\S.*?)\s*$")
_VALUE = re.compile(r"\s*([^=\s]+?)\s*=\s*(.*?)\s*(?<!\\)(?:#.*)?$")
_MAX_DEPTH = 8


def path(run_dir: str) -> str:
    """Where our file is."""
    return os.path.join(run_dir, FILE)


def host_file() -> str:
    """The file that OpenSSL reads where nobody names one; empty when there is none."""
    found = os.path.join(os.path.dirname(ssl.get_default_verify_paths().openssl_cafile), "openssl.cnf")
    return found if os.path.isfile(found) else ""


def write(run_dir: str) -> str:
    """Make our file, unless it is there already with the same words; returns its path. Raises ``OSError``."""
    target, content = path(run_dir), text(host_file())
    try:
        with open(target, encoding="utf-8") as file:
            if file.read() == content:
                return target
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    # A server that starts at the same time reads the old one or the new one.
    descriptor, new = tempfile.mkstemp(dir=run_dir)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)  # whatever the umask is: the server may run as another user
        file.write(content)
    os.replace(new, target)
    return target


def text(base: str, version: tuple[int, ...] = ssl.OPENSSL_VERSION_INFO) -> str:
    """Our file's content; ``base`` is the host's file, empty for none, ``version`` that of OpenSSL."""
    found = _read(base) if base else {}
    default = found.get("default", {})
    # The chain of names by which OpenSSL finds what holds for all contexts (config(5)); links that lack are ours.
    init, has_init = _link(default, "openssl_conf", "postern_init")
    modules, has_modules = _link(found.get(init, {}), "ssl_conf", "postern_ssl")
    system, has_system = _link(found.get(modules, {}), "system_default", "postern_tls")
    theirs = found.get(system, {})
    lines = ["# Made by postern whenever it starts: changes are lost. Name a file of your own by OPENSSL_CONF."]
    lines += [f".include {base}"] if base else []
    lines += [] if has_init else ["[default]", f"openssl_conf = {init}"]
    lines += [] if has_modules else [f"[{init}]", f"ssl_conf = {modules}"]
    lines += [] if has_system else [f"[{modules}]", f"system_default = {system}"]
    lines += [f"[{system}]", "Groups = " + _groups(theirs.get("groups") or theirs.get("curves") or "", version)]
    return "\n".join(lines) + "\n"


def _link(section: dict[str, str], key: str, own: str) -> tuple[str, bool]:
    named = section.get(key, "")
    return (named, True) if named else (own, False)


def _groups(theirs: str, version: tuple[int, ...]) -> str:
    hybrid = (_HYBRID,) if version[:2] >= _HYBRID_SINCE else ()
    allowed = {name.lower().strip("?*") for name in re.split(r"[:/]", theirs)}
    kept = [
        name
        for name in (*hybrid, *GROUPS)
        if not theirs or allowed.intersection(_ALIASES.get(name.lower(), (name.lower(),)))
    ]
    # A library without ML-KEM would refuse the whole list; the question mark is known as long as the hybrid is.
    return ":".join(f"?{name}" if name == _HYBRID else name for name in kept) or theirs


def _read(name: str, depth: int = 0, found: dict[str, dict[str, str]] | None = None) -> dict[str, dict[str, str]]:
    """Sections of a configuration file and what it includes; keys of values in lower case. Unreadable ones are empty.

    As far as it is needed here: no variables, no lines that go on. What is not understood is not lost, since OpenSSL
    itself reads the file.
    """
    sections = {"default": {}} if found is None else found
    try:
        with open(name, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return sections
    current = "default"
    for line in lines:
        if include := _INCLUDE.match(line):
            place = include.group(1)
            files = sorted(glob.glob(f"{glob.escape(place)}/*.c*nf")) if os.path.isdir(place) else [place]
            for one in files if depth < _MAX_DEPTH else ():
                inside = _read(one, depth + 1, {"default": sections.setdefault(current, {})})
                # What an included file says before its first section belongs to the section that includes it.
                sections[current] = inside.pop("default")
                for section, values in inside.items():
                    sections.setdefault(section, {}).update(values)
        elif section := _SECTION.match(line):
            current = section.group(1)
            sections.setdefault(current, {})
        elif (value := _VALUE.match(line)) and not line.lstrip().startswith("#"):
            sections.setdefault(current, {})[value.group(1).lower()] = value.group(2)
    return sections
