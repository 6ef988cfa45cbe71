"""media.smart_turn: what Whisper would hear of a turn's end, and files that are no such model."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from media.frames import Samples
from media.smart_turn import SmartTurn, log_mel

RATE = 16_000


def chirp(seconds: float, amplitude: int = 9000) -> Samples:
    """A tone that rises by 300 Hz in a second, from 200 Hz, and trembles."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * (200 * t + 150 * t * t)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    return np.round(amplitude * tone).astype(np.int16)


BANDS = (0, 5, 12, 20, 40, 79)
REFERENCE = {  # transformers 5.23.0: seconds of a chirp, its amplitude, frame: value in BANDS
    (3.0, 9000, 250): (-0.1278, -0.1278, -0.1278, -0.1278, -0.1278, -0.1278),
    (3.0, 9000, 500): (1.3312, 1.5889, 0.9712, 0.7371, 0.3958, -0.0924),
    (3.0, 9000, 520): (0.1997, 1.5636, 0.3050, -0.1278, -0.1278, -0.1278),
    (3.0, 9000, 650): (-0.1278, -0.1120, 0.5297, 0.7362, -0.1278, -0.1278),
    (3.0, 9000, 799): (0.5638, 0.5757, 0.6138, 0.7261, 0.5036, -0.0906),
    (3.0, 9, 250): (-0.4350, -0.4350, -0.4350, -0.4350, -0.4350, -0.4350),
    (3.0, 9, 650): (0.3595, 0.5118, 0.4059, 0.4841, 0.2059, 0.3712),
    (10.0, 9000, 0): (1.0529, 1.0711, 1.1538, 1.4826, 0.7891, 0.2530),
    (10.0, 9000, 250): (-0.2575, -0.2575, -0.2575, -0.2575, 0.4625, -0.2575),
    (10.0, 9000, 799): (-0.0425, -0.0294, -0.0279, -0.0164, 0.0589, -0.1716),
}


@pytest.mark.parametrize(("seconds", "amplitude", "frame"), REFERENCE)
def test_log_mel_is_whispers(seconds: float, amplitude: int, frame: int) -> None:
    features = log_mel(chirp(seconds, amplitude))
    assert features.shape == (80, 800)
    assert features.dtype == np.float32
    assert features[list(BANDS), frame] == pytest.approx(
        REFERENCE[seconds, amplitude, frame], abs=2e-4
    )


@pytest.mark.parametrize("seconds", [0.0, 0.005, 3.0, 8.0, 10.0])
@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_log_mel_is_that_of_transformers(seconds: float) -> None:
    from transformers import WhisperFeatureExtractor  # type: ignore[import-not-found,unused-ignore]

    length = 8 * RATE
    audio = chirp(seconds)[-length:].astype(np.float32) / 32768
    expected = WhisperFeatureExtractor(chunk_length=8)(
        np.pad(audio, (length - len(audio), 0)),
        sampling_rate=RATE,
        return_tensors="np",
        padding="max_length",
        max_length=length,
        truncation=True,
        do_normalize=True,
    ).input_features[0]
    assert np.abs(log_mel(chirp(seconds)) - expected).max() < 5e-4


def test_only_the_last_eight_seconds_are_heard() -> None:
    assert np.array_equal(log_mel(chirp(10.0)), log_mel(chirp(10.0)[-8 * RATE :]))


def test_silence_and_nothing_are_alike() -> None:
    nothing = log_mel(np.zeros(0, dtype=np.int16))
    assert np.array_equal(nothing, log_mel(np.zeros(RATE, dtype=np.int16)))
    assert np.all(nothing == -1.5)


# Files


def save(
    path: Path,
    *,
    name: str = "input_features",
    kind: int = TensorProto.FLOAT,
    shape: Sequence[int | str] = ("batch", 80, 800),
    sigmoid: bool = True,
    axes: Sequence[int] = (1, 2),
) -> Path:
    """A model whose answer is the mean of its input over some axes, as a probability."""
    wanted = helper.make_tensor("axes", TensorProto.INT64, [len(axes)], list(axes))
    nodes = [
        helper.make_node("Cast", [name], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["wide", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["mean"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "turn",
        [helper.make_tensor_value_info(name, kind, list(shape))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [wanted],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("batch", [1, "batch"])
def test_model_is_asked_about_the_features(tmp_path: Path, batch: int | str) -> None:
    model = SmartTurn(save(tmp_path / "turn.onnx", shape=(batch, 80, 800)))
    spoken = chirp(3.0)
    features: NDArray[np.float32] = log_mel(spoken)
    assert model.probability(spoken) == pytest.approx(sigmoid(float(features.mean())), abs=1e-5)
    assert model.probability(np.zeros(0, dtype=np.int16)) == pytest.approx(sigmoid(-1.5), abs=1e-5)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.onnx: there is no such file"):
        SmartTurn(tmp_path / "none.onnx")


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        SmartTurn(tmp_path)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_file_of_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pointer.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"pointer\.onnx: not a usable ONNX model"):
        SmartTurn(path)


def test_other_inputs_are_named(tmp_path: Path) -> None:
    wanted = r"where Smart Turn v3 takes input_features: tensor\(float\) \[1, 80, 800\]"
    path = tmp_path / "other.onnx"
    with pytest.raises(ValueError, match=rf"other\.onnx: takes audio: .*{wanted}"):
        SmartTurn(save(path, name="audio"))
    with pytest.raises(ValueError, match=rf"\[1, 128, 3000\], {wanted}"):
        SmartTurn(save(path, shape=(1, 128, 3000)))
    with pytest.raises(ValueError, match=wanted):
        SmartTurn(save(path, shape=(80, 800), axes=(0, 1)))
    with pytest.raises(ValueError, match=rf"tensor\(double\).*{wanted}"):
        SmartTurn(save(path, kind=TensorProto.DOUBLE))


def test_other_outputs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    with pytest.raises(ValueError, match=r"other\.onnx: gives 80 numbers, not one"):
        SmartTurn(save(path, axes=(2,)))
    with pytest.raises(ValueError, match=r"other\.onnx: gives -1\.5, which is no probability"):
        SmartTurn(save(path, sigmoid=False))
