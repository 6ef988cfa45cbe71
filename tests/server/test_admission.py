"""How many calls are let in, and when one who was refused is told to come back."""

from typing import cast

import pytest

from server.admission import MAX_RETRY, MIN_RETRY, USUAL_RETRY, Admission, CallRefused
from server.load import Load


class Idle:
    """A load that is, or is not, too much."""

    busy: str | None = None
    asked = 0

    def admit(self) -> str | None:
        self.asked += 1
        return self.busy


class Door:
    def __init__(self, max_sessions: int = 2) -> None:
        self.now = 100.0
        self.load = Idle()
        self.admission = Admission(max_sessions, cast(Load, self.load), lambda: self.now)

    def refusal(self, calls: int) -> CallRefused:
        with pytest.raises(CallRefused) as caught:
            self.admission.admit(calls)
        return caught.value


def test_as_many_as_are_allowed() -> None:
    door = Door(max_sessions=2)
    door.admission.admit(0)
    door.admission.admit(1)
    refused = door.refusal(2)
    assert str(refused) == "all 2 calls that this server takes at once are in use"
    assert (refused.cause, refused.retry_after) == ("full", USUAL_RETRY)
    assert door.load.asked == 2  # who is not let in is no load


def test_none_while_it_is_busy() -> None:
    door = Door()
    door.load.busy = "the server is busy: so and so"
    refused = door.refusal(1)
    assert str(refused) == "the server is busy: so and so"
    assert (refused.cause, refused.retry_after) == ("busy", USUAL_RETRY)


def test_the_wait_for_a_place_is_as_long_as_calls_make_it() -> None:
    door = Door()
    for _ in range(9):
        door.now += 7.2
        door.admission.note_departure()
    door.now += 7.2
    assert door.refusal(2).retry_after == 8  # whole seconds, rather late than early
    door.now += 3600  # and now they last
    assert door.refusal(2).retry_after == MAX_RETRY


def test_nobody_is_told_to_come_back_at_once() -> None:
    door = Door()
    for _ in range(30):
        door.now += 0.1
        door.admission.note_departure()
    assert door.refusal(2).retry_after == MIN_RETRY
