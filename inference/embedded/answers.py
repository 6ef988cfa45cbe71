"""The skills' answers: each a function of what was asked, most of them a line in `texts`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from inference.embedded import numbers
from inference.embedded.numbers import number_of, words_of_number
from inference.embedded.texts import MONTHS, TEXTS, WEEKDAYS
from inference.embedded.voices import EMOTIONS, RATES
from inference.memory import Memory
from inference.protocol import Voice


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, by whom it is answered, and what the answer may need."""

    slots: Mapping[str, str]
    voice: Voice
    memory: Memory
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say, and the voice to say it in when that changes."""

    text: str
    voice: Voice | None = None


def text(key: str, language: str, **values: object) -> str:
    return TEXTS[key][language].format(**values)


def fixed(key: str) -> Callable[[Request], Answer]:
    return lambda request: Answer(text(key, request.voice.language))


def time(request: Request) -> Answer:
    now, language = request.now, request.voice.language
    hour = now.hour % 12 or 12
    part = "morning" if now.hour < 12 else "afternoon" if now.hour < 18 else "evening"
    minute = words_of_number(now.minute) if now.minute > 9 else f"oh {words_of_number(now.minute)}"
    spoken = f"{words_of_number(hour)} {minute if now.minute else 'o’clock'} in the {part}"
    return Answer(text("time", language, time=spoken, hour=hour, minute=now.minute))


def date(request: Request) -> Answer:
    now, language = request.now, request.voice.language
    english = language == "en"
    century, rest = divmod(now.year, 100)
    year = f"{words_of_number(century)} {words_of_number(rest)}" if english else now.year
    return Answer(
        text(
            "date",
            language,
            weekday=WEEKDAYS[language][now.weekday()],
            month=MONTHS[language][now.month - 1],
            day=numbers.ordinal_of(now.day) if english else now.day,
            year=year,
        )
    )


MAX_COUNT = 100


def count(request: Request) -> Answer:
    slots = request.slots
    first = number_of(slots.get("first", "one"))
    if "last" in slots:
        last = number_of(slots["last"])
    elif "first" in slots:
        last = min(1, first) if "reverse" in slots else first + 9
    else:
        last = 10
    if "reverse" in slots and first < last:
        first, last = last, first
    step = 1 if first <= last else -1
    values = range(first, last + step, step)[:MAX_COUNT]
    return Answer(_sentence(", ".join(_spoken(v, request.voice.language) for v in values)))


def _spoken(value: float, language: str) -> str:
    return words_of_number(value) if language == "en" else f"{round(value, 2):g}"


OPERATORS: Mapping[str, tuple[str, Callable[[int, int], float]]] = {
    "plus": ("plus", lambda a, b: a + b),
    "minus": ("minus", lambda a, b: a - b),
    "times": ("times", lambda a, b: a * b),
    "multiplied by": ("times", lambda a, b: a * b),
    "divided by": ("divided by", lambda a, b: a / b),
}


def arithmetic(operator: str = "") -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        language = request.voice.language
        left, right = number_of(request.slots["left"]), number_of(request.slots["right"])
        name, compute = OPERATORS[operator or request.slots["operator"]]
        if right == 0 and name == "divided by":
            return Answer(text("division_by_zero", language))
        spoken = [_spoken(value, language) for value in (left, right, compute(left, right))]
        values = dict(zip(("left", "right", "result"), spoken, strict=True))
        return Answer(_capital(text("sum", language, operator=name, **values)))

    return answer


def repeat(request: Request) -> Answer:
    words = request.slots.get("anything", "")
    return Answer(_sentence(words) if words else text("repeat_nothing", request.voice.language))


def spell(request: Request) -> Answer:
    word = request.slots.get("word") or request.slots.get("anything", "")
    return Answer(f"{_capital(word)}: {', '.join(word.replace(' ', '').upper())}.")


def _change(key: str, voice: Voice, **values: object) -> Answer:
    return Answer(text(key, voice.language, **values), voice)


def voice(request: Request) -> Answer:
    name = request.slots["voice"]
    return _change("voice", replace(request.voice, name=name), name=name.capitalize())


def blend(request: Request) -> Answer:
    name, other = request.slots["voice"], request.slots["other"]
    voice = replace(request.voice, name=f"{name}+{other}" if name != other else name)
    return _change("blend", voice, name=name.capitalize(), other=other.capitalize())


def emotion(request: Request) -> Answer:
    emotion = EMOTION_WORDS[request.slots["emotion"]]
    return _change("emotion", replace(request.voice, emotion=emotion), emotion=emotion)


def rate(request: Request) -> Answer:
    asked = request.slots.get("rate") or request.slots["pace"]
    faster, slower = (*FASTER, "speed up"), (*SLOWER, "slow down")
    kind = "faster" if asked in faster else "slower" if asked in slower else "normally"
    factor = {"faster": 1.25, "slower": 0.8}.get(kind)
    rate = round(request.voice.rate * factor, 2) if factor else 1.0
    voice = replace(request.voice, rate=min(max(rate, RATES[0]), RATES[1]))
    return _change("rate", voice, rate=kind)


def language(request: Request) -> Answer:
    tag = {"telugu": "te", "english": "en"}[request.slots["language"]]
    return _change("language", replace(request.voice, language=tag))


def recall_caller(request: Request) -> Answer:
    language, said = request.voice.language, request.memory.last_caller()
    return Answer(text("you_said", language, text=said) if said else text("nobody_spoke", language))


def recall_answer(request: Request) -> Answer:
    language, said = request.voice.language, request.memory.last_answer()
    said = said.removeprefix(text("i_said", language, text=""))  # asked twice, it says it once
    return Answer(text("i_said", language, text=said) if said else text("nobody_spoke", language))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _sentence(words: str) -> str:
    return _capital(words) + "."


EMOTION_WORDS = {
    word: emotion
    for emotion, words in {
        "neutral": "neutral normal",
        "happy": "happy cheerful glad happily",
        "sad": "sad unhappy sadly",
        "angry": "angry mad furious angrily",
        "excited": "excited thrilled",
        "calm": "calm relaxed calmly",
        "fearful": "fearful afraid scared",
        "surprised": "surprised amazed",
        "empathetic": "empathetic kind caring gentle",
    }.items()
    for word in words.split()
}
assert set(EMOTION_WORDS.values()) == set(EMOTIONS)

FASTER = ("faster", "quicker", "quickly", "fast", "more quickly")
SLOWER = ("slower", "slowly", "slow", "more slowly")
