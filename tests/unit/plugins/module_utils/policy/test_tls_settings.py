# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS settings: modes, versions and cipher lists as people and YAML write them."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import tls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError

#: The list of the hardening article.
ARTICLE = (
    "DHE-RSA-AES128-SHA256:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA256:"
    "DHE-RSA-AES256-SHA256:DHE-DSS-AES256-SHA:DHE-RSA-AES256-SHA"
)


# --- modes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        (None, None),
        (False, "none"),
        ("no", "none"),
        ("off", "none"),
        ("False", "none"),
        ("none", "none"),
        ("None", "none"),
        ("starttls", "starttls"),
        ("STARTTLS", "starttls"),
        (" implicit ", "implicit"),
        ("Implicit", "implicit"),
    ],
)
def test_a_mode_has_one_spelling(given, mode):
    assert tls.tls_mode(given) == mode


@pytest.mark.parametrize("given", [True, "yes", "on", "true", "ssl", "", 1, 0, 1.2, [], {}, "start tls", "starttls\n"])
def test_what_is_no_mode_is_refused_with_the_three_choices(given):
    with pytest.raises(PolicyError) as caught:
        tls.tls_mode(given, "listeners #1: tls")
    (problem,) = caught.value.problems
    assert problem.startswith('listeners #1: tls must be one of "none", "starttls", "implicit"; got ')


# --- versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "versions"),
    [
        ([1.2, 1.3], ("TLSv1.2", "TLSv1.3")),
        (["1.2", "1.3"], ("TLSv1.2", "TLSv1.3")),
        (["1.2"], ("TLSv1.2",)),
        (["tls1_2"], ("TLSv1.2",)),
        (["TLSv1.2"], ("TLSv1.2",)),
        (["tlsv1.2"], ("TLSv1.2",)),
        (["TLS 1.2"], ("TLSv1.2",)),
        (["TLS1.2"], ("TLSv1.2",)),
        (["tls12"], ("TLSv1.2",)),
        (["TLSv1_2"], ("TLSv1.2",)),
        ([" TLSv1.2 "], ("TLSv1.2",)),
        (["TLSv1"], ("TLSv1",)),
        (["tls1"], ("TLSv1",)),
        (["TLSv1.0"], ("TLSv1",)),
        (["1.0"], ("TLSv1",)),
        ([1.0], ("TLSv1",)),
        ([1.1], ("TLSv1.1",)),
        (["tls10", "tls11", "tls12", "tls13"], ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")),
        (["TLSv1.3", "TLSv1.2"], ("TLSv1.2", "TLSv1.3")),
        (["TLSv1.2", "1.2", 1.2, "tls1_2"], ("TLSv1.2",)),
        (("TLSv1.2", "TLSv1.3"), ("TLSv1.2", "TLSv1.3")),
        ("1.2, 1.3", ("TLSv1.2", "TLSv1.3")),
        ("TLSv1.3", ("TLSv1.3",)),
        (1.2, ("TLSv1.2",)),
    ],
)
def test_versions_are_a_set_printed_oldest_first(given, versions):
    assert tls.tls_versions(given) == versions
    assert tls.tls_versions(list(versions)) == versions


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([], "versions must name at least one TLS version, like [TLSv1.2, TLSv1.3]; the list is empty"),
        (None, "versions must be a list like [TLSv1.2, TLSv1.3]; got nothing"),
        (True, "versions must be a list like [TLSv1.2, TLSv1.3]; got the boolean true"),
        ({}, "versions must be a list like [TLSv1.2, TLSv1.3]; got a dictionary"),
        (["SSLv3"], "versions #1: SSLv3 is broken and must not be used (RFC 7568)"),
        (["ssl3"], "versions #1: SSLv3 is broken and must not be used (RFC 7568)"),
        (["SSLv3.0"], "versions #1: SSLv3 is broken and must not be used (RFC 7568)"),
        (["SSLv2"], "versions #1: SSLv2 is broken and must not be used (RFC 6176)"),
        (["ssl2"], "versions #1: SSLv2 is broken and must not be used (RFC 6176)"),
        (["1.10"], 'versions #1: "1.10" is not a TLS version'),
        (["1.4"], 'versions #1: "1.4" is not a TLS version'),
        (["1.20"], 'versions #1: "1.20" is not a TLS version'),
        ([1], 'versions #1: "1" is not a TLS version'),
        ([12], 'versions #1: "12" is not a TLS version'),
        ([1.25], 'versions #1: "1.25" is not a TLS version'),
        (["TLSv2"], 'versions #1: "TLSv2" is not a TLS version'),
        (["TLS"], 'versions #1: "TLS" is not a TLS version'),
        (["SSL"], 'versions #1: "SSL" is not a TLS version'),
        (["SSLv3.1"], 'versions #1: "SSLv3.1" is not a TLS version'),
        (["all"], 'versions #1: "all" is not a TLS version'),
        (["!SSLv3"], 'versions #1: "!SSLv3" is not a TLS version'),
        ([">=TLSv1.2"], 'versions #1: ">=TLSv1.2" is not a TLS version'),
        ([""], 'versions #1: "" is not a TLS version'),
        (["tl\u017f1.2"], 'versions #1: "tl\u017f1.2" is not a TLS version'),
        (["TLSv1.2\nSET"], 'versions #1: "TLSv1.2\\nSET" is not a TLS version'),
        ([None], "versions #1: a TLS version is like TLSv1.2; got nothing"),
        ([True], "versions #1: a TLS version is like TLSv1.2; got the boolean true"),
        (["TLSv1.1", "TLSv1.3"], "versions has a gap: TLSv1.1 and TLSv1.3 without TLSv1.2 cannot be offered"),
        (["TLSv1", "TLSv1.3"], "versions has a gap: TLSv1 and TLSv1.3 without TLSv1.1 and TLSv1.2 cannot be offered"),
    ],
)
def test_a_set_that_cannot_be_is_refused(given, problem):
    with pytest.raises(PolicyError) as caught:
        tls.tls_versions(given)
    assert caught.value.problems[0].startswith(problem)


def test_all_bad_versions_are_named_together():
    with pytest.raises(PolicyError) as caught:
        tls.tls_versions(["SSLv2", "TLSv1.2", "SSLv3", "x"], "tls.versions")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "tls.versions #1",
        "tls.versions #3",
        "tls.versions #4",
    ]


def test_versions_withdrawn_by_rfc_8996():
    assert tls.withdrawn(("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")) == ("TLSv1", "TLSv1.1")
    assert tls.withdrawn(["TLSv1.1"]) == ("TLSv1.1",)
    assert tls.withdrawn(("TLSv1.2", "TLSv1.3")) == ()


# --- ciphers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        ARTICLE,
        "ECDHE+AESGCM",
        "ECDHE+AESGCM:ECDHE+CHACHA20",
        "!aNULL:HIGH",
        "HIGH:!aNULL:!eNULL:!SHA1",
        "DEFAULT:@SECLEVEL=0",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_AES_128_GCM_SHA256:ECDHE+AESGCM",
        "ECDHE+AESGCM:NO-SUCH-SUITE",
    ],
)
def test_a_cipher_list_is_kept_as_it_was_written(given):
    assert tls.cipher_list(given) == given
    assert tls.cipher_list("  %s\t" % given) == given


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("NO-SUCH-SUITE", "selects no cipher suite of OpenSSL"),
        ("HIGH:!ALL", "selects no cipher suite"),
        ("!aNULL", "selects no cipher suite"),
        ("@SECLEVEL=2", "selects no cipher suite"),
        ("TLS_AES_256_GCM_SHA384", "the suites of TLS 1.3 are always on and cannot be chosen here"),
        ("eNULL", "do not encrypt"),
        ("ALL:eNULL", "do not encrypt"),
        ("", "it is empty"),
        ("  ", "it is empty"),
        (None, "got nothing"),
        (False, "got the boolean false"),
        (5, "got the number 5"),
        (["HIGH"], "got a list"),
        ('HIGH:"', "without quotes"),
        ("HIGH:'", "without quotes"),
        ("HIGH\\", "without quotes and backslashes"),
        ("HIGH\r\nSET enable no", "printable ASCII"),
        ("HIGH\0", "printable ASCII"),
        ("H\u0130GH", "printable ASCII"),
    ],
)
def test_a_list_that_does_not_work_is_refused(given, advice):
    with pytest.raises(PolicyError) as caught:
        tls.cipher_list(given, "tls.ciphers")
    assert str(caught.value).startswith("tls.ciphers")
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kinds", "dhe"),
    [
        (ARTICLE, {"rsa", "dss"}, True),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", {"ecdsa"}, False),
        ("ECDHE+AESGCM", {"ecdsa", "rsa"}, False),
        ("AES128-SHA", {"rsa"}, False),
        ("DHE-RSA-AES128-SHA", {"rsa"}, True),
        ("DHE-DSS-AES256-SHA", {"dss"}, True),
        ("ADH-AES128-SHA256", {"null"}, True),
        ("NO-SUCH-SUITE", set(), False),
        ("TLS_AES_256_GCM_SHA384", set(), False),
        ("bad\0", set(), False),
    ],
)
def test_what_a_list_needs(given, kinds, dhe):
    assert tls.cipher_authentication(given) == kinds
    assert tls.uses_dhe(given) is dhe


def test_suites_that_are_asked_for_by_name():
    names = [suite.name for suite in tls.named_suites("HIGH:!aNULL:DHE-RSA-AES128-SHA ECDHE-RSA-AES128-SHA")]
    assert sorted(names) == ["DHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"]
    assert tls.named_suites("ECDHE+AESGCM") == ()
    dss = [suite for suite in tls.named_suites(ARTICLE) if suite.authentication == "dss"]
    assert [suite.name for suite in dss] == ["DHE-DSS-AES128-SHA256", "DHE-DSS-AES256-SHA"]
    assert all(suite.dhe for suite in tls.named_suites(ARTICLE))
