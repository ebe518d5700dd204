"""Small XML messages without SOAP, read by defusedxml (extra ``soap``): no document types, no entities, no network."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from gateway.sdk.optional import load
from gateway.sdk.parsing import ParseError

MOST_BYTES, MOST_DEPTH = 4 << 20, 64

_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,100}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["'][^>]{0,100}\?>""")
#: The codec of each Chinese encoding; GB18030 holds what the two before it do.
_CODECS = {"gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "big5": "big5"}


def parse_xml(raw: bytes, encoding: str = "") -> Element:
    """The root of a document. Raises ``ParseError`` for what is none, is over 4 MiB, or is nested deeper than 64.

    ``encoding`` is for systems whose documents do not declare theirs. The parser below knows no Chinese encodings: what
    is declared (or said here) as GB2312, GBK, GB18030 or Big5 is decoded first, strictly, the first three as GB18030.
    """
    if len(raw) > MOST_BYTES:
        raise ParseError(f"a document of over {MOST_BYTES} bytes")
    trees = load("defusedxml.ElementTree", "soap")
    try:
        root: Element = trees.fromstring(_readable(raw, encoding), forbid_dtd=True)
    except (trees.ParseError, ValueError, LookupError, UnicodeError) as error:  # ValueError: defusedxml's own
        raise ParseError(f"not a plain XML document: {type(error).__name__}") from None
    _check_depth(root)
    return root


def _readable(raw: bytes, encoding: str) -> bytes:
    """The document in an encoding that the parser knows."""
    declared = _DECLARED.match(raw)
    name = declared[1].decode("ascii") if declared else encoding
    codec = _CODECS.get(name.lower().replace("_", "-"), "" if declared else name)
    return raw[declared.end() if declared else 0 :].decode(codec).encode() if codec else raw


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
