# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the SMTP services a server starts, by the attribute ``services`` of its configuration."""

from __future__ import annotations

import typing as t

from . import config

#: What each word of the attribute starts, in lower case. ``smtp`` is an older word for both.
_STARTED_BY = {"receiving": ("smtpincoming", "smtp"), "sending": ("smtpoutgoing", "smtp")}


def started(tree: str) -> t.Dict[str, t.Optional[bool]]:
    """``receiving`` and ``sending``: whether the server starts them, None where it does not say.

    ``tree`` is what ``SHOW Config`` prints. Raises ``ConfigError``.
    """
    server = config.parse(tree)
    server = server.get("server", server)
    words = server.get("services")
    if words is None:
        return dict.fromkeys(_STARTED_BY)
    listed = {str(word).lower() for word in (words if isinstance(words, tuple) else (words,))}
    return {service: not listed.isdisjoint(names) for service, names in _STARTED_BY.items()}


def notes(services: t.Mapping[str, t.Optional[bool]]) -> t.List[str]:
    """What somebody who reads the policy should know about them."""
    said = []
    if services["receiving"] is False:
        said.append("the service that receives mail is not started: no listener answers")
    if services["sending"] is False:
        said.append("the service that sends mail is not started: mail to other hosts waits")
    return said
