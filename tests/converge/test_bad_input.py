# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input: one clear error that names the option, and not one writing command."""

from __future__ import annotations

import pytest
from test_steps import assert_only_read

AT = "127.0.0.1:10025"
AUTH = {"name": "rule", "connection": "plain", "mechanisms": []}

# Module, parameters ({name} is a path of the lab), and parts of the message.
CASES = [
    ("smtp_listener", {"address": "mail"}, ["address", "mail"]),
    ("smtp_listener", {"address": "625"}, ["0.0.0.0:25", "625", "quote"]),
    ("smtp_listener", {"address": "0.0.0.0:65536"}, ["65536"]),
    ("smtp_listener", {"address": "0.0.0.0:0"}, ["port"]),
    ("smtp_listener", {"address": "192.0.2.256:25"}, ["192.0.2.256"]),
    ("smtp_listener", {"address": "2001:db8::25:587"}, ["2001:db8::25:587"]),
    ("smtp_listener", {"address": "localhost:25"}, ["localhost"]),
    ("smtp_listener", {"address": "*:25"}, ["0.0.0.0:25"]),
    ("smtp_listener", {"address": AT, "versions": []}, ["versions"]),
    ("smtp_listener", {"address": AT, "versions": ["TLSv1.4"]}, ["versions", "TLSv1.4"]),
    ("smtp_listener", {"address": AT, "versions": ["SSLv3"]}, ["SSLv3", "7568"]),
    ("smtp_listener", {"address": AT, "versions": ["SSLv2"]}, ["SSLv2", "6176"]),
    ("smtp_listener", {"address": AT, "versions": ["1.1", "1.3"]}, ["TLSv1.2"]),
    ("smtp_listener", {"address": AT, "ciphers": "NOTHING-SUCH"}, ["ciphers", "NOTHING-SUCH"]),
    ("smtp_listener", {"address": AT, "ciphers": 'HIGH"'}, ["ciphers"]),
    ("smtp_listener", {"address": AT, "tls": "implicit"}, ["implicit", "certificate"]),
    ("smtp_listener", {"address": AT, "tls": "starttls"}, ["starttls", "certificate"]),
    ("smtp_listener", {"address": AT, "tls": "none", "certificate": "{ecdsa}"}, ["none", "certificate"]),
    ("smtp_listener", {"address": AT, "tls": True}, ["none", "starttls", "implicit"]),
    ("smtp_listener", {"address": AT, "tls": "always"}, ["always", "starttls"]),
    ("smtp_listener", {"address": AT, "certificate": "{folder}/missing.pem"}, ["certificate", "missing.pem"]),
    ("smtp_listener", {"address": AT, "certificate": "{ca_file}"}, ["certificate", "key"]),
    ("smtp_listener", {"address": AT, "certificate": "{mismatched}"}, ["certificate", "key"]),
    ("smtp_listener", {"address": AT, "certificate": "{ecdsa}", "dh_params": "{folder}/missing.pem"}, ["dh_params", "missing.pem"]),
    ("smtp_listener", {"address": AT, "certificate": "{ecdsa}", "dh_params": "{ecdsa}"}, ["dh_params"]),
    ("smtp_listener", {"address": AT, "certificate": "{ecdsa}", "ciphers": "DHE-RSA-AES128-SHA256:DHE-RSA-AES256-SHA256"}, ["ciphers", "rsa"]),
    ("smtp_listener", {"address": AT, "certificate": "a\nb"}, ["certificate"]),
    ("smtp_listener", {"address": AT, "idle_timeout": 86401}, ["idle_timeout", "86400"]),
    ("smtp_listener", {"address": AT, "max_connections": 0}, ["max_connections", "2048"]),
    ("smtp_listener", {"address": AT, "denied_networks": ["10.0.0.0/33"]}, ["denied_networks", "10.0.0.0/33"]),
    ("smtp_tls", {"listeners": ["127.0.0.1:1"], "versions": ["1.2"]}, ["127.0.0.1:1", "does not exist"]),
    ("smtp_tls", {"listeners": ["x"], "versions": ["1.2"]}, ["listeners", "x"]),
    ("smtp_auth_rule", dict(AUTH, name="two words"), ["name", "two words"]),
    ("smtp_auth_rule", dict(AUTH, name="1st"), ["name", "1st"]),
    ("smtp_auth_rule", dict(AUTH, name="WA_Acceptance_basic"), ["WA_"]),
    ("smtp_auth_rule", dict(AUTH, mechanisms=["CRAM-MD5"]), ["CRAM-MD5", "SCRAM-SHA-256"]),
    ("smtp_auth_rule", dict(AUTH, mechanisms=["NO SUCH"]), ["mechanisms", "NO SUCH"]),
    ("smtp_auth_rule", dict(AUTH, mechanisms=None), ["mechanisms"]),
    ("smtp_auth_rule", dict(AUTH, position={"after": "nobody"}), ["nobody"]),
    ("smtp_auth_rule", dict(AUTH, position={"after": "rule"}), ["rule"]),
    ("smtp_auth_rule", dict(AUTH, position="middle"), ["position", "middle"]),
    ("smtp_auth_rule", {"name": "rule\r\nQUIT", "state": "absent"}, ["name"]),
    ("smtp_forced_tls_domain", {"domain": "exa mple.test"}, ["exa mple.test"]),
    ("smtp_forced_tls_domain", {"domain": "user@example.test"}, ["user@example.test"]),
    ("smtp_forced_tls_domain", {"domain": "123.456"}, ["123.456"]),
    ("smtp_forced_tls_domain", {"domains": ["ok.test", "-bad.test", "[192.0.2.1]"]}, ["-bad.test", "192.0.2.1"]),
    ("smtp_forced_tls_domain", {"domain": "a.test", "reject_message": 'say "no"'}, ["reject_message", "double quote"]),
    ("smtp_forced_tls_domain", {"domain": "a.test", "reject_message": "100 % TLS"}, ["reject_message", "percent"]),
    ("smtp_forced_tls_domain", {"domain": "a.test", "reject_message": "a\r\nb"}, ["reject_message"]),
    ("smtp_forced_tls_domain", {"domain": "a.test", "reject_message": "nur verschl\u00fcsselt"}, ["reject_message"]),
    ("smtp_forced_tls_domain", {"domain": "a.test", "name": "WA_x"}, ["WA_"]),
    ("smtp_policy", {"listeners": [{"address": "[::]:25"}, {"address": "[0::0]:25", "enabled": False}]}, ["#1", "#2", "[::]:25"]),
    (
        "smtp_policy",
        {"listeners": [{"address": AT, "tls": "starttls", "certificate": "{ecdsa}"}], "starttls": {"inbound": False}},
        ["tls: starttls", "inbound"],
    ),
    ("smtp_policy", {"auth_rules": [AUTH, dict(AUTH, connection="tls")]}, ["#1", "#2", "rule"]),
    ("smtp_policy", {"auth_rules": [{"name": "rule"}]}, ["connection", "mechanisms"]),
    ("smtp_policy", {"listeners": [{"address": "x"}, {"address": "y"}]}, ["#1", "#2"]),
    ("smtp_policy", {"forced_tls_domains": [{"domain": "a.test"}, {"domain": "A.test.", "enabled": False}]}, ["#1", "#2"]),
    (
        "smtp_policy",
        {"forced_tls_domains": [{"domain": "a.test", "name": "same"}, {"domain": "b.test", "name": "same"}]},
        ["a.test", "b.test", "same"],
    ),
    ("smtp_account", {"domain": "exa mple"}, ["exa mple"]),
    ("smtp_info", {"admin_port": 70000}, ["admin_port"]),
]


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
@pytest.mark.parametrize("module, parameters, parts", CASES, ids=["%s-%d" % (row[0], at) for at, row in enumerate(CASES)])
def test_refused(module, parameters, parts, check, shared_run, shared_mta, lab):
    paths = {"ecdsa": lab.ecdsa, "ca_file": lab.ca_file, "folder": str(lab.folder), "mismatched": lab.mismatched()}
    seen = len(shared_mta.verbs())
    result = shared_run(module, check=check, **_filled(parameters, paths))
    assert result.get("failed"), result
    for part in parts:
        assert part in result["msg"], result["msg"]
    assert "Traceback" not in result.output
    assert_only_read(shared_mta.verbs()[seen:])


def _filled(value, paths):
    if isinstance(value, str) and value.startswith("{"):
        return value.format(**paths)
    if isinstance(value, dict):
        return {key: _filled(inner, paths) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, paths) for inner in value]
    return value


WARNED = [
    # What today's libraries make of them is said before somebody looks for the fault in the probe.
    ({"versions": ["1.0", "1.1", "1.2"]}, ["TLSv1", "8996", "security level"]),
    ({"certificate": "{expired}"}, ["expired"]),
    ({"certificate": "{rsa}", "ciphers": "DHE-RSA-AES128-SHA256"}, ["dh_params"]),
    ({"certificate": "{rsa}", "dh_params": "{dh_params}", "ciphers": "DHE-RSA-AES128-SHA256:DHE-DSS-AES256-SHA"}, ["DSS"]),
]


@pytest.mark.parametrize("parameters, parts", WARNED)
def test_warned(parameters, parts, shared_run, lab):
    paths = {"rsa": lab.rsa, "expired": lab.expired(), "dh_params": lab.dh_params}
    result = shared_run("smtp_listener", check=True, address=AT, **_filled(parameters, paths))
    assert not result.get("failed"), result
    warnings = " ".join(str(warning) for warning in result.get("warnings", []))
    for part in parts:
        assert part in warnings, warnings


OLD = ["TLSv1.1", "TLSv1.2"]


@pytest.mark.parametrize(
    "module, parameters",
    [
        ("smtp_listener", {"address": AT, "versions": OLD}),
        ("smtp_tls", {"versions": OLD}),
        ("smtp_policy", {"listeners": [{"address": AT, "versions": OLD}]}),
        ("smtp_policy", {"listeners": [{"address": AT}], "tls": {"versions": OLD}}),
        ("smtp_relay_tls", {"name": "old", "level": "encrypt", "versions": OLD}),
    ],
)
def test_each_module_that_declares_an_old_version_warns_that_libraries_refuse_it(module, parameters, shared_run):
    # Said at once: before it turns out that there is no listener to change.
    result = shared_run(module, check=True, **parameters)
    (warning,) = [str(warning) for warning in result["warnings"] if "TLSv1.1" in str(warning)]
    assert "8996" in warning and "security level" in warning and "smtp_probe" in warning
