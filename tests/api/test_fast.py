"""The fast validators prove only what marshmallow accepts, load the same, and prove what is plainly right."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from marshmallow import ValidationError

from gateway.api.operation import OPERATIONS, Operation
from schemas.fast import prover
from tests.api.kit import PHONE

EVENING = {"from": "2026-03-01T20:00:00+08:00", "to": "2026-03-01T22:00:00Z"}
BODIES: dict[str, list[dict[str, Any]]] = {
    "create_quote": [
        {
            "store_id": "s1",
            "lines": [{"sku": "a", "quantity": "1.5", "unit_amount": 0}, {"scale_label": "2112345012345"}],
        },
        {
            "store_id": "s1",
            "source": {"kind": "slips", "ids": ["1", "2"], "version": "v"},
            "coupons": ["a"],
            "points": 0,
        },
        {
            "store_id": "s1",
            "lines": [
                {"slot": {"resource_class": "M", "from": "2026-03-01T20:00:00+08:00", "to": "2026-03-01T22:00:00Z"}}
            ],
            "tenders": [{"method": "payment_code"}, {"method": "voucher", "code": "x", "count": 2}],
        },
    ],
    "create_checkout": [
        {"quote_id": f"quo_{'0' * 26}", "order_no": "1", "tenders": [{"method": "deposit", "id": f"dep_{'0' * 26}"}]},
        {
            "store_id": "s1",
            "order_no": "1",
            "lines": [{"sku": "a"}],
            "business_date": "2026-03-01",
            "on_decline": "release",
        },
    ],
    "create_refund": [{"refund_no": "1", "reason": ""}, {"refund_no": "1", "amount": 5, "policy": "prorata"}],
    "preview_refund": [{}, {"lines": [{"line_id": "1"}]}],
    "look_up_member": [{"type": "phone", "value": PHONE, "store_id": "s1"}],
    "add_tender": [{"method": "bank_card", "terminal_id": "9"}, {"method": "cash", "amount": 1}],
    "create_deposit": [{"store_id": "s1", "amount": 1, "tender": {"method": "qr_code", "channel": "alipay"}}],
    "resolve_task": [{"outcome": "not_done", "evidence": "slip 000124"}],
    "create_webhook_endpoint": [{"url": "https://platform.example/hooks"}],
}
WITH_BODY = [operation for operation in OPERATIONS if operation.body is not None]
ODD: list[Any] = [None, True, 0, -1, 1.0, 10**12, "", "x", "\x00", "x" * 200, "0", "1.0005", [], {}, [None], ["x", "x"]]


def bodies(operation: Operation) -> list[dict[str, Any]]:
    example = operation.body.example if operation.body else None
    return [*BODIES[operation.id], *([example] if example else [])]


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_what_is_right_is_proved_and_loaded_alike(operation: Operation) -> None:
    assert operation.body_schema is not None
    for body in bodies(operation):
        before = copy.deepcopy(body)
        assert operation.prove(body) == operation.body_schema.load(body), body
        assert body == before


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_nothing_is_proved_that_marshmallow_refuses(operation: Operation) -> None:
    """Right bodies with one place after the other put wrong, and then many random ones."""
    assert operation.body_schema is not None
    seeded = random.Random(7)
    changed = [other for body in bodies(operation) for other in mutations(body)]
    changed += [seeded.choice(list(mutations(seeded.choice(changed))) or [{}]) for _ in range(400)]
    proved = 0
    for body in changed:
        found = operation.prove(body)
        try:
            expected = operation.body_schema.load(body)
        except ValidationError:
            assert found is None, body
        else:
            assert found in (None, expected), body
            proved += found is not None
    assert proved > 0


def mutations(value: Any) -> Iterator[Any]:
    """The value with something else, something more or something less in every place of it."""
    yield from ODD
    if isinstance(value, dict):
        yield {**value, "surplus": 1}
        for name in value:
            yield {key: inner for key, inner in value.items() if key != name}
            for other in mutations(value[name]):
                yield {**value, name: other}
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield value[:index]
            for other in mutations(inner):
                yield [*value[:index], other, *value[index + 1 :]]


def test_a_proof_is_faster_than_loading() -> None:
    """On one machine in one run; the whole point of it."""
    operation = next(operation for operation in OPERATIONS if operation.id == "create_checkout")
    assert operation.body is not None
    schema = operation.body()
    prove, body = prover(schema), json.loads(json.dumps(operation.body.example))

    def seconds(fn: Any) -> float:
        times = []
        for _ in range(5):
            started = time.thread_time()
            for _ in range(200):
                fn(body)
            times.append(time.thread_time() - started)
        return min(times)

    assert seconds(prove) * 4 < seconds(schema.load)
