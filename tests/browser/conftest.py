"""A real browser that calls a real server, and a caller whose voice is a recording."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import espeakng_loader
import numpy as np
import pytest
from numpy.typing import NDArray

if (
    TYPE_CHECKING
):  # not at run time: where Playwright is missing the tests are to skip, not to break
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0

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
    command = [sys.executable, "run.py", "serve", "--port", "0", "--json", "--set", addresses]
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
    ) -> Page:
        arguments = []
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


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Makes a WAV file of texts to speak and seconds to be silent, in order."""
    path = tmp_path / "caller.wav"

    def record(*script: str | float) -> Path:
        voice = _Espeak()
        rate = voice.rate
        parts = [
            voice.speak(part) if isinstance(part, str) else np.zeros(int(part * rate), np.int16)
            for part in script
        ]
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(np.concatenate(parts).tobytes())
        return path

    return record


class _Espeak:
    """espeak-ng as a library, through ctypes: the caller's voice."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        synchronous, milliseconds, do_not_exit = 2, 20, 0x8000
        self.rate: int = self._library.espeak_Initialize(
            synchronous, milliseconds, data, do_not_exit
        )

    def speak(self, text: str) -> NDArray[np.int16]:
        pieces: list[NDArray[np.int16]] = []
        signature = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )

        def take(samples: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
            if samples and count:
                pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        callback = signature(take)  # a name of its own: ctypes does not keep it alive
        self._library.espeak_SetSynthCallback(callback)
        words = text.encode() + b"\0"
        utf8 = 1
        self._library.espeak_Synth(words, ctypes.c_size_t(len(words)), 0, 0, 0, utf8, None, None)
        return np.concatenate(pieces)
