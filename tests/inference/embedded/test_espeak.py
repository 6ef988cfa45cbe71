"""espeak-ng as a library: words, their sound, and their order."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pocketsphinx
import pytest
import soxr

from inference.embedded.espeak import RATE, speak, synthesize
from inference.embedded.voices import EMOTIONS, VOICES
from inference.protocol import Voice
from media.frames import Samples

SENTENCE = "This is how I sound — when I say twenty-five, 3.5 or hello!"


def audio_of(voice: Voice, text: str = SENTENCE) -> Samples:
    return np.concatenate([piece.samples for piece in speak(text, voice)])


def active_dbfs(audio: Samples) -> float:
    blocks = audio[: len(audio) // 220 * 220].reshape(-1, 220).astype(float) / 32768
    power = np.square(blocks).mean(axis=1)
    return float(10 * np.log10(power[power > 1e-4 * power.max()].mean()))


@pytest.mark.parametrize("language", ["en", "te"])
@pytest.mark.parametrize("name", VOICES)
def test_a_piece_is_a_word_and_the_texts_joined_are_the_text(name: str, language: str) -> None:
    text = SENTENCE if language == "en" else "నమస్కారం, నేను వాణిని. 1, 2, 3."
    pieces = speak(text, Voice(name, language=language))
    assert "".join(piece.text for piece in pieces) == text
    assert len(pieces) > 4
    assert all(len(piece.samples) for piece in pieces)
    assert {piece.rate for piece in pieces} == {RATE}


@pytest.mark.parametrize("name", [*VOICES, "priya+ravi"])
def test_every_voice_speaks_at_the_same_level(name: str) -> None:
    assert active_dbfs(audio_of(Voice(name))) == pytest.approx(-20, abs=0.5)


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("name", VOICES)
def test_no_emotion_clips_or_strays_far_from_the_level(name: str, emotion: str) -> None:
    audio = audio_of(Voice(name, emotion))
    assert np.abs(audio.astype(int)).max() < 30000
    assert active_dbfs(audio) == pytest.approx(-20, abs=3)


def test_rate_is_a_factor_on_speed() -> None:
    slow, fast = (len(audio_of(Voice("ravi", rate=rate))) for rate in (0.7, 1.4))
    assert slow == pytest.approx(2 * fast, rel=0.25)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "  spaces   before and behind  ",
        "A single\nline break… and – so.",
        "It is 21 now.",
    ],
)
def test_no_character_is_lost(text: str) -> None:
    assert "".join(piece.text for piece in speak(text, Voice("ravi"))) == text


def test_each_word_has_its_own_sound() -> None:
    words = speak("one two three four", Voice("priya"))
    assert [word.text for word in words] == ["one ", "two ", "three ", "four"]
    assert all(0.1 < len(word.samples) / RATE < 1.0 for word in words)
    assert all(np.abs(word.samples).max() > 1000 for word in words)


def test_threads_do_not_mix_their_words() -> None:
    """espeak-ng's state is global: without the lock sentences swallow each other's sound."""
    texts = [f"sentence number {n} of several" for n in range(20)]
    alone = [speak(text, Voice("arjun")) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: speak(text, Voice("arjun")), texts))
    for a, b in zip(alone, together, strict=True):
        assert [word.text for word in a] == [word.text for word in b]
        # espeak-ng varies a word's length by some milliseconds from one time to the next
        assert [len(word.samples) for word in b] == pytest.approx(
            [len(word.samples) for word in a], rel=0.1
        )


def test_silence_has_pieces_too() -> None:
    assert "".join(piece.text for piece in speak("—", Voice("ravi"))) == "—"


def test_a_voice_the_library_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="no voice 'nowhere'"):
        synthesize("hello", "nowhere")


@pytest.mark.parametrize("name", VOICES)
def test_digits_spoken_are_recognised_again(name: str) -> None:
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", bestpath=False)
    one_of = " | ".join(digits)
    decoder.add_jsgf_string("digits", f"#JSGF V1.0; grammar g; public <g> = {one_of};")
    decoder.activate_search("digits")
    right = 0
    for digit in digits:
        speech = soxr.resample(audio_of(Voice(name), f"{digit}.").astype(np.float32), RATE, 16000)
        noise = np.random.default_rng(1).normal(0, 10, len(speech) + 6400)
        noise[3200:-3200] += speech
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(noise.astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        right += decoder.hyp() is not None and decoder.hyp().hypstr == digit
    assert right >= 8
