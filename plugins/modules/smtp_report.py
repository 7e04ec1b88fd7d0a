#!/usr/bin/python

# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_report
short_description: Write an audit report of what the probe saw
version_added: 0.4.0
description:
  - Makes one report of the results of M(securemail.smtp.smtp_probe) for any number of hosts, as an HTML page, as JSON and as JUnit XML.
  - The page needs no network and no script, and can be printed. It is in English or in German.
  - It begins with what was checked, when, from where and by which rules. Then come what does not hold, what has changed since the last report,
    all results as a matrix, certificates by the days that are left, the domains whose mail has to be protected with their exceptions, and the
    details of each listener with evidence.
  - A host that could not be probed is in the report as such.
  - It runs where the files shall be, which is mostly the controller. The role C(securemail.smtp.audit) does all of it.
author:
  - securemail.smtp contributors (@securemail)
options:
  results:
    description:
      - What was seen, one entry for each host of the inventory.
      - The key C(results) of the JSON document of a report can be given, too, to write that report in another language.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description:
          - The name of the host in the inventory.
        type: str
        required: true
      observations:
        description:
          - RV(securemail.smtp.smtp_probe#module:observations).
        type: list
        elements: dict
      rows:
        description:
          - RV(securemail.smtp.smtp_probe#module:rows).
        type: list
        elements: dict
      error:
        description:
          - Why the host could not be probed. A host without observations counts as not probed, too.
        type: str
      coverage:
        description:
          - RV(securemail.smtp.smtp_info#module:coverage), to list the domains of the host beside what was seen of them.
          - The report has no list for a host without it. An exception whose last day is over is marked, and is a warning.
        type: list
        elements: dict
        version_added: 0.5.0
      coverage_notes:
        description:
          - RV(securemail.smtp.smtp_info#module:notes), because a rule that could not be read may be about any domain.
        type: list
        elements: str
        version_added: 0.5.0
      coverage_error:
        description:
          - Why the rules of the server could not be read, although somebody wanted to.
        type: str
        version_added: 0.5.0
  hosts:
    description:
      - All hosts that the report is about, in the order in which they shall stand there. Those without an entry in O(results) could not be probed.
      - If not given, these are the hosts of O(results).
    type: list
    elements: str
  dest:
    description:
      - The folder for the files. It is made when it is not there.
    type: path
    required: true
  name:
    description:
      - The name of the files, which end in C(.html), C(.json) and C(.xml).
    type: str
    default: smtp-audit
  language:
    description:
      - The language of the page. What servers and the probe itself said stays as it was said, which is mostly English.
    type: str
    choices: [en, de]
    default: en
  title:
    description:
      - The heading of the page. If not given, it says that this is an audit report.
    type: str
  probed_from:
    description:
      - Where the probe ran. If not given, it is the name of the host that runs this module.
    type: str
  date:
    description:
      - When the probe looked, in UTC, as V(2026-11-25T17:00:00Z). If not given, it is now.
    type: str
  previous:
    description:
      - The JSON document of the report to compare with.
      - If not given, it is the one that lies in O(dest) under the O(name) of this report, and that will be replaced.
    type: path
  history:
    description:
      - Whether a JSON document with other findings than the new one is kept before it is replaced, in the folder C(<name>-history) in O(dest),
        named by its date. Nothing is ever removed there.
    type: bool
    default: true
  evidence:
    description:
      - Which dialogues the page shows. The JSON document has all of them.
      - V(problems) shows the first conversation with each listener, and the connections that prove what did not pass.
      - V(auto) is V(all) as long as the page stays small (1.5 million characters of dialogue), and V(problems) from there on.
    type: str
    choices: [auto, all, problems, none]
    default: auto
  fail_on:
    description:
      - What makes the task fail when the report is written.
      - The JUnit document counts warnings and what was not observable as failures and errors with V(warning), and as skipped otherwise.
    type: str
    choices:
      error: >-
        Rows of severity V(error) with the verdict V(fail), listeners of which nothing could be seen, hosts that could not be probed, and servers
        whose rules could not be read.
      warning: >-
        All rows with the verdict V(fail), those that were to be observed and could not, exceptions whose last day is over, hosts that could not be
        probed, and servers whose rules could not be read.
      never: Nothing.
    default: never
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: full
    details:
      - The numbers of the two reports.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
      - This assumes that the system controlled or queried by the module has not changed in a relevant way.
    support: full
    details:
      - The files are always written, because a report has to say when the last look was. RV(ignore:changed) is true when the report
        says something else than the one before. Dates, durations, days left, greetings and the wording of dialogues are nothing else.
seealso:
  - module: securemail.smtp.smtp_probe
"""

EXAMPLES = r"""
- name: Look at the listeners of one host
  securemail.smtp.smtp_probe:
    targets: ["mail.example.org:25", "mail.example.org:587", "mail.example.org:465"]
    profile: [intermediate]
    fail_on: never
  delegate_to: localhost
  register: seen

- name: Write the report
  securemail.smtp.smtp_report:
    results:
      - host: mail.example.org
        observations: "{{ seen.observations }}"
        rows: "{{ seen.rows }}"
    dest: /srv/reports/mail
    language: de
  delegate_to: localhost

- name: Read the rules of the server
  securemail.smtp.smtp_info:
    admin_password: "{{ vault_admin_password }}"
  register: smtp

- name: List the domains and their exceptions, too
  securemail.smtp.smtp_report:
    results:
      - host: mail.example.org
        observations: "{{ seen.observations }}"
        rows: "{{ seen.rows }}"
        coverage: "{{ smtp.coverage }}"
        coverage_notes: "{{ smtp.notes }}"
    dest: /srv/reports/mail
  delegate_to: localhost
"""

RETURN = r"""
files:
  description: The files, by what they are.
  type: dict
  returned: when the options were in order
  sample: {html: /srv/reports/mail/smtp-audit.html, json: /srv/reports/mail/smtp-audit.json, junit: /srv/reports/mail/smtp-audit.xml}
history_file:
  description: Where the document that was replaced is kept.
  type: str
  returned: when there is one
  sample: /srv/reports/mail/smtp-audit-history/20261118T170000Z.json
summary:
  description:
    - Numbers of hosts, and of listeners and rows by their state.
    - With lists of domains also C(domains), with C(all), C(exceptions) and C(expired).
  type: dict
  returned: when the options were in order
  sample:
    hosts: 2
    hosts_not_probed: 0
    listeners: {all: 6, fail: 1, warning: 0, unobservable: 1, pass: 4, nothing: 0}
    rows: {fail: 2, warning: 0, unobservable: 3, pass: 211, outside: 4}
changes:
  description:
    - What is different from the earlier report, as in the JSON document. C(some) says whether anything is, C(since) is the date of the earlier
      report, V(null) when there was none.
  type: dict
  returned: when the options were in order
failing:
  description: What makes the task fail by O(fail_on), in words, the first 50 of it.
  type: list
  elements: str
  returned: when the options were in order
"""

import dataclasses
import datetime
import os
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.securemail.smtp.plugins.module_utils import _bytecode

_bytecode.install()

from ansible_collections.securemail.smtp.plugins.module_utils._probe import profiles
from ansible_collections.securemail.smtp.plugins.module_utils._report import changes, document, html, junit, model
from ansible_collections.securemail.smtp.plugins.module_utils._report.details import MODES
from ansible_collections.securemail.smtp.plugins.module_utils._report.language import LANGUAGES

_DATE = "%Y-%m-%dT%H:%M:%SZ"

#: Failing checks that the message names.
_NAMED = 5

#: Failing checks that the result has.
_LISTED = 50


def argument_spec():
    return {
        "results": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "host": {"type": "str", "required": True},
                "observations": {"type": "list", "elements": "dict"},
                "rows": {"type": "list", "elements": "dict"},
                "error": {"type": "str"},
                "coverage": {"type": "list", "elements": "dict"},
                "coverage_notes": {"type": "list", "elements": "str"},
                "coverage_error": {"type": "str"},
            },
        },
        "hosts": {"type": "list", "elements": "str"},
        "dest": {"type": "path", "required": True},
        "name": {"type": "str", "default": "smtp-audit"},
        "language": {"type": "str", "choices": list(LANGUAGES), "default": "en"},
        "title": {"type": "str"},
        "probed_from": {"type": "str"},
        "date": {"type": "str"},
        "previous": {"type": "path"},
        "history": {"type": "bool", "default": True},
        "evidence": {"type": "str", "choices": list(MODES), "default": "auto"},
        "fail_on": {"type": "str", "choices": ["error", "warning", "never"], "default": "never"},
    }


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        files = _files(params["dest"], params["name"])
        report = _report(params)
        former = _former(module, files["json"])
        report = dataclasses.replace(report, changes=_changes(module, report, former))
        contents = _contents(report, params, files)
        data = document.document(report, params["language"], params["evidence"])
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    changed = not all(os.path.exists(path) for path in files.values()) or not document.says_the_same(former, data)
    failing = document.failed(report, params["fail_on"])
    results = {
        "changed": changed,
        "files": files,
        "summary": data["summary"],
        "changes": data["changes"],
        "failing": failing[:_LISTED],
        "diff": {"before": document.summary_of(former), "after": data["summary"]},
    }
    if not module.check_mode:
        try:
            os.makedirs(params["dest"], exist_ok=True)
            if params["history"] and former and not document.found_the_same(former, data):
                kept = _keep(module, params, former)
                results.update({"history_file": kept} if kept else {})
            # The document that the next report is compared with comes last: a run that is cut off compares again.
            for kind in ("html", "junit"):
                _write(module, files[kind], contents[kind])
            _write(module, files["json"], document.text(data))
        except OSError as error:
            module.fail_json(msg="The report cannot be written: %s" % error)
    # It would come back as part of the invocation, megabytes of it.
    params["results"] = "of %d hosts" % len(report.hosts)
    if failing:
        module.fail_json(msg=_message(failing, files["html"], module.check_mode), **results)
    module.exit_json(**results)


def _files(folder, name):
    if not re.match(r"[^/\\\0]+\Z", name) or name.startswith("."):
        raise ValueError("name: %r is no name of a file" % name)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ValueError("dest: %s is no folder" % folder)
    endings = {"html": ".html", "json": ".json", "junit": ".xml"}
    return {kind: os.path.join(folder, name + ending) for kind, ending in endings.items()}


def _report(params):
    date = params["date"] or datetime.datetime.now(datetime.timezone.utc).strftime(_DATE)
    try:
        datetime.datetime.strptime(date, _DATE)
    except ValueError:
        raise ValueError("date: a time in UTC is like 2026-11-25T17:00:00Z; got %r" % date) from None
    report = model.build(
        _of_hosts(params["results"], params["hosts"]),
        date,
        params["probed_from"] or os.uname().nodename,
        title=params["title"] or "",
    )
    known = [profiles.load(origin) for origin in report.origins if origin in profiles.NAMES]
    return dataclasses.replace(report, profiles=tuple(known))


def _of_hosts(results, hosts):
    """The results in the order of the hosts, with an empty one for a host that has none."""
    if hosts is None:
        return results
    unknown = sorted({result["host"] for result in results} - set(hosts))
    if unknown:
        raise ValueError("hosts: there are results of %s, which hosts does not name" % ", ".join(unknown))
    found = []
    for host in dict.fromkeys(hosts):
        found += [result for result in results if result["host"] == host] or [{"host": host}]
    return found


def _former(module, path):
    """The text of the JSON document that will be replaced, "" when there is none."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as opened:
        return opened.read()


def _changes(module, report, former):
    path = module.params["previous"]
    if path is not None:
        with open(path, encoding="utf-8", errors="replace") as opened:
            former = opened.read()
    if not former:
        return changes.Changes()
    try:
        return changes.compare(changes.earlier(former), report)
    except ValueError as error:
        if path is not None:
            raise ValueError("previous: %s: %s" % (path, error)) from None
        module.warn("The earlier report could not be read, so nothing is compared: %s" % error)
        return changes.Changes(problem=str(error))


def _contents(report, params, files):
    names = (os.path.basename(files["json"]), os.path.basename(files["junit"]))
    return {
        "html": html.render(report, params["language"], params["evidence"], names),
        "junit": junit.render(report, params["fail_on"]),
    }


def _keep(module, params, former):
    """Keep the document that will be replaced; its path, or "" when it has no date."""
    date = document.date_of(former)
    if not date:
        return ""
    folder = os.path.join(params["dest"], params["name"] + "-history")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "%s.json" % re.sub(r"[^0-9TZ]", "", date))
    _write(module, path, former)
    return path


def _write(module, path, content):
    """Whoever reads the file meanwhile sees the old one or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=module.tmpdir, prefix="report-")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as opened:
        opened.write(content)
    try:
        module.atomic_move(temporary, path)
    except OSError:
        raise
    except Exception as error:  # pylint: disable=broad-except
        # Ansible has no class for it.
        raise OSError(str(error)) from error


def _message(failing, path, check_mode):
    named = "; ".join(failing[:_NAMED])
    more = ", and %d more" % (len(failing) - _NAMED) if len(failing) > _NAMED else ""
    where = "" if check_mode else ". The report is %s" % path
    return "What was expected does not hold: %s%s%s" % (named, more, where)


if __name__ == "__main__":
    main()
