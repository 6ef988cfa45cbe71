"""Every way to the server: the page chooses, falls back, resumes, and moves back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.test_page import FIRST, first_turn, press_call, problem, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Wire

OpenPage = Callable[..., "Page"]
Record = Callable[..., Path]

WITHOUT_WEBRTC = "delete window.RTCPeerConnection"

WATCH_CONNECTIONS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...all) { super(...all); sockets.push(this); this.packets = 0; }
  send(data) {
    if (data instanceof ArrayBuffer) this.packets++;
    else if (window.spoilToken) data = data.replace(/"resume_token":"[^"]+"/, '"resume_token":"-"');
    super.send(data);
  }
};
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...all) {
    if (window.noPeers) throw new Error("no WebRTC for now");
    super(...all); peers.push(this);
  }
  createDataChannel(...all) { return this.channel = super.createDataChannel(...all); }
  deafen() { this.channel.onmessage = null; this.getReceivers = () => []; }
};
"""
"""So that a test can count them, forbid them, and make one seem lost."""

SPEAKING = "vaani.state === 'speaking' && vaani.levels.reply > 0.4"


def script(*lines: str) -> Callable[[Page], None]:
    """What is to run in the page before its own scripts."""

    def add(page: Page) -> None:
        page.add_init_script("\n".join(lines))

    return add


def hang_up(page: Page) -> None:
    page.get_by_role("button", name="Hang up").click()
    wait_for(page, "vaani.call === null")


def hear_more(page: Page) -> None:
    """Waits until words are heard that were not heard when this was called."""
    words = len(first_turn(page)["reply"]["heard"].split())
    wait_for(page, f"{FIRST}.reply.heard.split(' ').length > {words + 4}")


def stop_the_answer(page: Page) -> dict[str, Any]:
    """The reply, after it was seen that no word of it was told twice, and none left out."""
    told: str = first_turn(page)["reply"]["heard"]
    page.get_by_role("button", name="Stop the answer").click()
    wait_for(page, f"{FIRST}.reply.interrupted")
    reply: dict[str, Any] = first_turn(page)["reply"]
    assert reply["text"].startswith(told)
    assert reply["text"].startswith(reply["heard"])
    assert len(reply["heard"].split()) >= 3
    return reply


@pytest.mark.parametrize("coding", ["opus", "pcm16"])
def test_websocket_call_with_an_interruption(
    server_url: str, open_page: OpenPage, record: Record, coding: str
) -> None:
    recording = record(1.5, "tell me a story", 6.0, "stop", 3.0)
    before = script("" if coding == "opus" else "delete window.AudioEncoder")
    url = f"{server_url}?transport=websocket"
    page = open_page(url, recording=recording, before=before)
    press_call(page)

    wait_for(page, "vaani.levels.mic > 0.4")
    wait_for(page, f"{FIRST}?.user.final")
    assert "story" in first_turn(page)["user"]["text"].lower()
    wait_for(page, SPEAKING)
    wait_for(page, f"{FIRST}.reply?.interrupted")
    reply = first_turn(page)["reply"]
    assert 0 < len(reply["heard"]) < len(reply["text"])
    wait_for(page, "vaani.levels.reply < 0.05")

    path = page.evaluate("vaani.path")
    assert path["kind"] == "WebSocket"
    assert path["rtt"] > 0
    assert page.locator("#path").inner_text().startswith("WebSocket")
    assert coding in (page.locator("#path").get_attribute("title") or "")
    hang_up(page)
    assert page.get_by_role("alert").inner_text() == ""
    assert page.evaluate("vaani.path") is None


def test_without_webrtc_the_call_goes_over_a_websocket(
    server_url: str, open_page: OpenPage, record: Record
) -> None:
    recording = record(1.5, "tell me a story", 5.0)
    page = open_page(server_url, recording=recording, before=script(WITHOUT_WEBRTC))
    press_call(page)
    wait_for(page, SPEAKING)
    assert page.evaluate("vaani.path.kind") == "WebSocket"


def test_where_webrtc_does_not_get_through_the_page_does_not_wait_for_it(
    server_url: str, open_page: OpenPage
) -> None:
    def forbid_direct_ways(page: Page) -> None:
        only_relays = {"ice_servers": [], "ice_transport_policy": "relay"}
        page.route("**/api/config", lambda route: route.fulfill(json=only_relays))
        script(WATCH_CONNECTIONS)(page)

    page = open_page(server_url, before=forbid_direct_ways)
    with page.expect_request(lambda request: request.method == "DELETE"):
        press_call(page)
        wait_for(page, "vaani.path?.kind === 'WebSocket'", 6)
    assert page.evaluate("peers.length") == 1, "WebRTC was tried before"
    hang_up(page)


def test_websocket_lost_in_mid_answer_goes_on_where_it_was(
    wire: Wire, open_page: OpenPage, record: Record
) -> None:
    recording = record(1.5, "tell me a story", 30.0)
    url = f"{wire.url}?transport=websocket"
    page = open_page(url, recording=recording, before=script(WATCH_CONNECTIONS))
    press_call(page)
    wait_for(page, SPEAKING)
    session = page.evaluate("vaani.sessionId")
    for lost in (1, 2):
        hear_more(page)
        wire.cut()
        wait_for(page, f"sockets.length === {lost + 1} && {SPEAKING}")
    hear_more(page)
    assert page.evaluate("vaani.sessionId") == session
    stop_the_answer(page)
    assert page.evaluate("vaani.transcript.filter(turn => turn.reply).length") == 1
    hang_up(page)


def test_webrtc_lost_in_mid_answer_goes_on_over_a_websocket(
    server_url: str, open_page: OpenPage, record: Record
) -> None:
    recording = record(1.5, "tell me a story", 30.0)
    page = open_page(server_url, recording=recording, before=script(WATCH_CONNECTIONS))
    press_call(page)
    wait_for(page, SPEAKING)
    hear_more(page)
    assert page.evaluate("vaani.path.kind") == "UDP"
    session = page.evaluate("vaani.sessionId")
    page.evaluate("window.noPeers = true; peers.at(-1).deafen()")
    wait_for(page, f"vaani.path?.kind === 'WebSocket' && {SPEAKING}")
    hear_more(page)
    assert page.evaluate("vaani.sessionId") == session
    stop_the_answer(page)
    hang_up(page)


def test_call_moves_to_webrtc_when_it_can(
    server_url: str, open_page: OpenPage, record: Record
) -> None:
    recording = record(1.5, "tell me a story", 40.0)
    before = script(WATCH_CONNECTIONS, "window.noPeers = true")
    page = open_page(server_url, recording=recording, before=before)
    press_call(page)
    wait_for(page, SPEAKING)
    assert page.evaluate("vaani.path.kind") == "WebSocket"
    session = page.evaluate("vaani.sessionId")
    page.evaluate("window.noPeers = false; dispatchEvent(new Event('online'))")
    wait_for(page, "vaani.path?.kind === 'UDP'")
    wait_for(page, SPEAKING)
    hear_more(page)
    assert page.evaluate("vaani.sessionId") == session
    assert page.evaluate("sockets.every(socket => socket.readyState >= WebSocket.CLOSING)")
    stop_the_answer(page)
    hang_up(page)


def test_while_nothing_carries_the_call_the_page_says_so(wire: Wire, open_page: OpenPage) -> None:
    page = open_page(f"{wire.url}?transport=websocket")
    press_call(page)
    wait_for(page, "vaani.path?.kind === 'WebSocket'")
    session = page.evaluate("vaani.sessionId")
    wire.whole = False
    wire.cut()
    wait_for(page, "vaani.state === 'reconnecting'")
    assert page.locator("#state").inner_text() == "Reconnecting …"
    assert page.evaluate("vaani.path") is None
    wire.whole = True
    page.evaluate("dispatchEvent(new Event('online'))")
    wait_for(page, "vaani.path?.kind === 'WebSocket' && vaani.state !== 'reconnecting'")
    assert page.evaluate("vaani.sessionId") == session
    hang_up(page)


def test_call_that_finds_no_way_back_is_over(wire: Wire, open_page: OpenPage) -> None:
    hasten = """
      const parse = JSON.parse;
      JSON.parse = (text) => {
        const message = parse(text);
        if (message.resume_window) message.resume_window = 1;
        return message;
      };
    """
    page = open_page(f"{wire.url}?transport=websocket", before=script(hasten))
    press_call(page)
    wait_for(page, "vaani.path?.kind === 'WebSocket'")
    wire.whole = False
    wire.cut()
    assert "The call dropped" in problem(page)
    assert page.evaluate("vaani.call") is None
    assert page.get_by_role("button", name="Call", exact=True).is_enabled()


def test_refused_resume_begins_a_new_call_and_says_so(wire: Wire, open_page: OpenPage) -> None:
    url = f"{wire.url}?transport=websocket"
    page = open_page(url, before=script(WATCH_CONNECTIONS))
    press_call(page)
    wait_for(page, "vaani.path?.kind === 'WebSocket'")
    session = page.evaluate("vaani.sessionId")
    page.evaluate("window.spoilToken = true")
    wire.cut()
    wait_for(page, f"vaani.sessionId !== {session!r}")
    assert "new one" in page.get_by_role("alert").inner_text()
    hang_up(page)


def test_muted_caller_is_silent_but_still_there(
    server_url: str, open_page: OpenPage, record: Record
) -> None:
    recording = record(8.0, "tell me a story", 2.0)
    url = f"{server_url}?transport=websocket"
    page = open_page(url, recording=recording, before=script(WATCH_CONNECTIONS))
    press_call(page)
    wait_for(page, "vaani.path?.kind === 'WebSocket'")
    page.get_by_role("button", name="Mute me").click()
    wait_for(page, "sockets.at(-1).packets > 600", 20)  # 12 s: all was said meanwhile
    assert page.evaluate("vaani.transcript.filter(turn => turn.user).length") == 0
    hang_up(page)


def test_way_that_is_asked_for_and_not_offered_is_explained(
    server_url: str, open_page: OpenPage
) -> None:
    page = open_page(f"{server_url}?transport=relay")
    press_call(page)
    wait_for(page, "vaani.problem !== null", 30)
    assert "does not get through" in problem(page)


def test_browser_without_any_way_says_so(server_url: str, open_page: OpenPage) -> None:
    page = open_page(server_url, before=script(WITHOUT_WEBRTC, "delete window.AudioWorkletNode"))
    assert "cannot make the call" in problem(page)


def test_self_test_says_what_works(server_url: str, open_page: OpenPage) -> None:
    page = open_page(server_url)
    page.get_by_role("button", name="Test my connection").click()
    page.get_by_role("button", name="Start the test").click()
    wait_for(page, "vaani.selfTest?.done", 40)
    results = page.evaluate("vaani.selfTest")
    assert results["microphone"] > -50, "the fake microphone beeps"
    assert {"gain", "floor", "delay"} <= results["echo"]["on"].keys()
    assert results["echo"]["off"]["gain"] < -20, "nothing comes back from a fake loudspeaker"
    paths = results["paths"]
    assert paths["UDP"]["ms"] > 0
    assert paths["WebSocket"]["ms"] > 0
    assert paths["relay"] == {"problem": "not-offered"}
    words = page.locator("#self-test").inner_text()
    assert "Hears you" in words
    assert "Works: connected in" in words
    page.get_by_role("button", name="Close").click()
    assert page.get_by_role("button", name="Call", exact=True).is_enabled()
