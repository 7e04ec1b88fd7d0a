# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sample rules told about a server's policy script, what they did not tell, and why."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from . import sample as samples


@dataclass(frozen=True)
class Missing:
    """What could not be learned: keys of the profile, the sample that should have told them, and why it did not."""

    keys: t.Tuple[str, ...]
    sample: str
    reason: str

    def document(self) -> t.Dict[str, t.Any]:
        """The same as plain data."""
        return {"profile_keys": list(self.keys), "sample": self.sample, "reason": self.reason}


@dataclass
class Learned:
    """What the samples tell: the ``profile`` (keys of the option ``dialect_profile``), what is ``missing``, ``notes``.

    ``methods`` are the names under which samples stand in the script, all of which can be removed now; ``called`` those
    names of samples that an event calls, without those about authentication that have a condition. ``explanation`` is
    the text with which the sample for a domain rejects, None when that sample is not in force. ``tried`` says that a
    listener has shown which sample about authentication is about which connections.
    """

    profile: t.Dict[str, t.Any]
    missing: t.List[Missing] = field(default_factory=list)
    notes: t.List[str] = field(default_factory=list)
    methods: t.List[str] = field(default_factory=list)
    called: t.Set[str] = field(default_factory=set)
    explanation: t.Optional[str] = None
    tried: bool = False

    def miss(self, keys: t.Iterable[str], one: samples.Sample, reason: str) -> None:
        """Note that a sample did not tell these keys."""
        self.missing.append(Missing(tuple(keys), one.name, reason))

    def state_relay_ssl(self, meaning: t.Optional[str]) -> None:
        """What somebody says that the relay requirement does; no script says it."""
        if "relay_ssl_variable" not in self.profile:
            return
        if meaning is not None:
            self.profile["relay_ssl"] = meaning
            return
        self.miss(
            ("relay_ssl",),
            samples.relay_sample(()),
            "no script says what %s does. Enable the sample, send mail to a server with STARTTLS and to one without, "
            "and say relay_ssl: required if the first one gets it over TLS and the second one does not get it, and "
            "relay_ssl: implicit if TLS is tried from the first byte. Until then rules that require TLS are refused, "
            "and rules about versions are not" % self.profile["relay_ssl_variable"],
        )

    def miss_encrypted(self, reason: str) -> None:
        """Note why it is not known whether isSSLConnection is yes after STARTTLS."""
        self.miss(("encrypted_after_starttls",), samples.domain_sample(""), reason)

    def ask_encrypted(self, ask: t.Callable[[str], t.Any]) -> None:
        """Ask the server with the sample for a domain; ``ask`` takes its explanation and gives an ``Answer``."""
        if self.explanation is None:
            self.miss_encrypted("it is asked with this rule, which must be right and enabled")
            return
        answer = ask(self.explanation)
        if answer.after_starttls is None:
            self.miss_encrypted(answer.reason)
        else:
            self.profile["encrypted_after_starttls"] = answer.after_starttls
        self._check_logins(answer.clear_login, answer.tls_login)

    def _check_logins(self, clear: t.Optional[t.Collection[str]], tls: t.Optional[t.Collection[str]]) -> None:
        """With both samples about authentication in force, login is offered over TLS only; if not, none is trusted."""
        plain, secure = samples.plain_sample(), samples.tls_sample(())
        if clear is None or tls is None or not {plain.name, secure.name} <= self.called:
            return
        if not clear and tls:
            self.tried = True
            return
        keys = [key for key in plain.keys + secure.keys if self.profile.pop(key, None) is not None]
        self.miss(
            keys,
            plain,
            "with both rules about authentication enabled the listener offers %s in clear and %s after STARTTLS: each "
            "may be about the other kind of connections, or another rule decides"
            % (", ".join(sorted(clear)) or "no login", ", ".join(sorted(tls)) or "no login"),
        )

    def note_untried(self) -> None:
        """Two samples that were made the wrong way round look right in the script."""
        names = self.profile.get("plain_auth_variable"), self.profile.get("tls_auth_variable")
        if self.tried or None in names:
            return
        self.notes.append(
            "that %s is about connections in clear, and %s about SSL connections, is what the names of the samples say, "
            "and no listener was asked: look at the two rules once more. With both enabled, and without a condition, "
            "probe_address tries it" % names
        )
