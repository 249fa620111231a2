"""HTML as a tree: what is text stays text, whatever it says, since nothing but the tree's writer makes markup.

One file that needs nothing else: no script, no font, no picture, no address of anywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as Tree

Node = Tree.Element
Child = Node | str | None

CHARS_MAX = 400
"""So much of one value is shown."""

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Characters that cannot be seen, or that turn the reading of what follows around: written as their number."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Should a browser ever take something in the page for a script, it does not run it."""


def element(tag: str, *children: Child | Iterable[Child], **attributes: str | None) -> Node:
    """An element; `class_` and `data_label` are written as attributes are. None is left out."""
    named = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items() if v is not None}
    made = Tree.Element(tag, named)
    for child in children:
        for part in [child] if child is None or isinstance(child, (str, Tree.Element)) else child:
            _append(made, part)
    return made


def _append(parent: Node, child: Child) -> None:
    if isinstance(child, Tree.Element):
        parent.append(child)
    elif child is not None and len(parent):
        parent[-1].tail = (parent[-1].tail or "") + child
    elif child is not None:
        parent.text = (parent.text or "") + child


def document(title: str, style: str, *body: Child | Iterable[Child]) -> bytes:
    """A whole page in UTF-8."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Tree.Element("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    page = element("html", head, element("body", *body), lang="en")
    return b"<!DOCTYPE html>\n" + Tree.tostring(page, encoding="unicode", method="html").encode() + b"\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[Child | int]], *, class_: str | None = None) -> Node:
    """A table; whole numbers stand to the right. Every cell carries its header, for narrow screens; a column without
    one is a picture of another."""
    lines = [list(row) for row in rows]
    numbers = [bool(lines) and all(isinstance(line[i], int) for line in lines) for i in range(len(headers))]

    def cell(place: int, value: Child | int) -> Node:
        shown = f"{value:,}" if isinstance(value, int) else value
        kinds = {
            "number": numbers[place],
            "zero": isinstance(value, int) and value == 0,
            "picture": headers[place] == "",
        }
        kind = " ".join(name for name, holds in kinds.items() if holds)
        return element("td", shown, class_=kind or None, data_label=headers[place])

    titles = [
        element("th", h, scope="col", class_="number" if n else None) for h, n in zip(headers, numbers, strict=True)
    ]
    body = [element("tr", [cell(i, value) for i, value in enumerate(line)]) for line in lines]
    made = element("table", element("thead", element("tr", titles)), element("tbody", body), class_=class_)
    return element("div", made, class_="table")


def seen(text: str) -> str:
    """The text with what cannot be seen made visible; the long one is cut."""
    cut = text[:CHARS_MAX]
    shown = "".join(c if c in "\n\t" or unicodedata.category(c) not in HIDDEN else f"\\u{ord(c):04x}" for c in cut)
    return shown if len(text) <= CHARS_MAX else f"{shown}… ({len(text):,} characters)"


def value(text: str | None, other: str | None = None) -> Node:
    """A value as it is: NULL and the empty text are told apart, and what differs from `other` is marked."""
    if text is None:
        return element("i", "NULL", class_="none")
    if text == "":
        return element("i", "empty text", class_="none")
    before, middle, after = _parted(text, other) if other is not None else (text, "", "")
    marked = element("mark", seen(middle)) if middle else None
    return element("code", seen(before), marked, seen(after) if after else None)


def _parted(text: str, other: str) -> tuple[str, str, str]:
    """What both begin with, what is this one's own, what both end with."""
    shortest = min(len(text), len(other))
    start = next((i for i in range(shortest) if text[i] != other[i]), shortest)
    left = shortest - start
    end = next((i for i in range(left) if text[-1 - i] != other[-1 - i]), left)
    return text[:start], text[start : len(text) - end], text[len(text) - end :]
