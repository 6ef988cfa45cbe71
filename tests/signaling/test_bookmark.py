"""A client's place in its session: the latest token, the last event."""

from signaling.bookmark import Bookmark

STARTED = {"type": "session.started", "seq": 1, "session_id": "s", "resume_token": "one"}
RESUMED = {"type": "session.resumed", "seq": 9, "session_id": "s", "resume_token": "two"}


def test_without_a_session_there_is_nothing_to_resume() -> None:
    bookmark = Bookmark()
    assert bookmark.resume(None) is None
    bookmark.note({"type": "pong", "t": 1})
    assert bookmark.resume({"sequence": 1}) is None


def test_it_asks_for_what_follows_the_last_event() -> None:
    bookmark = Bookmark()
    bookmark.note(STARTED)
    bookmark.note({"type": "state", "seq": 2, "state": "listening"})
    bookmark.note({"type": "pong", "t": 1})
    assert bookmark.resume({"sequence": 1240}) == {
        "session_id": "s",
        "resume_token": "one",
        "seq": 2,
        "played": {"sequence": 1240},
    }


def test_the_latest_token_is_the_one() -> None:
    bookmark = Bookmark()
    for message in (STARTED, RESUMED):
        bookmark.note(message)
    resume = bookmark.resume(None)
    assert resume is not None
    assert (resume["resume_token"], resume["seq"], resume["played"]) == ("two", 9, None)


def test_an_event_sent_again_does_not_set_it_back() -> None:
    bookmark = Bookmark()
    for message in (STARTED, RESUMED, {"type": "state", "seq": 4, "state": "listening"}):
        bookmark.note(message)
    resume = bookmark.resume(None)
    assert resume is not None
    assert resume["seq"] == 9
