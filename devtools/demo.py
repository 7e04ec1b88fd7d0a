# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``./dev demo``: a running mail server before and after one playbook, seen from outside.

Runs in the virtual environment that ``environment.prepare`` made. Everything that it needs to find a
running demonstration again lies in ``.build/demo``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import environment as env  # noqa: E402
import outside  # noqa: E402
import peers as other_servers  # noqa: E402
import ports as port_choice  # noqa: E402

FOLDER = env.BUILD / "demo"
PEERS_FOLDER = FOLDER / "peers"
INVENTORY = FOLDER / "inventory.json"
FACTS = env.BUILD / "demo.json"
HOST_NAME = "mail.securemail.test"
LOCAL_DOMAIN, FORCED_DOMAIN, OTHER_DOMAIN = "securemail.test", "mydomain.com", "example.test"
USERS = {"alice": LOCAL_DOMAIN, "bob": FORCED_DOMAIN, "carol": OTHER_DOMAIN}
#: Services by the ports that they have on other servers (RFC 6409, RFC 8314).
LISTENERS = ("relay", "submission", "submissions")
MECHANISMS = ("SCRAM-SHA-256", "PLAIN")
EXPLANATION = f"Accepting only secure delivery (STARTTLS) for {FORCED_DOMAIN}"


def _write_private(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=2)
        stream.write("\n")


def inventory() -> dict:
    """A new inventory with one host, free ports and new passwords, as Ansible reads it."""
    ports = port_choice.choose("demo")
    prefix = str(env.lab_root() / "demo")
    passwords = {name: secrets.token_hex(8) for name in ("admin", *USERS)}
    variables = {
        "ansible_connection": "local",
        # Named, because discovery may find a version manager's shim; the one that has cryptography.
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "demo_prefix": prefix,
        "demo_lab_dir": str(FOLDER / "certificates"),
        "demo_host_name": HOST_NAME,
        "demo_admin_port": ports["admin"],
        "demo_admin_password": passwords["admin"],
        "demo_ports": ports,
        "demo_peers": {
            "port": ports["peers"],
            "dns": f"127.0.0.1:{ports['dns']}",
            "ca_file": str(PEERS_FOLDER / "ca.pem"),
        },
        "demo_accounts": [
            {"domain": domain, "name": name, "password": passwords[name]} for name, domain in USERS.items()
        ],
        "secure_smtp_admin_port": ports["admin"],
        "secure_smtp_admin_password": passwords["admin"],
        "secure_smtp_certificate": f"{prefix}/state/certs/server.pem",
        "secure_smtp_dh_params": f"{prefix}/state/certs/dh.pem",
        "secure_smtp_mechanisms": list(MECHANISMS),
        "secure_smtp_listeners": [
            {"address": f"127.0.0.1:{ports['relay']}", "tls": "starttls"},
            {"address": f"127.0.0.1:{ports['submission']}", "tls": "starttls"},
            {"address": f"127.0.0.1:{ports['submissions']}", "tls": "implicit"},
        ],
        "secure_smtp_relay_ports": [ports["relay"]],
        "secure_smtp_forced_tls_domains": [
            {"domain": FORCED_DOMAIN, "reject_message": EXPLANATION},
            {"domain": other_servers.PARTNER, "direction": "outbound", "level": "secure"},
            {"domain": other_servers.BANK, "direction": "outbound", "level": "secure"},
        ],
    }
    return {"mail": {"hosts": {"demo": variables}}}


def play(playbook: str, *options: str, show: bool) -> str:
    """Run one of the collection's playbooks; returns its output.

    :raises environment.TaskError: when it fails; its output was shown then.
    """
    command = [
        env.python(), "-m", "ansible", "playbook", "-i", str(INVENTORY), str(env.ROOT / "playbooks" / playbook), *options
    ]
    lines = []
    with subprocess.Popen(
        command, env=env.environment(ANSIBLE_NOCOLOR="1", ANSIBLE_FORCE_COLOR="0"), cwd=env.ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:
        for line in process.stdout:
            lines.append(line)
            if show:
                print("    " + line, end="", flush=True)
    output = "".join(lines)
    if process.returncode:
        if not show:
            print(output)
        raise env.TaskError(f"the playbook {playbook} failed, see above")
    return output


def changed(output: str) -> int:
    """How many tasks changed something, from the recap of a run."""
    counts = re.findall(r"^\S+\s*: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0\b", output, re.MULTILINE)
    if not counts:
        raise env.TaskError("the playbook's recap was not understood")
    return sum(int(count) for count in counts)


def probe_options(variables: dict) -> dict:
    """What is looked at, and what must be seen: options of the module ``smtp_probe`` for the server of this inventory."""
    alice = variables["demo_accounts"][0]
    return outside.options("rfc9325", MECHANISMS, {
        "listeners": variables["secure_smtp_listeners"],
        "server_name": HOST_NAME,
        "ca_file": f"{variables['demo_lab_dir']}/ca.pem",
        "account": f"{alice['name']}@{alice['domain']}",
        "password": alice["password"],
        "local_domain": LOCAL_DOMAIN,
        "forced_domain": FORCED_DOMAIN,
        "other_domain": OTHER_DOMAIN,
        "explanation": EXPLANATION,
    })


def look(options: dict, partners: object) -> dict:
    """A row for everything that is expected of mail that comes in and of mail that goes out."""
    rows = outside.look(options) | outside.look_at_relaying(options, partners, outside.RELAYED["rfc9325"])
    good = sum(row.verdict == "pass" for row in rows.values())
    print(f"    {good} pass, {len(rows) - good} do not", flush=True)
    return rows


def facts(variables: dict) -> dict:
    """What somebody needs to use the running server."""
    return {
        "admin": {
            "host": "127.0.0.1",
            "port": variables["demo_admin_port"],
            "user": "admin",
            "password": variables["demo_admin_password"],
        },
        "listeners": variables["secure_smtp_listeners"],
        "domains": sorted(set(USERS.values())),
        "accounts": [
            {"address": f"{account['name']}@{account['domain']}", "password": account["password"]}
            for account in variables["demo_accounts"]
        ],
        "ca_file": f"{variables['demo_lab_dir']}/ca.pem",
        "server_name": HOST_NAME,
        "state_dir": f"{variables['demo_prefix']}/state",
        "queue_command": [
            f"{variables['demo_prefix']}/lib/venv/bin/python", f"{variables['demo_prefix']}/lib/postern.pyz", "queue",
            "--config", f"{variables['demo_prefix']}/etc/postern.toml",
        ],
        "log_file": f"{variables['demo_prefix']}/log/postern.log",
    }


def swaks_with_tls() -> bool:
    """Whether swaks is installed and can do TLS, for which it needs a Perl library."""
    if not (shutil.which("swaks") and shutil.which("perl")):
        return False
    return subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False).returncode == 0


def print_facts(running: dict, ports: dict) -> None:
    """Addresses, accounts and commands that work when pasted."""
    alice, bob = running["accounts"][0], running["accounts"][1]
    ca_file = shlex.quote(running["ca_file"])
    print("The server is still running.\n")
    print(f"  admin interface  {running['admin']['host']}:{running['admin']['port']}"
          f"  user {running['admin']['user']}  password {running['admin']['password']}")
    for listener in running["listeners"]:
        print(f"  listener         {listener['address']}  {listener['tls']}")
    for account in running["accounts"]:
        print(f"  account          {account['address']}  password {account['password']}")
    print(f"  certificates of  {running['ca_file']}")
    print(f"  mail             {running['state_dir']}/domains")
    print(f"  log              {running['log_file']}")
    print(f"  all this as JSON {FACTS}\n")
    print("  # A mail over STARTTLS, logged in:")
    print(f"  swaks --server 127.0.0.1:{ports['submission']} --tls --tls-verify --tls-ca-path {ca_file}"
          f" --tls-sni {HOST_NAME} --auth PLAIN --auth-user {alice['address']} --auth-password {alice['password']}"
          f" --from {alice['address']} --to {bob['address']}")
    print("  # The same domain in clear is refused, with the reason:")
    print(f"  swaks --server 127.0.0.1:{ports['relay']} --from someone@example.org --to {bob['address']}")
    print("  # What the TLS looks like:")
    print(f"  openssl s_client -connect 127.0.0.1:{ports['submission']} -starttls smtp -servername {HOST_NAME}"
          f" -CAfile {ca_file} -verify_return_error -brief </dev/null")
    print(f"  openssl s_client -connect 127.0.0.1:{ports['submissions']} -servername {HOST_NAME}"
          f" -CAfile {ca_file} -verify_return_error -brief </dev/null")
    print("  # Mail that waits, and why:")
    print(f"  {shlex.join(running['queue_command'])}")
    print("  # For playbooks of your own, and: .venv/bin/ansible localhost -m securemail.smtp.smtp_info")
    print(f"  export SECUREMAIL_ADMIN_PORT={running['admin']['port']} SECUREMAIL_ADMIN_PASSWORD={running['admin']['password']}"
          f" ANSIBLE_COLLECTIONS_PATH={shlex.quote(str(env.BUILD))}")
    print("\n  The mail servers that it sent to, and their name server, ended with the demonstration: mail to them waits now.")
    if not swaks_with_tls():
        print("\n  swaks with TLS is not installed here: apt-get install swaks libnet-ssleay-perl")
    print("\n  ./dev demo --stop ends it.")


def only_one() -> object:
    """A lock that lasts as long as what is returned: two demonstrations of one checkout would stop each other.

    :raises environment.TaskError: when another one is at work.
    """
    env.BUILD.mkdir(exist_ok=True)
    holder = open(env.BUILD / "demo.lock", "w", encoding="utf-8")
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder.close()
        raise env.TaskError("another ./dev demo of this checkout is at work; wait for its end") from None
    return holder


def stop() -> None:
    """End a running demonstration and remove what it left. Quiet when there is none."""
    if INVENTORY.is_file():
        play("demo.yml", "-e", "demo_state=absent", show=False)
    env.remove(FACTS)
    env.remove(FOLDER)


def demonstrate(keep: bool) -> bool:
    """The whole demonstration; whether everything was as it should be."""
    stop()
    _write_private(INVENTORY, inventory())
    variables = json.loads(INVENTORY.read_text())["mail"]["hosts"]["demo"]
    ports = variables["demo_ports"]
    with other_servers.Peers("demo", PEERS_FOLDER, ports["peers"], ports["dns"]) as peers:
        rows = _prove(variables, peers.partners)
    passed = outside.proven(rows)
    print("\n" + outside.table(rows, width=36) + "\n")
    print("+ as expected, - not, ? could not be seen from here\n")
    if keep:
        running = facts(variables)
        _write_private(FACTS, running)
        print_facts(running, ports)
        print()
    print(f"demo: {passed} of {len(rows)} checks passed")
    return passed == len(rows)


def _prove(variables: dict, partners: object) -> list:
    """Look, converge twice, look again; the rows of the table."""
    env.say("starting a mail server that nobody has hardened")
    play("demo.yml", show=False)
    options = probe_options(variables)
    env.say("looking at it from outside")
    before = look(options, partners)
    env.say("converging playbooks/secure_smtp.yml")
    first = changed(play("secure_smtp.yml", show=True))
    env.say("converging it again: nothing may change")
    second = changed(play("secure_smtp.yml", show=True))
    env.say("looking at it from outside again")
    after = look(options, partners)

    names = {listener["address"]: name for listener, name in zip(variables["secure_smtp_listeners"], LISTENERS)}
    rows = outside.compare(before, after, names)
    steady = first > 0 and second == 0
    rows.append(("a second run of the playbook changes nothing", f"- changed={first}", "changed=0",
                 f"{'+' if steady else '-'} changed={second}", "ok" if steady else "FAILED"))
    return rows


def main(options: list[str]) -> int:
    """Run or stop the demonstration; 0 when everything was as it should be."""
    try:
        lock = only_one()
        if "--stop" in options:
            stop()
            env.say("the demonstration is over")
            return 0
        good = False
        try:
            good = demonstrate("--keep" in options)
        finally:
            if "--keep" not in options:
                stop()
            lock.close()
        return 0 if good else 1
    except env.TaskError as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
