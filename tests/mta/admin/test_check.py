# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``check``: all mistakes at once, each with its file and line; and where keys stand in a TOML file."""

from __future__ import annotations

import os
import pwd
import socket
import sqlite3
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postern.admin import cfgfile, tree
from postern.toml_lines import TomlLines


def said(program, *more: str) -> list[str]:
    """What the check says, a line for each finding; with its exit status in front."""
    done = program.run("check", *more)
    assert "Traceback" not in done.stderr
    return [str(done.returncode), *done.stderr.splitlines()]


def saved(program, *listeners: tuple[str, str]) -> Path:
    """A saved configuration with these listeners: address and certificate file."""
    server = tree.new_server()
    text = cfgfile.print_server(server)
    shown = "".join(
        f'{{\naddress = {address}\nsslControl = {{ certFile = "{path}" }}\n}}\n' for address, path in listeners
    )
    start = text.index("listeners = (")
    path = program.state_dir / "postern.cfg"
    path.write_text(f"{text[:start]}listeners = (\n{shown})\n{text[text.index(')', start) + 1:]}")
    return path


def line_of(path: Path, words: str) -> int:
    """The number of the first line that has these words."""
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if words in line)


def test_all_mistakes_at_once_each_with_its_line(program, authority, free_address):
    script = program.folder / "initial.script"
    script.write_text("event onEhlo {\n}\nevent onRelay {\n\tsurprise;\n}\n")
    expired = authority.issue("expired-check.pem", days=-1)
    saved_tree = saved(program, (free_address, expired), ("127.0.0.2:2", "/nowhere/missing.pem"))
    (program.state_dir / "filters").mkdir(exist_ok=True)
    (program.state_dir / "filters" / "smtpFilters.script").write_text("\n\nbroken {\n")
    with sqlite3.connect(program.state_dir / "queue.sqlite3") as queue:
        queue.execute("PRAGMA user_version=99")
    queue.close()
    whole = program.config.read_text()
    program.config.write_text(
        f"colour = 3\ninitial_script = 'initial.script'\n{whole}interval_connections = true\n"
        f'[metrics]\naddress = "192.0.2.1:1"\n[tls]\ncertificates = [\n  "{expired}",\n]\n'
        '[[route]]\ndomain = "a.test"\n[[route]]\ndomain = "b.test"\npassword = "s3cret"\nlevel = "most"\n'
    )
    host, _colon, port = free_address.rpartition(":")
    with socket.create_server((host, int(port))), socket.create_server(("127.0.0.1", program.port)):
        status, *lines = said(program)
    config = program.config
    here = [line.removeprefix(f"{config}:") for line in lines if line.startswith(f"{config}:")]
    wanted = ("colour", "interval", "192.0.2.1", "certificates", "s3cret", "most", "127.0.0.1")
    numbers = {words: line_of(config, words) for words in wanted}
    assert status == "1"
    assert sorted(line.split(": ")[0:2] for line in here) == sorted([
        [str(numbers["colour"]), "colour"],
        [str(numbers["interval"]), "admin.interval_connections"],
        [str(numbers["192.0.2.1"]), "metrics.address"],
        [str(numbers["s3cret"]), "route[2].password"],
        [str(numbers["most"]), "route[2].level"],
        [str(numbers["127.0.0.1"]), "admin.address"],
        [str(numbers["certificates"]), "warning"],
        [str(numbers["192.0.2.1"]), "metrics.address"],
    ])  # fmt: skip
    there = [line for line in lines if not line.startswith(f"{config}:")]
    places = sorted(line.split(": ")[0] for line in there)
    assert places == sorted([
        f"{script}:4",
        f"{program.state_dir}/filters/smtpFilters.script:3",
        f"{saved_tree}:{line_of(saved_tree, free_address)}",
        f"{saved_tree}:{line_of(saved_tree, free_address)}",
        f"{saved_tree}:{line_of(saved_tree, '127.0.0.2:2')}",
        f"{program.state_dir}/queue.sqlite3",
    ])  # fmt: skip
    whole_text = "\n".join(lines)
    assert f"listener {free_address}: {host} port {port}: address already in use" in whole_text
    assert "has expired, on" in whole_text and "format 99" in whole_text and "s3cret" not in whole_text


def test_warnings_alone_have_a_status_of_their_own(program, authority, free_address):
    saved(program, (free_address, authority.issue("late-check.pem", days=-1)))
    status, line = said(program)
    assert status == "5" and line.split(": ")[1] == "warning"
    assert said(program, "--lenient") == ["0", line]


def test_a_server_that_runs_has_its_own_ports(program):
    program.start()
    assert said(program) == ["0"]
    program.run("stop")
    with socket.create_server(("127.0.0.1", program.port)):
        status, line = said(program)
    assert status == "1" and "admin.address: 127.0.0.1 port" in line


def test_a_file_is_shown_as_the_one_that_it_will_be(program):
    fresh = program.folder / "tmp" / "validated"
    fresh.parent.mkdir()
    fresh.write_text(program.config.read_text() + 'certificate = "missing.pem"\n')
    real = program.config
    program.config = fresh
    number = line_of(fresh, "missing")
    wanted = f"{real}:{number}: admin.certificate: there is no file {real.parent}/missing.pem"
    assert said(program, "--as", str(real)) == ["1", wanted]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as another user")
def test_folders_are_checked_with_the_rights_of_who_writes_them(program):
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program.user, program.state_dir = "nobody", Path(folder, "state")
        program.write_config()
        assert said(program) == ["0"]
        program.state_dir.mkdir()
        number = line_of(program.config, "state_dir")
        assert said(program) == ["1", f"{program.config}:{number}: state_dir: {program.state_dir} cannot be written"]
        os.chown(program.state_dir, nobody.pw_uid, nobody.pw_gid)
        assert said(program) == ["0"]
        program.state_dir.rmdir()
        program.state_dir.write_text("")
        assert said(program)[1].endswith(f"state_dir: {program.state_dir} is no folder")


# --- lines --------------------------------------------------------------------------------------

_WORD = st.text("abc", min_size=1, max_size=3)
_VALUE = st.sampled_from([
    "1", '"x = 1 # [a]"', "'''\na = 1\n[b]\n'''", '"""\\"""" # "', '"""\n[a]\n\\"""\nb = 2\n"""', "[\n  1, # ]\n  2,\n]",
    '{ a = "}", b = { c = [1] } }', "'\\'", '[["]"],\n[]]', "1979-05-27",
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_WORD, st.dictionaries(_WORD, _VALUE, max_size=4), max_size=4), st.booleans())
def test_every_key_is_found_on_the_line_where_it_was_written(tables, several):
    lines: list[str] = []
    wanted: dict[tuple[str, str], int] = {}
    for name, keys in tables.items():
        lines += ["# a comment with [brackets] and a = 1", f"[[ {name} ]]" if several else f"[{name}]"]
        for key, value in keys.items():
            wanted[name + ("[1]" if several else ""), key] = len(lines) + 1
            lines += f"{key} = {value}".split("\n")
    text = "\n".join(lines)
    tomllib.loads(text)
    found = TomlLines(text)
    assert {(section, key): found.of(key, section) for section, key in wanted} == wanted


def test_a_key_with_dots_and_one_in_braces():
    found = TomlLines('a = 1\nadmin.address = "x"\n"tls" = { certificates = 3 }\n\n[x."y"]\nz=1\n')
    assert (found.of("address", "admin"), found.of("certificates", "tls")) == (2, 3)
    assert (found.of("z", "x.y"), found.of("gone", "x.y"), found.of("gone", "none"), found.of("a")) == (6, 5, 1, 1)
