# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTML elements, made by ``xml.etree``: text is escaped by construction, and shown by :func:`visible` before."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from .visible import visible

#: What an element may hold: text, elements, lists of both; None is nothing.
Content = t.Any


def element(tag: str, /, *content: Content, **attributes: t.Any) -> ElementTree.Element:
    """An element with content and attributes.

    A trailing underscore of an attribute's name is dropped (``class_``, ``for_``), others become dashes
    (``aria_label``). None and False leave the attribute out, True makes one without a value.
    """
    made = ElementTree.Element(tag)
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        made.set(name.rstrip("_").replace("_", "-"), "" if value is True else visible(value))
    add(made, content)
    return made


def add(parent: ElementTree.Element, content: Content) -> None:
    """Put content behind what ``parent`` has."""
    if content is None:
        return
    if isinstance(content, ElementTree.Element):
        parent.append(content)
    elif isinstance(content, (list, tuple)):
        for item in content:
            add(parent, item)
    else:
        text = visible(content)
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text


def block(tag: str, /, lines: t.Iterable[t.Any], **attributes: t.Any) -> ElementTree.Element:
    """An element that keeps its lines, as ``pre`` does. Line ends within a line become visible, as everywhere."""
    made = element(tag, **attributes)
    made.text = "\n".join(visible(line) for line in lines)
    return made


def page(root: ElementTree.Element) -> str:
    """The whole document as text."""
    return "<!DOCTYPE html>\n" + ElementTree.tostring(root, encoding="unicode", method="html") + "\n"
