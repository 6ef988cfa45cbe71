"""Calls are shared out evenly and found again, whichever worker is asked."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.frames import Samples, silence
from server.app import PORTS
from server.crew.neighbours import handover_path, http_path, id_prefix, username_prefix, worker_of
from signaling.caller import WebRtcCaller
from signaling.channel import Channel, ChannelClosed
from tests.conftest import NothingLeft
from tests.server.two_workers import Worker, resuming, say_hello, text, two_workers
from tests.signaling.ice_tcp import attached, check, frame, read_frame

# Whose a name is


@given(st.integers(0, 99), st.binary(min_size=8, max_size=8), st.integers(1, 100))
def test_ids_lead_to_their_worker_and_to_no_other(worker: int, name: bytes, count: int) -> None:
    expected = worker if worker < count else None
    session = id_prefix(worker) + name.hex()
    assert worker_of(session, count) == expected
    assert worker_of(f"pc-{session}", count) == expected
    assert worker_of(f"{username_prefix(worker)}a1B2", count) == expected


@pytest.mark.parametrize(
    "name",
    [
        *(None, 1, "", "1-", "1-abc", "+1+a", "pc-0123456789abcdef", "0123456789abcdef"),
        *("-1-0123456789abcdef", "1-0123456789abcdefg", "../1-0123456789abcdef"),
        *("99999999999999999999-0123456789abcdef", "²-0123456789abcdef"),
    ],
)
def test_other_names_lead_nowhere(name: object) -> None:
    assert worker_of(name, 10) is None


@given(st.text() | st.none() | st.integers(), st.integers(1, 5))
def test_whatever_the_name_a_worker_is_one_that_there_is(name: object, count: int) -> None:
    worker = worker_of(name, count)
    assert worker is None or 0 <= worker < count


# Two of them


@asynccontextmanager
async def webrtc(worker: Worker, resume: dict[str, Any] | None = None) -> AsyncIterator[Any]:
    """A call over WebRTC whose offer goes to this worker: its answer, and its first event."""
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def pull() -> Samples:
        return silence(480)

    peer = WebRtcCaller(
        rate=24_000,
        pull=pull,
        receive=lambda samples: None,
        receive_event=events.put_nowait,
        addresses=("127.0.0.1",),
    )
    try:
        offer = {"sdp": await peer.offer(), "type": "offer", "pc_id": None, "resume": resume}
        async with worker.http.post("/api/offer", json=offer) as response:
            answer = await response.json()
            assert response.status == 200, answer
        await peer.accept(answer["sdp"])
        async with asyncio.timeout(10):
            yield answer, await events.get()
    finally:
        await peer.close()


Dial = Callable[[Worker], Awaitable[Channel]]
STREAMS = pytest.mark.parametrize("dial", [Worker.websocket, Worker.tcp])


@STREAMS
async def test_a_burst_of_calls_to_one_worker_is_shared_evenly(
    dial: Dial, tmp_path: Path, nothing_left: NothingLeft
) -> None:
    async with nothing_left(), two_workers(tmp_path) as workers:
        channels = await asyncio.gather(*(dial(workers[1]) for _ in range(12)))
        started = await asyncio.gather(*(say_hello(channel) for channel in channels))
        assert [worker.calls for worker in workers] == [6, 6]
        assert sorted(event["session_id"][:2] for event in started) == ["0-"] * 6 + ["1-"] * 6
        for worker in workers:
            status = await (await worker.http.get("/status")).json()
            assert len(status["calls"]) == 12
            assert [row["calls"] for row in status["workers"]] == [6, 6]
            assert status["since_start"]["sessions"] == 12
            metrics = await (await worker.http.get("/metrics")).text()
            for number in range(2):
                assert f'vaani_sessions{{worker="{number}"}} 6.0' in metrics
        for channel in channels:
            await channel.send('{"type": "hangup"}')
            await channel.close()
        async with asyncio.timeout(5):
            while any(worker.calls for worker in workers):
                await asyncio.sleep(0.01)


async def test_webrtc_is_shared_and_found_again(tmp_path: Path, nothing_left: NothingLeft) -> None:
    async with (
        nothing_left(),
        two_workers(tmp_path) as workers,
        webrtc(workers[0]) as (one, _),
        webrtc(workers[0]) as (other, _),
    ):
        assert [worker.calls for worker in workers] == [1, 1]
        assert one["pc_id"].startswith("pc-0-")
        assert other["pc_id"].startswith("pc-1-")
        line = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"
        candidate = {"candidate": line, "sdp_mid": "0", "sdp_mline_index": 0}
        for worker in workers:
            for answer in (one, other):
                body = {"pc_id": answer["pc_id"], "candidates": [candidate]}
                async with worker.http.patch("/api/offer", json=body) as response:
                    assert response.status == 200, await response.text()
        # Each is hung up by way of the other worker.
        async with workers[1].http.delete(f"/api/offer/{one['pc_id']}") as response:
            assert response.status == 200
        assert [worker.calls for worker in workers] == [0, 1]
        async with workers[0].http.delete(f"/api/offer/{other['pc_id']}") as response:
            assert response.status == 200
        assert [worker.calls for worker in workers] == [0, 0]
        async with workers[0].http.delete(f"/api/offer/{other['pc_id']}") as response:
            assert response.status == 404
        async with workers[0].http.post("/api/offer", data="{") as response:
            assert response.status == 400


@pytest.mark.parametrize("way", ["websocket", "named", "tcp", "webrtc"])
async def test_a_session_is_resumed_by_way_of_the_other_worker(
    way: str, tmp_path: Path, nothing_left: NothingLeft
) -> None:
    async with (
        nothing_left(),
        two_workers(tmp_path) as workers,
        webrtc(workers[0]) as (answer, started),
    ):
        assert answer["session_id"].startswith("0-")
        if way == "webrtc":
            async with webrtc(workers[1], resuming(started)) as (_, resumed):
                assert resumed["type"] == "session.resumed"
                assert [worker.calls for worker in workers] == [1, 0]
            return
        query = f"?session_id={answer['session_id']}" if way == "named" else ""
        channel = await (workers[1].tcp() if way == "tcp" else workers[1].websocket(query))
        resumed = await say_hello(channel, resuming(started))
        assert resumed["type"] == "session.resumed"
        assert [worker.calls for worker in workers] == [1, 0]
        await channel.send(json.dumps({"type": "ping", "t": 1.5}))
        while (event := await text(channel))["type"] != "pong":
            pass
        assert event["t"] == 1.5
        if way == "tcp":  # where to close says nothing
            await channel.send('{"type": "hangup"}')
        await channel.close(1000)
        async with asyncio.timeout(5):
            while workers[0].calls:
                await asyncio.sleep(0.01)


async def test_a_relayed_refusal_keeps_its_code(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as workers, webrtc(workers[0]) as (_, started):
        channel = await workers[1].websocket()
        refused = await say_hello(channel, {**resuming(started), "resume_token": "wrong"})
        assert refused["code"] == "resume_refused"
        with pytest.raises(ChannelClosed) as closed:
            await channel.receive()
        assert closed.value.code == 4003


async def test_the_limit_is_of_the_whole_server(tmp_path: Path) -> None:
    async with two_workers(tmp_path, max_sessions=3) as workers:
        channels = [await worker.websocket() for worker in (*workers, *workers)]
        events = [await say_hello(channel) for channel in channels]
        assert [event["type"] for event in events] == ["session.started"] * 3 + ["error"]
        assert "all 3 calls" in events[3]["message"]
        for channel in channels:
            await channel.close()


async def test_media_over_tcp_find_the_call_whichever_worker_accepts_them(
    tmp_path: Path, nothing_left: NothingLeft
) -> None:
    async with nothing_left(), two_workers(tmp_path) as workers:
        mux = workers[1].app[PORTS].mux
        async with attached(mux) as connection:
            assert connection.local_username.startswith("1+")
            for worker in workers:
                port = worker.app[PORTS].tcp
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(frame(check(connection)) + frame(check(connection)))
                for _ in range(2):  # also the one that was read with the first
                    assert (await read_frame(reader))[:2] == b"\1\1"
                writer.close()
                await writer.wait_closed()
            # One who knows the name alone is handed over, and sent away.
            reader, writer = await asyncio.open_connection("127.0.0.1", workers[0].app[PORTS].tcp)
            writer.write(frame(check(connection, password="x" * 22)))
            assert await reader.read() == b""
            writer.close()


async def test_rubbish_among_neighbours_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with two_workers(tmp_path) as workers:
        for rubbish in (b"", b"h", b"xxxxxxx", b"h\0\0\0\0\0\5ab"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as carrier:
                carrier.connect(str(handover_path(tmp_path, 0)))
                carrier.sendall(rubbish)
        async with asyncio.timeout(10):
            while caplog.text.count("a connection that was handed over is lost") < 4:
                await asyncio.sleep(0.01)
        channel = await workers[1].websocket()
        assert (await say_hello(channel))["type"] == "session.started"
        await channel.close()


async def test_a_neighbour_that_is_gone_is_done_without(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as workers:
        for path in (http_path(tmp_path, 1), handover_path(tmp_path, 1)):
            os.unlink(path)
        for dial in (Worker.websocket, Worker.tcp, Worker.websocket, Worker.tcp):
            channel = await dial(workers[0])
            assert (await say_hello(channel))["session_id"].startswith("0-")
            await channel.close()
        async with webrtc(workers[0]), webrtc(workers[0]) as (answer, _):
            assert answer["pc_id"].startswith("pc-0-")
        async with workers[0].http.delete("/api/offer/pc-1-0123456789abcdef") as response:
            assert response.status == 404
