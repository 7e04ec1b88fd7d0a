# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other people's mail servers, for a lab's server to send to: good ones, old ones, bad ones, on loopback.

Each has an address of its own and all have one port (:mod:`ports`); a name server says which of them takes whose mail.
``python peers.py FOLDER`` makes their certificates, if they are not there, and prints whether it had to.
"""

from __future__ import annotations

import json
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "devtools"), str(ROOT / "roles" / "mta" / "files")]

import lab_certificates  # noqa: E402
import ports as port_choice  # noqa: E402

#: Domains that may be declared as forced for outgoing mail: the first server of one offers no TLS; those of the other have
#: certificates that prove nothing. Both have a good one behind.
PARTNER, BANK = "partner.test", "bank.test"
#: A server that takes mail of its customers for everybody, after a login.
PROVIDER = "smtp.provider.test"
PROVIDER_USER, PROVIDER_PASSWORD = "lab@provider.test", "Pr0vider \"pw\" \\ 1"
VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

GOOD_NAMES = ("mx.ordinary.test", f"mx2.{PARTNER}", f"mx3.{BANK}", PROVIDER)
#: Certificates by folder, and their names. Each folder has an authority of its own; the last one is trusted by nobody.
CERTIFICATES = {"good": GOOD_NAMES, "other-name": ("mx.elsewhere.test",), "unknown": GOOD_NAMES}
TRUSTED = ("good", "other-name")


def certificates(folder: Path) -> bool:
    """Make the certificates and ``ca.pem``, the authorities to trust; whether that was needed."""
    made = [lab_certificates.main(str(folder / name), list(names)) for name, names in CERTIFICATES.items()]
    if any(made) or not (folder / "ca.pem").is_file():
        authorities = b"".join((folder / name / "ca.pem").read_bytes() for name in TRUSTED)
        (folder / "ca.pem").write_bytes(authorities)
    return any(made)


class Peers:
    """The running peers of a lab, on this port (0: one that is free), and their name server. A context manager.

    ``partners`` is what the probe wants to know (:class:`relaying.Partners`), ``provider`` the relay host, ``good`` the
    peer that takes everything, ``dns`` address and port of the name server, ``ca_file`` the authorities that the server
    should trust.
    """

    def __init__(self, lab: str, folder: Path, port: int = 0, dns_port: int = 0) -> None:
        from ansible_collections.securemail.smtp.plugins.module_utils._probe.relaying import Destination, Partners
        from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
        from zone import Zone

        certificates(folder)
        self.ca_file = str(folder / "ca.pem")
        self.port = port = port or port_choice.any_peers(lab)
        heard = threading.Condition()
        records: dict = {}
        self._stack = ExitStack()

        def peer(number: int, name: str, certificate: str = "good", **behaviour: object) -> Sink:
            address = port_choice.peer_address(lab, number)
            sink = Sink(
                address, port, heard=heard, name=name, certificate=str(folder / certificate / "server.pem"), **behaviour
            )
            records.setdefault(name, {})["A"] = [address]
            return self._stack.enter_context(sink)

        def destination(domain: str, *peers: Sink) -> Destination:
            records[domain] = {"MX": [f"{10 * place} {sink.behaviour.name}." for place, sink in enumerate(peers, 1)]}
            return Destination(domain, peers)

        try:
            self.good = good = peer(1, "mx.ordinary.test")
            clear = peer(2, "mx.without-tls.test", starttls=False)
            only = {
                version: peer(number, f"mx.{version.lower().replace('.', '-')}.test", versions=(version, version))
                for number, version in enumerate(VERSIONS, 3)
            }
            other_name = peer(7, f"mx1.{BANK}", "other-name")
            unknown = peer(8, f"mx2.{BANK}", "unknown")
            self.provider = peer(9, PROVIDER, auth={PROVIDER_USER: PROVIDER_PASSWORD}, implicit=True)
            good_partner = peer(10, f"mx2.{PARTNER}")
            good_bank = peer(11, f"mx3.{BANK}")
            later = peer(12, "mx.later.test", starttls=False)
            self.partners = Partners(
                offering=destination("ordinary.test", good),
                without_tls=destination("without-tls.test", clear, good),
                only={
                    version: destination(sink.behaviour.name[3:], sink, good) for version, sink in only.items()
                },
                forced={
                    "no STARTTLS": destination(PARTNER, clear, good_partner),
                    "certificates that prove nothing": destination(BANK, other_name, unknown, good_bank),
                },
                later=destination("later.test", later),
            )
            self._zone = self._stack.enter_context(Zone(records, port=dns_port))
            self.dns = self._zone.address
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """End all of them."""
        self._stack.close()


if __name__ == "__main__":
    print(json.dumps({"changed": certificates(Path(sys.argv[1]))}))
