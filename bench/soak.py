"""Many calls, one after the other and at once, for a long time: does anything grow?

    python run.py bench soak --sequential 300 --concurrent 10 --seconds 600

Every call is a real one, over WebRTC unless --transport names another, and asks for an answer;
between samples the server's own account of its memory, threads, descriptors and tasks is taken, and
its engine host's memory from outside.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.audio import AudioFileError
from bench.call import read_speech, say_and_listen
from bench.caller import CallFailed, connect
from bench.target import add_target_arguments, median_p95, target
from bench.voices import CALLER_VOICES, speak
from media.frames import Samples

COMMAND = "what can you do"


@dataclass(frozen=True, slots=True)
class Sample:
    """What server and engine host hold after so many seconds; memory in MB."""

    seconds: float
    calls: int
    rss_mb: float
    host_rss_mb: float | None
    threads: int
    descriptors: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of load. `first_audio_ms`: end of speech to answer, median and 95th percentile."""

    name: str
    turns: int
    failed: list[str]
    first_audio_ms: tuple[float, float] | None
    series: list[Sample]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target_arguments(parser)
    parser.add_argument("--sequential", type=int, default=300, metavar="N", help="calls in a row")
    parser.add_argument("--concurrent", type=int, default=10, metavar="N", help="calls at once")
    parser.add_argument("--seconds", type=float, default=600, metavar="S", help="of the latter")
    parser.add_argument("--samples", type=int, default=20, metavar="N", help="per phase")
    parser.add_argument(
        "--input", type=Path, metavar="USER.WAV", help=f'say this in place of "{COMMAND}"'
    )


def run(args: argparse.Namespace) -> int:
    try:
        inputs = (
            [read_speech(args.input)]
            if args.input
            else [speak(COMMAND, voice) for voice in CALLER_VOICES]
        )
        phases = asyncio.run(_run(args, inputs))
    except (AudioFileError, CallFailed) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps([asdict(phase) for phase in phases]))
    else:
        for phase in phases:
            _show(phase)
    return 1 if any(phase.failed for phase in phases) else 0


async def _run(args: argparse.Namespace, inputs: Sequence[Samples]) -> list[Phase]:
    phases = []
    async with target(args.url, args.overrides) as url:
        if args.sequential:
            phases.append(await _sequential(url, inputs, args))
        if args.concurrent:
            phases.append(await _concurrent(url, inputs, args))
    return phases


async def _sequential(url: str, inputs: Sequence[Samples], args: argparse.Namespace) -> Phase:
    count = args.sequential
    watch = _Watch(url)
    latencies: list[float] = []
    failed: list[str] = []
    for index in range(count):
        if index % max(1, count // args.samples) == 0:
            await watch.take()
        said = inputs[index % len(inputs)]
        try:
            async with connect(url, args.transport) as caller:
                result = await say_and_listen(caller, said, hang_up_after=0.5)
                _note(result.first_audio_ms, latencies)
        except CallFailed as error:
            failed.append(str(error))
    await watch.take()
    return _phase(f"{count} calls in a row", latencies, failed, watch)


async def _concurrent(url: str, inputs: Sequence[Samples], args: argparse.Namespace) -> Phase:
    count, seconds = args.concurrent, args.seconds
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    watch = _Watch(url)
    latencies: list[float] = []
    failed: list[str] = []

    async def converse(index: int) -> None:
        """One caller who goes on asking, in one call, until the time is up."""
        await asyncio.sleep(index * 0.37)  # not all in step
        try:
            async with connect(url, args.transport) as caller:
                while loop.time() < deadline:
                    result = await say_and_listen(caller, inputs[index % len(inputs)])
                    _note(result.first_audio_ms, latencies)
        except CallFailed as error:
            failed.append(str(error))

    calls = asyncio.gather(*(converse(index) for index in range(count)))
    while not calls.done():
        await watch.take()
        await asyncio.wait([calls], timeout=seconds / args.samples)
    await calls
    await watch.take()
    return _phase(f"{count} calls at once for {seconds:g} s", latencies, failed, watch)


def _note(milliseconds: float | None, latencies: list[float]) -> None:
    if milliseconds is not None:
        latencies.append(milliseconds)


def _phase(name: str, latencies: list[float], failed: list[str], watch: "_Watch") -> Phase:
    figures = median_p95(latencies) if latencies else None
    return Phase(name, len(latencies), failed, figures, watch.series)


class _Watch:
    """Takes the server's figures now and then."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._began = asyncio.get_running_loop().time()
        self.series: list[Sample] = []

    async def take(self) -> None:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self._url}/status") as response,
        ):
            status: dict[str, Any] = await response.json()
        process = status["process"]
        self.series.append(
            Sample(
                seconds=round(asyncio.get_running_loop().time() - self._began, 1),
                calls=status["since_start"]["sessions"],
                rss_mb=process["rss_mb"],
                host_rss_mb=_resident_mb(status["engine"]["pid"]),
                threads=process["threads"],
                descriptors=process["descriptors"],
                tasks=process["tasks"],
            )
        )


def _resident_mb(pid: int) -> float | None:
    """Of a process on this machine, where there is /proc."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) / 1000, 1)
    except FileNotFoundError:
        pass
    return None


def _show(phase: Phase) -> None:
    print(f"\n{phase.name}: {phase.turns} answers, {len(phase.failed)} failed")
    for failure in sorted(set(phase.failed)):
        print(f"  {phase.failed.count(failure)} x {failure}")
    if phase.first_audio_ms:
        print("  first audio: median {:.0f} ms, p95 {:.0f} ms".format(*phase.first_audio_ms))
    print("  seconds  calls  rss MB  host MB  threads  descriptors  tasks")
    for s in phase.series:
        print(
            f"  {s.seconds:7.0f}  {s.calls:5}  {s.rss_mb:6.1f}  {s.host_rss_mb or 0:7.1f}"
            f"  {s.threads:7}  {s.descriptors:11}  {s.tasks:5}"
        )
