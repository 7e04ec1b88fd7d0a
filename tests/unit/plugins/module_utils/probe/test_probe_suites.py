# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import ssl

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe import records, suites
from ansible_collections.securemail.smtp.plugins.module_utils._probe.enumeration import wide_groups


def local():
    """What the local library knows of each suite: name -> (key exchange, authentication, encryption, MAC)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    found = {}
    for cipher in context.get_ciphers():
        words = dict(re.findall(r"(Kx|Au|Enc|Mac)=(\S+)", cipher["description"]))
        found[cipher["name"]] = tuple(words[key] for key in ("Kx", "Au", "Enc", "Mac"))
    return found


def expected(exchange, authentication, encryption, mac):
    """The family, by what the local library says of a suite instead of by its name."""
    if exchange == "any":
        return "null" if encryption == "None" else "tls13"
    if authentication == "None":
        return "anonymous"
    if encryption == "None":
        return "null"
    for cipher, name in (("3DES", "3des"), ("IDEA", "3des"), ("DES", "des"), ("RC4", "rc4")):
        if encryption.startswith(cipher):
            return name
    if exchange == "RSA":
        return "rsa"
    if mac != "AEAD":
        return "cbc"
    return {"DH": "dhe", "ECDH": "ecdhe"}[exchange]


def test_families_agree_with_the_local_library():
    known = {name: words for name, words in local().items() if "PSK" not in words[0] + words[1] and "SRP" not in words[0]}
    assert set(known) - set(suites.SUITES) == set(), "suites that a server can have and the table has not"
    assert len(known) > 60
    assert {name: suites.family(name) for name in known} == {name: expected(*words) for name, words in known.items()}
    block = {name for name, words in known.items() if words[3] != "AEAD" and words[2] != "None" and "RC4" not in words[2]}
    assert {name for name in known if suites.is_cbc(name)} == block
    kinds = {"DH": "DHE", "ECDH": "ECDHE", "RSA": "RSA", "any": "any"}
    assert {name: suites.key_exchange(name) for name in known} == {name: kinds[words[0]] for name, words in known.items()}


@pytest.mark.parametrize(
    "name, family, exchange",
    [
        # What no library of today can tell.
        ("EXP-RC4-MD5", "export", "RSA"),
        ("EXP-EDH-RSA-DES-CBC-SHA", "export", "DHE"),
        ("EXP1024-DES-CBC-SHA", "export", "RSA"),
        ("EXP1024-DHE-DSS-RC4-SHA", "export", "DHE"),
        ("EXP-ADH-RC4-MD5", "anonymous", "DHE"),
        ("ADH-RC4-MD5", "anonymous", "DHE"),
        ("AECDH-NULL-SHA", "anonymous", "ECDHE"),
        ("EDH-RSA-DES-CBC-SHA", "des", "DHE"),
        ("DES-CBC-SHA", "des", "RSA"),
        ("RC4-MD5", "rc4", "RSA"),
        ("ECDHE-RSA-RC4-SHA", "rc4", "ECDHE"),
        ("DES-CBC3-SHA", "3des", "RSA"),
        ("ECDHE-RSA-DES-CBC3-SHA", "3des", "ECDHE"),
        ("IDEA-CBC-SHA", "3des", "RSA"),
        ("SEED-SHA", "rsa", "RSA"),
        ("DHE-RSA-SEED-SHA", "cbc", "DHE"),
        ("ECDH-ECDSA-AES128-SHA", "rsa", "ECDH"),
        ("ECDH-RSA-NULL-SHA", "null", "ECDH"),
        ("ECDHE-RSA-CAMELLIA128-GCM-SHA256", "ecdhe", "ECDHE"),
        ("RC2-CBC-MD5", "export", "RSA"),
        ("DES-CBC3-MD5", "3des", "RSA"),
        ("TLS_SHA256_SHA256", "null", "any"),
        ("TLS_AES_128_CCM_8_SHA256", "tls13", "any"),
    ],
)
def test_families(name, family, exchange):
    assert (suites.family(name), suites.key_exchange(name)) == (family, exchange)


def test_every_suite_has_a_family_and_its_own_number():
    assert {suites.family(name) for name in suites.SUITES} == set(suites.FAMILIES)
    assert len(suites.SUITE_NAMES) == len(suites.SUITES)


def test_a_version_is_offered_with_what_it_can_have():
    for version in suites.VERSIONS:
        names, everything = suites.suites_of(version), suites.all_suites_of(version)
        assert len(set(everything)) == len(everything) and set(names) <= set(everything)
    assert not {"anonymous", "null"} & {suites.family(name) for name in suites.suites_of("TLSv1.2")}
    assert "ECDHE-RSA-AES128-SHA" in suites.suites_of("SSLv3")
    assert not set(suites.all_suites_of("TLSv1.1")) & set(suites.TLS12_SUITES)
    first = suites.suites_of("TLSv1.2")[:64]
    # Some servers read no further than that.
    assert {"AES128-SHA", "DES-CBC3-SHA", "RC4-MD5", "DHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-GCM-SHA256"} <= set(first)


# ---- hellos


def parts(hello):
    """Extensions of a ClientHello by number, and its compression methods."""
    body = hello[9:]
    at = 34 + 1 + body[34]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    methods = body[at + 1 : at + 1 + body[at]]
    at += 1 + body[at] + 2
    found = {}
    while at < len(body):
        number, size = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
        found[number] = body[at + 4 : at + 4 + size]
        at += 4 + size
    return found, methods


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"])
def test_a_hello_names_the_groups_in_the_numbers_of_its_version(version):
    found, unused = parts(records.client_hello(version, suites.suites_of(version), None, wide_groups(version)))
    numbers = [int.from_bytes(found[10][at : at + 2], "big") for at in range(2, len(found[10]), 2)]
    assert [suites.GROUPS[number] for number in numbers] == list(wide_groups(version))
    brainpool, finite = {0x1A, 0x1B, 0x1C}, set(range(0x100, 0x105))
    if version == "TLSv1.3":
        assert finite <= set(numbers) and 0x11EC in numbers and not brainpool & set(numbers)
    else:
        # RFC 7919 would make a server whose own DH file is none of these give up DHE.
        assert brainpool <= set(numbers) and not finite & set(numbers) and max(numbers) < 0x1F


def test_a_key_share_is_sent_unless_the_server_is_to_name_its_group():
    names = suites.suites_of("TLSv1.3")
    with_share, unused = parts(records.client_hello("TLSv1.3", names))
    assert len(with_share[51]) == 2 + 4 + 32
    without, unused = parts(records.client_hello("TLSv1.3", names, key_share=False))
    assert without[51] == b"\x00\x00"
    other, unused = parts(records.client_hello("TLSv1.3", names, None, ["P-384"]))
    assert other[51] == b"\x00\x00"


@pytest.mark.parametrize("version", ["SSLv3", "TLSv1", "TLSv1.2", "TLSv1.3"])
def test_compression_is_offered_when_asked_for_and_never_in_tls13(version):
    names = suites.suites_of(version)
    plain = records.client_hello(version, names)
    pressed = records.client_hello(version, names, compression=True)
    methods = [hello[9 + 34 + 1 + hello[9 + 34] + 2 + 2 * (len(names) + (version != "TLSv1.3")) :][:3] for hello in (plain, pressed)]
    assert methods[0][:2] == b"\x01\x00"
    assert methods[1][:3] == b"\x02\x01\x00" if version != "TLSv1.3" else methods[1][:2] == b"\x01\x00"


@pytest.mark.parametrize("count", range(1, 120, 3))
def test_no_hello_has_a_length_that_some_servers_hang_at(count):
    # RFC 7685: 256 to 511 bytes.
    hello = records.client_hello("TLSv1.2", suites.suites_of("TLSv1.2")[:count], "mail.example.test")
    size = int.from_bytes(hello[3:5], "big")
    assert not 256 <= size < 512, size
    assert size == len(hello) - 5 == 4 + int.from_bytes(hello[6:9], "big")


@pytest.mark.parametrize("groups", [["P-1"], [], ["ffdhe2048"], ["X25519MLKEM768"]])
def test_groups_that_a_version_cannot_have_are_slips_of_the_caller(groups):
    with pytest.raises(ValueError, match="unknown groups"):
        records.client_hello("TLSv1.2", ["ECDHE-RSA-AES128-SHA"], None, groups)
