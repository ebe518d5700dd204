"""The lines of a basket: from the till's open bills, or from articles and rooms that the platform names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.domain.orders import Bill, BillLookup
from gateway.domain.stock import Slot, SlotState
from gateway.engine.priced import Priced
from gateway.engine.problems import Problem, invalid
from gateway.engine.reading import Reading
from gateway.runtime import Merchant


class Lines:
    """Finds what is bought at one merchant; ``may_price``: whether the platform's own prices count."""

    def __init__(self, reading: Reading, merchant: Merchant, may_price: bool) -> None:
        self.reading, self.merchant, self.may_price = reading, merchant, may_price

    def from_till(self, priced: Priced, source: dict[str, Any]) -> None:
        """Take the lines from what is open in the till, at the version that the platform has seen."""
        ids = tuple(source["ids"])
        lookup = (
            BillLookup(store_id=priced.store_id, slip_nos=ids)
            if source["kind"] == "slips"
            else BillLookup(store_id=priced.store_id, bill_ids=ids)
        )
        priced.bills, priced.bill_connection = self.reading.bills(lookup)
        missing = set(ids) - {bill.bill_id for bill in priced.bills} - {bill.session_id for bill in priced.bills}
        if missing:
            raise invalid("/source/ids", f"not open in the till: {', '.join(sorted(missing))}")
        version = bills_version(priced.bills)
        if source.get("version") not in (None, version):
            raise Problem("bill-changed", "the bill has changed since it was read", extra={"version": version})
        for bill in priced.bills:
            priced.lines.extend(_bill_lines(bill))
            priced.document["fees"].extend(dict(fee) for fee in bill.fees)
            priced.session_id = priced.session_id or bill.session_id
            if bill.rounding != "none":
                priced.document["rounding"] = bill.rounding
        priced.document["lines"] = [_pricing_line(line) for line in priced.lines]

    def from_lines(self, priced: Priced, lines: list[dict[str, Any]]) -> None:
        known = self.reading.products([line["sku"] for line in lines if line.get("sku") and not line.get("slot")])
        for index, line in enumerate(lines):
            line_id = line.get("line_id") or str(index + 1)
            if line.get("slot"):
                priced.lines.append(self._slot_line(priced, index, line, line_id))
            elif line.get("scale_label") and not line.get("sku"):
                label = line["scale_label"]
                priced.lines.append({"line_id": line_id, "scale_label": label, "facts": {"scale_label": label}})
            else:
                priced.lines.append(self._product_line(index, line, line_id, known))
        priced.document["lines"] = [_pricing_line(line) for line in priced.lines]

    def _product_line(
        self, index: int, line: dict[str, Any], line_id: str, known: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        pointer = f"/lines/{index}"
        if not line.get("sku"):
            raise invalid(f"{pointer}/sku", "say what is bought")
        product = known.get(line["sku"])
        if product is None:
            detail = f"the product library has no {line['sku']!r}; `gateway sync` fetches what is new"
            raise invalid(f"{pointer}/sku", detail)
        unit = product["unit_amount"]
        if line.get("unit_amount") is not None and (product.get("open_price") or self.may_price):
            unit = line["unit_amount"]
        return {
            "line_id": line_id,
            "sku": product["sku"],
            "name": product["name"],
            "quantity": line.get("quantity", "1"),
            "unit_amount": unit,
            "category": line.get("category") or product.get("category", ""),
            "brand": product.get("brand", ""),
            "counter_id": line.get("counter_id") or product.get("counter_id", ""),
            "guide_id": line.get("guide_id", ""),
            "member_amount": product.get("member_amount"),
            "discountable": product.get("discountable", True),
            "scale_label": line.get("scale_label"),
            "stocked": product.get("stocked", True),
            "facts": product.get("facts", {}),
        }

    def _slot_line(self, priced: Priced, index: int, line: dict[str, Any], line_id: str) -> dict[str, Any]:
        """A room for a time: a concrete free resource is chosen, its money is a time fee or a package's price."""
        wanted, pointer = line["slot"], f"/lines/{index}/slot"
        start, end = datetime.fromisoformat(wanted["from"]), datetime.fromisoformat(wanted["to"])
        if end <= start:
            raise invalid(f"{pointer}/to", "must be after from")
        slot = self._choose(priced, wanted, start, end)
        priced.slots[line_id] = {
            "resource_id": slot.resource_id,
            "resource_class": slot.resource_class,
            "from": wanted["from"],
            "to": wanted["to"],
            "extends": wanted.get("extends", ""),
            "package_sku": line.get("sku") or "",
            "guests": wanted.get("guests", 0),
        }
        package = next((p for p in slot.packages if p.sku == line.get("sku")), None)
        if line.get("sku") and package is None:
            raise invalid(f"/lines/{index}/sku", "this package is not sold for this room at this time")
        if package is None:
            self._time_fee(priced, line_id, slot, start, end)
        return {
            "line_id": line_id,
            "sku": line.get("sku") or slot.resource_class,
            "name": package.name if package else (slot.name or slot.resource_id),
            "quantity": "1",
            "unit_amount": package.amount if package else 0,
            "category": "room",
            "slot": None if package else {"resource_id": slot.resource_id, "from": wanted["from"], "to": wanted["to"]},
            "stocked": False,
            "facts": {"resource_id": slot.resource_id},
        }

    def _choose(self, priced: Priced, wanted: dict[str, Any], start: datetime, end: datetime) -> Slot:
        """A session that is extended keeps its room; else any room of the class that nobody has over the window."""
        resource = wanted.get("resource_id", "")
        if wanted.get("extends"):
            bills, _ = self.reading.bills(BillLookup(store_id=priced.store_id, bill_ids=(wanted["extends"],)))
            if not bills:
                raise invalid("/lines/slot/extends", "no such session is open")
            resource, priced.session_id = bills[0].resource_id, bills[0].session_id or bills[0].bill_id
        found = self.reading.slots(
            priced.store_id, start, end, resource=resource, kind=wanted.get("resource_class", "")
        )
        if wanted.get("extends"):
            found = [slot for slot in found if slot.resource_id == resource]
        else:
            held = self.reading.held_slots(priced.store_id, start, end)
            found = [slot for slot in found if slot.state is SlotState.FREE and slot.resource_id not in held]
        if not found:
            raise Problem("slot-taken", "no such room is free over this time")
        return found[0]

    def _time_fee(self, priced: Priced, line_id: str, slot: Slot, start: datetime, end: datetime) -> None:
        zone = self.merchant.timezone
        rates = [
            {
                "from": rate.start.astimezone(zone).strftime("%H:%M"),
                "to": rate.end.astimezone(zone).strftime("%H:%M").replace("00:00", "24:00"),
                "rate_amount": rate.rate_amount,
                "per": rate.per,
            }
            for rate in slot.rates
        ]
        fee = {
            "fee_id": f"time:{line_id}",
            "kind": "time",
            "line_id": line_id,
            "slots": rates,
            "from": start.astimezone(zone).isoformat(),
            "to": end.astimezone(zone).isoformat(),
            "unit_minutes": 1,
        }
        priced.document["fees"].append(fee)


def bills_version(bills: tuple[Bill, ...]) -> str:
    """One version over several bills: it changes when any of them does."""
    return bills[0].version if len(bills) == 1 else "+".join(bill.version for bill in bills)


def _bill_lines(bill: Bill) -> list[dict[str, Any]]:
    return [
        {
            "line_id": f"{bill.bill_id}-{line.line_id}" if bill.kind == "slip" else line.line_id,
            "sku": line.sku,
            "name": line.name,
            "quantity": str(line.quantity),
            "unit_amount": line.unit_amount,
            "category": line.category,
            "counter_id": line.counter_id or bill.counter_id,
            "guide_id": line.guide_id,
            "discountable": line.discountable,
            "member_price": line.member_price,
            "counts_to_minimum": line.counts_to_minimum,
            "bill_id": bill.bill_id,
            "stocked": not bill.stock_held,
            "facts": dict(line.facts),
        }
        for line in bill.lines
        if not line.component_of
    ]


_PRICING_FIELDS = frozenset(
    (
        "line_id",
        "sku",
        "category",
        "brand",
        "counter_id",
        "guide_id",
        "quantity",
        "unit_amount",
        "member_amount",
        "slot",
        "scale_label",
    )
)
_PRICING_FLAGS = ("discountable", "member_price", "counts_to_minimum")


def _pricing_line(line: dict[str, Any]) -> dict[str, Any]:
    document = {name: value for name, value in line.items() if name in _PRICING_FIELDS and value not in (None, "")}
    for name in _PRICING_FLAGS:
        if line.get(name) is False:
            document[name] = False
    return document
