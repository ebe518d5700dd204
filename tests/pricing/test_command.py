"""`gateway price FILE`: a document in, a document out; a faulty one ends with status 2 and its paths."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.pricing import run_document
from gateway.pricing.command import price_command
from tests.pricing.builders import basket, campaign, cash, line, tier


def command(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(price_command, list(arguments), input=text)


def document() -> dict[str, Any]:
    return basket(
        line("鞋", 89900, counter_id="K1"),
        line("B", 5990, "2", counter_id="K2"),
        member={"id": "m", "tier": "gold", "rate_bp": 9500},
        campaigns=[campaign("每满500减100", "every_amount_off", tier(50000, off_amount=10000))],
        coupons=[cash("C30", 3000, 20000), cash("C99", 9900, 900000)],
        select="auto",
        fees=[{"fee_id": "svc", "kind": "service_charge", "charge_bp": 100}],
        rounding="jiao",
        tenders=[{"id": "t1", "method": "red_envelope", "amount": 500}, {"id": "t2", "method": "payment_code"}],
        contracts=[{"counter_id": "K1", "deduction_bp": 2500, "promotion_share_bp": 6000}],
        refunds=[{"lines": [{"line_id": "B", "quantity": "1"}]}],
    )


def test_a_file_is_priced_as_the_function_prices_it(tmp_path: Path) -> None:
    path = tmp_path / "basket.json"
    path.write_text(json.dumps(document(), ensure_ascii=False), "utf-8")
    result = command(str(path))
    assert result.exit_code == 0
    assert json.loads(result.stdout) == run_document(document())


def test_standard_input() -> None:
    result = command("-", text=json.dumps(document()))
    assert json.loads(result.stdout)["payable_amount"] == run_document(document())["payable_amount"]


def test_tables_for_people_hold_the_figures() -> None:
    text = command("--explain", "-", text=json.dumps(document())).stdout
    priced = run_document(document())
    assert f"{priced['payable_amount'] / 100:.2f}" in text
    assert "每满500减100 -" in text
    assert "C99" in text and "threshold" in text and "more would do" in text
    assert "counter:K1" in text and "Refund 1 (prorata)" in text


@pytest.mark.parametrize(
    ("text", "pointer", "words"),
    [
        (b"{", "", "not a JSON document"),
        (b"[]", "", "must be an object"),
        (b"\xff", "", "not a JSON document"),
        (b'{"lines": [], "lines": []}', "", "twice"),
        (b'{"lines": NaN}', "", "NaN"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b'{"lines": [{"sku": "A", "quantity": "0", "unit_amount": 1}]}', "/lines/0/quantity", "above 0"),
        (b'{"lines": [{"sku": "A", "quantity": "1", "unit_amount": ' + b"9" * 5000 + b"}]}", "", "JSON"),
    ],
)
def test_a_faulty_document_ends_with_status_2_and_its_path(text: bytes, pointer: str, words: str) -> None:
    result = command("-", text=text)
    assert result.exit_code == 2
    errors = json.loads(result.stdout)["errors"]
    assert errors[0]["pointer"] == pointer
    assert words in errors[0]["detail"]


def test_a_file_that_is_not_there() -> None:
    result = command("/nowhere/at/all.json")
    assert result.exit_code == 2
    assert "cannot be read" in json.loads(result.stdout)["errors"][0]["detail"]


def test_faults_beside_tables_go_to_standard_error() -> None:
    result = command("--explain", "-", text="{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "/lines: " in result.stderr
