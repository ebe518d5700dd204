"""Tables on a terminal: columns stand straight with Chinese in them, and money is printed to the fen."""

from __future__ import annotations

import pytest

from gateway.backoffice.table import cut, pad, table, width, yuan


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("结算", 4), ("K1 女鞋", 7), ("（全角）", 8), ("é", 1), ("e\u0301", 1), ("", 0)]
)
def test_a_chinese_character_is_two_columns_wide(text: str, columns: int) -> None:
    assert width(text) == columns


def test_columns_stand_straight() -> None:
    lines = table(("方 party", "金额"), [("步雅女鞋", "1.00"), ("K2", "-12,345.60")], figures=[1])
    assert {width(line) for line in lines} == {20}
    assert lines[2] == "步雅女鞋        1.00"


@pytest.mark.parametrize(
    ("fen", "text"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (123_456_789, "1,234,567.89"), (-120, "-1.20")]
)
def test_fen_as_yuan(fen: int, text: str) -> None:
    assert yuan(fen) == text


def test_a_text_is_cut_between_characters() -> None:
    assert cut("没有账单", 8) == "没有账单"
    assert cut("没有账单了", 8) == "没有账…"
    assert width(cut("没有账单了", 8)) <= 8
    assert pad("券", 4) == "券  " and pad("券", 4, right=True) == "  券"
