# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two outer contexts: the one before login, and the root behind it."""

from __future__ import annotations

import typing as t

from . import administrators, domains, layout, waiting
from .contexts import Context, Refusal, Reply, ServerContext, named, nothing_more, text
from .protocol import Word

if t.TYPE_CHECKING:
    from .session import AdminSession

_TITLE = "The current context has the following attributes:"


def login_context(session: AdminSession) -> Context:
    """What can be said before login."""
    context = Context(session, "LOGIN", ("login",))

    def user(arguments: list[Word]) -> Reply:
        name, rest = named(arguments, "name", "the user")
        nothing_more(rest)
        session.begin_login(name)
        return Reply()

    def quiet(arguments: list[Word]) -> Reply:
        session.quiet = _on(arguments, "QUIET")
        return Reply()

    def console_codes(arguments: list[Word]) -> Reply:
        session.console_codes = _on(arguments, "CONSOLE-CODES")
        return Reply()

    def show(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        options = (("quiet", session.quiet), ("console-codes", session.console_codes))
        return Reply(layout.attributes(_TITLE, [(name, "on" if value else "off") for name, value in options]))

    context.add("USER", user, "<name>", "log in; the password is asked for")
    _add_version(context)
    context.add("SET QUIET", quiet, "on|off", "leave titles and texts out of all answers of this session")
    context.add("SET CONSOLE-CODES", console_codes, "on|off", "terminal codes around the prompts of this session")
    context.add("SHOW", show, "", "show these options")
    context.add_common(None, None, None)
    return context


def _on(arguments: list[Word], name: str) -> bool:
    if len(arguments) != 1 or text(arguments[0]).lower() not in ("on", "off"):
        raise Refusal(f"{name} takes on or off")
    return text(arguments[0]).lower() == "on"


def _add_version(context: Context) -> None:
    def version(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.lines(context.session.configuration.emulation.version))

    context.add("GET VERSION", version, "", "show the version", extension=context.segments == ())


def root_context(session: AdminSession) -> Context:
    """The context that a login leads to."""
    context = Context(session, "ROOT", ())

    def server(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return session.push(ServerContext(session))

    def show(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.attributes(_TITLE, [("multilineEOF", layout.quoted(session.multiline_eof))]))

    def ending(arguments: list[Word]) -> Reply:
        if len(arguments) != 1 or not 1 <= len(text(arguments[0])) <= 64:
            raise Refusal("multilineEOF takes one text of 1 to 64 characters")
        session.multiline_eof = text(arguments[0])
        return Reply()

    def onboarded(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.pair("onboardingComplete", "yes"))

    def onboard(arguments: list[Word]) -> Reply:
        if len(arguments) != 1 or text(arguments[0]).lower() != "yes":
            raise Refusal("onboardingComplete is yes on this server and stays so")
        return Reply()

    context.add("CONFIG SERVER", server, "", "enter the SERVER context")
    context.add("SAVE CONFIG", session.save_config, "", "save the running configuration for the next start")
    context.add("SET multilineEOF", ending, "<text>", "the line that ends an upload, in this session")
    context.add("SHOW onboardingComplete", onboarded, "", "whether the server was set up: always")
    context.add("SET onboardingComplete", onboard, "yes", "taken for the dialect's sake")
    _add_version(context)
    context.add("SHOW", show, "", "show the options of this session", extension=True)
    domains.declare(context)
    administrators.declare(context)
    waiting.declare(context)
    context.add_common(None, None, None)
    return context
