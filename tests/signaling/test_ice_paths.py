"""Strangers on the shared ports, over real sockets, and limits, on virtual time."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest
from aioice import Candidate, Connection, stun
from aioice.ice import CandidatePair
from aiortc import RTCPeerConnection

from signaling.ice import connections
from signaling.ice_mux import IceMux
from signaling.ice_paths import BURST, IDLE_TIMEOUT, MAX_ADDRESSES, MAX_LEGS, RATE
from signaling.tcp_port import TcpPort
from tests.signaling.ice_tcp import (
    PEER,
    Line,
    attached,
    check,
    frame,
    message,
    open_ports,
    read_frame,
    rest,
    udp_socket,
)
from tests.virtual_time import settle, until

SHORT_PRIORITY = b"\x00\x24\x00\x02\x00\x00\x00\x00"  # two bytes of four


async def answered(one: socket.socket, request: bytes) -> stun.Message:
    """The next datagram, which answers this request."""
    one.send(request)
    response = stun.parse_message(await asyncio.get_running_loop().sock_recv(one, 2048))
    assert response.message_class == stun.Class.RESPONSE
    assert response.transaction_id == stun.parse_message(request).transaction_id
    return response


class TestStrangers:
    async def test_the_password_opens_the_port(self) -> None:
        async with open_ports() as ports, attached(ports.mux) as call:
            reader, writer = await asyncio.open_connection(*ports.tcp_address)
            request = check(call)
            writer.write(frame(request))
            response = stun.parse_message(await read_frame(reader))
            assert response.message_class == stun.Class.RESPONSE
            assert response.transaction_id == stun.parse_message(request).transaction_id
            assert response.attributes["XOR-MAPPED-ADDRESS"] == writer.get_extra_info("sockname")
            assert ports.tcp.connections == (1, 0)
            writer.close()

    @pytest.mark.parametrize(
        "first",
        [
            lambda call: frame(check(call, "x" * 22)),
            lambda call: frame(check(call, USERNAME="none:peer")),
            lambda call: frame(check(call, PRIORITY=None)),
            lambda call: frame(check(call, USERNAME=None)),
            lambda call: frame(check(call, SOFTWARE="s" * 548)),
            lambda call: frame(check(call)[:-1]),
            lambda call: frame(check(call) + bytes(4)),
            lambda call: frame(b"\1\1" + check(call)[2:]),
            lambda call: frame(bytes(20)),
            lambda call: frame(message(0x001, SHORT_PRIORITY)),
            lambda call: frame(b"\x80" + bytes(99)),
            lambda call: b"\0\x13" + bytes(19),
            lambda call: b"\xff\xff" + bytes(9),
            lambda call: b"GET / HTTP/1.1\r\n\r\n",
        ],
    )
    async def test_nothing_else_does(self, first: Callable[[Connection], bytes]) -> None:
        async with open_ports(udp=True) as ports, attached(ports.mux) as call:
            reader, writer = await asyncio.open_connection(*ports.tcp_address)
            writer.write(first(call))
            assert await rest(reader) == b""
            writer.close()
            with udp_socket(ports) as one:
                one.send(first(call)[2:])
                await answered(one, check(call))  # and nothing else was

    async def test_a_frame_that_is_too_long_ends_a_connection(self) -> None:
        async with open_ports() as ports, attached(ports.mux) as call:
            reader, writer = await asyncio.open_connection(*ports.tcp_address)
            writer.write(frame(check(call)) + frame(b"") + frame(b"\x80" + bytes(2047)))
            await read_frame(reader)
            writer.write(frame(check(call)))
            await read_frame(reader)
            writer.write(frame(b"\x80" + bytes(2048)))
            assert await rest(reader) == b""
            writer.close()

    @pytest.mark.parametrize("kind", [0x001, 0x011, 0x101, 0x111])
    async def test_a_caller_who_talks_nonsense_is_not_listened_to(self, kind: int) -> None:
        async with open_ports(udp=True) as ports, attached(ports.mux) as call:
            reader, writer = await asyncio.open_connection(*ports.tcp_address)
            writer.write(frame(check(call)))
            await read_frame(reader)
            with udp_socket(ports) as one:
                await answered(one, check(call))
                one.send(message(kind, SHORT_PRIORITY))
                await answered(one, check(call))
            writer.write(frame(message(kind, SHORT_PRIORITY)))
            writer.write(frame(check(call)))
            await read_frame(reader)
            writer.close()

    async def test_checks_without_a_priority_are_ignored(self) -> None:
        """aioice keeps the last hundred that come early, and fails at one of these."""
        async with open_ports() as ports, attached(ports.mux) as call:
            reader, writer = await asyncio.open_connection(*ports.tcp_address)
            writer.write(frame(check(call)))
            await read_frame(reader)
            for _ in range(101):
                writer.write(frame(check(call, PRIORITY=None)))
            writer.write_eof()
            await rest(reader)
            writer.close()
            await call.gather_candidates()
            connecting = asyncio.create_task(call.connect())
            await settle()
            assert not connecting.done()
            await call.close()
            with pytest.raises(ConnectionError):
                await connecting

    async def test_old_audio_is_lost_when_the_caller_does_not_take_it(self) -> None:
        """The kernel would keep megabytes of it: minutes."""
        async with open_ports() as ports, attached(ports.mux) as call:
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.setblocking(False)
                await asyncio.get_running_loop().sock_connect(slow, ports.tcp_address)
                reader, writer = await asyncio.open_connection(sock=slow, limit=1024)
                writer.write(frame(check(call)))
                await read_frame(reader)
                reader._transport.pause_reading()  # type: ignore[attr-defined]
                address = writer.get_extra_info("sockname")
                for _ in range(10_000):
                    await call._protocols[0].send_data(b"\x80" + bytes(99), address)
                await call._protocols[0].send_data(b"\x16" + bytes(99), address)
                reader._transport.resume_reading()  # type: ignore[attr-defined]
                received = 0
                while (await read_frame(reader))[:1] == b"\x80":
                    received += 1
                assert received < 400
                writer.close()

    async def test_a_call_that_is_over_is_a_stranger(self) -> None:
        async with open_ports(udp=True) as ports:
            with udp_socket(ports) as one:
                async with attached(ports.mux) as call:
                    reader, writer = await asyncio.open_connection(*ports.tcp_address)
                    writer.write(frame(check(call)))
                    await read_frame(reader)
                    await answered(one, check(call))
                assert await rest(reader) == b""
                writer.close()
                reader, writer = await asyncio.open_connection(*ports.tcp_address)
                writer.write(frame(check(call)))
                assert await rest(reader) == b""
                writer.close()
                one.send(check(call))
                async with attached(ports.mux) as other:
                    await answered(one, check(other))  # the address is free for the next call

    async def test_who_forges_an_address_cannot_take_a_call(self) -> None:
        async with (
            open_ports(udp=True) as ports,
            attached(ports.mux) as call,
            attached(ports.mux) as other,
        ):
            with udp_socket(ports) as one:
                await answered(one, check(call))
                one.send(check(other))
                await answered(one, check(call))

    async def test_calls_of_the_same_name_are_told_apart_by_password(self) -> None:
        async with open_ports() as ports, attached(ports.mux) as one:
            pc = RTCPeerConnection()
            pc.addTransceiver("audio")
            other = connections(pc)[0]
            other._local_username = one.local_username
            other.remote_username = PEER
            ports.mux.attach(pc)
            for call in (one, other):
                reader, writer = await asyncio.open_connection(*ports.tcp_address)
                writer.write(frame(check(call)))
                response = stun.parse_message(await read_frame(reader))
                assert response.check_message_integrity(call.local_password.encode())
                writer.close()
            await pc.close()
            assert ports.mux.calls == 1

    async def test_udp_addresses_of_a_call_are_limited(self) -> None:
        async with open_ports(udp=True) as ports, attached(ports.mux) as call:
            with ExitStack() as stack:
                sockets = [stack.enter_context(udp_socket(ports)) for _ in range(MAX_ADDRESSES + 1)]
                for one in sockets[:-1]:
                    await answered(one, check(call))
                sockets[-1].send(check(call))
                await answered(sockets[0], check(call))
                with pytest.raises(BlockingIOError):
                    sockets[-1].recv(2048)

    async def test_a_port_that_no_address_has(self) -> None:
        mux = IceMux()
        with pytest.raises(OSError, match=r"192\.0\.2\.1"):
            await mux.listen_udp(["192.0.2.1"], 0)
        assert not mux.has_udp
        await mux.listen_udp(["192.0.2.1", "127.0.0.1"], 0)
        assert mux.has_udp
        mux.close()


@pytest.mark.virtual_time
class TestLimits:
    async def test_an_idle_connection_is_closed(self) -> None:
        async with on_line() as (line, call):
            await until(IDLE_TIMEOUT - 1)
            line.feed(frame(check(call)))
            await until(IDLE_TIMEOUT + 1)
            assert not line.transport.closed
            await until(2 * IDLE_TIMEOUT)
            assert line.transport.closed

    async def test_a_drip_is_idle(self) -> None:
        async with on_line() as (line, _):
            line.feed(b"\x08\x00")
            while not line.transport.closed:
                line.feed(b"\0")
                await asyncio.sleep(1)
            assert asyncio.get_running_loop().time() == pytest.approx(IDLE_TIMEOUT, abs=1.1)

    async def test_a_flood_is_slowed_and_a_backlog_of_audio_is_not(self) -> None:
        async with on_line() as (line, call):
            for _ in range(10 * 50):  # ten seconds of audio, after a stall
                line.feed(frame(b"\x80" + bytes(99)))
            assert await self.taken(call, 500) == 0
            for _ in range(5000):
                line.feed(frame(b"\x80" + bytes(99)))
            units = 5500 * (1 + 102 / 500)
            assert await self.taken(call, 5000) == pytest.approx((units - BURST) / RATE, abs=0.2)

    @staticmethod
    async def taken(call: Connection, count: int) -> float:
        """How long it takes for that many datagrams to come through."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for _ in range(count):
            await call._queue.get()
        return loop.time() - begin

    async def test_a_call_has_some_connections_and_no_more(self) -> None:
        async with several(MAX_LEGS + 1) as (lines, _, _):
            assert [line.transport.closed for line in lines] == [False] * MAX_LEGS + [True]

    async def test_a_lost_one_makes_room(self) -> None:
        async with several(MAX_LEGS) as (lines, port, call):
            for number in range(1000):
                lines[-1].transport.close()
                await settle()
                lines[-1] = Line(50_000 + number)
                port.take(lines[-1].reader, lines[-1].writer)
                lines[-1].feed(frame(check(call)))
                await settle()
                assert not lines[-1].transport.closed
            assert len(call._early_checks) <= 100

    async def test_audio_that_would_be_late_is_not_sent(self) -> None:
        async with on_line() as (line, call):
            protocol = call._protocols[0]
            address = ("192.0.2.1", 40_000)
            line.transport.sent.clear()
            audio, control = b"\x80" + bytes(99), b"\x16" + bytes(99)  # RTP, DTLS
            line.transport.unsent = 64_000
            await protocol.send_data(audio, address)
            assert line.transport.sent == b""
            await protocol.send_data(control, address)
            assert line.transport.sent == frame(control)
            line.transport.unsent = 0
            await protocol.send_data(audio, address)
            assert line.transport.sent == frame(control) + frame(audio)
            line.transport.unsent = 1 << 20
            await protocol.send_data(control, address)
            assert line.transport.closed

    @pytest.mark.parametrize("silence", [2, 4])
    async def test_a_connection_that_only_seems_to_be_there_gives_way(self, silence: int) -> None:
        """A caller who changed networks calls again, and nobody ended the old connection."""
        async with several(1) as (lines, port, call):
            protocol, address = call._protocols[0], ("192.0.2.1", 40_000)
            remote = Candidate("c", 1, "udp", 1, *address, "prflx")
            call._nominated[1] = CandidatePair(protocol, remote)
            await until(silence)
            lines.append(Line(50_000))
            port.take(lines[1].reader, lines[1].writer)
            lines[1].feed(frame(check(call)))
            await settle()
            assert lines[0].transport.closed == (silence == 4)
            for line in lines:
                line.transport.sent.clear()
            await protocol.send_data(b"\x80", address)
            used = lines[1 if silence == 4 else 0]
            assert [bytes(line.transport.sent) for line in lines if line is used] == [
                frame(b"\x80")
            ]
            call._nominated.clear()

    async def test_what_a_lost_connection_was_to_carry_goes_by_another(self) -> None:
        async with several(2) as (lines, _, call):
            protocol = call._protocols[0]
            lines[0].transport.close()
            await settle()
            lines[1].transport.sent.clear()
            await protocol.send_data(b"\x80", ("192.0.2.1", 40_000))
            assert lines[1].transport.sent == frame(b"\x80")
            lines[1].transport.close()
            await settle()
            await protocol.send_data(b"\x80", ("192.0.2.1", 40_000))  # to nobody


@asynccontextmanager
async def several(count: int) -> AsyncIterator[tuple[list[Line], TcpPort, Connection]]:
    """Connections of one call, all with its password."""
    mux = IceMux()
    port = TcpPort(mux.accept, None)
    async with attached(mux) as call:
        lines = [Line(40_000 + number) for number in range(count)]
        for line in lines:
            port.take(line.reader, line.writer)
            line.feed(frame(check(call)))
            await settle()
        yield lines, port, call
    await port.close()
    assert all(line.transport.closed for line in lines)


@asynccontextmanager
async def on_line() -> AsyncIterator[tuple[Line, Connection]]:
    async with several(1) as (lines, _, call):
        yield lines[0], call
