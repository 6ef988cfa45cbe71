"""Does the bot stop when a person speaks over it, and go on when it was nothing?

    python run.py bench bargein --suite configs/bargein/interruptions.yaml --report out.html
    python run.py bench bargein http://127.0.0.1:8000 --transport websocket --calls 8 --json
    python run.py bench bargein --peer pipecat --recordings ../speech --beside vaani.json
    python run.py bench bargein wss://host/v1/realtime?model=name

Callers outside the server play the scenarios of suites (configs/bargein/*.yaml) and judge by what
is heard at their ears; `bench.bargein.judge` has the definitions. The seed decides who says what,
when, and what noise there is. Exit code 1: a threshold of a suite was not kept.
"""

import argparse
from pathlib import Path

from bench.target import add_target_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target_arguments(parser)
    parser.add_argument(
        "--suite",
        dest="suites",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE.yaml",
        help="what to play; else all of configs/bargein but small.yaml",
    )
    parser.add_argument("--peer", metavar="NAME", help="measure this one of bench/peers, not Vaani")
    parser.add_argument("--calls", type=int, default=4, metavar="N", help="at once")
    parser.add_argument(
        "--scenario",
        dest="scenarios",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="only these of the suites",
    )
    parser.add_argument(
        "--recordings", type=Path, metavar="FOLDER", help="WAV and FLAC of people who speak"
    )
    parser.add_argument("--seed", type=int, help="in place of the suites' own")
    parser.add_argument(
        "--report", type=Path, metavar="OUT.html", help="write tables and pictures to show"
    )
    parser.add_argument(
        "--beside",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE.json",
        help="what --json printed for others, to be in the report too",
    )


def run(args: argparse.Namespace) -> int:
    from bench.bargein.command import main

    return main(args)
