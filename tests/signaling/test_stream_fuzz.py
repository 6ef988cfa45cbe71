"""Strangers who send anything at all, while a neighbour talks: he must not notice."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from signaling.channel import LENGTH_BYTES, ChannelClosed, TcpChannel
from signaling.packets import Kind, Packet, encode_packet
from tests.conftest import NothingLeft
from tests.signaling.live import Live, Person, converse, live

EXAMPLES = 150
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),  # to shrink would take longer than a test may
)

HELLO = {"type": "hello", "codec": "pcm16", "rate": 16_000}
OPUS_HELLO = {"type": "hello", "codec": "opus"}
ODD_HELLOS = st.fixed_dictionaries(
    {"type": st.just("hello"), "codec": st.sampled_from(["pcm16", "opus"])},
    optional={
        "rate": st.sampled_from([8000, 16_000, 24_000, 48_000, 44_100]),
        "resume": st.fixed_dictionaries(
            {"session_id": st.text(), "resume_token": st.text()},
            optional={"seq": st.integers(0, 9), "played": st.none() | st.just({"sequence": 3})},
        ),
    },
)
# Most must get as far as a call.
HELLOS = (
    st.integers(0, 7)
    .flatmap(lambda n: ODD_HELLOS if n == 0 else st.just(OPUS_HELLO if n < 3 else HELLO))
    .map(json.dumps)
)
TEXTS = st.sampled_from(
    [
        {"type": "ping", "t": 1.5},
        {"type": "interrupt"},
        {"type": "played", "sequence": 12},
        {"type": "played", "sequence": 2**32 - 1},
        {"type": "played", "timestamp": 12},
        {"type": "voice.set", "voice": {"name": "nobody"}},
        {"type": "hangup"},
        HELLO,
    ]
).map(json.dumps) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(
    lambda text: "{" + text
)
PAYLOADS = st.integers(0, 1500).map(lambda n: bytes(2 * n)) | st.binary(max_size=200)
PACKETS = st.builds(
    encode_packet,
    st.builds(
        Packet,
        st.sampled_from(Kind),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        PAYLOADS,
    ),
)
MESSAGES = st.lists(TEXTS | PACKETS | PACKETS | st.binary(max_size=40), min_size=3, max_size=15)


def framed(message: str | bytes) -> bytes:
    data = message.encode() if isinstance(message, str) else message
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What comes over TCP: messages, of which here and there bytes are changed, or anything."""
    data = bytearray(framed(draw(HELLOS)))
    for message in draw(MESSAGES):
        data += framed(message)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        if draw(st.booleans()):
            data[at] = draw(st.integers(0, 255))
        else:
            del data[at:]
            data += draw(st.binary(min_size=1, max_size=30))
    return bytes(data)


async def attack_tcp(server: Live, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.tcp_port)
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(10):
            while await reader.read(4096):
                pass
    except OSError:
        pass  # reset: one way to be told no
    finally:
        writer.transport.abort()


async def attack_websocket(server: Live, messages: list[str | bytes]) -> None:
    channel = await server.dial("websocket")
    try:
        for message in messages:
            await channel.send(message)
        await channel.send('{"type": "hangup"}')
        async with asyncio.timeout(10):
            while True:
                await channel.receive()
    except ChannelClosed:
        pass
    finally:
        await channel.close(1000)


async def undisturbed(
    attacks: Callable[[Callable[[Coroutine[Any, Any, None]], None], Live], None],
    caplog: pytest.LogCaptureFixture,
    nothing_left: NothingLeft,
) -> None:
    """Run `attacks` in a thread, which gets a way to run a coroutine here, beside a call that goes
    on all the while: nothing fails, nothing is missing in it, nothing stays behind.
    """
    loop = asyncio.get_running_loop()

    def here(attack: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(attack, loop).result(30)

    async with nothing_left(), live(resume_window=0.1, hello_timeout=0.5) as server:
        neighbour = Person(server)
        running = await neighbour.call("tcp")
        attacking = asyncio.create_task(asyncio.to_thread(attacks, here, server))
        rounds = 0
        while not attacking.done() or not rounds:
            await converse(neighbour, 0.6)
            rounds += 1
        await attacking
        await neighbour.peer.close()
        await running
        await server.no_call_left()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_anything_over_tcp(
    caplog: pytest.LogCaptureFixture, nothing_left: NothingLeft
) -> None:
    def attacks(here: Callable[[Coroutine[Any, Any, None]], None], server: Live) -> None:
        @bounded
        @given(streams())
        def attack(data: bytes) -> None:
            here(attack_tcp(server, data))

        @bounded
        @given(st.binary(max_size=300))
        def noise(data: bytes) -> None:
            here(attack_tcp(server, data))

        attack()
        noise()

    await undisturbed(attacks, caplog, nothing_left)


async def test_anything_over_a_websocket(
    caplog: pytest.LogCaptureFixture, nothing_left: NothingLeft
) -> None:
    def attacks(here: Callable[[Coroutine[Any, Any, None]], None], server: Live) -> None:
        @bounded
        @given(HELLOS, MESSAGES)
        def attack(hello: str, messages: list[str | bytes]) -> None:
            here(attack_websocket(server, [hello, *messages]))

        @bounded
        @given(MESSAGES)
        def noise(messages: list[str | bytes]) -> None:
            here(attack_websocket(server, messages))

        attack()
        noise()

    await undisturbed(attacks, caplog, nothing_left)


async def test_a_flood_does_not_disturb_a_neighbour(
    caplog: pytest.LogCaptureFixture, nothing_left: NothingLeft
) -> None:
    packet = encode_packet(Packet(Kind.PCM, 0, 0, bytes(1920)))  # 60 ms

    async def flood(server: Live, message: str | bytes) -> None:
        channel = await server.dial("tcp")
        try:
            await channel.send(json.dumps(HELLO))
            for _ in range(3000):  # let go before the end, or not listened to
                await channel.send(message)
        except ChannelClosed:
            pass
        finally:
            await channel.close()

    def attacks(here: Callable[[Coroutine[Any, Any, None]], None], server: Live) -> None:
        for message in (packet, '{"type": "ping", "t": 1}', '{"type": "what"}', b"\1"):
            here(flood(server, message))

    await undisturbed(attacks, caplog, nothing_left)


@pytest.mark.parametrize("after_hello", [False, True])
@pytest.mark.parametrize("transport", ["tcp", "websocket"])
async def test_who_dribbles_bytes_is_closed_in_time(
    transport: str, after_hello: bool, nothing_left: NothingLeft
) -> None:
    limits = {"hello_timeout": 0.3, "silence_timeout": 0.3}
    async with nothing_left(), live(resume_window=0.1, **limits) as server:
        channel = await server.dial(transport)
        if after_hello:
            await channel.send(json.dumps(HELLO))
        raw: Any = (
            channel._writer if isinstance(channel, TcpChannel) else channel._ws._conn.transport  # type: ignore[attr-defined]
        )
        ending = asyncio.create_task(until_closed(channel))
        # The beginning of a long message: on a WebSocket a masked one of 1000 bytes.
        head = framed(bytes(1000)) if transport == "tcp" else b"\x82\xfe\x03\xe8" + bytes(1000)
        for byte in head[:1000]:
            if ending.done():
                break
            raw.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert ending.done()
        await ending
        await channel.close()
        await server.no_call_left()


async def until_closed(channel: Any) -> None:
    try:
        while True:
            await channel.receive()
    except ChannelClosed:
        pass
