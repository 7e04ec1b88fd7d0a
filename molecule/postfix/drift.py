# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Undoes the hardening in the files of a Postfix, as a colleague at night would: with an editor.

``python drift.py FOLDER SUBMISSION_PORT SUBMISSIONS_PORT``.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "devtools"))

from postfix_host import PostfixHost  # noqa: E402


def main(folder: str, submission: str, submissions: str) -> None:
    """Make the drift, and have Postfix read it."""
    host = PostfixHost.at(Path(folder))
    text = host.main_cf.read_text()
    text = re.sub(r"check_recipient_access pipemap:.*/securemail/inbound\}[, ]*", "", text)
    text = text.replace("smtpd_tls_auth_only = yes", "smtpd_tls_auth_only = no   ")
    text = re.sub(r"(smtpd_sasl_mechanism_filter = ).*", r"\1login", text)
    host.main_cf.write_text(text + "# seen at night:\n\nsmtpd_hard_error_limit =\n  # a comment inside\n    19")
    lines = host.master_cf.read_text().splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"127.0.0.1:{submissions} "))
    end = next((number for number, line in enumerate(lines[start + 1:], start + 1) if not line.startswith((" ", "\t"))), len(lines))
    del lines[start:end]
    here = next(number for number, line in enumerate(lines) if line.startswith(f"127.0.0.1:{submission} "))
    lines.insert(here + 1, "\t-o smtpd_tls_protocols=>=TLSv1 -o smtpd_tls_mandatory_protocols=>=TLSv1   -o smtpd_tls_ciphers=medium\n")
    text = "".join(lines).replace("smtpd_tls_security_level=encrypt", "smtpd_tls_security_level=may")
    host.master_cf.write_text(text.replace("tls_high_cipherlist=", "tls_low_cipherlist="))
    (host.config_directory / "sasl" / "smtpd.conf").write_text(
        re.sub(r"mech_list:.*", "mech_list: LOGIN", (host.config_directory / "sasl" / "smtpd.conf").read_text())
    )
    host.reload()


if __name__ == "__main__":
    main(*sys.argv[1:])
