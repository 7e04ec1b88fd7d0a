# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivery to other hosts: the queue's side of it. What happens within a conversation is tested on its own."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from postern.queue.store import StoreError, id_text
from remote_harness import BODY, DAY, HOUR, MINUTE, Relaying


@pytest.fixture
def relaying(tmp_path):
    """A queue that is sent from."""
    with Relaying(tmp_path) as relaying:
        yield relaying


def test_mail_is_delivered_and_leaves_the_queue(relaying):
    peer = relaying.peer("a.test")
    number = relaying.put("x@a.test", "y@a.test")
    message = peer.wait_message()
    assert (message.sender, tuple(message.recipients)) == ("u1@example.test", ("x@a.test", "y@a.test"))
    assert message.data == BODY
    line = relaying.attempt("a.test")
    assert line["id"] == id_text(number) and line["recipients"] == 2 and line["result"] == "sent"
    assert line["host"] == peer.behaviour.name and line["address"] == f"{peer.address}:{peer.port}"
    assert (line["level"], line["reached"], line["retry"], line["fallback"]) == ("none", "clear", 0, False)
    relaying.settled(number)
