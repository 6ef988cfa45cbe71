"""People who speak of other things: their recordings, where the folder with them is there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from inference.embedded import EmbeddedEngine
from inference.embedded.skills import understand
from inference.protocol import Voice
from media.frames import Samples
from tests.inference.embedded.caller import answer_words, ask, caller_words

FOLDER = Path(__file__).parents[3].parent / "shared" / "audio"
NAMES = (
    "speech/weather_question",
    "speech/dog-or-cat-3-nowait",
    "speech/seine",
    "telugu/user_question_1",
    "telugu/user_question_3",
    "telugu/user_question_4",
    "ljspeech/LJ001-0002",
    "ljspeech/LJ001-0008",
    "ljspeech/LJ001-0013",
)


def recording(path: Path) -> Samples:
    audio, rate = soundfile.read(path, dtype="float32")
    heard = soxr.resample(audio, rate, 16000) * 32767
    return np.asarray(np.clip(np.pad(heard, (3200, 4800)), -32768, 32767), dtype=np.int16)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the recordings are not here")
@pytest.mark.parametrize("name", NAMES)
async def test_other_speech_is_not_taken_for_a_command(engine: EmbeddedEngine, name: str) -> None:
    async with engine.open(Voice(), lambda _: None) as session:
        chunks = await ask(session, 1, recording(FOLDER / f"{name}.flac"))
    assert understand(tuple(caller_words(chunks).split())) is None
    assert answer_words(chunks).startswith("Sorry, I did not understand")
