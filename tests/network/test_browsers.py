"""Other browsers than Chromium make a call, by what way they can."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.lab.browsers import firefox, webkit
from bench.lab.room import room
from bench.lab.visitor import hang_up, press_call
from tests.network.calls import converse

if TYPE_CHECKING:
    from tests.network.conftest import Enter


def test_firefox_calls_over_webrtc(enter: Enter, server_url: str, tmp_path: Path) -> None:
    caller = enter(room(tmp_path / "room"))
    tab = enter(firefox(caller.environment, tmp_path))
    press_call(tab, server_url)
    converse(tab, caller)
    hang_up(tab)


def test_webkit_calls_without_webrtc(enter: Enter, server_url: str, tmp_path: Path) -> None:
    caller = enter(room(tmp_path / "room"))
    tab = enter(webkit(caller.environment, tmp_path))
    tab.goto(server_url)
    assert tab.evaluate("typeof RTCPeerConnection") == "undefined"
    press_call(tab, server_url)
    # Without a GPU it takes a whole core to paint the page, and the microphone stutters.
    tab.evaluate("document.body.style.display = 'none'")
    converse(tab, caller)
    assert tab.evaluate("vaani.path.kind") == "WebSocket"
    tab.evaluate("document.body.style.display = ''")
    hang_up(tab)
