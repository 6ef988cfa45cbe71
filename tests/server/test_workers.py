"""The processes of a server with workers: what dies is replaced, and what ends leaves nothing."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.config import Config
from server.crew.worker import with_own_port
from signaling.channel import Channel, ChannelClosed
from signaling.stream_caller import dial_tcp
from signaling.webrtc import WebRtcSettings
from signaling.websocket import WebSocketChannel
from tests.server.two_workers import resuming, say_hello, text

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "server.workers=2",
    "engine.name=echo",
    "webrtc.tcp_port=0",
    "webrtc.host_addresses=[127.0.0.1]",
    "admission.max_lag=60",
    "admission.max_cpu=60",
)


@contextmanager
def supervisor(tmp_path: Path, *settings: str) -> Iterator[subprocess.Popen[str]]:
    """A server, which keeps its private things in a directory of the test's."""
    words = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "run.py", "serve", "--port", "0", "--json", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def private(tmp_path: Path) -> list[Path]:
    """What there is of it."""
    return list(tmp_path.glob("vaani-*"))


def descendants(pid: int) -> set[int]:
    """Its children: they have none themselves."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except FileNotFoundError:
        return ""


async def until(condition: Callable[[], object], what: str) -> None:
    """Looks at it again and again: it is about other processes."""
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"never: {what}")


class Server:
    """Its HTTP, with a new connection for every request, and its processes."""

    def __init__(self, pid: int, listening: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self.pid = pid
        self.tcp_port = int(listening["tcp_port"])
        self.http = http

    async def status(self) -> dict[str, Any]:
        async with self.http.get("/status") as response:
            status: dict[str, Any] = await response.json()
            return status

    async def ready(self) -> dict[str, Any]:
        """The status once both workers have told theirs and have the engine."""
        async with asyncio.timeout(20):
            while True:
                status = await self.status()
                workers = status["workers"]
                if len(workers) == 2 and all(worker["engine"]["ready"] for worker in workers):
                    return status
                await asyncio.sleep(0.05)

    async def call(self, kind: str) -> Channel:
        if kind == "tcp":
            return await dial_tcp("127.0.0.1", self.tcp_port)
        return WebSocketChannel(await self.http.ws_connect("/ws/call"))


@asynccontextmanager
async def server(tmp_path: Path, *settings: str) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        process = stack.enter_context(supervisor(tmp_path, *settings))
        assert process.stdout
        listening = json.loads(await asyncio.to_thread(process.stdout.readline))
        assert (listening["event"], listening["workers"]) == ("listening", 2)
        connector = aiohttp.TCPConnector(force_close=True)
        http = aiohttp.ClientSession(listening["url"], connector=connector)
        await stack.enter_async_context(http)
        served = Server(process.pid, listening, http)
        await served.ready()
        yield served


async def ping(channel: Channel) -> None:
    await channel.send('{"type": "ping", "t": 1}')
    while (await text(channel))["type"] != "pong":
        pass


async def ended(channel: Channel) -> None:
    """Until the other end is gone."""
    with suppress(ChannelClosed):
        async with asyncio.timeout(10):
            while True:
                await channel.receive()


async def test_the_death_of_a_part_costs_only_what_it_had(tmp_path: Path) -> None:
    async with server(tmp_path) as served:
        before = await served.ready()
        pids = [worker["process"]["pid"] for worker in before["workers"]]
        engines = {worker["engine"]["pid"] for worker in before["workers"]}
        assert descendants(served.pid) == {*pids, *engines}
        assert len(engines) == 1  # of both

        calls: dict[str, Channel] = {}
        started: dict[str, dict[str, Any]] = {}
        for kind in ("websocket", "tcp") * 4:
            channel = await served.call(kind)
            event = await say_hello(channel)
            calls[event["session_id"]], started[event["session_id"]] = channel, event
        by_worker = [[s for s in calls if s.startswith(f"{n}-")] for n in range(2)]
        assert [len(sessions) for sessions in by_worker] == [4, 4]

        os.kill(pids[0], signal.SIGKILL)
        for session in by_worker[0]:
            await ended(calls[session])
        for session in by_worker[1]:
            await ping(calls[session])
        after = await served.ready()
        again = [worker["process"]["pid"] for worker in after["workers"]]
        assert again[0] != pids[0]
        assert again[1] == pids[1]
        assert len(after["calls"]) == 4
        # Nobody knows the lost ones any more; the next go to the one that is empty.
        lost = await served.call("websocket")
        refused = await say_hello(lost, resuming(started[by_worker[0][0]]))
        assert refused["code"] == "resume_refused"
        for kind in ("websocket", "tcp"):
            channel = await served.call(kind)
            event = await say_hello(channel)
            assert event["session_id"].startswith("0-")
            await ping(channel)

        [engine] = engines
        os.kill(engine, signal.SIGKILL)
        await until(lambda: not command(engine), "the engine host is dead")
        async with asyncio.timeout(20):
            while {w["engine"]["pid"] for w in (await served.ready())["workers"]} & {engine, None}:
                await asyncio.sleep(0.05)
        for session in by_worker[1]:
            await ping(calls[session])
        assert (await say_hello(await served.call("tcp")))["type"] == "session.started"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it(number: signal.Signals, tmp_path: Path) -> None:
    with supervisor(tmp_path) as process:
        assert process.stdout
        listening = json.loads(process.stdout.readline())
        children = descendants(process.pid)
        assert len(children) == 3
        [directory] = private(tmp_path)
        assert directory.stat().st_mode & 0o777 == 0o700
        with socket.create_connection(("127.0.0.1", listening["tcp_port"])):
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert "Traceback" not in err
    assert not any(map(command, children))
    assert private(tmp_path) == []


async def test_without_its_supervisor_nothing_goes_on(tmp_path: Path) -> None:
    with supervisor(tmp_path) as process:
        assert process.stdout
        await asyncio.to_thread(process.stdout.readline)
        children = descendants(process.pid)
        assert len(children) == 3
        process.kill()
        process.wait()
        await until(lambda: not any(map(command, children)), "its processes are gone")
        await until(lambda: not private(tmp_path), "its directory is gone")


def test_a_port_that_a_worker_cannot_have(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with supervisor(tmp_path, f"webrtc.udp_port={port - 1}") as process:
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert f"vaani: cannot serve: UDP port {port}: " in err
    assert private(tmp_path) == []


def test_each_worker_has_a_udp_port_of_its_own() -> None:
    def ports(udp_port: int | None, public: int | None = None) -> list[tuple[Any, Any]]:
        config = Config(webrtc=WebRtcSettings(udp_port=udp_port, public_udp_port=public))
        own = [with_own_port(config, number).webrtc for number in range(3)]
        return [(settings.udp_port, settings.public_udp_port) for settings in own]

    assert ports(8002) == [(8002, None), (8003, None), (8004, None)]
    assert ports(8002, 50_000) == [(8002, 50_000), (8003, 50_001), (8004, 50_002)]
    assert ports(0) == [(0, None)] * 3
    assert ports(None) == [(None, None)] * 3
