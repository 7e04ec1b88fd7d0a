# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail clients that others have written, as programs: independent judges of what our server answers.

They come as the scanners do (:mod:`scanners`): Debian's packages, unpacked and never installed.
"""

from __future__ import annotations

import shutil
import subprocess

import debian
import postfix
from debian import Unavailable
from scanners import Scanner

#: What swaks and its TLS library want of Perl; a small system has less.
_PERL = ("perl", "-MIO::Socket::INET", "-MMIME::Base64", "-MSys::Hostname", "-MTime::Local", "-e", "1")


def swaks() -> Scanner:
    """swaks with TLS. Its words are a transcript, errors included. Raises :class:`Unavailable`."""
    more = () if _has_perl() else ("perl",)
    root = debian.unpacked("swaks", "libnet-ssleay-perl", *more, dependencies=("lib", "perl-modules"))
    library = root / "usr" / "share"
    folders = [library / "perl5", *library.glob("perl/5.*")]
    for place in debian.library_folders(root):
        folders += [*place.glob("perl5/5.*"), *place.glob("perl/5.*")]
    variables = {**debian.environment(root), "PERL5LIB": ":".join(map(str, folders))}
    program = Scanner("swaks", str(root / "usr" / "bin" / "swaks"), "", variables, errors_too=True)
    # Where its TLS library does not load it goes on without.
    if "TLS supported" not in program.run("--support", timeout=60):
        raise Unavailable("swaks finds no TLS library for Perl")
    return program


def msmtp() -> Scanner:
    """msmtp with GnuTLS. Raises :class:`Unavailable`."""
    root = debian.unpacked("msmtp")
    return Scanner("msmtp", str(root / "usr" / "bin" / "msmtp"), "", debian.environment(root), errors_too=True)


def curl() -> Scanner:
    """The curl of this machine, or the distribution's. Raises :class:`Unavailable`."""
    here = shutil.which("curl")
    root = None if here else debian.unpacked("curl")
    variables = debian.environment(root) if root else {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return Scanner("curl", here or str(root / "usr" / "bin" / "curl"), "", variables, ("-q",), errors_too=True)


def smtp_source() -> Scanner:
    """Postfix's smtp-source, which sends many messages at once; it needs no running Postfix and no root.

    Raises :class:`Unavailable`.
    """
    root = debian.unpacked("postfix")
    variables = debian.environment(root, root / "usr" / "lib" / "postfix")
    program = root / "usr" / "sbin" / "smtp-source"
    return Scanner("smtp-source", str(program), "", variables, errors_too=True)


def posttls_finger() -> Scanner:
    """Postfix's posttls-finger, which says how far TLS comes with a mail server. Raises :class:`Unavailable`."""
    root = debian.unpacked("postfix")
    folder = root / "etc" / "client-only"
    folder.mkdir(parents=True, exist_ok=True)
    # It runs as whoever calls it, but wants to know of users that an installation would have made.
    text = "compatibility_level = 3.6\nmail_owner = {}\ndefault_privs = {}\nsetgid_group = {}\n".format(
        postfix.MAIL_OWNER, postfix.DELIVERY_USER, postfix.SUBMIT_GROUP
    )
    file = folder / "main.cf"
    if not file.is_file() or file.read_text(encoding="ascii") != text:
        file.write_text(text, encoding="ascii")
    variables = {**postfix.program_environment(root), "MAIL_CONFIG": str(folder)}
    return Scanner("posttls-finger", str(root / "usr" / "sbin" / "posttls-finger"), "", variables, errors_too=True)


def strace() -> Scanner:
    """strace, the one of this machine if there is one. Raises :class:`Unavailable`, also where nobody may trace."""
    here = shutil.which("strace")
    root = None if here else debian.unpacked("strace")
    program = here or str(root / "usr" / "bin" / "strace")
    variables = debian.environment(root) if root else {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    found = Scanner("strace", program, "", variables, errors_too=True)
    try:
        found.run("-o", "/dev/null", "true", timeout=30)
    except RuntimeError as error:
        raise Unavailable(f"no process may be traced here: {error}") from None
    return found


def _has_perl() -> bool:
    return bool(shutil.which("perl")) and subprocess.run(_PERL, capture_output=True, check=False).returncode == 0
