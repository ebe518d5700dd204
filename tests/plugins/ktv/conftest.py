"""A running till on a real socket, and a client that knows nothing of the adapter."""

import socket

import pytest

from gateway.sdk.simulator import Fault, start
from plugins.ktv import protocol as p
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

    def __init__(self, running):
        self.running = running
        self.simulator = running.simulator
        self.address = running.addresses["till"]
        self.wire = Wire(self.address)

    def fault(self, name, match="*", times=1, value=0):
        self.simulator.faults.set([Fault(name, match, times, value)])

    def no_faults(self):
        self.simulator.faults.set([])

    def books(self):
        return self.simulator.books()

    def do(self, name, **fields):
        return self.simulator.control({"do": name, **fields})


@pytest.fixture
def open_shop(tmp_path):
    """Start shops; a second one on the same folder has the first one's books."""
    started = []

    def build(folder="till", **options):
        running = start(KtvSimulator(tmp_path / folder, {"idle_s": "0.3", **options}))
        started.append(running)
        return Shop(running)

    yield build
    for running in started:
        running.stop()


@pytest.fixture
def shop(open_shop):
    """A shop on a Thursday evening, 2014-03-06 20:00."""
    return open_shop(clock="14-03-06 20:00:00")
