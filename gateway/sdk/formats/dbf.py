"""DBF tables of DOS and FoxPro tills, in cp936 (extra ``dbf``: dbfread to read, dbf to write).

Numbers come as ``Decimal``, never as floats; text that was cut in the middle of a character is mended; a table that
holds another number of records than its head says is half written and refused.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from gateway.domain.errors import NotSent
from gateway.sdk.convert.text import decode_cut
from gateway.sdk.optional import load
from gateway.sdk.parsing import ParseError, shown
from gateway.sdk.transports.files import sync_folder

MOST_BYTES = 64 << 20

#: All that dbfread raises for a table that is none; a memo file that is missing is an ``OSError``.
FAILURES = (ValueError, TypeError, LookupError, AttributeError, struct.error, ArithmeticError, EOFError)


def read_dbf(path: Path, *, encoding: str = "gb18030") -> list[dict[str, Any]]:
    """The records of a table that are not deleted, by column name in lower case.

    Raises ``ParseError`` for what is no whole table, ``NotSent`` if the file or its memo can't be read.
    """
    try:
        _check_head(path)
        table = load("dbfread", "dbf").DBF(path, parserclass=_parser(encoding), lowernames=True, encoding="latin-1")
        rows = [dict(row) for row in table]
        announced, found = int(table.header.numrecords), len(rows) + len(table.deleted)
    except OSError as error:
        raise NotSent(f"the table {path.name} cannot be read: {error.strerror or type(error).__name__}") from None
    except ParseError:
        raise
    except FAILURES as error:
        raise ParseError(f"not a DBF table: {type(error).__name__}") from None
    if announced != found:
        raise ParseError(f"a table of {announced} records that holds {found}: it may still be written")
    return rows


def _check_head(path: Path) -> None:
    """See that a table's sizes agree before dbfread reads it: a record of no bytes would hold it for ever."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ParseError(f"a table of over {MOST_BYTES} bytes")
    with path.open("rb") as file:
        head = file.read(32)
        if len(head) < 32:
            raise ParseError("not a DBF table: no head")
        records, start, width = struct.unpack_from("<IHH", head, 4)
        columns = file.read(max(0, start - 32)).partition(b"\r")[0] if start > 64 else b""
    found = [columns[at : at + 32] for at in range(0, len(columns) - 31, 32)]
    if (
        not found
        or 1 + sum(column[16] + (column[17] << 8 if column[11:12] == b"C" else 0) for column in found) != width
    ):
        raise ParseError("not a DBF table: its columns do not add up to a record")
    if start + records * width > size:
        raise ParseError(f"a table of {records} records that is cut off: it may still be written")


def _parser(encoding: str) -> Any:
    base: Any = load("dbfread", "dbf").FieldParser

    class Parser(base):  # type: ignore[misc]
        def parseC(self, field: Any, data: bytes) -> str:
            return decode_cut(data, encoding)

        def parseN(self, field: Any, data: bytes) -> Decimal | None:
            text = data.strip(b" \0*")
            if not text:
                return None  # blank, or stars: the till had no number, or one that did not fit
            return _number(text)

        parseF = parseN

    return Parser


def _number(text: bytes) -> Decimal:
    try:
        number = Decimal(text.decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        raise ParseError(f"not a number: {shown(text)}") from None
    if not number.is_finite():
        raise ParseError(f"not a number: {shown(text)}")
    return number


def write_dbf(path: Path, columns: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table whole or not at all. ``columns`` as ``"item_no C(20); price N(12,2); on D"``, text in cp936.

    Raises ``ParseError`` for a value that its column can't hold, ``OSError``.
    """
    dbf = load("dbf", "dbf")
    temporary = path.with_name(f"x{os.getpid()}_{path.stem}.dbf")
    try:
        table = dbf.Table(str(temporary), columns, codepage="cp936")
        try:
            table.open(mode=dbf.READ_WRITE)
            for row in rows:
                table.append(dict(row))
        finally:
            table.close()
        temporary.replace(path)
    except (dbf.DbfError, ValueError, UnicodeError) as error:
        raise ParseError(f"cannot be written: {type(error).__name__}") from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
