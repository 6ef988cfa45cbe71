"""Browsers, driven from outside: Chromium, Firefox, and WebKitGTK, which has no WebRTC.

Chromium is driven by Playwright. The others speak Debian's own builds' protocols, Marionette and
WebDriver: requests of a few lines, for which no further package is needed.
"""

import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from bench.lab.network import Network
from bench.lab.parts import (
    PATIENCE,
    PUNCTUAL,
    PartFailed,
    PartMissing,
    free_port,
    listens,
    require,
    running,
    wait_until,
)


class Tab(Protocol):
    """A page in a browser; Playwright's pages are some."""

    def goto(self, url: str) -> object: ...
    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""

    def click(self, selector: str) -> None: ...


def wait_for(tab: Tab, condition: str, seconds: float = PATIENCE) -> Any:
    """Waits until a JavaScript expression holds, and gives its value. Raises PartFailed."""
    value: Any = None

    def holds() -> bool:
        nonlocal value
        value = tab.evaluate(condition)
        return bool(value)

    try:
        wait_until(holds, seconds)
    except TimeoutError:
        page = tab.evaluate("JSON.stringify(globalThis.vaani)")
        raise PartFailed(f"after {seconds:g} s not {condition}; the page: {page}") from None
    return value


# Chromium

CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",  # that is, the question for the microphone; not the device
    "--ignore-certificate-errors",
    "--allow-loopback-in-peer-connection",
)

REMEMBER = """
    globalThis.peers = [];
    globalThis.microphones = [];
    if (globalThis.RTCPeerConnection) RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...settings) { super(...settings); peers.push(this); }
    };
    const media = globalThis.MediaDevices?.prototype, open = media?.getUserMedia;
    if (media) media.getUserMedia = async function (...wishes) {
        const stream = await open.apply(this, wishes);
        microphones.push(stream);
        return stream;
    };
"""
"""What a page opens, kept where it can be asked about."""


@contextlib.contextmanager
def chromium(
    environment: Mapping[str, str], directory: Path, network: Network | None = None
) -> Iterator[Tab]:
    """Chromium, in the caller's place of a network or here."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise PartMissing("there is no Playwright; pip install playwright") from None
    require("chromium")
    launcher = directory / "chromium.sh"
    words = [*(network.within if network else ()), *PUNCTUAL, "chromium"]
    launcher.write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
    launcher.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(launcher),
            args=CHROMIUM,
            ignore_default_args=["--mute-audio"],
            env={**environment},
        )
        try:
            page = browser.new_context(ignore_https_errors=True).new_page()
            page.add_init_script(REMEMBER)
            yield page
        finally:
            browser.close()


# Firefox

FIREFOX = {
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.peerconnection.ice.loopback": True,
    "marionette.port": 0,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "remote.prefs.recommended": True,
}


class Marionette:
    """Firefox's own remote control: JSON over TCP, each message after its length."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE * 2)
        self._stream = self._socket.makefile("rb")
        self._numbers = count(1)
        self._read()  # a greeting

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            byte = self._stream.read(1)
            if not byte:
                raise PartFailed("Firefox has gone")
            length += byte
        return json.loads(self._stream.read(int(length[:-1])))

    def ask(self, name: str, **parameters: Any) -> Any:
        message = json.dumps([0, next(self._numbers), f"WebDriver:{name}", parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error:
            raise PartFailed(f"{name}: {error['message']}")
        return result

    def goto(self, url: str) -> None:
        self.ask("Navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        script = f"return ({expression})"
        return self.ask("ExecuteScript", script=script, args=[], sandbox=None)["value"]

    def click(self, selector: str) -> None:
        found = self.ask("FindElement", using="css selector", value=selector)["value"]
        self.ask("ElementClick", id=next(iter(found.values())))

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@contextlib.contextmanager
def firefox(environment: Mapping[str, str], directory: Path) -> Iterator[Tab]:
    require("firefox-esr")
    profile = directory / "firefox"
    profile.mkdir()
    lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in FIREFOX.items())
    (profile / "user.js").write_text("".join(lines))
    port = profile / "MarionetteActivePort"
    words = [
        *PUNCTUAL,
        "firefox-esr",
        "--headless",
        "--marionette",
        "--no-remote",
        "--profile",
        str(profile),
    ]
    with (
        running(words, directory / "firefox.txt", port.exists, environment),
        contextlib.closing(Marionette(_number_in(port))) as tab,
    ):
        tab.ask("NewSession", acceptInsecureCerts=True)
        yield tab


def _number_in(path: Path) -> int:
    wait_until(lambda: path.read_text().strip())
    return int(path.read_text())


# WebKitGTK

MINI_BROWSER = "webkit2gtk-4.*/MiniBrowser"


class WebDriver:
    """One session of a WebDriver server."""

    def __init__(self, url: str, capabilities: dict[str, Any]) -> None:
        self._url = url
        made = self.ask("POST", "session", {"capabilities": {"alwaysMatch": capabilities}})
        self._url = f"{url}/session/{made['sessionId']}"

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._url}/{path}".rstrip("/"),
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE * 2) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise PartFailed(f"{path}: {error.read().decode()}") from None

    def goto(self, url: str) -> None:
        self.ask("POST", "url", {"url": url})

    def evaluate(self, expression: str) -> Any:
        return self.ask("POST", "execute/sync", {"script": f"return ({expression})", "args": []})

    def click(self, selector: str) -> None:
        found = self.ask("POST", "element", {"using": "css selector", "value": selector})
        self.ask("POST", f"element/{next(iter(found.values()))}/click", {})

    def close(self) -> None:
        self.ask("DELETE", "")


@contextlib.contextmanager
def webkit(environment: Mapping[str, str], directory: Path) -> Iterator[Tab]:
    """WebKitGTK's MiniBrowser on a screen of its own."""
    require("WebKitWebDriver", "Xvfb")
    browser = next(iter(Path("/usr/lib").glob(f"*/{MINI_BROWSER}")), None)
    if browser is None:
        raise PartMissing("there is no MiniBrowser; on Debian: apt install webkit2gtk-driver")
    port = free_port()
    options = {"binary": str(browser), "args": ["--automation", "--enable-media-stream=true"]}
    with (
        _screen(directory) as screen,
        running(
            [*PUNCTUAL, "WebKitWebDriver", "--host=127.0.0.1", f"--port={port}"],
            directory / "webkit.txt",
            lambda: listens("127.0.0.1", port),
            {**environment, "DISPLAY": screen, "NO_AT_BRIDGE": "1"},
        ),
        contextlib.closing(
            WebDriver(f"http://127.0.0.1:{port}", {"webkitgtk:browserOptions": options})
        ) as tab,
    ):
        yield tab


@contextlib.contextmanager
def _screen(directory: Path) -> Iterator[str]:
    """An X server without a monitor: its DISPLAY."""
    log = directory / "screen.txt"
    words = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with running(words, log, lambda: log.exists() and log.read_text().strip().isdigit()):
        yield f":{log.read_text().strip()}"
