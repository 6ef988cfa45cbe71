"""Who is let in, and that whoever goes, however, leaves nothing behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

from inference.host_link import HostProcess
from inference.hosted import HostedEngine
from inference.settings import EngineSettings
from media.frames import Samples, silence
from server.admission import CallRefused
from server.calls import Answer, CallExists, Calls, UnknownCall
from server.config import Config, ServerSettings
from server.session import SessionSettings
from signaling.caller import WebRtcCaller
from signaling.messages import HangUp
from signaling.webrtc import OfferError, WebRtcSettings, WebRtcTransport
from tests.any_load import ANY_LOAD
from tests.conftest import NothingLeft

LOOPBACK = ("127.0.0.1",)


def config(max_sessions: int = 4, resume_window: float = 30.0, **webrtc: Any) -> Config:
    return Config(
        server=ServerSettings(max_sessions=max_sessions),
        admission=ANY_LOAD,
        engine=EngineSettings(name="echo"),
        session=SessionSettings(resume_window=resume_window),
        webrtc=WebRtcSettings(host_addresses=LOOPBACK, tcp_port=None, **webrtc),
    )


@asynccontextmanager
async def server(settings: Config, nothing_left: NothingLeft) -> AsyncIterator[Calls]:
    """Calls with an engine; at the end everything but the engine must be gone."""
    engine = HostedEngine(HostProcess(settings.engine))
    engine.start()
    await engine.warm_up()
    try:
        async with nothing_left():
            calls = Calls(settings, engine)
            yield calls
            await calls.close()
            assert len(calls) == 0
            assert engine._sessions == {}
    finally:
        await engine.stop()


@asynccontextmanager
async def caller() -> AsyncIterator[WebRtcCaller]:
    def pull() -> Samples:
        return silence(480)

    peer = WebRtcCaller(
        rate=24_000,
        pull=pull,
        receive=lambda samples: None,
        receive_event=lambda event: None,
        addresses=LOOPBACK,
    )
    try:
        yield peer
    finally:
        await peer.close()


async def both_ends_are_up(calls: Calls, *peers: WebRtcCaller) -> None:
    """A server that hangs up before its own end is up has no way to say so."""
    for peer in peers:
        await peer.connected.wait()
    while not all(row["transport"] for row in calls.status()):
        await asyncio.sleep(0.005)


async def no_call_left(calls: Calls) -> None:
    while len(calls) or calls._closing:
        await asyncio.sleep(0.005)


async def test_a_call_from_offer_to_hang_up(nothing_left: NothingLeft) -> None:
    async with server(config(), nothing_left) as calls, caller() as peer:
        answer = await calls.offer(await peer.offer(), None, False)
        assert len(calls) == 1
        await peer.accept(answer.sdp)
        await both_ends_are_up(calls, peer)
        [row] = calls.status()
        assert row["session_id"] == answer.session_id
        assert row["transport"] == "webrtc"
        assert row["turns"] == 0
        await calls.hang_up(answer.pc_id)
        assert len(calls) == 0
        await peer.closed.wait()
        with pytest.raises(UnknownCall):
            await calls.hang_up(answer.pc_id)
        assert calls.metrics.sessions == 1


async def test_closing_ends_all_calls(nothing_left: NothingLeft) -> None:
    async with server(config(), nothing_left) as calls, caller() as one, caller() as other:
        for peer in (one, other):
            answer = await calls.offer(await peer.offer(), None, False)
            await peer.accept(answer.sdp)
        await both_ends_are_up(calls, one, other)
        await calls.close()
        await one.closed.wait()
        await other.closed.wait()


async def test_the_limit(nothing_left: NothingLeft) -> None:
    async with server(config(max_sessions=1), nothing_left) as calls, caller() as peer:
        offer = await peer.offer()
        results = await asyncio.gather(
            *(calls.offer(offer, None, False) for _ in range(5)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, CallRefused)]
        assert len(refused) == 4
        assert str(refused[0]) == "all 1 calls that this server takes at once are in use"
        assert calls.metrics.refused == {"full": 4}
        [taken] = [result for result in results if isinstance(result, Answer)]
        await calls.hang_up(taken.pc_id)
        next_one = await calls.offer(offer, None, False)
        assert next_one.pc_id != taken.pc_id
        assert next_one.session_id != taken.session_id


async def test_a_bad_offer_holds_nothing(nothing_left: NothingLeft) -> None:
    async with server(config(max_sessions=1), nothing_left) as calls, caller() as peer:
        for _ in range(3):
            with pytest.raises(OfferError):
                await calls.offer("v=0", None, False)
            await no_call_left(calls)
        await calls.offer(await peer.offer(), None, False)
        assert (len(calls), calls.metrics.sessions) == (1, 0)  # none was ever connected


async def test_a_second_offer_for_the_same_call(nothing_left: NothingLeft) -> None:
    async with server(config(max_sessions=1), nothing_left) as calls, caller() as peer:
        offer = await peer.offer()
        first = await calls.offer(offer, None, False)
        with pytest.raises(CallExists):
            await calls.offer(offer, first.pc_id, False)
        with pytest.raises(UnknownCall):
            await calls.offer(offer, "nobody", False)
        with pytest.raises(UnknownCall):
            await calls.offer(offer, "nobody", True)
        assert [row["session_id"] for row in calls.status()] == [first.session_id]
        other = await calls.offer(offer, first.pc_id, True)
        assert [row["session_id"] for row in calls.status()] == [other.session_id]
        assert other.session_id != first.session_id


async def test_half_open_and_vanished_calls_are_freed(nothing_left: NothingLeft) -> None:
    settings = config(connect_timeout=0.2, silence_timeout=0.4, resume_window=0.2)
    async with server(settings, nothing_left) as calls, caller() as peer, caller() as mute:
        await calls.offer(await peer.offer(), None, False)
        await no_call_left(calls)
        answer = await calls.offer(await mute.offer(), None, False)
        await mute.accept(answer.sdp)
        await mute.connected.wait()
        assert mute._voice
        mute._voice.close()
        while calls.status()[0]["transport"]:
            await asyncio.sleep(0.005)
        assert len(calls) == 1  # it may come back
        await no_call_left(calls)


async def test_a_call_that_ends_before_it_is_answered(
    nothing_left: NothingLeft, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = WebRtcTransport.answer

    async def answer_late(transport: WebRtcTransport, offer: str) -> str:
        sdp = await answer(transport, offer)
        await asyncio.sleep(0.1)  # addresses are slow to gather: a STUN server that is silent
        return sdp

    monkeypatch.setattr(WebRtcTransport, "answer", answer_late)
    async with server(config(connect_timeout=0.05), nothing_left) as calls, caller() as peer:
        with pytest.raises(CallRefused, match="ended before"):
            await calls.offer(await peer.offer(), None, False)
        await no_call_left(calls)
        assert calls.status() == []


async def test_an_offer_that_is_broken_off_holds_nothing(
    nothing_left: NothingLeft, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    async def never_answer(transport: WebRtcTransport, offer: str) -> str:
        reached.set()
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(WebRtcTransport, "answer", never_answer)
    async with server(config(max_sessions=1), nothing_left) as calls, caller() as peer:
        offering = asyncio.create_task(calls.offer(await peer.offer(), None, False))
        await reached.wait()
        offering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await offering
        await no_call_left(calls)


async def test_a_hang_up_that_is_broken_off_is_carried_out(nothing_left: NothingLeft) -> None:
    async with server(config(), nothing_left) as calls, caller() as peer:
        answer = await calls.offer(await peer.offer(), None, False)
        hanging_up = asyncio.create_task(calls.hang_up(answer.pc_id))
        await asyncio.sleep(0)
        hanging_up.cancel()
        await asyncio.gather(hanging_up, return_exceptions=True)
        await no_call_left(calls)


async def test_hanging_up_twice_at_once_is_hanging_up(nothing_left: NothingLeft) -> None:
    """Two messages in one packet, and the connection's own end: one of them does it."""
    async with server(config(), nothing_left) as calls, caller() as peer:
        answer = await calls.offer(await peer.offer(), None, False)
        session = calls._sessions[answer.session_id]
        session.receive_message(HangUp())
        session.receive_message(HangUp())
        assert len(calls) == 0
        with pytest.raises(UnknownCall):
            await calls.hang_up(answer.pc_id)
        await no_call_left(calls)


async def test_a_transport_that_does_not_close_well_still_frees_the_engine(
    nothing_left: NothingLeft, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    close = WebRtcTransport.close

    async def close_badly(transport: WebRtcTransport, replaced: bool = False) -> None:
        await close(transport)
        raise RuntimeError("oops")

    monkeypatch.setattr(WebRtcTransport, "close", close_badly)
    async with server(config(), nothing_left) as calls, caller() as peer:
        answer = await calls.offer(await peer.offer(), None, False)
        await calls.hang_up(answer.pc_id)
    assert "oops" in caplog.text


async def test_without_an_engine_calls_are_refused() -> None:
    async with server(config(), nullcontext) as calls, caller() as peer:
        pid = calls._engine.pid
        assert pid is not None
        answer = await calls.offer(await peer.offer(), None, False)
        os.kill(pid, signal.SIGKILL)
        while calls._engine.ready:
            await asyncio.sleep(0.001)
        with pytest.raises(CallRefused, match="starting"):
            await calls.offer(await peer.offer(), None, False)
        [row] = calls.status()
        assert row["session_id"] == answer.session_id  # the call outlives the host
        await calls._engine.warm_up()


async def test_candidates_for_nobody(nothing_left: NothingLeft) -> None:
    async with server(config(), nothing_left) as calls:
        with pytest.raises(UnknownCall):
            await calls.add_candidate("nobody", "", "0", None)
