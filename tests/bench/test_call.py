"""`run.py call` against `run.py serve`: two processes, a recording each way."""

import json
import os
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.audio import read_audio, speech_span
from bench.caller import RATE
from tests.any_load import ANY_LOAD_OPTIONS
from tests.signaling.speech import speech

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose engine echoes and whose detector takes every sound for speech."""
    command = [sys.executable, "run.py", "serve", "--port", "0", "--json", *ANY_LOAD_OPTIONS]
    for setting in (
        "engine.name=echo",
        "vad.detector=energy",
        "webrtc.tcp_port=0",
        'webrtc.host_addresses=["127.0.0.1"]',
    ):
        command += ["--set", setting]
    log = tmp_path_factory.mktemp("server") / "stderr.txt"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as server,
    ):
        try:
            assert server.stdout is not None
            readable, _, _ = select.select([server.stdout], [], [], START_SECONDS)
            assert readable, log.read_text()
            found: str = json.loads(server.stdout.readline())["url"]
            wait_until_ready(found, log)
            yield found
        finally:
            server.terminate()
            server.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("VAANI_")}


def wait_until_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):
                return
        except urllib.error.URLError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", "call", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def recording(path: Path, seconds: float, rate: int = RATE, pitch: float = 130.0) -> Path:
    """A file with speech from 0.2 s on, and silence after it."""
    silent = np.zeros(round(0.2 * rate), dtype=np.int16)
    soundfile.write(path, np.concatenate((silent, speech(seconds, rate, pitch), silent)), rate)
    return path


def calls_now(url: str) -> list[object]:
    with urllib.request.urlopen(f"{url}/status", timeout=5) as response:
        found: list[object] = json.load(response)["calls"]
    return found


@pytest.mark.parametrize("transport", ["webrtc", "tcp", "websocket"])
def test_a_call_hears_its_own_words(url: str, tmp_path: Path, transport: str) -> None:
    said = recording(tmp_path / "said.flac", 0.8, 44_100)
    heard = tmp_path / "heard.wav"
    arguments = ("--input", said, "--output", heard, "--transport", transport)
    done = call(url, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"setup_ms", "turns"}
    assert result["setup_ms"] > 0
    [turn] = result["turns"]
    assert set(turn) == {
        "transcript",
        "reply",
        "first_audio_ms",
        "reply_seconds",
        "interrupted",
        "stop_ms",
    }
    assert turn["first_audio_ms"] > 100  # no server knows before a pause that the caller is done
    assert turn["reply_seconds"] == pytest.approx(0.8, abs=0.5)
    assert turn["interrupted"] is False
    assert turn["stop_ms"] is None
    begin, end = speech_span(read_audio(heard, RATE), RATE)
    assert end - begin == pytest.approx(0.8, abs=0.5)
    assert calls_now(url) == []


def test_two_turns_told_to_a_person(url: str, tmp_path: Path) -> None:
    said = recording(tmp_path / "said.wav", 0.5, 16_000)
    arguments = ("--input", said, "--input", said, "--output", tmp_path / "heard.wav")
    done = call(url, *arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("connected in ")
    assert [line[:1] for line in lines[1:]] == [">", "<", ">", "<"]
    assert " ms, " in lines[2]


@pytest.mark.parametrize("transport", ["webrtc", "tcp", "websocket"])
def test_an_answer_is_interrupted(url: str, tmp_path: Path, transport: str) -> None:
    long = recording(tmp_path / "long.wav", 2.0)
    # In another voice: what sounds like the answer is taken for an echo of it.
    short = recording(tmp_path / "short.wav", 0.6, pitch=210.0)
    arguments: tuple[str | Path, ...] = ("--input", long, "--input", short)
    arguments += ("--output", tmp_path / "heard.wav")
    arguments += ("--interrupt-after", "0.5", "--transport", transport)
    done = call(url, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["turns"]
    assert first["interrupted"] is True
    assert 0 <= first["stop_ms"] < 2000
    assert first["reply_seconds"] < 1.9
    assert second["interrupted"] is False
    assert second["first_audio_ms"] is not None


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence with which the call failed."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("vaani: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("vaani: ").strip()


def test_what_cannot_be_said(url: str, tmp_path: Path) -> None:
    output = tmp_path / "heard.wav"
    wrong = tmp_path / "wrong.wav"
    wrong.write_text("this is not a recording")
    reason = failure(call(url, "--input", wrong, "--output", output))
    assert reason.startswith(f"{wrong} cannot be read as audio")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    reason = failure(call(url, "--input", silent, "--output", output))
    assert reason == f"{silent}: there is nothing to hear in the recording"
    assert not output.exists()


@pytest.mark.parametrize("transport", ["webrtc", "tcp", "websocket"])
@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "nonsense", "http://[", "ftp://x"])
def test_a_server_that_is_not_there(server: str, tmp_path: Path, transport: str) -> None:
    said = recording(tmp_path / "said.wav", 0.2)
    output = tmp_path / "heard.wav"
    arguments = ("--input", said, "--output", output, "--transport", transport)
    assert server in failure(call(server, *arguments))
    assert not output.exists()


@pytest.mark.parametrize("transport", ["webrtc", "tcp", "websocket"])
def test_a_server_that_is_no_vaani(url: str, tmp_path: Path, transport: str) -> None:
    said = recording(tmp_path / "said.wav", 0.2)
    arguments = ("--input", said, "--output", tmp_path / "heard.wav", "--transport", transport)
    assert f"{url}/static" in failure(call(f"{url}/static", *arguments))
