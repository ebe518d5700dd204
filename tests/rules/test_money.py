"""Money to the fen: what a split, a part or a rounding gives, so that no fen is lost, made or put on the wrong line."""

from __future__ import annotations

import pytest

from gateway.domain.money import (
    MAX_QUANTITY,
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


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"),
    [
        (0, 5, 0),
        (0, -5, 0),
        (1, 1, 1),
        (7, 1, 7),
        (-7, 1, -7),
        (1, 2, 1),
        (-1, 2, -1),
        (1, -2, -1),
        (-1, -2, 1),
        (1, 3, 0),
        (-1, 3, 0),
        (2, 3, 1),
        (-2, 3, -1),
        (14, 10, 1),
        (15, 10, 2),
        (25, 10, 3),
        (-15, 10, -2),
        (-14, 10, -1),
        (29, -10, -3),
    ],
)
def test_a_refund_rounds_as_its_sale_did(numerator: int, denominator: int, rounded: int) -> None:
    """Halves go away from zero on both sides: else a customer who brings all back gets a fen too little or too much."""
    assert half_up(numerator, denominator) == rounded
    assert isinstance(half_up(numerator, denominator), int)


def test_large_amounts_are_exact() -> None:
    """Beyond 2**53 a float loses fen; a department store's year in fen comes there when it is multiplied by a rate."""
    big = 2**60 + 1
    assert half_up(big, 1) == big
    assert half_up(-big, 1) == -big
    assert price_at(big, 10_000) == big
    assert gross_of(big, 1000) == big
    assert gross_of(big, 1500) == half_up(3 * big, 2)
    assert largest_remainder(big, [1, 1]) == [2**59 + 1, 2**59]
    assert largest_remainder(big, [2**60, 2**60]) == [2**59 + 1, 2**59]
    assert part_of(big, 2, 0, 1) == 2**59
    assert part_of(big, 2, 1, 1) == 2**59 + 1
    assert split_units(big, 2) == [2**59, 2**59 + 1]


def test_nothing_divides_by_nothing() -> None:
    with pytest.raises(ZeroDivisionError):
        half_up(1, 0)


def test_a_member_pays_the_rate_of_the_price() -> None:
    assert price_at(1000, 9500) == 950
    assert price_at(999, 8800) == 879
    assert price_at(1, 5000) == 1
    assert price_at(1, 4999) == 0


def test_weighed_goods_are_rounded_once_and_whole_ones_not_at_all() -> None:
    assert gross_of(1999, 1000) == 1999
    assert gross_of(1999, 3000) == 5997
    assert gross_of(333, 1500) == 500
    assert gross_of(333, 500) == 167
    assert gross_of(1, 499) == 0
    assert gross_of(5000, 1001) == 5005
    assert gross_of(-333, 500) == -167


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (200, [1, 1, 1], [67, 67, 66]),
        (10, [3, 3, 4], [3, 3, 4]),
        (10, [1, 2], [3, 7]),
        (1, [1, 3], [0, 1]),
        (2, [1, 3], [0, 2]),
        (3, [1, 3], [1, 2]),
        (5, [1, 3, 2, 2], [1, 2, 1, 1]),
        (7, [0, 5, 0, 2], [0, 5, 0, 2]),
        (1, [0, 1, 1], [0, 1, 0]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (0, [1, 2], [0, 0]),
        (0, [0, 0], [0, 0]),
        (0, [], []),
        (7, [5], [7]),
        (-7, [5], [-7]),
        (0, [0], [0]),
    ],
)
def test_a_discount_is_split_to_the_last_fen(amount: int, weights: list[int], shares: list[int]) -> None:
    """The fen left over go to the larger fraction, the larger line, the earlier line: a refund must find them there."""
    assert largest_remainder(amount, weights) == shares
    assert sum(shares) == amount


@pytest.mark.parametrize("weights", [[0], [0, 0], []])
def test_money_is_never_split_over_nothing(weights: list[int]) -> None:
    """A discount that no line can carry would vanish from the bill."""
    with pytest.raises(ValueError, match=r"^3 fen cannot be split over weights that are all zero$"):
        largest_remainder(3, weights)
    with pytest.raises(ValueError, match="cannot be split"):
        largest_remainder(1, weights)


@pytest.mark.parametrize("weights", [[2, -1], [-1], [-1, -2], [-1, 1], [0, -1]])
def test_a_line_below_nothing_is_refused(weights: list[int]) -> None:
    """Shares on a negative weight would raise the other lines above their price."""
    with pytest.raises(ValueError, match=r"^a weight is negative$"):
        largest_remainder(1, weights)


def test_a_single_line_takes_it_all() -> None:
    assert largest_remainder(12, [1]) == [12]


@pytest.mark.parametrize(
    ("net", "whole", "done", "taken", "worth"),
    [
        (100, 3, 0, 1, 33),
        (100, 3, 1, 1, 33),
        (100, 3, 2, 1, 34),
        (100, 3, 0, 3, 100),
        (100, 3, 1, 2, 67),
        (100, 3, 0, 0, 0),
        (100, 1, 0, 1, 100),
        (5, 2, 0, 1, 2),
        (5, 2, 1, 1, 3),
    ],
)
def test_the_last_unit_given_back_takes_the_rest(net: int, whole: int, done: int, taken: int, worth: int) -> None:
    """Three returns of one piece give back what one return of three would: never more than was paid."""
    assert part_of(net, whole, done, taken) == worth


@pytest.mark.parametrize(
    ("whole", "done", "taken"),
    [(0, 0, 0), (-1, 0, 0), (3, -1, 1), (3, 1, -1), (3, 2, 2), (3, 4, 0), (3, 0, 4), (1, -1, 2)],
)
def test_more_than_was_bought_is_not_given_back(whole: int, done: int, taken: int) -> None:
    with pytest.raises(ValueError, match=rf"^{taken} of {whole} units cannot be taken after {done}$"):
        part_of(100, whole, done, taken)


def test_the_price_of_three_pieces_is_the_price_of_the_line() -> None:
    assert split_units(4, 3) == [1, 1, 2]
    assert split_units(100, 7) == [14, 14, 14, 15, 14, 14, 15]
    assert split_units(5, 1) == [5]
    assert split_units(-4, 3) == [-2, -1, -1]


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("1", 1000),
        ("2", 2000),
        ("0.625", 625),
        ("0.5", 500),
        ("0.05", 50),
        ("0.001", 1),
        ("10.25", 10_250),
        ("999999.999", MAX_QUANTITY),
        ("000001", 1000),
    ],
)
def test_a_scales_quantity_is_read_exactly(text: str, thousandths: int) -> None:
    assert parse_quantity(text) == thousandths


FORM = r"^must be a decimal string of at most 6 digits and 3 places$"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "+1",
        "1.",
        ".5",
        "1.2345",
        "1.2x",
        "1.²",
        "１",
        "1.１",
        "²",
        "1234567",
        "1_0",
        " 1",
        "1.2.3",
        "0000001",
    ],
)
def test_what_is_no_quantity_is_refused_with_the_form(text: str) -> None:
    """A platform that sends ``1,5`` or a seventh digit is told the form; nothing is guessed into a price."""
    with pytest.raises(ValueError, match=FORM):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["0", "0.0", "0.000", "000000"])
def test_nothing_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be above 0$"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("thousandths", "text"),
    [
        (2000, "2"),
        (625, "0.625"),
        (500, "0.5"),
        (50, "0.05"),
        (1, "0.001"),
        (1020, "1.02"),
        (100_000, "100"),
        (10_100, "10.1"),
    ],
)
def test_a_quantity_is_written_as_people_write_it(thousandths: int, text: str) -> None:
    """A till prints it, and the platform reads it back: ``100`` must not become ``1``."""
    assert format_quantity(thousandths) == text


@pytest.mark.parametrize(
    ("fen", "text"),
    [(0, "0.00"), (1, "0.01"), (99, "0.99"), (100, "1.00"), (12_345, "123.45"), (-1, "-0.01"), (-12_345, "-123.45")],
)
def test_an_amount_on_a_receipt(fen: int, text: str) -> None:
    assert format_yuan(fen) == text


def test_large_amounts_are_printed_to_the_fen() -> None:
    assert format_yuan(10**18 + 1) == "10000000000000000.01"
    assert format_quantity(10**18 + 1) == "1000000000000000.001"
