"""The server that is measured: one that runs already, or one started for the measurement."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.dial import TRANSPORTS, CallFailed
from bench.processes import pin

ROOT = Path(__file__).parent.parent
READY_TIMEOUT = 120.0


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """`URL`, or what to start a server with."""
    parser.add_argument("url", nargs="?", metavar="URL", help="server to measure; else one is run")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="a setting of the server that is run",
    )
    parser.add_argument(
        "--transport", choices=TRANSPORTS, default="webrtc", help="what carries the calls"
    )
    parser.add_argument("--json", action="store_true", help="report in JSON on standard output")


@asynccontextmanager
async def target(url: str | None, overrides: Sequence[str]) -> AsyncIterator[str]:
    """The URL of the server to measure, ready; ends it if it was started here.

    Raises CallFailed.
    """
    if url:
        yield url
        return
    async with started(overrides) as server:
        yield server.url


@dataclass(frozen=True, slots=True)
class Server:
    """Its URL, and its process if that is on this machine and known."""

    url: str
    pid: int | None


@asynccontextmanager
async def started(
    overrides: Sequence[str], cores: Collection[int] | None = None
) -> AsyncIterator[Server]:
    """A server of our own, ready, on these cores; ends it. Raises CallFailed."""
    options = [option for override in overrides for option in ("--set", override)]
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "serve",
        "--json",
        "--port=0",
        "--set=webrtc.tcp_port=0",
        "--set=server.log_level=warning",
        *options,
    ]
    async with running(command, cores) as server:
        await _ready(server.url)
        yield server


@asynccontextmanager
async def running(
    command: Sequence[str], cores: Collection[int] | None = None
) -> AsyncIterator[Server]:
    """Any server that says its "url" in a first line of JSON; ends it. Raises CallFailed."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        pin(process.pid, cores)
        line = await process.stdout.readline()
        if not line:
            raise CallFailed(f"the server did not start: {' '.join(command[:2])}")
        yield Server(json.loads(line)["url"], process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(round(READY_TIMEOUT / 0.1)):
            async with http.get(f"{url}/ready") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.1)
    raise CallFailed(f"the engine was not ready within {READY_TIMEOUT:g} s")


def median_p95(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile (nearest rank) of at least one value."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
