# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the line protocol does to the bytes of a policy script: what it carries, and what is decided where it cannot."""

from __future__ import annotations

import pytest
from mta_process import PASSWORD, SCRIPT, call
from test_scripts import METHOD, RULE

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import CommandRefused

CALL = b"\tcall (disableAUTH_on_non_SSL);\n"
#: Every byte that a string can hold and the protocol can carry.
ALL_BYTES = bytes(value for value in range(1, 256) if value != 0x22)

#: A byte order mark, noise of terminals and telnet, what looks like the end of an answer, and every kind of line end.
ODD = (
    b"\xef\xbb\xbf# \xff\xfb\x01 \x1b[31m /* } {\n"
    b"event onEhlo {\n"
    b"\tcall (A);\n"
    b"}\n\n"
    b"method A {\r\n"
    b'\tset (smtpGreeting, "' + ALL_BYTES + b'\r\rone\r\n\r\r\ntwo\n+OK: done\r\n<server#> \n-ERR: no\n<#> ");\r'
    b'\tset (x, "\'");\r\r\n'
    b"}\n"
)


def rule(mta, check=False):
    return call("smtp_auth_rule", dict(RULE, admin_port=mta.port, admin_password=PASSWORD), check)


@pytest.mark.parametrize("around", [(b"", b""), (b"\n\r\n", b"# end\n\n\n")], ids=["bare", "blank lines around"])
def test_every_byte_that_is_not_ours_stays(start_mta, around):
    before, after = around
    script = ODD if not before else before + ODD[3:] + after
    mta = start_mta(script)
    assert rule(mta)["changed"] is True
    # Blank lines around a script are what the protocol does not carry.
    stored = mta.script().strip(b"\r\n")
    assert stored.count(CALL) == stored.count(METHOD.strip()) == 1
    assert stored.replace(CALL, b"").replace(b"\n\n" + METHOD.strip(), b"") == script.strip(b"\r\n")
    assert rule(mta)["changed"] is False
    assert mta.script().strip(b"\r\n") == stored


def test_what_the_protocol_cannot_carry_is_refused_before_anything_is_written(start_mta):
    mta = start_mta(b'event onEhlo {\n}\nmethod A {\n\tset (ndrMessage, "one\n.two\n");\n}\n')
    for check in (True, False):
        result = rule(mta, check)
        assert result["failed"] is True
        assert "line 6 of the new one has a dot at its beginning" in result["msg"]
    assert not {"UPDATE", "COMMIT", "SAVE"} & {verb for verb, _object in mta.verbs()}


#: What newer servers may have and this grammar has not, in a method of its own and behind a rule's call.
UNKNOWN = b"""event onEhlo {
\tcall (Modern);
}

method Modern {
\tif (isCase (isESMTP, "yes")) {
\t\tset (maxRcptCount, "50");
\t} else {
\t\tset (maxRcptCount, "5");
\t}
\tforeach (x, "a b") ;
}
"""


def test_statements_that_only_the_server_understands_stay(start_mta):
    """Beside them rules come and go, byte for byte; their method is opaque."""
    mta = start_mta(UNKNOWN, '[emulation]\nunknown_statements = "ignored"\n')
    assert rule(mta)["changed"] is True
    assert mta.script().replace(CALL, b"").replace(b"\n\n" + METHOD.strip(), b"") == UNKNOWN
    assert rule(mta)["changed"] is False
    gone = dict(name=RULE["name"], state="absent", admin_port=mta.port, admin_password=PASSWORD)
    assert call("smtp_auth_rule", gone, False)["changed"] is True
    assert mta.script() == UNKNOWN


def test_statements_that_the_bundled_server_does_not_know_are_refused_there(start_mta):
    """The bundled server by itself: what it would not do must not look as if it were in force."""
    mta = start_mta()
    session = AdminSession("127.0.0.1", mta.port, timeout=20)
    session.login("admin", PASSWORD)
    session.enter("CONFIG", "SERVER")
    with pytest.raises(CommandRefused, match="line 6, column 2: this server does not know the statement"):
        session.upload("UPDATE", "SmtpFilters", text=UNKNOWN.decode())
    assert session.command("SHOW", "SmtpFilters").text.strip() == SCRIPT.decode().strip()
    session.close()
