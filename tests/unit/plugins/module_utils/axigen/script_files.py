# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policy scripts as they are found on servers, byte for byte, and rules to put into them."""

from __future__ import annotations

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import Call, parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script_edit import (
    ScriptEdit,
    new_if,
    new_set,
)

#: Written by WebAdmin: LF lines, one CR LF and one bare LF inside of strings, an empty line at the end.
GENERATED = (
    b"event onConnect {\n"
    b"\tcall (WA_Acceptance_basic_banner);\n"
    b"}\n"
    b"\n"
    b"event onEhlo {\n"
    b"\tcall (WA_Acceptance_basic);\n"
    b"\tcall (WA_Routing_basic_delivery);\n"
    b"}\n"
    b"\n"
    b"event onMailFrom {\n"
    b"}\n"
    b"\n"
    b"event onRcptTo {\n"
    b"}\n"
    b"\n"
    b"event onRelay {\n"
    b"\tcall (WA_Routing_basic);\n"
    b"}\n"
    b"\n"
    b"event onDeliveryFailure {\n"
    b"\tcall (WA_Processing_permanent_ndr);\n"
    b"}\n"
    b"\n"
    b"event onTemporaryDeliveryFailure {\n"
    b"\tcall (WA_Processing_temporary_ndr);\n"
    b"}\n"
    b"\n"
    b"method WA_Acceptance_basic_banner {\n"
    b'\tset (smtpGreeting, "mx.example.test at your service");\n'
    b"}\n"
    b"\n"
    b"method WA_Acceptance_basic {\n"
    b'\tset (maxDataSize, "20480");\n'
    b'\tset (allowStartTLS, "yes");\n'
    b'\tset (localDelivery, "all");\n'
    b"}\n"
    b"\n"
    b"method WA_Routing_basic_delivery {\n"
    b'\tset (remoteDelivery, "auth");\n'
    b"}\n"
    b"\n"
    b"method WA_Routing_basic {\n"
    b'\tset (allowStartTLS, "yes");\n'
    b'\tset (allowedSSLVersions, "tls12 tls13 ");\n'
    b"}\n"
    b"\n"
    b"method WA_Processing_permanent_ndr {\n"
    b"\tif (\n"
    b"\t\tallOf (\n"
    b'\t\t\tgreaterThan (ndrRetryCount, "-1")\n'
    b"\t\t\t)\n"
    b"\t\t) {\n"
    b'\t\tset (ndrSubject, "Your mail came back");\n'
    b'\t\tset (ndrMessage, "These addresses did not work:\r\n'
    b'");\n'
    b'\t\tset (ndrRcptMessage, "%ndrRcptAddress% : %ndrRcptFailInfo%\r\n'
    b'");\n'
    b'\t\tset (sendNdr, "yes");\n'
    b"\t}\n"
    b"}\n"
    b"\n"
    b"method WA_Processing_temporary_ndr {\n"
    b'\tset (ndrMessage, "Still trying:\n'
    b'");\n'
    b'\tset (ndrMessageFooter, "Next try %ndrRescheduleDate%\n'
    b'  (two spaces, a tab\tand a blank at the end) ");\n'
    b"}\n"
    b"\n"
)

#: An event with ``set`` lines in front of the calls, empty conditions, methods that nothing calls.
PLUMBING = (
    b"event onConnect {\n"
    b'\tset (countriesOk_0, " ");\n'
    b'\tset (countriesBad_0, "");\n'
    b'\tset (isBanned_0, "%isBanned%");\n'
    b"\tcall (WA_Acceptance_basic_banner);\n"
    b"}\n"
    b"\n"
    b"event onEhlo {\n"
    b"\tcall (WA_Acceptance_basic);\n"
    b"\tcall (WA_Routing_basic_delivery);\n"
    b"\tcall (Branch_Relay);\n"
    b"}\n"
    b"\n"
    b"event onRcptTo {\n"
    b"}\n"
    b"\n"
    b"event onRelay {\n"
    b"\tcall (WA_Routing_basic);\n"
    b"}\n"
    b"\n"
    b"method WA_Country {\n"
    b"\tif (\n"
    b"\t\tanyOf (\n"
    b'\t\t\tisCase (isBanned_0, "no")\n'
    b"\t\t\t)\n"
    b"\t\t) {\n"
    b"\t}\n"
    b"}\n"
    b"\n"
    b"method WA_Acceptance_basic_banner {\n"
    b'\tset (smtpGreeting, "mx.example.test");\n'
    b"}\n"
    b"\n"
    b"method WA_Acceptance_basic {\n"
    b'\tset (allowStartTLS, "yes");\n'
    b'\tset (localDelivery, "auth");\n'
    b"}\n"
    b"\n"
    b"method WA_Routing_basic_delivery {\n"
    b'\tset (remoteDelivery, "auth");\n'
    b"}\n"
    b"\n"
    b"method WA_Routing_basic {\n"
    b'\tset (allowStartTLS, "yes");\n'
    b'\tset (allowedSSLVersions, "tls11 tls12 tls13 ");\n'
    b"}\n"
    b"\n"
    b"method WA_AntiSpam_SPF_Fail {\n"
    b"\tif (\n"
    b"\t\tanyOf (\n"
    b'\t\t\tisCase (SPFResult, "fail")\n'
    b"\t\t\t)\n"
    b"\t\t) {\n"
    b'\t\tset (smtpAction, "reject");\n'
    b'\t\tset (smtpExplanation, "SPF of <%ehloHost%> is <%SPFResult%>");\n'
    b"\t}\n"
    b"}\n"
    b"\n"
    b"method Old_Rule {\n"
    b'\tset (localDelivery, "all");\n'
    b"}\n"
    b"\n"
    b"method Branch_Relay {\n"
    b"\tif (\n"
    b"\t\tanyOf (\n"
    b'\t\t\tipRange (remoteSmtpIP, "192.0.2.0/255.255.255.0")\n'
    b"\t\t\t)\n"
    b"\t\t) {\n"
    b'\t\tset (localDelivery, "all");\n'
    b"\t}\n"
    b"}\n"
)

#: Comments and strings that look like script, mixed white space, a Latin-1 byte, a commented-out rule.
LOOKALIKE = (
    b"# Policy of the branch office. Do not touch the braces } below { !\n"
    b"# ask the postmaster first\n"
    b"\n"
    b"event onEhlo\n"
    b"{\n"
    b"    call(WA_Acceptance_basic);   call (WA_Routing_basic_delivery);\n"
    b"#   call (disableAUTH_on_non_SSL);\n"
    b"\tcall ( Night_Rule ) ;\n"
    b"}\n"
    b"\n"
    b"event onRcptTo {\n"
    b"\tcall (Explain);\t# } not the end\n"
    b"}\n"
    b"\n"
    b"# method disableAUTH_on_non_SSL {\n"
    b'#\tset (plainConnAuthTypes, "none");\n'
    b"# }\n"
    b"\n"
    b"method Explain {\n"
    b'\tif ( allOf ( isCase ( isSSLConnection , "no" ) , isCase(rcptDomain,"old.example.test") ) ) {\n'
    b'\t\tset (smtpAction, "reject");\n'
    b'\t\tset (smtpExplanation, "Bitte f\xfcr old.example.test verschl\xfcsseln } call (Nothing); # 100 % } {\n'
    b'second line of the text");\n'
    b"\t}\n"
    b"}\n"
    b"\n"
    b'method Night_Rule{set(maxRcptCount,"50");}\n'
    b"method WA_Acceptance_basic {\n"
    b'\tset (allowStartTLS, "yes");\n'
    b"}\n"
    b"method WA_Routing_basic_delivery {\n"
    b'\tset (remoteDelivery, "auth");\n'
    b"}\n"
)


def text(script: bytes) -> str:
    """A script as the parser takes it."""
    return script.decode("utf-8", "surrogateescape")


def data(script: str) -> bytes:
    """The bytes of a script's text."""
    return script.encode("utf-8", "surrogateescape")


NO_AUTH = [new_set("plainConnAuthTypes", "none")]
TLS_ONLY = [
    new_if(
        "all",
        [("isCase", "isSSLConnection", "no"), ("isCase", "rcptDomain", "partner.test")],
        [new_set("smtpAction", "reject"), new_set("smtpExplanation", "TLS only")],
    )
]


def edited(content, *edits):
    """The text after edits, each (operation, arguments) or (operation, arguments, keywords), made at once."""
    edit = ScriptEdit(parse(content))
    for operation, arguments, *keywords in edits:
        getattr(edit, operation)(*arguments, **(keywords[0] if keywords else {}))
    return edit.result().text


def call_names(content, event="e"):
    return [
        statement.method
        for block in parse(content).events
        if block.name.lower() == event.lower()
        for statement in block.statements
        if isinstance(statement, Call)
    ]
