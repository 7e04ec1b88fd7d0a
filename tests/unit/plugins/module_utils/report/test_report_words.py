# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words of the report: every check, every side, every profile has them in both languages, with the same placeholders."""

from __future__ import annotations

import re

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe import catalogue, profiles, reply
from ansible_collections.securemail.smtp.plugins.module_utils._probe.requirement import Requirement
from ansible_collections.securemail.smtp.plugins.module_utils._report import english, german, german_seen, model
from ansible_collections.securemail.smtp.plugins.module_utils._report.language import Foreign, Words

_PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")


def placeholders(text):
    """The names that a template wants."""
    return sorted(_PLACEHOLDER.findall(text))


def same(one, other):
    """Both tables have the same keys, and each pair of texts the same placeholders."""
    assert set(one) == set(other)
    for key, text in one.items():
        assert placeholders(text) == placeholders(other[key]), key
        assert other[key].strip(), key


def test_every_check_is_called_something_in_both_languages():
    same(catalogue.TITLES, german.TITLES)


def test_every_expectation_has_words_in_both_languages():
    same(catalogue.EXPECTED, german.EXPECTED)


def test_the_page_has_the_same_words_in_both_languages():
    # German has cases that English lacks.
    cases = {key for key in german.TEXTS if ".dative." in key}
    same(english.TEXTS, {key: text for key, text in german.TEXTS.items() if key not in cases})
    for key in cases:
        assert placeholders(german.TEXTS[key]) == placeholders(german.TEXTS[key.replace(".dative", "")])


def test_every_side_has_a_name_in_both_languages():
    sides = {
        value for name, value in vars(reply).items()
        if name.isupper() and isinstance(value, str) and re.match(r"[a-z]+( [a-z]+)*\Z", value)
    }
    assert {"server alert", "network", "probe budget"} <= sides
    assert set(english.SIDES) == set(german.SIDES) == sides


def test_every_check_has_a_column():
    assert set(model.GROUP_OF) == set(catalogue.CATALOGUE) - {model.OUTSIDE}
    for table in (english.TEXTS, german.TEXTS):
        assert {"group." + name for name, _checks in model.GROUPS} <= set(table)


@pytest.mark.parametrize("name", profiles.NAMES)
def test_a_profile_speaks_german(name):
    """Whoever changes a caveat changes its German words, too: they are found by the English ones."""
    profile, words = profiles.load(name), Words("de")
    said = [profile["of"]] + [caveat["text"] for caveat in profile["caveats"]]
    for requirement in profile["requirements"]:
        if requirement["check"] == model.OUTSIDE:
            said += [requirement["parameters"]["what"], requirement["parameters"]["why"]]
    assert [text for text in said if isinstance(words.profile_words(text), Foreign)] == []


def test_no_german_words_of_a_profile_are_left_over():
    said = set()
    for name in profiles.NAMES:
        profile = profiles.load(name)
        said |= {profile["of"]} | {caveat["text"] for caveat in profile["caveats"]}
        for requirement in profile["requirements"]:
            said |= {str(value) for value in requirement.get("parameters", {}).values()}
    assert set(german.PROFILE_WORDS) - said == set()


@pytest.mark.parametrize("name", profiles.NAMES)
def test_a_source_has_no_english_word_left(name):
    words = Words("de")
    for requirement in profiles.load(name)["requirements"]:
        source = words.source(requirement["source"])
        assert not re.search(r"\b(sections?|tables?|chapter|appendix|and|edition|article)\b", source), source


def test_german_is_german():
    """Umlauts are umlauts, and the two tables are not the same text."""
    texts = list(german.TEXTS.values()) + list(german.TITLES.values()) + list(german.EXPECTED.values())
    whole = " ".join(texts + list(german.PROFILE_WORDS.values()))
    assert not re.search(r"\b\w*(fuer|pruef|schluess|ueber|aender|gueltig|oeffent|moeglich|koenn|waere)\w*\b", whole, re.IGNORECASE)
    assert sum(whole.count(letter) for letter in "äöüß") > 100
    equal = {key for key in english.TEXTS if english.TEXTS[key] == german.TEXTS[key]}
    assert equal <= {
        "at", "mode.starttls", "group.starttls", "group.session", "host", "host.one", "host.many", "details.mode", "details.took",
        "certificates.subject",
    }


def test_every_requirement_of_every_profile_has_a_german_row():
    words = Words("de")
    for name in profiles.NAMES:
        for asked in profiles.load(name)["requirements"]:
            made = Requirement(asked["check"], asked.get("parameters", {}), "error", asked["source"], name)
            row = {"check": made.check, "parameters": made.parameters, "title": made.title, "expected": made.expected}
            assert not isinstance(words.title(row), Foreign)
            assert not isinstance(words.expected(row), Foreign)


def test_a_check_of_a_newer_probe_stays_english_and_is_marked():
    row = {"check": "telepathy", "parameters": {}, "title": "telepathy", "expected": "none"}
    assert isinstance(Words("de").title(row), Foreign)
    assert Words("en").title(row) == "telepathy"
    assert isinstance(Words("de").expected(dict(row, check="tls_mode")), Foreign), "a parameter is missing"


@pytest.mark.parametrize(("text", "expected"), [
    ("server alert: protocol_version", "TLS-Alert des Servers: protocol_version"),
    ("59 days left, until 2027-01-24T17:27:16Z", "noch 59 Tage, bis 2027-01-24T17:27:16Z"),
    ("accepts no DHE suite", "nimmt keine DHE-Suite an"),
    ("refused; accepts X25519, P-256 and 2 more", "abgelehnt; nimmt an: X25519, P-256 und 2 weitere"),
    ("not offered; asked for all the same: 503 accepted connected", "nicht angeboten; dennoch verlangt: 503 accepted connected"),
    ("TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 X25519", "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 X25519"),
    ("is not for a.example: b.example, c.example", "gilt nicht für a.example: b.example, c.example"),
    ("STARTTLS refused: 502 5.5.1 Error: no", "STARTTLS abgelehnt: 502 5.5.1 Error: no"),
    ("MAIL gets 250 Ok; without any EHLO MAIL gets 250 Ok", "MAIL erhält 250 Ok; ganz ohne EHLO: MAIL erhält 250 Ok"),
    (
        "in clear: a.example gets 550 no; b.example gets 250 Ok; inside TLS: MAIL gets 530 Log in",
        "unverschlüsselt: a.example erhält 550 no; b.example erhält 250 Ok; innerhalb von TLS: MAIL erhält 530 Log in",
    ),
    ("silent, then closed; inside TLS: 220 mail", "schweigt und beendet dann die Verbindung; innerhalb von TLS: 220 mail"),
    ("waiting for the banner: no answer in 10 s", "keine Begrüßung innerhalb von 10 s"),
    ("1024 bits with DHE-RSA-AES128-SHA, TLSv1.2", "1024 Bit mit DHE-RSA-AES128-SHA, TLSv1.2"),
])
def test_what_was_seen_in_german(text, expected):
    assert german_seen.seen(text) == expected


def test_words_of_a_server_are_not_translated():
    assert german_seen.seen("220 connected and accepted, never turned away") is None
    assert isinstance(Words("de").seen("550 5.7.1 relaying denied"), Foreign)
    assert not isinstance(Words("en").seen("550 5.7.1 relaying denied"), Foreign)


@pytest.mark.parametrize(("language", "moment"), [("en", "2026-11-05, 17:00"), ("de", "05.11.2026, 17:00")])
def test_a_moment_as_people_write_it(language, moment):
    words = Words(language)
    assert words.moment("2026-11-05T17:00:59Z") == moment
    assert words.day("2026-11-05T17:00:59Z") == moment.partition(",")[0]
    assert words.moment("some day") == "some day"


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="language must be one of en, de; got 'fr'"):
        Words("fr")


def test_numbers_and_cases():
    assert [Words("en").count(number, "listener") for number in (0, 1, 2)] == ["0 listeners", "1 listener", "2 listeners"]
    assert [Words("de").count(number, "listener", "dative") for number in (1, 2)] == ["1 Dienst", "2 Diensten"]
    assert Words("en").count(2, "listener", "dative") == "2 listeners"
