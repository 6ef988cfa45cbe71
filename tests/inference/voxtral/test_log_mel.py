"""inference.voxtral.log_mel: made piece by piece, it is the extractor's of all at once."""

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from inference.voxtral.log_mel import LogMel
from media.frames import Samples

SIZE = 30 * 16_000


@pytest.fixture(scope="module")
def extractor() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=128)


def speechlike(length: int) -> Samples:
    generator = np.random.default_rng(length)
    loud = np.repeat(generator.uniform(0, 8000, length // 1600 + 1), 1600)[:length]
    return (generator.normal(size=length) * loud).clip(-32768, 32767).astype(np.int16)


@pytest.mark.parametrize("length", [1, 199, 200, 201, 560, 16_000, SIZE - 150, SIZE, SIZE + 7])
@pytest.mark.parametrize("step", [320, 163, 100_000])
def test_it_is_the_extractors(extractor: WhisperFeatureExtractor, length: int, step: int) -> None:
    samples = speechlike(length)
    mel = LogMel(extractor.mel_filters)
    for at in range(0, length, step):
        mel.feed(samples[at : at + step])
    found = mel.finish()
    expected = extractor(
        samples.astype(np.float32) / 32768,
        sampling_rate=16_000,
        padding=True,
        truncation=False,
        pad_to_multiple_of=SIZE,
        return_tensors="np",
    ).input_features[0]
    assert found.shape == (-(-length // SIZE), 128, 3000)
    assert mel.seconds == length / 16_000
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=2e-3)
