# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a policy script means when it runs."""

from __future__ import annotations

import pytest
from postern.emulation import ITSELF
from postern.rules.engine import RuleError, compile_script
from postern.rules.script import ScriptError
from postern.rules.variables import MAX_DATA_CEILING, Variables


def run(script: str, event: str = "onEhlo", **known: str) -> Variables:
    """The variables after one event."""
    variables = Variables()
    variables.tell(**known)
    compile_script(script).run(event, variables)
    return variables


def method(body: str, **known: str) -> Variables:
    """The variables after a method that an event calls."""
    return run("event onEhlo { call (M); } method M { %s }" % body, **known)


def applies(test: str, **known: str) -> bool:
    """Whether a condition holds."""
    return method('if (%s) { set (hit, "yes"); }' % test, **known).text("hit") == "yes"


# --- order ----------------------------------------------------------------------------------------

AUTH_RULES = """
event onEhlo { call (%s); call (%s); }
method open { set (secureConnAuthTypes, "plain login "); }
method shut { set (secureConnAuthTypes, "none"); }
"""


@pytest.mark.parametrize(("first", "second", "found"), [("open", "shut", ()), ("shut", "open", ("PLAIN", "LOGIN"))])
def test_the_order_of_calls_decides(first, second, found):
    assert run(AUTH_RULES % (first, second)).mechanisms(True, ITSELF) == found


def test_a_later_set_wins_wherever_it_stands():
    variables = run("""
        event onEhlo { set (a, "1"); call (One); set (b, "event"); call (Two); }
        method One { set (a, "2"); set (b, "one"); set (c, "one"); call (Inner); }
        method Two { set (c, "two"); }
        method Inner { set (c, "inner"); set (d, "inner"); }
        """)
    assert variables == {"a": "2", "b": "event", "c": "two", "d": "inner"}


def test_methods_that_no_event_calls_and_other_events_do_nothing():
    script = 'event onRcptTo { set (a, "rcpt"); } event onEhlo { } method M { set (a, "method"); }'
    assert run(script, "onEhlo") == {}
    assert run(script, "onRcptTo") == {"a": "rcpt"}
    assert run(script, "ONRCPTTO") == {"a": "rcpt"}
    assert run(script, "onRelay") == {}


def test_names_in_any_case():
    variables = run(
        'event ONEHLO { call (RULE); } method rule { if (ISCASE (EHLOHOST, "x")) { set (SmtpAction, "reject"); } }',
        ehloHost="X",
    )
    assert variables.text("smtpaction") == "reject"


def test_calls_that_no_method_has_do_nothing():
    script = 'event onEhlo { set (DNSBLServer, "x"); call (checkSPF); call (no_such_rule); set (after, "yes"); }'
    assert run(script).text("after") == "yes"


def test_the_first_of_two_methods_of_one_name_counts():
    assert run('event onEhlo { call (M); } method M { set (a, "1"); } method m { set (a, "2"); }').text("a") == "1"


# --- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "known", "holds"),
    [
        ('isCase (isSSLConnection, "no")', {"isSSLConnection": "no"}, True),
        ('isCase (isSSLConnection, "NO")', {"isSSLConnection": "no"}, True),
        ('isCase (isSSLConnection, "no")', {"isSSLConnection": "yes"}, False),
        ('isCase (rcptDomain, "MyDomain.com")', {"rcptDomain": "mydomain.com"}, True),
        ('isCase (rcptDomain, "mydomain.com.")', {"rcptDomain": "mydomain.com"}, True),
        ('isCase (rcptDomain, "mydomain.com")', {"rcptDomain": "sub.mydomain.com"}, False),
        ('isCase (rcptDomain, "münchen.example")', {"rcptDomain": "xn--mnchen-3ya.example"}, True),
        ('isCase (rcptDomain, "x")', {}, False),
        ('isCase (never, "")', {}, False),
        ('isCase (authUser, "")', {"authUser": ""}, True),
        ('is (isSSLConnection, "NO")', {"isSSLConnection": "no"}, False),
        ('is (smtpPort, "25")', {"smtpPort": "25"}, True),
        ('is (smtpPort, "025")', {"smtpPort": "25"}, True),
        ('is (smtpPort, "25 ")', {"smtpPort": "25"}, True),
        ('is (smtpPort, "587")', {"smtpPort": "25"}, False),
        ('greaterThan (smtpPort, "24")', {"smtpPort": "25"}, True),
        ('greaterThan (smtpPort, "25")', {"smtpPort": "25"}, False),
        ('greaterThan (smtpPort, "-1")', {"smtpPort": "25"}, True),
        ('greaterThan (smtpPort, "x")', {"smtpPort": "25"}, False),
        ('greaterThan (ehloHost, "1")', {"ehloHost": "x"}, False),
        ('greaterThan (never, "-1")', {}, False),
        ('ipRange (remoteSmtpIP, "192.0.2.0/255.255.255.0")', {"remoteSmtpIp": "192.0.2.9"}, True),
        ('ipRange (remoteSmtpIp, "192.0.2.0/24")', {"remoteSmtpIp": "192.0.3.9"}, False),
        ('ipRange (remoteSmtpIp, "192.0.2.1-192.0.2.9")', {"remoteSmtpIp": "192.0.2.9"}, True),
        ('ipRange (remoteSmtpIp, "192.0.2.1-192.0.2.9")', {"remoteSmtpIp": "192.0.2.10"}, False),
        ('ipRange (remoteSmtpIp, "2001:db8::/32")', {"remoteSmtpIp": "2001:db8::1"}, True),
        ('ipRange (remoteSmtpIp, "2001:db8::/32")', {"remoteSmtpIp": "192.0.2.1"}, False),
        ('ipRange (remoteSmtpIp, "10.0.0.1, 192.0.2.7")', {"remoteSmtpIp": "192.0.2.7"}, True),
        ('ipRange (remoteSmtpIp, "10.0.0.1")', {}, False),
        ('isSubdomainOf (rcptDomain, "gov.test")', {"rcptDomain": "a.gov.test"}, True),
        ('isSubdomainOf (rcptDomain, "GOV.test.")', {"rcptDomain": "B.a.GOV.test"}, True),
        ('isSubdomainOf (rcptDomain, "gov.test")', {"rcptDomain": "gov.test"}, False),
        ('isSubdomainOf (rcptDomain, "gov.test")', {"rcptDomain": "agov.test"}, False),
        ('isSubdomainOf (rcptDomain, "gov.test")', {"rcptDomain": "a.gov.test.example"}, False),
        ('isSubdomainOf (rcptDomain, "gov.test")', {}, False),
        ('isSubdomainOf (rcptDomain, "bücher.test")', {"rcptDomain": "a.xn--bcher-kva.test"}, True),
        ('isSubdomainOf (rcptDomain, "%mailFromDomain%")', {"rcptDomain": "a.b.test", "mailFromDomain": "B.test"}, True),
        ('isSubdomainOf (rcptDomain, "%never%")', {"rcptDomain": "a.b.test"}, False),
        ('isCase (rcptTo, "Ü@bücher.test")', {"rcptTo": "ü@xn--bcher-kva.test"}, True),
        ('isCase (rcptTo, "u\u0308@B\u00dcCHER.test.")', {"rcptTo": "\u00fc@xn--bcher-kva.test"}, True),
        ('isCase (mailFrom, "u@bücher.test")', {"mailFrom": "u@xn--bcher-kva.test"}, True),
        ('isCase (mailFrom, "u@bücher..test")', {"mailFrom": "u@xn--bcher-kva.test"}, False),
        ('isCase (ehloHost, "%remoteSmtpIp%")', {"ehloHost": "192.0.2.1", "remoteSmtpIp": "192.0.2.1"}, True),
    ],
)
def test_one_condition(test, known, holds):
    assert applies(test, **known) is holds


TRUE, FALSE = 'isCase (ehloHost, "x")', 'isCase (ehloHost, "y")'


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        (f"allOf ({TRUE}, {TRUE})", True),
        (f"allOf ({TRUE}, {FALSE})", False),
        (f"anyOf ({FALSE}, {TRUE})", True),
        (f"anyOf ({FALSE}, {FALSE})", False),
        (f"anyOf ({TRUE})", True),
        (f"allOf ({FALSE})", False),
    ],
)
def test_several_conditions(test, holds):
    assert applies(test, ehloHost="x") is holds


def test_a_condition_sees_what_was_set_before_it():
    body = 'set (a, "1"); if (is (a, "1")) { set (a, "2"); if (is (a, "2")) { set (b, "deep"); } } set (c, "%b%");'
    assert method(body) == {"a": "2", "b": "deep", "c": "deep"}


# --- texts ----------------------------------------------------------------------------------------


def test_an_empty_body_does_nothing_and_what_is_not_set_holds_no_test():
    """As in scripts that WebAdmin generates: a variable given to itself by text, and branches without statements."""
    variables = run("""
        event onEhlo {
            set (countriesOk_0, " ");
            set (isBanned_0, "%isBanned%");
            call (WA_Country);
            call (Branch);
        }
        method WA_Country { if ( anyOf ( isCase (isBanned_0, "no") ) ) { } if (allOf (is (unheardOf, "1"))) { } }
        method Branch { if (anyOf (ipRange (remoteSmtpIP, "192.0.2.0/255.255.255.0"))) { set (hit, "yes"); } set (end, "yes"); }
        """)
    assert variables == {"countriesok_0": " ", "isbanned_0": "", "end": "yes"}


def test_variables_in_texts():
    body = 'set (smtpExplanation, "<%ehloHost%> %never%is 100% %EHLOHOST% %a b%");'
    assert method(body, ehloHost="h").text("smtpExplanation") == "<h> is 100% h %a b%"


def test_what_a_peer_says_is_not_replaced_again():
    body = 'set (secret, "s"); set (smtpExplanation, "%ehloHost%");'
    assert method(body, ehloHost="%secret%").text("smtpExplanation") == "%secret%"


def test_a_new_level_has_a_reason_of_its_own():
    body = 'set (tlsLevel, "may"); set (tlsReason, "old scanner"); set (tlsUntil, "2026-12-31");'
    assert method(body).text("tlsReason") == "old scanner"
    assert method(body + 'set (tlsLevel, "secure");') == {"tlslevel": "secure"}


def test_what_the_session_knows_cannot_be_set():
    body = 'set (isSSLConnection, "yes"); set (AUTHUSER, "root"); set (rcptDomain, "x");'
    assert method(body, isSSLConnection="no", authUser="") == {"issslconnection": "no", "authuser": ""}


# --- what does not compile ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "line", "reason"),
    [
        ("event onEhlo {\n\tcall (M);\n\tstop;\n}\n", 3, "does not know the statement 'stop;'"),
        ('method M {\n\n if (isCase (a, "b")) { } else { set (a, "c"); }\n}', 3, "does not know the statement"),
        ('event onEhlo {\n if (\n allOf (\n contains (a, "b")\n)\n) { }\n}', 2, "does not know the test contains"),
        ('event onEhlo {\n if (ipRange (remoteSmtpIp, "300.0.0.1")) { }\n}', 2, "ipRange (remoteSmtpIp, …): "),
        ('event onEhlo {\n if (ipRange (remoteSmtpIp, "")) { }\n}', 2, "no address range"),
        ('event onEhlo {\n if (isCase (rcptDomain, "\udcff")) { }\n}', 2, "is no domain name"),
        ('event onEhlo {\n if (isSubdomainOf (rcptDomain, ".gov.test")) { }\n}', 2, "without a dot in front"),
        ('event onEhlo {\n if (isSubdomainOf (rcptDomain, "")) { }\n}', 2, "is no domain name"),
        ("event onEhlo {\n", 1, ""),
        ("nonsense", 1, ""),
        ("method M {" + 'if (is (a, "b")) {' * 500 + "}" * 500 + "}", 1, "nested deeper"),
    ],
)
def test_what_cannot_be_understood_names_its_line(script, line, reason):
    with pytest.raises(ScriptError) as raised:
        compile_script(script)
    assert raised.value.line == line and reason in raised.value.reason


# --- runs that do not end -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        'event onEhlo { call (M); } method M { set (a, "1"); call (M); set (b, "1"); }',
        'event onEhlo { call (M); } method M { set (a, "1"); call (N); } method N { call (M); set (b, "1"); }',
    ],
)
def test_recursion_ends(script):
    assert run(script) == {"a": "1", "b": "1"}


def test_calls_that_multiply_are_given_up():
    methods = "".join(f"method m{n} {{ call (m{n + 1}); call (m{n + 1}); }}" for n in range(40))
    with pytest.raises(RuleError):
        run("event onEhlo { call (m0); }" + methods)


def test_a_long_chain_of_calls_is_cut():
    methods = "".join(f"method m{n} {{ call (m{n + 1}); }}" for n in range(5000))
    assert run("event onEhlo { call (m0); }" + methods + 'method m5000 { set (a, "1"); }') == {}


# --- many rules -----------------------------------------------------------------------------------


def forced_domains(names) -> str:
    """A script with one forced-TLS rule per domain, in the shape of the modules."""
    calls = "".join(f"call (rule_{n});" for n, _name in enumerate(names))
    rules = "".join(
        f'method rule_{n} {{ if (allOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, "{name}"))) '
        f'{{ set (smtpAction, "reject"); set (smtpExplanation, "{n}"); }} }}'
        for n, name in enumerate(names)
    )
    return f"event onRcptTo {{ {calls} }} {rules}"


def test_one_of_ten_thousand_domains():
    rules = compile_script(forced_domains([f"d{n}.example" for n in range(10_000)]))

    def outcome(domain: str, tls: str) -> Variables:
        variables = Variables()
        variables.tell(rcptDomain=domain, isSSLConnection=tls)
        rules.run("onRcptTo", variables)
        return variables

    for _again in range(2):
        assert outcome("D7777.example", "no").text("smtpExplanation") == "7777"
        assert outcome("d7777.example", "yes").text("smtpAction") == ""
        assert outcome("elsewhere.example", "no").text("smtpAction") == ""


def test_a_row_of_rules_means_the_same_as_one_by_one():
    """Rules about the same value, rules that see each other's settings, and rules between the rows keep their order."""
    script = """
    event onRcptTo {
        call (a1); call (a2); call (b1); call (a3); call (free); call (a4); call (b2); call (a5); call (a6); call (a7);
    }
    method a1 { if (isCase (rcptDomain, "a.example")) { set (n, "%n%1"); } }
    method a2 { if (allOf (isCase (rcptDomain, "A.EXAMPLE"), is (n, "1"))) { set (n, "%n%2"); } }
    method b1 { if (isCase (rcptDomain, "b.example")) { set (n, "%n%b"); } }
    method a3 { if (anyOf (isCase (rcptDomain, "a.example"), isCase (rcptDomain, "c.example"))) { set (n, "%n%3"); } }
    method free { set (n, "%n%-"); }
    method a4 {
        if (allOf (isCase (mailFromDomain, "s.example"), isCase (rcptDomain, "a.example"))) { set (n, "%n%4"); }
    }
    method b2 { if (isCase (rcptDomain, "b.example")) { set (n, "%n%B"); } }
    method a5 { if (isCase (rcptDomain, "a.example")) { set (n, "%n%5"); } }
    method a6 { if (isCase (rcptDomain, "a.example")) { set (n, "%n%6"); call (free); } }
    method a7 { if (isCase (rcptDomain, "a.example")) { set (n, "%n%7"); } }
    """

    def outcome(domain: str) -> str:
        return run(script, "onRcptTo", rcptDomain=domain, mailFromDomain="s.example").text("n")

    assert outcome("a.example") == "123-456-7"
    assert outcome("b.example") == "b-B"
    assert outcome("c.example") == "3-"
    assert outcome("d.example") == "-"


# --- what the variables mean ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        ("all", ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        ("none", ()),
        ("", ()),
        ("()", ()),
        ("(plain login)", ("PLAIN", "LOGIN")),
        ("login plain ", ("PLAIN", "LOGIN")),
        ("SCRAM-SHA-256 ", ("SCRAM-SHA-256",)),
        ("plain cram-md5 gssapi ", ("PLAIN",)),
        ("cram-md5", ()),
    ],
)
def test_mechanisms(value, found):
    for name, encrypted in (("plainConnAuthTypes", False), ("secureConnAuthTypes", True)):
        variables = Variables() if value is None else method(f'set ({name}, "{value}");')
        assert variables.mechanisms(encrypted, ITSELF) == found
        assert variables.mechanisms(not encrypted, ITSELF) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")


def test_limits_and_permissions():
    assert Variables().max_data() == 10240 * 1024
    assert method('set (maxDataSize, "20480");').max_data() == 20480 * 1024
    assert method('set (maxDataSize, "4294967295");').max_data() == MAX_DATA_CEILING
    assert method('set (maxDataSize, "nonsense");').max_data() == 10240 * 1024
    assert method('set (maxRcptCount, "50");').max_recipients() == 50
    assert method('set (maxRcptCount, "5000");').max_recipients() == 1000
    assert Variables().delivery(local=True) == "all" and Variables().delivery(local=False) == "auth"
    assert method('set (localDelivery, "none");').delivery(local=True) == "none"
    # A word that nobody knows opens nothing.
    assert method('set (remoteDelivery, "everybody");').delivery(local=False) == "auth"
    assert method('set (localDelivery, "everybody");').delivery(local=True) == "auth"
