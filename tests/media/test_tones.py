"""media.tones: short, soft, without a click, at any rate."""

import numpy as np
import pytest

from media.tones import apology


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_the_apology_is_soft_and_does_not_click(rate: int) -> None:
    tone = apology(rate)
    assert tone.dtype == np.int16
    assert len(tone) == round(0.6 * rate)
    assert 3000 < np.abs(tone).max() < 0.2 * 32768
    steps = np.abs(np.diff(tone.astype(int), prepend=0, append=0))
    assert steps.max() < 6553 * 2 * np.pi * 440 / rate  # of a sine at full height: no edge is worse


@pytest.mark.parametrize(("start", "frequency"), [(0.0, 440), (0.3, 330)])
def test_the_apology_falls(start: float, frequency: int) -> None:
    note = apology(24000)[round(start * 24000) :][:7200]
    spectrum = np.abs(np.fft.rfft(note, 24000))  # one bin per Hz
    assert abs(int(spectrum.argmax()) - frequency) <= 2
    assert int(np.abs(note).argmax()) < 0.11 * 24000  # struck, not swelling: it dies away
