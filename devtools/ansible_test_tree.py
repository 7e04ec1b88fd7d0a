# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ``ansible-test`` on a copy of this checkout.

ansible-test insists on lying below ``ansible_collections/NAMESPACE/NAME`` and resolves links, so the
files that git knows (and those it would add) are copied to such a place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import environment as env

#: Stands in for the script that ansible-test otherwise downloads from outside the package index to
#: bring pip into the environments it makes. pip must be a process of its own: called inside this one,
#: ensurepip switches off pip's configuration, and a configured CA bundle with it.
GET_PIP = """\
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
wanted = [word for word in sys.argv[1:] if "==" in word]
subprocess.check_call([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *wanted])
"""


def _provide_pip() -> None:
    """Put the stand-in where ansible-test looks for its download, unless it already has one."""
    source = subprocess.run(
        [env.python(), "-c", "import ansible_test; print(ansible_test.__path__[0])"],
        capture_output=True, text=True, check=True, env=env.environment(),
    ).stdout.strip()
    text = (Path(source) / "_internal" / "python_requirements.py").read_text(encoding="utf-8")
    cache = Path(os.path.expanduser("~/.ansible/test/cache"))
    cache.mkdir(parents=True, exist_ok=True)
    for version in set(re.findall(r"\bpip='([0-9.]+)'", text)):
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        if not script.exists():
            script.write_text(GET_PIP, encoding="utf-8")


def copy_tree(target: Path) -> None:
    """Copy the files of the checkout, links as links, without what git ignores."""
    names: list[str]
    if (env.ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=env.ROOT, capture_output=True, check=True,
        ).stdout
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    else:
        # An unpacked archive: everything but what the tasks made.
        made = {".build", ".venv", ".ansible", ".cache", ".git", "__pycache__", "output"}
        names = [
            str(path.relative_to(env.ROOT)) for path in env.ROOT.rglob("*")
            if not made.intersection(path.relative_to(env.ROOT).parts) and (path.is_symlink() or path.is_file())
        ]
    for name in names:
        source = env.ROOT / name
        if source.is_symlink() or source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)


def _interpreters() -> str:
    """A PATH on which ansible-test finds every real Python of this machine, and no shims."""
    folders = sorted(Path(os.path.expanduser("~/.pyenv/versions")).glob("3.*/bin"))
    return ":".join([env.path_without_shims(), *(str(folder) for folder in folders)])


def sanity_and_units() -> None:
    """Run ``ansible-test sanity`` and ``ansible-test units`` for the installed ansible-core.

    :raises environment.TaskError: when one of them finds something.
    """
    _provide_pip()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory(prefix="securemail-", dir="/tmp") as base:
        tree = Path(base) / "ansible_collections" / "securemail" / "smtp"
        copy_tree(tree)
        variables = env.environment(PATH=_interpreters(), PIP_QUIET="1")
        # ansible-test keeps its environments and downloads below the default place only.
        variables.pop("ANSIBLE_HOME")
        variables.pop("ANSIBLE_COLLECTIONS_PATH")
        program = env.executable("ansible-test")
        env.say("ansible-test sanity")
        env.run([program, "sanity", "--color", "no"], env=variables, cwd=tree)
        if any((tree / "tests" / "unit").rglob("test_*.py")):
            env.say("ansible-test units")
            env.run([program, "units", "--color", "no", "--python", version, "--num-workers", "2"], env=variables, cwd=tree)
