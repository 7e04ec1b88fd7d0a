# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules that a policy script could hold as text and would never apply are refused before anything is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import ForcedTlsDomain
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import rule_forms
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import NotSupported

LEARNED = replace(AXIGEN, rcpt_domain_var="rcptDomain")


def test_subdomains_cannot_be_said_by_a_test_for_equality():
    with pytest.raises(NotSupported, match="subdomains of cloud.test would never match"):
        rule_forms.statements(ForcedTlsDomain("sub", ".cloud.test", "TLS please"), LEARNED)
    assert rule_forms.statements(ForcedTlsDomain("whole", "cloud.test", "TLS please"), LEARNED)
