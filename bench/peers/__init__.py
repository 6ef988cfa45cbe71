"""The same echo calls to other servers and to ours, one after the other, with the same callers.

    bench/peers/install.sh
    python run.py bench peers --calls 1,10 --seconds 20 --server-cores 0 --caller-cores 1

Each peer is a program of this folder: bare aiohttp and aiortc, in this environment; FastRTC and
Pipecat, in one of their own.
"""

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from bench.callers import Plan, Row, measure
from bench.dial import CallFailed
from bench.load import ENGINES, HEADER, UNLIMITED, add_load_arguments, line
from bench.target import ROOT, running, started

HERE = Path(__file__).parent
PYTHON = ROOT / ".peers" / "bin" / "python"
PEERS: dict[str, list[str]] = {
    "vaani": [],
    "bare": [sys.executable, str(HERE / "bare.py")],
    "fastrtc": [str(PYTHON), str(HERE / "fastrtc_echo.py")],
    "pipecat": [str(PYTHON), str(HERE / "pipecat_echo.py")],
}
"""How each is started; ours has a way of its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_load_arguments(parser)
    parser.add_argument("--peer", choices=PEERS, action="append", help="only this; may be repeated")
    parser.add_argument("--json", action="store_true", help="report in JSON on standard output")


def run(args: argparse.Namespace) -> int:
    names = args.peer or list(PEERS)
    if not PYTHON.exists() and not {"vaani", "bare"}.issuperset(names):
        print(f"vaani: the peers are not installed: run {HERE / 'install.sh'}", file=sys.stderr)
        return 1
    try:
        results = asyncio.run(_run(args, names))
    except CallFailed as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({name: [asdict(row) for row in rows] for name, rows in results.items()}))
    return 0


async def _run(args: argparse.Namespace, names: list[str]) -> dict[str, list[Row]]:
    plan = Plan(args.seconds, caller_cores=args.caller_cores)
    results: dict[str, list[Row]] = {}
    for name in names:
        if not args.json:
            print(f"{name}\n{HEADER}", flush=True)
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(
                running(PEERS[name], args.server_cores)
                if PEERS[name]
                else started([f"engine.name={ENGINES['echo']}", *UNLIMITED], args.server_cores)
            )
            results[name] = []
            for calls in args.calls:
                async for row in measure(server, calls, plan):
                    results[name].append(row)
                    if not args.json:
                        print(line(row), flush=True)
    return results
