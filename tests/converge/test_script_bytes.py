# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the line protocol does to the bytes of a policy script: what it carries, and what is decided where it cannot."""

from __future__ import annotations

import pytest
from mta_process import PASSWORD, call
from test_scripts import METHOD, RULE

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
