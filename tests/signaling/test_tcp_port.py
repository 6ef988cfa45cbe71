"""One TCP port tells its callers apart, and does not wait for those who say nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from signaling import tcp_port
from signaling.tcp_port import TcpPort
from tests.conftest import NothingLeft
from tests.signaling.ice_tcp import Line, rest
from tests.virtual_time import settle, until

MEDIA = b"\x00\x14\x00\x01"  # a frame of 20 bytes, a binding request
CALL = b"\x00\x00\x00\x02"


class Taker:
    """Serves a kind of connections: proves them at the word "proof", and echoes in capitals."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        proven: Callable[[], None],
    ) -> None:
        self.heads.append(head)
        self.writers.append(writer)
        while (line := await reader.readline()) != b"end\n":
            if line == b"fail\n":
                raise ValueError("that was asked for")
            if not line:
                raise EOFError
            if line == b"proof\n":
                proven()
            writer.write(line.upper())


@asynccontextmanager
async def listening(port: TcpPort) -> AsyncIterator[int]:
    try:
        yield await port.start(["127.0.0.1"], 0)
    finally:
        await port.close()


async def test_a_free_port_is_free_at_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system chose for one address may be taken at the next: then it chooses again."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        asked: list[int] = []
        number = taken.getsockname()[1]

        def listen(family: int, address: tuple[str | int, ...]) -> socket.socket:
            asked.append(int(address[1]))
            first = len(asked) == 1
            return real(family, (address[0], number if first else address[1], *address[2:]))

        real = tcp_port._listen
        monkeypatch.setattr(tcp_port, "_listen", listen)
        listeners = tcp_port.bind(["127.0.0.1", "127.0.0.2"], 0)
        try:
            ports = {listener.getsockname()[1] for listener in listeners}
            assert asked[:3] == [0, number, 0]
            assert len(listeners) == 2
            assert len(ports) == 1
            assert ports != {number}
            with pytest.raises(OSError, match="in use"):
                tcp_port.bind(["127.0.0.2"], number)
        finally:
            for listener in listeners:
                listener.close()


async def test_the_first_bytes_tell_media_from_calls(nothing_left: NothingLeft) -> None:
    media, calls = Taker(), Taker()
    async with nothing_left(), listening(TcpPort(media, calls)) as number:
        for head in (MEDIA, CALL):
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(head[:1])
            await writer.drain()
            writer.write(head[1:] + b"hello\n")
            assert await reader.readline() == b"HELLO\n"
            writer.write(b"end\n")
            assert await rest(reader) == b""
            writer.close()
        assert (media.heads, calls.heads) == ([MEDIA], [CALL])


async def test_small_frames_are_not_held_back() -> None:
    media = Taker()
    async with listening(TcpPort(media, None)) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(MEDIA + b"hello\n")
        await reader.readline()
        accepted = media.writers[0].get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()


@pytest.mark.parametrize("head", [MEDIA, CALL])
async def test_what_is_not_served_is_closed(head: bytes, nothing_left: NothingLeft) -> None:
    async with nothing_left(), listening(TcpPort(None, None)) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(head)
        assert await rest(reader) == b""
        writer.close()


async def test_one_that_leaves_early_is_nothing_to_report(nothing_left: NothingLeft) -> None:
    port = TcpPort(Taker(), Taker())
    async with nothing_left(), listening(port) as number:
        for said in (b"", b"\0", MEDIA, CALL + b"proof\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(said)
            writer.close()
            await writer.wait_closed()
        while any(port.connections):
            await asyncio.sleep(0)


async def test_a_failure_ends_one_connection_and_is_logged(
    caplog: pytest.LogCaptureFixture, nothing_left: NothingLeft
) -> None:
    async with nothing_left(), listening(TcpPort(Taker(), None)) as number:
        other, still_there = await asyncio.open_connection("127.0.0.1", number)
        still_there.write(MEDIA)
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(MEDIA + b"fail\n")
        assert await rest(reader) == b""
        still_there.write(b"hello\n")
        assert await other.readline() == b"HELLO\n"
        writer.close()
        still_there.close()
    assert "that was asked for" in caplog.text


async def test_closing_ends_every_connection(nothing_left: NothingLeft) -> None:
    async with nothing_left():
        port = TcpPort(Taker(), Taker())
        number = await port.start(["127.0.0.1"], 0)
        ends = [await asyncio.open_connection("127.0.0.1", number) for _ in range(3)]
        for (_, writer), said in zip(ends, (b"", MEDIA + b"proof\n", CALL), strict=True):
            writer.write(said)
        assert await ends[1][0].readline() == b"PROOF\n"
        await port.close()
        for reader, writer in ends:
            assert await rest(reader) == b""
            writer.close()
        await port.close()
        with pytest.raises(OSError):  # noqa: PT011
            await asyncio.open_connection("127.0.0.1", number)


async def test_a_taken_port_is_known_at_once() -> None:
    async with listening(TcpPort(None, None)) as number:
        with pytest.raises(OSError, match="Address already in use"):
            await TcpPort(None, None).start(["127.0.0.1"], number)


@pytest.mark.virtual_time
@pytest.mark.parametrize("said", [b"", b"\0", MEDIA, MEDIA + b"hello\n", CALL + b"hello\n"])
async def test_a_stranger_has_five_seconds(said: bytes) -> None:
    port = TcpPort(Taker(), Taker())
    line = Line()
    port.take(line.reader, line.writer)
    line.feed(said)
    await until(4.99)
    assert not line.transport.closed
    await until(5.01)
    assert line.transport.closed
    assert port.connections == (0, 0)


@pytest.mark.virtual_time
async def test_byte_after_byte_gains_no_time() -> None:
    port = TcpPort(Taker(), Taker())
    line = Line()
    port.take(line.reader, line.writer)
    for byte in MEDIA + bytes(100):
        if not line.transport.closed:
            line.feed(bytes([byte]))
        await asyncio.sleep(0.1)
    assert line.transport.closed


@pytest.mark.virtual_time
@pytest.mark.parametrize("head", [MEDIA, CALL])
async def test_who_is_known_may_stay(head: bytes) -> None:
    port = TcpPort(Taker(), Taker())
    line = Line()
    port.take(line.reader, line.writer)
    line.feed(head + b"proof\n")
    await settle()
    assert port.connections == (1, 0)
    await until(3600)
    line.feed(b"hello\n")
    await settle()
    assert line.transport.sent.endswith(b"HELLO\n")
    await port.close()
    assert line.transport.closed


@pytest.mark.virtual_time
async def test_the_oldest_stranger_makes_room() -> None:
    port = TcpPort(Taker(), Taker(), max_strangers=3)
    known, *strangers = lines = [Line() for _ in range(5)]
    for line in lines:
        port.take(line.reader, line.writer)
        line.feed(MEDIA + (b"proof\n" if line is known else b""))
        await settle()
    assert [line.transport.closed for line in lines] == [False, True, False, False, False]
    assert port.connections == (4, 3)
    strangers[2].feed(b"proof\n")
    await until(6)
    assert [line.transport.closed for line in lines] == [False, True, True, False, True]
    await port.close()


@pytest.mark.virtual_time
async def test_a_crowd_at_one_time_leaves_nothing_open() -> None:
    port = TcpPort(Taker(), Taker(), max_strangers=3)
    lines = [Line() for _ in range(50)]
    for line in lines:
        port.take(line.reader, line.writer)
    await settle()
    assert sum(not line.transport.closed for line in lines) == 3
    await port.close()
    assert all(line.transport.closed for line in lines)
