"""Calls on shared ports, over real sockets; and what of aioice they rest on."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import cast

import numpy as np
import pytest
from aioice import Connection
from aioice.candidate import candidate_priority
from aiortc import RTCPeerConnection
from pyee import EventEmitter

import signaling.ice_mux
from media.frames import Samples
from signaling.caller import WebRtcCaller
from signaling.ice import connections, without_idle_candidates
from signaling.ice_mux import unsupported
from signaling.transport import Call
from signaling.webrtc import WebRtcSettings, WebRtcTransport
from tests.conftest import NothingLeft
from tests.signaling.ice_tcp import LOOPBACK, ActiveTcp, Ports, open_ports
from tests.signaling.speech import frames, speech

RATE = 24_000


class Ends:
    """A server's transport on shared ports and a caller, over TCP alone or over UDP alone."""

    input_rate = 16_000
    output_rate = RATE
    sequence = 0
    live = False
    due = 0.0  # there is always something to send

    def __init__(self, ports: Ports, *, tcp: bool) -> None:
        self.events = EventEmitter()
        self.changed = asyncio.Event()
        self.heard_by_server = self.heard_by_caller = 0
        self.transport = WebRtcTransport(
            cast(Call, self),
            WebRtcSettings(host_addresses=LOOPBACK),
            lambda *_: None,
            ports.mux,
        )
        voice = cycle(frames(speech(1.0, RATE, pitch=200), RATE))
        self.pull: Callable[[], Samples] = cycle(frames(speech(1.0, RATE), RATE)).__next__
        self.caller = WebRtcCaller(
            rate=RATE,
            pull=lambda: next(voice),
            receive=self._receive,
            receive_event=lambda event: None,
            addresses=LOOPBACK,
        )
        self.tcp = ActiveTcp(connections(self.caller._pc)[0]) if tcp else None

    async def connect(self) -> str:
        answer = await self.transport.answer(await self.caller.offer())
        await self.caller.accept(answer)
        await self.caller.connected.wait()
        return answer

    async def hear_each_other(self) -> None:
        """Both, from now on."""
        self.heard_by_server = self.heard_by_caller = 0
        while not (self.heard_by_server > 5 and self.heard_by_caller > 5):
            self.changed.clear()
            await self.changed.wait()

    async def close(self) -> None:
        await self.caller.close()
        await self.transport.close()

    def start(self) -> None: ...

    def receive_frame(self, samples: Samples) -> None:
        self.heard_by_server += bool(np.abs(samples).max() > 3000)
        self.changed.set()

    def _receive(self, samples: Samples) -> None:
        self.heard_by_caller += bool(np.abs(samples).max() > 3000)
        self.changed.set()


@asynccontextmanager
async def ends(ports: Ports, *, tcp: bool) -> AsyncIterator[Ends]:
    both = Ends(ports, tcp=tcp)
    try:
        yield both
    finally:
        await both.close()


class TestCalls:
    async def test_over_tcp_and_nothing_is_left(self, nothing_left: NothingLeft) -> None:
        async with nothing_left(), open_ports() as ports:
            async with ends(ports, tcp=True) as both:
                await both.connect()
                await both.hear_each_other()
                assert ports.tcp.connections == (1, 0)
                assert ports.mux.calls == 1
            assert ports.mux.calls == 0

    async def test_a_lost_connection_is_replaced(self) -> None:
        async with open_ports() as ports, ends(ports, tcp=True) as both:
            await both.connect()
            assert both.tcp is not None
            (connection,) = connections(both.transport._pc)
            for _ in range(3):
                await both.hear_each_other()
                await both.tcp.redial()
            await both.hear_each_other()
            assert not both.caller.closed.is_set()
            # In its place, or the call would have to be nominated again, which not all do.
            assert len(connection.remote_candidates) == 1

    async def test_over_one_udp_port(self, nothing_left: NothingLeft) -> None:
        async with nothing_left(), open_ports(udp=True) as ports:
            async with ends(ports, tcp=False) as one, ends(ports, tcp=False) as other:
                answer = await one.connect()
                await other.connect()
                await asyncio.gather(one.hear_each_other(), other.hear_each_other())
                host, port = ports.udp_address
                assert set(re.findall(r"a=candidate:\S+ 1 udp \d+ (.*) typ", answer)) == {
                    f"{host} {port}"
                }
                await one.close()
                await other.hear_each_other()
                assert ports.mux.calls == 1
            assert ports.mux.calls == 0

    async def test_tcp_comes_after_udp_and_is_passive(self) -> None:
        async with open_ports() as ports, ends(ports, tcp=False) as both:
            ports.mux.tcp += (("192.0.2.7", 443),)
            answer = await both.connect()
            found = re.findall(
                r"a=candidate:\S+ 1 (\w+) (\d+) (\S+) (\d+) typ host ?(.*)\r", answer
            )
            tcp = [line for line in found if line[0] == "tcp"]
            assert {line[2:] for line in tcp} == {
                (host, str(port), "tcptype passive") for host, port in ports.mux.tcp
            }
            priority = {(kind, host): int(number) for kind, number, host, _, _ in found}
            assert (
                priority["udp", "127.0.0.1"]
                > candidate_priority(1, "srflx")
                > priority["tcp", "127.0.0.1"]
                > priority["tcp", "192.0.2.7"]
                > candidate_priority(1, "relay")
            )

    async def test_an_offer_that_ends_its_candidates_without_one_is_answered(self) -> None:
        """aioice fails at once when it has nothing to check and more is not to come."""
        async with open_ports() as ports, ends(ports, tcp=True) as both:
            offer = await both.caller.offer()
            assert "a=end-of-candidates" in offer
            await both.caller.accept(await both.transport.answer(offer))
            await both.caller.connected.wait()


def test_candidates_that_only_delay_are_taken_from_the_offer() -> None:
    keep = (
        "v=0\r\na=candidate:1 1 udp 2113937151 192.0.2.1 5000 typ host\r\n"
        "a=candidate:2 1 UDP 2113937151 local.example 5000 typ host\r\nm=audio 9\r\n"
    )
    idle = (
        "a=candidate:3 1 udp 2113937151 3f1c-7a.local 5000 typ host generation 0\r\n"
        "a=candidate:4 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
        "a=candidate:5 1 TCP 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
        "a=end-of-candidates\r\n"
    )
    assert without_idle_candidates(idle + keep + idle) == keep
    assert without_idle_candidates((keep + idle.rstrip()).replace("\r", "")) == keep.replace(
        "\r", ""
    )


class TestUnsupported:
    async def test_what_is_installed_is_supported(self, nothing_left: NothingLeft) -> None:
        async with nothing_left():
            assert await unsupported() is None

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("_protocols", None),
            ("_nominated", None),
            ("data_received", None),
            ("get_component_candidates", None),
            ("local_password", "another"),
            ("request_received", lambda *_: None),
        ],
    )
    async def test_a_change_in_aioice_is_noticed(
        self, name: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def changed(pc: RTCPeerConnection) -> list[object]:
            return [Changed(connection, name, value) for connection in connections(pc)]

        monkeypatch.setattr(signaling.ice_mux, "connections", changed)
        assert await unsupported()


class Changed:
    """An aioice connection, one of whose attributes is another."""

    def __init__(self, connection: Connection, name: str, value: object) -> None:
        self.__dict__["_connection"] = connection
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._connection, name, value)
