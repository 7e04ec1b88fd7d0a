# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a private fragment of the collection and may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that write the policy: the state before a change is kept
    DOCUMENTATION = r"""
options:
  backup:
    description:
      - Whether policy script and configuration (of a Postfix C(main.cf), C(master.cf) and the files of this collection beside them) are kept before anything is
        changed. M(securemail.smtp.smtp_restore) brings them back.
      - If not given, E(SECUREMAIL_BACKUP) is used. If that is not set either, a backup is made with the dialect V(axigen) and of a Postfix, and none
        with V(postern).
      - When the backup cannot be written, the task fails and nothing is sent to the server. Nothing is kept when nothing changes.
    type: bool
    version_added: 0.3.0
  backup_dir:
    description:
      - Folder for backups, on the host that runs the module. Each backup is a folder of its own in a folder for the server.
      - They are readable by the user who runs the module and nobody else, because passwords may stand in them. None is ever removed.
      - If not given, E(SECUREMAIL_BACKUP_DIR) is used, then the default.
    type: path
    default: ~/.securemail/backups
    version_added: 0.3.0
notes:
  - A change that fails after something was written is rolled back. Policy script and listeners are then as they were, byte for byte, and
    the message says so. The result C(step) is the step that failed (V(write), V(read back), V(prove) or V(save)), C(server_state) what the
    server is left with (V(unchanged), V(rolled back), V(changed by somebody else) or V(unknown)).
  - What somebody else changed in the meantime is never overwritten. The change is not rolled back then, and the message says that.
"""

    # For modules that bring rules of which only a look from outside can tell what they do
    PROOF = r"""
options:
  probe_address:
    description:
      - A listener of the server (C(ip:port)) with STARTTLS, as it is reached from the host that runs the module.
      - On a server of which nobody knows whether its script calls a connection encrypted after STARTTLS, a rule that refuses mail in clear
        is tried there before it is left in force and saved. Without an answer, or with the wrong one, it is taken back and the task fails.
      - Where an address is given, such a rule is tried on every server, the bundled MTA included.
      - O(admin_timeout) is the limit for the whole trial. The certificate is not checked, and no message is sent.
      - If not given, E(SECUREMAIL_PROBE_ADDRESS) is used, then the server's own enabled listeners. Those on loopback and on all addresses are
        taken where O(admin_host) is the server itself, which it is not at one end of an SSH tunnel (see O(server_files)).
    type: str
    version_added: 0.3.0
"""

    # For modules that could lock everybody out with one word
    UNSAFE = r"""
options:
  allow_unsafe:
    description:
      - Whether the task may do what hardly anybody means, and what is refused otherwise, with the names of what it is about.
      - A prune that removes every enabled listener, so that no mail comes in any more.
      - A prune that removes the rule that keeps passwords off connections in clear, when nothing else does the same afterwards.
      - A prune by a list of domains that names none to be kept.
      - Taking mail over TLS only for every domain (V(*), inbound) while an enabled listener on port 25 is not on loopback. RFC 3207
        section 4 forbids that on a public server, because mail from servers without TLS would be lost. A general rule that does
        the same counts.
    type: bool
    default: false
    version_added: 0.5.0
"""
