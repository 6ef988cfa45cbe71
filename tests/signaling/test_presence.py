"""Who is gone and who only says nothing, on virtual time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from signaling.presence import Presence
from tests.signaling.call import ScriptedCall
from tests.virtual_time import until

pytestmark = pytest.mark.virtual_time

TIMEOUT = 5.0
FRAMES_A_SECOND = 50


class Watched:
    """A call whose caller is watched, and when he was missed."""

    def __init__(self) -> None:
        self.call = ScriptedCall()
        self.lost: list[float] = []
        self.packets = 0
        loop = asyncio.get_running_loop()
        self.presence = Presence(
            self.call, TIMEOUT, lambda: self.lost.append(loop.time()), lambda: self.packets
        )


@contextmanager
def watched() -> Iterator[Watched]:
    caller = Watched()
    try:
        yield caller
    finally:
        caller.presence.close()


async def test_one_who_never_came_is_lost_once() -> None:
    with watched() as caller:
        await until(60)
        assert caller.lost == [pytest.approx(TIMEOUT, abs=0.26)]
        assert caller.call.heard == []


async def test_the_time_counts_from_the_last_sign() -> None:
    with watched() as caller:
        for tick in range(100):
            await until(0.02 * tick)
            caller.presence.hear()
        await until(60)
        assert caller.lost == [pytest.approx(1.98 + TIMEOUT, abs=0.26)]
        assert caller.call.heard == []  # a dead network must not end a turn


async def test_one_who_talks_is_told_no_silence() -> None:
    with watched() as caller:
        for tick in range(10 * FRAMES_A_SECOND):
            await until(0.02 * tick)
            caller.presence.hear()
        assert caller.lost == []
        assert caller.call.heard == []


async def test_a_stutter_of_the_network_is_no_silence() -> None:
    with watched() as caller:
        for tick in range(40):
            await until(0.4 * tick)
            caller.presence.hear()
            caller.presence.see()
        assert caller.call.heard == []


async def test_one_who_is_there_without_audio_is_silent_for_as_long() -> None:
    with watched() as caller:
        for tick in range(100):
            await until(0.1 * tick)
            caller.presence.see()
        seconds = len(caller.call.heard) / FRAMES_A_SECOND
        assert seconds == pytest.approx(9.9, abs=0.8)  # up to the last time that it was told
        assert {len(frame) for frame in caller.call.heard} == {320}
        assert not any(frame.any() for frame in caller.call.heard)
        # Told as it goes by, not all at the end.
        assert caller.call.heard_at[0] == pytest.approx(0.75, abs=0.26)
        assert max(
            b - a for a, b in zip(caller.call.heard_at, caller.call.heard_at[1:], strict=False)
        ) == pytest.approx(0.5, abs=0.26)
        assert caller.lost == []


async def test_signs_that_only_the_count_knows_of() -> None:
    with watched() as caller:
        for tick in range(20):
            await until(0.5 * tick)
            caller.packets += 3
        assert caller.lost == []
        assert len(caller.call.heard) / FRAMES_A_SECOND == pytest.approx(9.5, abs=0.8)
        await until(60)
        assert caller.lost == [pytest.approx(9.5 + TIMEOUT, abs=0.51)]


async def test_silence_ends_where_the_signs_end() -> None:
    with watched() as caller:
        caller.presence.hear()
        await until(2.0)
        caller.presence.see()
        await until(60)
        assert len(caller.call.heard) == 2 * FRAMES_A_SECOND
        assert len(caller.lost) == 1


async def test_at_most_two_seconds_of_silence_at_once() -> None:
    with watched() as caller:
        await until(2.4)
        caller.presence.see()
        await until(3.5)
        assert len(caller.call.heard) == 2 * FRAMES_A_SECOND


async def test_an_outage_is_no_silence_of_the_callers() -> None:
    with watched() as caller:
        await until(4.0)  # nothing came at all, so nothing is known of what was said
        caller.presence.see()
        await until(5.0)
        caller.presence.see()
        await until(5.6)
        assert len(caller.call.heard) == FRAMES_A_SECOND


async def test_a_message_that_comes_back_before_the_audio_is_no_silence() -> None:
    with watched() as caller:
        for tick in range(100):
            await until(0.02 * tick)
            caller.presence.hear()
        await until(2.99)  # one second of outage; then a message, a check, and the audio
        caller.presence.see()
        for tick in range(50):
            await until(3.01 + 0.02 * tick)
            caller.presence.hear()
        assert caller.call.heard == []


async def test_one_who_is_no_longer_watched_is_never_missed() -> None:
    with watched() as caller:
        caller.presence.close()
        await until(60)
        assert caller.lost == []
