# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes down when each task of a playbook begins, for the benchmarks."""

from __future__ import annotations

DOCUMENTATION = """
name: task_clock
type: aggregate
short_description: when each task begins
description:
  - A JSON list of names and seconds in the file that E(TASK_CLOCK_FILE) names; the last entry is the end.
author:
  - securemail.smtp contributors
"""

import json
import os
import time

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """See ``DOCUMENTATION``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_clock"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._begun = []

    def v2_playbook_on_task_start(self, task, is_conditional):
        """One task begins, on the first of its hosts."""
        self._begun.append((task.get_name(), time.perf_counter()))

    def v2_playbook_on_stats(self, stats):
        """The playbook ends."""
        self._begun.append(("", time.perf_counter()))
        with open(os.environ["TASK_CLOCK_FILE"], "w", encoding="utf-8") as file:
            json.dump(self._begun, file)
