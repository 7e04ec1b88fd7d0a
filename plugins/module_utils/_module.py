# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Between Ansible and the policy: options of the modules, errors as failures, outcomes as results."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, env_fallback

from . import _connection
from ._converge import Outcome, converge
from ._goal import Edited, Safety
from ._policy.address import listener_address
from ._policy.errors import PolicyError, few
from ._policy.policy import LIMIT_FIELDS, Policy
from ._policy.tls import withdrawn
from ._servers.base import MailServer, NotSupported, ServerError, together

if t.TYPE_CHECKING:
    from ._servers.axigen.server import AxigenServer

#: Both sides of an outcome as plain data, for the diff.
_Sides = t.Callable[[Outcome], t.Tuple[t.Any, t.Any]]


def argument_spec(proof: bool = True) -> t.Dict[str, t.Any]:
    """What all modules share that write the policy: the connection, and how careful they are.

    Without ``proof`` for those that bring no rules of which a look from outside must tell what they do.
    """
    spec: t.Dict[str, t.Dict[str, t.Any]] = {
        "backup": {"type": "bool"},
        "backup_dir": {"type": "path", "default": "~/.securemail/backups"},
    }
    if proof:
        spec["probe_address"] = {"type": "str"}
    for name, option in spec.items():
        option["fallback"] = (env_fallback, [_connection.ENVIRONMENT + name.upper()])
    return dict(_connection.argument_spec(), **spec)


def safety(module: AnsibleModule, opened: MailServer) -> Safety:
    """How careful the options of :func:`argument_spec` say that a run is. Raises ``PolicyError``."""
    params = module.params
    backup = opened.keeps_backups if params["backup"] is None else params["backup"]
    peer, probe_address = _connection.peer(params), params.get("probe_address")
    return Safety(
        save=params["save"],
        backup_dir=params["backup_dir"] if backup else "",
        peer=peer,
        facts={
            "server": peer,
            "host": os.uname().nodename,
            "server_version": opened.version,
            "dialect": opened.kind,
        },
        probe_address=listener_address(probe_address, "probe_address") if probe_address else "",
        hosts=_connection.seen_as(params),
        timeout=params["admin_timeout"],
    )


def tls_options() -> t.Dict[str, t.Any]:
    """TLS settings of a listener as module options."""
    return {
        "versions": {"type": "list", "elements": "str"},
        "ciphers": {"type": "str"},
        "prefer_server_ciphers": {"type": "bool"},
        "certificate": {"type": "path"},
        "ca_file": {"type": "path"},
        "dh_params": {"type": "path"},
        "request_client_certificate": {"type": "bool"},
    }


def listener_options() -> t.Dict[str, t.Any]:
    """A listener without its address and state as module options.

    ``tls`` is raw because YAML reads ``no`` and ``off`` as a boolean; the policy gives it its meaning.
    """
    options: t.Dict[str, t.Any] = {"enabled": {"type": "bool"}, "tls": {"type": "raw"}}
    options.update(tls_options())
    options.update({name: {"type": "int"} for name in LIMIT_FIELDS})
    options.update({name: {"type": "list", "elements": "str"} for name in ("allowed_networks", "denied_networks")})
    return options


def warn_withdrawn(module: AnsibleModule, *versions: t.Optional[t.Sequence[str]]) -> None:
    """Warn about asked-for protocol versions that no standard allows any more, each time they are asked for."""
    old = withdrawn([version for several in versions for version in several or ()])
    if old:
        module.warn(
            "%s: RFC 8996 withdrew TLS 1.0 and 1.1; allow them only while a peer needs them. TLS libraries of today refuse "
            "them at their default security level (OpenSSL 3 does them at level 0 only), so a server may not speak what is "
            "declared here: smtp_probe tells what it accepts." % ", ".join(old)
        )


def ended_exceptions(policy: Policy, choice: str) -> t.List[str]:
    """What to say about exceptions whose last day is over, as the option ``expired_exceptions`` wants it.

    The day is that of the host that runs the module, in its time zone; nothing else asks a clock for it. Raises
    ``PolicyError`` when they are to fail.
    """
    if not any(getattr(rule, "until", None) for rule in policy.rules):
        return []
    # Few policies have any, and a module's code is compiled anew in each task.
    import datetime

    from ._policy.exception import check_expired

    return check_expired(policy, choice, datetime.date.today())


def warn_ended(module: AnsibleModule, policy: Policy) -> None:
    """Warn of exceptions that were to end, of twenty by name."""
    for warning in few(ended_exceptions(policy, "warn"), "%d more exceptions that were to end"):
        module.warn(warning)


@contextlib.contextmanager
def failures(module: AnsibleModule) -> t.Iterator[None]:
    """Expected errors end the module with their message, never with a traceback.

    Meanwhile the collector of circles rests: what a task makes of a long list lives until its end, and being looked at
    again and again it would cost more than linear time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    except PolicyError as error:
        module.fail_json(msg=str(error), problems=error.shown)
    except ServerError as error:
        # What this collection refuses by itself, no server has said.
        said = {} if isinstance(error, NotSupported) else {"server_said": error.said}
        module.fail_json(msg=str(error), operation=error.operation, **said, **_left_with(error))
    finally:
        if collecting:
            gc.enable()


def _left_with(error: ServerError) -> t.Dict[str, t.Any]:
    """What a failure in the middle of writing says beyond its message; nothing before anything was written."""
    if not error.step:
        return {}
    changed = error.state not in ("unchanged", "rolled back")
    return dict(kept(error.backup), step=error.step, server_state=error.state, changed=changed)


def kept(backup: str) -> t.Dict[str, t.Any]:
    """The result ``backup_file``; nothing when there is no backup."""
    return {"backup_file": backup} if backup else {}


@contextlib.contextmanager
def server(module: AnsibleModule) -> t.Iterator[MailServer]:
    """The server that the connection options name; closed at the end."""
    if module.params["server"] == _connection.POSTFIX:
        opened: MailServer = _connection.open_postfix(module.params, "save" in module.params and not module.check_mode)
    else:
        opened = _logged_in(module)
    try:
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def admin_server(module: AnsibleModule, why: str) -> t.Iterator[AxigenServer]:
    """A server with the admin CLI, logged in, for tasks that mean nothing elsewhere; ``why`` says that of a Postfix."""
    if module.params["server"] == _connection.POSTFIX:
        raise NotSupported("server: postfix", why)
    opened = _logged_in(module)
    try:
        yield opened
    finally:
        opened.close()


def _logged_in(module: AnsibleModule) -> AxigenServer:
    from ._servers.axigen.server import AxigenServer

    session, dialect = _connection.open_session(module.params, module.warn)
    return AxigenServer(
        session,
        dialect,
        local=_connection.has_server_files(module.params),
        # What there is to warn of was said when the first session was opened.
        reconnect=lambda: _connection.open_session(module.params, lambda _warning: None)[0],
    )


def _require(
    opened: MailServer, kinds: t.Sequence[t.Type[t.Any]], outbound: bool, edit: t.Callable[[Policy], Policy]
) -> None:
    """Refuse what the server cannot recognise, together with what it cannot hold."""
    refusals: t.List[NotSupported] = []
    demands = [functools.partial(opened.require, kind) for kind in kinds]
    if outbound:
        demands.append(opened.require_outbound)
    for demand in demands:
        try:
            demand()
        except NotSupported as refusal:
            refusals.append(refusal)
    if refusals:
        try:
            snapshot = opened.read()
            opened.plan(snapshot, edit(snapshot.policy))
        except NotSupported as refusal:
            refusals.append(refusal)
        except PolicyError:
            # It may well come from what could not be recognised.
            pass
        raise together(refusals)


def run(
    module: AnsibleModule,
    edit: t.Callable[[Policy], Policy],
    view: t.Callable[[Policy], t.Any],
    results: t.Optional[t.Callable[[Outcome], t.Dict[str, t.Any]]] = None,
    kinds: t.Sequence[t.Type[t.Any]] = (),
    outbound: bool = False,
    differing: t.Union[bool, _Sides] = False,
    meet: t.Optional[t.Callable[[MailServer], None]] = None,
) -> None:
    """Converge the server with one edit of its policy and end the module.

    ``view`` picks the part of a policy that the module is about, as plain data, for the diff, which is YAML with only
    what differs where the view may be long (``differing``, which may itself give both sides of an outcome);
    ``results`` gives further return values; ``kinds`` are the kinds of rules that the task is about: the
    server must be able to recognise them; ``outbound`` says that it must also be able to hold domains that
    force TLS for mail that goes out, and to tell which domains never have such mail. ``meet`` is given the server when
    it is logged in.
    """
    with failures(module):
        with server(module) as opened:
            if meet is not None:
                meet(opened)
            _require(opened, kinds, outbound, edit)
            outcome = converge(opened, Edited(edit), module.check_mode, safety(module, opened))
        for warning in outcome.warnings + (outcome.rule_warnings if kinds else ()):
            module.warn(warning)
        module.exit_json(
            changed=outcome.changed,
            **(_difference(module, outcome, view, differing) if differing else _both(outcome, view)),
            actions=list(outcome.actions),
            **kept(outcome.backup),
            **(results(outcome) if results else {}),
        )


def _both(outcome: Outcome, view: t.Callable[[Policy], t.Any]) -> t.Dict[str, t.Any]:
    return {"diff": {"before": view(outcome.before), "after": view(outcome.after)}}


def _difference(
    module: AnsibleModule, outcome: Outcome, view: t.Callable[[Policy], t.Any], sides: t.Union[bool, _Sides]
) -> t.Dict[str, t.Any]:
    """The result ``diff`` with only what differs, where somebody wants to see it."""
    if not module._diff:
        return {}
    before = after = ""
    if outcome.changed:
        # Most runs change nothing, and a module's code is compiled anew in each of them.
        from ._policy.difference import difference

        both = sides(outcome) if callable(sides) else (view(outcome.before), view(outcome.after))
        before, after = difference(*both)
    return {"diff": {"before": before, "after": after}}
