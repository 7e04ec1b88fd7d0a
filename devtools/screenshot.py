# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``./dev screenshot``: the pictures of the audit report in ``docs``, of a report that was really made.

Two bundled mail servers are started, one of them is hardened, and ``playbooks/audit.yml`` looks at both. So the
pictures show what the report looks like now, and what it says about these two.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import browser  # noqa: E402
import demo  # noqa: E402
import environment as env  # noqa: E402
import ports as port_choice  # noqa: E402

FOLDER = env.BUILD / "screenshot"
PICTURES = {"light": env.ROOT / "docs" / "audit-report.png", "dark": env.ROOT / "docs" / "audit-report-dark.png"}
#: Who has done the looking: a host of this name in the inventory, which is this machine.
PROBE = "scanner.example.org"
#: Inventory names of the servers, and their labs.
SERVERS = {"hardened.example.org": "picture_1", "as-found.example.org": "picture_2"}
HARDENED = "hardened.example.org"
#: Width of the window in CSS pixels, and the most bytes that a README should make people load.
WIDTH, MOST_BYTES = 1280, 300_000
#: The part of the page that is in the picture. Places are rounded, or letters would be blurred.
PART = """[document.getElementById('findings-h'), document.querySelector('#matrix .scroll')]
  .map(one => one.getBoundingClientRect())
  .map((box, last) => Math.round((last ? box.bottom + 24 : box.top + 2) + scrollY))"""


def inventory() -> dict[str, t.Any]:
    """Two servers and the host that looks at them, as Ansible reads it."""
    hosts = {}
    for name, lab in SERVERS.items():
        (variables,) = copy.deepcopy(demo.inventory())["mail"]["hosts"].values()
        ports = port_choice.choose(lab)
        prefix = str(env.lab_root() / lab)
        listeners = [
            {"address": f"127.0.0.1:{ports['relay']}", "tls": "starttls"},
            {"address": f"127.0.0.1:{ports['submission']}", "tls": "starttls"},
            {"address": f"127.0.0.1:{ports['submissions']}", "tls": "implicit"},
        ]
        forced = [{"domain": demo.FORCED_DOMAIN, "reject_message": demo.EXPLANATION}]
        alice = variables["demo_accounts"][0]
        variables.pop("demo_peers", None)
        variables.update(
            demo_prefix=prefix, demo_lab_dir=str(FOLDER / lab), demo_host_name=name, demo_ports=ports,
            demo_admin_port=ports["admin"], secure_smtp_admin_port=ports["admin"],
            secure_smtp_certificate=f"{prefix}/state/certs/server.pem",
            secure_smtp_dh_params=f"{prefix}/state/certs/dh.pem",
            secure_smtp_listeners=listeners, secure_smtp_relay_ports=[ports["relay"]], secure_smtp_forced_tls_domains=forced,
            audit_ca_file=str(FOLDER / lab / "ca.pem"),
            audit_targets=[
                {
                    **listener, "server_name": name,
                    "local_domain": demo.LOCAL_DOMAIN, "other_domain": demo.OTHER_DOMAIN,
                    "username": f"{alice['name']}@{alice['domain']}", "password": alice["password"],
                }
                for listener in listeners
            ],
            audit_expect={"listeners": listeners, "forced_tls_domains": forced},
        )
        hosts[name] = variables
    looks = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    return {"mail": {"hosts": hosts}, "all": {"hosts": {PROBE: looks}}}


def play(playbook: str, *options: str) -> None:
    """Run one of the collection's playbooks. Raises :class:`environment.TaskError` when it fails."""
    command = [env.executable("ansible-playbook"), "-i", str(FOLDER / "inventory.json"),
               str(env.ROOT / "playbooks" / playbook), *options]
    env.run(command, env=env.environment(ANSIBLE_NOCOLOR="1"), quiet=True)


def report(language: str) -> Path:
    """The page about two servers that are started, looked at and stopped again."""
    stop()
    FOLDER.mkdir(parents=True)
    # Passwords are in it.
    (FOLDER / "inventory.json").touch(mode=0o600)
    (FOLDER / "inventory.json").write_text(json.dumps(inventory(), indent=2))
    try:
        env.say("starting two mail servers that nobody has hardened")
        play("demo.yml")
        env.say("hardening one of them")
        play("secure_smtp.yml", "--limit", HARDENED)
        env.say("looking at both")
        play("audit.yml", "-e", json.dumps({
            "audit_from": PROBE, "audit_dest": str(FOLDER / "report"), "audit_language": language,
            "audit_profile": ["intermediate"], "audit_fail_on": "never", "audit_history": False,
        }))
    finally:
        play("demo.yml", "-e", "demo_state=absent")
    return FOLDER / "report" / "smtp-audit.html"


def stop() -> None:
    """Stop servers that an earlier run has left, and remove what is theirs."""
    if (FOLDER / "inventory.json").is_file():
        play("demo.yml", "-e", "demo_state=absent")
    env.remove(FOLDER)


def take(page_file: Path, pictures: t.Mapping[str, Path]) -> None:
    """A picture of what does not hold and of the results by listener, for each palette.

    Raises :class:`environment.TaskError` when a picture is too large.
    """
    with browser.Browser() as running:
        for colours, path in pictures.items():
            with running.page(page_file, width=WIDTH, colours=colours) as page:
                top, bottom = page.evaluate(PART)
                picture = page.screenshot(top=top, bottom=bottom)
            if len(picture) > MOST_BYTES:
                raise env.TaskError(f"the picture {path.name} has {len(picture)} bytes, more than {MOST_BYTES}")
            path.write_bytes(picture)
            env.say(f"{path} ({len(picture) // 1024} KiB)")


def main(arguments: list[str]) -> int:
    """Make the pictures; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="./dev screenshot", description="Make the pictures of the report in docs.")
    parser.add_argument("--language", choices=["en", "de"], default="en")
    parser.add_argument("--page", type=Path, help="of this page, instead of one about two servers")
    chosen = parser.parse_args(arguments)
    try:
        browser.unpacked()
        take(chosen.page or report(chosen.language), PICTURES)
        stop()
    except (env.TaskError, browser.Unavailable, browser.BrowserError) as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
