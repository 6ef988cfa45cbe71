"""What is asked of the server over HTTP, right and wrong: each answer is JSON that says why."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from inference.hosted import HostedEngine
from inference.settings import EngineSettings
from media.frames import Samples, silence
from server.app import CALLS, ENGINE, MAX_BODY, PORTS, Listening, make_app
from server.config import Config, ServerSettings
from signaling.caller import WebRtcCaller
from signaling.webrtc import IceServer, WebRtcSettings
from tests.any_load import ANY_LOAD

ROOT = Path(__file__).parents[2]
LOOPBACK = ("127.0.0.1",)

TestClient.__test__ = TestServer.__test__ = False  # they are not tests, says their name

Client = TestClient[Any, Any]


@asynccontextmanager
async def client(
    *, ready: bool = True, max_sessions: int = 4, tcp_port: int | None = None, **webrtc: Any
) -> AsyncIterator[Any]:
    """A client of a server with an engine that echoes."""
    config = Config(
        server=ServerSettings(max_sessions=max_sessions),
        admission=ANY_LOAD,
        engine=EngineSettings(name="echo"),
        webrtc=WebRtcSettings(host_addresses=LOOPBACK, tcp_port=tcp_port, **webrtc),
    )
    app = make_app(config, {})
    async with TestClient(TestServer(app)) as client:
        if ready:
            await app[ENGINE].warm_up()
        yield client
        assert len(app[CALLS]) == len(cast(HostedEngine, app[ENGINE])._sessions)


@asynccontextmanager
async def caller(
    receive_event: Callable[[dict[str, Any]], None] = lambda event: None,
) -> AsyncIterator[WebRtcCaller]:
    def pull() -> Samples:
        return silence(480)

    peer = WebRtcCaller(
        rate=24_000,
        pull=pull,
        receive=lambda samples: None,
        receive_event=receive_event,
        addresses=LOOPBACK,
    )
    try:
        yield peer
    finally:
        await peer.close()


async def error(response: ClientResponse) -> tuple[int, str, str]:
    """Status, code and message of an answer that must be an error."""
    assert response.content_type == "application/json"
    body = await response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"code", "message"}
    return response.status, body["error"]["code"], body["error"]["message"]


async def take_call(client: Client, peer: WebRtcCaller) -> dict[str, Any]:
    """Offer a call, and wait until it is up."""
    body = {"type": "offer", "sdp": await peer.offer(), "pc_id": None}
    response = await client.post("/api/offer", json=body)
    answer: dict[str, Any] = await response.json()
    assert response.status == 200, answer
    assert answer["type"] == "answer"
    await peer.accept(answer["sdp"])
    await peer.connected.wait()
    return answer


async def calls_in(client: Client) -> list[str]:
    status = await (await client.get("/status")).json()
    return [call["session_id"] for call in status["calls"]]


async def no_call_left(client: Client) -> None:
    while await calls_in(client):
        await asyncio.sleep(0.01)


async def test_a_call() -> None:
    async with client() as http, caller() as peer:
        answer = await take_call(http, peer)
        assert await calls_in(http) == [answer["session_id"]]
        response = await http.delete(f"/api/offer/{answer['pc_id']}")
        assert (response.status, await response.json()) == (200, {"status": "success"})
        assert await calls_in(http) == []
        assert (await error(await http.delete(f"/api/offer/{answer['pc_id']}")))[:2] == (
            404,
            "unknown_call",
        )


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff\xfe{}", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"sdp": ' + b"1" * 5000 + b"}", "not JSON"),
    (b"[]", "must be a JSON object"),
    (b'"offer"', "must be a JSON object"),
    (b"null", "must be a JSON object"),
]
BAD_OFFERS: list[tuple[dict[str, Any], str]] = [
    ({}, '"type" must be "offer"'),
    ({"type": "answer", "sdp": "v=0"}, '"type" must be "offer"'),
    ({"type": ["offer"], "sdp": "v=0"}, '"type" must be "offer"'),
    ({"type": "offer"}, '"sdp" must be a string'),
    ({"type": "offer", "sdp": None}, '"sdp" must be a string'),
    ({"type": "offer", "sdp": 1}, '"sdp" must be a string'),
    ({"type": "offer", "sdp": "v=0", "pc_id": 1}, '"pc_id" must be a string'),
    ({"type": "offer", "sdp": "v=0", "restart_pc": 1}, '"restart_pc" must be true or false'),
    ({"type": "offer", "sdp": "v=0", "restart_pc": "no"}, '"restart_pc" must be true or false'),
    ({"type": "offer", "sdp": ""}, "no audio"),
    ({"type": "offer", "sdp": "hello"}, "no audio"),
    ({"type": "offer", "sdp": "\ud800"}, "no audio"),
    ({"type": "offer", "sdp": "v=0\r\nm=audio\r\n"}, "not an SDP"),
    ({"type": "offer", "sdp": "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"}, "no audio"),
]
BAD_CANDIDATES: list[tuple[dict[str, Any], str]] = [
    ({}, '"pc_id" must be a string'),
    ({"pc_id": "PC"}, '"candidates" must be a list'),
    ({"pc_id": "PC", "candidates": {}}, '"candidates" must be a list'),
    ({"pc_id": "PC", "candidates": ["candidate:"]}, "must be an object"),
    ({"pc_id": "PC", "candidates": [{}]}, '"candidate" must be a string'),
    ({"pc_id": "PC", "candidates": [{"candidate": 1}]}, '"candidate" must be a string'),
    (
        {"pc_id": "PC", "candidates": [{"candidate": "x", "sdp_mid": 0}]},
        '"sdp_mid" must be a string',
    ),
    (
        {"pc_id": "PC", "candidates": [{"candidate": "x", "sdp_mline_index": "0"}]},
        '"sdp_mline_index" must be an integer',
    ),
    (
        {"pc_id": "PC", "candidates": [{"candidate": "x", "sdp_mline_index": True}]},
        '"sdp_mline_index" must be an integer',
    ),
    (
        {"pc_id": "PC", "candidates": [{"candidate": "garbage", "sdp_mid": "0"}]},
        "not an ICE candidate",
    ),
    (
        {
            "pc_id": "PC",
            "candidates": [{"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host"}],
        },
        "mid or the index",
    ),
]


async def test_a_text_to_be_said_in_a_call() -> None:
    events: list[dict[str, Any]] = []
    async with client() as http, caller(events.append) as peer:
        session = (await take_call(http, peer))["session_id"]
        response = await http.post(f"/api/sessions/{session}/say", json={"text": "Goodbye."})
        assert (response.status, await response.json()) == (200, {"status": "success"})
        # This engine has no voice of its own, and the caller is told what became of it.
        while not (failures := [event for event in events if event["type"] == "error"]):
            await asyncio.sleep(0.01)
        assert failures[0]["code"] == "engine_failed"
        assert "cannot speak a given text" in failures[0]["message"]


async def test_a_text_to_be_said_that_cannot_be() -> None:
    async with client() as http:
        for body, complaint in (
            ({}, 'say needs "text"'),
            ({"text": "a", "allow_interruptions": "no"}, "must be true or false"),
        ):
            response = await http.post("/api/sessions/9f/say", json=body)
            status, code, message = await error(response)
            assert (status, code) == (400, "bad_request")
            assert complaint in message
        response = await http.post("/api/sessions/9f/say", json={"text": "Hello?"})
        assert (await error(response))[:2] == (404, "unknown_call")


async def test_bad_requests_are_explained_hold_nothing_and_disturb_nobody() -> None:
    async with client() as http, caller() as peer:
        answer = await take_call(http, peer)
        for method in (http.post, http.patch):
            for data, complaint in BAD_BODIES:
                status, code, message = await error(await method("/api/offer", data=data))
                assert (status, code) == (400, "bad_request"), data
                assert complaint in message, data
        charset = {"Content-Type": "application/json; charset=klingon"}
        response = await http.post("/api/offer", data=b"{}", headers=charset)
        assert (await error(response))[0] == 400
        for body, complaint in BAD_OFFERS:
            status, code, message = await error(await http.post("/api/offer", json=body))
            assert (status, code) == (400, "bad_request"), body
            assert complaint in message, body
        for body, complaint in BAD_CANDIDATES:
            sent = json.loads(json.dumps(body).replace("PC", answer["pc_id"]))
            status, code, message = await error(await http.patch("/api/offer", json=sent))
            assert (status, code) == (400, "bad_request"), body
            assert complaint in message, body
        assert await calls_in(http) == [answer["session_id"]]
        assert not peer.closed.is_set()
        status = await (await http.get("/status")).json()
        assert status["since_start"]["sessions"] == 1


async def test_candidates_may_trickle() -> None:
    async with client() as http, caller() as peer:
        pc_id = (await take_call(http, peer))["pc_id"]
        line = "candidate:1 1 udp 1 127.0.0.1 9 typ host"
        candidates = [
            {"candidate": line, "sdp_mid": "0", "sdp_mline_index": 0},
            {"candidate": "", "sdp_mid": "0", "sdp_mline_index": 0},
            {"candidate": line, "sdp_mid": None, "sdp_mline_index": 0},
        ]
        body = {"pc_id": pc_id, "candidates": candidates}
        response = await http.patch("/api/offer", json=body)
        assert (response.status, await response.json()) == (200, {"status": "success"})


async def test_a_call_that_nobody_knows() -> None:
    async with client() as http:
        offer = {"type": "offer", "sdp": "v=0", "pc_id": "pc-none"}
        for response in (
            await http.post("/api/offer", json=offer),
            await http.post("/api/offer", json={**offer, "restart_pc": True}),
            await http.patch(
                "/api/offer", json={"pc_id": "pc-none", "candidates": [{"candidate": "x"}]}
            ),
            await http.delete("/api/offer/pc-none"),
        ):
            assert await error(response) == (404, "unknown_call", "there is no call 'pc-none'")
        strange = await http.delete("/api/offer/%ED%A0%80%00%22")
        assert (await error(strange))[:2] == (404, "unknown_call")


async def test_a_second_offer_for_the_same_call() -> None:
    async with client() as http, caller() as peer, caller() as again:
        first = await take_call(http, peer)
        offer = {"type": "offer", "sdp": await again.offer(), "pc_id": first["pc_id"]}
        status, code, message = await error(await http.post("/api/offer", json=offer))
        assert (status, code) == (409, "call_exists")
        assert "restart_pc" in message
        assert await calls_in(http) == [first["session_id"]]
        response = await http.post("/api/offer", json={**offer, "restart_pc": True})
        answer = await response.json()
        assert response.status == 200
        assert await calls_in(http) == [answer["session_id"]]
        assert answer["pc_id"] != first["pc_id"]


async def test_one_who_replaces_his_call_keeps_his_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as http, caller() as peer, caller() as again:
        first = await take_call(http, peer)
        monkeypatch.setattr("server.load.Load.admit", lambda load: "busy")
        offer = {"type": "offer", "sdp": await again.offer(), "pc_id": first["pc_id"]}
        response = await http.post("/api/offer", json={**offer, "restart_pc": True})
        assert response.status == 200
        assert await calls_in(http) == [(await response.json())["session_id"]]


async def test_the_limit_is_told() -> None:
    async with client(max_sessions=1) as http, caller() as peer, caller() as other:
        pc_id = (await take_call(http, peer))["pc_id"]
        offer = {"type": "offer", "sdp": await other.offer()}
        response = await http.post("/api/offer", json=offer)
        assert response.headers["Retry-After"] == "5"
        assert await error(response) == (
            503,
            "refused",
            "all 1 calls that this server takes at once are in use",
        )
        await http.delete(f"/api/offer/{pc_id}")
        assert (await http.post("/api/offer", json=offer)).status == 200


async def test_a_busy_server_says_so_and_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = "the server is busy: its event loop is 23 ms late (limit 10 ms)"
    async with client() as http, caller() as peer, caller() as other:
        await take_call(http, peer)
        monkeypatch.setattr("server.load.Load.admit", lambda load: busy)
        response = await http.post("/api/offer", json={"type": "offer", "sdp": await other.offer()})
        assert response.headers["Retry-After"] == "5"
        assert await error(response) == (503, "refused", busy)
        async with http.ws_connect("/ws/call") as ws:
            await ws.send_json({"type": "hello", "codec": "opus"})
            refusal = {"type": "error", "code": "refused", "message": busy, "retry_after": 5}
            assert await ws.receive_json() == refusal
            assert (await ws.receive()).data == 4013
        status = await (await http.get("/status")).json()
        assert len(status["calls"]) == 1
        assert status["since_start"]["refused"] == {"busy": 2}


async def test_a_caller_who_comes_back_is_let_in_whatever_the_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with client() as http, http.ws_connect("/ws/call") as ws:
        await ws.send_json({"type": "hello", "codec": "opus"})
        started = await ws.receive_json()
        monkeypatch.setattr("server.load.Load.admit", lambda load: "busy")
        resume = {key: started[key] for key in ("session_id", "resume_token")}
        async with http.ws_connect("/ws/call") as again:
            await again.send_json({"type": "hello", "codec": "opus", "resume": resume})
            message = await again.receive_json()
            while message["type"] != "session.resumed":
                message = await again.receive_json()
            await again.send_json({"type": "hangup"})
        await no_call_left(http)


def samples(text: str) -> dict[str, float]:
    """The values of a scrape by their names, with the labels where there are any."""
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(http: Client) -> dict[str, float]:
    response = await http.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples(await response.text())


async def test_metrics_say_what_status_says() -> None:
    async with client(max_sessions=1) as http, caller() as peer, caller() as other:
        before = await scrape(http)
        assert before["vaani_sessions"] == before["vaani_packets_received_total"] == 0
        assert before["vaani_sessions_max"] == 1
        pc_id = (await take_call(http, peer))["pc_id"]
        refused = await http.post("/api/offer", json={"type": "offer", "sdp": await other.offer()})
        assert refused.status == 503
        while not (await scrape(http))["vaani_audio_heard_seconds_total"] > 0.1:
            await asyncio.sleep(0.02)
        earlier = await (await http.get("/status")).json()
        during = await scrape(http)
        later = await (await http.get("/status")).json()
        assert during["vaani_sessions"] == during["vaani_sessions_started_total"] == 1
        assert during["vaani_calls_refused_total full"] == 1
        assert during["vaani_calls_refused_total busy"] == 0
        for name, key in (
            ("packets_received_total", "received"),
            ("packets_lost_total", "lost"),
            ("packets_late_total", "late"),
            ("audio_heard_seconds_total", "heard"),
            ("audio_concealed_seconds_total", "concealed"),
            ("audio_recovered_seconds_total", "recovered"),
            ("packets_sent_total", "sent"),
            ("frames_late_total", "skipped"),
        ):
            [[low], [high]] = ([c["media"][0][key] for c in s["calls"]] for s in (earlier, later))
            assert low <= during[f"vaani_{name}"] <= high, name
        assert earlier["calls"][0]["media"][0]["concealment"] == pytest.approx(
            earlier["calls"][0]["media"][0]["concealed"] / earlier["calls"][0]["media"][0]["heard"],
            abs=0.0001,
        )
        await http.delete(f"/api/offer/{pc_id}")
        after = await scrape(http)
        assert after["vaani_sessions"] == 0
        assert after["vaani_packets_received_total"] > 0
        fallen = [
            name
            for name, value in during.items()
            if name.partition(" ")[0].endswith(("_total", "_count", "_sum", "_bucket"))
            and after[name] < value
        ]
        assert fallen == []


async def test_metrics_of_the_process_and_of_its_load() -> None:
    async with client() as http:
        while not (await scrape(http))["vaani_event_loop_lag_seconds_count"] > 2:
            await asyncio.sleep(0.02)
        told = await scrape(http)
        assert told["vaani_engine_ready"] == told["vaani_engine_starts_total"] == 1
        assert told["vaani_event_loop_lag_seconds_bucket +Inf"] >= 3
        assert told["vaani_first_audio_seconds_count"] == 0
        assert told["vaani_pressure_ratio"] < 1
        assert told["process_resident_memory_bytes"] > 1e6
        assert told["process_open_fds"] > 3
        assert told["vaani_tasks"] >= 1
        status = await (await http.get("/status")).json()
        assert set(status["load"]) == {
            "lag_ms", "cpu", "projected_cpu", "call_cost", "pressure",
        }  # fmt: skip


async def test_before_the_engine_is_ready() -> None:
    async with client(ready=False) as http, caller() as peer:
        assert await error(await http.get("/ready")) == (503, "not_ready", "the engine is starting")
        assert (await http.get("/health")).status == 200
        response = await http.post("/api/offer", json={"type": "offer", "sdp": await peer.offer()})
        assert await error(response) == (503, "refused", "the engine is still starting")
        assert response.headers["Retry-After"] == "5"
        await http.server.app[ENGINE].warm_up()
        assert await (await http.get("/ready")).json() == {"status": "ready"}


async def test_a_body_that_is_too_large() -> None:
    async with client() as http:
        for size in (MAX_BODY + 1, 10_000_000):
            response = await http.post("/api/offer", data=b" " * size)
            status, code, message = await error(response)
            assert (status, code) == (413, "too_large")
            assert str(MAX_BODY) in message
        assert (await http.get("/health")).status == 200


async def test_paths_that_do_not_exist() -> None:
    async with client(ready=False) as http:
        for path in ("/nowhere", "/api/offers", "/api/offer/", "/server/app.py"):
            assert (await error(await http.get(path)))[:2] == (404, "http"), path
        assert (await error(await http.put("/api/offer", data=b"")))[0] == 405
        assert (await http.get("/static/none.js")).status == 404
        assert (await http.get("/static/%2e%2e/server/app.py")).status in (403, 404)


async def test_what_the_server_says_of_itself() -> None:
    async with client(
        ice_servers=(IceServer(("stun:stun.example:3478",)), IceServer(("turn:t",), "u", "c"))
    ) as http:
        assert await (await http.get("/health")).json() == {"status": "ok"}
        assert await (await http.get("/ready")).json() == {"status": "ready"}
        status = await (await http.get("/status")).json()
        assert status["engine"] == {
            "name": "echo",
            "ready": True,
            "pid": http.server.app[ENGINE].pid,
            "starts": 1,
        }
        assert status["calls"] == []
        assert status["max_sessions"] == 4
        assert status["since_start"]["turns"] == 0
        assert await (await http.get("/api/config")).json() == {
            "ice_servers": [
                {"urls": ["stun:stun.example:3478"]},
                {"urls": ["turn:t"], "username": "u", "credential": "c"},
            ],
            "ice_transport_policy": "all",
            "tcp_port": None,
        }
        page = await http.get("/")
        assert page.content_type == "text/html"
        assert (await http.get("/static/app.js")).status == 200


async def test_the_port_for_programs_is_told() -> None:
    async with client(ready=False, tcp_port=0) as http:
        told = await (await http.get("/api/config")).json()
        assert told["tcp_port"] == http.server.app[PORTS].tcp
        with socket.create_connection(("127.0.0.1", told["tcp_port"])):
            pass


async def test_credentials_are_made_of_a_shared_secret() -> None:
    servers = (IceServer(("turn:t",), secret="hunter2"),)
    async with client(ready=False, ice_servers=servers, ice_transport_policy="relay") as http:
        told = await (await http.get("/api/config")).json()
        [turn] = told["ice_servers"]
        assert set(turn) == {"urls", "username", "credential"}
        assert "hunter2" not in json.dumps(told)
        assert told["ice_transport_policy"] == "relay"


async def test_a_bug_is_json_too_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def status(calls: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("server.calls.Calls.status", status)
    async with client(ready=False) as http:
        assert (await error(await http.get("/status")))[:2] == (500, "internal")
    assert "RuntimeError: a bug" in caplog.text


async def test_a_client_that_leaves_in_mid_offer_holds_nothing() -> None:
    async with client(connect_timeout=0.3) as http, caller() as peer:
        offer = json.dumps({"type": "offer", "sdp": await peer.offer()}).encode()
        head = (
            "POST /api/offer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(offer)}\r\n\r\n"
        ).encode()
        for sent in (head + offer[: len(offer) // 2], head + offer):
            _, writer = await asyncio.open_connection(http.host, http.port)
            writer.write(sent)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)
        await no_call_left(http)
        app = http.server.app
        while cast(HostedEngine, app[ENGINE])._sessions:
            await asyncio.sleep(0.01)
        assert len(app[CALLS]) == 0


async def test_stopping_the_server_ends_its_calls() -> None:
    async with caller() as peer:
        async with client() as http:
            await take_call(http, peer)
            while not http.server.app[CALLS].status()[0]["transport"]:
                await asyncio.sleep(0.01)
        await peer.closed.wait()


def test_the_banner() -> None:
    transports = ("WebRTC over UDP", "WebSocket", "TCP port 8001")
    banner = str(Listening("listening", "https://h:1", "echo", transports, 8001, None))
    assert "https://h:1/" in banner
    assert "wss://h:1/ws/call" in banner
    assert "WebRTC over UDP, WebSocket, TCP port 8001" in banner


# The process


def serve(*arguments: str) -> subprocess.Popen[str]:
    ours = ("engine.name=echo", "webrtc.tcp_port=0", "webrtc.host_addresses=[127.0.0.1]")
    settings = [word for setting in ours for word in ("--set", setting)]
    command = [sys.executable, "run.py", "serve", *settings, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serve("--port", str(port)) as process:
            out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith(f"vaani: cannot serve: 127.0.0.1 port {port}: Address already in use")
    assert err.count("\n") == 1


def test_a_taken_tcp_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serve("--port", "0", "--set", f"webrtc.tcp_port={port}") as process:
            out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith(f"vaani: cannot serve: TCP port {port}: ")
    assert err.endswith("in use; choose another with webrtc.tcp_port\n")
    assert err.count("\n") == 1


def test_a_host_that_is_not_ours() -> None:
    with serve("--host", "192.0.2.1", "--port", "0") as process:  # TEST-NET-1, RFC 5737
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.startswith("vaani: cannot serve: 192.0.2.1 port 0: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_engine(number: signal.Signals) -> None:
    with serve("--port", "0", "--json") as process:
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())
        assert listening["event"] == "listening"
        assert listening["engine"] == "echo"
        assert listening["url"].startswith("http://127.0.0.1:")
        assert listening["udp_port"] is None
        with socket.create_connection(("127.0.0.1", listening["tcp_port"])):
            pass  # there is one who listens
        assert f"TCP port {listening['tcp_port']}" in listening["transports"]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{child}").exists() for child in children)
