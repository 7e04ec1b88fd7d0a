# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of several lines: ESET, the line that ends an upload, and dots at the beginning of lines."""

from __future__ import annotations

import pytest

from postern import passwords


@pytest.fixture
def contact(admin, monkeypatch):
    """A client in the context that has a text of several lines."""
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 4)
    admin.ok("CREATE Domain example.com postmasterPassword x", "COMMIT", "UPDATE Domain example.com")
    prompt = "<domain-account-contactInfo#> "
    assert admin.ok("UPDATE Account postmaster", "CONFIG ContactInfo").endswith(prompt)
    return admin


def upload(client, *lines, command="ESET contactNotes"):
    client.send(command)
    assert client.read_line().startswith(b"+OK: ")
    client.socket.sendall(b"".join(line + b"\r\n" for line in lines))
    return client.read().decode()


def notes(client):
    return client.shown()["contactNotes"]


def test_eset_keeps_a_text_through_all_levels(server, contact):
    assert upload(contact, b"one", b"", b'the "second"\\', b".").startswith("+OK: ")
    assert notes(contact) == '"one\\n\\nthe \\"second\\"\\\\"'
    contact.ok("DONE", "CONFIG ContactInfo")
    assert notes(contact).startswith('"one')
    contact.ok("BACK", "COMMIT", "UPDATE Account postmaster", "SET password y", "COMMIT", "COMMIT")
    server.restart()
    client = server.client().login()
    client.ok("UPDATE Domain example.com", "UPDATE Account postmaster", "CONFIG ContactInfo")
    assert notes(client) == '"one\\n\\nthe \\"second\\"\\\\"', "a new password does not cost the notes"


def test_back_drops_the_text(contact):
    upload(contact, b"dropped", b".")
    contact.ok("BACK", "CONFIG ContactInfo")
    assert notes(contact) == '""'
    upload(contact, b"dropped", b".")
    contact.ok("DONE", "BACK", "UPDATE Account postmaster", "CONFIG ContactInfo")
    assert notes(contact) == '""'


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ((b"..", b"."), "."),
        ((b"..a", b"...b", b"a.", b" .", b"."), ".a\\n..b\\na.\\n ."),
        ((b".a", b"."), ".a"),
        ((b".",), ""),
        ((b"", b"."), ""),
        ((b"", b"", b"."), "\\n"),
    ],
)
def test_one_dot_is_taken_away_from_two(contact, sent, kept):
    assert upload(contact, *sent).startswith("+OK")
    assert notes(contact) == f'"{kept}"'


@pytest.mark.parametrize(
    ("ending", "sent", "kept"),
    [
        ("EOF-77", (b".", b"..", b"...", b"EOF-77 ", b"eof-77", b"EOF-77"), ".\\n..\\n...\\nEOF-77 \\neof-77"),
        ("'the end'", (b"a", b"the", b"the end"), "a\\nthe"),
        ("..", (b".", b"..a", b".."), ".\\n..a"),
        ("COMMIT", (b"BACK", b"COMMIT"), "BACK"),
    ],
)
def test_another_line_can_end_the_text(contact, ending, sent, kept):
    contact.ok("BACK", "BACK", "BACK", f"SET multilineEOF {ending}")
    contact.ok("UPDATE Domain example.com", "UPDATE Account postmaster", "CONFIG ContactInfo")
    contact.send("ESET contactNotes")
    invitation = contact.read_line().decode()
    assert invitation.startswith("+OK: ") and ending.strip("'") in invitation
    contact.socket.sendall(b"".join(line + b"\r\n" for line in sent))
    assert contact.read().startswith(b"+OK: ")
    assert notes(contact) == f'"{kept}"'


def test_the_end_belongs_to_its_session(server, contact):
    contact.ok("BACK", "BACK", "BACK", "SET multilineEOF EOF-77")
    assert contact.shown()["multilineEOF"] == '"EOF-77"'
    assert server.client().login().shown()["multilineEOF"] == '"."'


@pytest.mark.parametrize("words", ["", " ''", " a b", " (a)"])
def test_what_cannot_end_a_text(admin, words):
    admin.refused("SET multilineEOF" + words)
    assert admin.shown()["multilineEOF"] == '"."'


@pytest.mark.parametrize(
    ("sent", "reason"),
    [((b"\xfc", b"."), "not UTF-8"), ((b"a\x1b[31m", b"."), "control characters"), ((b"x" * 65537, b"."), "65536")],
)
def test_a_text_that_is_refused_leaves_the_old_one(contact, sent, reason):
    upload(contact, b"old", b".")
    answer = upload(contact, *sent)
    assert answer.startswith("-ERR: ") and reason in answer and answer.endswith("contactInfo#> ")
    assert notes(contact) == '"old"'


def test_eset_of_what_is_no_text_takes_no_body(contact):
    assert "unknown object" in contact.refused("ESET signature")
    assert "too many words" in contact.refused("ESET contactNotes now")
    contact.ok("SHOW")
