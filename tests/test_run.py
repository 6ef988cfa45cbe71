"""The command line, as its users meet it."""

import asyncio
import json
import socket
import subprocess
import sys
import types
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import run
from server.config import Config

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})


@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["call"], ["doctor"], ["config"], ["config", "show"], ["bench"]],
    ids=lambda command: " ".join(command) or "run.py",
)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run.main([*command, "--help"])
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: ")
    assert err == ""


def test_help_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, run\n"
        "try: run.main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'server', 'media', 'signaling', 'inference', 'bench', 'pydantic', 'yaml'}\n"
        "print(sorted(slow & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("serve", "call", "doctor", "config", "bench"):
        assert f"    {command} " in done.stdout


def test_the_help_of_bench_lists_every_bench(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["bench", "--help"])
    out = capsys.readouterr().out
    for name, what in run.BENCHES.items():
        assert f"{name} " in out
        assert what in out


@pytest.mark.parametrize("name", run.BENCHES)
def test_every_bench_in_the_table_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run.main(["bench", name, "--help"])
    assert caught.value.code == 0
    assert f"bench {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "COMMAND"),
        (["serv"], "serv"),
        (["serve", "--prot", "1"], "--prot"),
        (["call", "http://127.0.0.1"], "--input, --output"),
        (["bench", "none"], "none"),
    ],
)
def test_wrong_usage(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run.main(argv)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vaani: ")
    assert message in err
    assert err.endswith("--help)\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["serve"], ["doctor"], ["config", "show"]])
def test_wrong_settings_are_all_told(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("vad:\n  treshold: 0.4\n", encoding="utf-8")
    assert run.main([*command, "--config", str(file), "--set", "server.port=many"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"vaani: {file}:2: vad.treshold is not a setting; did you mean vad.threshold?",
        'vaani: --set server.port should be a whole number, not "many"',
    ]


def test_a_missing_configuration_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["config", "show", "--config", "none.yaml"]) == 2
    assert capsys.readouterr().err == "vaani: none.yaml: there is no such file\n"


def test_config_show_tells_where_values_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("server:\n  port: 9000\n  max_sessions: 2\n", encoding="utf-8")
    monkeypatch.setattr(
        "os.environ", {"VAANI_ENGINE__LLM__API_KEY": "hunter2", "VAANI_SERVER__PORT": "9001"}
    )
    argv = ["config", "show", "--config", "mine.yaml", "--set", "vad.detector=energy"]
    assert run.main(argv) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in out.splitlines()}
    assert rows["server.host"] == ["default", '"127.0.0.1"']
    assert rows["server.max_sessions"] == ["mine.yaml:3", "2"]
    assert rows["server.port"] == ["VAANI_SERVER__PORT", "9001"]
    assert rows["engine.llm.api_key"] == ["VAANI_ENGINE__LLM__API_KEY", '"********"']
    assert rows["vad.detector"] == ["--set", '"energy"']
    starts = {
        line.index(rows[line.split()[0]][0], len(line.split()[0])) for line in out.splitlines()
    }
    assert len(starts) == 1  # the sources are in one column

    assert run.main([*argv, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == list(rows)
    assert shown["server.port"] == {"value": 9001, "source": "VAANI_SERVER__PORT"}
    assert shown["engine.llm.api_key"]["value"] == "********"
    assert shown["webrtc.ice_servers"] == {"value": [], "source": "default"}


@dataclass(frozen=True)
class FakeListening:
    url: str

    def __str__(self) -> str:
        return f"listening on {self.url}"


def use_app(monkeypatch: pytest.MonkeyPatch, failure: BaseException | None = None) -> list[Config]:
    """Puts an app in place of the real one that notes its configurations; the list of them."""
    served: list[Config] = []

    async def serve(config: Config, announce: Callable[[FakeListening], None]) -> None:
        await asyncio.sleep(0)
        served.append(config)
        if failure:
            raise failure
        announce(FakeListening(f"http://{config.server.host}:{config.server.port}"))

    app = types.ModuleType("server.app")
    app.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "server.app", app)
    return served


def test_serve_listens_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served = use_app(monkeypatch)
    argv = ["serve", "--host", "0.0.0.0", "--set", "server.port=1", "--port", "9002"]
    assert run.main(argv) == 0
    assert (served[0].server.host, served[0].server.port) == ("0.0.0.0", 9002)
    assert capsys.readouterr().out == "listening on http://0.0.0.0:9002\n"
    assert run.main([*argv, "--set", "server.port=9003", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"url": "http://0.0.0.0:9003"}


def test_serve_that_cannot_listen_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_app(monkeypatch, OSError(98, "Address already in use"))
    assert run.main(["serve"]) == 1
    assert capsys.readouterr().err == "vaani: cannot serve: Address already in use\n"


def test_interrupting_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_app(monkeypatch, KeyboardInterrupt())
    assert run.main(["serve"]) == 130
    assert capsys.readouterr() == ("", "")


def test_call_hands_its_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Namespace] = []
    module = types.ModuleType("bench.call")
    module.main = lambda args: calls.append(args) or 1  # type: ignore[attr-defined,func-returns-value]
    monkeypatch.setitem(sys.modules, "bench.call", module)
    argv = "call http://h:1 --input a.wav --input b.wav --output c.wav --interrupt-after 1.5 --json"
    assert run.main(argv.split()) == 1
    [args] = calls
    assert args.url == "http://h:1"
    assert args.inputs == [Path("a.wav"), Path("b.wav")]
    assert args.output == Path("c.wav")
    assert args.interrupt_after == 1.5
    assert args.json is True


def test_doctor_exits_with_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["doctor", "--set", "engine.name=echo", "--set", "webrtc.tcp_port=0"]
    assert run.main([*argv, "--set", "server.port=0"]) == 0
    out, err = capsys.readouterr()
    assert "A caller will get:\n  1. WebRTC over UDP" in out
    assert err == ""

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run.main([*argv, "--set", f"server.port={port}", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    [problem] = [f for f in report["findings"] if f["status"] == "problem"]
    assert problem["name"] == "HTTP port"
    assert problem["advice"] in report["advice"]


def test_doctor_without_the_packages_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "server.doctor", None)
    assert run.main(["doctor"]) == 1
    assert capsys.readouterr().err.endswith("is not installed: run `make setup`\n")


def test_a_bench_gets_the_arguments_after_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--calls", type=int, help="at once")

    module = types.ModuleType("bench.soak")
    module.add_arguments = add_arguments  # type: ignore[attr-defined]
    module.run = lambda args: args.calls  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bench.soak", module)
    assert run.main(["bench", "soak", "--calls", "7"]) == 7
    with pytest.raises(SystemExit):
        run.main(["bench", "soak", "--help"])
    assert "--calls CALLS" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        run.main(["bench", "soak", "--cals"])
    assert caught.value.code == 2
    assert "bench soak --help" in capsys.readouterr().err
