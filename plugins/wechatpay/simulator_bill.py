"""The trade bill of the simulated channel: its hash first, then a file at an address that lives for thirty seconds."""

from __future__ import annotations

import gzip
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from plugins.wechatpay.bill import COLUMNS, FEWER, BillRow, write_bill
from plugins.wechatpay.protocol import CHINA
from plugins.wechatpay.simulator_books import Books, Order, Refusal, Repayment
from plugins.wechatpay.simulator_keys import Identity

LIFE_S = 30
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Bills:
    """Bills of past days, from 09:00 of the next; a lever or ``bill_ready=at_once`` makes them earlier."""

    def __init__(self, books: Books, who: Identity, now: Callable[[], float], *, at_once: bool, columns: int) -> None:
        self._books, self._who, self._now, self._at_once = books, who, now, at_once
        self._columns = FEWER if columns == len(FEWER) else tuple(COLUMNS)
        self._made: set[str] = set()
        self._files: dict[str, tuple[bytes, float]] = {}

    def make(self, day: str) -> None:
        """Make a day's bill available now."""
        _begin(day)
        self._made.add(day)

    def address(self, query: Mapping[str, str], root: str) -> dict[str, str]:
        """The answer of ``GET /v3/bill/tradebill``."""
        day = query.get("bill_date", "")
        if not _DAY.fullmatch(day) or query.get("bill_type", "ALL") != "ALL":
            raise Refusal(400, "PARAM_ERROR", "参数错误")
        try:
            begin = _begin(day)
        except ValueError:
            raise Refusal(400, "PARAM_ERROR", "账单日期不正确") from None
        ready = (begin + timedelta(days=1, hours=9)).timestamp()
        if not (self._at_once or day in self._made or self._now() >= ready):
            raise Refusal(400, "NO_STATEMENT_EXIST", "请求的账单文件不存在")
        plain = write_bill(self._rows(begin), self._columns)
        token = secrets.token_hex(16)
        packed = gzip.compress(plain) if query.get("tar_type") == "GZIP" else plain
        self._files[token] = (packed, self._now() + LIFE_S)
        told = {"hash_type": "SHA1", "hash_value": hashlib.sha1(plain, usedforsecurity=False).hexdigest()}
        return told | {"download_url": f"{root}/v3/billdownload/file?token={token}"}

    def fetch(self, token: str) -> bytes | None:
        """The file behind an address, ``None`` if the address is unknown or too old."""
        packed, until = self._files.get(token, (b"", 0.0))
        return packed if packed and self._now() <= until else None

    def _rows(self, begin: datetime) -> list[BillRow]:
        first, last = begin.timestamp(), (begin + timedelta(days=1)).timestamp()
        orders = {order.number: order for order in self._books.all(Order)}
        repayments = self._books.all(Repayment)
        fees = {number: order.fee for number, order in orders.items()}
        for each in repayments:
            fees[each.order] += each.fee if each.state != "CLOSED" else 0
        rows = [self._sale(order, fees[order.number]) for order in orders.values() if first <= order.paid_at < last]
        rows += [self._back(each, orders[each.order]) for each in repayments if first <= each.at < last]
        return sorted(rows, key=lambda row: row.at)

    def _sale(self, order: Order, fee: int) -> BillRow:
        return self._row(order, order.paid_at, "SUCCESS", fee, None)

    def _back(self, each: Repayment, order: Order) -> BillRow:
        return self._row(order, each.at, "REVOKED" if each.reversal else "REFUND", -each.fee, each)

    def _row(self, order: Order, at: float, state: str, fee: int, back: Repayment | None) -> BillRow:
        free = order.given if order.giver == "merchant" else 0
        numbered = back is not None and not back.reversal
        status = "" if back is None else ("PROCESSING" if back.state.startswith("then ") else back.state)
        return BillRow(
            at=datetime.fromtimestamp(at, UTC).astimezone(CHINA).replace(tzinfo=None, microsecond=0),
            appid=self._who.appid,
            mchid=self._who.mchid,
            sub_mchid="0",
            device=order.device,
            transaction_id=order.transaction_id,
            out_trade_no=order.number,
            openid=order.buyer,
            trade_type=order.kind,
            state=state,
            bank="OTHERS",
            currency="CNY",
            settled_amount=order.total - free if back is None else 0,
            coupon_amount=order.given - free if back is None else 0,
            refund_id=back.refund_id if back is not None and numbered else "0",
            out_refund_no=back.number if back is not None and numbered else "0",
            refund_settled_amount=back.amount if back is not None else 0,
            refund_coupon_amount=0,
            refund_type="ORIGINAL" if numbered else "",
            refund_status=status if numbered else "",
            subject=order.subject,
            attach="",
            fee_amount=fee,
            rate="0.60%",
            total_amount=order.total if back is None else 0,
            refund_total_amount=back.amount if back is not None else 0,
            rate_note="",
        )


def _begin(day: str) -> datetime:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=CHINA)
