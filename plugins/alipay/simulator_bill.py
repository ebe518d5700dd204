"""The daily bill of the simulated Alipay: a zip at an address that lives for thirty seconds."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from plugins.alipay.bill import REFUND, SALE, BillRow, pack, write_detail, write_summary
from plugins.alipay.simulator_ledger import Refund, Refusal, Trade
from plugins.alipay.simulator_trades import CHINA, Trades

LIFE_S = 30
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Bills:
    """Bills of past days, from 09:00 of the next; a lever or ``bill_ready=at_once`` makes them earlier."""

    def __init__(self, trades: Trades, seller_id: str, *, at_once: bool) -> None:
        self._trades, self._seller_id, self._at_once = trades, seller_id, at_once
        self._made: set[str] = set()
        self._tokens: dict[str, tuple[str, float]] = {}

    def make(self, day: str) -> None:
        """Make a day's bill available now."""
        self._begin(day)
        self._made.add(day)

    def address(self, biz: Mapping[str, Any], root: str) -> dict[str, str]:
        """The node of ``bill.downloadurl.query``: only trade bills of one day are kept."""
        day = str(biz.get("bill_date", ""))
        if biz.get("bill_type") not in ("trade", "signcustomer") or not _DAY.fullmatch(day):
            raise Refusal("isv.invalid-arguments", "参数无效", code="40002")
        try:
            begin = self._begin(day)
        except ValueError:
            raise Refusal("isv.invalid-arguments", "参数无效", code="40002") from None
        ready = begin + timedelta(days=1, hours=9)
        if not (self._at_once or day in self._made or self._trades.now() >= ready.timestamp()):
            raise Refusal("isp.bill_not_exist", "账单不存在")
        token = secrets.token_hex(16)
        self._tokens[token] = (day, self._trades.now() + LIFE_S)
        return {"bill_download_url": f"{root}/bill/{token}.zip"}

    def fetch(self, token: str) -> bytes | None:
        """The zip behind an address, ``None`` if the address is unknown or too old."""
        day, until = self._tokens.get(token, ("", 0.0))
        if not day or self._trades.now() > until:
            return None
        begin = self._begin(day)
        end = begin + timedelta(days=1)
        rows = self._rows(begin, end)
        naive = begin.replace(tzinfo=None), end.replace(tzinfo=None)
        detail = write_detail(rows, self._seller_id, *naive)
        return pack(self._seller_id, day.replace("-", ""), detail, write_summary(rows, self._seller_id, *naive))

    def _begin(self, day: str) -> datetime:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=CHINA)

    def _rows(self, begin: datetime, end: datetime) -> list[BillRow]:
        span = begin.timestamp(), end.timestamp()
        ledger = self._trades.ledger
        rows = [self._sale(trade) for trade in ledger.between(Trade, "paid_at", *span)]
        for refund in ledger.between(Refund, "at", *span):
            trade = ledger.get(Trade, out_trade_no=refund.out_trade_no)
            if trade is not None:
                rows.append(self._refund(refund, trade))
        return sorted(rows, key=lambda row: row.finished_at)

    def _sale(self, trade: Trade) -> BillRow:
        return self._row(
            trade, SALE, trade.paid_at, 1, (trade.total, trade.receipt, trade.buyer_pay, trade.fee), "", ""
        )

    def _refund(self, refund: Refund, trade: Trade) -> BillRow:
        amounts = refund.amount, refund.receipt, refund.cash, refund.fee
        return self._row(trade, REFUND, refund.at, -1, amounts, refund.out_request_no, refund.reason)

    def _row(
        self, trade: Trade, kind: str, at: float, sign: int, amounts: tuple[int, int, int, int], number: str, note: str
    ) -> BillRow:
        total, receipt, cash, fee = amounts
        return BillRow(
            trade_no=trade.trade_no,
            out_trade_no=trade.out_trade_no,
            kind=kind,
            subject=trade.subject,
            created_at=_china(trade.created_at),
            finished_at=_china(at),
            store_id=trade.store_id,
            store_name=f"门店{trade.store_id}" if trade.store_id else "",
            operator_id=trade.operator_id,
            terminal_id=trade.terminal_id,
            buyer=f"*{trade.buyer[-1]}({trade.buyer[-3:]}***)",
            total_amount=sign * total,
            receipt_amount=sign * receipt,
            red_envelope_amount=sign * (receipt - cash),
            point_amount=0,
            discount_amount=0,
            mdiscount_amount=sign * (total - receipt),
            voucher_amount=0,
            voucher_name="",
            merchant_envelope_amount=0,
            card_amount=0,
            out_request_no=number,
            fee_amount=-sign * fee,
            royalty_amount=0,
            note=note,
        )


def _china(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(CHINA).replace(tzinfo=None, microsecond=0)
