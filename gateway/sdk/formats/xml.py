"""Small XML messages without SOAP, read by defusedxml (extra ``soap``): no document types, no entities, no network."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from gateway.sdk.optional import load
from gateway.sdk.parsing import ParseError

MOST_BYTES, MOST_DEPTH = 4 << 20, 64


def parse_xml(raw: bytes) -> Element:
    """The root of a document. Raises ``ParseError`` for what is none, is over 4 MiB, or is nested deeper than 64."""
    if len(raw) > MOST_BYTES:
        raise ParseError(f"a document of over {MOST_BYTES} bytes")
    trees = load("defusedxml.ElementTree", "soap")
    try:
        root: Element = trees.fromstring(raw, forbid_dtd=True)
    except (trees.ParseError, ValueError, LookupError, UnicodeError) as error:  # ValueError: defusedxml's own
        raise ParseError(f"not a plain XML document: {type(error).__name__}") from None
    _check_depth(root)
    return root


def _check_depth(root: Element) -> None:
    level = [root]
    for _ in range(MOST_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return
    raise ParseError(f"a document nested deeper than {MOST_DEPTH}")


def fields_of(root: Element) -> dict[str, str]:
    """The texts of the root's children by name, as WeChat Pay v2 and many tills send them.

    Raises ``ParseError`` for a child with children, or a name that stands twice.
    """
    found: dict[str, str] = {}
    for child in root:
        if len(child) or child.tag in found:
            raise ParseError(f"field {child.tag[:40]!r} is nested or stands twice")
        found[child.tag] = child.text or ""
    return found
