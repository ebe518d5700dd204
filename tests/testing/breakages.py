"""The wallet with one thing wrong at a time: what the suite must find, and under which rule."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urljoin

from marshmallow import fields

from gateway.sdk import (
    Call,
    Declined,
    DeclineReason,
    Done,
    Method,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Page,
    Traits,
    hookimpl,
)
from gateway.sdk.simulator import HttpReply as Answered
from gateway.sdk.simulator import HttpRequest
from gateway.sdk.transports.http import HttpReply
from gateway.testing import Far, charge
from tests.testing.wallet import WalletAdapter, WalletProfile, WalletSettings, WalletSimulator

Breakage = tuple[type[WalletProfile], str, str]
BREAKAGES: dict[str, Breakage] = {}


def broken(rule: str, reason: str) -> Any:
    """Register a profile as broken: ``rule`` must fail, for a reason that says ``reason``."""

    def register(profile: type[WalletProfile]) -> type[WalletProfile]:
        BREAKAGES[profile.__name__] = (profile, rule, reason)
        return profile

    return register


# -- the far system is not what the adapter claims ----


class Forgetful(WalletSimulator):
    idempotent = False


class ActsAgain(WalletSimulator):
    """It never looks whether it knows a number; asked about one, it tells of the first entry under it."""

    def act(self, path: str, asked: dict[str, str]) -> dict[str, Any]:
        key = asked.get("key", "")
        if path in ("/ask", "/list") or key not in self.rows:
            return super().act(path, asked)
        with self.lock:
            return self.change(path, asked, f"{key}/{len(self.rows)}") | {"key": key}


class Reopening(WalletSimulator):
    def change(self, path: str, asked: dict[str, str], key: str) -> dict[str, Any]:
        if path == "/reverse" and asked["original"] not in self.rows:
            return {"state": "done", "key": key, "amount": int(asked["amount"]), "kind": "reverse"}
        return super().change(path, asked, key)


class PoorButPaid(WalletSimulator):
    def change(self, path: str, asked: dict[str, str], key: str) -> dict[str, Any]:
        if path == "/charge" and asked["amount"] == "666":
            super().change(path, {**asked, "amount": "667"}, key)
            return {"state": "poor", "key": key}
        return super().change(path, asked, key)


@broken("traits_proved", "the same key twice")
class ActsTwice(WalletProfile):
    simulator = Forgetful


@broken("traits_proved", "arrived after its payment_reverse")
class NoTombstone(WalletProfile):
    simulator = Reopening


@broken("declined_codes_listed", "the books have moved")
class DeclinesAndTakes(WalletProfile):
    simulator = PoorButPaid


class KnowsWholeRefundsOnly(WalletSimulator):
    """A part that comes twice is given back twice: it keeps the keys of whole refunds only."""

    def change(self, path: str, asked: dict[str, str], key: str) -> dict[str, Any]:
        first = self.rows.get(asked.get("original", ""), {})
        part = path == "/refund" and int(asked["amount"]) < first.get("amount", 0)
        return super().change(path, asked, f"{key}/{len(self.rows)}" if part else key) | {"key": key}


@broken("traits_proved", "a part, message 1 doubled on the way")
class RefundsPartsTwice(WalletProfile):
    simulator = KnowsWholeRefundsOnly


class Sequenced(WalletSimulator):
    """Takes a message only if its number is higher than the last: one that is late or doubled does nothing. It keeps no
    key: what comes again with a new number is done again, and no closing is remembered."""

    last = 0

    def act(self, path: str, asked: dict[str, str]) -> dict[str, Any]:
        key, number = asked.get("key", ""), int(asked.pop("number", "0"))
        if path in ("/ask", "/list"):
            return super().act(path, asked)
        with self.lock:
            if number <= self.last:
                return {"state": "busy", "key": key}
            self.last = number
            done = self.change(path, asked, f"{key}/{len(self.rows)}" if key in self.rows else key)
            return {**done, "key": key}

    def change(self, path: str, asked: dict[str, str], key: str) -> dict[str, Any]:
        if path == "/reverse" and asked["original"] not in self.rows:
            return {"state": "done", "key": key, "amount": int(asked["amount"]), "kind": "reverse"}
        return super().change(path, asked, key)


class _LooksFirst(WalletAdapter):
    """One call at a time, and before the second attempt a question: what two processes do it can't know."""

    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": Traits(idempotent=True),
        "payment_reverse": Traits(tombstone=True, partial=False),
    }

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.turn = threading.Lock()

    def ask(self, path: str, seconds: float = 2.0, **fields: str) -> dict[str, Any]:
        return super().ask(path, seconds, number=str(time.monotonic_ns()), **fields)

    def change(self, path: str, call: Call, amount: int, original: str = "") -> Any:
        with self.turn:
            if call.attempt > 1 and (there := self.ask("/ask", key=call.key))["state"] != "absent":
                return self.read(there, amount)
            return super().change(path, call, amount, original)


class _Leased(WalletAdapter):
    """Says that its money comes back after ten minutes."""

    traits: ClassVar[Mapping[str, Traits]] = {
        **WalletAdapter.traits,
        "payment_charge": Traits(idempotent=True, reserve_ttl_s=600),
    }


class _LooksOnce(_LooksFirst):
    """Nothing that is late is taken: what is not there can not come any more, unless it is only not shown yet."""

    @hookimpl
    def payment_query(self, request: Any) -> Any:
        answer = super().payment_query(request)
        return NotFound(final=True) if isinstance(answer, NotFound) else answer


@broken("outcome_classes", "shows only 400 ms later")
class TrustsWhatIsNotShownYet(WalletProfile):
    adapter = _LooksOnce
    simulator = Sequenced


@broken("traits_proved", "by a process that was told nothing")
class OnlyLooksFirst(WalletProfile):
    adapter = _LooksFirst
    simulator = Sequenced


@broken("traits_proved", "called anew under the key")
class ClosesNothing(WalletProfile):
    adapter = _LooksFirst
    simulator = Sequenced


@broken("traits_proved", "605 s later it is still held")
class NeverLetsGo(WalletProfile):
    adapter = _Leased


# -- outcomes ----


class Troubled(WalletAdapter):
    def change(self, path: str, call: Call, amount: int, original: str = "") -> Any:
        try:
            return super().change(path, call, amount, original)
        except OutcomeUnknown as error:
            return self.trouble(error, call, amount)

    def trouble(self, error: OutcomeUnknown, call: Call, amount: int) -> Any:
        raise error


class _SaysNotSent(Troubled):
    def trouble(self, error: OutcomeUnknown, call: Call, amount: int) -> Any:
        raise NotSent(str(error))


class _SaysDeclined(Troubled):
    def trouble(self, error: OutcomeUnknown, call: Call, amount: int) -> Any:
        return Declined(reason=DeclineReason.DECLINED, code="trouble")


class _SaysDone(Troubled):
    def trouble(self, error: OutcomeUnknown, call: Call, amount: int) -> Any:
        return Done(ref=call.key, amount=amount)


class _RaisesItsOwn(Troubled):
    def trouble(self, error: OutcomeUnknown, call: Call, amount: int) -> Any:
        raise KeyError("amount")


class _Hangs(Troubled):
    def trouble(self, error: OutcomeUnknown, call: Call, amount: int) -> Any:
        time.sleep(2.6)
        raise error


class _Resends(WalletAdapter):
    """Follows redirects, as many an HTTP library does unasked: with the same body, to a system that acts again."""

    traits: ClassVar[Mapping[str, Traits]] = {"payment_reverse": Traits(partial=False)}

    def post(self, url: str, body: bytes, seconds: float) -> HttpReply:
        reply = super().post(url, body, seconds)
        return super().post(urljoin(url, reply.headers["location"]), body, seconds) if reply.status == 307 else reply


class _NeverSure(WalletAdapter):
    def change(self, path: str, call: Call, amount: int, original: str = "") -> Any:
        try:
            return super().change(path, call, amount, original)
        except NotSent as error:
            raise OutcomeUnknown(str(error)) from None


class _BusyIsNo(WalletAdapter):
    DECLINES: ClassVar = {**WalletAdapter.DECLINES, "busy": DeclineReason.DECLINED}


class _Final(WalletAdapter):
    @hookimpl
    def payment_query(self, request: Any) -> Any:
        answer = super().payment_query(request)
        return NotFound(final=True) if isinstance(answer, NotFound) else answer


class _NoList(WalletAdapter):
    DECLINES: ClassVar = {}


class _NeitherNor(WalletAdapter):
    traits: ClassVar[Mapping[str, Traits]] = {}

    @hookimpl
    def payment_query(self, request: Any) -> Any:
        raise OutcomeUnknown("nobody answers for this wallet")


@broken("outcome_classes", "NotSent (")
class NotSentAfterTheFirstByte(WalletProfile):
    adapter = _SaysNotSent


@broken("outcome_classes", "it was sent again by itself, by a retry or a redirect")
class FollowsRedirects(WalletProfile):
    adapter = _Resends
    simulator = ActsAgain


@broken("outcome_classes", "declined (declined, trouble)")
class DeclinedWhereUnknown(WalletProfile):
    adapter = _SaysDeclined


@broken("outcome_classes", "done, and the books show nothing")
class DoneWhereUnknown(WalletProfile):
    adapter = _SaysDone


@broken("outcome_classes", "raised KeyError")
class AnErrorOfItsOwn(WalletProfile):
    adapter = _RaisesItsOwn


@broken("parsers_raise_parse_error", "raised KeyError")
class SpoiltAnswersRaise(WalletProfile):
    adapter = _RaisesItsOwn


@broken("outcome_classes", "did not come back")
class HangsOnTrouble(WalletProfile):
    adapter = _Hangs


@broken("outcome_classes", "it must be NotSent")
class UnknownWhereRefused(WalletProfile):
    adapter = _NeverSure


@broken("outcome_classes", "a system error is taken for a refusal")
class ListsWhatItDoesNotKnow(WalletProfile):
    adapter = _BusyIsNo


@broken("outcome_classes", "the query said not found for good")
class NotFoundForGood(WalletProfile):
    adapter = _Final


@broken("declined_codes_listed", "it came to unknown")
class RefusalsAreUnknown(WalletProfile):
    adapter = _NoList


@broken("hooks_pass", "never sent answers unknown")
class CanNotBeAsked(WalletProfile):
    adapter = _NeitherNor


# -- the contract ----


class _QueryFindsNothing(WalletAdapter):
    @hookimpl
    def payment_query(self, request: Any) -> Any:
        return NotFound()


class _QueryFindsAll(WalletAdapter):
    @hookimpl
    def payment_query(self, request: Any) -> Any:
        return Done(ref=request.key, amount=request.request.amount)


class _QueryActs(WalletAdapter):
    @hookimpl
    def payment_query(self, request: Any) -> Any:
        answer = super().payment_query(request)
        self.ask("/charge", key=f"{request.key}{time.monotonic_ns()}", amount="1")
        return answer


class _AddsOne(WalletAdapter):
    def read(self, answer: dict[str, Any], amount: int) -> Any:
        done = super().read(answer, amount)
        return Done(ref=done.ref, amount=amount + 1) if isinstance(done, Done) else done


class _ReversesNothing(WalletAdapter):
    @hookimpl
    def payment_reverse(self, request: Any, call: Call) -> Any:
        return Done(ref=call.key)


class _EndlessPages(WalletAdapter):
    @hookimpl
    def payment_statement(self, request: Any) -> Any:
        return Page(items=super().payment_statement(request).items, next_cursor="more")


class Signing(WalletSimulator):
    """Its answers are signed, after a fashion; a spoilt one is seen by whoever looks."""

    def handle(self, request: HttpRequest) -> Answered:
        reply = super().handle(request)
        if request.path == "/ask" or not self.faults.take("bad_signature"):
            return reply
        return Answered(reply.status, reply.body[:-1] + b',"sign":"spoilt"}')


class _ForgetsOneWay(WalletAdapter):
    @hookimpl
    def payment_charge(self, request: Any, call: Call) -> Any:
        if request.method is Method.PAYMENT_CODE:
            return Done(ref=call.key, amount=request.amount)
        return super().payment_charge(request, call)


class _AnyCurrency(WalletAdapter):
    @hookimpl
    def payment_charge(self, request: Any, call: Call) -> Any:
        return self.change("/charge", call, request.amount)


class _WholeRefunds(WalletAdapter):
    @hookimpl
    def payment_refund(self, request: Any, call: Call) -> Any:
        answer = self.ask("/refund", key=call.key, amount=str(request.charged_amount), original=request.original.key)
        return Done(ref=answer["key"], amount=request.amount) if answer["state"] == "done" else self.read(answer, 0)


class _KeysOfItsOwn(WalletAdapter):
    @hookimpl
    def payment_charge(self, request: Any, call: Call) -> Any:
        if request.currency != "CNY":
            return super().payment_charge(request, call)
        answer = self.ask("/charge", key=f"{call.key}-{time.monotonic_ns()}", amount=str(request.amount))
        self.context.store.put(call.key, answer["key"])
        return self.read(answer, request.amount)

    @hookimpl
    def payment_query(self, request: Any) -> Any:
        known = self.context.store.get(request.key)
        answer = self.ask("/ask", key=known or request.key)
        return NotFound() if answer["state"] == "absent" else self.read(answer, request.request.amount)


@broken("hooks_pass", "the query answers not found")
class AQueryThatForgets(WalletProfile):
    adapter = _QueryFindsNothing


@broken("hooks_pass", "about a key that was never sent answers done")
class AQueryThatLies(WalletProfile):
    adapter = _QueryFindsAll


@broken("hooks_pass", "the query itself moved the books")
class AQueryThatActs(WalletProfile):
    adapter = _QueryActs


@broken("hooks_pass", "Done.amount is")
class AnotherAmount(WalletProfile):
    adapter = _AddsOne


@broken("hooks_pass", "or name it in `silent` if the far system has nothing to do")
class AnUndoThatDoesNothing(WalletProfile):
    adapter = _ReversesNothing


@broken("outcome_classes", "an answer whose signature does not verify is believed")
class LooksAtNoSignature(WalletProfile):
    simulator = Signing


@broken("hooks_pass", "a payment code: done, and the books show no effect")
class OneWayDoesNothing(WalletProfile):
    adapter = _ForgetsOneWay

    def ways(self, far: Far, hook: str) -> Mapping[str, Any]:
        return {"a payment code": charge(far, auth_code="281234567890123456")} if hook == "payment_charge" else {}


@broken("hooks_pass", "its pages never end")
class PagesWithoutEnd(WalletProfile):
    adapter = _EndlessPages


@broken("traits_proved", "in another currency is done")
class AnyCurrency(WalletProfile):
    adapter = _AnyCurrency


@broken("traits_proved", "half of it")
class RefundsTheWhole(WalletProfile):
    adapter = _WholeRefunds


@broken("survives_kill", "they show net +2400")
class KeysOfItsOwn(WalletProfile):
    adapter = _KeysOfItsOwn


# -- leaks, tenants, the first rung ----


class _LogsIt(WalletAdapter):
    def change(self, path: str, call: Call, amount: int, original: str = "") -> Any:
        self.context.log.debug("asking with %s", self.context.settings["password"].reveal())
        return super().change(path, call, amount, original)


class _TellsIt(Troubled):
    def trouble(self, error: OutcomeUnknown, call: Call, amount: int) -> Any:
        raise OutcomeUnknown(f"{error} with {self.context.settings['password'].reveal()}")


class _KeepsIt(WalletAdapter):
    def change(self, path: str, call: Call, amount: int, original: str = "") -> Any:
        self.context.store.put("login", self.context.settings["password"].reveal())
        return super().change(path, call, amount, original)


class _AnswersIt(WalletAdapter):
    def read(self, answer: dict[str, Any], amount: int) -> Any:
        done = super().read(answer, amount)
        secret = self.context.settings["password"].reveal()
        return Done(ref=done.ref, amount=amount, facts={"login": secret}) if isinstance(done, Done) else done


_LAST: dict[str, str] = {}


class _SharesState(WalletAdapter):
    def __init__(self, context: Any) -> None:
        super().__init__(context)
        _LAST["url"] = context.settings["url"]

    def ask(self, path: str, seconds: float = 2.0, **fields: str) -> dict[str, Any]:
        self.context.settings["url"] = _LAST["url"]  # type: ignore[index]
        return super().ask(path, seconds, **fields)


class _AlwaysWell(WalletAdapter):
    def check(self) -> None:
        return None


class _Loose(WalletSettings):
    url = fields.Raw(required=True)  # type: ignore[assignment]


class _TakesAnything(WalletAdapter):
    Settings = _Loose


class _Misspelt(WalletAdapter):
    @hookimpl
    def payment_chargee(self, request: Any, call: Call) -> Any:
        return None


class _Forgets(WalletAdapter):
    @hookimpl
    def payment_statement(self, request: Any) -> Any:
        return Page(items=super().payment_statement(request).items[:0])


@broken("no_secret_leaks", "the log")
class LogsAPassword(WalletProfile):
    adapter = _LogsIt


@broken("no_secret_leaks", "an error's text")
class TellsAPassword(WalletProfile):
    adapter = _TellsIt


@broken("no_secret_leaks", "the adapter's store")
class KeepsAPassword(WalletProfile):
    adapter = _KeepsIt


@broken("no_secret_leaks", "an answer")
class AnswersAPassword(WalletProfile):
    adapter = _AnswersIt


@broken("tenants_apart", "moved the books of")
class SharesState(WalletProfile):
    adapter = _SharesState


@broken("check_says_what_to_do", "it says that all is well")
class AlwaysWell(WalletProfile):
    adapter = _AlwaysWell


@broken("settings_checked", "is taken")
class TakesAnything(WalletProfile):
    adapter = _TakesAnything


@broken("installs", "no such hook")
class Misspelt(WalletProfile):
    adapter = _Misspelt


@broken("source_to_reconcile", "0 rows")
class AnEmptyStatement(WalletProfile):
    adapter = _Forgets


@broken("hooks_pass", "needs payment_charge")
class NoRequest(WalletProfile):
    payment_charge = None  # type: ignore[assignment]

    def declines(self, far: Far, hook: str) -> Any:
        return ()
