"""Money arithmetic: nothing is lost or made in a split, and rounding is the shops' half-up."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.money import (
    format_quantity,
    format_yuan,
    gross_of,
    half_up,
    largest_remainder,
    parse_quantity,
    part_of,
    price_at,
    split_units,
)

amounts = st.integers(0, 10**12)


def test_half_up_rounds_halves_away_from_zero() -> None:
    assert [half_up(n, 2) for n in (1, 3, 5, -1, -3)] == [1, 2, 3, -1, -2]
    assert half_up(1249, 1000) == 1
    assert half_up(1, -2) == -1


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**6))
def test_half_up_is_the_nearest_whole_number(numerator: int, denominator: int) -> None:
    assert abs(Fraction(numerator, denominator) - half_up(numerator, denominator)) <= Fraction(1, 2)


def test_percent_price_of_the_member_example() -> None:
    assert [price_at(net, 9500) for net in (12800, 5990, 9100)] == [12160, 5691, 8645]


def test_weighed_goods_round_once() -> None:
    assert gross_of(2580, 750) == 1935
    assert gross_of(4550, 2000) == 9100


def test_equal_lines_give_the_odd_fen_to_the_first() -> None:
    assert largest_remainder(1000, [1000, 1000, 1000]) == [334, 333, 333]


def test_coupon_of_thirty_yuan_over_three_lines() -> None:
    assert largest_remainder(3000, [12160, 5691, 8645]) == [1377, 644, 979]


def test_ties_of_the_fraction_go_to_the_larger_weight() -> None:
    # 1 fen over 1 and 3: 3/4 beats 1/4. 2 fen over 2, 2, 4: halves tie on fraction and weight, the lower position wins.
    assert largest_remainder(1, [1, 3]) == [0, 1]
    assert largest_remainder(2, [2, 2, 4]) == [1, 0, 1]
    # equal fractions 1/2 and 1/2 on weights 1 and 3 of 2 fen: the larger weight wins.
    assert largest_remainder(2, [1, 3]) == [0, 2]


@given(amounts, st.lists(st.integers(0, 10**10), min_size=1, max_size=12))
def test_shares_add_up_and_stay_within_one_fen(amount: int, weights: list[int]) -> None:
    total = sum(weights)
    if total == 0:
        return
    shares = largest_remainder(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(Fraction(amount * weight, total) - share) < 1
        if amount <= total:
            assert share <= weight


def test_nothing_to_split_on_is_an_error() -> None:
    assert largest_remainder(0, [0, 0]) == [0, 0]
    with pytest.raises(ValueError, match="cannot be split"):
        largest_remainder(1, [0, 0])
    with pytest.raises(ValueError, match="negative"):
        largest_remainder(1, [2, -1])


def test_four_fen_over_three_units() -> None:
    assert split_units(4, 3) == [1, 1, 2]


@given(amounts, st.lists(st.integers(1, 5000), min_size=1, max_size=8))
def test_units_taken_in_any_portions_add_up(net: int, portions: list[int]) -> None:
    whole, done, total = sum(portions), 0, 0
    for taken in portions:
        total += part_of(net, whole, done, taken)
        done += taken
    assert total == net


def test_more_units_than_there_are() -> None:
    with pytest.raises(ValueError, match="cannot be taken"):
        part_of(100, 3, 2, 2)


@pytest.mark.parametrize(
    "text", ["", "0", "0.000", "-1", "+1", "1.", ".5", "1.2345", "1e3", "１", " 1", "1_0", "12345678"]
)
def test_quantities_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_quantity(text)


@given(st.integers(1, 999_999_999))
def test_quantities_read_back(quantity: int) -> None:
    assert parse_quantity(format_quantity(quantity)) == quantity


def test_yuan_for_people() -> None:
    assert [format_yuan(a) for a in (0, 5, 12345, -7)] == ["0.00", "0.05", "123.45", "-0.07"]
