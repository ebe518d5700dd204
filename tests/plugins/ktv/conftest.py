"""A running till on a real socket, and a client that knows nothing of the adapter."""

import contextlib
import itertools
import socket
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from gateway.sdk import (
    BillRef,
    Method,
    NotFound,
    NotSent,
    OrderLine,
    OrderPost,
    OutcomeUnknown,
    Query,
    SessionOpen,
    Site,
    TenderLine,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import build, call
from plugins.ktv import protocol as p
from plugins.ktv.adapter import KtvAdapter
from plugins.ktv.simulator import KtvSimulator


class Wire:
    """Bare requests to the till, each over a connection of its own."""

    def __init__(self, address):
        host, port = address.split(":")
        self.address = host, int(port)
        self.seq = 100

    def exchange(self, data, timeout=3.0):
        """All bytes the till answers until it closes or falls silent."""
        with socket.create_connection(self.address, timeout=timeout) as peer:
            peer.sendall(data)
            return self.frames(peer, 1)

    def frames(self, peer, count):
        reader, found = p.FrameReader(), []
        while len(found) < count:
            data = peer.recv(65536)
            if not data:
                break
            reader.feed(data)
            while (body := reader.take()) is not None:
                found.append(p.parse_reply(body))
        return found

    def ask(self, command, *fields):
        self.seq += 1
        (reply,) = self.exchange(p.encode_request(command, self.seq, fields))
        assert (reply.command, reply.seq) == (command, self.seq)
        return reply


class Shop:
    """The simulator, its faults and levers, and a bare client."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.address = simulator.start()["till"]
        self.wire = Wire(self.address)

    def fault(self, name, match="*", times=1, value=0):
        self.simulator.faults.set([Fault(name, match, times, value)])

    def no_faults(self):
        self.simulator.faults.set([])

    def quiet(self):
        """Wait until nothing is in flight any more: the queue is served, and what was put off has been done."""
        with socket.create_connection(self.wire.address, timeout=5) as peer:
            peer.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                peer.recv(1)
        self.simulator.calm()

    def books(self):
        return self.simulator.books()

    def do(self, name, **fields):
        return self.simulator.control({"do": name, **fields})


@pytest.fixture
def open_shop(tmp_path):
    """Start shops; a second one on the same folder has the first one's books."""
    started = []

    def build(folder="till", **options):
        shop = Shop(KtvSimulator(tmp_path / folder, {"idle_s": "0.3", **options}))
        started.append(shop.simulator)
        return shop

    yield build
    for simulator in started:
        simulator.stop()


@pytest.fixture
def shop(open_shop):
    """A shop on a Thursday evening, 2014-03-06 20:00."""
    return open_shop(clock="14-03-06 20:00:00")


KEY = "01JQZX7K3M9PABCDEFGHJKMN{:02d}"
TZ = timezone(timedelta(hours=8))


class Till:
    """The adapter at a shop, and the engine's manners in small: ask after what is unknown, send again what is gone."""

    def __init__(self, adapter, shop):
        self.adapter, self.shop = adapter, shop
        self.keys = itertools.count(1)

    def hurry(self, seconds):
        """From now on wait only so long for a command: the setting of an impatient shop."""
        self.adapter.client.line = replace(self.adapter.client.line, command_timeout=seconds)

    def site(self):
        return Site(store_id="s1", business_date=date(2026, 11, 22))

    def key(self):
        return KEY.format(next(self.keys))

    def once(self, hook, request, key=None, **options):
        return getattr(self.adapter, hook)(request, call(key or self.key(), **options))

    def settle(self, hook, request, seconds=1.0):
        """Send, ask, send again until the outcome is known; returns it, and how often it was sent."""
        key, journal, sent_at = self.key(), [], datetime.now(UTC)
        for attempt in range(1, 5):
            try:
                return self.once(hook, request, key, attempt=attempt, journal=journal, seconds=seconds), attempt
            except NotSent:
                assert attempt == 1 or not journal
                continue
            except OutcomeUnknown:
                self.shop.quiet()
            query = Query(hook=hook, key=key, request=request, sent_at=sent_at, steps=tuple(journal))
            answer = self.ask(query)
            if not isinstance(answer, NotFound):
                return answer, attempt
        raise AssertionError(f"{hook} never came to an end")

    def ask(self, query):
        """Ask until there is an answer: one that never came says nothing."""
        for _ in range(4):
            with contextlib.suppress(NotSent, OutcomeUnknown):
                return self.adapter.order_query(query)
        raise AssertionError("no answer to a question")

    def opening(self, room="801", package="TC03", minutes=180, **more):
        start = datetime.now(TZ)
        end = start + timedelta(minutes=minutes)
        named = {"site": self.site(), "resource_id": room, "resource_class": "S", "order_no": "A1", **more}
        return SessionOpen(start=start, end=end, package_sku=package, guests=4, **named)

    def open(self, room="801", package="TC03", minutes=180):
        return self.once("session_open", self.opening(room, package, minutes)).ref

    def sale(self, session, *amounts, bills=(), lines=(), discount=0, methods=(), points=0):
        methods = methods or (Method.CASH,) * len(amounts)
        tenders = tuple(
            TenderLine(tender_id=f"t{i}", method=method, amount=amount, channel="alipay")
            for i, (amount, method) in enumerate(zip(amounts, methods, strict=True))
        )
        total = sum(amounts)
        return OrderPost(
            order_no="A1", site=self.site(), currency="CNY", lines=tuple(lines), tenders=tenders, splits=(),
            gross_amount=total + discount + points, discount_amount=discount, payable_amount=total,
            sold_at=datetime.now(TZ), session_id=session, points_amount=points,
            bills=tuple(BillRef(bill_id=number, version="") for number in bills),
        )  # fmt: skip

    def drink(self, code="D001", quantity=1, amount=6800, **more):
        gross = int(quantity * amount)
        return OrderLine(
            line_id=code, sku=code, name=code, quantity=Decimal(quantity), unit_amount=amount, gross_amount=gross,
            discount_amount=0, net_amount=gross, **more,
        )  # fmt: skip

    def bill(self, number):
        return self.shop.books()["bills"][number]

    def paid(self, number):
        """The payments on a bill: tender, amount, and whether they carry a reference of ours."""
        return [(r["tender"], r["amount"]) for r in self.bill(number)["money"] if r["kind"] == "P"]


@pytest.fixture
def open_till(open_shop, tmp_path, monkeypatch):
    """An adapter at a shop whose clock is right."""
    monkeypatch.setenv("KTV_MANAGER", "668899")

    def start_till(options=None, **settings):
        shop = open_shop(**(options or {}))
        host, port = shop.address.split(":")
        named = {"host": host, "port": int(port), "store_id": "s1", "manager_code": "env:KTV_MANAGER"}
        quick = {"command_timeout_s": 1, "read_timeout_s": 2, "query_timeout_s": 2}
        return Till(build(KtvAdapter, {**named, **quick, **settings}, tmp_path), shop)

    return start_till


@pytest.fixture
def till(open_till):
    return open_till()
