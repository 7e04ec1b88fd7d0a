# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the probe share. Modules beside this file can be imported by all of them."""

from __future__ import annotations

import pytest
from odd_certificates import Office


@pytest.fixture(scope="session")
def office(tmp_path_factory):
    """An authority that signs whatever it is asked to, with a folder for the certificates of the run."""
    return Office(tmp_path_factory.mktemp("office"))
