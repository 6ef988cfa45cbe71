"""What goes in comes out: a human voice, through every codec and rate, either way."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.audio import read_audio
from media.frames import Samples, frame_length
from signaling.codec import Codec, PacketDecoder, make_encoder
from signaling.opus import OpusEncoder, OpusError
from signaling.packets import Kind, Packet, PacketError
from tests.signaling.speech import frames, likeness, speech

RECORDING = Path(__file__).parents[3] / "shared/audio/ljspeech/LJ001-0002.flac"
BITRATE = 32_000
PCM_RATES = (8000, 16_000, 24_000, 48_000)
WAYS: list[tuple[Codec, int]] = [*(("pcm16", rate) for rate in PCM_RATES), ("opus", 48_000)]


def voice(rate: int) -> Samples:
    """A human voice, where there is a recording; else what is built like one."""
    return read_audio(RECORDING, rate) if RECORDING.exists() else speech(2.0, rate)


def level(samples: Samples, rate: int, low: float, high: float) -> float:
    """dB of full scale in this band."""
    power = np.abs(np.fft.rfft(samples / 32768.0)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    inside = power[(hertz >= low) & (hertz < high)].sum()
    return float(10 * np.log10(2 * inside / len(samples) ** 2 + 1e-15))


def through(codec: Codec, source: int, rate: int, target: int) -> tuple[Samples, Samples]:
    """A voice at `source` Hz, and what comes out at `target` Hz of packets at `rate`."""
    said = voice(source)
    encoder = make_encoder(codec, source, rate, BITRATE)
    decoder = PacketDecoder(codec, rate, target)
    out: list[Samples] = []
    for number, frame in enumerate(frames(said, source)):
        out += decoder.decode(Packet(encoder.kind, number, 0, encoder.encode(frame)))
    assert {len(frame) for frame in out} == {frame_length(target)}
    heard = np.concatenate(out)
    # Nothing is lost but what is still inside: two resamplers' delay, and Opus's own.
    assert len(heard) / target == pytest.approx(len(said) / source, abs=0.1)
    return said, heard


@pytest.mark.parametrize(("codec", "rate"), WAYS)
@pytest.mark.parametrize("way", ["to the client", "from the client"])
def test_a_voice_is_the_same_behind_it(codec: Codec, rate: int, way: str) -> None:
    source, target = (24_000, rate) if way == "to the client" else (rate, 16_000)
    said, heard = through(codec, source, rate, target)
    top = min(source, rate, target) / 2
    for low, high in [(100, 1000), (1000, 3000), (3000, 7000)]:
        if high > 0.85 * top:
            continue  # there the filters fall
        # Opus may shape the weak top of a voice; PCM leaves all as it is.
        tolerance = 0.3 if codec == "pcm16" else 3.0
        assert level(heard, target, low, high) == pytest.approx(
            level(said, source, low, high), abs=tolerance
        ), (low, high)
    if 1.15 * top < target / 2:
        # Nothing mirrored over the edge: an alias would be heard as a hiss.
        assert level(heard, target, 1.15 * top, target / 2) < level(heard, target, 100, top) - 45


@pytest.mark.parametrize("rate", PCM_RATES)
def test_pcm_at_its_own_rate_is_exact(rate: int) -> None:
    said, heard = through("pcm16", rate, rate, rate)
    assert np.array_equal(heard, said[: len(heard)])


@pytest.mark.parametrize("rate", PCM_RATES)
def test_a_frame_in_is_a_frame_out(rate: int) -> None:
    """From the first on: frame n + 1 is played right after frame n, and none is empty."""
    encoder = make_encoder("pcm16", 24_000, rate, BITRATE)
    sizes = {len(encoder.encode(frame)) for frame in frames(voice(24_000), 24_000)}
    assert sizes == {2 * frame_length(rate)}


@pytest.mark.parametrize("rate", PCM_RATES)
def test_pcm_is_hardly_late(rate: int) -> None:
    """What a caller waits for: a click comes out within 3 ms, and at its level."""
    encoder = make_encoder("pcm16", 24_000, rate, BITRATE)
    click = np.zeros((4, 480), dtype=np.int16)
    click[1] = np.hanning(480) * 10_000
    out = np.concatenate([np.frombuffer(encoder.encode(frame), "<i2") for frame in click])
    assert np.argmax(out) / rate == pytest.approx(0.03, abs=0.0035)
    assert out.max() == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize("codec", ["pcm16", "opus"])
def test_a_voice_keeps_its_wave(codec: Codec) -> None:
    said, heard = through(codec, 24_000, 24_000 if codec == "pcm16" else 48_000, 24_000)
    assert likeness(said[: len(heard)], heard, longest_delay=400) > 0.9


@given(st.lists(st.integers(10, 60), min_size=1, max_size=20), st.sampled_from(PCM_RATES))
def test_packets_of_any_length_become_frames(milliseconds: list[int], rate: int) -> None:
    decoder = PacketDecoder("pcm16", rate, rate)
    said = speech(sum(milliseconds) / 1000, rate)
    out: list[Samples] = []
    begin = 0
    for length in milliseconds:
        end = begin + length * rate // 1000
        payload = said[begin:end].astype("<i2").tobytes()
        out += decoder.decode(Packet(Kind.PCM, 0, 0, payload))
        begin = end
    assert len(out) == sum(milliseconds) // 20
    if out:
        heard = np.concatenate(out)
        assert np.array_equal(heard, said[: len(heard)])


@pytest.mark.parametrize("milliseconds", [10, 20, 40, 60])
def test_opus_packets_of_any_length_become_frames(milliseconds: int) -> None:
    encoder, decoder = OpusEncoder(48_000), PacketDecoder("opus", 48_000, 16_000)
    said, length = speech(1.2, 48_000), 48 * milliseconds
    out: list[Samples] = []
    for begin in range(0, len(said), length):
        payload = encoder.encode(said[begin : begin + length])
        out += decoder.decode(Packet(Kind.OPUS, 0, 0, payload))
    assert [len(frame) for frame in out] == [320] * 60


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        ("pcm16", Kind.OPUS),
        ("pcm16", Kind.SILENCE),
        ("opus", Kind.PCM),
        ("opus", Kind.SILENCE),
    ],
)
def test_a_kind_that_was_not_agreed_on(codec: Codec, kind: Kind) -> None:
    decoder = PacketDecoder(codec, 48_000, 16_000)
    with pytest.raises(PacketError, match="not agreed on"):
        decoder.decode(Packet(kind, 0, 0, bytes(640)))


@pytest.mark.parametrize("size", [0, 1, 641, 2 * 480 + 2, 60_000])
def test_pcm_of_a_wrong_length(size: int) -> None:
    decoder = PacketDecoder("pcm16", 8000, 8000)
    with pytest.raises(PacketError, match="at most 960"):
        decoder.decode(Packet(Kind.PCM, 0, 0, bytes(size)))
    assert decoder.decode(Packet(Kind.PCM, 0, 0, bytes(960)))  # the next is taken all the same


def test_opus_longer_than_agreed() -> None:
    """Two frames of 60 ms in one packet, which Opus allows and the protocol does not."""
    decoder = PacketDecoder("opus", 48_000, 16_000)
    with pytest.raises(PacketError, match="60 ms"):
        decoder.decode(Packet(Kind.OPUS, 0, 0, b"\x59" + bytes(40)))
    payload = OpusEncoder(48_000).encode(speech(0.06, 48_000))
    assert len(decoder.decode(Packet(Kind.OPUS, 0, 0, payload))) == 3


@given(st.binary(max_size=1500))
def test_any_bytes_as_opus(payload: bytes) -> None:
    decoder = PacketDecoder("opus", 48_000, 16_000)
    try:
        out = decoder.decode(Packet(Kind.OPUS, 0, 0, payload))
    except (PacketError, OpusError):
        return
    assert len(out) <= 3
    assert {len(frame) for frame in out} <= {320}
