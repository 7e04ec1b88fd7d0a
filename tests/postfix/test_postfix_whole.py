# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role secure_smtp asks for, on a Postfix, seen from outside: all that the profile and the policy ask."""

from __future__ import annotations

import outside
import postfix_accounts

FORCED, LOCAL, OTHER = "mydomain.test", "securemail.test", "other.test"
EXPLANATION = "Accepting only secure delivery (STARTTLS) for mydomain.test"
MECHANISMS = ["SCRAM-SHA-256", "PLAIN"]


def submission(listeners):
    relay, *others = (int(listener["address"].rpartition(":")[2]) for listener in listeners)
    rules = [{
        "name": f"relay_{relay}_offers_no_login", "event": "ehlo", "conditions": [{"variable": "smtpPort", "value": relay}],
        "actions": [{"set": "plainConnAuthTypes", "value": "none"}, {"set": "secureConnAuthTypes", "value": "none"}],
    }]
    for listener in listeners[1:]:
        port = int(listener["address"].rpartition(":")[2])
        words = {"login": ("authUser", "", outside.LOGIN_FIRST), "tls": ("isSSLConnection", "no", outside.STARTTLS_FIRST)}
        for name, (variable, value, explanation) in words.items():
            if name == "login" or listener["tls"] == "starttls":
                rules.append({
                    "name": f"submission_{port}_needs_{name}", "event": "mail",
                    "conditions": [{"variable": "smtpPort", "value": port}, {"variable": variable, "value": value}],
                    "actions": [{"set": "smtpAction", "value": "reject"}, {"set": "smtpExplanation", "value": explanation}],
                })
    return rules


def test_whole(make_host, run, lab, free_port):
    host = make_host(domains=[FORCED, LOCAL, OTHER], main=postfix_accounts.settings())
    postfix_accounts.add(host, {f"alice@{LOCAL}": "s3cret pass"})
    host.start()
    listeners = [
        {"address": f"127.0.0.1:{free_port()}", "tls": "starttls"},
        {"address": f"127.0.0.1:{free_port()}", "tls": "starttls"},
        {"address": f"127.0.0.1:{free_port()}", "tls": "implicit"},
    ]
    policy = {
        "tls": {**outside.FORMS["rfc9325"], "prefer_server_ciphers": True, "certificate": lab.rsa, "dh_params": lab.dh_params},
        "listeners": [{**one, "enabled": True} for one in listeners],
        "starttls": {"inbound": True, "outbound": True},
        "auth_rules": [
            {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": [], "enabled": True},
            {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": MECHANISMS, "enabled": True},
        ],
        "rules": submission(listeners),
        "relay_tls": [{"name": "use_only_tls12_and_13_when_relaying", "level": "encrypt", "versions": ["TLSv1.2", "TLSv1.3"], "enabled": True}],
        "forced_tls_domains": [{"domain": FORCED, "reject_message": EXPLANATION, "enabled": True}],
    }
    first = run(host, "smtp_policy", **policy)
    print(first)
    assert first["changed"]
    print(host.master_cf.read_text()[:2500])
    second = run(host, "smtp_policy", **policy)
    print(second)
    assert not second["changed"], second
    options = outside.options("rfc9325", MECHANISMS, {
        "listeners": listeners, "server_name": "mail.example.test", "ca_file": str(lab.ca_file), "account": f"alice@{LOCAL}",
        "password": "s3cret pass", "local_domain": LOCAL, "forced_domain": FORCED, "other_domain": OTHER, "explanation": EXPLANATION,
    })
    rows = outside.look(options)
    bad = [f"{row.listener} {row.title}: expected {row.expected}; seen {row.seen}" for row in rows.values() if row.verdict != "pass"]
    print(len(rows), "\n".join(bad))
    print(host.log[-3000:])
    assert not bad
