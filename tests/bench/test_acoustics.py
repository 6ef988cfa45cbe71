"""bench.bargein.acoustics: a room of which delay and coupling are known."""

import numpy as np
import pytest

from bench.bargein.acoustics import EchoPath, EchoRoom
from media.frames import Samples

RATE = 24_000


def speech_like(seconds: float, seed: int = 1) -> Samples:
    """Noise with the long-term spectrum of speech, -23 dBFS."""
    length = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=length))
    frequencies = np.fft.rfftfreq(length, 1 / RATE)
    sound = np.fft.irfft(spectrum / np.sqrt(1 + (frequencies / 500) ** 3) * (frequencies > 100))
    scaled = sound / sound.std() * 32768 * 10 ** (-23 / 20)
    return np.asarray(scaled.clip(-32768, 32767), dtype=np.int16)


def rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("nonlinearity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("coupling", [0, -10, -30])
def test_coupling(coupling: float, nonlinearity: float) -> None:
    played = speech_like(4)
    path = EchoPath(delay=0, coupling=coupling, nonlinearity=nonlinearity)
    for seed in range(3):
        heard = EchoRoom(path, RATE, seed).process(played)
        assert 20 * np.log10(rms(heard) / rms(played)) == pytest.approx(coupling, abs=1.5)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.4])
def test_delay(delay: float) -> None:
    click = np.zeros(RATE, dtype=np.int16)
    click[100] = 20_000
    heard = EchoRoom(EchoPath(delay=delay), RATE, 1).process(click)
    first = int(np.flatnonzero(np.abs(heard) > np.abs(heard).max() / 4)[0])
    assert first - 100 == pytest.approx(delay * RATE, abs=2)


def test_the_room_decays() -> None:
    click = np.zeros(RATE, dtype=np.int16)
    click[0] = 32_767
    heard = EchoRoom(EchoPath(delay=0, coupling=0, reverberation=0.3), RATE, 1).process(click)
    early, late = rms(heard[480:960]), rms(heard[480 + 2400 : 960 + 2400])
    assert 20 * np.log10(late / early) == pytest.approx(-20, abs=4)  # 100 ms of 60 dB in 300


def test_pieces_are_the_whole() -> None:
    played = speech_like(1)
    path = EchoPath(delay=0.05, nonlinearity=0.5)
    whole = EchoRoom(path, RATE, 1).process(played)
    room = EchoRoom(path, RATE, 1)
    pieces = [room.process(played[i : i + 480]) for i in range(0, len(played), 480)]
    assert [len(piece) for piece in pieces] == [480] * 50
    assert np.abs(np.concatenate(pieces).astype(int) - whole).max() <= 1


def test_nonlinearity_adds_what_no_filter_gives() -> None:
    times = np.arange(RATE) / RATE
    tone = (4000 * np.sin(2 * np.pi * 400 * times)).astype(np.int16)

    def harmonics(nonlinearity: float) -> float:
        heard = EchoRoom(EchoPath(delay=0, nonlinearity=nonlinearity), RATE, 1).process(tone)
        spectrum = np.abs(np.fft.rfft(heard[RATE // 2 :].astype(np.float64)))
        return float(spectrum[600] / spectrum[200])  # 1200 Hz and 400 Hz, in steps of 2

    assert harmonics(0.0) < 0.01 < 0.05 < harmonics(1.0)


def test_seeded() -> None:
    played = speech_like(0.5)
    first, again, other = (EchoRoom(EchoPath(), RATE, s).process(played) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_such_path() -> None:
    with pytest.raises(ValueError, match="no such echo path"):
        EchoRoom(EchoPath(delay=-1), RATE, 1)
