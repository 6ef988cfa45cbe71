"""Calls over real WebSockets, TCP and WebRTC at a real server, and sessions that change over."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import numpy as np
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from inference.hosted import HostedEngine
from inference.settings import EngineSettings
from media.frames import Samples, silence
from media.vad import VadSettings
from server.app import CALLS, ENGINE, PORTS, make_app
from server.config import Config, ServerSettings
from server.session import SessionSettings
from signaling.caller import WebRtcCaller
from signaling.channel import Channel
from signaling.stream import StreamSettings
from signaling.stream_caller import CallRefused, StreamCaller, dial_tcp
from signaling.webrtc import WebRtcSettings
from signaling.websocket import WebSocketChannel
from tests.any_load import ANY_LOAD
from tests.conftest import NothingLeft

LOOPBACK = ("127.0.0.1",)
RATE = 24_000
FRAME = 480
HELLO = {"type": "hello", "codec": "pcm16", "rate": RATE}
NOBODY = {"session_id": "x", "resume_token": ""}

Http = TestClient[Any, Any]


class Server(TestServer):
    """As it is run: a request is not cancelled when its client leaves."""

    __test__ = False

    async def _make_runner(self, **kwargs: Any) -> Any:
        return await super()._make_runner(**{**kwargs, "handler_cancellation": False})


@asynccontextmanager
async def server(
    nothing_left: NothingLeft,
    *,
    max_sessions: int = 4,
    resume_window: float = 30.0,
    hello_timeout: float = 5.0,
) -> AsyncIterator[Http]:
    """A client of a server with an engine that echoes; when it has stopped nothing is left."""
    config = Config(
        server=ServerSettings(max_sessions=max_sessions),
        admission=ANY_LOAD,
        engine=EngineSettings(name="echo"),
        vad=VadSettings(detector="energy"),
        session=SessionSettings(resume_window=resume_window),
        webrtc=WebRtcSettings(host_addresses=LOOPBACK, tcp_port=0),
        stream=StreamSettings(hello_timeout=hello_timeout),
    )
    async with nothing_left():
        app = make_app(config, {})
        async with TestClient(Server(app)) as http:
            await app[ENGINE].warm_up()
            yield http
        assert (len(app[CALLS]), cast(HostedEngine, app[ENGINE])._sessions) == (0, {})


async def rows(http: Http) -> list[dict[str, Any]]:
    """One for each session of the server's."""
    status: dict[str, Any] = await (await http.get("/status")).json()
    calls: list[dict[str, Any]] = status["calls"]
    return calls


async def carried_by(http: Http, transport: str | None) -> None:
    """Wait until the one session is carried by a transport of this kind, or by none."""
    while [row["transport"] for row in await rows(http)] != [transport]:
        await asyncio.sleep(0.005)


async def nobody(http: Http) -> None:
    while await rows(http):
        await asyncio.sleep(0.005)


async def next_text(ws: ClientWebSocketResponse) -> dict[str, Any]:
    """The next message that is no audio."""
    while True:
        message = await ws.receive(timeout=10)
        if message.type is WSMsgType.TEXT:
            found: dict[str, Any] = json.loads(message.data)
            return found
        assert message.type is WSMsgType.BINARY, message


async def close_code(ws: ClientWebSocketResponse) -> int | None:
    """How the server closed it. (`ws.close_code` is 1006 if it did not wait for our farewell.)"""
    while (message := await ws.receive(timeout=10)).type in (WSMsgType.TEXT, WSMsgType.BINARY):
        pass
    return message.data if message.type is WSMsgType.CLOSE else ws.close_code


async def call(
    http: Http, resume: dict[str, Any] | None = None
) -> tuple[ClientWebSocketResponse, dict[str, Any]]:
    """A WebSocket that carries a session, and what the server said first."""
    ws = await http.ws_connect("/ws/call")
    await ws.send_json({**HELLO, "resume": resume})
    return ws, await next_text(ws)


def coming_back(first: dict[str, Any], played: dict[str, int] | None = None) -> dict[str, Any]:
    """The wish to go on after this session.started or session.resumed."""
    return {
        "session_id": first["session_id"],
        "resume_token": first["resume_token"],
        "seq": first["seq"],
        "played": played,
    }


def abort(ws: ClientWebSocketResponse) -> None:
    """The connection breaks: no farewell."""
    assert ws._conn is not None
    assert ws._conn.transport is not None
    ws._conn.transport.abort()


class Peer:
    """A WebRTC caller and what it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.told = asyncio.Event()
        self.rtc = WebRtcCaller(
            rate=RATE,
            pull=lambda: silence(FRAME),
            receive=lambda samples: None,
            receive_event=self._note,
            addresses=LOOPBACK,
        )

    def _note(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.told.set()

    async def offer(self, http: Http, resume: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        body = {"type": "offer", "sdp": await self.rtc.offer(), "resume": resume}
        response = await http.post("/api/offer", json=body)
        return response.status, await response.json()

    async def call(self, http: Http, resume: dict[str, Any] | None = None) -> dict[str, Any]:
        """The server's answer to the offer; the call is up."""
        status, answer = await self.offer(http, resume)
        assert status == 200, answer
        await self.rtc.accept(answer["sdp"])
        await self.rtc.connected.wait()
        await self.told.wait()
        return answer


@asynccontextmanager
async def peer() -> AsyncIterator[Peer]:
    one = Peer()
    try:
        yield one
    finally:
        await one.rtc.close()


# Over a WebSocket


async def test_a_call_over_a_websocket(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http:
        ws, started = await call(http)
        assert (started["type"], started["seq"]) == ("session.started", 1)
        assert (started["transport"], started["engine"]) == ("websocket", "echo")
        assert started["resume_window"] == 30
        [row] = await rows(http)
        assert row["session_id"] == started["session_id"]
        assert row["transport"] == "websocket"
        await ws.send_json({"type": "ping", "t": 12.5})
        assert await next_text(ws) == {"type": "pong", "t": 12.5}
        await ws.send_str("nonsense")
        wrong = await next_text(ws)
        assert (wrong["type"], wrong["seq"], wrong["code"]) == ("error", 2, "bad_message")
        await ws.close()
        await nobody(http)


@pytest.mark.parametrize("how", ["close 1000", "close 1001", "hangup"])
async def test_hanging_up_ends_the_session(how: str, nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http:
        ws, _ = await call(http)
        if how == "hangup":
            await ws.send_json({"type": "hangup"})
            assert await close_code(ws) == 1000
        else:
            await ws.close(code=int(how.split()[1]))
        await nobody(http)


REFUSED: list[tuple[str, str | bytes]] = [
    ("4001 bad_message", "not JSON"),
    ("4001 bad_message", "{}"),
    ("4001 bad_message", b"\1\0\0\0\0\0\0\0\0\0\0\0"),
    ("4001 bad_message", json.dumps({"type": "ping", "t": 1})),
    ("4001 bad_message", json.dumps({**HELLO, "codec": "mp3"})),
    ("4001 bad_message", json.dumps({**HELLO, "rate": 44_100})),
    ("4001 bad_message", json.dumps({**HELLO, "resume": "me"})),
    ("4001 bad_message", json.dumps({**HELLO, "resume": {"session_id": "x"}})),
    ("4003 resume_refused", json.dumps({**HELLO, "resume": NOBODY})),
]


async def test_hellos_that_are_refused_hold_nothing(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http:
        for refusal, hello in REFUSED:
            ws = await http.ws_connect("/ws/call")
            if isinstance(hello, bytes):
                await ws.send_bytes(hello)
            else:
                await ws.send_str(hello)
            error = await next_text(ws)
            assert set(error) == {"type", "code", "message"}, hello
            assert error["type"] == "error"
            assert f"{await close_code(ws)} {error['code']}" == refusal, hello
            assert await rows(http) == []


async def test_who_says_no_hello_is_let_go(nothing_left: NothingLeft) -> None:
    async with server(nothing_left, hello_timeout=0.05) as http:
        ws = await http.ws_connect("/ws/call")
        assert (await next_text(ws))["code"] == "no_hello"
        assert await close_code(ws) == 4008


async def test_no_call_over_a_websocket_when_all_are_taken(nothing_left: NothingLeft) -> None:
    async with server(nothing_left, max_sessions=1) as http:
        first, started = await call(http)
        second, error = await call(http)
        assert error["code"] == "refused"
        assert "all 1 calls" in error["message"]
        assert await close_code(second) == 4013
        # One who comes back has a place.
        again, resumed = await call(http, coming_back(started))
        assert resumed["type"] == "session.resumed"
        assert await close_code(first) == 4000
        await again.close()


async def test_a_request_that_is_no_websocket(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http:
        assert (await http.get("/ws/call")).status == 400


# Coming back


async def test_a_websocket_that_broke_is_resumed_over_another(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http:
        ws, started = await call(http)
        abort(ws)
        await carried_by(http, None)
        again, resumed = await call(http, coming_back(started, {"sequence": 0}))
        assert (resumed["type"], resumed["seq"]) == ("session.resumed", 2)
        assert resumed["session_id"] == started["session_id"]
        assert resumed["resume_token"] != started["resume_token"]
        assert (resumed["transport"], resumed["state"]) == ("websocket", "listening")
        await carried_by(http, "websocket")
        # Its first token is used.
        late, error = await call(http, coming_back(started))
        assert error["code"] == "resume_refused"
        assert await close_code(late) == 4003
        await carried_by(http, "websocket")
        await again.close()
        await nobody(http)
        since = (await (await http.get("/status")).json())["since_start"]
        assert (since["sessions"], since["resumed"], since["refused"]) == (1, 1, {})


async def test_who_comes_back_before_the_loss_was_noticed(nothing_left: NothingLeft) -> None:
    """The connection still stands, for the server: it is closed, for another has taken over."""
    async with server(nothing_left) as http:
        ws, started = await call(http)
        again, resumed = await call(http, coming_back(started, {"sequence": 0}))
        assert resumed["type"] == "session.resumed"
        assert await close_code(ws) == 4000
        await carried_by(http, "websocket")
        await again.close()


async def test_a_session_that_nobody_comes_back_to_ends(nothing_left: NothingLeft) -> None:
    async with server(nothing_left, resume_window=0.1) as http:
        ws, started = await call(http)
        abort(ws)
        await nobody(http)
        late, error = await call(http, coming_back(started))
        assert error["code"] == "resume_refused"
        assert await close_code(late) == 4003


async def test_closing_with_another_code_is_no_hanging_up(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http:
        ws, started = await call(http)
        await ws.close(code=4999)
        await carried_by(http, None)
        again, resumed = await call(http, coming_back(started))
        assert resumed["type"] == "session.resumed"
        await again.close()


async def test_a_call_moves_to_webrtc_and_back(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http, peer() as rtc:
        ws, started = await call(http)
        answer = await rtc.call(http, coming_back(started))
        assert answer["session_id"] == started["session_id"]
        assert await close_code(ws) == 4000
        await carried_by(http, "webrtc")
        [resumed] = rtc.events
        assert (resumed["type"], resumed["transport"]) == ("session.resumed", "webrtc")
        assert rtc.rtc.bookmark.resume(None) == coming_back(resumed)

        back, again = await call(http, rtc.rtc.bookmark.resume(None))
        assert (again["type"], again["transport"]) == ("session.resumed", "websocket")
        await carried_by(http, "websocket")
        await rtc.rtc.closed.wait()
        response = await http.delete(f"/api/offer/{answer['pc_id']}")
        assert response.status == 404  # that transport is gone
        await carried_by(http, "websocket")
        await back.close()
        await nobody(http)


async def test_hanging_up_a_transport_that_never_carried_the_session(
    nothing_left: NothingLeft,
) -> None:
    """The page tried WebRTC, and thought better of it."""
    async with server(nothing_left) as http, peer() as rtc:
        ws, started = await call(http)
        status, answer = await rtc.offer(http, coming_back(started))
        assert status == 200
        assert (await http.delete(f"/api/offer/{answer['pc_id']}")).status == 200
        await carried_by(http, "websocket")
        await ws.send_json({"type": "ping", "t": 1})
        assert (await next_text(ws))["type"] == "pong"
        # Nor is the token used up by that.
        again, resumed = await call(http, coming_back(started))
        assert resumed["type"] == "session.resumed"
        await again.close()


async def test_an_offer_with_a_token_that_is_refused(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http, peer() as rtc:
        ws, started = await call(http)
        for wrong in (
            {**coming_back(started), "resume_token": "guess"},
            {**coming_back(started), "session_id": "guess"},
        ):
            status, body = await rtc.offer(http, wrong)
            assert (status, body["error"]["code"]) == (403, "resume_refused")
            await carried_by(http, "websocket")
        status, body = await rtc.offer(http, {"session_id": 1})
        assert (status, body["error"]["code"]) == (400, "bad_request")
        await ws.close()


async def test_of_two_that_come_back_at_once_one_is_let_in(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http, peer() as rtc:
        ws, started = await call(http)
        abort(ws)
        resume = coming_back(started, {"sequence": 0})
        status, answer = await rtc.offer(http, resume)
        assert status == 200
        again, resumed = await call(http, resume)
        assert resumed["type"] == "session.resumed"
        await rtc.rtc.accept(answer["sdp"])  # it connects, too late
        await rtc.rtc.closed.wait()
        assert rtc.events == []
        await carried_by(http, "websocket")
        await again.close()


async def test_a_bad_offer_leaves_the_session_alone(nothing_left: NothingLeft) -> None:
    async with server(nothing_left) as http:
        ws, started = await call(http)
        body = {"type": "offer", "sdp": "v=0", "resume": coming_back(started)}
        assert (await http.post("/api/offer", json=body)).status == 400
        await carried_by(http, "websocket")
        await ws.close()


# Over TCP, and what is heard


class Program:
    """A caller over a WebSocket or TCP, which speaks for a while and keeps what it plays."""

    def __init__(self) -> None:
        self.heard: list[Samples] = []
        self.events: list[dict[str, Any]] = []
        self.to_say: list[Samples] = []
        self.on_frame: Callable[[], None] = lambda: None
        self.caller = StreamCaller(
            rate=RATE, pull=self._pull, receive=self._receive, receive_event=self.events.append
        )

    @property
    def loud(self) -> int:
        """How many samples of sound were heard."""
        heard = np.concatenate([silence(0), *self.heard])
        return int(np.count_nonzero(np.abs(heard.astype(int)) > 1000))

    def kinds(self, prefix: str = "") -> list[str]:
        return [event["type"] for event in self.events if event["type"].startswith(prefix)]

    def _pull(self) -> Samples:
        return self.to_say.pop(0) if self.to_say else silence(FRAME)

    def _receive(self, samples: Samples) -> None:
        self.heard.append(samples)
        self.on_frame()


def speech(seconds: float) -> list[Samples]:
    """A sound that is loud at every sample, in frames."""
    return [np.full(FRAME, 8000, dtype=np.int16) for _ in range(round(seconds * 50))]


async def dial(http: Http, transport: str) -> Channel:
    if transport == "websocket":
        return WebSocketChannel(await http.ws_connect("/ws/call"))
    return await dial_tcp("127.0.0.1", http.app[PORTS].tcp)


def break_off(channel: Channel) -> None:
    connection = getattr(channel, "_ws", None)
    if connection is not None:
        abort(connection)
    else:
        channel._writer.transport.abort()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("first", "then"), [("websocket", "tcp"), ("tcp", "websocket"), ("tcp", "tcp")]
)
async def test_an_answer_that_is_broken_off_is_heard_once(
    first: str, then: str, nothing_left: NothingLeft
) -> None:
    async def answer(http: Http, *transports: str) -> Program:
        program = Program()
        program.to_say = speech(1.0)
        for number, transport in enumerate(transports, 1):
            channel = await dial(http, transport)

            def follow(channel: Channel = channel, last: bool = number == len(transports)) -> None:
                ended = "reply.ended" in program.kinds()
                if not last and program.loud > FRAME * 20:
                    break_off(channel)
                elif last and ended and program.heard[-50:] and not program.heard[-1].any():
                    program.caller.send({"type": "hangup"})

            program.on_frame = follow
            await program.caller.run(channel)
        return program

    async with server(nothing_left) as http:
        whole = await answer(http, first)
        await nobody(http)
        both = await answer(http, first, then)
        await nobody(http)
        assert whole.kinds("session") == ["session.started"]
        assert both.kinds("session") == ["session.started", "session.resumed"]
        seqs = [event["seq"] for event in both.events if "seq" in event]
        assert seqs == list(range(1, len(seqs) + 1))
        # Less, at most, by what a fade-in makes too soft to count, and a frame of the VAD's mind.
        assert whole.loud > RATE
        assert abs(both.loud - whole.loud) <= FRAME + RATE * 0.008


async def test_a_program_that_is_refused_over_tcp(nothing_left: NothingLeft) -> None:
    async with server(nothing_left, max_sessions=1) as http:
        ws, _ = await call(http)
        program = Program()
        with pytest.raises(CallRefused, match="all 1 calls"):
            await program.caller.run(await dial(http, "tcp"))
        await ws.close()


# The end


async def test_a_server_that_stops_closes_its_websockets(nothing_left: NothingLeft) -> None:
    async with server(nothing_left, hello_timeout=1.0) as http:
        ws, _ = await call(http)
        other, started = await call(http)
        abort(other)  # a session that waits
        while sorted(str(row["transport"]) for row in await rows(http)) != ["None", "websocket"]:
            await asyncio.sleep(0.005)
        silent = await http.ws_connect("/ws/call")  # which keeps the server waiting
        program, late = await dial(http, "tcp"), await dial(http, "tcp")
        await program.send(json.dumps(HELLO))
        assert json.loads(await program.receive())["type"] == "session.started"
        closing = asyncio.create_task(http.server.close())
        assert await close_code(ws) == 1000
        await late.send(json.dumps(HELLO))
        assert json.loads(await late.receive())["message"] == "the server is stopping"
        assert await close_code(silent) == 4008
        await closing
        await program.close()
        await late.close()
        assert started["type"] == "session.started"
