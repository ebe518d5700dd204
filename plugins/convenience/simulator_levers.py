"""What people do in the shops and at head office, as levers of the simulator's control panel.

Each takes the command's JSON; money in fen, quantities as decimal strings. ``LEVERS`` maps ``do`` to the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from .files import ERR_ITEM, ERR_NO_ORIGINAL, PluRow, ScaleRow, encode_plu, encode_scale
from .labels import DEFAULT_RULES, Label, encode_label, is_scale_label, parse_label
from .protocol import SHOP_ZONE, decode_numeric, pad, unpad, yuan_to_fen
from .simulator_data import ITEMS
from .simulator_head_office import Paid, SoldLine
from .simulator_till import Refusal, change_of

if TYPE_CHECKING:
    from .simulator import ConvenienceSimulator

Command = Mapping[str, Any]
Reply = dict[str, Any]


def sell(sim: ConvenienceSimulator, command: Command) -> Reply:
    """A cashier sells. ``branch``, ``lines`` [{``item_no`` | ``barcode`` | ``label``, ``quantity``?}], ``tenders``?
    [{``pay_way``, ``amount``, ``number``?}] (cash if absent; more than the total gives change), ``till``?, ``card``?,
    ``days_ago``? (an offline till's old sale).
    """
    branch, till = str(command["branch"]), str(command.get("till", "01"))
    lines = tuple(_sold_line(sim, branch, line) for line in command["lines"])
    total = sum(line.amount for line in lines)
    tenders = [_paid(row) for row in command.get("tenders", [{"pay_way": "RMB", "amount": total}])]
    at = sim.tills.clock(branch, till) - timedelta(days=int(command.get("days_ago", 0)))
    paid = change_of(total, tenders)
    flow = sim.tills.ring(branch, till, "A", lines, paid, str(command.get("card", "")), at=at)
    return {"flow_no": flow.flow_no, "total": total}


def _sold_line(sim: ConvenienceSimulator, branch: str, line: Command) -> SoldLine:
    quantity, amount = Decimal(str(line.get("quantity", 1))), None
    if "label" in line:
        label = parse_label(line["label"])
        item_no = next((item.number for item in ITEMS if item.plu == label.plu), "")
        price = sim.tills.price(branch, item_no)
        amount = label.amount
        quantity = Decimal(label.grams) / 1000 if label.grams is not None else _weight(amount or 0, price)
    else:
        item_no = str(line["item_no"]) if "item_no" in line else scanned(str(line["barcode"]))[0]
        price = sim.tills.price(branch, item_no)
    if amount is None:
        amount = yuan_to_fen(price * quantity)
    return SoldLine(item_no, f"{quantity:.3f}", f"{price:.4f}", amount)


def _weight(amount: int, price: Decimal) -> Decimal:
    return (Decimal(amount) / 100 / price).quantize(Decimal("0.001"), ROUND_HALF_UP)


def _paid(row: Command) -> Paid:
    return Paid(str(row["pay_way"]), int(row["amount"]), "A", str(row.get("number", "")))


def scanned(barcode: str) -> list[str]:
    """The articles behind a barcode; two may share one, then the cashier picks. None: refused."""
    found = [item.number for item in ITEMS if item.barcode == barcode and item.active]
    if not found:
        raise Refusal(ERR_ITEM)
    return found


def scan(sim: ConvenienceSimulator, command: Command) -> Reply:
    """What a barcode or scale label says at the till: ``code``."""
    code = str(command["code"])
    if is_scale_label(code, DEFAULT_RULES):
        label = parse_label(code)
        return {
            "items": [item.number for item in ITEMS if item.plu == label.plu],
            "amount": label.amount,
            "grams": label.grams,
        }
    return {"items": scanned(code)}


def give_back(sim: ConvenienceSimulator, command: Command) -> Reply:
    """A cashier takes a whole bill back, ``flow_no``: a row of its own with sell_way B and positive quantities."""
    original = sim.tills.find(str(command["flow_no"]))
    if original is None:
        raise Refusal(ERR_NO_ORIGINAL)
    paid = tuple(row for row in original.paid if row.sell_way == "A")
    change = sum(row.amount for row in original.paid if row.sell_way == "D")
    rows = tuple(Paid(row.pay_way, row.amount - (change if row.pay_way == "RMB" else 0), "A") for row in paid)
    branch = original.flow_no[:4]
    flow = sim.tills.ring(branch, "01", "B", original.lines, rows, original.card, original.flow_no)
    return {"flow_no": flow.flow_no, "total": flow.total}


def upload(sim: ConvenienceSimulator, command: Command) -> Reply:
    """Tills upload now: all, or ``branch`` and ``till``."""
    return {"uploaded": sim.upload(None, str(command.get("branch", "")), str(command.get("till", "")))}


def upload_again(sim: ConvenienceSimulator, command: Command) -> Reply:
    """A bill, ``flow_no``, is uploaded again, with one more ``tender`` {pay_way, amount} if given."""
    flow = sim.tills.find(str(command["flow_no"]))
    if flow is None:
        raise Refusal(ERR_NO_ORIGINAL)
    sim.upload_again(flow, _paid(command["tender"]) if "tender" in command else None)
    return {"flow_no": flow.flow_no}


def delete_bill(sim: ConvenienceSimulator, command: Command) -> Reply:
    """Head office deletes an uploaded bill, ``flow_no``: a gap is left."""
    sim.delete(str(command["flow_no"]))
    return {}


def set_till(sim: ConvenienceSimulator, command: Command) -> Reply:
    """``branch``, ``till``?; ``online`` 0/1, ``skew`` seconds its clock is off, ``reset``: numbers start again."""
    branch, till = str(command["branch"]), str(command.get("till", "01"))
    values = {name: command[name] for name in ("online", "skew") if name in command}
    if command.get("reset"):
        values["sequence"] = 0
    if values:
        sim.tills.set_till(branch, till, **values)
    return {}


def lose_memory(sim: ConvenienceSimulator, command: Command) -> Reply:
    """A till, ``branch`` and ``till``?, forgets what it had not uploaded."""
    return {"lost": sim.tills.lose(str(command["branch"]), str(command.get("till", "01")))}


def day_end(sim: ConvenienceSimulator, command: Command) -> Reply:
    """The nightly job: stock rolled forward over what has been uploaded, members' points added up."""
    now = datetime.fromtimestamp(sim.now(), SHOP_ZONE)
    sim.head_office.day_end(now)
    return {"end_date": now.isoformat()}


def deliver(sim: ConvenienceSimulator, command: Command) -> Reply:
    """Goods arrive: ``branch``, ``item_no``, ``quantity`` (negative: written off)."""
    now = datetime.fromtimestamp(sim.now(), SHOP_ZONE)
    branch, item_no = str(command["branch"]), str(command["item_no"])
    sim.head_office.receive(branch, item_no, Decimal(str(command["quantity"])), f"PI{now:%y%m%d%H%M%S}", now)
    return {}


def change_price(sim: ConvenienceSimulator, command: Command) -> Reply:
    """Head office changes an article's price: ``item_no``, ``price`` in yuan, up to four places."""
    price = decode_numeric(str(command["price"]))
    with sim.head_office.transaction() as db:
        db.execute("UPDATE item SET price = ? WHERE item_no = ?", (f"{price:.4f}", pad(str(command["item_no"]), 20)))
    return {}


def export_plu(sim: ConvenienceSimulator, command: Command) -> Reply:
    """Head office drops PLU.TXT for ``branch``; the till renames it to PLU.OK. Under ``half_plu`` it is cut in half."""
    columns = "item_no, barcode, item_name, price, unit_no, weigh_flag"
    rows = sim.head_office.rows(f"SELECT {columns} FROM item WHERE status = '1'")  # noqa: S608 - fixed text
    plu = [PluRow(unpad(a), unpad(b), unpad(c), Decimal(d), unpad(e), f == "1") for a, b, c, d, e, f in rows]
    content = encode_plu(plu)
    if sim.faults.take("half_plu", "plu"):
        content = content[: len(content) // 2]
    folder = sim.drop / str(command["branch"])
    (folder / "PLU.TMP").write_bytes(content)
    (folder / "PLU.TMP").replace(folder / "PLU.TXT")
    return {"rows": len(plu)}


def export_scale(sim: ConvenienceSimulator, command: Command) -> Reply:
    """Head office writes SCALE/21.DAT for ``branch``."""
    rows = [ScaleRow(item.plu, yuan_to_fen(item.price), item.number, item.name) for item in ITEMS if item.plu]
    folder = sim.drop / str(command["branch"]) / "SCALE"
    folder.mkdir(exist_ok=True)
    (folder / "21.DAT").write_bytes(encode_scale(rows))
    return {"rows": len(rows)}


def print_label(sim: ConvenienceSimulator, command: Command) -> Reply:
    """The counter's scale prints a label: ``branch``, ``item_no``, ``grams``, ``prefix`` 21, 22 or 26."""
    item = next((item for item in ITEMS if item.number == str(command["item_no"]) and item.plu), None)
    rule = next((rule for rule in DEFAULT_RULES if rule.prefix == str(command.get("prefix", "22"))), None)
    if item is None or rule is None:
        raise Refusal(ERR_ITEM)
    grams = int(command["grams"])
    amount = yuan_to_fen(sim.tills.price(str(command["branch"]), item.number) * grams / 1000)
    return {"label": encode_label(Label(item.plu, amount, grams), rule), "amount": amount}


def clean(sim: ConvenienceSimulator, command: Command) -> Reply:
    """The shop's nightly clean-up of answered files, all branches."""
    answered = [path for suffix in ("OK", "ERR") for path in sim.drop.glob(f"*/*.{suffix}")]
    for path in answered:
        path.unlink(missing_ok=True)
    return {"removed": len(answered)}


def unstick(sim: ConvenienceSimulator, command: Command) -> Reply:
    """Somebody restarts the till program: what it had claimed and not answered is looked at again."""
    stuck = list(sim.drop.glob("*/*.ING"))
    for path in stuck:
        path.replace(path.with_suffix(".ORD"))
    return {"files": len(stuck)}


LEVERS: dict[str, Callable[[ConvenienceSimulator, Command], Reply]] = {
    "sell": sell,
    "scan": scan,
    "return": give_back,
    "upload": upload,
    "upload_again": upload_again,
    "delete_bill": delete_bill,
    "set_till": set_till,
    "lose_memory": lose_memory,
    "day_end": day_end,
    "deliver": deliver,
    "change_price": change_price,
    "export_plu": export_plu,
    "export_scale": export_scale,
    "print_label": print_label,
    "clean": clean,
    "unstick": unstick,
}
