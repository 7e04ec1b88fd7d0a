# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks from outside for a scenario's server.

``python wire.py TARGET.json FORM`` runs them all and prints the names of those that do not pass, as JSON.
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


def target(path: Path) -> judge.Target:
    """The server that ``prepare`` started."""
    return judge.Target(**json.loads(path.read_text(encoding="utf-8")))


def checks(form: str, path: Path | None = None) -> list[judge.Check]:
    """All checks of a form (``modern`` or ``article``) for this scenario's server."""
    return judge.checks(target(path or folder() / "target.json"), form)


def main(path: str, form: str) -> None:
    """Run all checks and print which do not pass."""
    failed = [check.name for check in checks(form, Path(path)) if check.run().outcome != "pass"]
    print(json.dumps({"failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
