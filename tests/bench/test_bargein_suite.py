"""Suites: what their YAML says, and what is said of one that cannot be used."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.bargein.suite import Scenario, Suite, SuiteError, parse_suite, read_suite

SUITES = sorted((Path(__file__).parents[2] / "configs" / "bargein").glob("*.yaml"))

STOP = """
name: words
repeat: 3
caller: {say: [stop, no, 12], level: [-30, -20]}
at: {after: [0.8, 2.5]}
expect: stop
"""


def scenario(text: str = STOP, **changes: Any) -> dict[str, Any]:
    content = yaml.load(text, Loader=yaml.BaseLoader)
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def parse(*scenarios: dict[str, Any], **keys: Any) -> Suite:
    content = {"name": "small", "scenarios": list(scenarios), **keys}
    return parse_suite(content, "a.yaml")


def problems(*scenarios: dict[str, Any], **keys: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        parse(*scenarios, **keys)
    return list(caught.value.problems)


def test_a_scenario_as_the_file_has_it() -> None:
    [found] = parse(scenario()).scenarios
    assert isinstance(found, Scenario)
    assert found.caller is not None
    assert found.caller.say == ("stop", "no", "12")  # words, whatever YAML thinks they are
    assert found.caller.level == (-30.0, -20.0)
    assert found.at is not None
    assert found.at.after == (0.8, 2.5)
    assert (found.repeat, found.expect, found.echo) == (3, "stop", None)


def test_a_number_is_a_range_of_one() -> None:
    [found] = parse(scenario(echo={"delay": "0.2", "coupling": ["-20", "-10"]})).scenarios
    assert found.echo is not None
    assert found.echo.delay == (0.2, 0.2)
    assert found.echo.coupling == (-20.0, -10.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repaet": "3"}, "there is no repaet; did you mean repeat?"),
        ({"caller": {"say": ["a"], "lvel": "3"}}, "there is no caller.lvel; did you mean level?"),
        ({"expect": "stopp"}, "expect should be 'stop', 'continue' or 'wait', not stopp"),
        ({"repeat": "many"}, "repeat should be a whole number, not many"),
        ({"repeat": "0"}, "`repeat` is at least 1"),
        ({"at": {"after": "soon"}}, "at.after should be a number, or [from, to], not soon"),
        ({"at": {"after": ["2", "1"]}}, "at.after goes from the lower to the higher: [1, 2]"),
        ({"at": {"after": "1", "word": "2"}}, "at: either `after` is given or `word`"),
        ({"at": "1"}, "at should have keys of its own, not 1"),
        ({"at": None}, "a `caller` needs `at`, and no `seconds`"),
        ({"caller": None}, "without a `caller`, `seconds` are to be heard and expected to go on"),
        ({"caller": {"recordings": "true", "say": ["a"]}}, "caller: either `say` has words"),
        ({"noise": {"kind": "wind"}}, "noise.kind should be 'white', 'babble', 'music' or 'door'"),
        ({"noise": {}}, "noise.kind is missing"),
        ({"pauses": "1"}, "`pauses` are for `expect: wait`"),
        ({"caller": {"say": ["a"], "over_echo": "0"}}, "`over_echo` needs an `echo`"),
        ({"thresholds": {"stop_p50": "3"}}, "there is no thresholds.stop_p50; did you mean"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, Any], said: str) -> None:
    [problem] = problems(scenario(**changes))
    assert problem.startswith(f"a.yaml: scenario words: {said}"), problem


def test_all_that_is_wrong_is_said() -> None:
    found = problems(scenario(repeat="x"), scenario(name="second", expect="x"), sede="1")
    assert len(found) == 3
    assert "a.yaml: there is no sede; did you mean seed?" in found


def test_names_of_scenarios_are_their_own() -> None:
    assert problems(scenario(), scenario()) == ["a.yaml: there are two scenarios called words"]


def test_pauses_have_a_place() -> None:
    waits: dict[str, Any] = {"expect": "wait", "pauses": "0.3", "at": None}
    [good] = parse(scenario(caller={"say": ["tell me | a story"]}, **waits)).scenarios
    assert good.pauses == (0.3, 0.3)
    [problem] = problems(scenario(caller={"say": ["tell me a story"]}, **waits))
    assert "words have one | where the caller pauses" in problem


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    for text, said in (("a: [", "is not YAML"), ("- a", "a suite is expected"), ("", "a suite")):
        path.write_text(text)
        with pytest.raises(SuiteError, match=said) as caught:
            read_suite(path)
        assert str(path) in str(caught.value)
    with pytest.raises(SuiteError, match="cannot be read"):
        read_suite(tmp_path / "none.yaml")


def test_the_suites_that_come_along() -> None:
    suites = {path.stem: read_suite(path) for path in SUITES}
    names = {"interruptions", "backchannels", "noise", "echo", "pauses", "network", "small"}
    assert set(suites) == names
    assert all(name == suite.name for name, suite in suites.items())

    def count(expected: str, *names: str) -> int:
        found = [one for name in names for one in suites[name].scenarios]
        synthetic = [one for one in found if not (one.caller and one.caller.recordings)]
        return sum(one.repeat for one in synthetic if one.expect == expected)

    assert count("stop", "interruptions", "network", "echo") >= 200
    assert count("continue", "backchannels", "noise") >= 200
    quiet = [one for one in suites["echo"].scenarios if one.seconds]
    assert sum((one.seconds or 0) * one.repeat for one in quiet) >= 3600
