# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups before a change, and the way back from them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import resource
import stat
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils import _backup
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN as POSTERN_NAMES
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.server import AxigenServer
from mta_process import PASSWORD, POSTERN, SCRIPT, play
from proxy import FaultyAdmin

RULE = {"name": "closed", "connection": "plain", "mechanisms": []}

#: A script with what no module would write: other white space, a comment, CR LF in between, bytes that are no UTF-8.
ODD = SCRIPT + b"# by hand: gr\xfc\xdfe\nmethod Idle  {\n\tset (maxRcptCount,\"5\" ) ;\n}\n"


@pytest.fixture
def mta(start_mta):
    return start_mta(ODD)


@pytest.fixture
def listeners(run, lab, free_port):
    addresses = ["127.0.0.1:%d" % free_port() for _number in range(2)]
    for address in addresses:
        run("smtp_listener", address=address, certificate=lab.ecdsa, denied_networks=["192.0.2.0/24"])
    return addresses


@pytest.fixture
def backup(run, listeners):
    """A backup of a server with two listeners and one rule, which is made before a second rule."""
    assert run("smtp_auth_rule", **RULE)["changed"]
    made = run("smtp_auth_rule", name="open", connection="tls", mechanisms=["PLAIN"], backup=True)
    assert made["changed"]
    return Path(made["backup_file"])


def test_what_a_backup_is(mta, run, backups, backup):
    assert backup.parent == backups / ("127.0.0.1_%d" % mta.port)
    assert sorted(path.name for path in backup.iterdir()) == ["backup.json", "server.cfg", "smtpFilters.script"]
    for path in (backup, backup.parent, backups):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in backup.iterdir()} == {0o600}
    script = (backup / "smtpFilters.script").read_bytes()
    assert b"gr\xfc\xdfe\n" in script and b"closed" in script and b"open" not in script
    manifest = json.loads((backup / "backup.json").read_text())
    assert manifest["server"] == "127.0.0.1:%d" % mta.port and "postern" in manifest["server_version"]
    assert run("smtp_auth_rule", backup=True, **RULE).get("backup_file") is None, "nothing changed"
    assert run("smtp_auth_rule", check=True, backup=True, **(RULE | {"connection": "tls"})).get("backup_file") is None
    assert list(backup.parent.iterdir()) == [backup]


def test_backups_are_made_where_the_server_is_not_known(run, backups):
    assert "backup_file" not in run("smtp_tls", starttls_outbound=False)
    assert not backups.exists()
    assert Path(run("smtp_tls", starttls_outbound=True, dialect="axigen")["backup_file"]).is_dir()
    assert "backup_file" not in run("smtp_tls", starttls_outbound=False, dialect="axigen", backup=False)


def test_restore_after_arbitrary_changes(mta, run, lab, free_port, listeners, backup):
    before = run("smtp_info")["policy"]
    script = mta.script()
    run("smtp_auth_rule", name="open", state="absent")
    wanted = run("smtp_info")["policy"]
    # A listener is gone, one is new, one is another one; rules and settings have changed.
    run("smtp_listener", address=listeners[0], state="absent")
    run("smtp_listener", address="127.0.0.1:%d" % free_port())
    run("smtp_listener", address=listeners[1], certificate=lab.rsa, idle_timeout=9, denied_networks=[])
    run("smtp_auth_rule", **(RULE | {"mechanisms": ["PLAIN"]}))
    run("smtp_forced_tls_domain", domains=["a.test", "b.test"])
    run("smtp_tls", starttls_outbound=False, ciphers="ECDHE+AESGCM")
    changed = run("smtp_info")["policy"]
    predicted = run("smtp_restore", src=str(backup), check=True)
    assert predicted["changed"] and run("smtp_info")["policy"] == changed
    result = run("smtp_restore", src=str(backup), backup=True)
    assert result["changed"] and "failed" not in result, result
    assert (result["diff"], result["actions"]) == (predicted["diff"], predicted["actions"])
    assert "set back the policy script" in result["actions"] and len(result["actions"]) == 4
    assert run("smtp_info")["policy"] == wanted == result["policy"]
    assert mta.script() == (backup / "smtpFilters.script").read_bytes()
    for check in (True, False):
        again = run("smtp_restore", src=str(backup), check=check)
        assert again["changed"] is False and again["diff"]["before"] == again["diff"]["after"]
    # The restoration can be undone as well, and so can all of it.
    assert run("smtp_restore", src=result["backup_file"])["changed"]
    assert run("smtp_info")["policy"] == changed
    run("smtp_restore", src=str(backup))
    run("smtp_auth_rule", name="open", connection="tls", mechanisms=["PLAIN"])
    assert run("smtp_info")["policy"] == before and mta.script() == script


def test_comment_that_no_policy_knows(mta, run, backup):
    """A difference in what is no policy is one, too."""
    run("smtp_restore", src=str(backup))
    session = AdminSession("127.0.0.1", mta.port)
    session.login("admin", PASSWORD)
    session.enter("CONFIG", "SERVER")
    text = mta.script().decode("utf-8", "surrogateescape").replace("hand", "foot")
    session.upload("UPDATE", "SmtpFilters", text=text)
    session.leave("COMMIT")
    session.close()
    result = run("smtp_restore", src=str(backup))
    assert result["changed"] and result["diff"]["before"] != result["diff"]["after"]
    assert result["diff"]["before"]["policy"] == result["diff"]["after"]["policy"]
    assert mta.script() == (backup / "smtpFilters.script").read_bytes()


def test_attribute_of_which_a_backup_says_nothing(mta, run, listeners, backup):
    """Another version of the server may have shown less: what it was nobody knows, and the restoration says so."""
    config = backup / "server.cfg"
    config.write_text(without(config.read_text()))
    manifest = json.loads((backup / "backup.json").read_text())
    manifest["sha256"]["server.cfg"] = hashlib.sha256(config.read_bytes()).hexdigest()
    (backup / "backup.json").write_text(json.dumps(manifest))
    assert run("smtp_listener", address=listeners[0], max_connections=3, idle_timeout=9)["changed"]
    result = run("smtp_restore", src=str(backup))
    assert result["changed"], result
    said = "listener %s: not known then and left as it is now: maxConnections, maxChainDepth" % listeners[0]
    assert said in result.output
    (listener,) = [entry for entry in result["policy"]["listeners"] if entry["address"] == listeners[0]]
    assert (listener["max_connections"], listener["idle_timeout"]) == (None, 300)
    assert run("smtp_restore", src=str(backup))["changed"] is False


def test_certificate_that_has_gone(mta, run, lab, listeners, backup, tmp_path):
    """The server had it and has to judge: it is a warning, and the server's refusal is rolled back."""
    certificate = tmp_path / "mail.pem"
    certificate.write_bytes(Path(lab.ecdsa).read_bytes())
    assert run("smtp_listener", address=listeners[0], certificate=str(certificate))["changed"]
    made = run("smtp_listener", address=listeners[0], state="absent", backup=True)
    certificate.unlink()
    before = run("smtp_info")["policy"]
    predicted = run("smtp_restore", check=True, src=made["backup_file"])
    assert predicted["changed"] and str(certificate) in json.dumps(predicted["warnings"])
    result = run("smtp_restore", src=made["backup_file"])
    assert result["failed"] and result["server_state"] == "unchanged" and str(certificate) in result["msg"]
    assert run("smtp_info")["policy"] == before


def without(config: str) -> str:
    """A configuration of a server that shows no defaults."""
    shorter = re.sub(r"\n *(maxConnections|maxChainDepth) = \d+", "", config)
    assert shorter != config
    return shorter


def test_way_back_on_a_server_that_shows_no_defaults(mta, run, listeners):
    """What was set by a change that is rolled back goes away with the listener, which is made anew with all the rest."""
    before = run("smtp_info")["policy"]["listeners"]
    assert run("smtp_listener", address=listeners[0], max_connections=3)["changed"]
    session = AdminSession("127.0.0.1", mta.port)
    session.login("admin", PASSWORD)
    server = AxigenServer(session, POSTERN_NAMES, local=True, reconnect=lambda: session)
    snapshot = server.read()
    plan = server.restore(snapshot, dict(snapshot.files, **{"server.cfg": without(snapshot.files["server.cfg"])}))
    assert len(plan.actions) == 2 and "max_connections" in plan.actions[0]
    server.begin(plan)
    server.apply(plan)
    server.close()
    assert run("smtp_info")["policy"]["listeners"] == before


def test_nothing_is_saved_unless_asked(mta, run, backup):
    saved = mta.script()
    assert run("smtp_restore", src=str(backup), save=False)["changed"]
    assert mta.script() == saved


def spoil(backup, how):
    manifest = backup / "backup.json"
    if how == "damaged":
        script = backup / "smtpFilters.script"
        script.write_bytes(script.read_bytes().replace(b"yes", b"no "))
    elif how == "incomplete":
        (backup / "server.cfg").unlink()
    elif how == "no manifest":
        manifest.unlink()
    elif how == "not JSON":
        manifest.write_text("{")
    elif how == "of the future":
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    elif how == "of nothing":
        manifest.write_text('{"format": 1, "sha256": {}}')
    elif how == "of another server":
        manifest.write_text(manifest.read_text().replace("127.0.0.1", "mail.example.test"))
    elif how == "of another host":
        manifest.write_text(manifest.read_text().replace(os.uname().nodename, "another-host.test"))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("damaged", "smtpFilters.script is not what was written: its hash differs"),
        ("incomplete", "server.cfg cannot be read: No such file"),
        ("no manifest", "backup.json cannot be read: No such file"),
        ("not JSON", "backup.json is not the manifest of a backup"),
        ("of the future", "format 2 of backup.json is not known here"),
        ("of nothing", "backup.json does not name the parts of a backup"),
        ("of another server", "this is a backup of the server at mail.example.test:"),
        ("of another host", "made on host another-host.test"),
    ],
)
def test_folders_that_are_refused(shared_mta, shared_run, tmp_path, how, said):
    """Nothing is sent, not even a login, in check mode too."""
    peer = "127.0.0.1:%d" % shared_mta.port
    texts = {"smtpFilters.script": SCRIPT.decode(), "server.cfg": "Server {\n}\n"}
    folder = Path(_backup.write(str(tmp_path), peer, texts, {"server": peer, "host": os.uname().nodename}))
    spoil(folder, how)
    seen = len(shared_mta.verbs())
    for check in (True, False):
        result = shared_run("smtp_restore", src=str(folder), check=check)
        assert result["failed"] and said in result["msg"] and "Nothing was sent to the server" in result["msg"]
    assert len(shared_mta.verbs()) == seen
    above = shared_run("smtp_restore", src=str(folder.parent))
    assert above["failed"] and ("name one of them, as %s" % folder.name in above["msg"]) is (how != "no manifest")
    assert "there is no such folder" in shared_run("smtp_restore", src=str(tmp_path / "nothing"))["msg"]


def test_backup_of_another_server_that_is_wanted(run, backup):
    spoil(backup, "of another server")
    assert run("smtp_restore", src=str(backup))["failed"]
    assert run("smtp_restore", src=str(backup), other_server=True)["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_backup_that_cannot_be_written(mta, run, tmp_path, check):
    """A file where the folder should be: for root, too, this is no folder."""
    (tmp_path / "taken").write_text("")
    seen = len(mta.verbs())
    result = run("smtp_auth_rule", check=check, backup=True, backup_dir=str(tmp_path / "taken" / "below"), **RULE)
    assert result["failed"] and "backup_dir" in result["msg"] and "Nothing was sent to the server" in result["msg"]
    assert not {verb for verb, _subject in mta.verbs()[seen:]} & {"UPDATE", "COMMIT", "SAVE", "ADD", "SET"}
    assert run("smtp_auth_rule", check=True, backup=True, backup_dir="relative", **RULE)["failed"]


@pytest.fixture
def small_disk():
    """No file may grow beyond 200 bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_that_is_full(mta, run, backups, small_disk):
    """No half backup is left, and the server is not touched."""
    seen = len(mta.verbs())
    result = run("smtp_auth_rule", backup=True, **RULE)
    assert result["failed"] and "the backup cannot be written: File too large" in result["msg"]
    assert not {verb for verb, _subject in mta.verbs()[seen:]} & {"UPDATE", "COMMIT", "SAVE"}
    assert [path for path in backups.rglob("*") if path.is_file() or path.name.startswith(".")] == []


def test_password_of_a_relay_host_stands_in_the_backup_only(run):
    word = "Relay-pw-4711"
    relay = {"host": "relay.example.test", "port": 465, "username": "me", "password": word}
    assert run("smtp_policy", relay=relay)["changed"]
    gone = run("smtp_policy", relay={"state": "absent"}, backup=True)
    back = run("smtp_restore", src=gone["backup_file"], backup=True)
    assert back["changed"] and back["policy"]["relay"]["host"] == "relay.example.test"

    for result in (gone, back):
        assert word not in result.output and base64.b64encode(word.encode()).decode() not in result.output
    assert run("smtp_policy", relay=relay)["changed"] is False


def test_failure_names_the_backup(mta, run, backups):
    """Where the server's state is not known, the message says where the one before is."""
    broken = []

    def ask(line):
        broken.extend([1] if line.upper().startswith(b"SAVE") else [])
        return None if broken else line

    relay = FaultyAdmin(mta.port, ask=ask)
    result = run("smtp_auth_rule", admin_port=relay.port, backup=True, **RULE)
    relay.close()
    assert result["server_state"] == "unknown"
    assert Path(result["backup_file"]).parent.parent == backups
    assert "The state before this run is in %s; smtp_restore brings it back" % result["backup_file"] in result["msg"]
    # As somebody does who reads that: the admin port was the relay's.
    assert run("smtp_restore", src=result["backup_file"], other_server=True)["changed"]
    assert run("smtp_info")["policy"]["auth_rules"] == []


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  roles:
    - role: securemail.smtp.secure_smtp
"""


def test_role_and_playbook_with_the_backup_on_the_controller(mta, run, lab, free_port, tmp_path):
    """The role takes the backup away from the host, and the playbook brings it back from the controller."""
    (tmp_path / "secure.yml").write_text(PLAYBOOK)
    (tmp_path / "variables.json").write_text(
        json.dumps(
            {
                "secure_smtp_certificate": lab.ecdsa,
                "secure_smtp_listeners": [{"address": "127.0.0.1:%d" % free_port(), "tls": "starttls"}],
                "secure_smtp_backup": "controller",
                "secure_smtp_backup_dir": str(tmp_path / "controller"),
                "secure_smtp_admin_password": PASSWORD,
                "target": "localhost",
            }
        )
    )
    variables = ("-e", "@%s" % (tmp_path / "variables.json"))
    before = run("smtp_info")["policy"]
    play(tmp_path / "secure.yml", mta.port, *variables, SECUREMAIL_BACKUP_DIR=str(tmp_path / "host"))
    secured = run("smtp_info")["policy"]
    assert secured != before
    (folder,) = (tmp_path / "controller" / "localhost").iterdir()
    assert [path for path in (tmp_path / "host").rglob("*") if path.is_file()] == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["backup.json", "server.cfg", "smtpFilters.script"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    restore = (*variables, "-e", "securemail_backup=%s" % folder, "-e", "securemail_backup_on=controller")
    playbook = POSTERN.parents[2] / "playbooks" / "restore.yml"
    assert "changed=1" in play(playbook, mta.port, *restore)
    assert run("smtp_info")["policy"] == before
