# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole session in the documented layouts, whose texts hold all that could be taken for an end.

Each exchange is a command, its answer up to the prompt, and the prompt that is possible.
"""

from __future__ import annotations

import typing as t

#: A status line and the very prompt of the context, as somebody's text may contain them.
FALSE_END = b"+OK: not yet\r\n<server#> \r\n-ERR: nor this\r\n<server#> "

SCRIPT = (
    b'# a comment with a quote " and a brace {\r\nevent onEhlo {\r\n\tcall (WA_Acceptance_basic);\r\n}\r\n\r\n'
    b'method Text {\r\n\tset (smtpExplanation, "{ line\r\n' + FALSE_END + b'\r\nf\xc3\xbcr \xfc }");\r\n}\r\n'
)

CONFIGURATION = (
    b"Server {\r\n    services = (smtpIncoming smtpOutgoing)\r\n    # a brace } and a quote \" in a comment\r\n"
    b'    serverName = "mx \\"one\\" {\r\n' + FALSE_END + b'\r\n"\r\n'
    b"    /* +OK: no\r\n<server#> */\r\n"
    b"    smtpIncoming = {\r\n        listeners = ( { address = 0.0.0.0:25 } )\r\n    }\r\n}\r\n"
)

SHOWN = (
    b"The current context has the following attributes:\r\n\r\naddress = 0.0.0.0:25\r\n"
    b'note = "two\r\n' + FALSE_END + b'\r\nlines"\r\nnovelty = (a b)\r\nsslEnable = no\r\n\r\n'
)

TABLE = (
    b"The list of domains for this server:\r\n\r\n\r\nname       | comment\r\n------------------------\r\n"
    b"a.test     | +OK: fine\r\n<server#> b | -ERR: x\r\n\r\n"
)

HELP = (
    b"The commands available for the SERVER context are:\r\nSET [serverName <text>] - change attributes\r\n"
    b"+OK: is what an answer ends with\r\n<server#> \r\nBACK - drop the changes\r\n\r\n"
)


class Exchange(t.NamedTuple):
    """One command and its whole answer. ``payload`` are the answer's lines before the status."""

    command: t.Tuple[str, ...]
    payload: bytes
    status: bytes
    prompt: bytes

    @property
    def answer(self) -> bytes:
        """What the server sends."""
        return self.payload + self.status + self.prompt


def _exchange(command: str, payload: bytes = b"", status: bytes = b"+OK: command successful\r\n") -> Exchange:
    return Exchange(tuple(command.split()), payload, status, b"<server#> ")


#: What happens inside the server context.
SESSION = (
    _exchange("SHOW SmtpFilters", SCRIPT),
    _exchange("SHOW Config", CONFIGURATION),
    _exchange("SHOW", SHOWN),
    _exchange("SHOW ATTR note", b'note = "two\r\n' + FALSE_END + b'\r\nlines"\r\n'),
    _exchange("SHOW ATTR sslEnable", b"sslEnable = no\r\n", b"+OK\r\n"),
    _exchange("LIST Domains", TABLE),
    _exchange("HELP", HELP),
    _exchange("SET serverName x", b"", b"-ERR: <server#> is no name\r\n"),
    _exchange("SET serverName y", b"committing <server#> \r\n", b"+OK\r\n"),
)
