"""What the simulated host does with a message: its rules, without sockets."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from gateway.sdk import ParseError
from plugins.bankhost.keys import wrap
from plugins.bankhost.protocol import (
    CURRENCY,
    TAG_CODE,
    TAG_REFERENCE,
    TAG_TOKEN,
    BillRow,
    read_details,
    read_tags,
    read_totals,
    write_tags,
)
from plugins.bankhost.simulator_ledger import Ledger, digest

CHINA = timezone(timedelta(hours=8))
FEE_BP = 38
MOST_FEN = 5_000_000
ECHOED = ("3", "4", "11", "25", "41", "42", "49", "60")
_SIGNS = {"sale": 1, "return": -1, "void": -1, "reversal": -1}

Fields = Mapping[str, str]


class Refused(Exception):
    """The host refuses, with this code."""


class Host:
    """The rules. A trace number acts once in a batch; what is repeated under it gets the first answer again."""

    def __init__(self, ledger: Ledger, now: Callable[[], float], cut: str, bills: Path) -> None:
        self.ledger, self._now, self._cut, self._bills = ledger, now, cut, bills

    def answer(self, asked: Fields) -> dict[str, str]:
        """The answer to a message, unsigned."""
        reply = {name: asked[name] for name in ECHOED if name in asked} | {"t": f"{int(asked['t']) + 10:04d}"}
        local = datetime.fromtimestamp(self._now(), CHINA)
        reply |= {"12": f"{local:%H%M%S}", "13": f"{local:%m%d}"}
        rules = {
            ("0200", "000000"): self._sale,
            ("0200", "200000"): self._void,
            ("0220", "200000"): self._return,
            ("0100", "330000"): self._query,
        }
        rule = {"0800": self._sign_in, "0400": self._reversal, "0500": self._settle, "0320": self._upload}.get(
            asked["t"]
        )
        try:
            rule = rule or rules.get((asked["t"], asked.get("3", "")))
            if rule is None or "11" not in asked:
                raise Refused("40")
            self._known(asked)
            with self.ledger.change():
                return reply | {"39": "00"} | rule(asked)
        except (Refused, ParseError, ValueError) as refusal:
            return reply | {"39": str(refusal) if isinstance(refusal, Refused) else "30"}

    def _known(self, asked: Fields) -> dict[str, Any]:
        row = self.ledger.one("SELECT * FROM terminals WHERE terminal = ?", asked.get("41", ""))
        if row is None:
            raise Refused("97")
        if row["merchant"] != asked.get("42", ""):
            raise Refused("03")
        return row

    def _sign_in(self, asked: Fields) -> dict[str, str]:
        row = self._known(asked)
        key = secrets.token_bytes(16)
        self.ledger.run("UPDATE terminals SET mak = ? WHERE terminal = ?", key.hex(), asked["41"])
        given = wrap(bytes.fromhex(row["master"]), key).decode("latin-1")
        return {"60": f"00{row['batch']:06d}003", "62": given}

    # -- what moves money --------------------------------------------------------------------------------------------

    def _once(
        self, asked: Fields, kind: str, act: Callable[[Fields, dict[str, Any]], dict[str, Any]]
    ) -> dict[str, str]:
        """Act once under a trace number: refused or done, its answer is kept."""
        batch = self._batch(asked)
        seen = self.ledger.txn(asked["41"], batch, asked["11"])
        amount = int(asked.get("4", "0"))
        if seen is not None:
            if not seen["answer"] or (seen["message"], seen["amount"]) != (asked["t"] + asked.get("3", ""), amount):
                raise Refused("94")
            return dict(json.loads(seen["answer"]))
        number = self.ledger.one("SELECT count(*) AS number FROM txns") or {}
        row: dict[str, Any] = {
            "terminal": asked["41"],
            "batch": batch,
            "trace": asked["11"],
            "message": asked["t"] + asked.get("3", ""),
            "kind": kind,
            "amount": amount,
            "at": self._now(),
            "day": self._day(),
            "ref": f"{datetime.fromtimestamp(self._now(), CHINA):%m%d}{number.get('number', 0) + 1:08d}",
            "reference": read_tags(asked.get("59", "")).get(TAG_REFERENCE, ""),
            "refunded": 0,
            "fee": 0,
            "state": "P",
            "code": "00",
        }
        try:
            row |= act(asked, row)
        except Refused as refusal:
            row |= {"state": "D", "code": str(refusal)}
        answer = {"39": row["code"], "37": row["ref"], "59": write_tags({TAG_REFERENCE: row["reference"]})}
        if row["state"] == "P":
            answer["38"] = row["ref"][-6:]
        self.ledger.add({**row, "answer": json.dumps(answer)})
        if row["state"] == "P":
            self._write(row, kind)
        return answer

    def _batch(self, asked: Fields) -> str:
        batch, terminal = asked.get("60", "")[2:8], self._known(asked)
        if not batch.isdigit() or int(batch) != terminal["batch"]:
            raise Refused("77")
        return batch

    def _sale(self, asked: Fields) -> dict[str, str]:
        return self._once(asked, "sale", self._sold)

    def _sold(self, asked: Fields, row: dict[str, Any]) -> dict[str, Any]:
        tags = read_tags(asked.get("59", ""))
        means = tags.get(TAG_CODE) or tags.get(TAG_TOKEN, "")
        code = self.ledger.one("SELECT * FROM codes WHERE digest = ?", digest(means))
        if asked.get("49") != CURRENCY or row["amount"] <= 0:
            raise Refused("40")
        if code is None or code["used"]:
            raise Refused("14")
        self.ledger.run("UPDATE codes SET used = 1 WHERE digest = ?", code["digest"])
        if code["expires_at"] < self._now():
            raise Refused("54")
        account = self.ledger.one("SELECT * FROM accounts WHERE account = ?", code["account"])
        if account is None or not account["allowed"]:
            raise Refused("05")
        if row["amount"] > MOST_FEN:
            raise Refused("61")
        if account["balance"] < row["amount"]:
            raise Refused("51")
        self.ledger.move(code["account"], -row["amount"])
        return {"account": code["account"], "fee": (row["amount"] * FEE_BP + 5000) // 10_000}

    def _original(self, asked: Fields) -> dict[str, Any]:
        """The sale that field 61 names."""
        number = asked.get("61", "")
        found = self.ledger.txn(asked["41"], number[:6], number[6:12])
        if found is None or found["kind"] != "sale" or (asked.get("37", "").strip() or found["ref"]) != found["ref"]:
            raise Refused("25")
        if found["state"] != "P":
            raise Refused("22")
        return found

    def _void(self, asked: Fields) -> dict[str, str]:
        return self._once(asked, "void", self._voided)

    def _voided(self, asked: Fields, row: dict[str, Any]) -> dict[str, Any]:
        """The whole of a sale of this batch, on its day, of which nothing was returned."""
        sale = self._original(asked)
        if sale["batch"] != row["batch"] or sale["refunded"] or sale["day"] != row["day"]:
            raise Refused("22")
        if sale["amount"] != row["amount"]:
            raise Refused("64")
        self.ledger.set_state(sale, "V")
        self.ledger.move(sale["account"], sale["amount"])
        return {"account": sale["account"], "original": sale["ref"], "fee": -sale["fee"]}

    def _return(self, asked: Fields) -> dict[str, str]:
        return self._once(asked, "return", self._returned)

    def _returned(self, asked: Fields, row: dict[str, Any]) -> dict[str, Any]:
        sale = self._original(asked)
        if asked.get("61", "")[12:16] != f"{datetime.fromtimestamp(sale['at'], CHINA):%m%d}":
            raise Refused("25")
        if not 0 < row["amount"] <= sale["amount"] - sale["refunded"]:
            raise Refused("64")
        sql = "UPDATE txns SET refunded = refunded + ? WHERE terminal = ? AND batch = ? AND trace = ?"
        self.ledger.run(sql, row["amount"], sale["terminal"], sale["batch"], sale["trace"])
        self.ledger.move(sale["account"], row["amount"])
        return {"account": sale["account"], "original": sale["ref"]}

    def _reversal(self, asked: Fields) -> dict[str, str]:
        """Undo a sale or a void as if it had never been; the number of one that was not seen is blocked."""
        batch = self._batch(asked)
        found = self.ledger.txn(asked["41"], batch, asked["11"])
        if found is None:
            blocked = {"terminal": asked["41"], "batch": batch, "trace": asked["11"], "kind": "blocked", "state": "R"}
            more = {"message": "", "amount": 0, "at": self._now(), "refunded": 0, "code": "25", "reference": ""}
            self.ledger.add({**blocked, **more})
            return {"39": "25"}
        if found["kind"] == "blocked" or found["state"] in ("R", "D"):
            return {"39": "00" if found["state"] == "R" and found["kind"] != "blocked" else "25"}
        if found["state"] != "P" or found["refunded"] or found["kind"] == "return":
            raise Refused("22")
        self.ledger.set_state(found, "R")
        sign = 1 if found["kind"] == "sale" else -1
        self.ledger.move(found["account"], sign * found["amount"])
        if found["kind"] == "void":
            sql = "UPDATE txns SET state = 'P' WHERE terminal = ? AND ref = ?"
            self.ledger.run(sql, found["terminal"], found["original"])
        self._write({**found, "original": found["ref"], "reference": "", "fee": -found["fee"]}, "reversal", -sign)
        return {"37": found["ref"]}

    def _query(self, asked: Fields) -> dict[str, str]:
        number = asked.get("61", "")
        found = self.ledger.txn(asked["41"], number[:6], number[6:12])
        if found is None or found["kind"] == "blocked":
            raise Refused("25")
        local = datetime.fromtimestamp(found["at"], CHINA)
        return {
            "4": f"{found['amount']:012d}",
            "13": f"{local:%m%d}",
            "37": found["ref"],
            "44": found["code"] + found["state"],
        }

    # -- the batch ---------------------------------------------------------------------------------------------------

    def _settle(self, asked: Fields) -> dict[str, str]:
        """Compare; an equal batch is closed, one that differs when its details are told. Repeated: no change."""
        terminal, batch = asked["41"], asked.get("60", "")[2:8]
        sale, sales, back, backs = self.ledger.totals(terminal, batch)
        text = f"{sale:012d}{sales:03d}{back:012d}{backs:03d}"
        kept = self.ledger.one("SELECT * FROM batches WHERE terminal = ? AND batch = ?", terminal, batch)
        if kept is None:
            self._batch(asked)
            read_totals(asked.get("48", ""))
            equal = asked["48"][:30] == text
            sql = "INSERT INTO batches VALUES (?, ?, ?, ?, '[]', ?, 0)"
            self.ledger.run(sql, terminal, batch, int(equal), sale - back, asked["11"])
            if equal:
                self._close(terminal, batch)
        elif kept["trace"] != asked["11"]:
            raise Refused("94")
        else:
            equal = bool(kept["matched"])
        return {"48": text + ("1" if equal else "2"), "60": f"00{int(batch) + 1:06d}201"}

    def _upload(self, asked: Fields) -> dict[str, str]:
        terminal, batch, last = asked["41"], asked.get("60", "")[2:8], asked.get("60", "")[8:11]
        kept = self.ledger.one("SELECT * FROM batches WHERE terminal = ? AND batch = ?", terminal, batch)
        if kept is None:
            raise Refused("25")
        if last == "207":
            self._close(terminal, batch)
            return {}
        told = dict(json.loads(kept["uploaded"])) | dict(read_details(asked.get("48", "")))
        sql = "UPDATE batches SET uploaded = ? WHERE terminal = ? AND batch = ?"
        self.ledger.run(sql, json.dumps(sorted(told.items())), terminal, batch)
        return {}

    def _close(self, terminal: str, batch: str) -> None:
        self.ledger.run("UPDATE batches SET closed = 1 WHERE terminal = ? AND batch = ?", terminal, batch)
        self.ledger.run("UPDATE terminals SET batch = ? WHERE terminal = ?", int(batch) + 1, terminal)

    # -- the day -----------------------------------------------------------------------------------------------------

    def _day(self) -> str:
        """The settlement day: it ends at the cut."""
        local = datetime.fromtimestamp(self._now(), CHINA)
        late = f"{local:%H:%M}" >= self._cut
        return f"{local + timedelta(days=1 if late else 0):%Y%m%d}"

    def _write(self, row: Mapping[str, Any], kind: str, sign: int = 0) -> None:
        """A line in the day's file."""
        line = BillRow(
            at=datetime.fromtimestamp(self._now(), CHINA),
            terminal=row["terminal"],
            batch=row["batch"],
            trace=row["trace"],
            kind=kind,
            amount=(sign or _SIGNS[kind]) * row["amount"],
            fee=row["fee"],
            ref=row["ref"],
            original_ref=row.get("original") or "",
            reference=row["reference"],
        ).line()
        with (self._bills / f"BILL{self._day()}.TXT").open("ab") as file:
            file.write(line.encode("gb18030"))
