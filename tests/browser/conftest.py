"""A real browser that calls a real server, and a caller whose voice is a recording."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest

from bench.audio import write_audio
from bench.caller import RATE
from bench.voices import speak
from media.frames import silence
from tests.any_load import ANY_LOAD_OPTIONS

if (
    TYPE_CHECKING
):  # not at run time: where Playwright is missing the tests are to skip, not to break
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
CALLER = "en-us+adam"  # after a browser's noise suppression the best understood of them

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",  # the server offers nothing but 127.0.0.1
    "--use-fake-device-for-media-stream",
)

Launch = Callable[[list[str]], "Browser"]
OpenPage = Callable[..., "Page"]
Record = Callable[..., Path]


def without(what: str) -> NoReturn:
    """Skips where there is no browser, except where a skipped browser test would go unseen."""
    reason = f"no browser test without {what}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Starts a Chromium with further arguments."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without("Playwright")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        without("Chromium")
    # Not for the whole session: Playwright's event loop would be in the way of other tests' own.
    with sync_playwright() as playwright:
        yield lambda arguments: playwright.chromium.launch(
            executable_path=executable, args=[*CHROMIUM_ARGUMENTS, *arguments]
        )


@pytest.fixture(scope="module")
def server_url(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of its own, ready for calls over the loopback interface.

    Asks for `launch` only so that nothing starts where no browser can call it.
    """
    log = tmp_path_factory.mktemp("server") / "stderr.txt"
    addresses = 'webrtc.host_addresses=["127.0.0.1"]'
    command = [sys.executable, "run.py", "serve", "--port", "0", "--json"]
    command += ["--set", addresses, "--set", "webrtc.tcp_port=0", *ANY_LOAD_OPTIONS]
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as server,
    ):
        try:
            yield _wait_until_ready(server, log)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_until_ready(server: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    assert server.stdout is not None
    readable, _, _ = select.select([server.stdout], [], [], START_SECONDS)
    line = server.stdout.readline() if readable else ""
    assert line, f"the server does not listen:\n{log.read_text()}"
    url: str = json.loads(line)["url"]
    while True:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):
                return url
        except urllib.error.URLError:
            assert time.monotonic() < deadline, f"the server is not ready:\n{log.read_text()}"
            time.sleep(0.1)


@pytest.fixture
def open_page(launch: Launch) -> Iterator[OpenPage]:
    """Opens a page in a browser of its own; at the end no script on it may have failed."""
    browsers: list[Browser] = []
    failures: list[str] = []

    def open_page(
        url: str,
        *,
        recording: Path | None = None,
        microphone_allowed: bool = True,
        before: Callable[[Page], None] = lambda page: None,
        viewport: tuple[int, int] = (1200, 800),
        browser_arguments: Sequence[str] = (),
    ) -> Page:
        arguments = [*browser_arguments]
        if microphone_allowed:
            arguments.append("--use-fake-ui-for-media-stream")
        if recording is not None:
            arguments.append(f"--use-file-for-fake-audio-capture={recording}%noloop")
        browser = launch(arguments)
        browsers.append(browser)
        page = browser.new_page(viewport={"width": viewport[0], "height": viewport[1]})
        page.on("pageerror", lambda error: failures.append(str(error)))
        before(page)
        page.goto(url)
        return page

    yield open_page
    for browser in browsers:
        browser.close()
    assert not failures


class Wire:
    """Carries TCP connections to a server until it is cut. WebRTC's media do not go through it."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: set[socket.socket] = set()
        self.whole = True
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break what is connected, as a lost network does: nobody says goodbye."""
        for end in list(self._ends):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                if not self.whole:
                    near.close()
                    continue
                far = socket.create_connection(self._server)
                self._ends |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        self._ends.discard(source)


@pytest.fixture
def wire(server_url: str) -> Iterator[Wire]:
    """The server at the end of a wire that can be cut."""
    wire = Wire(server_url)
    yield wire
    wire.close()


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Makes a WAV file of texts to speak and seconds to be silent, in order."""
    path = tmp_path / "caller.wav"

    def record(*script: str | float) -> Path:
        parts = [
            speak(part, CALLER, rate=150) if isinstance(part, str) else silence(int(part * RATE))
            for part in script
        ]
        write_audio(path, np.concatenate(parts), RATE)
        return path

    return record
