"""XML as a flat list of elements with their lines. Document types and entities are refused before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from core.importing import NotReadable


@dataclass(slots=True)
class Element:
    """One element: its name, attributes, text, the line in which it begins, the elements inside, the one around."""

    tag: str
    attributes: Mapping[str, str]
    line: int
    around: Element | None = field(default=None, repr=False)
    inside: list[Element] = field(default_factory=list, repr=False)
    text: str = ""

    def all(self, tag: str) -> list[Element]:
        """Every element of this name inside, at any depth, in the order of the file."""
        found = []
        stack = [*reversed(self.inside)]
        while stack:
            element = stack.pop()
            if element.tag == tag:
                found.append(element)
            stack += reversed(element.inside)
        return found

    def child(self, tag: str) -> Element | None:
        """The first element of this name directly inside."""
        return next((e for e in self.inside if e.tag == tag), None)

    def said(self, tag: str) -> str:
        """The text of the first element of this name directly inside, "" where there is none."""
        return found.text.strip() if (found := self.child(tag)) else ""


DEEPEST = 1000  # a file of Portfolio Performance puts every further account into the first that speaks of it


def tree(text: str, without: frozenset[str] = frozenset()) -> Element:
    """The root element, less the elements of the names in `without` and all that is in them.

    Raises NotReadable where the text is no XML, is cut off, or brings a document type along.
    """
    root: list[Element] = []
    open_: list[Element] = []
    parser = expat.ParserCreate()

    def refuse(*_: object) -> Any:
        raise NotReadable("the file brings a document type or entities along: a broker's export has none")

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, parser.CurrentLineNumber, open_[-1] if open_ else None)
        if tag not in without:
            (open_[-1].inside if open_ else root).append(element)
        open_.append(element)
        if len(open_) > DEEPEST:
            raise NotReadable(f"the file has elements within elements, more than {DEEPEST} deep")

    def characters(data: str) -> None:
        if open_:
            open_[-1].text += data

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.UnparsedEntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_.pop() and None
    parser.CharacterDataHandler = characters
    parser.buffer_text = True
    try:
        parser.Parse(text.encode("utf-8", errors="replace") if not text.startswith("<?xml") else _bare(text), True)
    except expat.ExpatError as e:
        raise NotReadable(f"the XML cannot be read in line {e.lineno}: {expat.ErrorString(e.code)}") from None
    if not root:
        raise NotReadable("the file holds no XML element")
    return root[0]


def _bare(text: str) -> bytes:
    """The text without its declaration, whose encoding no longer holds; its lines stay the same."""
    end = text.find("?>")
    if end < 0:
        return text.encode("utf-8", errors="replace")
    return ("\n" * text[: end + 2].count("\n") + text[end + 2 :]).encode("utf-8", errors="replace")
