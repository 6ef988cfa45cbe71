"""A process of callers, driven by `bench.load` through its standard input and output.

In: a line of JSON, the `Task`; then a line for each window that ends, and nothing more to hang up.
Out: a line when the calls are up, and one for each window, the first of which began unasked.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.arrivals import Window
from bench.audio import read_audio
from bench.caller import RATE
from bench.dial import CallFailed
from bench.impairment import Conditions
from bench.loops import marker_loop, speech_loop, talk_loop
from bench.packet_call import PacketCall, carried
from bench.probe import MarkerProbe, Probe, TalkProbe
from bench.relay import Passed, Relay

CONNECTING = 4  # calls at a time
STRIDE = 97  # packets by which one caller is ahead of the other in what all say
LAG_SECONDS = 0.005  # between two looks at the event loop's own lateness


@dataclass(frozen=True, slots=True)
class Task:
    """`calls` calls to `url`, the first `probes` of which measure latency.

    `first` is the number of the first among all callers' calls, `inputs` what they say in mode
    "talk", `network` the fields of `Conditions`.
    """

    url: str
    transport: str
    mode: str
    calls: int
    probes: int
    first: int
    inputs: list[str]
    network: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one process heard in a window: `probes` and other calls; of `latency` when, and how many
    ms; what the relays passed since the start; its own CPU seconds and its event loop's p95 lag.
    """

    probes: list[Window]
    others: list[Window]
    latency: list[tuple[float, float | None]]
    passed: list[Passed]
    cpu: float
    lag_ms: float
    failed: list[str]


class Callers:
    """The calls of this process."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._failed: list[str] = []
        self._cpu = time.process_time()
        self._lags: list[float] = []
        inputs = [read_audio(Path(path), RATE) for path in task.inputs]
        sound = speech_loop() if task.mode == "echo" else talk_loop(inputs)
        packets = sound.packets(task.transport)
        self._probes: list[Probe] = [
            MarkerProbe(marker_loop(), task.transport)
            if task.mode == "echo"
            else TalkProbe(sound, task.transport)
            for _ in range(task.probes)
        ]
        numbers = range(task.first + task.probes, task.first + task.calls)
        self._others = [PacketCall(packets, STRIDE * number) for number in numbers]
        network = Conditions(**task.network)
        self._relays = [
            None if network.clean else Relay(network, str(task.first + index))
            for index in range(task.calls)
        ]

    async def run(self, lines: asyncio.StreamReader) -> None:
        async with AsyncExitStack() as stack:
            limit = asyncio.Semaphore(CONNECTING)

            async def call(one: PacketCall, relay: Relay | None) -> None:
                async with limit:
                    try:
                        await stack.enter_async_context(
                            carried(one, self._task.url, self._task.transport, relay)
                        )
                    except CallFailed as error:
                        self._failed.append(str(error))

            calls = [*self._probes, *self._others]
            await asyncio.gather(*map(call, calls, self._relays))
            watch = asyncio.create_task(self._watch())
            _say({"up": len(calls) - len(self._failed), "failed": self._failed})
            while await lines.readline():
                _say(asdict(await self._take()))
            watch.cancel()

    async def _watch(self) -> None:
        while True:
            due = self._loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lags.append(self._loop.time() - due)

    async def _take(self) -> Heard:
        cpu, self._cpu = time.process_time() - self._cpu, time.process_time()
        lags, self._lags = sorted(self._lags), []
        probes = [one.arrivals.take() for one in self._probes]
        others = [one.arrivals.take() for one in self._others]
        return Heard(
            probes=probes,
            others=others,
            latency=[mark for one in self._probes for mark in await one.take()],
            passed=[relay.passed() for relay in self._relays if relay],
            cpu=cpu,
            lag_ms=round(1000 * lags[int(0.95 * len(lags))], 2) if lags else 0.0,
            failed=self._failed,
        )


def _say(message: object) -> None:
    print(json.dumps(message), flush=True)


async def _main() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    task = Task(**json.loads(await lines.readline()))
    await Callers(task).run(lines)


if __name__ == "__main__":
    asyncio.run(_main())
