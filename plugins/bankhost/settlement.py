"""Closing a terminal's batch: our totals against the host's, and every transaction told where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from gateway.sdk import Call, Change, Context, Done, NotSent, OutcomeUnknown, Settle
from plugins.bankhost.link import HostLink
from plugins.bankhost.protocol import APPROVED, CURRENCY, DETAILS_MOST, SETTLE, Totals, read_totals, write_details
from plugins.bankhost.records import DONE, Entry
from plugins.bankhost.terminal import Terminal

_EQUAL, _DIFFERENT = "1", "2"


class Settlement:
    """See the module. The same key is one closing: the host keeps the answer to a batch that it has closed."""

    def __init__(self, context: Context, link: HostLink, terminal: Terminal) -> None:
        self._context, self._link, self._terminal = context, link, terminal
        self._store = context.store

    def close(self, request: Settle, call: Call) -> Change:
        """In a turn: close the batch; its totals as the host has them are in the facts."""
        kept = self._store.get(f"settled/{call.key}")
        if kept is not None:
            return Done(ref=kept["batch"], amount=kept["net_amount"], facts=kept, replayed=True)
        self._terminal.free(self._terminal.seconds(call))
        self._link.ready(self._terminal.seconds(call))
        entry = self._terminal.records.get(call.key) or self._begun(call, request)
        facts = self._settled(call, entry, request)
        self._store.put(f"settled/{call.key}", facts)
        self._terminal.records.end(call.key, replace(entry, state=DONE))
        self._terminal.records.prune(self._context.clock().timestamp())
        return Done(ref=entry.batch, amount=facts["net_amount"], facts=facts)

    def _begun(self, call: Call, request: Settle) -> Entry:
        entry = Entry(
            kind=SETTLE,
            amount=request.sale_amount - request.refund_amount,
            batch=self._link.batch(),
            trace=self._link.next_trace(),
            at=self._context.clock().timestamp(),
        )
        self._terminal.records.begin(call.key, entry, blocks=False)
        return entry

    def _settled(self, call: Call, entry: Entry, request: Settle) -> dict[str, Any]:
        ours = Totals(
            sale_amount=request.sale_amount,
            sale_count=request.sale_count,
            refund_amount=request.refund_amount,
            refund_count=request.refund_count,
        )
        reply = self._send(call, entry, "settle", "0500", "201", f"{ours.text()}0")
        theirs, verdict = read_totals(reply.get("48", ""))
        uploaded = self._uploaded(call, entry) if verdict == _DIFFERENT else 0
        self._link.next_batch(reply.get("60", "")[2:8] or f"{int(entry.batch) + 1:06d}")
        return {
            "batch": entry.batch,
            "matched": verdict == _EQUAL,
            "uploaded": uploaded,
            "net_amount": theirs.sale_amount - theirs.refund_amount,
            "host_sale_amount": theirs.sale_amount,
            "host_sale_count": theirs.sale_count,
            "host_refund_amount": theirs.refund_amount,
            "host_refund_count": theirs.refund_count,
        }

    def _uploaded(self, call: Call, entry: Entry) -> int:
        """Tell the host every transaction of the batch as we have it; it compares, and closes the batch at the end."""
        rows = self._rows(entry.batch)
        count = 0
        while part := list(islice(rows, DETAILS_MOST)):
            self._send(call, entry, "upload", "0320", "201", write_details(part))
            count += len(part)
        self._send(call, entry, "upload_end", "0320", "207", f"{count:04d}")
        return count

    def _rows(self, batch: str) -> Iterator[tuple[str, int]]:
        for each in self._terminal.records.of_batch(batch):
            if each.kind != SETTLE:
                yield each.trace, each.amount

    def _send(self, call: Call, entry: Entry, name: str, kind: str, last: str, text: str) -> dict[str, str]:
        """One message of the closing. Once the first has left, nothing is 'not sent' any more."""
        trace = entry.trace if name == "settle" else self._link.next_trace()
        fields = {"t": kind, "11": trace, "48": text, "49": CURRENCY, "60": f"00{entry.batch}{last}"}
        try:
            with call.step(name, entry.batch + trace):
                reply = self._link.exchange(fields, self._terminal.seconds(call))
        except NotSent as error:
            if name == "settle":
                self._terminal.records.forget(call.key)
                raise
            raise OutcomeUnknown(f"the batch is being closed, and its upload broke off: {error}") from None
        if reply.get("39") != APPROVED:
            raise OutcomeUnknown(f"the host answers {reply.get('39')} to {name}")
        return reply
