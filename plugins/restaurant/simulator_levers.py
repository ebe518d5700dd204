"""What people do at the simulated chain: waiters seat guests and ring up dishes, cashiers close the day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from plugins.restaurant.protocol_bill import DELETED, VOID
from plugins.restaurant.simulator_bill import wire
from plugins.restaurant.simulator_seed import OPERATOR, OPERATOR_PASSWORD
from plugins.restaurant.simulator_till import Till

if TYPE_CHECKING:
    from plugins.restaurant.simulator import RestaurantSimulator

STAFF = {"opr": OPERATOR, "pwd": OPERATOR_PASSWORD}
#: What guests at ``seat`` eat if the lever names nothing.
USUAL_ITEMS = ({"dish": "D0101", "qty": "1"}, {"dish": "D0106", "qty": "1"}, {"dish": "D0407", "qty": "2"})


class Levers:
    """The levers of ``control``; each takes the shop's code under ``shop``."""

    def __init__(self, simulator: RestaurantSimulator) -> None:
        self._simulator = simulator
        self._levers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "seat": self._seat,
            "open_table": self._open,
            "order": self._order,
            "return_dish": self._return,
            "prebill": self._prebill,
            "reopen": self._reopen,
            "pay": self._pay,
            "clear": self._clear,
            "settle_again": self._settle_again,
            "delete_bill": self._delete,
            "close_day": self._close_day,
            "set_soldout": self._set_soldout,
            "write_soldout": self._write_soldout,
            "upload_now": self._upload_now,
            "bill": self._bill,
            "restart": self._restart,
            "reset": self._reset,
        }

    def pull(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Pull one lever. Raises ``ValueError`` or ``TillError``."""
        lever = self._levers.get(str(command.get("do")))
        if lever is None:
            raise ValueError(f"no lever {command.get('do')!r}; known: {', '.join(sorted(self._levers))}")
        return lever(command)

    def settle_again(self, till: Till, bs_id: str) -> dict[str, Any]:
        """反结账 by staff, and the whole bill settled again in cash."""
        till.run("reopen", {**STAFF, "bsId": bs_id})
        total = till.run("bill", {**STAFF, "bsId": bs_id})["bill"]["lastTotal"]
        row = {"bsId": bs_id, "payCode": "01", "money": f"{total:.2f}", "memo": "改结"}
        answer = till.run("pay", {**STAFF, **row})
        till.run("clear", {**STAFF, "bsId": bs_id})
        return answer

    def _till(self, command: Mapping[str, Any]) -> Till:
        return self._simulator.till(str(command.get("shop", "")))

    def _seat(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Open a table (the first free one if none is named) and order; ``count`` does that at so many tables."""
        bills = [self._seat_one(command) for _ in range(int(command.get("count", 1)))]
        return {**bills[-1], "bills": [bill["bsId"] for bill in bills]}

    def _seat_one(self, command: Mapping[str, Any]) -> dict[str, Any]:
        till = self._till(command)
        with till.lock:
            opened = self._open(command)
            items = command.get("items", USUAL_ITEMS)
            answer = self._order({"shop": command["shop"], "bill": opened["bsId"], "items": items})
        return {**answer, "table": opened["table"]}

    def _open(self, command: Mapping[str, Any]) -> dict[str, Any]:
        till = self._till(command)
        with till.lock:
            table = str(command.get("table") or till.free_table())
            form = {**STAFF, "table": table, "guests": str(command.get("guests", 2)), "waiter": "W12"}
            return {**till.run("open", form), "table": table}

    def _order(self, command: Mapping[str, Any]) -> dict[str, Any]:
        items = "|".join(_item(item) for item in command.get("items", USUAL_ITEMS))
        return self._till(command).run("order", {**STAFF, **_which(command), "items": items})

    def _return(self, command: Mapping[str, Any]) -> dict[str, Any]:
        form = {"lineNo": str(command["line_no"]), "qty": str(command.get("qty", "1")), "reason": "客人退菜"}
        return self._till(command).run("return", {**STAFF, **_which(command), **form})

    def _prebill(self, command: Mapping[str, Any]) -> dict[str, Any]:
        form = {"member": "1" if command.get("member") else "0"}
        return self._till(command).run("prebill", {**STAFF, **_which(command), **form})

    def _reopen(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return self._till(command).run("reopen", {**STAFF, **_which(command)})

    def _pay(self, command: Mapping[str, Any]) -> dict[str, Any]:
        fen = int(command["amount"])
        form = {"payCode": str(command.get("code", "01")), "money": f"{fen // 100}.{fen % 100:02d}"}
        return self._till(command).run("pay", {**STAFF, **_which(command), **form})

    def _clear(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return self._till(command).run("clear", {**STAFF, **_which(command)})

    def _settle_again(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return self.settle_again(self._till(command), str(command["bill"]))

    def _delete(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The manager deletes a bill: the head office gets it with delete flag 2."""
        till = self._till(command)
        with till.lock:
            bill = self._simulator.store.bill(till.shop.code, str(command["bill"]))
            if bill is None:
                raise ValueError("no such bill")
            bill.state, bill.delete_flag, bill.cleared = VOID, DELETED, True
            bill.biz_date = bill.biz_date or till.business_date()
            self._simulator.store.save_bill(bill)
            self._simulator.chain.upload(bill)
        return {"bsId": bill.bs_id}

    def _close_day(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Day close: what was settled up to today can't be re-opened, and the next bill is tomorrow's."""
        till = self._till(command)
        day = till.business_date()
        self._simulator.store.close_day(till.shop.code, day)
        return {"closed": day, "next": till.business_date()}

    def _set_soldout(self, command: Mapping[str, Any]) -> dict[str, Any]:
        form = {"dish": str(command["dish"]), "left": str(command["left"])}
        return self._till(command).run("soldout", {**STAFF, **form})

    def _write_soldout(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return {"path": str(self._simulator.write_sold_out())}

    def _upload_now(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return {"arrived": self._simulator.store.arrive_now(self._simulator.now())}

    def _bill(self, command: Mapping[str, Any]) -> dict[str, Any]:
        till = self._till(command)
        found = self._simulator.store.bill(till.shop.code, str(command["bill"]))
        if found is None:
            raise ValueError("no such bill")
        return wire(found)

    def _restart(self, command: Mapping[str, Any]) -> dict[str, Any]:
        self._simulator.restart()
        return {"restarted": len(self._simulator.tills)}

    def _reset(self, command: Mapping[str, Any]) -> dict[str, Any]:
        self._simulator.reset()
        return {"reset": True}


def _which(command: Mapping[str, Any]) -> dict[str, str]:
    if command.get("bill"):
        return {"bsId": str(command["bill"])}
    return {"table": str(command.get("table", ""))}


def _item(item: Mapping[str, Any]) -> str:
    cells = [str(item["dish"]), str(item.get("qty", "1")), str(item.get("price", "")), str(item.get("cook", ""))]
    return ",".join(cells).rstrip(",")
