"""Mouth to ear: how late do the caller's own sounds come back from a server that echoes?

    python run.py bench latency --seconds 60 --loss 2 --jitter 30
    python run.py bench latency http://127.0.0.1:9000/offer

Markers are found in what comes back, by their waveform. A sample is spoken up to 20 ms before its
packet is complete, and heard when the packet that brings it back has come, at its place in it.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from bench.dial import CallFailed, status
from bench.impairment import Conditions, add_network_arguments, conditions
from bench.loops import marker_loop
from bench.packet_call import carried
from bench.plot import add_plot_argument, draw, require_plot
from bench.probe import PATIENCE, MarkerProbe
from bench.relay import Passed, Relay
from bench.target import add_target_arguments, median_p95, target

QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Result:
    """One call, or several at once. Times in ms; [median, p95].

    `first_packet_ms`, `first_audible_ms`: from before the offer, of each call; `quarters_ms`: the
    median in each quarter of the time; `markers`: heard and said; `arrived`, `lost`: packets at the
    caller; `network`: what the relays dropped; `server`: what the server says of each call's audio.
    """

    latency_ms: tuple[float, float] | None
    quarters_ms: list[float | None]
    first_packet_ms: list[float]
    first_audible_ms: list[float]
    markers: tuple[int, int]
    arrived: int
    lost: int
    network: list[Passed]
    server: list[dict[str, Any]]
    series: list[tuple[float, float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target_arguments(parser)
    add_network_arguments(parser)
    add_plot_argument(parser)
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="of each call")
    parser.add_argument("--calls", type=int, default=1, metavar="N", help="at once")


def run(args: argparse.Namespace) -> int:
    try:
        require_plot(args.plot)
        result = asyncio.run(_run(args, conditions(args)))
        if args.plot:
            draw(args.plot, {"mouth to ear, ms": {"": result.series}}, "seconds")
    except (CallFailed, ValueError) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(result)))
    else:
        _show(result)
    return 0 if result.latency_ms else 1


async def _run(args: argparse.Namespace, network: Conditions) -> Result:
    async with target(args.url, ["engine.name=loopback", *args.overrides]) as url:
        relays = [None if network.clean else Relay(network, str(n)) for n in range(args.calls)]
        probes = [MarkerProbe(marker_loop(), args.transport) for _ in relays]
        loop = asyncio.get_running_loop()
        began = []
        async with AsyncExitStack() as stack:
            for probe, relay in zip(probes, relays, strict=True):
                began.append(loop.time())
                await stack.enter_async_context(carried(probe, url, args.transport, relay))
            await asyncio.sleep(args.seconds + PATIENCE)
            calls = (await status(url)).get("calls", [])
            reports = [report for call in calls for report in call["media"]]
            windows = [probe.arrivals.take() for probe in probes]
            passed = [relay.passed() for relay in relays if relay]
            said = [mark for probe in probes for mark in await probe.take()]
    found = sorted((at - began[0], ms) for at, ms in said if ms is not None)
    pairs = list(zip(probes, began, strict=True))
    return Result(
        latency_ms=median_p95([ms for _, ms in found]) if found else None,
        quarters_ms=quarters(found, args.seconds),
        first_packet_ms=[_since(probe.first_packet, start) for probe, start in pairs],
        first_audible_ms=[_since(probe.first_audible, start) for probe, start in pairs],
        markers=(len(found), len(said)),
        arrived=sum(window.received for window in windows),
        lost=sum(window.lost for window in windows),
        network=passed,
        server=reports,
        series=[(round(at, 3), ms) for at, ms in found],
    )


def quarters(series: Sequence[tuple[float, float]], seconds: float) -> list[float | None]:
    """The median of the values in each quarter of the time; None where there is none."""
    parts: list[list[float]] = [[] for _ in range(QUARTERS)]
    for at, value in series:
        parts[min(QUARTERS - 1, int(QUARTERS * at / seconds))].append(value)
    return [median_p95(part)[0] if part else None for part in parts]


def _since(at: float | None, began: float) -> float:
    return round(1000 * (at - began), 1) if at is not None else float("nan")


def _show(result: Result) -> None:
    heard, said = result.markers
    if result.latency_ms:
        print("mouth to ear: median {:.1f} ms, p95 {:.1f} ms".format(*result.latency_ms))
        parts = ["-" if q is None else f"{q:.1f}" for q in result.quarters_ms]
        print(f"median in each quarter of the time: {', '.join(parts)} ms")
    print(f"markers heard: {heard} of {said}")
    print(f"offer to first packet: {median_p95(result.first_packet_ms)[0]:.0f} ms")
    print(f"offer to first audible: {median_p95(result.first_audible_ms)[0]:.0f} ms")
    print(f"packets at the caller: {result.arrived} arrived, {result.lost} lost")
    if result.network:
        up, down = _share(result.network, "up"), _share(result.network, "down")
        print(f"the network dropped {up:.2f} % on the way up, {down:.2f} % down")
    seconds = sum(report["heard"] for report in result.server)
    if seconds:
        made_up = sum(report["concealed"] + report["recovered"] for report in result.server)
        print(f"the server concealed or recovered {100 * made_up / seconds:.2f} %")


def _share(network: Sequence[Passed], way: str) -> float:
    """Percent of the packets that were dropped."""
    passed = sum(int(getattr(one, way)) for one in network)
    return 100 * sum(int(getattr(one, f"{way}_lost")) for one in network) / max(1, passed)
