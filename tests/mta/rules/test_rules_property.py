# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""However many rules are looked up at once: what comes out is what the statements mean one by one."""

from __future__ import annotations

import re

import hypothesis
import hypothesis.strategies as st
import pytest
from postern.rules import script as language
from postern.rules.engine import compile_script
from postern.rules.variables import Variables

DOMAINS = ("a.test", "b.a.test", "c.b.a.test", "xa.test", "test", "B.A.test", "a.test.", "%mailFromDomain%", "")
VARIABLES = ("rcptDomain", "RCPTDOMAIN", "mailFromDomain", "rcptTo", "n", "isSSLConnection")
#: What the script is told in one run.
TOLD = st.fixed_dictionaries(
    {"rcptDomain": st.sampled_from(("a.test", "b.a.test", "C.b.a.test", "xa.test", "d.test"))},
    optional={
        "mailFromDomain": st.sampled_from(("a.test", "b.a.test")),
        "isSSLConnection": st.sampled_from(("yes", "no")),
    },
)


class OneByOne:
    """The language as it is described, and nothing that makes it fast."""

    def __init__(self, text: str, variables: Variables) -> None:
        self._script = language.parse(text)
        self._variables = variables

    def event(self, name: str) -> Variables:
        self._run(self._script.event(name).statements, ())
        return self._variables

    def _run(self, statements, active: tuple[str, ...]) -> None:
        for one in statements:
            if isinstance(one, language.Set):
                if one.variable.lower() not in ("rcptdomain", "mailfromdomain", "rcptto", "issslconnection"):
                    self._variables[one.variable.lower()] = self._filled(one.value)
            elif isinstance(one, language.Call):
                method = self._script.method(one.method)
                if method is not None and one.method.lower() not in active:
                    self._run(method.statements, (*active, one.method.lower()))
            elif (all if one.match == "all" else any)([self._holds(test) for test in one.tests]):
                self._run(one.body, active)

    def _holds(self, test) -> bool:
        found = self._variables.get(test.variable.lower())
        if found is None:
            return False
        found, wanted = found.lower(), self._filled(test.value).lower()
        if test.name.lower() == "issubdomainof":
            return bool(wanted.rstrip(".")) and found.endswith("." + wanted.rstrip("."))
        about_a_domain = test.variable.lower().endswith("domain") and "%" not in test.value
        return found == (wanted.rstrip(".") if about_a_domain else wanted)

    def _filled(self, text: str) -> str:
        return re.sub("%([A-Za-z]+)%", lambda found: self._variables.get(found.group(1).lower(), ""), text)


@st.composite
def conditions(draw, body: str) -> str:
    tests = [
        f'{draw(st.sampled_from(("isCase", "isSubdomainOf", "ISCASE")))} ({draw(st.sampled_from(VARIABLES))}, "{domain}")'
        for domain in draw(st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=4))
    ]
    tests = [test for test in tests if not re.match(r'isSub.*""', test)] or ['isCase (rcptDomain, "a.test")']
    return f"if ({draw(st.sampled_from(('allOf', 'anyOf')))} ({', '.join(tests)})) {{ {body} }}"


@st.composite
def statements(draw, number: int) -> str:
    """Says in variable ``n`` that it ran, so that the order shows."""
    mark = f'set (n, "%n%-{number}");'
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return mark
    if kind == 1:
        return f"call (m{draw(st.integers(0, 20))}); {mark}" if draw(st.booleans()) else 'set (rcptDomain, "b.a.test");'
    if kind == 2:
        return draw(conditions(f"call (m{draw(st.integers(0, 20))}); {mark}"))
    if kind == 3:
        return draw(conditions(draw(conditions(mark)) + draw(conditions(mark.replace("-", "+")))))
    if kind == 4:
        return draw(conditions(mark)) + draw(conditions(mark.replace("-", "+")))
    return draw(conditions(mark))


@st.composite
def scripts(draw) -> str:
    bodies = [draw(statements(number)) for number in range(draw(st.integers(1, 14)))]
    methods = "".join(f"method m{number} {{ {body} }}\n" for number, body in enumerate(bodies))
    calls = [f"call (m{number});" for number in draw(st.lists(st.integers(0, len(bodies)), max_size=16))]
    alone = [draw(statements(50 + number)) for number in range(draw(st.integers(0, 5)))]
    return f"{methods}event onRcptTo {{ {' '.join(draw(st.permutations(calls + alone)))} }}"


def told(values: dict[str, str]) -> Variables:
    variables = Variables()
    variables.tell(**values)
    return variables


@hypothesis.given(scripts(), st.lists(TOLD, min_size=1, max_size=3))
@hypothesis.settings(
    max_examples=120, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_many_rules_mean_what_they_mean_one_by_one(script, runs):
    try:
        compiled = compile_script(script)
    except language.ScriptError:
        hypothesis.reject()
    for values in runs:
        found = told(values)
        compiled.run("onRcptTo", found)
        assert found == OneByOne(script, told(values)).event("onRcptTo")


class Counting(Variables):
    """Counts how often a rule asks for something."""

    asked = 0

    def get(self, *arguments):
        self.asked += 1
        return super().get(*arguments)


FORMS = {
    "whole domains": 'if (allOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, "d{n}.test"))) {{ {body} }}',
    "subdomains": 'if (allOf (isSubdomainOf (rcptDomain, "d{n}.test"))) {{ {body} }}',
    "nested": 'if (allOf (isCase (isSSLConnection, "no"))) {{ if (anyOf (isCase (rcptDomain, "d{n}.test"), '
    'isCase (rcptDomain, "e{n}.test"))) {{ {body} }} }}',
}
BODY = 'set (smtpAction, "reject"); set (n, "%n%+");'


def one_rule_each(form: str, count: int) -> str:
    forms = list(FORMS.values()) if form == "mixed" else [FORMS[form]]
    methods = [f"method m{n} {{ {forms[n % len(forms)].format(n=n, body=BODY)} }}" for n in range(count)]
    calls = [f"call (m{n});" for n in range(count)]
    # What is about everybody may stand anywhere among them.
    calls[count // 2 : count // 2] = ["call (everybody);"]
    return f"event onRcptTo {{ {''.join(calls)} }} {''.join(methods)} method everybody {{ set (a, \"b\"); }}"


def all_in_one(count: int) -> str:
    tests = ",\n".join(f'isCase (rcptDomain, "d{n}.test")' for n in range(count))
    return (
        "event onRcptTo { call (one); } method one { "
        f'if (allOf (isCase (isSSLConnection, "no"))) {{ if (anyOf ({tests})) {{ {BODY} }} }} }}'
    )


@pytest.mark.parametrize("form", [*FORMS, "mixed", "all in one"])
def test_a_recipient_costs_the_same_among_ten_rules_and_among_thousands(form):
    def cost(count: int, domain: str, action: str) -> int:
        script = all_in_one(count) if form == "all in one" else one_rule_each(form, count)
        variables = Counting()
        variables.tell(rcptDomain=domain, isSSLConnection="no")
        compile_script(script).run("onRcptTo", variables)
        assert (super(Counting, variables).get("smtpaction"), super(Counting, variables).get("n")) == (
            ("reject", "+") if action else (None, None)
        )
        return variables.asked

    below = "d7.test" if form in ("all in one", "whole domains", "nested") else "a.d7.test"
    if form != "mixed":
        assert cost(10, below, "reject") == cost(2000, below, "reject")
    assert cost(12, "x.elsewhere.test", "") == cost(1999, "x.elsewhere.test", "") <= 5
