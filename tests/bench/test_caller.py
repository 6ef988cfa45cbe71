"""The mouth and the ear on virtual time: what was heard when, to the window."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from bench.caller import MAX_EAR_LAG, RATE, Ear, Mouth
from bench.dial import CallFailed, addresses, post
from media.frames import Samples, frame_length
from tests.virtual_time import VirtualTimeLoop, until

pytestmark = pytest.mark.virtual_time

FRAME = frame_length(RATE)


def sound(audible: bool = True, samples: int = FRAME) -> Samples:
    return np.full(samples, 5000 * audible, dtype=np.int16)


async def hear(arrivals: Sequence[tuple[float, Samples]]) -> Ear:
    """An ear to which these frames came, at these times."""
    ear = Ear()
    for at, samples in arrivals:
        await until(at)
        ear.receive(samples)
    return ear


async def test_frames_are_heard_from_when_they_arrive() -> None:
    ear = await hear([(1.0 + 0.02 * n, sound(audible=10 <= n < 20)) for n in range(40)])
    assert ear.first_audible(0.0) == pytest.approx(1.2)
    assert ear.last_audible(0.0) == pytest.approx(1.4)
    assert ear.first_audible(1.3) == pytest.approx(1.3)
    assert ear.first_audible(1.4001) is None
    assert ear.last_audible(1.5) is None


async def test_frames_that_come_early_are_heard_one_after_the_other() -> None:
    # 1.00, then two at once: the second of them cannot be heard before the first has ended.
    ear = await hear([(1.0, sound()), (1.02, sound()), (1.02, sound(audible=False))])
    assert ear.last_audible(0.0) == pytest.approx(1.04)
    ear = await hear([(2.0, sound(audible=False)), (2.005, sound())])
    assert ear.first_audible(0.0) == pytest.approx(2.02)


async def test_an_ear_that_lies_behind_catches_up() -> None:
    burst = [(1.0, sound(audible=n == 9)) for n in range(10)]
    ear = await hear(burst)
    first = ear.first_audible(0.0)
    assert first is not None
    assert first <= 1.0 + MAX_EAR_LAG + 0.02


async def test_sound_is_found_within_a_frame() -> None:
    samples = sound()
    samples[: FRAME // 2] = 0
    ear = await hear([(1.0, samples)])
    assert ear.first_audible(0.0) == pytest.approx(1.01)
    assert ear.last_audible(0.0) == pytest.approx(1.02)


async def test_the_recording_has_its_pauses() -> None:
    ear = await hear([(0.5, sound()), (0.52, sound()), (1.0, sound())])
    recording = ear.recording()
    assert np.flatnonzero(recording)[0] == round(0.5 * RATE)
    assert len(recording) == pytest.approx(1.02 * RATE, abs=2)
    assert not recording[round(0.54 * RATE) + 1 : round(1.0 * RATE) - 1].any()


async def test_the_mouth_says_frames_and_then_silence() -> None:
    mouth = Mouth()
    assert not mouth.pull().any()
    with pytest.raises(AssertionError, match="nothing was said"):
        _ = mouth.began
    await until(1.0)
    mouth.say(sound(samples=2 * FRAME + 10))
    assert not mouth.quiet.is_set()
    said = []
    for tick in range(3):
        await until(1.0 + 0.02 * tick)
        said.append(mouth.pull())
    # A packet is complete when its last sample was said: the first one began 20 ms before.
    assert mouth.began == pytest.approx(0.98)
    assert [len(samples) for samples in said] == [FRAME] * 3
    assert np.count_nonzero(np.concatenate(said)) == 2 * FRAME + 10
    assert not mouth.pull().any()
    assert mouth.quiet.is_set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"])
def test_a_server_on_this_machine_is_called_over_loopback(url: str) -> None:
    assert addresses(url) == ["127.0.0.1"]


@pytest.mark.parametrize("url", ["http://192.0.2.1:1", "https://vaani.example", "http://[", ""])
def test_another_server_is_called_over_all_interfaces(url: str) -> None:
    assert "127.0.0.1" in addresses(url)


class Http:
    """An HTTP client whose server answers this, or raises it."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def post(self, url: str, json: object) -> "Http":
        return self

    async def __aenter__(self) -> "Http":
        if isinstance(self._answer, Exception):
            raise self._answer
        return self

    async def __aexit__(self, *exc: object) -> None:
        """There is nothing to close."""

    async def json(self, content_type: object) -> object:
        return self._answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"error": {"code": "refused", "message": "all in use"}}, "refused: all in use"),
        ({"error": "no"}, "refused: no"),
        ({"detail": "no"}, "detail"),
        ({"sdp": None}, "refused"),
        ([], "refused"),
        ("text", "refused: text"),
        (ValueError("not JSON"), "not JSON"),
        (TimeoutError(), "no answer in time"),
    ],
)
async def test_a_server_that_takes_no_call(answer: object, reason: str) -> None:
    with pytest.raises(CallFailed) as caught:
        await post(Http(answer), "http://h/api/offer", {})  # type: ignore[arg-type]
    assert str(caught.value).startswith("http://h/api/offer")
    assert reason in str(caught.value)


async def test_virtual_time_is_virtual() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    await asyncio.sleep(3600)
    assert loop.time() == pytest.approx(3600)
