# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SMTP verbs: each a function of the session and the argument that returns a reply.

A verb that has to wait for something (a password check) returns no reply; one comes when the action ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..queue.store import Recipient
from . import auth
from .address import Mailbox, SyntaxRefused, hello_name, is_identity, parse_path
from .reply import (
    BAD_ORDER,
    GO_AHEAD,
    HELLO_FIRST,
    NO_ARGUMENT,
    NO_ROOM,
    OK,
    RECIPIENT_OK,
    SENDER_OK,
    UNKNOWN_COMMAND,
    Reply,
)
from .state import StartTls, Transaction

if TYPE_CHECKING:
    from .session import Session

Answer = Reply | list[Reply]

#: First words of HTTP: a browser was made to talk to this port (the ALPACA and cross-protocol attacks).
_OTHER_PROTOCOLS = frozenset(("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "HOST:", "CONTENT-TYPE:"))


def answer(session: "Session", line: str) -> list[Reply]:
    """Answer one command line (without CR LF)."""
    # RFC 5321 section 2.4: verbs in any case; trailing blanks are ignored.
    word, _blank, argument = line.strip(" \t").partition(" ")
    verb = word.upper()
    handler = _VERBS.get(verb)
    if handler is None:
        if verb in _OTHER_PROTOCOLS:
            session.tally.reason = "not SMTP"
            return [Reply(554, "5.5.1", "this is not what you are looking for", close=True)]
        return [UNKNOWN_COMMAND]
    found = handler(session, argument.strip(" \t"))
    return found if isinstance(found, list) else [found]


# --- greeting and extensions ----------------------------------------------------------------------


def ehlo(session: "Session", argument: str) -> Answer:
    """RFC 5321 section 4.1.1.1; the keywords say what holds on this connection right now."""
    refused = _greet(session, argument, extended=True)
    if refused is not None:
        return refused
    variables = session.variables
    keywords = [f"{session.site.server_name} greets {session.hello}"]
    if not variables.says_no("allowPipelining"):
        keywords.append("PIPELINING")
    keywords.append(f"SIZE {variables.max_data()}")
    if not variables.says_no("allow8bitMime"):
        keywords.append("8BITMIME")
    keywords.append("ENHANCEDSTATUSCODES")
    if _offers_utf8(session):
        keywords.append("SMTPUTF8")
    if _offers_starttls(session):
        keywords.append("STARTTLS")
    mechanisms = session.mechanisms()
    if mechanisms and not session.user:
        keywords.append("AUTH " + " ".join(mechanisms))
    # RFC 2034 section 4: no enhanced code in the answer to EHLO.
    return Reply(250, "", "\n".join(keywords))


def helo(session: "Session", argument: str) -> Answer:
    """RFC 5321 section 4.1.1.1: the old greeting, one line, no extensions."""
    refused = _greet(session, argument, extended=False)
    return refused or Reply(250, "", session.site.server_name)


def _greet(session: "Session", argument: str, extended: bool) -> Reply | None:
    name = hello_name(argument)
    if name is None:
        return Reply(501, "5.5.4", "one host name or address literal is needed")
    # RFC 5321 section 4.1.4: a new EHLO is like RSET. Authentication stays; what the script decided is decided anew.
    session.forget_transaction()
    session.hello = ""
    refused = session.take_up_policy()
    if refused is not None:
        return refused
    variables = session.base.copy()
    session.tell_hello(variables, name, extended)
    refused = session.run_rules("onEhlo", variables)
    if refused is not None:
        return refused
    session.hello = name
    session.extended = extended
    session.variables = variables
    return None


def _offers_starttls(session: "Session") -> bool:
    return session.tls is None and session.site.starttls and not session.variables.says_no("allowStartTLS")


def _offers_utf8(session: "Session") -> bool:
    # RFC 6531 section 3.1: who offers SMTPUTF8 offers 8BITMIME.
    return session.extended and not session.variables.says_no("allow8bitMime")


def starttls(session: "Session", argument: str) -> Answer:
    """RFC 3207 section 4."""
    if argument:
        return Reply(501, "5.5.4", "STARTTLS takes no argument")
    if session.tls is not None:
        return Reply(503, BAD_ORDER, "already inside TLS")
    if not _offers_starttls(session):
        return Reply(502, "5.5.1", "STARTTLS is not offered")
    if session.bytes_behind():
        # RFC 3207 section 4: STARTTLS must be the last command of a group. What stands behind it in clear text was
        # perhaps put there by somebody else, for the session inside TLS.
        session.tally.reason = "bytes behind STARTTLS"
        return Reply(554, "5.5.1", "nothing may follow STARTTLS before the reply", close=True)
    session.wait_for(StartTls())
    return Reply(220, "2.0.0", "ready to start TLS")


def authenticate(session: "Session", argument: str) -> Answer:
    """RFC 4954 section 4."""
    if not session.extended or not session.hello:
        return HELLO_FIRST
    if session.user:
        return Reply(503, BAD_ORDER, "already authenticated")
    if session.transaction is not None:
        return Reply(503, BAD_ORDER, "not during a mail transaction")
    name, _blank, initial = argument.partition(" ")
    name, initial = name.upper(), initial.strip(" ")
    if not name:
        return Reply(501, "5.5.4", "a mechanism is needed")
    refused = session.take_up_policy()
    if refused is not None:
        return refused
    allowed = session.mechanisms()
    if not allowed:
        if session.tls is None:
            # The answer comes before any challenge, so that a second line with the password is never sent.
            session.site.log(
                "smtp.auth", peer=session.ends.peer, mechanism=_known(name), result="refused in clear text"
            )
            return Reply(538, "5.7.11", "encryption is required to authenticate")
        return Reply(502, "5.5.1", "authentication is not offered")
    if name not in allowed:
        return Reply(504, "5.5.4", "this mechanism is not offered")
    mechanism = auth.MECHANISMS[name](session.site.accounts)
    session.mechanism, session.mechanism_name = mechanism, name
    try:
        step = mechanism.start(auth.decode(initial) if initial else None)
    except auth.BadBase64:
        return session.end_auth(Reply(501, "5.5.2", "the initial response is not base64"))
    return session.auth_step(step)


def _known(name: str) -> str:
    """A mechanism name for the log; what is no mechanism may be a password."""
    return name if name in auth.MECHANISMS else "other"


# --- the mail transaction -------------------------------------------------------------------------


def mail(session: "Session", argument: str) -> Answer:
    """RFC 5321 section 4.1.1.2, with SIZE (RFC 1870), BODY (RFC 6152), AUTH (RFC 4954) and SMTPUTF8 (RFC 6531)."""
    if not session.hello:
        return HELLO_FIRST
    if session.transaction is not None:
        return Reply(503, BAD_ORDER, "a sender was given already")
    try:
        sender, parameters = parse_path(argument, "FROM:", sender=True, utf8=_offers_utf8(session))
    except SyntaxRefused as refused:
        return refused.reply
    refused = session.take_up_policy()
    if refused is not None:
        return refused
    variables = session.variables.copy()
    variables["mailfrom"], variables["mailfromdomain"] = str(sender), sender.domain
    transaction = Transaction(sender, variables)
    refused = session.run_rules("onMailFrom", variables) or _mail_parameters(session, transaction, parameters)
    if refused is not None:
        return refused
    session.transaction = transaction
    return SENDER_OK


def _mail_parameters(session: "Session", transaction: Transaction, parameters: dict[str, str]) -> Reply | None:
    variables = transaction.variables
    for name, value in parameters.items():
        if name == "SIZE":
            # RFC 1870 section 4: up to 20 digits.
            if not (value.isascii() and value.isdigit()) or len(value) > 20:
                return Reply(501, "5.5.4", "SIZE needs a number")
            if int(value) > variables.max_data():
                # RFC 1870 section 6.1: refuse before the data is sent.
                return Reply(552, "5.3.4", f"message too big, the limit is {variables.max_data()} octets")
            if int(value) > session.site.piece and not session.site.has_room(int(value)):
                return NO_ROOM
        elif name == "BODY" and not variables.says_no("allow8bitMime"):
            if value.upper() not in ("7BIT", "8BITMIME"):
                return Reply(501, "5.5.4", "BODY is 7BIT or 8BITMIME")
            transaction.eight_bit = value.upper() == "8BITMIME"
        elif name == "AUTH" and session.mechanisms():
            # RFC 4954 section 5: who it says is not believed, which is as if "<>" stood here.
            if not is_identity(value):
                return Reply(501, "5.5.4", "AUTH needs <> or a mailbox in xtext")
        elif name == "SMTPUTF8" and _offers_utf8(session):
            if value:
                return Reply(501, "5.5.4", "SMTPUTF8 takes no value")
            transaction.smtputf8 = True
        else:
            # RFC 5321 section 4.1.1.11.
            return Reply(555, "5.5.4", f"the parameter {name} is not supported")
    return None


def rcpt(session: "Session", argument: str) -> Answer:
    """RFC 5321 section 4.1.1.3. The script runs for each recipient on its own, so one refusal leaves the others."""
    transaction = session.transaction
    if transaction is None:
        return HELLO_FIRST if not session.hello else Reply(503, BAD_ORDER, "send MAIL first")
    try:
        mailbox, parameters = parse_path(argument, "TO:", sender=False, utf8=transaction.smtputf8)
    except SyntaxRefused as refused:
        return refused.reply
    if parameters:
        return Reply(555, "5.5.4", f"the parameter {next(iter(parameters))} is not supported")
    if len(transaction.addresses) >= transaction.variables.max_recipients():
        # RFC 5321 section 4.5.3.1.10: 452, so that the client sends the rest in another transaction.
        return Reply(452, "4.5.3", "too many recipients")
    if not mailbox.domain:
        mailbox = _postmaster(session, mailbox)
    # What a rule sets for one recipient must not hold for the next.
    variables = transaction.variables.copy()
    variables["rcptto"], variables["rcptdomain"] = str(mailbox), mailbox.domain
    refused = session.run_rules("onRcptTo", variables)
    if refused is not None:
        return refused
    accounts = session.site.accounts
    local = not mailbox.literal and accounts.has_domain(mailbox.domain)
    # An address may be another name of a mailbox, or of several; each gets one copy.
    found = ((mailbox.local_part, mailbox.domain, False, ""),)
    if local:
        found = accounts.destinations(mailbox.local_part, mailbox.domain)
    refused = _not_deliverable(session, local, found is not None, variables.delivery(local))
    if refused is not None:
        peer, recipient = session.ends.peer, str(mailbox)
        session.site.log("smtp.recipient", peer=peer, recipient=recipient, code=refused.code, reason=refused.text)
        return refused
    address = f"{mailbox.local_part}@{mailbox.domain}"
    if address not in transaction.addresses:
        transaction.addresses.append(address)
    if not found:
        session.site.log("smtp.discard", peer=session.ends.peer, recipient=address)
    for names in found:
        recipient = Recipient(*names)
        if recipient not in transaction.recipients:
            transaction.recipients.append(recipient)
    return RECIPIENT_OK


def _postmaster(session: "Session", mailbox: Mailbox) -> Mailbox:
    """RFC 5321 section 4.5.1: Postmaster without a domain is this server's own."""
    domains = session.site.accounts.domains()
    name = session.site.server_name.lower()
    domain = name if name in domains or not domains else domains[0]
    return Mailbox(mailbox.local_part, domain)


def _not_deliverable(session: "Session", local: bool, known: bool, permission: str) -> Reply | None:
    authenticated = bool(session.user)
    if permission == "none" or (permission == "auth" and not authenticated):
        if not local:
            # RFC 3463 section 3.8, X.7.1: no open relay.
            return Reply(550, "5.7.1", "relaying denied")
        if permission == "auth":
            # RFC 4954 section 6.
            return Reply(530, "5.7.0", "authentication required")
        return Reply(550, "5.7.1", "no mail is taken for this domain")
    if not known:
        return Reply(550, "5.1.1", "no such mailbox here")
    return None


def data(session: "Session", argument: str) -> Answer:
    """RFC 5321 section 4.1.1.4."""
    if argument:
        return NO_ARGUMENT
    if session.transaction is None:
        return HELLO_FIRST if not session.hello else Reply(503, BAD_ORDER, "send MAIL first")
    if not session.transaction.addresses:
        # RFC 5321 section 3.3: no valid recipient, so no text is taken.
        return Reply(503, BAD_ORDER, "no valid recipients")
    session.begin_data()
    return GO_AHEAD


# --- the rest -------------------------------------------------------------------------------------


def rset(session: "Session", argument: str) -> Answer:
    """RFC 5321 section 4.1.1.5."""
    if argument:
        return NO_ARGUMENT
    session.forget_transaction()
    return OK


def noop(_session: "Session", _argument: str) -> Answer:
    """RFC 5321 section 4.1.1.9: an argument is ignored."""
    return OK


def vrfy(_session: "Session", argument: str) -> Answer:
    """RFC 5321 section 7.3: never tell whether a user exists."""
    if not argument:
        return Reply(501, "5.5.4", "an address is needed")
    return Reply(252, "2.5.1", "cannot verify, but will take mail if it can be delivered")


def lone_dot(_session: "Session", _argument: str) -> Answer:
    """A client that pipelined DATA may end a text that was not taken (RFC 2920 section 3.1)."""
    return Reply(503, BAD_ORDER, "there is no message to end")


def not_offered(_session: "Session", _argument: str) -> Answer:
    """RFC 5321 section 4.2.4: known, but not implemented."""
    return Reply(502, "5.5.1", "command not implemented")


def help_(_session: "Session", _argument: str) -> Answer:
    """RFC 5321 section 4.1.1.8."""
    return Reply(214, "2.0.0", "see RFC 5321; commands: " + " ".join(sorted(verb for verb in _VERBS if verb.isalpha())))


def quit_(session: "Session", _argument: str) -> Answer:
    """RFC 5321 section 4.1.1.10."""
    session.tally.reason = session.tally.reason or "quit"
    return Reply(221, "2.0.0", "closing the connection", close=True)


_VERBS: dict[str, Callable[["Session", str], Answer]] = {
    "EHLO": ehlo,
    "HELO": helo,
    "STARTTLS": starttls,
    "AUTH": authenticate,
    "MAIL": mail,
    "RCPT": rcpt,
    "DATA": data,
    "RSET": rset,
    "NOOP": noop,
    "VRFY": vrfy,
    "EXPN": not_offered,
    "BDAT": not_offered,
    "HELP": help_,
    "QUIT": quit_,
    ".": lone_dot,
}
