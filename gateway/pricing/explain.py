"""A priced document as tables for people: what each line costs and why, what was refused, who pays and gets what."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.domain.money import format_yuan
from gateway.pricing.words import Say, words

Row = Sequence[str]


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(title: str, head: Row, rows: Sequence[Row], numbers: int = 0) -> list[str]:
    """An aligned table; the last `numbers` columns are flush right. Nothing when there are no rows."""
    if not rows:
        return []
    widths = [max(_width(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [title]
    for row in (head, *rows):
        cells = []
        for i, cell in enumerate(row):
            space = " " * (widths[i] - _width(cell))
            cells.append(space + cell if i >= len(head) - numbers else cell + space)
        lines.append("  " + "  ".join(cells).rstrip())
    return [*lines, ""]


def explain(result: Mapping[str, Any], language: str = "en") -> str:
    """The Out document as text, in yuan, in English or Chinese (`zh`)."""
    say, why = words(language)
    parts = [
        *_lines(result, say),
        *_benefits(result, say),
        *_refused(result, say, why),
        *_given(result, say),
        *_sum(result, say),
        *_paid(result, say),
        *_parties(result, say),
    ]
    for number, refund in enumerate(result["refunds"], 1):
        parts += _refund(number, refund, result, say)
    return "\n".join(parts).rstrip() + "\n"


def _lines(result: Mapping[str, Any], say: Say) -> list[str]:
    rows = [
        [
            line["line_id"],
            line["sku"] or "",
            line["quantity"],
            format_yuan(line["unit_amount"]),
            format_yuan(line["gross_amount"]),
            " ".join(
                f"{say(a['id']) if a['kind'] == 'member' else a['id']} -{format_yuan(a['amount'])}"
                for a in line["allocations"]
            ),
            format_yuan(line["net_amount"]),
        ]
        for line in result["lines"]
    ]
    head = ["line", "sku", "quantity", "unit", "gross", "taken off", "net"]
    return table(say("Lines"), [say(word) for word in head], rows, 1)


def _benefits(result: Mapping[str, Any], say: Say) -> list[str]:
    rows = []
    for applied in result["applied"]:
        places = [
            f"{line['line_id']} {format_yuan(allocation['amount'])}"
            for line in result["lines"]
            for allocation in line["allocations"]
            if (allocation["kind"], allocation["id"]) == (applied["kind"], applied["id"])
        ]
        bearers = " ".join(f"{say(part['party'])} {format_yuan(part['amount'])}" for part in applied["funding"])
        rule = applied.get("rule", applied["kind"])
        rows.append([applied["id"], say(rule), ", ".join(places), bearers, format_yuan(applied["amount"])])
    head = ["id", *(say(word) for word in ("kind", "on lines", "borne by", "amount"))]
    return table(say("Benefits, in the order of application"), head, rows, 1)


def _refused(result: Mapping[str, Any], say: Say, why: Say) -> list[str]:
    rows = []
    for rejected in result["rejected"]:
        missing = ""
        if "missing_amount" in rejected:
            missing = say("{} more would do").format(format_yuan(rejected["missing_amount"]))
        elif "missing_quantity" in rejected:
            missing = say("{} more would do").format(rejected["missing_quantity"])
        rows.append([rejected["id"], say(rejected["kind"]), why(rejected["reason"]), missing])
    return table(say("Refused"), ["id", say("kind"), say("reason"), ""], rows)


def _given(result: Mapping[str, Any], say: Say) -> list[str]:
    rows = [
        [g["id"], say("gift"), f"{g['sku']} × {g['quantity']}", format_yuan(g["value_amount"])] for g in result["gifts"]
    ]
    rows += [[r["id"], say(r["kind"]), "", format_yuan(r["amount"])] for r in result["rewards"]]
    return table(say("Given beside"), ["id", say("kind"), say("what"), say("worth")], rows, 1)


def _sum(result: Mapping[str, Any], say: Say) -> list[str]:
    rows = [[say("gross"), format_yuan(result["gross_amount"])]]
    rows.append([say("discount"), format_yuan(-result["discount_amount"])])
    for fee in result["fees"]:
        rows.append([f"{say(fee['kind'])} {fee['fee_id']}", format_yuan(fee["amount"])])
        rows += [[f"  {s['from'][11:16]}-{s['to'][11:16]}", format_yuan(s["amount"])] for s in fee["segments"]]
    if result["points"]["used"]:
        rows.append([f"{result['points']['used']} {say('points')}", format_yuan(-result["points"]["amount"])])
    if result["rounding_amount"]:
        rows.append([say("rounded off"), format_yuan(-result["rounding_amount"])])
    rows.append([say("payable"), format_yuan(result["payable_amount"])])
    if result["forfeited_amount"]:
        rows.append([f"({say('forfeited')})", format_yuan(result["forfeited_amount"])])
    if result["points"]["earned"]:
        rows.append([say("({} points earned)").format(result["points"]["earned"]), ""])
    return table(say("Sum"), ["", result["currency"]], rows, 1)


def _paid(result: Mapping[str, Any], say: Say) -> list[str]:
    """The line by tender matrix."""
    tenders = [tender["id"] for tender in result["tenders"]]
    if not tenders:
        return []
    places = [line["line_id"] for line in result["lines"]] + [fee["fee_id"] for fee in result["fees"]]
    amounts = {(s.get("line_id") or s.get("fee_id"), s["tender_id"]): s["amount"] for s in result["splits"]}
    rows = [[place, *(format_yuan(amounts.get((place, tender), 0)) for tender in tenders)] for place in places]
    rows.append([say("all"), *(format_yuan(tender["amount"]) for tender in result["tenders"])])
    heads = [f"{tender['id']} {tender['method']}" for tender in result["tenders"]]
    return table(say("Paid by"), ["", *heads], rows, len(heads))


def _parties(result: Mapping[str, Any], say: Say) -> list[str]:
    rows = [
        [say(entry["party"]), say(entry["kind"]), format_yuan(entry["basis_amount"]), format_yuan(entry["amount"])]
        for entry in result["settlement"]
    ]
    if len({entry["party"] for entry in result["settlement"]}) < 2:
        rows = []  # one party has it all
    rows += [
        [f"{say('guide')} {c['guide_id']}", say("commission"), "", format_yuan(c["amount"])]
        for c in result["commission"]
    ]
    return table(say("Settlement"), [say(word) for word in ("party", "kind", "basis", "amount")], rows, 2)


def _refund(number: int, refund: Mapping[str, Any], result: Mapping[str, Any], say: Say) -> list[str]:
    rows = [
        [item.get("line_id") or item.get("fee_id", ""), item.get("quantity", ""), format_yuan(item["amount"])]
        for item in refund["lines"]
    ]
    rows += [[f"{say('to')} {tender['id']}", "", format_yuan(tender["amount"])] for tender in refund["tenders"]]
    rows += [[f"{say('kept for')} {d['id']}", "", format_yuan(d["amount"])] for d in refund["deductions"]]
    rows += [[f"{say('coupon')} {coupon['code']}", say(coupon["status"]), ""] for coupon in refund["coupons"]]
    rows += [[f"{say('gift')} {gift['id']}", say(gift["status"]), ""] for gift in refund["gifts"]]
    for reward in refund["rewards"]:
        rows.append([f"{reward['id']} {say('cancelled')}", "", format_yuan(reward["cancelled_amount"])])
        rows.append([f"{reward['id']} {say('clawed back')}", "", format_yuan(reward["clawed_back_amount"])])
    for word in ("returned", "revoked"):
        if refund["points"][word]:
            rows.append([say(f"points {word}"), str(refund["points"][word]), ""])
    rows.append([say("altogether"), "", format_yuan(refund["amount"])])
    return table(f"{say('Refund')} {number} ({say(refund['policy'])})", ["", "", result["currency"]], rows, 1)
