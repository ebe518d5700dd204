"""What the conformance suite must know of one plugin: its adapter, its simulator, and how to make valid requests.

A profile is a small class in the plugin, ``plugins/NAME/conformance.py``::

    class MyProfile(Profile):
        adapter = MyAdapter
        simulator = MySimulator

        def settings(self, far: Far) -> Mapping[str, Any]:
            return {"url": f"http://{far.address('till')}", "password": far.secret("password", "s3cret")}

        def payment_charge(self, far: Far) -> Charge:
            return charge(far, auth_code=far.control("make_code")["code"])

        def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
            return {"money": books["taken"] - books["given_back"]}

For each changing hook that the adapter implements there must be a request: a method with the hook's name. What follows
from an earlier change (an undo, a confirm, a refund) is derived; a method ``payment_refund(self, far, made)`` replaces
the derived one. Reading hooks have defaults where one request fits all systems. The suite says what is missing.
docs/profile.md is made from this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.domain.common import Site, StatementRequest
from gateway.domain.membership import MemberPageRequest
from gateway.domain.messages import NoticeFollow
from gateway.domain.orders import BillLookup
from gateway.domain.payments import Charge, Method
from gateway.domain.stock import CatalogueRequest, LevelsRequest, SlotsRequest
from gateway.sdk.adapter import Adapter
from gateway.testing.chains import DERIVED, Made

if TYPE_CHECKING:
    from gateway.sdk.simulator import Simulator
    from gateway.testing.far import Far
    from gateway.testing.foreign import ForeignSystem


class Missing(Exception):
    """The profile lacks something; the text says what to write."""


class Profile:
    """Subclass it in ``plugins/NAME/conformance.py``; only ``adapter``, ``settings`` and ``tally`` are a must."""

    adapter: ClassVar[type[Adapter]]
    """The adapter that is tried.

    Unit: a class. Example: ``adapter = BakeryAdapter``
    """

    simulator: ClassVar[type[Simulator] | None] = None
    """Its far system, as a program that the suite starts. Without one the far system is the adapter's own: nothing lies
    between them that could be spoilt.

    Unit: a class. Example: ``simulator = BakerySimulator``
    """

    foreign: ClassVar[type[ForeignSystem] | None] = None
    """Instead of a simulator: what starts a real system that nobody here wrote.

    Unit: a class, a subclass of ``gateway.testing.ForeignSystem``. Example: ``foreign = Office``
    """

    options: ClassVar[Mapping[str, str]] = {}
    """The simulator's options, as ``--set NAME=VALUE`` gives them to ``gateway simulate``.

    Unit: name → value, both texts. Example: ``options = {"closed": "1"}``
    """

    store_id: ClassVar[str] = "S1"
    """The store whose requests are made; the settings must know it, if they list stores.

    Unit: our number of a store. Example: ``store_id = "lakeside"``
    """

    deadline_s: ClassVar[float] = 5.0
    """How long a change has in the suite: what ``call.remaining()`` begins with. One that is not back two seconds later
    counts as hanging. More than the slowest sound call needs, sign-on included.

    Unit: seconds. Example: ``deadline_s = 12.0``
    """

    patience_s: ClassVar[float] = 0.6
    """The same where a fault leaves the call without an answer: each such fault costs the run so much. Enough for an
    adapter that asks before it gives up; less than the far system's own time-out.

    Unit: seconds. Example: ``patience_s = 2.0``
    """

    settle_s: ClassVar[float] = 3.0
    """How long a change that is ``Pending`` is asked about, with ``advance`` between the questions, before it counts as
    still pending.

    Unit: seconds. Example: ``settle_s = 10.0``
    """

    unchecked_secrets: ClassVar[Mapping[str, str]] = {}
    """Settings that are secrets and that ``check()`` can't try out: a wrong one is then not asked to be refused.

    Unit: setting → why not, in words. Example: ``unchecked_secrets = {"notice_key": "only their notices are signed"}``
    """

    faults: ClassVar[Mapping[str, int]] = {}
    """Faults of this simulator alone (its ``extra_faults``) to try on each change, beside those that all know.

    Unit: fault → its value, as the simulator says. Example: ``faults = {"token_over": 0, "state_jump": 1}``
    """

    silent: ClassVar[tuple[str, ...]] = ()
    """Hooks with nothing to do at the far system: what they make final has happened there before (points that were
    deducted when they were held). They must send no message and move no number; nothing else is tried of them.

    Unit: names of hooks. Example: ``silent = ("points_confirm",)``
    """

    remembers: ClassVar[tuple[str, ...]] = ()
    """Hooks that choose a number of the far system's and keep it under our key in ``context.store`` before the first
    byte leaves (the certificates of a voucher, the batch that is closed): by that number the system acts once. A second
    process that repeats one has the store of the first; for all others it has an empty one.

    Unit: names of hooks. Example: ``remembers = ("coupon_redeem",)``
    """

    leaves: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What an undo does not bring back (a bill that was settled stays closed).

    Unit: hook that is undone → names of the tally. Example: ``leaves = {"order_post": ("closed bills",)}``
    """

    traces: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What a hook may move for a while beside its effect (a lock that ends by itself): it is no effect, and need not be
    back when the change has ended otherwise.

    Unit: hook → names of the tally. Example: ``traces = {"order_post": ("locks",)}``
    """

    # -- what must be said -------------------------------------------------------------------------------------------

    def settings(self, far: Far) -> Mapping[str, Any]:
        """The connection's settings for a far system that runs, as they would stand in a merchant's file."""
        raise Missing(f"{type(self).__name__} needs settings(self, far): what a merchant's file would say")

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        """What stands in the far system's books, as few numbers as tell each hook's effect: net, undone is as before.

        Money taken and not given back, points held, uses of coupons, articles in stock. They are compared before and
        after: a change that acts twice shows twice, an undo brings them back. A name that stands at 0 counts like one
        that is not there, and ``far.tally()`` leaves it out: ask it with ``get(name, 0)``. Requests of one hook are
        compared with one another, and must move the same names by the same numbers.
        """
        raise Missing(f"{type(self).__name__} needs tally(self, books): the numbers in GET /books that changes move")

    # -- what may be said --------------------------------------------------------------------------------------------

    def prepare(self, far: Far) -> None:
        """Bring a far system that has just started, or a place that is used again, to where requests can be made."""

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        """Settings that are well-formed and wrong, by what is wrong; ``check()`` must refuse each."""
        return {}

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        """Requests that the far system refuses for good, each with the reason expected (``DeclineReason`` value)."""
        return ()

    def ways(self, far: Far, hook: str) -> Mapping[str, Any]:
        """Other valid requests of a hook, which go another way at the far system, by name: a QR code beside a payment
        code. Each is done, asked about and undone once, and once its answer is lost; claims and faults are tried on the
        hook's own request."""
        return {}

    def trouble(self, far: Far, hook: str) -> Mapping[str, Any]:
        """Requests whose outcome the far system leaves open by itself, by name (a magic amount, a magic code)."""
        return {}

    def disturbances(self, far: Far, hook: str) -> Mapping[str, Callable[[], Any]]:
        """What else can be made to go wrong just before a call, by name: a lever that locks the database."""
        return {}

    def advance(self, far: Far) -> None:
        """Let happen what the far system does later by itself (a till that uploads, a customer who pays).

        ``far.asked`` is the change that is waited for, if there is one: let go on nothing but that, where others may
        still lie about from earlier trials.
        """

    def parsers(self) -> Iterable[tuple[Callable[[bytes], Any], bytes]]:
        """The plugin's parsers of what comes over the wire, each with a good example to spoil."""
        return ()

    def personal(self) -> Iterable[str]:
        """Values in the requests that must not be logged: phones, codes. Those of ``Secret`` fields are found."""
        return ()

    def books(self, far: Far) -> Mapping[str, Any]:
        """The far system's books; from its panel, or read back from a real system."""
        return far.panel_books() if far.foreign is None else far.foreign.books(far.place)

    # -- requests that fit most systems ------------------------------------------------------------------------------

    def stock_levels(self, far: Far) -> Any:
        return LevelsRequest(store_id=self.store_id)

    def stock_slots(self, far: Far) -> Any:
        return SlotsRequest(store_id=self.store_id, start=far.now(), end=far.now() + timedelta(hours=3))

    def catalogue_page(self, far: Far) -> Any:
        return CatalogueRequest(limit=20)

    def member_page(self, far: Far) -> Any:
        return MemberPageRequest()

    def statement(self, far: Far) -> StatementRequest:
        """The business date on which the suite's changes are booked.

        Close the day first where the system tells only closed ones (a lever of the simulator). Where a real system
        can't be made to, raise ``Missing("the day closes at 05:00")``: the statement is then not shown on that place.
        """
        return StatementRequest(business_date=far.site().business_date)

    def notice_follow(self, far: Far) -> Any:
        return NoticeFollow(deadline=far.now() + timedelta(seconds=20))

    # -- how the suite asks ------------------------------------------------------------------------------------------

    def request(self, hook: str, far: Far, made: Made | None = None) -> Any:
        """The request for a hook; ``made`` is what it follows. Raises :class:`Missing` with what to write."""
        own = getattr(self, hook, None)
        if made is not None and own is not None:
            return own(far, made)
        if made is not None and hook in DERIVED:
            return DERIVED[hook](made)
        if hook.endswith("_statement"):
            return self.statement(far)
        if own is not None and made is None:
            return own(far)
        raise Missing(f"{type(self).__name__} needs {hook}(self, far{', made' if made else ''}): a valid request")


def charge(far: Far, *, amount: int = 1200, method: Method = Method.PAYMENT_CODE, auth_code: Any = None) -> Charge:
    """A charge as the engine makes it, at ``far.site()``; ``auth_code``, a text or a ``Secret``, for a payment code."""
    from gateway.domain.common import Secret

    code = Secret(auth_code) if isinstance(auth_code, str) else auth_code
    return Charge(
        amount=amount,
        currency="CNY",
        method=method,
        order_no=far.number("WEB"),
        subject="鲜肉包 2 个",
        site=far.site(),
        auth_code=code,
    )


__all__ = ["BillLookup", "Made", "Missing", "Profile", "Site", "charge", "datetime"]
