"""The client for programs against the real server: whole answers, interruptions, coming back."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from signaling.codec import Codec
from signaling.stream_caller import CallRefused
from tests.conftest import NothingLeft
from tests.signaling.live import Live, Noting, Person, converse, live
from tests.signaling.speech import likeness, speech

TRANSPORTS = ("tcp", "websocket")


async def side_by_side(*calls: Coroutine[Any, Any, None]) -> None:
    """Calls take as long as what is said in them: as many at once as there are kinds of them."""
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call)


async def test_calls_of_every_kind(nothing_left: NothingLeft) -> None:
    async def a_call(server: Live, transport: str, codec: Codec, rate: int) -> None:
        person = Person(server, rate, codec)
        running = await person.call(transport)
        started = person.events[0]
        assert (started["type"], started["transport"]) == ("session.started", transport)
        await converse(person, 0.8)
        await converse(person, 0.6)
        await person.peer.close()
        await running

    codecs: tuple[tuple[Codec, int], ...] = (("pcm16", 16_000), ("pcm16", 8000), ("opus", 24_000))
    async with nothing_left(), live() as server:
        await side_by_side(
            *(a_call(server, way, *codec) for way in TRANSPORTS for codec in codecs),
        )
        await server.no_call_left()


async def test_what_is_heard_is_what_was_said() -> None:
    async with live() as server:
        person = Person(server)
        running = await person.call("tcp")
        await converse(person, 1.0)
        await drained(person)
        heard, said = person.sound(), speech(1.0, 16_000)
        # With what is heard before the turn; 24 kHz in between.
        assert likeness(said, heard, longest_delay=1600) > 0.95
        await person.peer.close()
        await running


async def test_an_interruption_takes_effect_at_once() -> None:
    async def interrupted(server: Live, transport: str) -> None:
        person = Person(server)
        running = await person.call(transport)
        # Not in the voice of what is said next: that would be taken for an echo of the answer.
        person.say(speech(1.2, 16_000, pitch=210.0))
        await person.until("reply.started")
        await person.has_heard(20)
        person.peer.send({"type": "interrupt"})
        flush = await person.until("flush")
        ended = await person.until("reply.ended")
        assert ended["interrupted"]
        assert ended["seconds"] < 0.9
        assert max(person.audio) < flush["sequence"]
        assert not person.peer._frames  # thrown away unplayed
        played = person.peer._played  # what was taken back is not reported as still to be played
        assert played is not None
        assert played >= flush["sequence"]
        await converse(person, 0.8)
        await person.peer.close()
        await running

    async with live() as server:
        await side_by_side(*(interrupted(server, transport) for transport in TRANSPORTS))


async def test_the_answer_goes_on_after_the_connection_broke(nothing_left: NothingLeft) -> None:
    """As heard it has no frame twice and none too few."""

    async def resumed(server: Live, first: str, second: str) -> None:
        person = Person(server)
        running = await person.call(first)
        person.say(speech(1.5, 16_000))
        await person.until("reply.started")
        await person.has_heard(30)
        abort(person.channel)
        await running
        played = person.peer._played
        assert played is not None
        sent = len(person.audio)
        running = await person.call(second)
        resumed = await person.until("session.resumed")
        assert resumed["transport"] == second
        ended = await person.until("reply.ended")
        assert not ended["interrupted"]
        await drained(person)
        assert len(person.audio) > sent
        heard, whole = person.sound(), speech(1.5, 16_000)
        assert len(heard) / 16_000 == pytest.approx(1.5, abs=0.1)
        # A frame more or less, and its second half would lie elsewhere.
        assert likeness(whole, heard, longest_delay=1600) > 0.9
        await person.peer.close()
        await running

    async with nothing_left(), live() as server:
        await side_by_side(*(resumed(server, a, b) for a in TRANSPORTS for b in TRANSPORTS))
        await server.no_call_left()


async def drained(person: Person) -> None:
    """Until all that came is played."""
    while person.peer._frames or not person.silent:
        await asyncio.sleep(0.01)


def abort(channel: Noting | None) -> None:
    """Break the connection as a network does: without a word."""
    assert channel is not None
    inner = channel.channel
    if hasattr(inner, "_writer"):
        inner._writer.transport.abort()
    else:
        inner._ws._conn.transport.abort()  # type: ignore[attr-defined]


async def test_a_token_is_good_for_once() -> None:
    async with live() as server:
        person, thief = Person(server), Person(server)
        running = await person.call("tcp")
        thief.peer.bookmark.note(person.events[0])
        abort(person.channel)
        await running
        running = await person.call("tcp")
        await person.until("session.resumed")
        with pytest.raises(CallRefused, match="token"):
            await thief.peer.run(await server.dial("websocket"))
        await converse(person, 0.6)
        await person.peer.close()
        await running


async def test_a_session_that_is_over_is_not_resumed() -> None:
    async with live() as server:
        person = Person(server)
        running = await person.call("tcp")
        await person.peer.close()
        await running
        with pytest.raises(CallRefused, match="no such session"):
            await person.peer.run(await server.dial("tcp"))


async def test_a_caller_who_does_not_come_back_is_forgotten(nothing_left: NothingLeft) -> None:
    async with nothing_left(), live(resume_window=0.2) as server:
        person = Person(server)
        running = await person.call("tcp")
        abort(person.channel)
        await running
        assert len(server.calls) == 1
        await server.no_call_left()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_that_ends(transport: str, nothing_left: NothingLeft) -> None:
    async with nothing_left():
        async with live() as server:
            person = Person(server)
            running = await person.call(transport)
        await running
        assert person.peer.closed.is_set()


async def test_a_caller_who_reads_nothing_does_not_keep_the_server(
    nothing_left: NothingLeft,
) -> None:
    async with nothing_left(), live(silence_timeout=0.5) as server:
        channel = await server.dial("tcp")
        await channel.send('{"type": "hello", "codec": "pcm16", "rate": 24000}')
        await lost(server)
        await channel.close()


async def lost(server: Live) -> None:
    while not server.calls._lines:
        await asyncio.sleep(0.01)
    while server.calls._lines:
        await asyncio.sleep(0.01)
