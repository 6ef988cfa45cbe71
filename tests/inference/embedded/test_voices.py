"""Voices and emotions differ where one can hear it, and stay within full scale."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.embedded import voices
from inference.embedded.espeak import RATE, speak
from inference.protocol import Voice

SENTENCE = "Hello! I can count from one to ten, and tell you a story."
NAMES = [voice.name for voice in voices.voice_infos()]


def spoken(voice: Voice, text: str = SENTENCE) -> NDArray[np.float64]:
    return np.concatenate([word.samples for word in speak(text, voice)]).astype(np.float64)


def active_level(samples: NDArray[np.float64]) -> float:
    """dBFS over the 20 ms windows that hold sound."""
    windows = samples[: len(samples) // 441 * 441].reshape(-1, 441)
    power = np.mean(np.square(windows), axis=1)
    return float(10 * np.log10(np.mean(power[power > 300**2]) / 32768.0**2))


def pitch(samples: NDArray[np.float64]) -> float:
    """Median fundamental of the voiced windows, Hz, by autocorrelation."""
    found = []
    for start in range(0, len(samples) - 1024, 512):
        window = samples[start : start + 1024] - samples[start : start + 1024].mean()
        correlation = np.correlate(window, window, "full")[1023:]
        lag = int(np.argmax(correlation[RATE // 400 : RATE // 60])) + RATE // 400
        if correlation[0] > 1e9 and correlation[lag] > 0.6 * correlation[0]:
            found.append(RATE / lag)
    return float(np.median(found))


def test_four_voices_and_nine_emotions() -> None:
    assert NAMES == ["arjun", "ravi", "priya", "lakshmi"]
    assert len(voices.EMOTIONS) == 9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("emotion", voices.EMOTIONS)
def test_no_voice_clips_or_whispers(name: str, emotion: str) -> None:
    samples = spoken(Voice(name, emotion))
    assert np.abs(samples).max() < 32000
    assert -27 < active_level(samples) < -17


def test_women_speak_higher_than_men_and_the_young_higher_than_the_mature() -> None:
    heard = {name: pitch(spoken(Voice(name))) for name in NAMES}
    assert heard["ravi"] < heard["arjun"] < heard["lakshmi"] < heard["priya"]


def test_every_emotion_sounds_unlike_every_other() -> None:
    """In pace by 4 %, in level by 1 dB or in pitch by 5 %: what an ear tells apart."""
    heard = {}
    for emotion in voices.EMOTIONS:
        samples = spoken(Voice("priya", emotion))
        heard[emotion] = (len(samples), active_level(samples), pitch(samples))
    for first in voices.EMOTIONS:
        for second in voices.EMOTIONS:
            if first < second:
                a, b = heard[first], heard[second]
                pace, level, tone = abs(a[0] / b[0] - 1), abs(a[1] - b[1]), abs(a[2] / b[2] - 1)
                assert pace > 0.04 or level > 1.0 or tone > 0.05, (first, second)


def test_a_blend_lies_between_its_voices() -> None:
    ravi, priya = voices.timbre_of("ravi"), voices.timbre_of("priya")
    half, quarter = voices.timbre_of("ravi+priya"), voices.timbre_of("ravi+priya:0.25")
    assert ravi.pitch < quarter.pitch < half.pitch < priya.pitch
    assert ravi.words_per_minute < quarter.words_per_minute < half.words_per_minute
    assert quarter.variant == ravi.variant
    assert voices.timbre_of("ravi+priya:0.75").variant == priya.variant


def test_telugu_has_its_own_voice() -> None:
    text = "నమస్కారం"
    assert len(spoken(Voice("arjun", language="te"), text)) != len(spoken(Voice("arjun"), text))


@pytest.mark.parametrize(
    ("voice", "said"),
    [
        (Voice("pria"), "no voice 'pria'; .* did you mean 'priya'"),
        (Voice("priya+bob"), "no voice 'bob'"),
        (Voice("priya+ravi:2"), "no voice 'priya\\+ravi:2'"),
        (Voice(emotion="jolly"), "no emotion 'jolly'"),
        (Voice(language="xx"), "no language 'xx'"),
        (Voice(rate=9.0), "no rate 9.0"),
    ],
)
def test_what_is_not_on_offer_is_refused(voice: Voice, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        voices.check_voice(voice)
