"""Processes of callers, and what so many calls cost a server and are served like."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from bench.arrivals import Window
from bench.dial import CallFailed, status
from bench.impairment import Conditions
from bench.load_caller import Heard, Task
from bench.processes import Usage, descriptors, pin, tree
from bench.relay import Passed
from bench.target import ROOT, Server, median_p95

CALLS_PER_PROCESS = 20
SETTLE_SECONDS = 2.0
OUTPUT_LIMIT = 1 << 28  # bytes of one line from a process of callers


@dataclass(frozen=True, slots=True)
class Plan:
    """How a load is measured; see `bench load --help`."""

    seconds: float
    samples: int = 1
    mode: str = "echo"
    transport: str = "webrtc"
    probes: int = 1
    caller_cores: Sequence[int] | None = None
    inputs: Sequence[str] = ()
    network: Conditions = field(default_factory=Conditions)


@dataclass(frozen=True, slots=True)
class Row:
    """What so many calls cost, and how they were served, in a stretch of time that ends `at`.

    CPU is in ms per call and second: all, the server's process, those that it started. `rss_mb` is
    theirs together; threads and descriptors are the server's. Latency is the probes', [median,
    p95]. `lost`, `late` and `backlog_ms` are of all calls; `skipped`, in mode "echo", of those that
    speak without a pause. Percent are of packets or of sound, None where nobody knows.
    """

    calls: int
    at: float
    cpu_ms: float
    cpu_server_ms: float
    cpu_children_ms: float
    rss_mb: float
    threads: int
    descriptors: int
    latency_ms: tuple[float, float] | None
    jitter_p95_ms: float
    received: int
    lost: int
    late: int
    skipped: int
    backlog_ms: float
    dropped_percent: float | None
    concealed_percent: float | None
    caller_cpu: float
    caller_lag_ms: float
    failed: list[str]


async def measure(server: Server, calls: int, plan: Plan) -> AsyncIterator[Row]:
    """A row for each of the plan's samples. Raises CallFailed."""
    async with AsyncExitStack() as stack:
        parts = np.array_split(range(calls), -(-calls // CALLS_PER_PROCESS))
        processes = []
        for part in parts:
            first = int(part[0])
            task = Task(
                server.url,
                plan.transport,
                plan.mode,
                len(part),
                min(len(part), max(0, plan.probes - first)),
                first,
                list(plan.inputs),
                asdict(plan.network),
            )
            processes.append(await stack.enter_async_context(_callers(task, plan.caller_cores)))
        await asyncio.gather(*(one.up() for one in processes))
        await asyncio.sleep(SETTLE_SECONDS)
        heard = await asyncio.gather(*(one.window() for one in processes))
        loop = asyncio.get_running_loop()
        began = loop.time()
        before = await _Look.take(server, heard)
        for sample in range(plan.samples):
            due = began + plan.seconds * (sample + 1) / plan.samples
            await asyncio.sleep(due - loop.time())
            heard = await asyncio.gather(*(one.window() for one in processes))
            after = await _Look.take(server, heard)
            yield _row(server, calls, plan, heard, before, after, began)
            before = after


@dataclass(frozen=True, slots=True)
class _Look:
    """The server and the network at one time, counted since their start."""

    time: float
    usages: dict[int, Usage]
    sound: tuple[float, float]  # seconds heard, and made up
    packets: tuple[int, int]  # that came to the relays, and that they dropped, on the way up

    @classmethod
    async def take(cls, server: Server, heard: Sequence[Heard]) -> "_Look":
        passed = list(chain.from_iterable(one.passed for one in heard))
        media = [
            one for call in (await status(server.url)).get("calls", []) for one in call["media"]
        ]
        return cls(
            asyncio.get_running_loop().time(),
            tree(server.pid) if server.pid else {},
            (
                sum(one["heard"] for one in media),
                sum(one["concealed"] + one["recovered"] for one in media),
            ),
            (sum(one.up for one in passed), sum(one.up_lost for one in passed)),
        )


def _row(
    server: Server,
    calls: int,
    plan: Plan,
    heard: Sequence[Heard],
    before: _Look,
    after: _Look,
    began: float,
) -> Row:
    seconds = after.time - before.time
    per_call = 1000 / (calls * seconds)
    cpu = {
        pid: per_call * (usage.cpu - before.usages[pid].cpu)
        for pid, usage in after.usages.items()
        if pid in before.usages
    }
    children = sum(used for pid, used in cpu.items() if pid != server.pid)
    others = list(chain.from_iterable(one.others for one in heard))
    windows = [*chain.from_iterable(one.probes for one in heard), *others]
    latency = [ms for one in heard for _, ms in one.latency if ms is not None]
    deviations = list(chain.from_iterable(window.deviations_ms for window in windows))
    own = after.usages.get(server.pid or 0)
    return Row(
        calls=calls,
        at=round(after.time - began, 1),
        cpu_ms=round(sum(cpu.values()), 2),
        cpu_server_ms=round(cpu.get(server.pid or 0, 0.0), 2),
        cpu_children_ms=round(children, 2),
        rss_mb=round(sum(usage.rss_mb for usage in after.usages.values()), 1),
        threads=own.threads if own else 0,
        descriptors=descriptors(server.pid) if server.pid else 0,
        latency_ms=median_p95(latency) if latency else None,
        jitter_p95_ms=round(float(np.percentile(deviations, 95)), 2) if deviations else 0.0,
        received=sum(window.received for window in windows),
        lost=sum(window.lost for window in windows),
        late=sum(window.late for window in windows),
        skipped=sum(window.skipped for window in others) if plan.mode == "echo" else 0,
        backlog_ms=max((window.backlog_ms for window in windows), default=0.0),
        dropped_percent=_percent(before.packets, after.packets),
        concealed_percent=_percent(before.sound, after.sound),
        caller_cpu=round(sum(one.cpu for one in heard) / seconds, 2),
        caller_lag_ms=max(one.lag_ms for one in heard),
        failed=[reason for one in heard for reason in one.failed],
    )


def _percent(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    """Of what was counted in between, the share that the second figure is of the first."""
    whole = after[0] - before[0]
    return round(100 * (after[1] - before[1]) / whole, 2) if whole > 0 else None


class _Process:
    """A process of callers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def up(self) -> None:
        """Wait until its calls are up."""
        await self._read()

    async def window(self) -> Heard:
        """What was heard since the last time."""
        await self.send("")
        found = await self._read()
        for name in ("probes", "others"):
            found[name] = [Window(**window) for window in found[name]]
        found["passed"] = [Passed(**passed) for passed in found["passed"]]
        return Heard(**found)

    async def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise CallFailed("a process of callers ended")
        return dict(json.loads(line))


@asynccontextmanager
async def _callers(task: Task, on: Sequence[int] | None) -> AsyncIterator[_Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load_caller",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=OUTPUT_LIMIT,
    )
    pin(process.pid, on)
    callers = _Process(process)
    try:
        await callers.send(json.dumps(asdict(task)))
        yield callers
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
