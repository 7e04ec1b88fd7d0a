# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the admin dialect has no attribute for on the receiving side: slow clients, early ones, wrong passwords.

Whatever has an attribute (idle timeout, connections, errors and failed logins of one session) is set there, not here.

A table of the bootstrap file::

    [receiving]
    greet_delay = 0.0              # seconds before the 220 of a listener in clear text; 0: none
    early_talkers = "serve"        # or "refuse": 554 for a client that talks before the 220
    floor_speed = 500              # octets a second that a message text must have ...
    floor_span = 300               # ... over this many seconds; a command line must be whole within them
    crowded_idle = 60              # seconds of silence for a client without login on a crowded listener; 0: as ever
    transaction_time = 600         # seconds for a client without login to get a message accepted; 0: no limit
    peer_auth_failures = 10        # wrong passwords from one address in auth_window; 0: no limit
    account_auth_failures = 20     # wrong passwords for one account in auth_window; 0: no limit
    auth_window = 600              # seconds
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass

EARLY_TALKERS = ("serve", "refuse")

#: A client waits five minutes for the greeting (RFC 5321 section 4.5.3.2.1); nobody needs more than a part of that.
MOST_GREET_DELAY = 60.0


@dataclass(frozen=True)
class Receiving:
    """The values of the table. Time spans in seconds, speeds in octets a second; what 0 means stands above."""

    greet_delay: float = 0.0
    early_talkers: str = "serve"
    floor_speed: float = 500.0
    floor_span: float = 300.0
    crowded_idle: float = 60.0
    transaction_time: float = 600.0
    peer_auth_failures: int = 10
    account_auth_failures: int = 20
    auth_window: float = 600.0

    @property
    def refuses_early(self) -> bool:
        """Whether a client that talks before the greeting is sent away."""
        return self.early_talkers == "refuse"


#: Key: (whole numbers only, least value, greatest value).
_NUMBERS: dict[str, tuple[bool, float, float]] = {
    "greet_delay": (False, 0.0, MOST_GREET_DELAY),
    "floor_speed": (False, 0.0, 1e9),
    "floor_span": (False, 1.0, 86_400.0),
    "crowded_idle": (False, 0.0, 86_400.0),
    "transaction_time": (False, 0.0, 86_400.0),
    "peer_auth_failures": (True, 0, 1_000_000),
    "account_auth_failures": (True, 0, 1_000_000),
    "auth_window": (False, 1.0, 86_400.0),
}
KEYS = ("early_talkers", *_NUMBERS)


def read(table: dict[str, t.Any], problem: t.Callable[[str, str, str], None]) -> Receiving:
    """The table as a value; ``problem(key, reason, section)`` is told of each key that cannot be used."""
    found: dict[str, t.Any] = {}
    for key, value in table.items():
        if key == "early_talkers":
            if value in EARLY_TALKERS:
                found[key] = value
            else:
                problem(key, f"it must be one of: {', '.join(EARLY_TALKERS)}", "receiving")
        elif key not in _NUMBERS:
            problem(key, f"unknown key; known are: {', '.join(KEYS)}", "receiving")
        else:
            whole, least, most = _NUMBERS[key]
            if _is_number(value, whole) and least <= value <= most:
                found[key] = int(value) if whole else float(value)
            else:
                kind = "whole number" if whole else "number"
                problem(key, f"it must be a {kind} from {least:.0f} to {most:.0f}", "receiving")
    return Receiving(**found)


def _is_number(value: object, whole: bool) -> bool:
    """A number; TOML has true, inf and nan too."""
    kinds = int if whole else int | float
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
