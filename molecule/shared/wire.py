# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks from outside for a scenario's server.

``python wire.py TARGET.json NAME…`` runs those with these names and prints the names of those that do not pass, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ansible_collections.securemail.smtp.plugins.module_utils._probe import judge


def folder() -> Path:
    """Where this scenario's files are on the controller."""
    project = os.environ.get("MOLECULE_PROJECT_DIRECTORY") or str(Path(__file__).resolve().parents[2])
    return Path(project) / ".build" / "molecule" / os.environ["MOLECULE_SCENARIO_NAME"]


def facts(path: Path | None = None) -> dict:
    """What ``prepare`` wrote: ``target`` (the fields of :class:`judge.Target`), ``form`` and ``mechanisms``."""
    return json.loads((path or folder() / "target.json").read_text(encoding="utf-8"))


def checks(path: Path | None = None) -> list[judge.Check]:
    """All checks for this scenario's server."""
    known = facts(path)
    return judge.checks(judge.Target(**known["target"]), known["form"], known["mechanisms"])


def main(path: str, names: list[str]) -> None:
    """Run the named checks and print which do not pass."""
    failed = [check.name for check in checks(Path(path)) if check.name in names and not check.run().passed]
    print(json.dumps({"failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
