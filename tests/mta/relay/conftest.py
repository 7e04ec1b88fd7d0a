# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The labs of the relay tests."""

from __future__ import annotations

import gc
import hashlib
import warnings

import pytest
import relay_lab


@pytest.fixture(scope="module", autouse=True)
def nobody_elses_garbage():
    """Here a warning is an error: what tests of other modules left to the garbage collector is none of these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def lab(tmp_path_factory, authority):
    """A lab for tests about the first attempt: there is no second one while they run."""
    with relay_lab.Lab(tmp_path_factory.mktemp("lab"), authority) as lab:
        yield lab


@pytest.fixture(scope="session")
def busy_lab(tmp_path_factory, authority):
    """A lab that tries again after a moment."""
    with relay_lab.Lab(tmp_path_factory.mktemp("busy"), authority, retry=(0.2,), command_timeout=2) as lab:
        yield lab


@pytest.fixture
def domain(request):
    """A recipient domain that no other test has, so that log and peers can be told apart."""
    return f"t{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]}.test"


@pytest.fixture
def peer(lab):
    """A function that makes peers of the lab for one test: ``peer(host, **behaviour)``."""
    yield from _peers(lab)


@pytest.fixture
def busy_peer(busy_lab):
    """The same for the lab that tries again."""
    yield from _peers(busy_lab)


def _peers(lab):
    made = []

    def make(host, **behaviour):
        made.append(lab.peer(host, **behaviour))
        return made[-1]

    yield make
    for sink in made:
        sink.close()
