"""A saga as the platform sees it: status, price, tenders, legs, tasks, what can still be given back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from gateway.engine.model import Json, Op, OpState, Phase, Saga, State
from gateway.engine.parts import part_of, which
from gateway.engine.requests import tenders_of
from gateway.engine.retender import quote_in_force
from gateway.engine.words import tender_leg
from gateway.store.encoding import load
from gateway.store.port import Row

#: The engine's state as the platform is told it.
STATUS = {
    State.RESERVING: "processing",
    State.PAYING: "processing",
    State.AWAITING_TENDER: "awaiting_customer",
    State.SETTLING: "processing",
    State.POSTING: "processing",
    State.COMPLETED: "completed",
    State.CLOSING: "resolving",
    State.UNDOING: "processing",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
#: Parts of a price that are the engine's own business.
_INTERNAL = ("snapshot", "settlement", "commission", "units", "accounts", "refunds", "tenders", "splits", "steps")


@lru_cache(1024)
def moment(milliseconds: int) -> str:
    """A time of the journal in RFC 3339."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_of(saga: Saga, ops: Sequence[Op]) -> str:
    """The status that the platform is told."""
    status = STATUS[saga.state]
    if saga.state in (State.COMPLETED, State.FAILED, State.CANCELLED):
        return status
    if saga.progress.get("attention"):
        return "needs_attention"
    if any(op.state is OpState.PENDING and op.outcome.get("next_action") for op in ops):
        return "awaiting_customer"
    if any(op.state is OpState.UNKNOWN for op in ops):
        return "resolving"
    return status


def quote_view(quote: Json) -> Json:
    """A price without what only the engine needs."""
    return {name: value for name, value in quote.items() if name not in _INTERNAL}


def checkout_view(saga: Saga, ops: Sequence[Op]) -> Json:
    """The checkout resource of the API."""
    quote = quote_in_force(saga)
    view: Json = {
        "id": saga.id,
        "status": status_of(saga, ops),
        "order_no": saga.number,
        "merchant": saga.merchant,
        "store_id": saga.store_id,
        "business_date": saga.doc["site"]["business_date"],
        "currency": saga.doc["currency"],
        "created_at": moment(saga.created),
        "expires_at": moment(saga.expires_at),
        "quote": quote_view(quote),
        "tenders": [_tender_view(tender, saga, ops) for tender in _all_tenders(saga)],
        "splits": quote["splits"],
        "legs": legs_view(saga, ops),
        "tasks": [{"id": t["id"], "leg": t["leg"], "kind": t["kind"]} for t in saga.progress.get("tasks", ())],
        "receipt": receipt_of(ops),
        "refundable_amount": saga.amount - saga.refunded if saga.state is State.COMPLETED else 0,
        "refunded_amount": saga.refunded,
    }
    if left_out := [*saga.doc.get("left_out", ()), *({"part": part_of(x), "id": which(x)} for x in saga.without())]:
        view["left_out"] = left_out
    if deferred := _deferred(saga, ops):
        view["deferred"] = deferred
    if session := _session_of(saga, ops):
        view["session_id"] = session
    if (failure := saga.failure()) is not None:
        view["failure"] = failure
    if (action := next_action(saga, ops)) is not None:
        view["next_action"] = action
    return view


def _deferred(saga: Saga, ops: Sequence[Op]) -> list[str]:
    """The legs of a completed sale or refund that are still to be done: its booking, points, rewards."""
    if saga.state is not State.COMPLETED:
        return []
    done = {(op.leg, op.hook) for op in ops if op.state is OpState.OK}
    due = (*saga.due(Phase.POST), *saga.due(Phase.REWARD))
    left = [leg for leg, hook in due if (leg.name, hook) not in done and leg.name not in saga.without()]
    return [leg.name for leg in left if not leg.params.get("slot")]  # what becomes of a slot is told by itself


def _all_tenders(saga: Saga) -> list[Json]:
    return [*saga.doc.get("tenders", ()), *saga.progress.get("tenders", ())]


def _tender_view(tender: Json, saga: Saga, ops: Sequence[Op]) -> Json:
    of_leg = [op for op in ops if op.leg == tender["leg"]] if tender["leg"] else []
    charge = of_leg[0] if of_leg else None
    view = {
        "id": tender["id"],
        "method": tender["method"],
        "channel": tender["channel"],
        "amount": tender["amount"],
        "status": _tender_status(tender, of_leg, saga),
        "channel_ref": charge.ref if charge else "",
    }
    return view if (decline := _decline(tender, saga, ops)) is None else {**view, "decline": decline}


def _decline(tender: Json, saga: Saga, ops: Sequence[Op]) -> Json | None:
    """Why a tender does not pay, in its system's own words where there are any; a lock on its code is part of it."""
    hooks = {leg.name: leg.hooks.values() for leg in saga.legs() if tender["leg"] and tender_leg(leg) == tender["leg"]}
    asked = [op for op in ops if op.hook in hooks.get(op.leg, ())]
    refused = next(filter(_refused, asked), None)
    if refused is not None:
        return {name: str(refused.outcome.get(name, "")) for name in ("reason", "code", "message")}
    if tender["leg"] not in saga.progress.get("declined", ()):
        return None
    unsent = all(op.state is OpState.NOT_SENT for op in asked)
    return {"reason": "unavailable" if unsent else "undecided", "code": "", "message": ""}


def _refused(op: Op) -> bool:
    """Whether this was refused, and not taken and given back: a system that is asked then calls that closed too."""
    return bool(op.outcome.get("reason")) and "amount" not in op.outcome


def _tender_status(tender: Json, ops: list[Op], saga: Saga) -> str:
    if not tender["leg"]:
        return "paid" if saga.state is State.COMPLETED else "at_till"
    if not ops:
        return "planned"
    if any(op.hook in _UNDOES and op.state is OpState.OK for op in ops):
        return "declined" if _refused(ops[0]) else "reversed"
    return {
        OpState.OK: "paid",
        OpState.DECLINED: "declined",
        OpState.PENDING: "pending",
        OpState.INTENT: "processing",
    }.get(ops[-1].state, "unknown" if ops[-1].state in (OpState.UNKNOWN, OpState.TASK) else "not_taken")


_UNDOES = frozenset({"payment_reverse", "value_cancel", "value_return", "coupon_cancel", "coupon_restore"})


def legs_view(saga: Saga, ops: Sequence[Op]) -> list[Json]:
    """Every change asked of a far system, with how it went."""
    adapters = {leg.name: leg.adapter for leg in saga.legs()}
    return [
        {
            "name": f"{op.leg}/{op.hook}",
            "adapter": adapters.get(op.leg, ""),
            "connection": op.connection,
            "status": str(op.state),
            "attempts": op.attempts,
            "started_at": moment(op.first_sent),
            "finished_at": moment(op.finished) if op.finished else None,
            "detail": _leg_detail(op),
        }
        for op in ops
    ]


def _leg_detail(op: Op) -> str:
    if op.state is OpState.DECLINED:
        return " ".join(str(op.outcome.get(name, "")) for name in ("reason", "code", "message")).strip()
    if op.state is OpState.OK:
        return op.ref
    return str(op.outcome.get("error", ""))


def receipt_of(ops: Sequence[Op]) -> str:
    """The till's receipt number, once the sale is booked."""
    return next((op.ref for op in ops if op.hook == "order_post" and op.state is OpState.OK), "")


def _session_of(saga: Saga, ops: Sequence[Op]) -> str:
    opened = next((op.ref for op in ops if op.hook == "session_open" and op.state is OpState.OK), "")
    return opened or str(saga.doc.get("session_id", ""))


def next_action(saga: Saga, ops: Sequence[Op]) -> Json | None:
    """What a person must do next, if anybody must."""
    if saga.state is State.AWAITING_TENDER:
        paid = sum(tender["amount"] for tender in tenders_of(saga))
        return {"type": "add_tender", "amount": saga.amount - paid, "expires_at": moment(saga.expires_at)}
    for op in ops:
        if op.state is OpState.PENDING and (action := op.outcome.get("next_action")):
            return dict(action)
    return None


def refund_view(saga: Saga, ops: Sequence[Op]) -> Json:
    """The refund resource of the API."""
    status = "succeeded" if saga.state is State.COMPLETED else status_of(saga, ops)
    view = {
        "id": saga.id,
        "status": status,
        "refund_no": saga.number,
        "checkout_id": saga.parent,
        "merchant": saga.merchant,
        "currency": saga.doc["currency"],
        "amount": saga.amount,
        "reason": saga.doc.get("reason", ""),
        "created_at": moment(saga.created),
        "gives_back": saga.doc["gives_back"],
        "slots": slots_view(saga, ops),
        "legs": legs_view(saga, ops),
        "tasks": [{"id": t["id"], "leg": t["leg"], "kind": t["kind"]} for t in saga.progress.get("tasks", ())],
    }
    return view if not (deferred := _deferred(saga, ops)) else {**view, "deferred": deferred}


def slots_view(saga: Saga, ops: Sequence[Op]) -> list[Json]:
    """What has become of the slots of a refund."""
    slots: Sequence[Json] = saga.doc.get("slots", ())
    return [
        {**{name: slot[name] for name in slot if name not in ("legs", "stays")}, **_became(slot, saga, ops)}
        for slot in slots
    ]


def _became(slot: Json, saga: Saga, ops: Sequence[Op]) -> Json:
    if "stays" in slot:
        return {"status": "booked", "reason": slot["stays"]}
    legs = [leg for leg in saga.legs() if leg.name in slot["legs"] and leg.name not in saga.by_hand()]
    states = {leg.name: op for leg in legs for op in ops if (op.leg, op.hook) == (leg.name, leg.hook(Phase.POST))}
    if any(op.state is OpState.DECLINED for op in states.values()):
        return {"status": "booked", "reason": "refused"}
    if any(leg.params.get("unable") for leg in legs) or any(op.outcome.get("unsupported") for op in states.values()):
        return {"status": "booked", "reason": "unsupported"}
    freed = all(leg.name in states and states[leg.name].state is OpState.OK for leg in legs)
    return {"status": "returned" if freed else "returning"}


def release_view(saga: Saga, ops: Sequence[Op]) -> Json:
    """The release of a deposit: a refund of what is left of it."""
    view = refund_view(saga, ops)
    names = ("id", "status", "merchant", "currency", "amount", "created_at", "legs", "tasks")
    return {**{name: view[name] for name in names}, "deposit_id": saga.parent}


def deposit_view(saga: Saga, ops: Sequence[Op], used: int) -> Json:
    """The deposit resource of the API. ``used`` is what checkouts have drawn on it, in minor units."""
    held = saga.amount - saga.refunded - used if saga.state is State.COMPLETED else 0
    status = "held" if saga.state is State.COMPLETED else status_of(saga, ops)
    view: Json = {
        "id": saga.id,
        "status": "released" if status == "held" and held == 0 else status,
        "merchant": saga.merchant,
        "store_id": saga.store_id,
        "currency": saga.doc["currency"],
        "amount": saga.amount,
        "held_amount": held,
        "captured_amount": used,
        "released_amount": saga.refunded,
        "created_at": moment(saga.created),
        "tenders": [_tender_view(tender, saga, ops) for tender in _all_tenders(saga)],
        "legs": legs_view(saga, ops),
        "tasks": [{"id": t["id"], "leg": t["leg"], "kind": t["kind"]} for t in saga.progress.get("tasks", ())],
    }
    if (failure := saga.failure()) is not None:
        view["failure"] = failure
    if (action := next_action(saga, ops)) is not None:
        view["next_action"] = action
    return view


def task_view(task: Row) -> Json:
    """A case for a person: what it is about, what has been said of it, and by whom."""
    names = ("id", "merchant", "subject", "leg", "kind", "status", "owner", "detail", "amount")
    return {
        **{name: task[name] for name in names},
        "opened_at": moment(task["opened"]),
        "deadline": moment(task["deadline"]),
        "resolved_at": moment(task["resolved"]) if task["resolved"] else None,
        "words": [_word_view(word) for word in load(task["words"])],
        "resolution": _word_view(load(task["resolution"])) if task["resolution"] else None,
    }


def _word_view(word: Json) -> Json:
    at = {"at": moment(word["at"])} if "at" in word else {}
    return {"evidence": "", **word, **at}
