# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules on policy scripts as people have them: only what is owned changes, byte for byte, on the server's disk."""

from __future__ import annotations

import difflib

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen import script_files as scripts
from mta_process import PASSWORD, call

RULE = {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []}
METHOD = b"method disableAUTH_on_non_SSL {\n\tset (plainConnAuthTypes, \"none\");\n}\n"


def connection(mta):
    return {"admin_port": mta.port, "admin_password": PASSWORD}


def added_lines(before, after):
    """The lines that were added, and those that were removed."""
    lines = list(difflib.ndiff(before.decode("latin-1").split("\n"), after.decode("latin-1").split("\n")))
    return [line[2:] for line in lines if line[0] == "+"], [line[2:] for line in lines if line[0] == "-"]


def converge(mta, parameters, module="smtp_auth_rule"):
    """Run, run again; the second run must change nothing."""
    first = call(module, dict(connection(mta), **parameters), False)
    assert first.get("changed") is True, first
    for check in (True, False):
        again = call(module, dict(connection(mta), **parameters), check)
        assert again["changed"] is False, again
        assert again["diff"]["before"] == again["diff"]["after"]
    return first


def test_mixed_line_ends(start_mta):
    mta = start_mta(scripts.GENERATED)
    converge(mta, RULE)
    added, removed = added_lines(scripts.GENERATED, mta.script())
    assert removed == []
    assert [line for line in added if line] == ["\tcall (disableAUTH_on_non_SSL);", *METHOD.decode().splitlines()]
    # The line ends inside the two texts are what they were, and the new lines have the file's own.
    assert b"did not work:\r\n\");" in mta.script()
    assert b"Still trying:\n\");" in mta.script()
    assert mta.script().count(b"\r") == scripts.GENERATED.count(b"\r")


def test_a_script_that_is_only_shown_keeps_its_bytes(start_mta):
    mta = start_mta(scripts.GENERATED)
    assert call("smtp_info", connection(mta), False)["changed"] is False
    call("smtp_account", dict(connection(mta), domain="example.test", postmaster_password="Pm-12345"), False)
    mta.stop()
    mta.start()
    assert mta.script() == scripts.GENERATED


def test_windows_line_ends(start_mta):
    script = scripts.PLUMBING.replace(b"\n", b"\r\n")
    mta = start_mta(script)
    converge(mta, RULE)
    assert mta.script().replace(b"\r\n", b"").count(b"\n") == 0
    assert METHOD.replace(b"\n", b"\r\n") in mta.script()


def test_statements_in_events(start_mta):
    mta = start_mta(scripts.PLUMBING)
    tls = {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": ["PLAIN", "LOGIN"]}
    converge(mta, dict(RULE, position="first"))
    converge(mta, dict(tls, position={"after": RULE["name"]}))
    script = mta.script()
    added, removed = added_lines(scripts.PLUMBING, script)
    assert removed == []
    start = script.index(b"event onEhlo")
    calls = script[start:script.index(b"}", start)].split(b"\n")[1:-1]
    assert calls == [
        b"\tcall (WA_Acceptance_basic);",
        b"\tcall (WA_Routing_basic_delivery);",
        b"\tcall (disableAUTH_on_non_SSL);",
        b"\tcall (enableAUTH_on_SSL);",
        b"\tcall (Branch_Relay);",
    ]
    assert [script.count(b"method %s {" % rule["name"].encode()) for rule in (RULE, tls)] == [1, 1]
    connect = scripts.PLUMBING[:scripts.PLUMBING.index(b"event onEhlo")]
    assert script.startswith(connect)
    policy = call("smtp_info", connection(mta), False)["policy"]
    idle = {rule["name"] for rule in policy["other_rules"] + policy["rules"] if not rule["enabled"]}
    assert {"WA_AntiSpam_SPF_Fail", "Old_Rule"} <= idle


def test_text_that_looks_like_script(start_mta):
    mta = start_mta(scripts.LOOKALIKE)
    converge(mta, RULE)
    script = mta.script()
    added, removed = added_lines(scripts.LOOKALIKE, script)
    assert removed == []
    assert [line for line in added if line] == ["\tcall (disableAUTH_on_non_SSL);", *METHOD.decode().splitlines()]
    assert script.count(b"\xfc") == scripts.LOOKALIKE.count(b"\xfc")
    policy = call("smtp_info", connection(mta), False)["policy"]
    assert [rule["name"] for rule in policy["auth_rules"]] == ["disableAUTH_on_non_SSL"]
    # A rule made by hand that says what a forced-TLS domain says is one, whatever its text is.
    assert [rule["domain"] for rule in policy["forced_tls_domains"]] == ["old.example.test"]


def test_script_that_is_not_understood_is_left_alone(start_mta):
    """The server refuses such a script, so it is shown by a server that does not look into it."""
    import threading
    import socket

    text = b"event onEhlo {\r\n\tcall (One);\r\n\r\nmethod One {\r\n}\r\n"
    replies = {
        b"GET": b"10.6.30|Linux|x86_64\r\n+OK: done\r\n<login> ",
        b"USER": b"<password> ",
        b"CONFIG": b"+OK: done\r\n<server#> ",
        b"SHOW \"SmtpFilters\"": text + b"+OK: done\r\n<server#> ",
        b"SHOW": b"Server {\r\n}\r\n+OK: done\r\n<server#> ",
        b"BACK": b"+OK: done\r\n<#> ",
    }
    said = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            peer, _address = listener.accept()
            with peer, peer.makefile("rb") as lines:
                peer.sendall(b"Welcome\r\n<login> ")
                for line in lines:
                    said.append(line.split()[0])
                    word = next((key for key in replies if line.replace(b'"', b"").startswith(key.replace(b'"', b""))), None)
                    peer.sendall(replies[word] if word else b"+OK: Authentication successful\r\n<#> ")

        threading.Thread(target=serve, daemon=True).start()
        parameters = dict(RULE, admin_port=listener.getsockname()[1], admin_password=PASSWORD, dialect="postern", admin_timeout=3)
        result = call("smtp_auth_rule", parameters, False)
    assert result["failed"]
    assert "line 4, column 1" in result["msg"] or "line 1, column 1" in result["msg"], result["msg"]
    assert not {b"UPDATE", b"COMMIT", b"SET"} & set(said)
