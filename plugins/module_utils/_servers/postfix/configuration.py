# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Postfix is told, as it was read, and as a plan would have it.

A :class:`Configuration` is one reading of a configuration directory: main.cf and master.cf as texts that can be edited, what is
in force for each listener (postconf(1)), and the collection's own files. A :class:`Draft` is the same with edits, of
which nothing is on the disk yet. Rooms read both alike.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
import typing as t

from ..base import ProtocolError, ServerError
from . import parameters
from .main_cf import MainCf
from .master_cf import MasterCf, Service

if t.TYPE_CHECKING:
    from .programs import Programs

#: The folder below the configuration directory that this collection owns, and what may be in it.
OWN_FOLDER = "securemail"
OWN_FILES = ("inbound", "recipient_domain", "explanation", "outbound", "relay_password", "notes.json")

MAIN, MASTER = "main.cf", "master.cf"

#: Files of Cyrus SASL beside them, in which a mechanism can be chosen (Debian has them there).
SASL_FOLDER = "sasl"

#: Programs of master.cf that receive SMTP.
RECEIVER, SCREEN = "smtpd", "postscreen"

_LINE = re.compile(r"([A-Za-z0-9_]+) =(?: (.*))?\Z")


#: Seconds. Postfix reads a file that is younger than this only when it has come of age: somebody may still be writing it.
_COOLING = 5.0


def settle_file(path: t.Union[str, int]) -> None:
    """Give a file that is whole the age at which Postfix reads it without waiting."""
    then = time.time() - _COOLING
    os.utime(path, (then, then))


def own_path(name: str) -> str:
    """Where an own file is, relative to the configuration directory."""
    return "%s/%s" % (OWN_FOLDER, name)


def text_of(content: bytes) -> str:
    """Bytes of a file as text that can be written back unchanged."""
    return content.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes that :func:`text_of` came from."""
    return text.encode("utf-8", "surrogateescape")


class _State:
    """What Configuration and Draft have in common: texts, and what they mean."""

    main: MainCf
    master: MasterCf

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self._effective: t.Dict[str, t.Dict[str, str]] = {}

    # --- as it is written -------------------------------------------------------------------------

    def own(self, name: str, service: Service) -> t.Optional[str]:
        """What the last ``-o`` of a service says of a parameter; None: nothing."""
        found = None
        for option, value in self._current(service).options:
            if option == name:
                found = value
        return found

    def _current(self, service: Service) -> Service:
        """The service as it is now: who holds one may have edited it."""
        return service

    def raw(self, name: str, service: t.Optional[Service] = None) -> t.Optional[str]:
        """A value as it is written, of the service if it has its own, else of main.cf; None: the default is in force."""
        found = self.own(name, service) if service is not None else None
        return self.main.get(name) if found is None else found

    @property
    def smtpd(self) -> t.Tuple[Service, ...]:
        """The services that listen for SMTP and are enabled."""
        return tuple(one for one in self.master.services if one.type == "inet" and one.command == RECEIVER)

    @property
    def postscreen(self) -> t.Tuple[Service, ...]:
        """Listeners that have postscreen(8) in front."""
        return tuple(one for one in self.master.services if one.type == "inet" and one.command == SCREEN)

    # --- as it means ------------------------------------------------------------------------------

    def value(self, name: str, service: t.Optional[Service] = None) -> str:
        """What is in force: the last ``-o``, else main.cf, else the default, with everything expanded. "" if unknown."""
        return self._values(service).get(name, "")

    def _values(self, service: t.Optional[Service]) -> t.Dict[str, str]:
        options = () if service is None else self._current(service).options
        key = repr(options)
        if key not in self._effective:
            self._effective[key] = self._ask(options)
        return self._effective[key]

    def _ask(self, options: t.Sequence[t.Tuple[str, str]]) -> t.Dict[str, str]:
        raise NotImplementedError


def _expanded(programs: Programs, options: t.Sequence[t.Tuple[str, str]], directory: str) -> t.Dict[str, str]:
    """All parameters as they are in force in a directory under these overrides. Raises :class:`ServerError`."""
    arguments = ["-x"]
    for name, value in options:
        arguments += ["-o", "%s=%s" % (name, value)]
    found = {}
    for line in programs.postconf(*arguments, *parameters.NAMES, directory=directory).lines:
        match = _LINE.match(line)
        if match:
            found[match.group(1)] = (match.group(2) or "").strip()
    return found


class Configuration(_State):
    """One reading of a configuration directory; see :func:`read`.

    ``files`` are the contents of main.cf, master.cf and of the own files that are there, by their paths relative to the
    directory. ``types`` are the lookup tables that this Postfix can open (``postconf -m``), ``sasl_types`` the kinds of SASL
    servers (``postconf -a``).
    """

    def __init__(self, programs: Programs, directory: str, files: t.Mapping[str, bytes]) -> None:
        super().__init__(programs)
        self.directory = directory
        self.files = dict(files)
        self.main = MainCf.parse(text_of(files[MAIN]))
        self.master = MasterCf.parse(text_of(files[MASTER]))
        self._lists: t.Dict[str, t.Tuple[str, ...]] = {}

    @property
    def version(self) -> str:
        """As ``3.7.11``."""
        return self.value("mail_version")

    @property
    def known(self) -> t.Collection[str]:
        """The parameters of ``parameters.NAMES`` that this Postfix has."""
        return self._values(None).keys()

    @property
    def types(self) -> t.Tuple[str, ...]:
        """The types of lookup tables that this Postfix says it has."""
        return self._list("-m")

    @property
    def default_type(self) -> str:
        """The type of tables that this Postfix prefers."""
        return self.value("default_database_type")

    @property
    def sasl_types(self) -> t.Tuple[str, ...]:
        """The kinds of SASL servers that this Postfix can ask: ``cyrus``, ``dovecot``."""
        return self._list("-a")

    def own_text(self, name: str) -> t.Optional[str]:
        """An own file; None: it is not there."""
        return self.text(own_path(name))

    def text(self, path: str) -> t.Optional[str]:
        """A file beside main.cf, by its path relative to the directory; None: it is not there."""
        content = self.files.get(path)
        return None if content is None else text_of(content)

    @property
    def token(self) -> str:
        """Equal for equal files."""
        digest = hashlib.sha256()
        for path in sorted(self.files):
            digest.update(b"%s %d\n" % (path.encode("ascii"), len(self.files[path])))
            digest.update(self.files[path])
        return digest.hexdigest()

    def _ask(self, options: t.Sequence[t.Tuple[str, str]]) -> t.Dict[str, str]:
        return _expanded(self.programs, options, self.directory)

    def _list(self, option: str) -> t.Tuple[str, ...]:
        if option not in self._lists:
            lines = self.programs.postconf(option, directory=self.directory).lines
            self._lists[option] = tuple(word.strip() for word in lines if word.strip())
        return self._lists[option]


def read(programs: Programs, directory: str) -> Configuration:
    """Read a configuration directory (an absolute path). Raises :class:`ServerError`."""
    return Configuration(programs, directory, read_files(directory))


def read_files(directory: str) -> t.Dict[str, bytes]:
    """The contents that a :class:`Configuration` is made of. Raises :class:`ServerError`."""
    found = {}
    for path in (MAIN, MASTER):
        try:
            found[path] = _content(os.path.join(directory, path))
        except OSError as error:
            raise ProtocolError(
                "read %s" % os.path.join(directory, path),
                error.strerror or str(error),
                "config_directory must name the folder with main.cf and master.cf.",
            ) from None
    for path in [*map(own_path, OWN_FILES), *sasl_files(directory)]:
        try:
            found[path] = _content(os.path.join(directory, path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ServerError("read %s" % os.path.join(directory, path), error.strerror or str(error)) from None
    return found


def sasl_files(directory: str) -> t.List[str]:
    """Files of applications of Cyrus SASL beside main.cf, by their paths relative to it."""
    try:
        names = os.listdir(os.path.join(directory, SASL_FOLDER))
    except OSError:
        return []
    return ["%s/%s" % (SASL_FOLDER, name) for name in sorted(names) if name.endswith(".conf")]


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class Draft(_State):
    """A configuration with edits in memory. ``actions`` are what they do, in words; ``problems`` forbid the plan."""

    def __init__(self, base: Configuration) -> None:
        super().__init__(base.programs)
        self.base = base
        self.main = base.main
        self.master = base.master
        self.actions: t.List[str] = []
        self.warnings: t.List[str] = []
        self.problems: t.List[str] = []
        self._own: t.Dict[str, t.Optional[bytes]] = {}
        self._stale: t.FrozenSet[str] = frozenset()

    directory = property(lambda self: self.base.directory)
    version = property(lambda self: self.base.version)
    known = property(lambda self: self.base.known)
    types = property(lambda self: self.base.types)
    default_type = property(lambda self: self.base.default_type)
    sasl_types = property(lambda self: self.base.sasl_types)

    def own_text(self, name: str) -> t.Optional[str]:
        """An own file as the draft has it; None: it is not there, or goes."""
        return self.text(own_path(name))

    def _current(self, service: Service) -> Service:
        return self.master.service(service.id) or service

    # --- edits ------------------------------------------------------------------------------------

    def set(self, name: str, value: str, service: t.Optional[Service] = None) -> None:
        """Give a parameter a value, in main.cf or as ``-o`` of a service. What it has already is not written again."""
        if service is None:
            if self.main.get(name) != value or name in self.main.doubles:
                self._put(main=self.main.with_value(name, value))
        elif self.own(name, service) != value:
            self._put(master=self.master.with_option(service.id, name, value))

    def unset(self, name: str, service: t.Optional[Service] = None) -> None:
        """Take a parameter out of main.cf, or all ``-o`` of that name out of a service."""
        if service is None:
            if self.main.get(name) is not None:
                self._put(main=self.main.without(name))
        elif self.own(name, service) is not None:
            self._put(master=self.master.without_option(service.id, name))

    def text(self, path: str) -> t.Optional[str]:
        """A file beside main.cf as the draft has it; None: it is not there."""
        content = self._own[path] if path in self._own else self.base.files.get(path)
        return None if content is None else text_of(content)

    def put_text(self, path: str, text: str) -> None:
        """Give a file beside main.cf its text."""
        if self.text(path) != text:
            self._own[path] = bytes_of(text)

    def edit_main(self, main: MainCf) -> None:
        """Replace main.cf, for edits that keep the lines of a list."""
        if main.text != self.main.text:
            self._put(main=main)

    def edit_master(self, master: MasterCf) -> None:
        """Replace master.cf, for services that come, go or change their columns."""
        self._put(master=master)

    def table(self, name: str, text: t.Optional[str], stale: bool = False) -> None:
        """Give an own file (one of ``OWN_FILES``) its text; None: it goes. ``stale``: its index says something else."""
        if stale or self.own_text(name) != text:
            self._own[own_path(name)] = None if text is None else bytes_of(text)
            self._stale = self._stale | {own_path(name)} if stale else self._stale

    def _put(self, main: t.Optional[MainCf] = None, master: t.Optional[MasterCf] = None) -> None:
        self.main = main or self.main
        self.master = master or self.master
        if main is not None:
            self._effective.clear()

    def changed_files(self) -> t.Dict[str, t.Optional[bytes]]:
        """What is to be written, by path relative to the directory; None: the file goes."""
        wanted: t.Dict[str, t.Optional[bytes]] = dict(self._own)
        wanted[MAIN] = bytes_of(self.main.text)
        wanted[MASTER] = bytes_of(self.master.text)
        return {
            path: content for path, content in wanted.items() if path in self._stale or self.base.files.get(path) != content
        }

    def files(self) -> t.Dict[str, bytes]:
        """All contents as they would be."""
        found = dict(self.base.files)
        for path, content in self.changed_files().items():
            if content is None:
                found.pop(path, None)
            else:
                found[path] = content
        return found

    # --- what they mean ---------------------------------------------------------------------------

    def _ask(self, options: t.Sequence[t.Tuple[str, str]]) -> t.Dict[str, str]:
        if self.main is self.base.main:
            return _expanded(self.programs, options, self.base.directory)
        # Only Postfix knows what all of it means together: it is asked about a copy.
        with tempfile.TemporaryDirectory(prefix="securemail-") as folder:
            with open(os.path.join(folder, MAIN), "wb") as file:
                file.write(bytes_of(self.main.text))
            settle_file(os.path.join(folder, MAIN))
            found = _expanded(self.programs, options, folder)
        return {name: value.replace(folder, self.base.directory) for name, value in found.items()}
