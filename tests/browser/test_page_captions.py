"""What the page shows of a session that this test makes up, without a server of calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocketRoute

OpenPage = Callable[..., "Page"]

STATIC = Path(__file__).parents[2] / "static"
STARTED = {
    "session_id": "1",
    "resume_token": "token",
    "resume_window": 30.0,
    "transport": "websocket",
    "engine": "nobody",
    "voices": [],
    "emotions": [],
    "languages": [],
    "voice": {},
}


class Session:
    """The far end of the page's call: answers its pings, and tells what a test has it tell."""

    def __init__(self) -> None:
        self._line: WebSocketRoute | None = None
        self._told = 0

    def answer(self, line: WebSocketRoute) -> None:
        self._line = line
        line.on_message(self._hear)

    def _hear(self, message: str | bytes) -> None:
        said = json.loads(message) if isinstance(message, str) else {"type": "audio"}
        if said["type"] == "hello":
            self.tell("session.started", **STARTED)
        elif said["type"] == "ping":
            self._send({"type": "pong", "t": said["t"]})

    def tell(self, kind: str, **fields: Any) -> None:
        """The session's next event."""
        self._told += 1
        self._send({"type": kind, "seq": self._told, **fields})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._line is not None
        self._line.send(json.dumps(message))


class Files(SimpleHTTPRequestHandler):
    """The page as the server serves it: itself at /, and what it consists of under /static/."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/static"))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """The address of a server of nothing but the page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(STATIC))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def page(open_page: OpenPage, files: str, session: Session) -> Page:
    """In a call with that session."""
    page = open_page(
        f"{files}/?transport=websocket",
        before=lambda page: page.route_web_socket("**/ws/call*", session.answer),
    )
    page.get_by_role("button", name="Call", exact=True).click()
    page.wait_for_function("vaani.state === 'listening'", polling=50)
    return page


def test_answer_that_pauses_says_so_until_it_goes_on(page: Page, session: Session) -> None:
    reply = page.locator("#captions .reply")
    words = reply.locator(".words")
    paused = page.locator("#captions .reply.paused")
    state = page.locator("#state")

    def mark() -> str:
        """What stands behind the words."""
        content: str = words.evaluate("element => getComputedStyle(element, '::after').content")
        return content

    session.tell("state", state="speaking")
    session.tell("reply.started", turn=1)
    session.tell("reply.text", turn=1, text="Once upon a time")
    session.tell("reply.heard", turn=1, text="Once upon")
    page.wait_for_function("document.querySelector('#captions .ahead')", polling=50)
    assert paused.count() == 0
    assert mark() == "none"

    session.tell("state", state="held")
    session.tell("reply.paused", turn=1)
    paused.wait_for()
    assert "paused" in mark()
    assert words.text_content() == "Once upon a time"
    assert state.inner_text() == "Vaani is speaking"
    assert page.get_by_role("button", name="Stop the answer").is_enabled()
    session.tell("reply.text", turn=1, text=" there was")  # the engine goes on all the while
    page.wait_for_function("vaani.transcript[0].reply.text.endsWith('was')", polling=50)
    page.wait_for_function(
        "document.querySelector('#captions .words').textContent.endsWith('was')", polling=50
    )
    assert paused.count() == 1

    session.tell("reply.resumed", turn=1)
    session.tell("state", state="speaking")
    paused.wait_for(state="detached")
    assert mark() == "none"
    assert page.evaluate("vaani.transcript[0].reply.paused") is False
    assert words.text_content() == "Once upon a time there was"

    session.tell("reply.paused", turn=1)
    paused.wait_for()
    ended = {"text": "Once upon a time", "heard": "Once upon", "seconds": 1.0, "interrupted": True}
    session.tell("reply.ended", turn=1, **ended)
    paused.wait_for(state="detached")
    assert "interrupted" in mark()
    assert page.locator("#announcer").inner_text().splitlines()[-1] == (
        "Vaani: Once upon … interrupted"
    )
    assert "paused" not in page.locator("#announcer").inner_text()


def test_answer_that_pauses_before_its_first_word(page: Page, session: Session) -> None:
    session.tell("reply.started", turn=1)
    session.tell("reply.paused", turn=1)
    page.locator("#captions .reply.paused").wait_for()
    session.tell("reply.resumed", turn=1)
    page.locator("#captions .reply.pending:not(.paused)").wait_for()
