"""Who the answers sound like: four voices, nine emotions, and what lies between two voices."""

from dataclasses import dataclass
from difflib import get_close_matches

from inference.protocol import Voice, VoiceInfo


@dataclass(frozen=True, slots=True)
class Timbre:
    """A voice in espeak-ng's terms."""

    variant: str  # of the vocal tract; cannot be mixed
    pitch: float  # 0..99, relative to the variant's own
    range: float  # 0..99, of intonation
    words_per_minute: float


@dataclass(frozen=True, slots=True)
class Emotion:
    """What a feeling does to a timbre: two shifts, two factors, a change of level."""

    pitch: float = 0.0
    range: float = 1.0
    rate: float = 1.0
    level_db: float = 0.0


VOICES = {
    "arjun": Timbre("m3", 56, 55, 172),
    "ravi": Timbre("m1", 34, 42, 154),
    "priya": Timbre("f2", 58, 60, 172),
    "lakshmi": Timbre("f4", 40, 45, 160),
}
LABELS = {
    "arjun": "Arjun, young man",
    "ravi": "Ravi, mature man",
    "priya": "Priya, young woman",
    "lakshmi": "Lakshmi, professional woman",
}
EMOTIONS = {
    "neutral": Emotion(),
    "happy": Emotion(pitch=10, range=1.35, rate=1.06, level_db=0.5),
    "sad": Emotion(pitch=-12, range=0.5, rate=0.82, level_db=-2.5),
    "angry": Emotion(pitch=-5, range=1.5, rate=1.12, level_db=2.5),
    "excited": Emotion(pitch=18, range=1.6, rate=1.18, level_db=2.0),
    "calm": Emotion(pitch=-5, range=0.7, rate=0.88, level_db=-1.5),
    "fearful": Emotion(pitch=22, range=0.8, rate=1.22, level_db=-2.0),
    "surprised": Emotion(pitch=26, range=1.7, rate=0.97, level_db=1.0),
    "empathetic": Emotion(pitch=-3, range=0.9, rate=0.92, level_db=-1.0),
}
LANGUAGES = {"en": "en-us", "te": "te"}
"""BCP 47 tag to espeak-ng's voice."""

DEFAULT = next(iter(VOICES))  # as for every engine: no name means the first voice on offer
RATES = (0.5, 2.0)


def voice_infos() -> tuple[VoiceInfo, ...]:
    return tuple(VoiceInfo(name, label) for name, label in LABELS.items())


def check_voice(voice: Voice) -> Voice:
    """The voice with its name filled in. Raises ValueError naming what is on offer."""
    name = voice.name or DEFAULT
    first, second, _ = _parts(name)
    for kind, asked, offered in (
        ("voice", first, VOICES),
        ("voice", second, VOICES),
        ("emotion", voice.emotion, EMOTIONS),
        ("language", voice.language, LANGUAGES),
    ):
        if asked not in offered:
            near = get_close_matches(asked, offered, 1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"no {kind} {asked!r}; on offer: {', '.join(offered)}{hint}")
    low, high = RATES
    if not low <= voice.rate <= high:
        raise ValueError(f"no rate {voice.rate}; on offer: {low} to {high}")
    return Voice(name, voice.emotion, voice.rate, voice.language)


def timbre_of(name: str) -> Timbre:
    """The timbre of "priya", of "priya+ravi" (halfway) or of "priya+ravi:0.3" (30 % Ravi)."""
    first, second, weight = _parts(name)
    a, b = VOICES[first], VOICES[second]

    def between(x: float, y: float) -> float:
        return x + (y - x) * weight

    return Timbre(
        b.variant if weight > 0.5 else a.variant,
        between(a.pitch, b.pitch),
        between(a.range, b.range),
        between(a.words_per_minute, b.words_per_minute),
    )


def _parts(name: str) -> tuple[str, str, float]:
    first, plus, rest = name.partition("+")
    if not plus:
        return first, first, 0.0
    second, _, weight = rest.partition(":")
    try:
        part = float(weight or 0.5)
    except ValueError:
        part = -1.0
    if not 0.0 <= part <= 1.0:
        raise ValueError(f"no voice {name!r}: between two voices is written 'priya+ravi:0.3'")
    return first, second, part
