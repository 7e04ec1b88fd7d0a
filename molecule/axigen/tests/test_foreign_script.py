# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody else wrote into the policy script, after hardening, restoring, drift, a fault and hardening again."""

from __future__ import annotations

import sys
from pathlib import Path

import drift
import wire

SCENARIO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SCENARIO), str(SCENARIO.parents[1] / "devtools")]

import foreign  # noqa: E402
import webadmin  # noqa: E402

OURS = (
    "disableAUTH_on_non_SSL",
    "enableAUTH_on_SSL",
    "earlier_rule_that_loses",
    "use_only_tls12_and_13_when_relaying",
    "allow_only_tls_for_mydomain_com",
)


def test_foreign_bytes_are_what_they_were():
    prefix = wire.facts()["prefix"]
    relay, submission, submissions = (one["address"].rpartition(":")[2] for one in wire.facts()["server"]["listeners"])
    strict = (
        f"relay_{relay}_offers_no_login", f"submission_{submission}_needs_login", f"submission_{submission}_needs_tls",
        f"submission_{submissions}_needs_login",
    )
    script = Path(prefix, "state", "filters", "smtpFilters.script").read_bytes().decode("utf-8", "surrogateescape")
    assert drift.FOREIGN in script
    left = webadmin.removed(script.replace(drift.FOREIGN, ""), OURS + strict)
    assert left.encode("utf-8", "surrogateescape") == foreign.SCRIPT
