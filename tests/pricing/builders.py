"""Short ways to write pricing documents in tests."""

from typing import Any

from gateway.pricing import run_document

Document = dict[str, Any]


def line(line_id: str, unit_amount: int, quantity: str = "1", **more: Any) -> Document:
    return {"line_id": line_id, "sku": line_id, "quantity": quantity, "unit_amount": unit_amount, **more}


def basket(*lines: Document, **more: Any) -> Document:
    return {
        "currency": "CNY",
        "store_id": "s1",
        "at": "2014-03-08T12:00:00+08:00",
        "business_date": "2014-03-08",
        "lines": list(lines),
        **more,
    }


def cash(code: str, off: int, threshold: int = 0, **more: Any) -> Document:
    return {"code": code, "kind": "cash", "off_amount": off, "threshold_amount": threshold, **more}


def percent(code: str, rate_bp: int, threshold: int = 0, **more: Any) -> Document:
    return {"code": code, "kind": "percent", "rate_bp": rate_bp, "threshold_amount": threshold, **more}


def campaign(name: str, kind: str, *tiers: Document, **more: Any) -> Document:
    document = {"id": name, "version": 1, "kind": kind, **more}
    return {**document, "tiers": list(tiers)} if tiers else document


def tier(threshold: int = 0, **value: Any) -> Document:
    return {"threshold_amount": threshold, **value}


def nets(result: Document) -> list[int]:
    return [item["net_amount"] for item in result["lines"]]


def shares(result: Document, benefit: str) -> list[int]:
    return [
        sum(allocation["amount"] for allocation in item["allocations"] if allocation["id"] == benefit)
        for item in result["lines"]
    ]


def paid(items: list[Document]) -> dict[str, int]:
    return {item["id"]: item["amount"] for item in items}


def steps(result: Document) -> list[tuple[str, int]]:
    return [(step["id"], step["amount"]) for step in result["steps"]]


def refusals(result: Document) -> dict[str, str]:
    return {item["id"]: item["reason"] for item in result["rejected"]}


def run(*lines: Document, **more: Any) -> Document:
    return run_document(basket(*lines, **more))
