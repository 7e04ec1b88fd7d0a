# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a scenario's server must show from outside.

``python wire.py TARGET.json NAME…`` looks, and prints which of the rows with these names do not pass, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

PROJECT = Path(os.environ.get("MOLECULE_PROJECT_DIRECTORY") or Path(__file__).resolve().parents[2])
sys.path.insert(0, str(PROJECT / "devtools"))

import outside  # noqa: E402

#: Services by the ports that they have on other servers (RFC 6409, RFC 8314), in the order of the listeners.
LISTENERS = ("relay", "submission", "submissions")


def folder() -> Path:
    """Where this scenario's files are on the controller."""
    return PROJECT / ".build" / "molecule" / os.environ["MOLECULE_SCENARIO_NAME"]


def facts(path: Path | None = None) -> dict:
    """What ``prepare`` wrote: ``server`` (as :func:`outside.options` has it), ``form``, ``mechanisms`` and more."""
    return json.loads((path or folder() / "target.json").read_text(encoding="utf-8"))


def options(path: Path | None = None) -> dict:
    """Options of ``smtp_probe`` for this scenario's server."""
    known = facts(path)
    return outside.options(known["form"], known["mechanisms"], known["server"])


def name(known: dict, row: object) -> str:
    """What a row is called: the service, and what is looked at."""
    addresses = [listener["address"] for listener in known["server"]["listeners"]]
    return f"{LISTENERS[addresses.index(row.listener)]}: {row.title}"


def main(path: str, names: list[str]) -> None:
    """Look, and print which of these do not pass."""
    known = facts(Path(path))
    rows = outside.look(options(Path(path))).values()
    failed = {name(known, row) for row in rows if row.verdict != "pass"}
    print(json.dumps({"failed": sorted(failed.intersection(names))}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
