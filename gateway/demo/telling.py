"""How the story is told: what was asked, what each system did and when, and whether it was as it should be."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


def yuan(amount: int) -> str:
    """Fen as yuan, for people."""
    return f"{amount / 100:,.2f}" if amount % 1 == 0 else str(amount)


def width(text: str) -> int:
    """Columns of a text on a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def padded(text: str, columns: int) -> str:
    """A text filled up to so many columns."""
    return text + " " * max(0, columns - width(text))


@dataclass
class Step:
    """One thing that the story shows, and whether it came out as it should."""

    name: str
    ok: bool
    expected: str = ""
    found: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"step": self.name, "ok": self.ok, "expected": self.expected, "found": self.found}


@dataclass
class Story:
    """The account: told as it happens, or kept and told as JSON at the end."""

    say: Callable[[str], None]
    quiet: bool = False
    chapters: list[dict[str, Any]] = field(default_factory=list)

    def chapter(self, title: str, english: str) -> None:
        self.chapters.append({"title": title, "title_en": english, "steps": [], "checkouts": []})
        self.line("")
        self.line(f"■ {title}  {english}")

    def line(self, text: str) -> None:
        if not self.quiet:
            self.say(text)

    def tell(self, text: str) -> None:
        self.line(f"  {text}")

    def check(self, name: str, expected: Any, found: Any) -> None:
        """A step: what was found must be what was expected."""
        step = Step(name, expected == found, str(expected), str(found))
        self.chapters[-1]["steps"].append(step)
        mark = "✓" if step.ok else "✗"
        self.line(f"  {mark} {name}" + ("" if step.ok else f": expected {expected}, found {found}"))

    def resource(self, resource: Mapping[str, Any]) -> None:
        """A checkout, refund or deposit with what each system did, and when."""
        self.chapters[-1]["checkouts"].append(dict(resource))
        title = resource.get("order_no") or resource.get("refund_no") or resource["id"]
        self.tell(f"{resource['id']}  {title}  → {resource['status']}")
        quote = resource.get("quote")
        if quote:
            self.tell(
                f"  应收 gross {yuan(quote['gross_amount'])}  优惠 off {yuan(quote['discount_amount'])}  "
                f"费用 fees {yuan(quote['fee_amount'])}  实付 to pay {yuan(quote['payable_amount'])}"
            )
            for applied in quote["applied"]:
                if applied["amount"] == 0:
                    continue  # a reward is given afterwards, and takes nothing off
                self.tell(f"    − {yuan(applied['amount'])}  {applied['kind']} {applied['id']}")
        for tender in resource.get("tenders", ()):
            self.tell(f"    {padded(tender['method'], 14)}{yuan(tender['amount']):>10}  {tender['status']}")
        for leg in resource.get("legs", ()):
            self._leg(leg)

    def _leg(self, leg: Mapping[str, Any]) -> None:
        start = datetime.fromisoformat(leg["started_at"])
        took = ""
        if leg["finished_at"]:
            seconds = (datetime.fromisoformat(leg["finished_at"]) - start).total_seconds()
            took = f"{seconds * 1000:.0f} ms"
        tries = f" ×{leg['attempts']}" if leg["attempts"] > 1 else ""
        self.tell(
            f"    {start:%H:%M:%S}.{start.microsecond // 1000:03d} {took:>8}  {padded(leg['adapter'], 14)}"
            f"{padded(leg['name'], 40)} {leg['status']}{tries}  {leg['detail']}"
        )

    @property
    def steps(self) -> list[Step]:
        return [step for chapter in self.chapters for step in chapter["steps"]]

    @property
    def ok(self) -> bool:
        return bool(self.steps) and all(step.ok for step in self.steps)

    def to_json(self) -> str:
        chapters = [{**c, "steps": [step.to_json() for step in c["steps"]]} for c in self.chapters]
        return json.dumps({"ok": self.ok, "chapters": chapters}, ensure_ascii=False, indent=2)
