"""Messages over real sockets: framed, bounded, and with an end that says who ended it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from signaling.channel import LENGTH_BYTES, UNSENT_BYTES, ChannelClosed, TcpChannel
from signaling.packets import MAX_MESSAGE
from signaling.websocket import WebSocketChannel, accept_websocket
from tests.conftest import NothingLeft

TEXT = '{"type": "hello"}'
PACKET = b"\1\0\0\0" + bytes(600)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


@asynccontextmanager
async def pair(head: int = 0) -> AsyncIterator[tuple[TcpChannel, socket.socket]]:
    """A channel, and the bare socket at its other end; the channel was given `head` bytes read."""
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda r, w: accepted.set_result((r, w)), "127.0.0.1", 0)
    other = socket.socket()
    other.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(other, server.sockets[0].getsockname())
    reader, writer = await accepted
    if head:
        await loop.sock_sendall(other, framed(PACKET))
    channel = TcpChannel(reader, writer, await reader.readexactly(head) if head else b"")
    try:
        yield channel, other
    finally:
        other.close()
        await channel.close()
        server.close()
        await server.wait_closed()


async def put(other: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(other, data)


class TestTcp:
    @pytest.mark.parametrize("head", [0, 4])
    async def test_both_ways(self, head: int, nothing_left: NothingLeft) -> None:
        async with nothing_left(), pair(head) as (channel, other):
            if head:
                assert await channel.receive() == PACKET
            await put(other, framed(TEXT.encode()) + framed(PACKET) + framed("{వాణి".encode()))
            assert await channel.receive() == TEXT
            assert await channel.receive() == PACKET
            assert await channel.receive() == "{వాణి"
            await channel.send(TEXT)
            await channel.send(PACKET)
            expected = framed(TEXT.encode()) + framed(PACKET)
            got = b""
            while len(got) < len(expected):
                got += await asyncio.get_running_loop().sock_recv(other, 4096)
            assert got == expected

    async def test_bytes_may_come_one_by_one(self) -> None:
        async with pair() as (channel, other):
            receiving = asyncio.create_task(channel.receive())
            for byte in framed(TEXT.encode()):
                assert not receiving.done()
                await put(other, bytes([byte]))
                await asyncio.sleep(0)
            assert await receiving == TEXT

    async def test_the_longest_message(self) -> None:
        async with pair() as (channel, other):
            longest = b"\1" + bytes(MAX_MESSAGE - 1)
            sending = asyncio.create_task(put(other, framed(longest)))
            assert await channel.receive() == longest
            await sending

    @pytest.mark.parametrize("length", [0, MAX_MESSAGE + 1, 2**31, 2**32 - 1])
    async def test_a_length_that_is_none(self, length: int) -> None:
        async with pair() as (channel, other):
            await put(other, length.to_bytes(LENGTH_BYTES, "big") + b"{}")
            with pytest.raises(ChannelClosed) as caught:
                await channel.receive()
            assert not caught.value.hung_up
            assert f"of {length} bytes" in str(caught.value)

    async def test_a_text_that_is_not_utf8(self) -> None:
        async with pair() as (channel, other):
            await put(other, framed(b"{\xff"))
            with pytest.raises(ChannelClosed, match="UTF-8"):
                await channel.receive()

    @pytest.mark.parametrize("data", [b"", b"\0\0", framed(PACKET)[:-1]])
    async def test_an_end_at_any_place(self, data: bytes, nothing_left: NothingLeft) -> None:
        async with nothing_left(), pair() as (channel, other):
            await put(other, data)
            other.close()
            with pytest.raises(ChannelClosed) as caught:
                await channel.receive()
            assert not caught.value.hung_up

    async def test_a_reset(self, nothing_left: NothingLeft) -> None:
        async with nothing_left(), pair() as (channel, other):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *bytes(7)]))
            other.close()
            with pytest.raises(ChannelClosed):
                await channel.receive()
            with pytest.raises(ChannelClosed):
                await send_for_ever(channel)

    async def test_a_peer_that_does_not_read(self, nothing_left: NothingLeft) -> None:
        """Sending waits, little is held that could not be thrown away, and then it goes on."""
        async with nothing_left(), pair() as (channel, other):
            await fill(channel)
            assert channel._writer.transport.get_write_buffer_size() <= UNSENT_BYTES
            sending = asyncio.create_task(channel.send(PACKET))
            while not sending.done():
                await asyncio.get_running_loop().sock_recv(other, 1 << 16)
            await sending

    async def test_closing_waits_for_nobody_who_does_not_read(
        self, nothing_left: NothingLeft
    ) -> None:
        async with nothing_left(), pair() as (channel, _other):
            await fill(channel)
            await asyncio.gather(channel.close(), channel.close())
            await channel.close()  # harmless
            with pytest.raises(ChannelClosed):
                await send_for_ever(channel)


async def send_for_ever(channel: TcpChannel | WebSocketChannel) -> None:
    async for _ in sends(channel):
        pass


async def sends(channel: TcpChannel | WebSocketChannel) -> AsyncIterator[int]:
    """Send packets, counting them."""
    for number in count(1):
        await channel.send(PACKET)
        yield number
        await asyncio.sleep(0)


async def fill(channel: TcpChannel | WebSocketChannel) -> None:
    """Send until the connection takes no more."""
    packets = sends(channel)
    while True:
        try:
            async with asyncio.timeout(0.3):  # a hundred times what a packet takes
                await anext(packets)
        except TimeoutError:
            return


Serve = Callable[[WebSocketChannel], Awaitable[None]]


@asynccontextmanager
async def websocket(serve: Serve) -> AsyncIterator[ClientWebSocketResponse]:
    """The client's end of a WebSocket whose other end `serve` has."""
    done = asyncio.Event()
    failed: list[BaseException] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        ws, channel = await accept_websocket(request)
        try:
            await serve(channel)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            done.set()
        return ws

    app = web.Application()
    app.router.add_get("/", handle)
    async with served(app) as url, ClientSession() as http:
        yield await http.ws_connect(url)
        await done.wait()
    if failed:
        raise failed[0]


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """The URL of this application, served as `run.py serve` does it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class TestWebSocket:
    async def test_both_ways(self, nothing_left: NothingLeft) -> None:
        async def serve(channel: WebSocketChannel) -> None:
            assert await channel.receive() == TEXT
            assert await channel.receive() == PACKET
            await channel.send(TEXT)
            await channel.send(PACKET)
            await channel.close(4000, "moved")
            await channel.close()  # harmless
            with pytest.raises(ChannelClosed):
                await channel.send(TEXT)

        async with nothing_left(), websocket(serve) as ws:
            await ws.send_str(TEXT)
            await ws.send_bytes(PACKET)
            assert (await ws.receive()).data == TEXT
            assert (await ws.receive()).data == PACKET
            end = await ws.receive()
            assert (end.type, end.data, end.extra) == (WSMsgType.CLOSE, 4000, "moved")

    @pytest.mark.parametrize(
        ("code", "hung_up"), [(1000, True), (1001, True), (3000, False), (4000, False)]
    )
    async def test_the_code_tells_who_hung_up(self, code: int, hung_up: bool) -> None:
        ends: list[ChannelClosed] = []

        async def serve(channel: WebSocketChannel) -> None:
            with pytest.raises(ChannelClosed) as caught:
                await channel.receive()
            ends.append(caught.value)

        async with websocket(serve) as ws:
            await ws.close(code=code)
        assert [(end.code, end.hung_up) for end in ends] == [(code, hung_up)]

    async def test_a_peer_that_vanishes_has_not_hung_up(self) -> None:
        ends: list[ChannelClosed] = []

        async def serve(channel: WebSocketChannel) -> None:
            with pytest.raises(ChannelClosed) as caught:
                await channel.receive()
            ends.append(caught.value)
            with pytest.raises(ChannelClosed):
                await channel.send(TEXT)

        async with websocket(serve) as ws:
            assert ws._conn is not None
            assert ws._conn.transport is not None
            ws._conn.transport.abort()
        assert [end.hung_up for end in ends] == [False]

    async def test_the_longest_message(self) -> None:
        async def serve(channel: WebSocketChannel) -> None:
            assert await channel.receive() == bytes(MAX_MESSAGE)

        async with websocket(serve) as ws:
            await ws.send_bytes(bytes(MAX_MESSAGE))

    @pytest.mark.parametrize("text", [True, False])
    async def test_a_message_that_is_too_long(self, text: bool) -> None:
        ends: list[ChannelClosed] = []

        async def serve(channel: WebSocketChannel) -> None:
            with pytest.raises(ChannelClosed) as caught:
                await channel.receive()
            ends.append(caught.value)

        async with websocket(serve) as ws:
            if text:
                await ws.send_str("{" * (MAX_MESSAGE + 1))
            else:
                await ws.send_bytes(bytes(MAX_MESSAGE + 1))
            assert (await ws.receive()).data == 1009
        assert [end.hung_up for end in ends] == [False]

    async def test_a_peer_that_does_not_read(self, nothing_left: NothingLeft) -> None:
        async def serve(channel: WebSocketChannel) -> None:
            transport = channel._ws._req.transport  # type: ignore[union-attr]
            assert transport is not None
            await fill(channel)
            assert transport.get_write_buffer_size() <= UNSENT_BYTES
            async with asyncio.timeout(10):  # closing waits for nobody who does not read
                await channel.close()
                await channel.close()

        async with nothing_left(), websocket(serve) as ws:
            assert ws._conn is not None
            assert ws._conn.transport is not None
            ws._conn.transport.pause_reading()

    async def test_what_is_no_websocket(self) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            ws, _ = await accept_websocket(request)
            return ws

        app = web.Application()
        app.router.add_get("/", handle)
        async with served(app) as url, ClientSession() as http, http.get(url) as response:
            assert response.status == 400
