# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each judge asked about a server of the grid, and its answer read: ours, sslscan, nmap, sslyze, testssl.sh."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import ssl
import sys
import tempfile
import typing as t
from pathlib import Path
from xml.etree import ElementTree

from ansible_collections.securemail.smtp.plugins.module_utils._probe import budget, observation, survey

import claims
from claims import ACCEPTED, NOT_OFFERED, OFFERED, REFUSED, Claims
from grid import SERVER_NAME, Running

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import scanners  # noqa: E402

#: What is asked for; nothing that sends a password or a recipient.
CHECKS = ("dialogue", "versions", "suites", "certificate")


def observe(running: Running) -> observation.Observation:
    """What our probe sees of a server; with more connections than a gentle scan has, so that no list is cut."""
    listener = observation.listener(running.address, running.server.tls, SERVER_NAME)
    # One that does not greet is waited for.
    patience = 10.0 if running.server.greets else 4.0
    allowance = budget.Budget(max_connections=1000, step_timeout=patience, total_timeout=120.0)
    return survey.observe(listener, CHECKS, allowance)


def ours(seen: observation.Observation) -> Claims:
    """The claims of an observation of ours."""
    said: Claims = {}
    for version in claims.VERSIONS:
        fact = seen.fact(f"version.{version}")
        if fact.observable:
            said[version] = ACCEPTED if fact.value else REFUSED
        enumerated = seen.fact(f"suites.{version}")
        if enumerated.observable:
            if not enumerated.value["complete"]:
                raise AssertionError(f"the list of suites of {version} is cut: {enumerated.seen}")
            said.update(claims.version_suites(version, enumerated.value["accepted"]))
    for fact, claim in (("starttls_offered", "STARTTLS"), ("starttls_inside_tls", "STARTTLS inside TLS")):
        if seen.fact(fact).observable:
            said[claim] = OFFERED if seen.fact(fact).value else NOT_OFFERED
    keywords = seen.fact("keywords_tls" if seen.listener.tls == "implicit" else "keywords_clear")
    if keywords.observable:
        said["EHLO"] = " ".join(sorted(keywords.value))
    preference = seen.fact("server_preference")
    if preference.observable:
        said["order of suites"] = preference.value
    if seen.fact("dh_bits").observable:
        said["least DH size"] = str(seen.fact("dh_bits").value)
    leaf = seen.fact("certificate").value
    if leaf is not None:
        said.update(claims.certificate(
            leaf["subject"].removeprefix("CN="), leaf["names"], leaf["not_before"], leaf["not_after"],
            leaf["key"], str(leaf["key_bits"]), leaf["signature"], leaf["fingerprint_sha256"],
        ))
    return said


# --- sslscan ------------------------------------------------------------------------------------

_SSLSCAN_VERSIONS = {
    ("ssl", "2"): "SSLv2", ("ssl", "3"): "SSLv3", ("tls", "1.0"): "TLSv1", ("tls", "1.1"): "TLSv1.1",
    ("tls", "1.2"): "TLSv1.2", ("tls", "1.3"): "TLSv1.3",
}


def sslscan(scanner: scanners.Scanner, running: Running) -> Claims:
    """What sslscan says."""
    options = ["--no-renegotiation", "--no-compression", "--no-heartbleed", "--no-fallback", "--no-groups",
               "--show-certificate", "--timeout=20", f"--sni-name={SERVER_NAME}", "--xml=-"]
    if running.server.tls == "starttls":
        options.append("--starttls-smtp")
    # It repeats bytes of serials outside of any element, and a certificate's text may hold what XML does not allow.
    test = ElementTree.fromstring(scanner.run(*options, running.address)).find("ssltest")
    if test is None:
        raise AssertionError("sslscan does not reach the server")
    said = claims.versions(
        _SSLSCAN_VERSIONS[protocol.get("type", ""), protocol.get("version", "")]
        for protocol in test.iter("protocol") if protocol.get("enabled") == "1"
    )
    sizes = []
    for cipher in test.iter("cipher"):
        version = cipher.get("sslversion", "").replace("TLSv1.0", "TLSv1")
        said.update(claims.version_suites(version, [cipher.get("cipher", "")]))
        sizes += [int(bits) for bits in [cipher.get("dhebits")] if bits]
    if sizes:
        said["least DH size"] = str(min(sizes))
    if running.server.tls == "starttls":
        # It speaks about TLS behind STARTTLS or about nothing.
        said["STARTTLS"] = OFFERED if ACCEPTED in said.values() else NOT_OFFERED
    full = test.find("certificates/certificate[@type='full']")
    if full is not None:
        key = full.find("pk")
        said.update(claims.certificate(
            full.findtext("subject", "").removeprefix("/CN="),
            _dns_names(full.findtext("X509v3-Extensions/extension[@name='X509v3 Subject Alternative Name']", "")),
            full.findtext("not-valid-before", ""), full.findtext("not-valid-after", ""),
            key.get("type", ""), key.get("bits"),
            full.findtext("signature-algorithm", "").partition(":")[2].strip(),
            _fingerprint(full.findtext("certificate-blob", "")),
        ))
    return said


# --- nmap ---------------------------------------------------------------------------------------


def nmap(scanner: scanners.Scanner, running: Running) -> Claims:
    """What nmap's scripts ssl-enum-ciphers, ssl-cert and smtp-commands say."""
    port = running.address.rpartition(":")[2]
    scripts = ["ssl-enum-ciphers", "ssl-cert"] + ["smtp-commands"] * running.server.greets
    with tempfile.TemporaryDirectory() as folder:
        # It takes what a port is for from this table: with STARTTLS it asks mail servers only.
        service = "smtp" if running.server.tls == "starttls" else "smtps"
        Path(folder, "nmap-services").write_text(f"{service}\t{port}/tcp\t1.0\n", encoding="ascii")
        xml = scanner.run(
            "--datadir", folder, "-Pn", "-n", "-sT", "-p", port, "--script", ",".join(f"+{name}" for name in scripts),
            "--script-args", f"tls.servername={SERVER_NAME}", "-oX", "-", running.address.rpartition(":")[0],
        )
    found = {script.get("id"): script for script in ElementTree.fromstring(xml).iter("script")}
    said = _nmap_suites(found.get("ssl-enum-ciphers"))
    if "ssl-cert" in found:
        script = found["ssl-cert"]
        names = (table for table in script.iterfind("table[@key='extensions']/table")
                 if _element(table, "name") == "X509v3 Subject Alternative Name")
        said.update(claims.certificate(
            _element(script.find("table[@key='subject']"), "commonName"),
            _dns_names(next((_element(table, "value") for table in names), "")),
            _element(script.find("table[@key='validity']"), "notBefore"),
            _element(script.find("table[@key='validity']"), "notAfter"),
            *(_element(script.find("table[@key='pubkey']"), name) for name in ("type", "bits")),
            _element(script, "sig_algo"),
            _fingerprint(_element(script, "pem")),
        ))
    if running.server.greets:
        # The first line is that of EHLO, its first word the server's name; what follows is the answer to HELP.
        words = found["smtp-commands"].get("output", "").strip().splitlines()[0].split(", ")[1:]
        keywords = {word.split(" ", 1)[0].upper() for word in words}
        said["EHLO"] = " ".join(sorted(keywords))
        claim = "STARTTLS" if running.server.tls == "starttls" else "STARTTLS inside TLS"
        said[claim] = OFFERED if "STARTTLS" in keywords else NOT_OFFERED
    return said


def _nmap_suites(script: ElementTree.Element | None) -> Claims:
    tables = {} if script is None else {
        table.get("key", "").replace("TLSv1.0", "TLSv1"): table for table in script.iterfind("table")
    }
    said = claims.versions(tables)
    # It does not ask for SSL 2.0.
    del said["SSLv2"]
    sizes, orders = [], set()
    for version, table in tables.items():
        ciphers = table.findall("table[@key='ciphers']/table")
        said.update(claims.version_suites(version, [_element(cipher, "name") for cipher in ciphers]))
        sizes += [int(size[1]) for cipher in ciphers if (size := re.match(r"dh (\d+)", _element(cipher, "kex_info")))]
        order = _element(table, "cipher preference")
        if version != "TLSv1.3" and order in ("server", "client"):
            orders.add(order)
    if sizes:
        said["least DH size"] = str(min(sizes))
    if len(orders) == 1:
        said["order of suites"] = orders.pop()
    return said


def _element(parent: ElementTree.Element | None, key: str) -> str:
    return "" if parent is None else parent.findtext(f"elem[@key='{key}']", "")


# --- sslyze -------------------------------------------------------------------------------------

_SSLYZE_VERSIONS = {
    "SSLv2": "ssl_2_0", "SSLv3": "ssl_3_0", "TLSv1": "tls_1_0", "TLSv1.1": "tls_1_1", "TLSv1.2": "tls_1_2",
    "TLSv1.3": "tls_1_3",
}


def sslyze(scanner: scanners.Scanner, running: Running) -> Claims:
    """What sslyze says."""
    options = ["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--certinfo",
               "--mozilla_config", "disable", "--sni", SERVER_NAME]
    if running.server.tls == "starttls":
        options += ["--starttls", "smtp"]
    with tempfile.TemporaryDirectory() as folder:
        scanner.run(*options, "--json_out", f"{folder}/said", running.address)
        (result,) = json.loads(Path(folder, "said").read_text(encoding="utf-8"))["server_scan_results"]
    said: Claims = {}
    if running.server.tls == "starttls":
        said["STARTTLS"] = OFFERED if result["connectivity_status"] == "COMPLETED" else NOT_OFFERED
    scans = result["scan_result"]
    sizes = []
    for version, key in _SSLYZE_VERSIONS.items():
        scan = scans[f"{key}_cipher_suites"]
        if scan["status"] != "COMPLETED":
            raise AssertionError(f"sslyze did not finish {version}: {scan['error_reason']} {scan['error_trace']}")
        accepted = scan["result"]["accepted_cipher_suites"]
        said[version] = ACCEPTED if scan["result"]["is_tls_version_supported"] else REFUSED
        said.update(claims.version_suites(version, [one["cipher_suite"]["openssl_name"] for one in accepted]))
        keys = (one["ephemeral_key"] for one in accepted)
        sizes += [key["size"] for key in keys if key is not None and key["type_name"] == "DH"]
    if sizes:
        said["least DH size"] = str(min(sizes))
    if scans["certificate_info"]["status"] == "COMPLETED":
        said.update(_sslyze_certificate(scans["certificate_info"]["result"]))
    return said


def _sslyze_certificate(info: t.Mapping[str, t.Any]) -> Claims:
    leaf = info["certificate_deployments"][0]["received_certificate_chain"][0]
    key = leaf["public_key"]
    return claims.certificate(
        leaf["subject"]["attributes"][0]["value"], leaf["subject_alternative_name"]["dns_names"],
        leaf["not_valid_before"], leaf["not_valid_after"],
        key["algorithm"].removesuffix("PublicKey"), str(key["key_size"]),
        leaf["signature_algorithm_oid"]["name"], base64.b64decode(leaf["fingerprint_sha256"]).hex(),
    )


# --- testssl.sh ---------------------------------------------------------------------------------

_TESTSSL_VERSIONS = {
    "SSLv2": "SSLv2", "SSLv3": "SSLv3", "TLS1": "TLSv1", "TLS1_1": "TLSv1.1", "TLS1_2": "TLSv1.2", "TLS1_3": "TLSv1.3",
}


def testssl(scanner: scanners.Scanner, running: Running) -> Claims:
    """What testssl.sh says of versions and suites, and with implicit TLS of the certificate: each takes it half a minute."""
    options = ["-p", "-P"]
    if running.server.tls == "starttls":
        options += ["--starttls", "smtp"]
    else:
        options += ["-S"]
    with tempfile.TemporaryDirectory() as folder:
        # Up to 49 counts what it found odd.
        scanner.run(*options, "--jsonfile", f"{folder}/said", running.address, timeout=300, statuses=range(50))
        found = json.loads(Path(folder, "said").read_text(encoding="utf-8"))
    findings = {one["id"]: one["finding"] for one in found}
    said = {
        version: ACCEPTED if findings[key].startswith("offered") else REFUSED
        for key, version in _TESTSSL_VERSIONS.items()
    }
    for version in claims.VERSIONS:
        # In the server's order, where it has one.
        order = findings.get("cipherorder_" + version.replace(".", "_"), "")
        said.update(claims.version_suites(version, order.split()))
    said["order of suites"] = findings["cipher_order"]
    if running.server.tls == "starttls":
        said["STARTTLS"] = OFFERED if ACCEPTED in said.values() else NOT_OFFERED
        return said
    kind, bits = findings["cert_keySize"].split()[:2]
    said.update(claims.certificate(
        findings["cert_commonName"], findings["cert_subjectAltName"].split(), findings["cert_notBefore"],
        findings["cert_notAfter"], kind, bits, findings["cert_signatureAlgorithm"].replace(" ", "-"),
        findings["cert_fingerprintSHA256"],
    ))
    return said


# --- all ----------------------------------------------------------------------------------------


def _dns_names(text: str) -> list[str]:
    return re.findall(r"DNS:([^,\s]+)", text)


def _fingerprint(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()


def scanner(name: str) -> scanners.Scanner:
    """The program of a judge. Raises :class:`scanners.Unavailable`."""
    found = _scanner(name)
    if isinstance(found, scanners.Unavailable):
        raise found
    return found


@functools.cache
def _scanner(name: str) -> scanners.Scanner | scanners.Unavailable:
    # What cannot be fetched is tried once, and not for each server again: that may take minutes.
    try:
        return getattr(scanners, name)()
    except scanners.Unavailable as reason:
        return reason


JUDGES: dict[str, t.Callable[[scanners.Scanner, Running], Claims]] = {
    "sslscan": sslscan, "nmap": nmap, "sslyze": sslyze, "testssl": testssl,
}
#: This one takes its time: one server with STARTTLS, one with implicit TLS, both with an order of their own.
TESTSSL_SERVERS = ("postern-article", "postern-implicit")
