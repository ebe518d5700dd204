"""Which channel a payment code (付款码) belongs to, told from its length and first digits.

The ranges in force: 18 digits beginning 10–15 are WeChat Pay, 16–24 digits beginning 25–30 Alipay, 19 digits beginning
62 UnionPay. A merchant's own ranges stand before these, so that a range can be sent to an aggregator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRange:
    """Codes of ``length_min`` to ``length_max`` digits whose first digits lie between two prefixes, both included."""

    prefix_from: str
    prefix_to: str
    length_min: int
    length_max: int
    channel: str

    def covers(self, code: str) -> bool:
        """Whether ``code`` (digits only) lies in this range."""
        start = code[: len(self.prefix_from)]
        return self.length_min <= len(code) <= self.length_max and self.prefix_from <= start <= self.prefix_to


DEFAULT_RANGES = (
    CodeRange(prefix_from="10", prefix_to="15", length_min=18, length_max=18, channel="wechat"),
    CodeRange(prefix_from="25", prefix_to="30", length_min=16, length_max=24, channel="alipay"),
    CodeRange(prefix_from="62", prefix_to="62", length_min=19, length_max=19, channel="unionpay"),
)


def channel_of(code: str, ranges: Sequence[CodeRange] = DEFAULT_RANGES) -> str | None:
    """The channel of a payment code, or ``None`` if no range covers it; the first range that does wins."""
    if not (code.isascii() and code.isdigit()):
        return None
    return next((entry.channel for entry in ranges if entry.covers(code)), None)
