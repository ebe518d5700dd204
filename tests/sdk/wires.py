"""Every wire format of the SDK and of the plugins: its reader, examples to begin from, and its writer where it has one.

A new reader of bytes is added to :data:`WIRES`, or it is fuzzed by nobody.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from gateway.sdk import convert
from gateway.sdk.formats import xml
from gateway.sdk.formats.dbf import read_dbf
from gateway.sdk.formats.fixed import DIGITS, FEN, YUAN, Column, Layout
from gateway.sdk.formats.iso8583 import CHINA_POS, Iso8583
from gateway.sdk.formats.separated import Separated
from gateway.sdk.parsing import ParseError
from gateway.sdk.signers import rsa, wechat_v3
from gateway.sdk.transports import frames
from gateway.sdk.transports.late_rows import LateRows
from plugins.alipay import bill as alipay_bill
from plugins.alipay import protocol as alipay
from plugins.convenience import files as convenience_files
from plugins.convenience import labels as convenience_labels
from plugins.convenience import protocol as convenience
from plugins.department import protocol as department
from plugins.department import protocol_bankall, protocol_detail, protocol_sales
from plugins.evoucher import protocol as evoucher
from plugins.groupbuy import protocol as groupbuy
from plugins.ktv import protocol as ktv
from plugins.ktv import replies as ktv_replies
from plugins.restaurant import protocol as restaurant
from plugins.restaurant import protocol_bill, protocol_members

MOST_SECONDS, MOST_BYTES = 1.0, 64 << 20
PUBLIC = rsa.read_public_key((Path(__file__).parent / "data" / "key.pub.pem").read_text())
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wire:
    """One format. ``build`` writes what ``parse`` returned: read again, it must be the same.

    ``most`` is the largest message, in bytes, that what carries it lets through.
    """

    name: str
    parse: Callable[[bytes], Any]
    seeds: tuple[bytes, ...]
    build: Callable[[Any], bytes] | None = None
    most: int = 30_000


def is_parse_error(error: BaseException) -> bool:
    """Each plugin's wire has a ``ParseError`` of its own, since it imports nothing of ours."""
    return any(cls.__name__ == "ParseError" for cls in type(error).__mro__)


def examine(wire: Wire, data: bytes) -> bool:
    """Read one input; whether it was understood. Fails for any error but ``ParseError``, too long, too much memory."""
    tracemalloc.reset_peak()  # the figures are 0 where it was not started
    base, began = tracemalloc.get_traced_memory()[0], time.thread_time()
    try:
        value = wire.parse(data)
        understood = True
    except Exception as error:
        if not is_parse_error(error):
            raise AssertionError(f"{wire.name} raises {type(error).__name__} for {data[:400]!r}") from error
        understood = False
    took, used = time.thread_time() - began, tracemalloc.get_traced_memory()[1] - base
    assert took <= MOST_SECONDS, f"{wire.name} takes {took:.1f} s for {data[:400]!r}"
    assert used <= MOST_BYTES, f"{wire.name} takes {used >> 20} MiB for {data[:400]!r}"
    if understood and wire.build is not None:
        try:
            written = wire.build(value)
        except Exception as error:
            # A reader may understand more than its writer can write, as an amount without its decimals.
            assert is_parse_error(error), f"{wire.name} can't write what it read from {data[:400]!r}: {error!r}"
            assert data not in wire.seeds, f"{wire.name} can't write its own example"
            return understood
        assert wire.parse(written) == value, f"{wire.name} reads {data[:400]!r} otherwise once written"
    return understood


# ------------------------------------------------------------------ readers that take more than bytes

DAY = Layout((Column("counter", 6), Column("name", 10), Column("lines", 4, DIGITS), Column("net", 12, FEN)))
RECORDS = Layout((Column("no", 2), Column("price", 10, YUAN)), line_end=b"")
TABBED = Separated(separator="\t", quoted=False, columns=("no", "name", "price"))
QUOTED = Separated(comment="#")
HOST = Iso8583(CHINA_POS, tpdu=bytes.fromhex("6000060000"), header=bytes.fromhex("603100000000"))


def text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: read(convert.decode_text(data[:4096], encoding="utf-8"))


def framed(framing: frames.Framing) -> Wire:
    """All frames of a buffer; those that come out go in again."""

    def parse(data: bytes) -> list[bytes]:
        bodies = []
        while found := framing.cut(data):
            bodies.append(found[0])
            data = data[found[1] :]
            if not found[1]:
                raise AssertionError("a frame that takes nothing")
        return bodies

    seed = framing.encode(b"abcdefg")
    return Wire(
        f"{framing}"[:60], parse, (seed, seed * 3, seed[:-1]), lambda bodies: b"".join(map(framing.encode, bodies))
    )


def dbf(data: bytes) -> Any:
    with tempfile.NamedTemporaryFile(suffix=".dbf") as file:
        file.write(data)
        file.flush()
        return read_dbf(Path(file.name))


def dbf_seed() -> bytes:
    """A head of two columns and one record, written out by hand."""
    columns = b"".join(
        name.ljust(11, b"\0") + kind + bytes(4) + bytes((width, places)) + bytes(14)
        for name, kind, width, places in ((b"NAME", b"C", 6, 0), (b"PRICE", b"N", 8, 2))
    )
    head = b"\x03\x0e\x03\x08" + (1).to_bytes(4, "little") + (97).to_bytes(2, "little") + (15).to_bytes(2, "little")
    return head + bytes(20) + columns + b"\r" + b" " + "茶".encode("gbk").ljust(6) + b"    1.50" + b"\x1a"


def json_of(read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    """A reader of a JSON value that was parsed before."""

    def parse(data: bytes) -> Any:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            raise ParseError("not JSON") from None
        return read(value)

    return parse


def ktv_reply(read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    return lambda data: read(ktv.parse_reply(data))


def groupbuy_reply(read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    return lambda data: read(groupbuy.read_reply(data))


def evoucher_reply(read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    return lambda data: read(evoucher.read_reply(data, "x"))


def evoucher_notice(data: bytes) -> None:
    evoucher.read_notice(data, "secret")


def notice(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    headers = dict(
        line.split("=", 1) for line in convert.decode_text(head, encoding="utf-8").splitlines() if "=" in line
    )
    wechat_v3.check(headers, body, {"S": PUBLIC}, NOW)


def position(data: bytes) -> Any:
    return json_of(LateRows(lambda after, limit: [], number="no", key=("no",), window=1).next)(data)


def stream_of_frames(data: bytes) -> Any:
    return protocol_bankall.read_frame(io.BytesIO(data))


AMOUNTS = (b"268.00", "￥-1,268.5".encode(), b"3.00-", b"0")
REPLY = b'{"code":0,"msg":"","data":{"bill":{"bsId":"1","lines":[{}],"payways":[{}]},"rows":[{}]}}'
EVOUCHER = (
    b'{"evoucher_x_response": {"order_id": "4001", "state": 2, "num": 5, "left_num": 3, "valid_start": '
    b'"2026-11-22 10:00:00", "valid_ends": "2026-12-22 10:00:00", "awaits": ["resend"], "codes": [{"verify_code": '
    b'"123456789012", "initial_num": 5, "available_num": 3, "locked_num": 0, "used_num": 2}], "logs": [{"log_id": 1, '
    b'"type": 1, "num": 2, "serial_num": "K1", "time": "2026-11-22 10:00:00"}], "total": 1}}'
)
NOTICE = (
    b"method=send&order_id=4001&token=t0ken123&seller_nick=%D0%C7%BA%A3&sign="
    + evoucher.sign_notice(
        {"method": "send", "order_id": "4001", "token": "t0ken123", "seller_nick": "星海"}, "secret"
    ).encode()
)
GROUP = b'{"data":{"error_code":0,"description":"ok"},"extra":{"error_code":0}}'
KTV = "RS|17|0|成功|101|小包|2|K1403080017||14-03-08 20:00:00|14-03-08 23:30:00|4|400.00|68.00".encode("gbk")
SOAP = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><getversion xmlns="http://tempurl.org"/>'
    b"</s:Body></s:Envelope>"
)
PLU = "A001\t690\t茶\t1.5000\t盒\t0\r\n".encode("gbk")
SALE = HOST.encode(
    {"t": "0200", "3": "000000", "4": "000000026800", "11": "000017", "41": "10000001", "55": "9F26", "60": "22"}
)

WIRES: tuple[Wire, ...] = (
    framed(frames.LengthPrefixed(2)),
    framed(frames.LengthPrefixed(4, "ascii")),
    framed(frames.LengthPrefixed(2, "bcd", counts_itself=True)),
    framed(frames.LengthPrefixed(4, order="little", before=b"FM\0\0")),
    framed(frames.Delimited(b"\r\n")),
    framed(frames.Delimited(b"\x03", start=b"\x02", check=frames.xor)),
    framed(frames.FixedSize(7)),
    Wire("yuan", text(convert.parse_yuan), AMOUNTS, lambda fen: convert.format_yuan(fen).encode()),
    Wire("implied", convert.parse_implied, (b"000268", b"0050-", b""), lambda fen: convert.format_implied(fen, 18)),
    Wire(
        "date", text(lambda value: convert.parse_date(value, today=date(2026, 1, 1))), (b"140308", b"2014-3-8", b"0229")
    ),
    Wire("time", text(convert.parse_time), (b"23:30:00", b"2330"), lambda at: f"{at:%H:%M:%S}".encode()),
    Wire("serial date", text(convert.from_serial), (b"45000", b"41706.979", b"1e9")),
    Wire("cut text", convert.decode_cut, ("海底捞".encode("gbk")[:5], b"\x819\xee9")),
    Wire("column", convert.fen_of_column, (b"1.50", b"-0.005", b"1E+2")),
    Wire("label", text(convert.parse_label), (b"2106013040083", b"261234501580006258")),
    Wire("fixed width", DAY.parse, (DAY.build([{"counter": "K1", "name": "茶", "lines": 3, "net": -5}]),), DAY.build),
    Wire("fixed records", RECORDS.parse, (b"01    268.00",), RECORDS.build),
    Wire(
        "tabbed", TABBED.parse, (PLU[:5] + "茶\t1\r\n".encode("gbk"),), lambda rows: TABBED.build(rows, TABBED.columns)
    ),
    Wire("quoted", QUOTED.parse, ('#x\r\na,b\r\n"茶,",1\r\n'.encode("gbk"),)),
    Wire("dbf", dbf, (dbf_seed(),)),
    Wire(
        "xml",
        lambda data: xml.fields_of(xml.parse_xml(data)),
        (b"<xml><a>1</a></xml>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
    ),
    Wire("iso 8583", HOST.decode, (SALE,), HOST.encode),
    Wire("wechat notice", notice, (b"wechatpay-timestamp=1\nwechatpay-nonce=n\n\n{}",)),
    Wire("wechat resource", lambda data: wechat_v3.decrypt(b"k" * 32, "n" * 12, data.decode("latin-1")), (b"AAAA",)),
    Wire(
        "public key",
        text(rsa.read_public_key),
        (b"AAAA", (Path(__file__).parent / "data" / "key.pub.pem").read_bytes()),
    ),
    Wire("position", position, (b'{"high":1,"seen":{"a":[1,"b"]}}',)),
    Wire(
        "alipay reply",
        lambda data: alipay.read_reply(data, "alipay.trade.pay", PUBLIC),
        (b'{"alipay_trade_pay_response":{"code":"10000"},"sign":"AAAA"}',),
    ),
    Wire("alipay notice", lambda data: alipay.read_notice(data, PUBLIC), (b"a=1&sign=AAAA&sign_type=RSA2",)),
    Wire("alipay amount", text(alipay.fen), AMOUNTS, lambda fen: alipay.yuan(fen).encode()),
    Wire("alipay bill", alipay_bill.read_bill, (alipay_bill.pack("2088", "20140308", "#a\r\n", "#b\r\n"),)),
    Wire("convenience answer", convenience_files.parse_answer, (b"ERR\tR1\tE01\tx\r\n", b"OK\tR1\t1\t1.00\t1\r\n")),
    Wire("convenience price file", convenience_files.parse_plu, (PLU,), convenience_files.encode_plu),
    Wire("convenience scale file", convenience_files.parse_scale, (b"012340000150" + b"A1".ljust(40) + b"\r\n",)),
    Wire("convenience label", text(convenience_labels.parse_label), (b"2106013040083",)),
    Wire("convenience number", convenience.decode_numeric, (b"1.5000",)),
    Wire("convenience time", text(convenience.decode_datetime), (b"2014-03-08 23:30:00",)),
    Wire(
        "department day file", department.parse_day_file, (b"K1    " + b"0" * 72 + b"\r\n",), department.encode_day_file
    ),
    Wire("department details", protocol_detail.parse_details, (b"K1".ljust(60) + b"\r\n",)),
    Wire("department sale", protocol_sales.parse_call, (SOAP,)),
    Wire(
        "terminal request",
        protocol_bankall.decode_request,
        (b"POS1".ljust(8) + b"01".ljust(8) + b"00" + b"0" * 12 + b" " * 20 + b"0" * 6 + b"123",),
        protocol_bankall.encode_request,
    ),
    Wire(
        "terminal response",
        protocol_bankall.decode_response,
        (b"00" + b" " * 24 + b"0" * 18 + b" " * 63 + b"0" * 6 + b" " * 32 + b"123",),
    ),
    Wire("terminal frames", stream_of_frames, (b"\0\3abc",)),
    Wire("group buying", groupbuy.read_reply, (GROUP,)),
    *(
        Wire(f"group buying {read.__name__}", groupbuy_reply(read), (GROUP,))
        for read in (
            groupbuy.read_token,
            groupbuy.read_prepared,
            groupbuy.read_results,
            groupbuy.read_certificate,
            groupbuy.read_certificates,
            groupbuy.read_cancelled,
            groupbuy.read_records,
            groupbuy.read_pois,
        )
    ),
    Wire("e-voucher notices", evoucher_notice, (NOTICE, NOTICE.replace(b"send", b"%E2%82"))),
    *(
        Wire(f"e-voucher {read.__name__}", evoucher_reply(read), (EVOUCHER,))
        for read in (
            evoucher.read_order,
            evoucher.read_log,
            evoucher.read_tasks,
            evoucher.read_echo,
            evoucher.read_order_id,
            evoucher.read_seller,
        )
    ),
    Wire("ktv request", ktv.parse_request, (b"OP|17|101|H|60|4||",)),
    *(
        Wire(f"ktv {read.__name__}", ktv_reply(read), (KTV, KTV + b"^" + KTV[8:]), most=ktv.MAX_BODY)
        for read in (
            ktv_replies.read_rooms,
            ktv_replies.read_prices,
            ktv_replies.read_bill,
            ktv_replies.read_member,
            ktv_replies.read_change,
            ktv_replies.read_number,
            ktv_replies.read_count,
            ktv_replies.read_refund,
        )
    ),
    Wire("restaurant reply", restaurant.decode_reply, (REPLY,)),
    Wire("restaurant form", restaurant.decode_form, (b"bsId=1&memo=%B2%E8",), restaurant.encode_form),
    Wire(
        "restaurant sold out", restaurant.parse_sold_out, (restaurant.encode_sold_out([]),), restaurant.encode_sold_out
    ),
    Wire("restaurant bill", json_of(protocol_bill.parse_bill), (b'{"bsId":"1","lines":[{}],"payways":[{}]}',)),
    Wire("restaurant dish", json_of(protocol_bill.parse_dish), (b'{"code":"1","price":1.5}',)),
    Wire("restaurant page", json_of(lambda value: protocol_bill.parse_page(value, "rows")), (b'{"rows":[{}]}',)),
    Wire("restaurant member", json_of(protocol_members.parse_customer), (b'{"id":"1"}',)),
    Wire("restaurant record", json_of(protocol_members.parse_record), (b'{"id":"1"}',)),
)
