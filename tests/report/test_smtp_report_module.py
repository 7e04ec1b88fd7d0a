# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module: what it writes, what it calls a change, what it refuses."""

from __future__ import annotations

import contextlib
import importlib
import io
import json

import pytest
import sample_results as sample
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args

MODULE = "ansible_collections.securemail.smtp.plugins.modules.smtp_report"
FIRST, SECOND = "2026-11-25T17:00:00Z", "2026-12-02T17:00:00Z"


@pytest.fixture
def run(tmp_path):
    """Run the module as Ansible does, in this process; its result."""
    (tmp_path / "remote").mkdir()

    def report(results, check=False, **options):
        arguments = {"results": results, "dest": str(tmp_path / "out"), "date": FIRST, **options}
        arguments.update(_ansible_check_mode=check, _ansible_diff=True, _ansible_remote_tmp=str(tmp_path / "remote"))
        # As with -vvv. An older ansible-core does it unasked, and does not know the word.
        if "inject_invocation" in PASS_VARS:
            arguments["_ansible_inject_invocation"] = True
        # It goes over the wire as JSON.
        stdout = io.StringIO()
        with patch_module_args(json.loads(json.dumps(arguments))), contextlib.redirect_stdout(stdout):
            with pytest.raises(SystemExit):
                importlib.import_module(MODULE).main()
        return json.loads(stdout.getvalue())

    return report


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def fleet():
    return [sample.result("mx1.example.org"), sample.old_tls("mx2.example.org")]


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_it_writes_three_files(run, out):
    result = run(fleet())
    assert result["changed"] is True
    assert names(out) == ["smtp-audit.html", "smtp-audit.json", "smtp-audit.xml"]
    assert result["files"] == {kind: str(out / f"smtp-audit.{ending}") for kind, ending in
                               (("html", "html"), ("json", "json"), ("junit", "xml"))}
    assert result["summary"]["listeners"] == {"all": 2, "fail": 1, "warning": 0, "unobservable": 0, "pass": 1, "nothing": 0}
    assert result["changes"]["since"] is None and result["failing"] == []
    assert json.loads((out / "smtp-audit.json").read_text())["summary"] == result["summary"]
    assert "There is no earlier report" in (out / "smtp-audit.html").read_text()
    assert result["invocation"]["module_args"]["results"] == "of 2 hosts", "what came in does not come back"


def test_a_second_look_that_finds_the_same_is_no_change_but_has_its_date(run, out):
    run(fleet())
    result = run(fleet(), date=SECOND)
    assert result["changed"] is False
    assert names(out) == ["smtp-audit.html", "smtp-audit.json", "smtp-audit.xml"]
    assert result["changes"]["since"] == FIRST and result["changes"]["some"] is False
    page = (out / "smtp-audit.html").read_text()
    assert "Nothing has changed since the report of 2026-11-25, 17:00 UTC." in page and "2026-12-02, 17:00" in page
    assert json.loads((out / "smtp-audit.json").read_text())["generated"] == SECOND


def test_other_findings_are_a_change_and_the_document_before_is_kept(run, out):
    run(fleet())
    before = (out / "smtp-audit.json").read_text()
    result = run([sample.result("mx1.example.org"), sample.result("mx2.example.org")], date=SECOND)
    assert result["changed"] is True
    assert result["history_file"] == str(out / "smtp-audit-history" / "20261125T170000Z.json")
    assert (out / "smtp-audit-history" / "20261125T170000Z.json").read_text() == before
    assert {row["direction"] for row in result["changes"]["rows"]} == {"better"}
    assert result["diff"]["before"]["listeners"]["fail"] == 1 and result["diff"]["after"]["listeners"]["fail"] == 0
    again = run(fleet(), date="2026-12-09T17:00:00Z", history=False)
    assert again["changed"] is True and "history_file" not in again
    assert names(out / "smtp-audit-history") == ["20261125T170000Z.json"]


@pytest.mark.parametrize("option", [{"language": "de"}, {"title": "Other"}, {"evidence": "none"}, {"probed_from": "elsewhere"}])
def test_another_form_of_the_same_findings_is_a_change_without_history(run, out, option):
    run(fleet())
    assert run(fleet(), **option)["changed"] is True
    assert run(fleet(), **option)["changed"] is False
    assert not (out / "smtp-audit-history").exists()


@pytest.mark.parametrize("name", ["smtp-audit.html", "smtp-audit.xml", "smtp-audit.json"])
def test_a_file_that_is_missing_is_a_change(run, out, name):
    run(fleet())
    (out / name).unlink()
    assert run(fleet())["changed"] is True
    assert (out / name).exists()


def test_check_mode_predicts_and_writes_nothing(run, out):
    assert run(fleet(), check=True)["changed"] is True
    assert not out.exists()
    run(fleet())
    before = {path: path.read_text() for path in out.iterdir()}
    assert run(fleet(), check=True, date=SECOND)["changed"] is False
    result = run([sample.result("mx1.example.org")], check=True, date=SECOND)
    assert result["changed"] is True and result["changes"]["gone_hosts"] == ["mx2.example.org"]
    assert {path: path.read_text() for path in out.iterdir()} == before


def test_hosts_without_a_result_are_in_the_report_in_their_place(run, out):
    hosts = ["lost.example.org", "mx2.example.org", "mx1.example.org"]
    result = run(fleet(), hosts=hosts)
    assert (result["summary"]["hosts"], result["summary"]["hosts_not_probed"]) == (3, 1)
    assert [one["host"] for one in json.loads((out / "smtp-audit.json").read_text())["results"]] == hosts


def test_it_fails_behind_the_report(run, out):
    result = run(fleet() + [{"host": "lost.example.org", "error": "no way"}], fail_on="error")
    assert result["failed"] is True and result["changed"] is True
    assert "lost.example.org: could not be probed; mx2.example.org:25: TLSv1: accepted" in result["msg"]
    assert str(out / "smtp-audit.html") in result["msg"] and (out / "smtp-audit.html").exists()
    assert len(result["failing"]) == 3
    assert "failed" not in run(fleet()[:1], fail_on="warning")


def test_a_result_that_fails_does_not_flood_the_terminal(run):
    many = [sample.unreachable(f"mx{number}.example.org") for number in range(60)]
    result = run(many, fail_on="warning")
    assert len(result["failing"]) == 50 and "more" in result["msg"] and len(result["msg"]) < 2000


def test_an_earlier_report_can_be_named(run, out, tmp_path):
    run([sample.result("mx1.example.org")], dest=str(tmp_path / "then"))
    result = run(fleet(), date=SECOND, previous=str(tmp_path / "then" / "smtp-audit.json"))
    assert result["changes"]["since"] == FIRST and result["changes"]["new_hosts"] == ["mx2.example.org"]


def test_an_earlier_report_that_cannot_be_read_is_told(run, out):
    out.mkdir()
    (out / "smtp-audit.json").write_text("{")
    result = run(fleet(), language="de")
    assert result["changed"] is True and "it is no JSON" in result["changes"]["problem"]
    assert "nicht lesbar" in (out / "smtp-audit.html").read_text()
    assert "could not be read" in json.dumps(result["warnings"])


def test_a_document_is_made_into_the_same_report_again(run, out, tmp_path):
    run(fleet() + [{"host": "lost.example.org", "error": "no way"}, {"host": "silent.example.org"}, *sample.ruled()], language="de")
    document = json.loads((out / "smtp-audit.json").read_text())
    result = run(document["results"], language="de", date=document["generated"], dest=str(tmp_path / "again"))
    assert result["changed"] is True
    assert json.loads((tmp_path / "again" / "smtp-audit.json").read_text()) == document
    assert (tmp_path / "again" / "smtp-audit.html").read_text() == (out / "smtp-audit.html").read_text()


@pytest.mark.parametrize(("options", "message"), [
    ({"date": "yesterday"}, "date: a time in UTC is like"),
    ({"name": "../other"}, "name: '../other' is no name of a file"),
    ({"name": ".hidden"}, "is no name of a file"),
    ({"previous": "/nowhere/report.json"}, "No such file"),
    ({"hosts": ["mx1.example.org"]}, "hosts: there are results of mx2.example.org, which hosts does not name"),
    ({"language": "fr"}, "value of language must be one of: en, de"),
    ({"dest": "/dev/null"}, "dest: /dev/null is no folder"),
])
def test_what_makes_no_sense_is_refused_and_nothing_is_written(run, out, options, message):
    result = run(fleet(), **options)
    assert result["failed"] is True and message in result["msg"]
    assert not out.exists()


def test_results_that_are_none_are_refused(run, out):
    broken = fleet()
    del broken[0]["rows"][0]["verdict"]
    result = run(broken)
    assert result["failed"] is True and "results[0].rows[0]: not from smtp_probe, without verdict" in result["msg"]
    assert not out.exists()


def test_a_file_that_cannot_be_written_leaves_the_document_of_before(run, out):
    run(fleet())
    before = (out / "smtp-audit.json").read_text()
    (out / "smtp-audit.xml").unlink()
    (out / "smtp-audit.xml").mkdir()
    result = run([sample.result("mx1.example.org")], date=SECOND)
    assert result["failed"] is True
    assert (out / "smtp-audit.json").read_text() == before
    assert names(out) == ["smtp-audit-history/20261125T170000Z.json", "smtp-audit.html", "smtp-audit.json"]
