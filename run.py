"""The command line of Vaani: `run.py serve`, `call`, `doctor`, `config show` and `bench`.

Imports wait until a command needs them, so that help and mistakes are answered at once.
Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from server.app import Listening
    from server.config import Config
    from server.settings import Setting

BENCHES = {
    "latency": "mouth to ear: how late the caller's own sounds come back",
    "load": "what each of many calls costs the server, and how well each is served",
    "peers": "the same load on other servers that echo, and on ours",
    "commands": "how many spoken commands are understood, and how soon they are answered",
    "bargein": "how soon the server falls silent when the caller speaks over it",
    "paths": "how long a call takes to come about over each path, and how soon it is answered",
    "resume": "the gap, and the words lost, when UDP is dropped in the middle of an answer",
    "engine": "how soon an engine answers, and how many calls it carries at once",
    "echo": "whether an answer is interrupted by its own echo, and by a person",
    "hold": "whether a call stays up on its path and goes on answering",
    "soak": "many calls for a long time: latency, memory and errors",
}
"""Modules of `bench`, with what they measure."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Raises SystemExit for help and wrong usage."""
    args = make_parser().parse_args(argv)
    try:
        return int(args.command(args))
    except KeyboardInterrupt:
        return 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where to find more."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"vaani: {message} (see {self.prog} --help)\n")


def make_parser() -> Parser:
    parser = Parser(description="Vaani, a real-time speech-to-speech media server.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server until it is interrupted (Ctrl-C) or terminated.",
        epilog="Precedence: the command line, VAANI_SECTION__KEY in the environment, the file, "
        "the defaults.",
    )
    add_settings_arguments(command)
    # Shorthands are overrides like any other: the last one on the line wins.
    for name, what in (("host", "address to listen on"), ("port", "TCP port; 0 takes a free one")):
        command.add_argument(
            f"--{name}",
            dest="overrides",
            action="append",
            type=f"server.{name}={{}}".format,
            metavar=name.upper(),
            help=f"{what}: the same as --set server.{name}={name.upper()}",
        )
    command.add_argument(
        "--json", action="store_true", help="say on standard output in JSON lines what happens"
    )
    command.set_defaults(command=serve)

    command = commands.add_parser(
        "call",
        help="call a server with recordings in place of a microphone",
        description="Call a server, play recordings to it and record what it answers.",
    )
    command.add_argument("url", metavar="URL", help="of the server: http://127.0.0.1:8000")
    command.add_argument(
        "--input",
        dest="inputs",
        action="append",
        required=True,
        type=Path,
        metavar="USER.WAV",
        help="WAV or FLAC to say; each further one is said after the answer to the one before",
    )
    command.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="REPLY.WAV",
        help="WAV to write the answers to",
    )
    command.add_argument(
        "--interrupt-after",
        type=float,
        metavar="SECONDS",
        help="say the next input when so much of an answer has been heard, not at its end",
    )
    command.add_argument(
        "--transport",
        choices=("webrtc", "websocket", "tcp"),
        default="webrtc",
        help="what carries the call; webrtc is the default",
    )
    command.add_argument("--json", action="store_true", help="report in JSON on standard output")
    command.set_defaults(command=call)

    command = commands.add_parser(
        "doctor",
        help="what this host can offer, what a caller will get, and what to change",
        description="Check this host against the settings. Exit code 0: all that is configured "
        "works; 1: something does not; 2: the settings are wrong.",
    )
    add_settings_arguments(command)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(command=doctor)

    command = commands.add_parser("config", help="look at the configuration")
    config_commands = command.add_subparsers(metavar="COMMAND", required=True)
    command = config_commands.add_parser(
        "show",
        help="every value in effect, and where it comes from",
        description="Print every setting: its key, where its value comes from, and the value. "
        "Secrets are masked.",
    )
    add_settings_arguments(command)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(command=show_config)

    command = commands.add_parser(
        "bench",
        help="measure a server from outside",
        description="Measure a server from outside. The benches are:\n\n"
        + "\n".join(f"  {name:<10} {what}" for name, what in BENCHES.items()),
        epilog="`bench NAME --help` explains each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="NAME", choices=BENCHES, help="one of the above")
    command.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="for the bench")
    command.set_defaults(command=bench, prog=command.prog)
    return parser


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML settings, such as configs/default.yaml"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="a setting for this run; may be repeated (`config show` lists the keys)",
    )


def read_settings(args: argparse.Namespace) -> "tuple[Config, dict[str, Setting]] | None":
    """The settings in effect; None when they are wrong, which has been said then."""
    from media.endpointing import make_turn_model
    from server.config import Config
    from server.settings import SettingsError, load
    from server.words import read_words

    try:
        config, values = load(Config, args.config, os.environ, args.overrides)
        read_words(config.interruption.words)  # files that settings name: missed now, not in a call
        make_turn_model(config.endpointing)
        return config, values
    except ValueError as error:
        complain(f"endpointing.model: {error}")
        return None
    except SettingsError as error:
        for problem in error.problems:
            complain(problem)
        return None


def serve(args: argparse.Namespace) -> int:
    settings = read_settings(args)
    if settings is None:
        return 2
    import dataclasses

    import uvloop

    from server.logs import start_logging

    config = settings[0]
    if config.server.workers == 1:
        from server.app import serve
    else:
        from server.crew.supervisor import serve

    start_logging(config.server.log_level)

    def announce(listening: "Listening") -> None:
        print(json.dumps(dataclasses.asdict(listening)) if args.json else listening, flush=True)

    try:
        uvloop.run(serve(config, announce))
    except OSError as error:
        complain(f"cannot serve: {error.strerror or error}")
        return 1
    return 0


def call(args: argparse.Namespace) -> int:
    from bench.call import main

    return main(args)


def doctor(args: argparse.Namespace) -> int:
    try:
        from server.doctor import examine
        from signaling.public_address import environment
    except ModuleNotFoundError as error:
        complain(f"{error.name} is not installed: run `make setup`")
        return 1
    settings = read_settings(args)
    if settings is None:
        return 2
    report = examine(settings[0], environment())
    print(report.as_json() if args.json else report)
    return 0 if report.ok else 1


def show_config(args: argparse.Namespace) -> int:
    settings = read_settings(args)
    if settings is None:
        return 2
    values = settings[1]
    if args.json:
        rows = {key: {"value": s.value, "source": s.source} for key, s in values.items()}
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    # The value comes last: it is the only column that can be long.
    width = max(map(len, values))
    source_width = max(len(setting.source) for setting in values.values())
    for key, setting in values.items():
        value = json.dumps(setting.value, ensure_ascii=False)
        print(f"{key:<{width}}  {setting.source:<{source_width}}  {value}")
    return 0


def bench(args: argparse.Namespace) -> int:
    module = importlib.import_module(f"bench.{args.name}")
    parser = Parser(prog=f"{args.prog} {args.name}", description=BENCHES[args.name].capitalize())
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(args.arguments)))


def complain(message: str) -> None:
    print(f"vaani: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
