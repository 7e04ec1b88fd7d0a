# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loopback name server, asked by a real resolver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dns.exception
import dns.resolver
import pytest

DEVTOOLS = Path(__file__).resolve().parents[2] / "devtools"
sys.path.insert(0, str(DEVTOOLS))

import zone as zone_module  # noqa: E402
from zone import REFUSED, SERVFAIL, SILENT, Zone  # noqa: E402

RECORDS = {
    "a.test": {"MX": ["10 mx1.a.test", "20 mx2.a.test."]},
    "mx1.a.test": {"A": ["127.0.0.2", "127.0.0.3"], "AAAA": ["::1"]},
    "null.test": {"MX": ["0 ."]},
    "alias.test": {"CNAME": ["a.test"]},
    "loop.test": {"CNAME": ["loop.test"]},
    "big.test": {"TRUNCATED": [], "MX": ["5 mx1.a.test"]},
    "bad.test": SERVFAIL,
    "no.test": REFUSED,
    "mute.test": SILENT,
}


@pytest.fixture(scope="module")
def zone():
    with Zone(RECORDS) as zone:
        yield zone


def resolver(address: str) -> dns.resolver.Resolver:
    host, _colon, port = address.rpartition(":")
    found = dns.resolver.Resolver(configure=False)
    found.nameservers, found.port = [host.strip("[]")], int(port)
    return found


def look_up(zone: Zone, name: str, kind: str, lifetime: float = 10) -> list[str]:
    return sorted(record.to_text().lower() for record in resolver(zone.address).resolve(name, kind, lifetime=lifetime))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.test", "MX", ["10 mx1.a.test.", "20 mx2.a.test."]),
        ("A.Test", "MX", ["10 mx1.a.test.", "20 mx2.a.test."]),
        ("mx1.a.test", "A", ["127.0.0.2", "127.0.0.3"]),
        ("mx1.a.test", "AAAA", ["::1"]),
        ("null.test", "MX", ["0 ."]),
        ("alias.test", "MX", ["10 mx1.a.test.", "20 mx2.a.test."]),
        ("big.test", "MX", ["5 mx1.a.test."]),
    ],
)
def test_records(zone, name, kind, expected):
    assert look_up(zone, name, kind) == expected


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("nothing.test", "MX", dns.resolver.NXDOMAIN),
        ("mx2.a.test", "A", dns.resolver.NXDOMAIN),
        ("a.test", "A", dns.resolver.NoAnswer),
        ("test", "MX", dns.resolver.NoAnswer),
        ("bad.test", "MX", dns.resolver.NoNameservers),
        ("no.test", "MX", dns.resolver.NoNameservers),
        ("loop.test", "MX", dns.exception.DNSException),
    ],
)
def test_absence_and_failures(zone, name, kind, error):
    with pytest.raises(error):
        look_up(zone, name, kind)


def test_a_silent_name_is_not_answered_and_others_are(zone):
    with pytest.raises(dns.resolver.LifetimeTimeout):
        look_up(zone, "mute.test", "MX", lifetime=0.2)
    assert ("mute.test", "MX", "udp") in zone.queries
    assert look_up(zone, "mx1.a.test", "AAAA") == ["::1"]


def test_an_answer_that_does_not_fit_comes_over_tcp(zone):
    look_up(zone, "big.test", "MX")
    assert ("big.test", "MX", "tcp") in zone.queries


def test_records_change_while_it_serves():
    with Zone() as zone:
        with pytest.raises(dns.resolver.NXDOMAIN):
            look_up(zone, "new.test", "A")
        zone.put("new.test", {"A": ["127.0.0.9"]})
        assert look_up(zone, "new.test", "A") == ["127.0.0.9"]
        zone.put("new.test", SERVFAIL)
        with pytest.raises(dns.resolver.NoNameservers):
            look_up(zone, "new.test", "A")
        zone.remove("new.test")
        with pytest.raises(dns.resolver.NXDOMAIN):
            look_up(zone, "new.test", "A")


@pytest.mark.parametrize("records", [{"MX": ["mx1.a.test"]}, {"A": ["a.test"]}, {"NONE": ["1"]}, "BROKEN"])
def test_what_is_no_record_is_refused(records):
    with pytest.raises(ValueError, match="a.test|NONE|unknown"):
        Zone({"a.test": records})


def test_as_a_program(tmp_path):
    path = tmp_path / "records.json"
    path.write_text(json.dumps(RECORDS))
    command = [sys.executable, str(DEVTOOLS / "zone.py"), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            assert [str(record) for record in resolver(address).resolve("null.test", "MX")] == ["0 ."]
        finally:
            process.terminate()
    assert zone_module.main([]) == 2
