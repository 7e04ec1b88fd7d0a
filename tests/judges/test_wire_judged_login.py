# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins that must fail, and that nothing of them is left behind."""

from __future__ import annotations

import base64
import statistics
import time
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.tests.converge.mta_process import PASSWORD
from ansible_collections.securemail.smtp.tests.mta.smtp.wire_peer import client_context, plain
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import smtp_twin

import swaks_words
from judged_server import DOMAIN, EXPLANATION, USER_PASSWORD, JudgedServer, Place

ANNA = f"anna@{DOMAIN}"
#: What somebody typed who is not Anna. One word each, and nothing that a log could hold by chance.
WRONG, IN_CLEAR, CANCELLED = "Xw4-wrong-2Pq", "Vk9-in-clear-5Tz", "Hm3-cancelled-7Rd"
#: How often each kind of login is tried for a comparison of times.
_ROUNDS = 3


# --- in clear ------------------------------------------------------------------------------------


def clear_login(place: Place, mechanism: str, *initial: str) -> list[str]:
    """What is wrong with the answer to AUTH in clear."""
    with place.connect() as peer:
        peer.start()
        code, text = peer.say(" ".join(["AUTH", mechanism, *initial]))
        return [] if (code, text[4:10].strip()) in ((530, "5.7.0"), (538, "5.7.11")) else [text]


@pytest.mark.parametrize("initial", [(), (plain(ANNA, IN_CLEAR),)])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_w5_nobody_logs_in_in_clear(hardened, mechanism, initial):
    for place in (hardened.relay, hardened.submission):
        assert clear_login(place, mechanism, *initial) == []
    for secret in forms(IN_CLEAR):
        assert secret not in hardened.log


def test_w5_can_fail():
    with smtp_twin(clear_mechanisms=("PLAIN",)) as twin:
        assert clear_login(Place(twin.port), "PLAIN") == ["334 \r\n"]
        assert clear_login(Place(twin.port), "PLAIN", plain(ANNA, IN_CLEAR)) == ["535 5.7.8 Wrong user name or password\r\n"]


# --- wrong passwords -------------------------------------------------------------------------------


def login(swaks, place: Place, user: str, password: str, client: str = "127.0.0.1") -> tuple[str, float]:
    """The last line that the server says to a login by way of swaks, and how many seconds swaks took."""
    secure = () if place.implicit else ("--tls",)
    begun = time.perf_counter()
    transcript = swaks.run(
        *place.swaks, *secure, "--local-interface", client, "--helo", "client.test", "--auth", "PLAIN", "--auth-user", user,
        "--auth-password", password, "--quit-after", "AUTH", statuses=range(64),
    )
    return swaks_words.answer(transcript, "AUTH", True).last, time.perf_counter() - begun


def told_apart(swaks, place: Place) -> list[str]:
    """By what somebody without a password could find out that Anna has an account."""
    times: dict[str, list[float]] = {ANNA: [], f"nobody@{DOMAIN}": [], "anna@elsewhere.test": []}
    said = set()
    # In turns, so that what else the machine does is in all of them; from addresses of their own, none of which fails too often.
    for number in range(_ROUNDS):
        for place_of_client, user in enumerate(times, 2):
            line, seconds = login(swaks, place, user, WRONG, client=f"127.6.{number}.{place_of_client}")
            said.add(line)
            times[user].append(seconds)
    if said != {line for line in said if line.startswith("535 5.7.8 ")} or len(said) != 1:
        return [f"words: {sorted(said)}"]
    middle = {user: statistics.median(seconds) for user, seconds in times.items()}
    # A password takes a fifth of a second to check, and swaks about as long. Without the check a third of the time would go.
    return [f"time: {middle}"] if min(middle.values()) < 0.4 * max(middle.values()) else []


def test_w6_a_wrong_password_tells_nothing(hardened, program):
    for place in (hardened.submission, hardened.submissions):
        assert told_apart(program("swaks"), place) == []
    assert login(program("swaks"), hardened.submission, ANNA, USER_PASSWORD)[0].startswith("235 2.7.0 ")


def test_w6_can_fail(program, authority):
    with smtp_twin(context=authority.context(), any_password=True) as twin:
        assert told_apart(program("swaks"), Place(twin.port)) == ["words: ['235 2.7.0 Welcome']"]


# --- what is left of them --------------------------------------------------------------------------


def forms(secret: str) -> list[str]:
    """A secret as it is, in base64 at each of its three places in a group, and as the response of AUTH PLAIN."""
    shifted = (base64.b64encode(bytes(pad) + secret.encode())[pad + (pad > 0):].decode() for pad in range(3))
    # The first and the last group depend on the neighbours.
    return [secret, plain(ANNA, secret), *filter(None, (text.rstrip("=")[4:-4] for text in shifted))]


def traces(server: JudgedServer, *secrets: str) -> list[str]:
    """Where one of these can be read: the log, the server's files, its process, and all that the admin interface shows."""
    places = {"the log": server.log.encode(), "the list of the queue": server.program("queue", "--json").encode()}
    for path in server.state.rglob("*"):
        if path.is_file():
            places[path.name] = path.read_bytes()
    for name in ("cmdline", "environ"):
        places[f"its {name}"] = Path(f"/proc/{server.pid}/{name}").read_bytes()
    for name in ("smtp_info", "smtp_account"):
        more = {"domain": DOMAIN, "account": "ben"} if name == "smtp_account" else {}
        result = server.module(name, **more)
        # What the module was called with is the test's own.
        result.pop("invocation", None)
        places[f"what {name} returns"] = repr(result).encode()
    return [
        f"{form!r} in {name}" for secret in secrets for form in forms(secret) for name, content in places.items()
        if form.encode() in content
    ]


def leave_traces(server: JudgedServer) -> None:
    """Every way in which a password comes to the server: right, wrong, in clear, broken off, in a line that is too long."""
    with server.submission.connect() as peer:
        peer.start()
        peer.say("AUTH PLAIN " + plain(ANNA, IN_CLEAR))
        peer.say("AUTH LOGIN")
        peer.say(base64.b64encode(IN_CLEAR.encode()))
        peer.starttls(client_context())
        peer.expect("EHLO client.test", 250)
        peer.expect("AUTH PLAIN " + plain(ANNA, WRONG), 535)
        peer.expect("AUTH LOGIN", 334)
        peer.expect(base64.b64encode(ANNA.encode()), 334)
        peer.expect(base64.b64encode(WRONG.encode()), 535)
    with server.submissions.connect() as peer:
        peer.start()
        peer.expect("AUTH PLAIN", 334)
        peer.expect("*", 501)
        peer.expect("AUTH PLAIN " + CANCELLED + "!", 501)
        peer.say("AUTH PLAIN " + plain(ANNA, CANCELLED) + "A" * 13000)
    with server.submissions.connect() as peer:
        peer.start()
        peer.expect("AUTH PLAIN " + plain(ANNA, USER_PASSWORD), 235)
        peer.expect("QUIT", 221)


def test_w38_passwords_and_keys_are_nowhere(hardened):
    leave_traces(hardened)
    key = Path(hardened.certificate).read_text().splitlines()[1]
    assert traces(hardened, USER_PASSWORD, WRONG, IN_CLEAR, CANCELLED, PASSWORD, key) == []


def test_w38_can_fail(hardened):
    # Words that are there, of each kind of place that is looked at.
    for word, place in (
        ("smtp.generation", "the log"), (EXPLANATION, "smtpFilters.script"), (EXPLANATION, "what smtp_info returns"),
        ("postern", "its cmdline"), ("NOTIFY_SOCKET", "its environ"),
    ):
        assert f"{word!r} in {place}" in traces(hardened, word)
