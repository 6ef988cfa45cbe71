"""Many calls at once: what does each cost the server, and how well is each served?

    python run.py bench load --calls 1,10,20 --seconds 20 --server-cores 0 --caller-cores 1
    python run.py bench load --mode talk --find-max --server-cores 0 --caller-cores 1
    python run.py bench load --calls 20 --seconds 3600 --samples 60 --loss 1 --plot hour.svg
    python run.py bench load --calls 10 http://127.0.0.1:9000/offer --pid 4711

Callers are processes of their own and send packets that were encoded once. CPU is that of the
server's process and of those it started, per second of call. A call more is held while no packet
is lost or left out, 95 % come within 10 ms of their time, and the delay does not grow.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.audio import AudioFileError
from bench.call import read_speech
from bench.callers import Plan, Row, measure
from bench.dial import CallFailed
from bench.impairment import add_network_arguments, conditions
from bench.plot import Points, add_plot_argument, draw, require_plot
from bench.processes import cores
from bench.target import Server, add_target_arguments, started

ENGINES = {"echo": "loopback", "talk": "echo"}
UNLIMITED = (
    "server.max_sessions=1000",
    "admission.max_cpu=1000",
    "admission.max_lag=1000",
)
"""What the server can carry is wanted here, not whom it lets in."""
MAX_JITTER = 10.0  # ms
MAX_BACKLOG = 20.0  # ms
MAX_CALLS = 500


@dataclass(frozen=True, slots=True)
class Result:
    """`held`: with --find-max the most calls that were held, 0 if none were."""

    rows: list[Row]
    rss_mb_per_call: float | None
    held: int | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target_arguments(parser)
    add_network_arguments(parser)
    add_plot_argument(parser)
    add_load_arguments(parser)
    parser.add_argument(
        "--mode",
        choices=ENGINES,
        default="echo",
        help="echo: every frame comes back; talk: VAD and turns, the caller's words come back",
    )
    parser.add_argument(
        "--input",
        dest="inputs",
        action="append",
        default=[],
        type=Path,
        metavar="USER.WAV",
        help="say this in mode talk, not what a synthesizer says; may be repeated",
    )
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="rows for each N")
    parser.add_argument("--probes", type=int, default=1, metavar="N", help="that measure latency")
    parser.add_argument("--pid", type=int, help="process of the server at URL, for its CPU")
    parser.add_argument(
        "--find-max", action="store_true", help="more calls than --calls until one is not held"
    )


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """How many calls, how long and where."""
    parser.add_argument(
        "--calls", type=numbers, default=[10], metavar="N[,N...]", help="calls at once"
    )
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="for each N")
    parser.add_argument("--server-cores", type=cores, metavar="LIST", help="such as 0 or 0-3")
    parser.add_argument("--caller-cores", type=cores, metavar="LIST")


def run(args: argparse.Namespace) -> int:
    try:
        require_plot(args.plot)
        for path in args.inputs:
            read_speech(path)
        result = asyncio.run(_run(args, make_plan(args)))
    except (AudioFileError, CallFailed, ValueError) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.plot:
        draw(args.plot, *panels(result.rows))
    if args.json:
        print(json.dumps(asdict(result)))
    else:
        if result.rss_mb_per_call is not None:
            print(f"memory: {result.rss_mb_per_call:.2f} MB a call")
        if result.held is not None:
            print(f"held: {result.held} calls")
    return 1 if not args.find_max and any(row.failed for row in result.rows) else 0


def make_plan(args: argparse.Namespace) -> Plan:
    """What the arguments say. Raises ValueError."""
    return Plan(
        seconds=args.seconds,
        samples=args.samples,
        mode=args.mode,
        transport=args.transport,
        probes=args.probes,
        caller_cores=args.caller_cores,
        inputs=[str(path.resolve()) for path in args.inputs],
        network=conditions(args),
    )


async def _run(args: argparse.Namespace, plan: Plan) -> Result:
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        if args.url:
            server = Server(args.url, args.pid)
        else:
            overrides = [f"engine.name={ENGINES[args.mode]}", *UNLIMITED, *args.overrides]
            server = await stack.enter_async_context(started(overrides, args.server_cores))

        async def take(calls: int) -> bool:
            held = True
            async for row in measure(server, calls, plan):
                rows.append(row)
                held = held and holds(row)
                if not args.json:
                    print(line(row), flush=True)
            return held

        if not args.json:
            print(HEADER)
        most = await find_max(take, args.calls[0], MAX_CALLS) if args.find_max else None
        for calls in args.calls if most is None else ():
            await take(calls)
    return Result(rows, slope([(row.calls, row.rss_mb) for row in rows if holds(row)]), most)


async def find_max(held: Callable[[int], Awaitable[bool]], first: int, limit: int) -> int:
    """The most calls, to one in twenty, that are held: twice as many until not, then in between."""
    low, high = 0, first
    while await held(high):
        if high == limit:
            return limit
        low, high = high, min(2 * high, limit)
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        if await held(middle):
            low = middle
        else:
            high = middle
    return low


def holds(row: Row) -> bool:
    """Whether the calls were served as calls should be."""
    return (
        not row.failed
        and row.received > 0
        and row.lost == row.skipped == 0
        and row.jitter_p95_ms < MAX_JITTER
        and row.backlog_ms < MAX_BACKLOG
    )


def slope(points: Points) -> float | None:
    """By how much y grows when x grows by one; None if there are not two different x."""
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    if len(np.unique(x)) < 2:
        return None
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def panels(rows: Sequence[Row]) -> tuple[dict[str, dict[str, Points]], str]:
    """What to plot, and over what: over the time if it is always the same number of calls."""
    over_time = len({row.calls for row in rows}) == 1
    ordered = sorted(rows, key=lambda row: row.at if over_time else row.calls)
    points: dict[str, dict[str, list[tuple[float, float]]]] = {
        "latency, ms": {"median": [], "p95": []},
        "CPU, ms per call-second": {"all": [], "server": []},
        "memory, MB": {"all": []},
    }
    if over_time:
        points["threads, descriptors"] = {"threads": [], "descriptors": []}
    for row in ordered:
        x = row.at if over_time else row.calls
        if row.latency_ms:
            points["latency, ms"]["median"].append((x, row.latency_ms[0]))
            points["latency, ms"]["p95"].append((x, row.latency_ms[1]))
        points["CPU, ms per call-second"]["all"].append((x, row.cpu_ms))
        points["CPU, ms per call-second"]["server"].append((x, row.cpu_server_ms))
        points["memory, MB"]["all"].append((x, row.rss_mb))
        if over_time:
            points["threads, descriptors"]["threads"].append((x, row.threads))
            points["threads, descriptors"]["descriptors"].append((x, row.descriptors))
    return {name: dict(lines) for name, lines in points.items()}, (
        "seconds" if over_time else "calls"
    )


HEADER = (
    "calls  seconds  CPU ms/call-s (server+host)  RSS MB  thr  fds  latency ms   jitter p95  lost"
    "  late  skipped  backlog  dropped  concealed  caller CPU/lag"
)


def line(row: Row) -> str:
    latency = "{:.0f} / {:.0f}".format(*row.latency_ms) if row.latency_ms else "-"
    dropped, concealed = (
        "-" if share is None else f"{share:.2f} %"
        for share in (row.dropped_percent, row.concealed_percent)
    )
    return (
        f"{row.calls:5}  {row.at:7.0f}  {row.cpu_ms:12.1f} ({row.cpu_server_ms:5.1f}+"
        f"{row.cpu_children_ms:4.1f})  {row.rss_mb:6.0f}  {row.threads:3}  {row.descriptors:3}"
        f"  {latency:>10}  {row.jitter_p95_ms:8.1f} ms  {row.lost:4}  {row.late:4}"
        f"  {row.skipped:7}  {row.backlog_ms:4.0f} ms  {dropped:>7}  {concealed:>9}"
        f"  {row.caller_cpu:4.2f} / {row.caller_lag_ms:.0f} ms  {'; '.join(set(row.failed))}"
    )


def numbers(text: str) -> list[int]:
    """Calls, as in "1,10,20". Raises ValueError."""
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise ValueError("at least one call")
    return found
