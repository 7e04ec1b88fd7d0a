# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the server's host looks like."""

from __future__ import annotations

from host_checks import *  # noqa: F401,F403
