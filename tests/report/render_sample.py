# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write a report of made-up results into a folder: ``python tests/report/render_sample.py DEST [--language de] [--listeners 200]``.

Needs the collection on PYTHONPATH, as the tests do (``.build``). An earlier report that lies there is compared with.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".build"))

import sample_results  # noqa: E402
from ansible_collections.securemail.smtp.plugins.module_utils._report import (  # noqa: E402
    changes,
    document,
    html,
    junit,
    model,
)


def render(folder: Path, results: list, language: str = "en", evidence: str = "auto", generated: str = sample_results.GENERATED) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    report = model.build(results, generated, "scanner.example.org", profiles=sample_results.PROFILES)
    former = folder / "smtp-audit.json"
    if former.exists():
        report = dataclasses.replace(report, changes=changes.compare(changes.earlier(former.read_text()), report))
    page = html.render(report, language, evidence, ("smtp-audit.json", "smtp-audit.xml"))
    (folder / "smtp-audit.html").write_text(page, encoding="utf-8")
    (folder / "smtp-audit.xml").write_text(junit.render(report), encoding="utf-8")
    (folder / "smtp-audit.json").write_text(document.text(document.document(report, language, evidence)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--language", default="en", choices=["en", "de"])
    parser.add_argument("--listeners", type=int, default=0, help="a fleet of so many listeners instead of the small one")
    parser.add_argument("--evidence", default="auto", choices=["auto", "all", "problems", "none"])
    arguments = parser.parse_args()
    results = sample_results.fleet(arguments.listeners) if arguments.listeners else sample_results.small()
    render(arguments.dest, results, arguments.language, arguments.evidence)


if __name__ == "__main__":
    main()
