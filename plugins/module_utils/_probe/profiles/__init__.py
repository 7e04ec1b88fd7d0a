# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles: what guidelines ask of a listener, as data. One module holds one profile and nothing else.

Keys of a profile: ``name``, ``title``, ``version`` of these data, ``of`` (the document and its edition), ``date`` when
the values were compared with it, ``sources``, ``caveats``, ``includes`` (names of :data:`.common.INCLUDES`) and
``requirements``. Keys of a source: ``title``, ``url``, ``read``: "text" when its text was read, "secondary" when only
what others say about it was. Keys of a caveat: ``text``, ``where``: "everywhere" or "opportunistic".

Keys of a requirement:

* ``check``, ``parameters`` (default none) and ``severity`` (default "error"), as in :class:`.requirement.Requirement`
* ``source``: section or table; ``secondary``: True when the value comes from a secondary source
* ``modes``: the TLS modes of listeners that it is about (default: those with TLS)
* ``opportunistic``: the severity on a public relay port, where mail comes in clear when TLS is too strict (default:
  the same; "" leaves the requirement out there)
"""

from __future__ import annotations

import copy
import typing as t

from . import article, bsi_tr_02102_2, bsi_tr_03108, intermediate, modern, rfc9325
from .common import INCLUDES

_PROFILES: t.Dict[str, t.Dict[str, t.Any]] = {
    module.PROFILE["name"]: module.PROFILE
    for module in (article, modern, intermediate, rfc9325, bsi_tr_02102_2, bsi_tr_03108)
}

#: The names of all profiles.
NAMES: t.Tuple[str, ...] = tuple(_PROFILES)


def load(name: str) -> t.Dict[str, t.Any]:
    """A copy of the profile, with what it includes behind its own requirements. Raises ValueError for another name."""
    if name not in _PROFILES:
        raise ValueError("there is no profile %r; there are %s" % (name, ", ".join(NAMES)))
    found = copy.deepcopy(_PROFILES[name])
    for included in found["includes"]:
        found["requirements"] += copy.deepcopy(list(INCLUDES[included]))
    return found
