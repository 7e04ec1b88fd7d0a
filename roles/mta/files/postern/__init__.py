# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""postern: a small mail server whose policy is administered over a line protocol."""

from __future__ import annotations

import platform

__version__ = "0.5.0"

#: Answer to ``GET VERSION``: the dialect's level first, then what really answers.
ADMIN_VERSION = f"10.6.30-postern|{platform.system()}|{platform.machine()}"
