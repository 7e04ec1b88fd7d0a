# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each step of a whole visit fails in each way: the error names it, and nothing is sent behind it but the way out."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.server import AxigenServer
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import ServerError
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    BANNER,
    CLOSE,
    LOGIN,
    PASSWORD,
    RESET,
    ROOT,
    SERVER,
    ScriptedServer,
    Step,
    ok,
)

SCRIPT = b"event onEhlo {\r\n}\r\n"
CONFIGURATION = b"Server {\r\n\tsmtpIncoming = {\r\n\t\tlisteners = (\r\n\t\t)\r\n\t}\r\n}\r\n"

#: The client's line, its answer, the prompt that it is given at, and how an error names the step.
VISIT = [
    (None, BANNER, b"", "login prompt|connect to the admin interface"),
    (b"GET VERSION", ok(LOGIN, payload=b"10.6.30|Linux|x86_64\r\n"), LOGIN, "GET VERSION"),
    (b"USER admin", b"<password> ", LOGIN, 'log in to .* as "admin"'),
    (PASSWORD.encode(), ok(ROOT), LOGIN, 'log in to .* as "admin"'),
    (b"CONFIG SERVER", ok(SERVER), ROOT, "CONFIG SERVER"),
    (b"SHOW SmtpFilters", ok(SERVER, payload=SCRIPT), SERVER, "SHOW SmtpFilters"),
    (b"SHOW Config", ok(SERVER, payload=CONFIGURATION), SERVER, "SHOW Config"),
    (b"BACK", ok(ROOT), SERVER, "BACK"),
]
#: A banner refuses nothing, a server may keep its version to itself, and a context's prompt can have any name.
NO_FAULT = [(0, "refused"), (1, "refused"), (1, "no status"), (4, "another prompt")]

FAULTS = ["refused", "closed", "reset", "closed in the middle", "refused and closed", "another prompt", "no status"]


def broken(number, fault):
    """The visit up to a step, which fails."""
    line, answer, here, _name = VISIT[number]
    steps = [Step(asked, said) for asked, said, _prompt, _name in VISIT[:number]]
    if fault == "refused":
        return steps + [Step(line, b"-ERR: not for you\r\n" + here)]
    if fault == "closed":
        return steps + [Step(line, then=CLOSE)]
    if fault == "reset":
        return steps + [Step(line, answer[:1], then=RESET)]
    if fault == "closed in the middle":
        return steps + [Step(line, answer[:len(answer) // 2], then=CLOSE)]
    if fault == "refused and closed":
        return steps + [Step(line, b"-ERR: not for you\r\n", then=CLOSE)]
    if fault == "another prompt":
        return steps + [Step(line, b"+OK: done\r\n<elsewhere#> ", then=CLOSE)]
    return steps + [Step(line, b"what is this\r\n" + here, then=CLOSE)]


def visit(port):
    session = AdminSession("127.0.0.1", port, timeout=10.0)
    try:
        session.get_version()
        session.login("admin", PASSWORD)
        AxigenServer(session, AXIGEN, False, lambda: session).read()
    finally:
        session.close()


def test_visit():
    """The steps are right: without a fault nothing fails."""
    with ScriptedServer([Step(line, answer) for line, answer, _prompt, _name in VISIT]) as server:
        visit(server.port)
    assert server.received[-1] == b"QUIT"


CASES = [(number, fault) for number in range(len(VISIT)) for fault in FAULTS if (number, fault) not in NO_FAULT]


@pytest.mark.parametrize("number, fault", CASES, ids=["%s: %s" % (VISIT[number][3], fault) for number, fault in CASES])
def test_one_step_fails(number, fault):
    line, _answer, _prompt, name = VISIT[number]
    steps = broken(number, fault)
    if (line, fault) == (b"BACK", "refused"):
        steps.append(Step(b"CANCEL", b"-ERR: not for you\r\n" + SERVER))
    with ScriptedServer(steps) as server:
        with pytest.raises(ServerError, match=name) as caught:
            visit(server.port)
    assert PASSWORD not in str(caught.value) and PASSWORD not in repr(caught.value)
    assert ("not for you" in str(caught.value)) is fault.startswith("refused")
    sent = [step.line for step in steps if step.line is not None]
    assert server.received in (sent, sent + [b"QUIT"])
