"""media.echo_gate: the bot's voice goes, the caller's stays, and a clean line is not touched."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bargein.acoustics import EchoPath, EchoRoom
from media.echo_gate import EARLY_FRAMES, MOST_HELD_BACK, EchoGate
from media.frames import Samples, silence
from tests.media.conftest import OUT, at_level, synthesize

REQUEST = "Wait a moment, what time is it?"


def decibels(samples: Samples) -> float:
    power = np.mean(np.square(samples, dtype=np.float64)) / 32768**2
    return float(10 * np.log10(power + 1e-12))


@pytest.fixture(scope="module")
def request_() -> Samples:
    samples, rate = synthesize(REQUEST)
    return at_level(soxr.resample(samples, rate, OUT), -20)


@dataclass
class Line:
    """A call on a clock of its own: answers are played into a room, the caller speaks in it."""

    rate: int = 16_000
    path: EchoPath | None = field(default_factory=lambda: EchoPath(delay=0.15))
    network: float = 0.04  # seconds each way
    noise: float = -75.0  # dBFS
    drift: float = 0.0
    jitter: float = 0.004
    shifts: dict[int, int] = field(default_factory=dict)  # frame: to so many frames of more delay

    def run(
        self, played: Samples, spoken: Samples | None = None, gate: EchoGate | None = None
    ) -> tuple[Samples, Samples, EchoGate]:
        """What the microphone heard, and what of it came through."""
        generator = np.random.default_rng(1)
        gate = gate or EchoGate(input_rate=self.rate, output_rate=OUT)
        frames = played[: len(played) // 480 * 480].reshape(-1, 480)
        room = EchoRoom(self.path, OUT, 3) if self.path else None
        heard = np.zeros(len(frames) * 480)
        if room:
            echo = room.process(self._shifted(frames).reshape(-1)).astype(np.float64)
            if self.drift:
                at = np.arange(len(echo)) * (1 + self.drift)
                echo = np.interp(at, np.arange(len(echo)), echo)
            heard += echo
        if spoken is not None:
            heard[: len(spoken)] += spoken[: len(heard)]
        heard += generator.normal(0, 32768 * 10 ** (self.noise / 20), len(heard))
        microphone = soxr.resample(heard.clip(-32768, 32767), OUT, self.rate).astype(np.int16)
        pieces = microphone.reshape(len(frames), -1)
        out = []
        for number, (frame, piece) in enumerate(zip(frames, pieces, strict=True)):
            now = 100 + number * 0.02
            if frames[max(0, number - 15) : number + 1].any():  # as the playout trails off
                gate.play(frame, number, now + float(generator.uniform(0, 0.002)))
            arrived = now + 0.02 + self.network + float(generator.uniform(0, self.jitter))
            out += gate.receive(piece, arrived - self.network)
        return microphone, np.concatenate(out), gate

    def _shifted(self, frames: Samples) -> Samples:
        shift, out = 0, np.zeros_like(frames)
        for number in range(len(frames)):
            shift = self.shifts.get(number, shift)
            if number >= shift:
                out[number] = frames[number - shift]
        return out


def after(samples: Samples, seconds: float, rate: int = 16_000) -> Samples:
    return samples[round(seconds * rate) :]


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_echo_goes(answer: Samples, rate: int) -> None:
    heard, out, gate = Line(rate=rate).run(answer)
    assert len(out) == len(heard)
    assert decibels(after(out, 1.5, rate)) < decibels(after(heard, 1.5, rate)) - 30
    assert gate.path is not None
    assert gate.path.delay == pytest.approx(0.15, abs=0.01)
    assert gate.path.coupling == pytest.approx(-10, abs=6)
    assert gate.path.reduction > 3


@pytest.mark.parametrize("delay", [0.02, 0.25, 0.4, 0.55])
def test_every_delay(answer: Samples, delay: float) -> None:
    heard, out, gate = Line(path=EchoPath(delay=delay)).run(answer)
    assert gate.path is not None
    assert gate.path.delay == pytest.approx(delay, abs=0.01)
    assert decibels(after(out, 1.5)) < decibels(after(heard, 1.5)) - 25


@pytest.mark.parametrize("coupling", [0, -20, -30])
def test_every_coupling(answer: Samples, coupling: float) -> None:
    heard, out, _ = Line(path=EchoPath(coupling=coupling)).run(answer)
    assert decibels(after(out, 1.5)) < decibels(after(heard, 1.5)) - 20


def test_little_of_the_first_second_gets_through(answer: Samples) -> None:
    heard, out, _ = Line().run(answer)
    loud = np.abs(heard.reshape(-1, 320)).max(axis=1) > 1000
    through = np.abs(out.reshape(-1, 320)).max(axis=1) > 300
    assert loud[:75].sum() > 30
    assert (loud & through)[:75].sum() <= 3


def test_no_echo_is_bit_equal(answer: Samples, request_: Samples) -> None:
    spoken = np.concatenate((silence(3 * OUT), request_))
    heard, out, gate = Line(path=None).run(answer, spoken)
    assert np.array_equal(heard, out)
    assert gate.path is None


def test_nothing_played_is_bit_equal(request_: Samples) -> None:
    heard, out, _ = Line().run(silence(len(request_)), request_)
    assert np.array_equal(heard, out)


def test_between_answers_the_caller_is_bit_equal(answer: Samples, request_: Samples) -> None:
    spoken = np.concatenate((silence(len(answer) + OUT), request_))
    played = np.concatenate((answer, silence(OUT + len(request_))))
    heard, out, gate = Line().run(played, spoken)
    assert gate.path is not None
    begin = len(answer) / OUT + 1
    assert np.array_equal(after(heard, begin), after(out, begin))


def test_caller_from_the_first_moment_of_a_clean_line(answer: Samples, request_: Samples) -> None:
    heard, out, _ = Line(path=None).run(answer, request_)
    # What could be an echo is held back, until it is found to be none.
    assert np.array_equal(after(heard, 0.6), after(out, 0.6))


@pytest.mark.parametrize("relative", [0, -6])
def test_never_deaf(answer: Samples, request_: Samples, relative: float) -> None:
    begin = 3.0
    caller = at_level(request_, -30 + relative)
    spoken = np.concatenate((silence(round(begin * OUT)), caller))
    _, out, _ = Line().run(answer, spoken)
    said = soxr.resample(caller, OUT, 16_000).reshape(-1)
    through = after(out, begin)[: len(said)]
    voice = np.abs(said[: len(through) // 320 * 320].reshape(-1, 320)).max(axis=1)
    heard = np.abs(through[: len(through) // 320 * 320].reshape(-1, 320)).max(axis=1)
    loud = voice > voice.max() / 4
    assert (heard[loud] > 100).mean() > 0.9
    # and it is the caller's voice that comes, not the bot's
    likeness = np.corrcoef(said[: len(through)], through[: len(said)])[0, 1]
    assert likeness > (0.8 if relative == 0 else 0.7)


def test_a_jump_of_the_delay(answer: Samples) -> None:
    heard, out, gate = Line(shifts={150: 4}).run(answer)
    assert gate.path is not None
    assert gate.path.delay == pytest.approx(0.23, abs=0.01)
    moved = slice(round(3.1 * 16_000), None)
    assert decibels(out[moved]) < decibels(heard[moved]) - 10
    assert decibels(after(out, 4.2)) < decibels(after(heard, 4.2)) - 25


def test_who_speaks_before_the_first_echo_does_not_let_it_through(
    answer: Samples, request_: Samples
) -> None:
    spoken = request_[: round(0.38 * OUT)]
    heard, out, _ = Line(path=EchoPath(delay=0.4)).run(answer, spoken)
    echo = slice(round(0.5 * 16_000 / 320), round(1.7 * 16_000 / 320))
    loud = np.abs(heard.reshape(-1, 320)).max(axis=1)[echo] > 1000
    through = np.abs(out.reshape(-1, 320)).max(axis=1)[echo] > 300
    assert loud.sum() > 20
    assert (loud & through).sum() < 10


@pytest.mark.parametrize("shift", [-3, 3])
def test_an_answer_of_another_delay_in_noise(answer: Samples, shift: int) -> None:
    played = np.concatenate((answer, silence(2 * OUT), answer))
    second = len(answer) // 480 + 80
    line = Line(noise=-50, shifts={0: 5, second: 5 + shift})
    heard, out, gate = line.run(played)
    assert gate.path is not None
    assert gate.path.delay == pytest.approx(0.25 + 0.02 * shift, abs=0.01)
    begin = len(answer) / OUT + 2
    assert decibels(after(heard, begin)) > line.noise + 10
    through = np.abs(after(out, begin)[: 2 * 16_000].reshape(-1, 320)).max(axis=1)
    assert (through > 1000).sum() <= 5  # no 100 ms of it


def test_an_echo_that_is_gone_is_forgotten(answer: Samples, request_: Samples) -> None:
    """Who puts on a headset is soon heard as on a line that never had an echo."""
    _, _, gate = Line().run(answer)
    assert gate.knows
    Line(path=None).run(np.concatenate((silence(OUT), answer)), gate=gate)
    assert not gate.knows
    heard, out, _ = Line(path=None).run(answer, at_level(request_, -30), gate=gate)
    assert np.array_equal(after(heard, 0.6), after(out, 0.6))


def test_an_echo_that_comes_back_is_known_at_once(answer: Samples) -> None:
    """Who mutes his microphone for a while has no echo meanwhile, and then has it again."""
    line, muted = Line(), Line(path=None, noise=-110)
    _, _, gate = line.run(answer)
    muted.run(np.concatenate((silence(OUT), answer)), gate=gate)
    assert not gate.knows
    heard, out, _ = line.run(np.concatenate((silence(OUT), answer)), gate=gate)
    assert gate.knows
    loud = np.abs(heard[: len(out)].reshape(-1, 320)).max(axis=1) > 1000
    through = np.abs(out.reshape(-1, 320)).max(axis=1) > 300
    assert loud.sum() > 100
    assert (loud & through).sum() <= 3


def test_a_voice_like_the_bots_after_a_word_of_it_is_no_echo(
    answer: Samples, request_: Samples
) -> None:
    """Of a moment of sound anything is alike, and there is hardly any of it to be an echo of."""
    for frames in (2, 3):
        begin = int(np.argmax(np.abs(answer) > 1000))
        played = np.concatenate((answer[begin : begin + frames * 480], silence(2 * OUT)))
        for offset in range(0, 30, 3):
            spoken = np.concatenate((silence(offset * 480), request_))
            _, _, gate = Line(path=None, network=0.0).run(played, spoken)
            assert not gate.knows


def test_what_is_held_back_leaves_the_noise_of_the_line(answer: Samples) -> None:
    _, out, _ = Line(noise=-50).run(answer)
    levels = [decibels(frame) for frame in after(out, 1.5).reshape(-1, 320)]
    assert np.percentile(levels, 10) > -56


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_clocks_that_drift_apart(answer: Samples, drift: float) -> None:
    heard, out, _ = Line(drift=drift).run(np.concatenate((answer, answer)))
    assert decibels(after(out, 1.5)) < decibels(after(heard, 1.5)) - 25


def test_an_overdriven_loudspeaker_in_noise(answer: Samples) -> None:
    line = Line(path=EchoPath(nonlinearity=0.7, reverberation=0.3), noise=-48)
    heard, out, _ = line.run(answer)
    assert decibels(after(heard, 1.5)) > line.noise + 10
    assert decibels(after(out, 1.5)) < line.noise + 2


def test_the_next_answer_is_known_at_once(answer: Samples) -> None:
    line, gap = Line(), silence(2 * OUT)
    heard, out, _ = line.run(np.concatenate((answer, gap, answer)))
    second = slice(round((len(answer) / OUT + 2) * 16_000), None)
    assert decibels(out[second]) < decibels(heard[second]) - 25


def test_a_caller_before_anything_is_known_is_heard_late_and_whole(
    answer: Samples, request_: Samples
) -> None:
    other = soxr.resample(request_, OUT, 1.3 * OUT).astype(np.int16)  # not the bot's own voice
    spoken = np.concatenate((silence(round(0.3 * OUT)), other))
    heard, out, _ = Line(path=None).run(answer, spoken)
    assert np.array_equal(heard, out)
    gate = EchoGate(input_rate=16_000, output_rate=OUT)
    given = []
    for number in range(60):
        gate.play(answer[number * 480 :][:480], number, number * 0.02)
        given.append(len(gate.receive(heard[number * 320 :][:320], number * 0.02 + 0.02)))
    assert max(given) == EARLY_FRAMES  # a tenth of a second
    assert sum(given) == 60


def test_frames_of_any_length(answer: Samples) -> None:
    gate = EchoGate(input_rate=16_000, output_rate=OUT)
    assert [len(frame) for frame in gate.receive(silence(0), 1.0)] == [0]
    for number in range(100):
        gate.play(answer[number * 480 : (number + 1) * 480], number, 1 + number * 0.02)
        for length in (1, 160, 320, 479):
            out = gate.receive(silence(length), 1 + number * 0.02)
            assert [len(frame) for frame in out] == [length]


times = st.floats() | st.floats(0, 10)
pcm = st.sampled_from([0, 1, -32768, 32767]) | st.integers(-32768, 32767)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), times, pcm, st.integers(0, 2**32 - 1)), max_size=60),
    st.sampled_from([8_000, 16_000, 48_000]),
)
def test_any_frames_at_any_time(steps: list[tuple[bool, float, int, int]], rate: int) -> None:
    gate = EchoGate(input_rate=rate, output_rate=OUT)
    held_back = 0
    for sequence, (play, now, peak, seed) in enumerate(steps):
        length = 480 if play else rate // 50
        noise = np.random.default_rng(seed).uniform(-1, 1, length)
        frame = np.full(length, peak, np.int16) if seed % 2 else (noise * peak).astype(np.int16)
        if play:
            gate.play(frame, sequence, now)
            gate.receive_played(sequence, now)
        else:
            out = gate.receive(frame, now)
            assert all(one.dtype == np.int16 and one.shape == frame.shape for one in out)
            held_back += 1 - len(out)
            assert 0 <= held_back <= MOST_HELD_BACK
            assert not (out and held_back)
        assert (
            gate.path is None
            or np.isfinite((gate.path.delay, gate.path.coupling, gate.path.reduction)).all()
        )
