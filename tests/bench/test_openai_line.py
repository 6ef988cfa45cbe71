"""A caller over OpenAI's Realtime protocol, against a server of a few lines on loopback."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import WSMsgType, web

from bench.bargein.openai_line import KEY, SESSION, Playout, connect_openai
from bench.caller import RATE, Caller
from bench.dial import CallFailed
from media.frames import Samples, frame_length
from tests.conftest import NothingLeft

FRAME = frame_length(RATE)
GA = "response.output_audio"
BETA = "response.audio"


def sound(frames: float, value: int = 5000) -> Samples:
    return np.full(round(frames * FRAME), value, dtype=np.int16)


class FakeServer:
    """Answers each of the caller's turns with the next of `answers`, all of it at once.

    A loud frame begins a turn, ten silent ones end it. An answer is cancelled by a turn that begins
    in it, and as on a real server, some of it is still on its way then.
    """

    def __init__(self, *answers: Samples, deltas: str = GA) -> None:
        self.answers = list(answers)
        self.deltas = deltas
        self.heard: list[Samples] = []
        self.sent: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.query: dict[str, str] = {}
        self.on_session: dict[str, Any] = {"type": "session.updated"}
        self.on_truncate: dict[str, Any] | None = None
        self.url = ""
        self._item = 0

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        self.headers, self.query = dict(request.headers), dict(request.query)
        self.ws = ws = web.WebSocketResponse()
        await ws.prepare(request)
        await self.say("session.created")
        speaking, quiet = False, 0
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                break
            event = json.loads(message.data)
            if event["type"] != "input_audio_buffer.append":
                await self._obey(event)
                continue
            frame = np.frombuffer(b64decode(event["audio"]), "<i2")
            self.heard.append(frame)
            quiet = 0 if frame.any() else quiet + 1
            if frame.any() and not speaking:
                speaking = True
                await self.say("input_audio_buffer.speech_started", audio_start_ms=0)
                await self._delta(sound(5))
                await self.say("response.done")
            elif speaking and quiet == 10:
                speaking = False
                await self.say("input_audio_buffer.speech_stopped", audio_end_ms=0)
                await self._answer()
        return ws

    async def _obey(self, event: dict[str, Any]) -> None:
        self.sent.append(event)
        if event["type"] == "session.update":
            await self.ws.send_json(self.on_session)
        elif event["type"] == "conversation.item.truncate" and self.on_truncate:
            await self.ws.send_json(self.on_truncate | {"event_id": "e"})

    async def _answer(self) -> None:
        if not self.answers:
            return
        self._item += 1
        answer = self.answers.pop(0)
        for part in np.array_split(answer, 7):  # which are no whole frames
            await self._delta(part)
        await self.say(f"{self.deltas}.done", item_id=f"item_{self._item}")

    async def _delta(self, samples: Samples) -> None:
        if self._item:
            await self.say(
                f"{self.deltas}.delta",
                item_id=f"item_{self._item}",
                content_index=0,
                delta=b64encode(samples.astype("<i2").tobytes()).decode(),
            )

    async def say(self, kind: str, **fields: object) -> None:
        await self.ws.send_json({"type": kind, **fields})


@asynccontextmanager
async def serving(
    handle: Callable[[web.Request], Any], path: str = "/v1/realtime"
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get(path, handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def speak(caller: Caller, frames: int = 3) -> None:
    caller.mouth.say(sound(frames))
    await caller.mouth.quiet.wait()


def heard(caller: Caller) -> Samples:
    recording = caller.ear.recording()
    audible: Samples = recording[recording != 0]
    return audible


async def hears(caller: Caller, samples: int) -> None:
    await caller.until(lambda: len(heard(caller)) >= samples, 10, "nothing was heard")


def types(caller: Caller) -> list[str]:
    return [event["type"] for _, event in caller.events]


@pytest.mark.parametrize("deltas", [GA, BETA])
async def test_an_answer_is_cut_where_it_was_heard(deltas: str, nothing_left: NothingLeft) -> None:
    server = FakeServer(sound(500), sound(12.5, 7000), deltas=deltas)
    async with nothing_left(), serving(server.handle) as url:
        async with connect_openai(f"{url}/v1/realtime?model=parrot-1") as caller:
            await speak(caller)
            await hears(caller, 10 * FRAME)
            await speak(caller)
            await caller.until(lambda: 7000 in heard(caller), 10, "no second answer")
            await hears(caller, int((heard(caller) == 5000).sum()) + round(12.5 * FRAME))
        assert caller.setup_seconds > 0
    [update, truncate] = server.sent
    assert server.query == {"model": "parrot-1"}
    assert update == {"type": "session.update", "session": SESSION}
    # 10 s came at once; what was heard is what the server is told was heard, to the frame.
    before = heard(caller) == 5000
    assert 10 * FRAME <= before.sum() < 200 * FRAME
    assert truncate.pop("event_id")
    assert truncate == {
        "type": "conversation.item.truncate",
        "item_id": "item_1",
        "content_index": 0,
        "audio_end_ms": round(1000 * before.sum() / RATE),
    }
    assert (heard(caller)[before.sum() :] == 7000).all()
    assert "input_audio_buffer.speech_started" in types(caller)
    assert not any(kind.endswith(".delta") for kind in types(caller))
    said = np.concatenate(server.heard)
    assert np.count_nonzero(said) == 2 * 3 * FRAME
    assert len(said) > len(heard(caller))


async def test_an_answer_that_was_heard_is_not_truncated() -> None:
    server = FakeServer(sound(4), sound(4, 7000))
    async with serving(server.handle) as url, connect_openai(url) as caller:
        await speak(caller)
        await hears(caller, 4 * FRAME)
        await speak(caller)
        await hears(caller, 8 * FRAME)
    assert [event["type"] for event in server.sent] == ["session.update"]


async def test_a_server_may_find_a_truncation_wrong() -> None:
    server = FakeServer(sound(500), sound(4, 7000))
    wrong = {"message": "already shorter", "event_id": "truncate_0"}
    server.on_truncate = {"type": "error", "error": wrong}
    async with serving(server.handle) as url, connect_openai(url) as caller:
        await speak(caller)
        await hears(caller, 2 * FRAME)
        await speak(caller)
        await caller.until(lambda: 7000 in heard(caller), 10, "no second answer")
        assert "error" in types(caller)


async def test_the_key_is_sent_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer()
    monkeypatch.setenv(KEY, "sk-secret")
    async with serving(server.handle) as url:
        async with connect_openai(f"{url}?model=m"):
            assert server.headers["Authorization"] == "Bearer sk-secret"
        monkeypatch.delenv(KEY)
        async with connect_openai(f"{url}?model=m"):
            assert "Authorization" not in server.headers


async def test_a_call_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=401)

    monkeypatch.setenv(KEY, "sk-secret")
    async with serving(refuse) as url:
        with pytest.raises(CallFailed) as caught:
            async with connect_openai(f"{url}/v1/realtime?model=m&secret=s"):
                pass
    assert str(caught.value) == f"{url}/v1/realtime refused the call with HTTP 401"
    assert "sk-secret" not in repr(caught.value)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/v1/realtime", "ws://[", "ftp://x", "ws://"])
async def test_a_server_that_is_not_there(url: str) -> None:
    with pytest.raises(CallFailed, match=r"^(ws|ftp)://"):
        async with connect_openai(url):
            pass


async def test_a_session_that_is_refused() -> None:
    server = FakeServer()
    server.on_session = {"type": "error", "error": {"code": "x", "message": "no such voice"}}
    async with serving(server.handle) as url:
        with pytest.raises(CallFailed, match=r"sent an error: no such voice$"):
            async with connect_openai(url):
                pytest.fail("the call is not up")


async def end(server: FakeServer) -> None:
    await server.ws.close(code=4001, message=b"session expired")


async def fail(server: FakeServer) -> None:
    await server.say("error", error={"code": "server_error", "event_id": "another"})


async def babble(server: FakeServer) -> None:
    await server.ws.send_str("[1, 2")


async def bad_audio(server: FakeServer) -> None:
    await server.say(f"{GA}.delta", item_id="i", delta="%%%")


@pytest.mark.parametrize(
    ("happens", "told"),
    [
        (end, r"ended the call: session expired \(4001\)$"),
        (fail, "sent an error: server_error$"),
        (babble, "no Realtime event"),
        (bad_audio, "no Realtime event"),
    ],
)
async def test_a_call_that_breaks_says_why(
    happens: Callable[[FakeServer], Any], told: str, nothing_left: NothingLeft
) -> None:
    server = FakeServer()

    async def call(url: str) -> None:
        async with connect_openai(url) as caller:
            breaking = asyncio.create_task(happens(server))
            try:
                await caller.until(lambda: False, 30, "the call did not break")
            finally:
                await breaking

    async with nothing_left(), serving(server.handle) as url:
        with pytest.raises(CallFailed, match=told):
            await call(url)


ONE, TWO = ("one", 0), ("two", 0)


def pcm(frames: float, value: int = 1) -> bytes:
    return sound(frames, value).astype("<i2").tobytes()


def test_what_comes_in_odd_pieces_is_played_whole() -> None:
    playout = Playout()
    samples = np.arange(1, 2 * FRAME + 11, dtype=np.int16)
    data = samples.astype("<i2").tobytes()
    for piece in (data[:3], data[3:1001], data[1001:]):
        playout.add(ONE, piece)
    playout.end()
    played = np.concatenate([playout.next() for _ in range(3)])
    np.testing.assert_array_equal(played[: len(samples)], samples)
    assert not played[len(samples) :].any()
    assert not playout.next().any()
    assert playout.cut() is None


def test_answers_follow_one_another_and_are_cut_together() -> None:
    playout = Playout()
    playout.add(ONE, pcm(2.5))
    playout.add(TWO, pcm(2, 2))
    assert [int(playout.next().max()) for _ in range(4)] == [1, 1, 1, 2]
    assert playout.cut() == (TWO, 0.02)
    playout.add(TWO, pcm(2, 2))  # late
    assert not playout.next().any()
    playout.add(("three", 0), pcm(1, 3))
    assert playout.next().max() == 3


def test_an_answer_that_is_late_is_cut_all_the_same() -> None:
    playout = Playout()
    playout.add(ONE, pcm(1))
    assert playout.next().any()
    assert not playout.next().any()  # there is more to come, but it is not here
    assert playout.cut() == (ONE, 0.02)
    playout.add(ONE, pcm(5))
    assert not playout.next().any()


def test_an_answer_that_was_not_begun_is_cut_at_its_beginning() -> None:
    playout = Playout()
    playout.add(ONE, pcm(0.5))
    assert playout.cut() == (ONE, 0.0)
    assert playout.cut() is None
