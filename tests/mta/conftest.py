# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of the bundled server share. Modules beside this file can be imported by all of them."""

from __future__ import annotations

import pytest
import wire_certificates


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A CA with a folder for the certificates of the run."""
    return wire_certificates.Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def ec_file(authority):
    """An ECDSA certificate with key and chain."""
    return authority.issue("ec.pem")
