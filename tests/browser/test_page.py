"""The page at `/`: a call as a caller sees it, and the words for each way it can fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

OpenPage = Callable[..., "Page"]
Record = Callable[..., Path]

SCREENSHOT = Path(__file__).parents[2] / "docs" / "page.png"
FIRST = "vaani.transcript.find(turn => turn.user)"
TAKE_SCREENSHOT = os.environ.get("VAANI_SCREENSHOT") == "1"


def wait_for(page: Page, condition: str, seconds: float = 15) -> None:
    """Waits until a JavaScript expression holds; it may speak of `vaani`."""
    # At intervals: by animation frames, the default, a busy machine may miss a short level.
    page.wait_for_function(condition, timeout=seconds * 1000, polling=50)


def first_turn(page: Page) -> dict[str, Any]:
    """The first turn that the caller began: an engine may greet before."""
    turn: dict[str, Any] = page.evaluate(FIRST)
    return turn


def press_call(page: Page) -> None:
    page.get_by_role("button", name="Call", exact=True).click()


def problem(page: Page) -> str:
    alert = page.get_by_role("alert")
    wait_for(page, "vaani.problem !== null")
    return alert.inner_text()


def test_caller_hears_an_answer_and_interrupts_it(
    server_url: str, open_page: OpenPage, record: Record
) -> None:
    encore = ("what can you do", 15.0) if TAKE_SCREENSHOT else ()
    recording = record(1.5, "tell me a story", 6.0, "stop", 3.0, *encore)
    page = open_page(server_url, recording=recording)
    press_call(page)

    wait_for(page, "vaani.levels.mic > 0.4")
    wait_for(page, f"{FIRST}?.user.final")
    asked = first_turn(page)["user"]["text"]
    assert "story" in asked.lower()
    assert page.locator("#captions .user .words").first.inner_text() == asked

    wait_for(page, "vaani.state === 'speaking' && vaani.levels.reply > 0.4")
    assert page.locator("#state").inner_text() == "Vaani is speaking"

    wait_for(page, f"{FIRST}.reply?.interrupted")
    reply = first_turn(page)["reply"]
    assert reply["text"].startswith(reply["heard"])
    assert 0 < len(reply["heard"]) < len(reply["text"])
    shown = page.locator("#captions .reply.interrupted").first
    assert shown.locator(".unheard").inner_text().strip()
    assert shown.locator(".words").text_content() == reply["text"]
    wait_for(page, "vaani.levels.reply < 0.05")

    assert page.evaluate("vaani.rtt") > 0
    if TAKE_SCREENSHOT:
        wait_for(page, "vaani.transcript.at(-1).reply?.text.length > 60", 30)
        wait_for(page, "vaani.state === 'speaking' && vaani.levels.reply > 0.6")
        page.screenshot(path=SCREENSHOT)

    with page.expect_request(lambda request: request.method == "DELETE"):
        page.get_by_role("button", name="Hang up").click()
    wait_for(page, "vaani.call === null")
    assert page.get_by_role("alert").inner_text() == ""


def test_caller_chooses_how_vaani_sounds(server_url: str, open_page: OpenPage) -> None:
    page = open_page(server_url)
    press_call(page)
    wait_for(page, "vaani.voice.name !== undefined")
    offered = page.locator("select[name=name] option").evaluate_all(
        "options => options.map(option => option.value)"
    )
    current = page.evaluate("vaani.voice.name")
    other = next(name for name in offered if name != current)
    page.locator("select[name=name]").select_option(other)
    wait_for(page, f"vaani.voice.name === {other!r}")
    page.locator("input[name=rate]").fill("1.25")
    wait_for(page, "vaani.voice.rate === 1.25")


def test_denied_microphone_is_explained(server_url: str, open_page: OpenPage) -> None:
    page = open_page(server_url, microphone_allowed=False)
    press_call(page)
    assert "microphone is blocked" in problem(page)
    assert page.get_by_role("button", name="Call", exact=True).is_visible()


def test_insecure_page_says_so_in_place_of_a_dead_button(
    server_url: str, open_page: OpenPage
) -> None:
    def take_media_devices_away(page: Page) -> None:
        page.add_init_script("delete Navigator.prototype.mediaDevices")

    page = open_page(server_url, before=take_media_devices_away)
    assert "https" in problem(page)
    assert not page.get_by_role("button", name="Call", exact=True).is_visible()


def test_full_server_gives_its_reason(server_url: str, open_page: OpenPage) -> None:
    def refuse(route: Route) -> None:
        reason = {"code": "overloaded", "message": "All 64 lines are in use."}
        route.fulfill(status=503, json={"error": reason})

    page = open_page(server_url, before=lambda page: page.route("**/api/offer", refuse))
    page.get_by_role("button", name="Call", exact=True).press("Enter")  # by keyboard, for once
    words = problem(page)
    assert "cannot take the call" in words
    assert "All 64 lines are in use." in words
    assert page.get_by_role("button", name="Call", exact=True).is_enabled()


@pytest.mark.parametrize("path", ["**/api/config", "**/api/offer"])
def test_unreachable_server_is_named(server_url: str, open_page: OpenPage, path: str) -> None:
    page = open_page(server_url, before=lambda page: page.route(path, lambda route: route.abort()))
    press_call(page)
    assert "cannot be reached" in problem(page)
