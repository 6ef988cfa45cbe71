"""The server that is measured: one that runs already, or one started for the measurement."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bench.caller import TRANSPORTS, CallFailed

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
    options = [option for override in overrides for option in ("--set", override)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "run.py"),
        "serve",
        "--json",
        "--port=0",
        "--set=webrtc.tcp_port=0",
        "--set=server.log_level=warning",
        *options,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise CallFailed("the server did not start")
        url = json.loads(line)["url"]
        await _ready(url)
        yield url
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
