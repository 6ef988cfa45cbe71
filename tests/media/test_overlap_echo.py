"""What is said over an answer on a line with an echo: media.conversation with its real ear."""

import numpy as np
import pytest
import soxr

from bench.bargein.acoustics import EchoPath, EchoRoom
from media.actions import Notify
from media.conversation import Conversation
from media.endpointing import EndpointingSettings
from media.events import Event, ReplyEnded, ReplyPaused, ReplyResumed
from media.frames import AudioFrame, Samples, silence
from media.interruption import InterruptionSettings
from media.vad import VadSettings
from tests.media.conftest import ANSWER, OUT, at_level, read
from tests.media.script import PHRASES

IN = 16_000


@pytest.fixture(scope="module")
def person() -> Samples:
    samples, rate = read("weather_question")
    samples = at_level(soxr.resample(samples, rate, OUT), -20)
    return samples[np.argmax(np.abs(samples) > 2000) :]


def overheard(
    answer: Samples, said: Samples, *, at: float, delay: float, question: Samples | None = None
) -> list[tuple[float, Event]]:
    """What is told while an answer plays in a room with an echo, and the caller says this over it.

    Times are from the beginning of the answer.
    """
    conversation = Conversation(
        VadSettings(),
        EndpointingSettings(),
        InterruptionSettings(),
        PHRASES,
        input_rate=IN,
        output_rate=OUT,
        reply_timeout=30,
        partials=True,
    )
    room = EchoRoom(EchoPath(delay=delay), OUT, 3)
    noise = np.random.default_rng(1)
    asked = question if question is not None else silence(0)
    before = round((len(asked) / OUT + 1.0) / 0.02)  # frames
    line = np.zeros(before * 480 + 5 * OUT)
    line[: len(asked)] += asked
    begin = before * 480 + round(at * OUT)
    line[begin : begin + len(said)] += said
    told: list[tuple[float, Event]] = []
    for number in range(-before, len(line) // 480 - before):
        now = 100 + number * 0.02
        if number == 0:
            if not len(asked):
                conversation.say(ANSWER, True)
            conversation.receive_speech(1, answer, OUT, ANSWER, now)
        played = conversation.pull(now) if number >= 0 else silence(480)
        heard = line[(number + before) * 480 :][:480] + room.process(played)
        heard += noise.normal(0, 3, 480)
        microphone = soxr.resample(heard.clip(-32768, 32767), OUT, IN).astype(np.int16)
        conversation.receive_frame(AudioFrame(microphone, IN), now + 0.02)
        told += [
            (number * 0.02, action.event)
            for action in conversation.actions()
            if isinstance(action, Notify)
            and isinstance(action.event, ReplyPaused | ReplyResumed | ReplyEnded)
        ]
    return told


def test_what_was_let_through_before_the_echo_was_known_is_forgotten(
    answer: Samples, person: Samples
) -> None:
    """A voice in the first moment, which is no echo, and then the echo: the answer goes on."""
    told = overheard(answer, person[: round(0.2 * OUT)], at=0.05, delay=0.3)
    assert [type(event) for _, event in told] == [ReplyPaused, ReplyResumed]
    # Sooner than it would after a caller who says no more.
    assert told[1][0] < 0.05 + 0.2 + InterruptionSettings().false_interruption_timeout


def test_of_a_caller_in_an_echo_no_words_are_expected(answer: Samples, person: Samples) -> None:
    said = at_level(person[: round(0.45 * OUT)], -30)
    told = overheard(answer, said, at=3.0, delay=0.2, question=person)
    assert [type(event) for _, event in told] == [ReplyPaused, ReplyEnded]
