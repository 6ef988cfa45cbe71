"""The bench's report: one page that holds everything, and pictures that say when what happened."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.bargein.picture import BOT_Y, CALLER_Y, LEFT, RIGHT, WIDTH, draw, marks, span
from bench.bargein.report import MAX_FAILED, page, write_report
from bench.bargein.results import ENVELOPE_SECONDS, Check, Report, Summary, Trial

QUIET, LOUD = -90.0, -15.0
VOID = {"meta", "br"}
SVG = {"viewbox", "role", "aria-label", "points", "x", "y", "x1", "x2", "y1", "y2", "text-anchor"}


def track(*sounds: tuple[float, float], seconds: float = 6.0) -> tuple[float, ...]:
    """Loud from each time to another, in seconds, and quiet else."""
    times = [n * ENVELOPE_SECONDS for n in range(round(seconds / ENVELOPE_SECONDS))]
    return tuple(LOUD if any(a <= t < b for a, b in sounds) else QUIET for t in times)


STOPPED = Trial(
    scenario="words",
    number=0,
    expected="stop",
    outcome="stopped",
    said="wait a moment",
    onset=2.0,
    speech_end=2.8,
    stop=2.15,
    resume=None,
    response=3.6,
    stop_ms=150.0,
    response_ms=800.0,
    gap_ms=None,
    history_error=0,
    bot_seconds=2.0,
    false_interruptions=0,
    caller_track=track((2.0, 2.8)),
    bot_track=track((0.5, 2.15), (3.6, 5.0)),
)
WENT_ON = replace(
    STOPPED,
    scenario="backchannels",
    expected="continue",
    outcome="continued",
    said="uh-huh",
    speech_end=2.3,
    stop=2.1,
    resume=2.4,
    response=None,
    stop_ms=None,
    response_ms=None,
    gap_ms=300.0,
)
FAILED_CALL = replace(
    STOPPED, number=7, outcome=None, onset=None, error="no answer was heard within 30 s"
)


def summary(scenario: str) -> Summary:
    return Summary(
        scenario=scenario,
        trials=10,
        failed=1,
        missed_percent=12.5,
        false_percent=None,
        false_per_hour=None,
        took_over_percent=None,
        stop_ms=(143.4, 251.6),
        response_ms=(650.0, 900.0),
        gap_ms=None,
        resumed_percent=None,
        history_error=0.25,
        bot_seconds=300.0,
    )


def report(*trials: Trial, suite: str = "interruptions", target: str = "vaani") -> Report:
    return Report(
        suite=suite,
        description="A caller speaks over the answer.",
        target=target,
        seed=11,
        summaries=(summary("words"), summary("all")),
        checks=(
            Check("words", "stop_p95_ms", 250.0, 251.6, False),
            Check("all", "resumed_percent", 95.0, 97.0, True),
            Check("all", "took_over_percent", 1.0, None, False),
        ),
        trials=trials or (STOPPED,),
        notes={"recordings": "left out: no recordings were given"},
    )


class Reader(HTMLParser):
    """What a page shows, its elements, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.shown: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.shown.append(data)
            if self.rows and {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.shown).split())


def read(*reports: Report) -> Reader:
    return Reader(page(reports))


def test_a_page_has_what_the_bench_found() -> None:
    found = read(report())
    for said in ("interruptions", "A caller speaks over the answer.", "vaani", "seed 11"):
        assert said in found.text
    assert "recordings: left out: no recordings were given" in found.text
    assert ["words", "stop, 95th percentile", "≤ 250 ms", "251.6 ms", "not kept"] in found.rows
    assert ["all", "resumed", "≥ 95 %", "97 %", "kept"] in found.rows
    assert ["all", "turns taken in a pause", "≤ 1 %", "nothing seen", "not kept"] in found.rows
    assert ["vaani", "1 of 3"] in found.rows
    heads = ["scenario", "trials", "missed", "stop, ms", "response, ms", "history", "bot spoke"]
    assert heads in found.rows  # and no column in which there is nothing
    words = ["words", "10 (1 failed)", "12.5 %", "143 / 252", "650 / 900", "0.25", "5 min"]
    assert words in found.rows


def test_targets_of_a_suite_are_side_by_side() -> None:
    other = replace(report(target="pipecat"), checks=report().checks[:1])
    found = read(report(), other, report(suite="echo"))
    assert found.tags.count("section") == 2
    assert ["", "interruptions", "echo"] in found.rows
    assert ["vaani", "1 of 3", "1 of 3"] in found.rows
    assert ["pipecat", "0 of 1", "–"] in found.rows
    assert ["scenario", "metric", "limit", "vaani", "pipecat"] in found.rows
    row = ["words", "stop, 95th percentile", "≤ 250 ms", "251.6 ms", "not kept", "251.6 ms"]
    assert [*row, "not kept"] in found.rows
    assert ["all", "resumed", "≥ 95 %", "97 %", "kept", "–", ""] in found.rows
    targets = [row[:2] for row in found.rows if row[1:2] in (["vaani"], ["pipecat"])]
    assert targets == [["words", "vaani"], ["", "pipecat"], ["all", "vaani"], ["", "pipecat"]]


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    write_report(path, [report()])
    text = path.read_text(encoding="utf-8")
    found = Reader(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert not any(
        name in ("src", "style") or name.startswith("on") for name, _ in found.attributes
    )
    assert {value for name, value in found.attributes if name == "href"} == {"#suite-interruptions"}
    assert not any(word in text for word in ("http:", "https:", "url(", "@import"))


def test_texts_are_shown_as_they_are() -> None:
    evil = '</svg><script>alert(\'"&amp;అవును")</script>'
    trial = replace(STOPPED, said=evil + "said", scenario=evil + "scenario", outcome="missed")
    broken = replace(FAILED_CALL, error=evil + "error", scenario=trial.scenario)
    one = replace(
        report(trial, broken, suite=evil + "suite", target=evil + "target"),
        description=evil + "description",
        summaries=(summary(trial.scenario),),
        checks=(Check(trial.scenario, evil + "metric", 1.0, 2.0, False),),
        notes={evil + "what": evil + "note"},
    )
    found = read(one, replace(one, target=evil + "other"))
    assert "script" not in found.tags
    shown = "".join(found.shown)
    for what in ("said", "scenario", "error", "suite", "target", "description", "what", "note"):
        assert evil + what in shown
    names = {name for name, _ in found.attributes}
    assert names <= {"lang", "charset", "name", "content", "class", "href", "id", "colspan"} | SVG
    assert any(value and evil in value for name, value in found.attributes if name == "aria-label")


def captions(*trials: Trial) -> list[str]:
    text = page([report(*trials)])
    pieces = [piece.split("</figcaption>")[0] for piece in text.split("<figcaption>")[1:]]
    return ["".join(Reader(f"<p>{piece}</p>").shown) for piece in pieces]


def test_the_median_and_the_worst_are_drawn() -> None:
    times = [400.0, 100.0, 150.0, 300.0, 120.0]
    trials = [replace(STOPPED, number=n, stop_ms=ms) for n, ms in enumerate(times)]
    assert captions(*trials) == [
        "median trial 2: “wait a moment”, the bot stopped in 150 ms",
        "worst trial 0: “wait a moment”, the bot stopped in 400 ms",
    ]
    assert captions(STOPPED) == [
        "median, worst trial 0: “wait a moment”, the bot stopped in 150 ms"
    ]


def test_trials_are_ranked_by_what_is_expected() -> None:
    gaps = [
        replace(WENT_ON, number=n, gap_ms=ms, stop_ms=0.0) for n, ms in enumerate((10, 900, 50))
    ]
    drawn = captions(*gaps)
    assert drawn[0].startswith("median trial 2")
    assert drawn[0].endswith("longest gap 50 ms")
    assert drawn[1].startswith("worst trial 1")
    waited = replace(STOPPED, expected="wait", outcome="waited", said="", stop_ms=None)
    assert captions(waited) == [
        "median, worst trial 0: nothing said, the bot waited, response after 800 ms"
    ]
    assert captions(replace(waited, response_ms=None)) == [
        "one of them trial 0: nothing said, the bot waited"
    ]


def test_what_failed_is_drawn_a_dozen_times() -> None:
    missed = replace(STOPPED, outcome="missed", stop_ms=None)
    trials = [STOPPED, *(replace(missed, number=n) for n in range(1, MAX_FAILED + 4)), FAILED_CALL]
    drawn = captions(*trials)
    assert drawn[1:] == [
        f"failed trial {n}: “wait a moment”, the bot did not stop in time" for n in range(1, 13)
    ]
    text = read(report(*trials)).text
    assert "3 more trials failed and are not shown." in text
    assert "Trial 7, call failed: no answer was heard within 30 s" in text
    cut = replace(WENT_ON, outcome="false_interruption")
    assert captions(cut)[0].startswith("median, worst, failed trial 0")


def test_a_scenario_in_which_every_call_failed() -> None:
    found = read(report(*(replace(FAILED_CALL, number=n) for n in range(20))))
    assert "svg" not in found.tags
    assert "Trial 0, call failed" in found.text
    assert "8 more calls failed." in found.text


def svg(trial: Trial, shown: tuple[float, float] | None = (-1.0, 3.0)) -> ElementTree.Element:
    return ElementTree.fromstring(draw(trial, shown, "caption & all"))


def outline(picture: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    [polygon] = [one for one in picture.iter("polygon") if one.get("class") == kind]
    points = [point.split(",") for point in polygon.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in points]


def loud(points: list[tuple[float, float]], middle: float) -> tuple[float, float]:
    """From where to where something is to be heard."""
    xs = [x for x, y in points if abs(y - middle) > 5]
    return min(xs), max(xs)


def x_of(seconds: float, shown: tuple[float, float] = (-1.0, 3.0)) -> float:
    return LEFT + (seconds - shown[0]) / (shown[1] - shown[0]) * (WIDTH - LEFT - RIGHT)


def test_the_tracks_are_where_the_sound_was() -> None:
    picture = svg(STOPPED)
    assert picture.get("aria-label") == "caption & all"
    assert loud(outline(picture, "caller"), CALLER_Y) == pytest.approx((x_of(0), x_of(0.8)), abs=3)
    bot = outline(picture, "bot")
    assert loud(bot, BOT_Y) == pytest.approx((x_of(-1), x_of(3.0)), abs=3)
    assert not [x for x, y in bot if abs(y - BOT_Y) > 5 and x_of(0.2) < x < x_of(1.55)]
    assert all(LEFT <= x <= WIDTH - RIGHT and abs(y - BOT_Y) <= 26 for x, y in bot)


def test_what_happened_is_marked() -> None:
    lines = [line for line in svg(STOPPED).iter("line") if line.get("class") != "axis"]
    places = {(line.get("class"), float(line.attrib["x1"])) for line in lines}
    expected = [("caller", 0.0), ("caller", 0.8), ("stop", 0.15), ("bot", 1.6)]
    for kind, seconds in expected:
        assert any(k == kind and x == pytest.approx(x_of(seconds), abs=0.1) for k, x in places)
    assert len(places) == len(expected)
    assert [mark.label for mark in marks(STOPPED)] == [
        "onset",
        "end +800 ms",
        "stop +150 ms",
        "response 800 ms",
    ]
    assert [mark.label for mark in marks(WENT_ON)] == [
        "onset",
        "end +300 ms",
        "stop +100 ms",
        "resume +400 ms, gap 300 ms",
    ]
    # A bot may also have fallen silent before.
    assert marks(replace(STOPPED, stop=1.98))[2].label == "stop −20 ms"


def test_labels_hide_no_others_and_stay_on_the_picture() -> None:
    crowded = replace(WENT_ON, stop=2.02, resume=2.04, speech_end=2.03, response=2.06)
    for shown in ((-1.0, 3.0), (-1.0, 0.1)):
        picture = svg(crowded, shown)
        top, height = (float(v) for v in picture.attrib["viewBox"].split()[1::2])
        boxes = []
        for text in picture.iter("text"):
            if text.get("class") in ("caller", "stop", "bot"):
                width = 5.5 * len(text.text or "")
                x, y = float(text.attrib["x"]), float(text.attrib["y"])
                left = x - width if text.get("text-anchor") == "end" else x
                boxes.append((left, left + width, y))
                assert left >= 0
                assert left + width <= WIDTH
                assert top + 9 <= y <= top + height
        assert len(boxes) == 5
        for index, (left, right, y) in enumerate(boxes):
            for other in boxes[index + 1 :]:
                assert y != other[2] or right <= other[0] or other[1] <= left


def test_pictures_of_a_scenario_have_one_scale() -> None:
    late = replace(STOPPED, onset=1.0, response=4.5)
    assert span([STOPPED, late]) == pytest.approx((-1.0, 4.5))
    assert span([replace(STOPPED, response=60.0)]) == (-1.0, 9.0)
    assert span([STOPPED, replace(STOPPED, onset=None)]) is None
    assert span([]) is None


def test_without_a_caller_all_is_shown() -> None:
    echo = replace(WENT_ON, onset=None, bot_track=track((0, 59), seconds=60))
    picture = svg(echo, None)
    assert not [one for one in picture.iter("line") if one.get("class") != "axis"]
    ticks = [one.text for one in picture.iter("text") if one.get("class") == "axis"]
    assert ticks[0] == "0 s"
    assert ticks[-1] == "60"
    begin, end = loud(outline(picture, "bot"), BOT_Y)
    assert (begin, end) == pytest.approx((LEFT, x_of(59, (0, 60))), abs=2)


def test_a_recording_that_begins_late_or_is_empty() -> None:
    early = replace(STOPPED, onset=0.2, caller_track=track((0.2, 0.8), (4.9, 6.0)), bot_track=())
    picture = svg(early)
    assert loud(outline(picture, "caller"), CALLER_Y) == pytest.approx((x_of(0), x_of(0.6)), abs=3)
    assert all(abs(y - BOT_Y) < 1 for _, y in outline(picture, "bot"))
    svg(replace(STOPPED, onset=None, caller_track=(), bot_track=()), None)
