"""Which rows of a statement the suite takes for a change's own."""

from datetime import date

import pytest

from gateway.domain.common import Original, Site, StatementRow
from gateway.sdk import Done, ValueHeld
from gateway.testing import Made
from gateway.testing.checks.ledger import _is_ours

HOLD, CONFIRM, OTHER = (f"01K00000000000{name}0000000" for name in ("HOLD0", "CONF0", "OTHER"))


@pytest.mark.parametrize(
    ("key", "ref", "ours"),
    [
        (CONFIRM, "XF1", True),
        (CONFIRM[-16:], "", True),
        ("", "XF1", True),
        (HOLD, "XF1", True),
        (HOLD[-16:], "XF1", True),
        (HOLD, "XF2", False),
        ("", "XF2", False),
        (OTHER, "XF1", False),
    ],
)
def test_a_row_under_the_key_of_the_hold_is_the_confirms_if_it_has_its_number(key: str, ref: str, ours: bool) -> None:
    """A host that keeps one key a sale keeps the hold's; refuting it would make authors invent keys."""
    held = ValueHeld(
        original=Original(key=HOLD),
        account="8801",
        amount=205,
        site=Site(store_id="S1", business_date=date(2026, 1, 2)),
    )
    made = Made("value_confirm", CONFIRM, held, Done(ref="XF1", amount=205))
    assert _is_ours(StatementRow(kind="spend", ref=ref, amount=-205, key=key), made) is ours
