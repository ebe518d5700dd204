"""The head office's members as an adapter of their own: points that are frozen, stored value in three buckets.

Every change carries the call's key as its request number, under which the head office acts once for ever and can be
asked. It can't hold stored value: that is taken at once and given back when a hold is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    Change,
    Context,
    Declined,
    DeclineReason,
    Done,
    Enrol,
    IdentityType,
    InvalidReply,
    Member,
    MemberLookup,
    MemberPageRequest,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Page,
    PointsEarn,
    PointsHeld,
    PointsReserve,
    PointsReturn,
    PointsRevoke,
    Query,
    StatementRequest,
    StatementRow,
    Traits,
    Value,
    ValueHeld,
    ValueOrder,
    ValueReserve,
    ValueReturn,
    ValueTopup,
    ValueUntopup,
    hookimpl,
)
from plugins.restaurant.client import OK, Office, expect_office_ok
from plugins.restaurant.mapping import local_moment
from plugins.restaurant.protocol import ParseError, Reply, yuan_of
from plugins.restaurant.protocol_members import (
    Customer,
    Receipt,
    Record,
    parse_customer,
    parse_receipt,
    parse_record,
)
from plugins.restaurant.settings import OfficeFields, office_settings

T = TypeVar("T")

NO_MEMBER, MEMBER_STOPPED = 41004, 41005
FEW_POINTS, LITTLE_VALUE, NEEDS_PASSWORD = 42001, 42002, 42003
NO_ORIGIN, TOO_MUCH_BACK, WRONG_STATE = 42004, 42005, 42009
#: Codes that the head office gives after having done nothing. Any other code proves nothing.
REASONS = {
    NO_MEMBER: DeclineReason.MEMBER_UNKNOWN,
    MEMBER_STOPPED: DeclineReason.MEMBER_UNKNOWN,
    FEW_POINTS: DeclineReason.INSUFFICIENT_POINTS,
    LITTLE_VALUE: DeclineReason.INSUFFICIENT_VALUE,
    NEEDS_PASSWORD: DeclineReason.LIMIT_EXCEEDED,
    NO_ORIGIN: DeclineReason.NOT_FOUND,
    TOO_MUCH_BACK: DeclineReason.NOT_REFUNDABLE,
    WRONG_STATE: DeclineReason.CLOSED,
}
#: Hooks that ask for nothing at the head office, for what they make final has already happened there.
SILENT = ("value_confirm",)
KINDS = {
    "points.consume": "spend",
    "points.reverse": "return",
    "points.add": "earn",
    "points.deduct": "revoke",
    "value.deduct": "spend",
    "value.reverse": "return",
    "value.charge": "topup",
    "value.uncharge": "untopup",
}
ONCE = Traits(idempotent=True, max_in_flight_s=15)
CHANGES = (
    "member_enrol points_reserve points_confirm points_cancel points_return points_earn points_revoke"
    " value_reserve value_confirm value_cancel value_return value_topup value_untopup"
)


class RestaurantMembersAdapter(Adapter):
    """The members of one restaurant chain."""

    name = "restaurant-members"
    Settings = OfficeFields
    about = AdapterTraits(max_parallel=8, business_day_ends="04:00")
    traits: ClassVar[Mapping[str, Traits]] = dict.fromkeys(CHANGES.split(), ONCE)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._office = Office(context.http, office_settings(context.settings), lambda: context.clock().timestamp())

    def check(self) -> None:
        """Ask the head office for a token. Changes nothing."""
        self._office.check()

    # ---- members
    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        kind, value = request.identity.type, request.identity.value.reveal()
        reply = self._office.ask("/api/crm/customer/get", {"idType": kind.value, "idValue": value})
        if reply.code == NO_MEMBER:
            return None
        expect_office_ok(reply)
        customer = _read(parse_customer, reply.data.get("customer"))
        return member_of(customer) if customer.state == 1 else None

    @hookimpl
    def member_page(self, request: MemberPageRequest) -> Page[Member]:
        number = request.cursor or "1"
        page = self._office.page("/api/crm/customer/page", {"pageNo": number}, "customerList")
        members = tuple(member_of(_read(parse_customer, row)) for row in page.rows)
        return Page(items=members, next_cursor=str(page.number + 1) if page.number < page.pages else None)

    @hookimpl
    def member_enrol(self, request: Enrol, call: Call) -> Change:
        fields = {
            identity.type.value: identity.value.reveal()
            for identity in request.identities
            if identity.type is not IdentityType.CODE
        }
        answer = self._change("customer/create", call, {**fields, "name": request.display_name})
        if isinstance(answer, Declined):
            return answer
        return Done(ref=answer.customer_id, replayed=answer.replayed or answer.state == "existing")

    # ---- points
    @hookimpl
    def points_reserve(self, request: PointsReserve, call: Call) -> Change:
        fields = {"customerId": request.member_ref, "points": str(request.points), "bizNo": request.order_no}
        return self._points("points/freeze", call, fields, request.points)

    @hookimpl
    def points_confirm(self, request: PointsHeld, call: Call) -> Change:
        return self._points("points/consume", call, {"originId": request.original.key}, request.points)

    @hookimpl
    def points_cancel(self, request: PointsHeld, call: Call) -> Change:
        answer = self._points("points/unfreeze", call, {"originId": request.original.key}, request.points)
        return _nothing_there(answer)

    @hookimpl
    def points_return(self, request: PointsReturn, call: Call) -> Change:
        fields = {"originId": request.original.key, "points": str(request.points)}
        return self._points("points/reverse", call, fields, request.points)

    @hookimpl
    def points_earn(self, request: PointsEarn, call: Call) -> Change:
        fields = {"customerId": request.member_ref, "points": str(request.points), "bizNo": request.order_no}
        return self._points("points/add", call, fields, request.points)

    @hookimpl
    def points_revoke(self, request: PointsRevoke, call: Call) -> Change:
        """As many as are still there; ``Done.amount`` says how many that were."""
        fields = {"originId": request.original.key, "points": str(request.points)}
        answer = self._change("points/deduct", call, fields)
        return answer if isinstance(answer, Declined) else _done(answer, answer.points)

    # ---- stored value
    @hookimpl
    def value_reserve(self, request: ValueReserve, call: Call) -> Change:
        """Taken at once: this system knows no hold. Over its password-free limit it refuses."""
        fields = {
            "customerId": request.account,
            "money": yuan_of(request.amount),
            "order": request.order.value,
            "bizNo": request.order_no,
        }
        return self._value("value/deduct", call, fields, request.amount)

    @hookimpl
    def value_confirm(self, request: ValueHeld, call: Call) -> Change:
        """What is held is spent already: there is nothing to send."""
        return Done(ref=request.account, amount=request.amount)

    @hookimpl
    def value_cancel(self, request: ValueHeld, call: Call) -> Change:
        answer = self._change("value/reverse", call, {"originId": request.original.key})
        return _nothing_there(answer if isinstance(answer, Declined) else _done(answer, request.amount))

    @hookimpl
    def value_return(self, request: ValueReturn, call: Call) -> Change:
        fields = {"originId": request.original.key, **_bucket_fields(request.buckets)}
        return self._value("value/reverse", call, fields, request.buckets.total)

    @hookimpl
    def value_topup(self, request: ValueTopup, call: Call) -> Change:
        fields = {"customerId": request.account, **_bucket_fields(request.value)}
        return self._value("value/charge", call, fields, request.value.total)

    @hookimpl
    def value_untopup(self, request: ValueUntopup, call: Call) -> Change:
        return self._value("value/uncharge", call, {"originId": request.original.key}, request.value.total)

    # ---- questions
    @hookimpl
    def member_query(self, request: Query) -> Answer:
        if request.hook in SILENT:
            return Done(ref=request.request.account, amount=request.request.amount, replayed=True)
        reply = self._office.ask("/api/crm/request/get", {"originId": request.key})
        if reply.code == NO_ORIGIN:
            return NotFound()
        expect_office_ok(reply)
        receipt = self._receipt(reply, request.key)
        return _done(receipt, receipt.points or receipt.money or None, replayed=True)

    @hookimpl
    def points_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._statement("points", request)

    @hookimpl
    def value_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._statement("value", request)

    # ---- what the verbs above are made of
    def _points(self, command: str, call: Call, fields: Mapping[str, str], points: int) -> Change:
        answer = self._change(command, call, fields)
        if isinstance(answer, Declined):
            return answer
        if answer.points != points:
            raise InvalidReply("head office: it says it moved other points than were asked")
        return _done(answer, points)

    def _value(self, command: str, call: Call, fields: Mapping[str, str], amount: int) -> Change:
        answer = self._change(command, call, fields)
        if isinstance(answer, Declined):
            return answer
        if answer.money != amount or sum(answer.buckets.values()) != amount:
            raise InvalidReply("head office: it says it moved another amount than was asked")
        return _done(answer, amount)

    def _change(self, command: str, call: Call, fields: Mapping[str, str]) -> Receipt | Declined:
        remaining = call.remaining()
        if remaining <= 0:
            raise NotSent("head office: no time left to send")
        reply = self._office.ask(f"/api/crm/{command}", {**fields, "requestId": call.key}, remaining)
        if reply.code in REASONS:
            return Declined(reason=REASONS[reply.code], code=str(reply.code), message=reply.msg)
        if reply.code != OK:
            raise OutcomeUnknown(f"head office: code {reply.code} to {command}")
        return self._receipt(reply, call.key)

    def _receipt(self, reply: Reply, key: str) -> Receipt:
        receipt = _read(parse_receipt, reply.data)
        if receipt.request_id != key:
            raise InvalidReply("head office: the answer is about another request")
        return receipt

    def _statement(self, family: str, request: StatementRequest) -> Page[StatementRow]:
        query = {"bizDate": request.business_date.isoformat(), "family": family, "pageNo": request.cursor or "1"}
        page = self._office.page("/api/crm/records", query, "recordList")
        records = [_read(parse_record, row) for row in page.rows]
        rows = tuple(self._row(family, record) for record in records)
        return Page(items=rows, next_cursor=str(page.number + 1) if page.number < page.pages else None)

    def _row(self, family: str, record: Record) -> StatementRow:
        return StatementRow(
            kind=KINDS.get(record.kind, record.kind),
            ref=record.request_id,
            key=record.request_id,
            original_ref=record.origin_id,
            amount=record.points if family == "points" else record.money,
            at=local_moment(record.at, self.context.timezone),
            facts={"member": record.customer_id, "order_no": record.biz_no},
        )


def member_of(customer: Customer) -> Member:
    """A member in our words; its card is the only thing that tells who it is."""
    known = {order.value for order in ValueOrder}
    return Member(
        ref=customer.customer_id,
        tier=customer.level,
        display_name=customer.name,
        rate_bp=customer.rate_bp if customer.rate_bp < 10_000 else None,
        points_available=customer.points,
        value=Value(real=customer.real, gift=customer.gift, prepaid=customer.pre),
        value_order=ValueOrder(customer.order) if customer.order in known else ValueOrder.REAL_FIRST,
        facts={"points_frozen": customer.frozen},
    )


def _bucket_fields(value: Value) -> dict[str, str]:
    return {"real": yuan_of(value.real), "gift": yuan_of(value.gift), "pre": yuan_of(value.prepaid)}


def _done(receipt: Receipt, amount: int | None, replayed: bool = False) -> Done:
    buckets = {"real": receipt.buckets["real"], "gift": receipt.buckets["gift"], "prepaid": receipt.buckets["pre"]}
    facts: dict[str, Any] = {"buckets": buckets} if receipt.kind.startswith("value.") else {}
    return Done(ref=receipt.customer_id, amount=amount, facts=facts, replayed=replayed or receipt.replayed)


def _nothing_there(answer: Change) -> Change:
    """A hold that never came to be is let go by that."""
    if isinstance(answer, Declined) and answer.code == str(NO_ORIGIN):
        return Done()
    return answer


def _read(parse: Callable[[Any], T], value: Any) -> T:
    try:
        return parse(value)
    except ParseError as error:
        raise InvalidReply(f"head office: {error}") from None
