# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a server calls things, the samples tell exactly that; searched for counter-examples."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import description, dialect, learn, profile
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import script as language
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen import sample_scripts as made

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

relaxed = hypothesis.settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)

#: Names that no documented variable has, and that mislead: words of other things are among them.
identifiers = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,12}", fullmatch=True)
names = identifiers.filter(lambda name: name.lower() not in learn.KNOWN)
words = st.one_of(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,8}", fullmatch=True),
    st.sampled_from(["plain", "LOGIN", "cram-md5", "digest-md5", "tls12", "tls1_3", "TLSv1.1", "ssl3", "all", "none"]),
)


def unlike(texts, count):
    """So many texts of which no two are equal in any case."""
    return st.lists(texts, min_size=count, max_size=count, unique_by=str.lower)


@st.composite
def servers(draw):
    """Names as one server could have them."""
    found = dict(zip(("plain", "tls", "domain", "ssl"), draw(unlike(names, 4))))
    found["equals"] = draw(names)
    found["encrypted"] = draw(st.one_of(st.just(found["equals"]), names))
    found.update(zip(("none", *made.MECHANISMS), draw(unlike(words, 4))))
    found.update(zip(made.VERSIONS, draw(unlike(words, 3))))
    hypothesis.assume(not learn.spelled_mechanism(found["none"]) and found["none"].lower() not in ("all", "any"))
    return found


@relaxed
@hypothesis.given(servers(), st.booleans())
def test_any_names_are_found(server, by_hand):
    samples = [made.plain(server), made.tls(server), made.forced(server), made.relay(server)]
    samples = [made.by_hand(server)] if by_hand else samples
    single = [
        made.tls(server, "securemail_sample_mechanism_" + one.replace("-", "_"), (one,)) for one in made.MECHANISMS
    ]
    single += [
        made.relay(server, "securemail_sample_version_" + one.replace(".", "_"), (one,)) for one in made.VERSIONS
    ]
    before = description.describe(language.parse(made.BASE), "10.5.12")
    found = learn.derive(
        before,
        language.parse(made.script(*samples, *single)),
        "10.5.12",
        made.DOMAIN,
        made.MECHANISMS,
        made.VERSIONS,
    )
    assert found.missing == []
    known = profile.with_document(dialect.AXIGEN, found.profile)
    assert (known.plain_auth_var, known.tls_auth_var) == (server["plain"], server["tls"])
    assert known.auth_none == server["none"]
    assert (known.rcpt_domain_var, known.equals_test) == (server["domain"], server["equals"])
    assert (known.encryption_test or known.equals_test).lower() == server["encrypted"].lower()
    assert known.relay.ssl_var == server["ssl"]
    assert dict(known.mechanism_names) == {one: server[one] for one in made.MECHANISMS}
    assert {one: dict(known.version_names)[one] for one in made.VERSIONS} == {one: server[one] for one in made.VERSIONS}
    # What it writes means the same when it is read again.
    for some in ((), ("LOGIN",), ("CRAM-MD5", "PLAIN", "LOGIN")):
        assert known.mechanisms_from_script(known.mechanisms_to_script(some)) == some
