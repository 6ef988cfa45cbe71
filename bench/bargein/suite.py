"""A suite: scenarios as a readable YAML file has them, and the limits that their results must keep.

Wherever a number may be drawn, a list of two is a range: each trial takes its own from it, evenly
spread, by the seed. All text of the file stays text until the type of its key decides, so that
"no" is a word that a caller may say.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from bench.bargein.results import Expected

NoiseKind = Literal["white", "babble", "music", "door"]
Language = Literal["en", "hi", "te"]

PAUSE = "|"
"""In what a caller says: here he pauses."""


class SuiteError(ValueError):
    """The suite cannot be used; `problems` says all that is wrong with it, a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def _range(value: object) -> object:
    if isinstance(value, list | tuple):
        if len(value) != 2 or not all(_is_number(part) for part in value):
            raise ValueError("should be a number, or [from, to]")
        low, high = map(float, value)
        if low > high:
            raise ValueError(f"goes from the lower to the higher: [{high:g}, {low:g}]")
        return low, high
    if not _is_number(value):
        raise ValueError("should be a number, or [from, to]")
    return float(value), float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    try:
        return abs(float(value)) < float("inf")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


Range = Annotated[tuple[float, float], BeforeValidator(_range)]


@dataclass(frozen=True, slots=True)
class Speech:
    """What the caller says: one of `say`, synthesized, or one of the recordings at hand.

    `level` is the RMS of the active speech in dBFS; `over_echo`, in its place, that in dB over the
    echo that the caller's microphone hears. Of a recording the first `seconds` are said.
    """

    say: tuple[str, ...] = ()
    recordings: bool = False
    language: Language = "en"
    level: Range = (-23.0, -23.0)
    over_echo: Range | None = None
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if bool(self.say) == self.recordings:
            raise ValueError("either `say` has words or `recordings` is true")
        if self.seconds <= 0:
            raise ValueError("`seconds` of a recording are more than 0")


@dataclass(frozen=True, slots=True)
class Moment:
    """In the answer: so many seconds `after` its first sound, or when so many words were heard."""

    after: Range | None = None
    word: int | None = None

    def __post_init__(self) -> None:
        if (self.after is None) == (self.word is None):
            raise ValueError("either `after` is given or `word`")


@dataclass(frozen=True, slots=True)
class Echo:
    """The caller's room: see `bench.bargein.acoustics.EchoPath`."""

    delay: Range = (0.1, 0.1)
    coupling: Range = (-10.0, -10.0)
    nonlinearity: Range = (0.0, 0.0)
    reverberation: Range = (0.2, 0.2)

    def __post_init__(self) -> None:
        if self.delay[0] < 0.02:
            raise ValueError("`delay` is at least 0.02 s: sound is played 20 ms at a time")


@dataclass(frozen=True, slots=True)
class Noise:
    """In the caller's room while the answer is heard, so many dB under the caller's speech.

    `level` of that speech, in dBFS, where the scenario has no caller. With `always` it is there
    from the beginning of the call, under the question too.
    """

    kind: NoiseKind
    snr: Range = (10.0, 10.0)
    level: float = -23.0
    always: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """Each way: `loss` in percent, `jitter` (0 to so much more) and `delay` in ms."""

    loss: float = 0.0
    burst: float | None = None
    jitter: float = 0.0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of a scenario's `Summary`, or of all. Of `resumed_percent` the least, else the most.

    p50 is the median. Calls that failed are always limited.
    """

    stop_p50_ms: float | None = None
    stop_p95_ms: float | None = None
    response_p50_ms: float | None = None
    response_p95_ms: float | None = None
    gap_p50_ms: float | None = None
    gap_p95_ms: float | None = None
    missed_percent: float | None = None
    false_percent: float | None = None
    false_per_hour: float | None = None
    took_over_percent: float | None = None
    resumed_percent: float | None = None
    history_error: float | None = None
    failed_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is tried, `repeat` times, each time in a call of its own.

    stop: `caller` speaks over the answer `at` a moment, and it is to end.
    continue: the same, and it is to go on; or nobody speaks, and `seconds` of answers are heard.
    wait: the caller, who speaks first, pauses where his words have a PAUSE, for `pauses` seconds.
    """

    name: str
    expect: Expected
    repeat: int = 1
    caller: Speech | None = None
    at: Moment | None = None
    echo: Echo | None = None
    noise: Noise | None = None
    network: Network | None = None
    seconds: float | None = None
    pauses: Range | None = None
    thresholds: Thresholds = Thresholds()

    def __post_init__(self) -> None:
        if self.repeat < 1:
            raise ValueError("`repeat` is at least 1")
        if self.expect == "wait":
            if self.caller is None or self.pauses is None or self.at or self.seconds:
                raise ValueError("`expect: wait` needs `caller` and `pauses`, and no `at`")
            if any(words.count(PAUSE) != 1 for words in self.caller.say):
                raise ValueError(f"with `pauses`, words have one {PAUSE} where the caller pauses")
        elif self.pauses:
            raise ValueError("`pauses` are for `expect: wait`")
        elif self.caller:
            if self.at is None or self.seconds:
                raise ValueError("a `caller` needs `at`, and no `seconds`")
        elif self.expect == "stop" or not self.seconds or self.at:
            raise ValueError("without a `caller`, `seconds` are to be heard and expected to go on")
        if self.caller and self.caller.over_echo and not self.echo:
            raise ValueError("`over_echo` needs an `echo`")


@dataclass(frozen=True, slots=True)
class Suite:
    """`question` makes the bot speak long; it is synthesized, or a recording's path."""

    name: str
    scenarios: tuple[Scenario, ...]
    description: str = ""
    seed: int = 1
    question: str = "tell me a story"
    thresholds: Thresholds = Thresholds()

    def __post_init__(self) -> None:
        if not self.scenarios:
            raise ValueError("a suite has scenarios")
        names = [scenario.name for scenario in self.scenarios]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"there are two scenarios called {', '.join(twice)}")


# Where each dataclass is found, for the nearest key to one that does not exist.
_TYPES: dict[str, type] = {
    "": Suite,
    "scenarios": Scenario,
    "caller": Speech,
    "at": Moment,
    "echo": Echo,
    "noise": Noise,
    "network": Network,
    "thresholds": Thresholds,
}
_ADAPTER: TypeAdapter[tuple[Suite]] = TypeAdapter(
    tuple[Suite], config=ConfigDict(extra="forbid", allow_inf_nan=False)
)
_PLAIN_WORDS = {
    "a valid tuple": "a list such as [a, b]",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
}


def read_suite(path: Path) -> Suite:
    """The suite in a YAML file. Raises SuiteError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise SuiteError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SuiteError([f"{path}: is not UTF-8 text"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise SuiteError(
            [f"{path}{f':{mark.line + 1}' if mark else ''}: is not YAML: {reason}"]
        ) from None
    return parse_suite(content, str(path))


def parse_suite(content: object, place: str) -> Suite:
    """The suite that a YAML file says; errors begin with `place`. Raises SuiteError."""
    if not isinstance(content, dict):
        raise SuiteError([f"{place}: a suite is expected: name, scenarios and more"])
    try:
        return _ADAPTER.validate_python((content,))[0]
    except ValidationError as error:
        raise SuiteError(list(_problems(error, content, place))) from None


def _problems(error: ValidationError, content: dict[str, object], place: str) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        location = list(detail["loc"][1:])
        where, keys = _place(location, content, place)
        key = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys
        ).removeprefix(".")
        message = detail["msg"]
        if detail["type"] == "unexpected_keyword_argument":
            section = next((p for p in reversed(location[:-1]) if isinstance(p, str)), "")
            known = [field.name for field in fields(_TYPES.get(section, Suite))]
            near = get_close_matches(str(location[-1]), known, 1, 0.5)
            yield f"{where}: there is no {key}" + (f"; did you mean {near[0]}?" if near else "")
        elif detail["type"] == "missing" or detail["type"] == "missing_argument":
            yield f"{where}: {key} is missing"
        elif detail["type"] == "value_error":
            reason = message.removeprefix("Value error, ")
            said = "" if isinstance(detail["input"], dict) else f", not {detail['input']}"
            yield f"{where}: {f'{key} ' if said else f'{key}: ' if key else ''}{reason}{said}"
        elif detail["type"] in ("dataclass_type", "model_type"):
            yield f"{where}: {key or 'this'} should have keys of its own, not {detail['input']}"
        else:
            expected = message.removeprefix("Input should be ").partition(", unable")[0]
            yield (
                f"{where}: {key} should be {_PLAIN_WORDS.get(expected, expected)}, "
                f"not {detail['input']}"
            )


def _place(
    location: Sequence[int | str], content: dict[str, object], place: str
) -> tuple[str, Sequence[int | str]]:
    """The file and the scenario, and the keys under it."""
    match list(location):
        case ["scenarios", int(index), *rest]:
            scenarios = content["scenarios"]
            scenario = scenarios[index] if isinstance(scenarios, list) else None
            name = scenario.get("name") if isinstance(scenario, dict) else None
            return f"{place}: scenario {name or index + 1}", rest
    return place, location
