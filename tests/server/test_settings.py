"""The loader of settings, on dataclasses of this test's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from server.settings import MASK, Setting, SettingsError, load


@dataclass(frozen=True)
class Door:
    width: float = 0.9
    open: bool = False
    height: float | None = None


@dataclass(frozen=True, slots=True)
class Lamp:
    name: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    name: str = "hall"
    seats: Annotated[int, Field(ge=0, le=100)] = 4
    floor: Literal["wood", "stone"] = "wood"
    colours: tuple[str, ...] = ("red",)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"en": ("mm",)})
    lamps: tuple[Lamp, ...] = ()
    password: str = ""
    door: Door = field(default_factory=lambda: Door(width=1.0))


@dataclass(frozen=True)
class Span:
    low: float = 1.0
    high: float = 2.0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")


@dataclass(frozen=True)
class House:
    room: Room = field(default_factory=Room)
    span: Span = field(default_factory=Span)


def load_house(
    text: str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: tuple[str, ...] = (),
    *,
    folder: Path | None = None,
) -> tuple[House, dict[str, Setting]]:
    file = None
    if text is not None:
        assert folder is not None
        file = folder / "house.yaml"
        file.write_text(text, encoding="utf-8")
    return load(House, file, environ or {}, overrides, prefix="HOUSE_")


def problems_of(
    folder: Path,
    text: str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: tuple[str, ...] = (),
) -> list[str]:
    """What the loader complains about, with the test's folder taken out of it."""
    with pytest.raises(SettingsError) as caught:
        load_house(text, environ, overrides, folder=folder)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def test_without_sources_the_defaults_stand() -> None:
    house, provenance = load_house()
    assert house == House()
    assert house.room.door.width == 1.0  # the default of the section, not of its class
    assert list(provenance) == [
        "room.name",
        "room.seats",
        "room.floor",
        "room.colours",
        "room.words",
        "room.lamps",
        "room.password",
        "room.door.width",
        "room.door.open",
        "room.door.height",
        "span.low",
        "span.high",
    ]
    assert {setting.source for setting in provenance.values()} == {"default"}
    assert provenance["room.words"].value == {"en": ["mm"]}


def test_every_source_wins_over_the_ones_before_it(tmp_path: Path) -> None:
    text = "# a house\nroom:\n  name: file\n  seats: 1\n  floor: stone\n  door: {width: 2}\n"
    environ = {"HOUSE_ROOM__NAME": "environment", "HOUSE_ROOM__SEATS": "2", "OTHER__SEATS": "x"}
    overrides = ("room.name=first", "room.name=last")
    house, provenance = load_house(text, environ, overrides, folder=tmp_path)
    assert house == House(
        room=Room(name="last", seats=2, floor="stone", door=Door(width=2.0)), span=Span()
    )
    file = tmp_path / "house.yaml"
    assert provenance["room.name"] == Setting("last", "--set")
    assert provenance["room.seats"] == Setting(2, "HOUSE_ROOM__SEATS")
    assert provenance["room.floor"] == Setting("stone", f"{file}:5")
    assert provenance["room.door.width"] == Setting(2.0, f"{file}:6")
    assert provenance["room.door.open"] == Setting(False, "default")


def test_lists_mappings_and_nested_dataclasses_are_values(tmp_path: Path) -> None:
    text = """
room:
  words:
    te: [ఆ, సరే]
  lamps:
    - {name: reading, token: t1}
    - name: ceiling
"""
    environ = {"HOUSE_ROOM__COLOURS": "[blue, green]", "HOUSE_ROOM__DOOR__OPEN": "yes"}
    house, provenance = load_house(text, environ, ("room.door.height=1e1",), folder=tmp_path)
    assert house.room.words == {"te": ("ఆ", "సరే")}
    assert house.room.lamps == (Lamp("reading", "t1"), Lamp("ceiling", ""))
    assert house.room.colours == ("blue", "green")
    assert house.room.door == Door(width=1.0, open=True, height=10.0)
    assert provenance["room.lamps"].value == [
        {"name": "reading", "token": MASK},
        {"name": "ceiling", "token": ""},
    ]


@pytest.mark.parametrize("scalar", ["123", "0123", "no", "true", "1e3", "2026-11-20", "1_000"])
def test_text_stays_as_it_was_written(scalar: str, tmp_path: Path) -> None:
    house, _ = load_house(f"room: {{name: {scalar}}}", folder=tmp_path)
    assert house.room.name == scalar
    assert load_house(environ={"HOUSE_ROOM__NAME": scalar})[0].room.name == scalar


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_text_of_variables_and_arguments_is_not_yaml(text: str) -> None:
    assert load_house(environ={"HOUSE_ROOM__PASSWORD": text})[0].room.password == text
    assert load_house(overrides=(f"room.password={text}",))[0].room.password == text


@settings(deadline=None)
@given(
    room=st.builds(
        Room,
        name=st.text(),
        seats=st.integers(0, 100),
        floor=st.sampled_from(["wood", "stone"]),
        colours=st.lists(st.text()).map(tuple),
        words=st.dictionaries(st.text(min_size=1), st.lists(st.text()).map(tuple)),
        lamps=st.just(()),
        password=st.text(),
        door=st.builds(
            Door,
            width=st.floats(allow_nan=False, allow_infinity=False),
            open=st.booleans(),
            height=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
    )
)
def test_what_yaml_writes_is_read_back(
    room: Room, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = {
        "name": room.name,
        "seats": room.seats,
        "floor": room.floor,
        "colours": list(room.colours),
        "words": {word: list(others) for word, others in room.words.items()},
        "password": room.password,
        "door": {"width": room.door.width, "open": room.door.open, "height": room.door.height},
    }
    file = tmp_path_factory.getbasetemp() / "written.yaml"
    file.write_text(yaml.safe_dump({"room": written}), encoding="utf-8")
    assert load(House, file, {}, ())[0].room == room


@pytest.mark.parametrize("text", ["", "# nothing\n", "room:\n", "room: {}\n", "room:\n  door:\n"])
def test_an_empty_file_or_section_sets_nothing(text: str, tmp_path: Path) -> None:
    assert load_house(text, folder=tmp_path)[0] == House()


def test_an_empty_value_is_empty_text_but_null_is_none(tmp_path: Path) -> None:
    house, _ = load_house("room:\n  name:\n  door: {height: null}\n", folder=tmp_path)
    assert house.room.name == ""
    assert house.room.door.height is None
    assert problems_of(tmp_path, "room: {name: null}") == [
        "house.yaml:1: room.name should be text, not null"
    ]


def test_an_unknown_key_names_the_nearest_and_its_place(tmp_path: Path) -> None:
    text = "rom:\n  seats: 4\nroom:\n  door:\n    widht: 1\n  colour: [a]\n"
    environ = {"HOUSE_ROOM__FLOR": "wood", "HOUSE_ROOM_SEATS": "3"}
    assert problems_of(tmp_path, text, environ, ("seats=4", "zzz=sk-1")) == [
        "house.yaml:2: rom.seats is not a setting; did you mean room.seats?",
        "house.yaml:5: room.door.widht is not a setting; did you mean room.door.width?",
        "house.yaml:6: room.colour is not a setting; did you mean room.colours?",
        "HOUSE_ROOM_SEATS is not a setting; did you mean HOUSE_ROOM__SEATS?",
        "HOUSE_ROOM__FLOR is not a setting; did you mean HOUSE_ROOM__FLOOR?",
        "--set seats is not a setting; did you mean room.seats?",
        "--set zzz is not a setting",
    ]


def test_variables_that_kubernetes_sets_beside_a_service_are_not_ours() -> None:
    environ = {"HOUSE_PORT_80_TCP_ADDR": "10.0.0.1", "HOUSE_ROOM_SEATS": "tcp://10.0.0.1:80"}
    assert load_house(environ=environ)[0] == House()


def test_wrong_values_are_told_together_with_what_is_expected(tmp_path: Path) -> None:
    text = """\
room:
  seats: many
  floor: glass
  colours: red
  words: [a]
  door: 7
  lamps: [{nmae: x}]
"""
    environ = {"HOUSE_ROOM__SEATS": "101", "HOUSE_SPAN__LOW": "nan", "HOUSE_ROOM__COLOURS": "[a"}
    overrides = ("room.door.open=perhaps", "span.high=null", "span=5", "span.low")
    *first, yaml_error, fourth, fifth, sixth, seventh, eighth, ninth = problems_of(
        tmp_path, text, environ, overrides
    )
    assert first == [
        'house.yaml:2: room.seats should be a whole number, not "many"',
        "house.yaml:3: room.floor should be 'wood' or 'stone', not \"glass\"",
        'house.yaml:4: room.colours should be a list such as [a, b], not "red"',
        'house.yaml:5: room.words should be a mapping such as {a: b}, not ["a"]',
        "house.yaml:6: room.door is a section: set the keys in it",
        "house.yaml:7: room.lamps[0].nmae is not a setting",
    ]
    assert yaml_error.startswith("HOUSE_ROOM__COLOURS is not YAML: ")
    assert fourth == 'HOUSE_ROOM__SEATS should be less than or equal to 100, not "101"'
    assert fifth == 'HOUSE_SPAN__LOW should be a finite number, not "nan"'
    assert sixth == '--set room.door.open should be true or false, not "perhaps"'
    assert seventh == "--set span.high should be a number, not null"
    assert eighth == "--set span is a section: set the keys in it"
    assert ninth == "--set span.low: section.key=value is expected"


def test_checks_between_fields_are_told_by_section(tmp_path: Path) -> None:
    assert problems_of(tmp_path, overrides=("span.low=3",)) == ["span: low 3.0 is above high 2.0"]
    # Not when one of the values was not even understood.
    assert problems_of(tmp_path, overrides=("span.low=3", "span.high=x")) == [
        '--set span.high should be a number, not "x"'
    ]


def test_a_key_set_twice_in_a_file_is_an_error(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "room:\n  seats: 1\n  name: a\n  seats: 2\n") == [
        "house.yaml:4: room.seats was already set on line 2"
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("room:\n  name: [a\nspan: {}\n", "house.yaml:3: is not YAML: "),
        ("room:\n\tname: a\n", "house.yaml:2: is not YAML: "),
        ("a: 1\n---\nb: 2\n", "house.yaml:2: is not YAML: "),
        ("- room\n", "house.yaml:1: sections are expected"),
        ("? [a]\n: 1\n", "house.yaml:1: the name of a key is expected"),
        ("room: \x00\n", "house.yaml: is not YAML: "),
    ],
)
def test_a_malformed_file_is_told_with_its_line(text: str, start: str, tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, text)
    assert problem.startswith(start)
    assert "\n" not in problem


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"room: {name: caf\xe9}")
    for file, expected in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (latin, "is not UTF-8 text"),
    ]:
        with pytest.raises(SettingsError) as caught:
            load(House, file, {}, ("room.seats=x",))
        assert caught.value.problems == (
            f"{file}: {expected}",
            '--set room.seats should be a whole number, not "x"',
        )


def test_secrets_are_masked_in_the_provenance_and_in_errors(tmp_path: Path) -> None:
    house, provenance = load_house(environ={"HOUSE_ROOM__PASSWORD": "hunter2"})
    assert house.room.password == "hunter2"
    assert provenance["room.password"] == Setting(MASK, "HOUSE_ROOM__PASSWORD")
    assert load_house()[1]["room.password"].value == ""  # that there is none is no secret
    text = "room: {password: [hunter2], lamps: [{token: [hunter2]}, 5], colours: {token: hunter2}}"
    problems = problems_of(tmp_path, text, overrides=("room.pasword=hunter2",))
    assert len(problems) == 5
    assert "hunter2" not in " ".join(problems)
