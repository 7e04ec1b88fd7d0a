# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the developer tasks find their Python, their packages and the collection.

Everything made here is git-ignored: ``.venv`` (the pinned packages), ``.build`` (a collections path
that holds a link to this checkout) and, as root, a folder for running servers that other users can
enter. Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
VENV = ROOT / ".venv"
REQUIREMENTS = ("requirements.txt", "requirements-test.txt", "roles/mta/files/requirements.txt")

#: The system interpreter that the bundled mail server's own environment is made from: the server drops
#: root, so its interpreter must not lie below a folder that other users cannot enter.
SYSTEM_PYTHON = "/usr/bin/python3"


class TaskError(Exception):
    """A task cannot go on; the text says what to do."""


def say(text: str) -> None:
    """One progress line."""
    print(f"==> {text}", flush=True)


def is_root() -> bool:
    """Whether this process may install packages and create users."""
    return os.geteuid() == 0


def checkout_id() -> str:
    """Eight hex digits that tell this checkout from others of the same machine."""
    return hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:8]


def cache_folder() -> Path:
    """This user's cache folder for this checkout, at a path without blanks."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if re.search(r"\s", base):
        base = f"/var/tmp/securemail-{os.geteuid()}"
    return Path(base) / "securemail.smtp" / checkout_id()


def lab_root() -> Path:
    """Where running servers keep their state.

    As root the server drops to a user of its own, who must be able to enter the place: a checkout
    in root's home would not do. As a user the server stays that user, and ``.build`` is fine.
    """
    if is_root():
        return Path("/var/lib/securemail-demo") / checkout_id()
    return BUILD / "lab"


def executable(name: str) -> str:
    """The path of a program of the virtual environment."""
    return str(VENV.resolve() / "bin" / name)


def python() -> str:
    """The virtual environment's interpreter, at a path without blanks (Ansible cannot call another)."""
    return executable("python")


def run(command: list[str], *, env: dict[str, str] | None = None, cwd: Path = ROOT, quiet: bool = False) -> None:
    """Run a program to its end. ``quiet`` shows its output only when it fails.

    :raises TaskError: when it ends with another status than 0.
    """
    if quiet:
        done = subprocess.run(
            command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            check=False,
        )
        if done.returncode:
            print(done.stdout, flush=True)
    else:
        done = subprocess.run(command, env=env, cwd=cwd, check=False)
    if done.returncode:
        raise TaskError(f"{os.path.basename(command[0])} {' '.join(command[1:3])} … ended with status {done.returncode}")


def path_without_shims() -> str:
    """PATH with the virtual environment in front and without version-manager shims."""
    folders = [folder for folder in os.environ.get("PATH", "/usr/bin:/bin").split(":") if not folder.endswith("/shims")]
    return ":".join([str(VENV.resolve() / "bin"), *folders])


def environment(**extra: str) -> dict[str, str]:
    """Environment variables for every tool that a task starts."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    env.pop("PYTHONPATH", None)
    env.update(
        PATH=path_without_shims(),
        VIRTUAL_ENV=str(VENV.resolve()),
        ANSIBLE_COLLECTIONS_PATH=str(BUILD),
        ANSIBLE_HOME=str(cache_folder() / "ansible"),
        ANSIBLE_NOCOWS="1",
        ANSIBLE_LOCALHOST_WARNING="false",
        ANSIBLE_INVENTORY_UNPARSED_WARNING="false",
        SECUREMAIL_LAB_ROOT=str(lab_root()),
        PYTHONDONTWRITEBYTECODE="1",
    )
    # Ansible refuses to start without a UTF-8 locale, which small containers do not set.
    if "utf" not in (env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or "").lower():
        env["LC_ALL"] = "C.UTF-8"
    if not sys.stdout.isatty():
        env.update(NO_COLOR="1", PY_COLORS="0", ANSIBLE_NOCOLOR="1", COLUMNS="160")
    env.update(extra)
    return env


def _stamp() -> str:
    digest = hashlib.sha256()
    for name in REQUIREMENTS:
        digest.update((ROOT / name).read_bytes())
    digest.update(os.fsencode(os.path.realpath(sys.executable)))
    digest.update(sys.version.encode())
    return digest.hexdigest()


def _venv_folder() -> Path:
    """The environment itself lies elsewhere when the checkout's path has a blank: Ansible cannot call
    an interpreter at such a path."""
    return cache_folder() / "venv" if re.search(r"\s", str(ROOT)) else VENV


def _make_venv() -> None:
    stamp = _stamp()
    if (VENV / "stamp").is_file() and (VENV / "stamp").read_text() == stamp and os.access(python(), os.X_OK):
        return
    started = time.monotonic()
    version = ".".join(str(part) for part in sys.version_info[:3])
    say(f"making .venv with Python {version} ({sys.executable}) and the pinned packages (about a minute)")
    folder = _venv_folder()
    remove(VENV)
    remove(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if folder != VENV:
        VENV.symlink_to(folder)
    run(
        [python(), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-q", "-r",
         str(ROOT / "requirements-test.txt")],
        env=environment(), quiet=True,
    )
    (VENV / "stamp").write_text(stamp)
    say(f".venv is ready ({time.monotonic() - started:.0f} s)")


def _link_collection() -> None:
    link = BUILD / "ansible_collections" / "securemail" / "smtp"
    if os.path.islink(link) and os.path.realpath(link) == str(ROOT):
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    remove(link)
    link.symlink_to(ROOT)


def _system_packages() -> None:
    """The system interpreter must be able to make virtual environments for the bundled server."""
    probe = [SYSTEM_PYTHON, "-I", "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return
    if is_root() and shutil.which("apt-get"):
        say("installing the system package python3-venv")
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        run(["apt-get", "update", "-q"], env=env, quiet=True)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "python3-venv"], env=env, quiet=True)
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return
    raise TaskError(
        f"{SYSTEM_PYTHON} (3.11 or newer) cannot make virtual environments; install the missing system package with\n"
        "    sudo apt-get install python3-venv"
    )


def server_python() -> str:
    """The interpreter of an environment as the role makes it for the bundled server: from the system's Python.

    The developers' Python may be another one, built without what makes it fast. Raises :class:`TaskError`.
    """
    place = BUILD / "server"
    interpreter = str(place / "bin" / "python")
    files = ROOT / "roles" / "mta" / "files"
    wanted = str(files / "requirements.txt")
    complete = [interpreter, "-I", str(files / "installed.py"), wanted]
    if not os.path.exists(interpreter) or subprocess.run(complete, capture_output=True, check=False).returncode:
        remove(place)
        run([SYSTEM_PYTHON, "-m", "venv", str(place)], quiet=True)
        run([interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r", wanted], quiet=True)
    return interpreter


def prepare() -> None:
    """Make everything that the tasks need. Quick when it is all there already."""
    _system_packages()
    _make_venv()
    _link_collection()
    folder = lab_root()
    folder.mkdir(parents=True, exist_ok=True)
    if is_root():
        for place in (folder, folder.parent):
            place.chmod(0o755)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder tree, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def stop_servers() -> None:
    """Stop every bundled server of this checkout that still runs, whatever started it."""
    for config in sorted(lab_root().glob("*/etc/postern.toml")):
        prefix = config.parent.parent
        program = prefix / "lib" / "postern.pyz"
        interpreter = prefix / "lib" / "venv" / "bin" / "python"
        if program.is_file() and interpreter.exists():
            say(f"stopping the server in {prefix}")
            subprocess.run([str(interpreter), str(program), "stop", "--config", str(config)], check=False)


def clean() -> None:
    """Remove all that the tasks made: servers, environments, build folders, and as root the server's user."""
    stop_servers()
    for path in (BUILD, VENV, ROOT / ".ansible", ROOT / ".cache", ROOT / ".pytest_cache", ROOT / "tests" / "output"):
        remove(path)
    for folder in ROOT.rglob("__pycache__"):
        remove(folder)
    remove(cache_folder())
    if is_root():
        remove(lab_root())
        base = lab_root().parent
        if base.is_dir() and not any(base.iterdir()):
            base.rmdir()
