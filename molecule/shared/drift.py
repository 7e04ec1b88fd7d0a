# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Undoes the hardening over the admin interface, as a colleague at night would.

``python drift.py ADMIN_PORT SUBMISSION_ADDRESS SUBMISSIONS_ADDRESS OTHER_VERSIONS``; the password comes on standard
input. Speaks the admin protocol itself and none of the modules, so that what it does is not what they expect.
"""

from __future__ import annotations

import re
import sys

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import SetValue

#: A rule of somebody else: it must still be there, byte for byte, when the drift has been healed.
FOREIGN = "method added_by_hand {\n    set ( maxRcptCount,\"77\" ) ;   # not the usual style\n}\n"


def drifted(script: str) -> str:
    """The policy script with passwords allowed in clear, the rules' order turned round, and no TLS forced on any mail."""
    script = re.sub(r"[ \t]*call \(disableAUTH_on_non_SSL\);\r?\n", "", script)
    script = re.sub(r"[ \t]*call \((allow_only_tls_for|use_only)_\w+\);\r?\n", "", script)
    early = r"[ \t]*call \(earlier_rule_that_loses\);\r?\n"
    found = re.search(early, script)
    if not found:
        raise SystemExit("the scenario's own rule is not in the script")
    script = re.sub(early, "", script)
    late = re.search(r"[ \t]*call \(enableAUTH_on_SSL\);\r?\n", script)
    script = script[:late.end()] + found.group(0) + script[late.end():]
    return script if "added_by_hand" in script else script + FOREIGN


def main(port: int, password: str, submission: str, submissions: str, versions: list[str]) -> None:
    """Make the drift and save it."""
    session = AdminSession("127.0.0.1", port, tls=None, server_hostname=None)
    session.login("admin", password)
    session.enter("CONFIG", "SERVER")
    script = drifted(session.command("SHOW", "SmtpFilters").text)
    session.upload("UPDATE", "SmtpFilters", text=script)
    session.enter("CONFIG", "SMTP-INCOMING")
    session.command("REMOVE", "Listener", "address", submissions)
    session.enter("UPDATE", "Listener", "address", submission)
    session.enter("CONFIG", "SSLCONTROL")
    session.command("SET", "allowedVersions", SetValue(versions))
    session.command("SET", "dhParamFile", "none")
    # Without suites of its own an old version would be allowed and still not be spoken.
    session.command("SET", "cipherSuite", "ALL:!aNULL:!eNULL")
    session.leave("DONE")
    for _context in ("listener", "service", "server"):
        session.leave("COMMIT")
    session.command("SAVE", "CONFIG")
    session.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.stdin.read().strip(), sys.argv[2], sys.argv[3], sys.argv[4].split(","))
