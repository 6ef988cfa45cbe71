"""Reads nested dataclasses of settings from a file, the environment and the command line.

The command line wins over the environment, that over the YAML file, and that over the defaults in
the dataclasses. A key that does not exist is an error that names the nearest one that does, and
all that is wrong is told at once, each with the place it came from.

Scalars stay text until the type of their field decides: a token 0123 keeps its zero and the
language no is Norwegian, where plain YAML would read 83 and False.

Every field needs a default. A field whose default is a dataclass is a section; any other field,
lists and mappings included, is one key.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

T = TypeVar("T")

SECRETS = frozenset({"api_key", "credential", "secret", "token", "password"})
"""Fields of these names are never shown, neither in the provenance nor in an error."""

MASK = "********"


class SettingsError(Exception):
    """The settings cannot be used; `problems` says all that is wrong with them, one each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Setting:
    """A value in effect, as JSON would hold it and with secrets masked, and where it is from.

    `source` is "default", "path/of/file.yaml:12", the name of a variable, or "--set".
    """

    value: object
    source: str


@dataclass(frozen=True, slots=True)
class _Given:
    """What one source says of one key. An error about it begins with `place`."""

    key: str
    value: object  # text, None, or lists and mappings of them
    place: str
    source: str


@dataclass(frozen=True, slots=True)
class _Schema:
    """The types and defaults of all dotted keys, and the sections these are in."""

    types: Mapping[str, Any]
    defaults: Mapping[str, object]
    sections: frozenset[str]


def load(
    cls: type[T],
    file: Path | None,
    environ: Mapping[str, str],
    overrides: Sequence[str],
    prefix: str = "VAANI_",
) -> tuple[T, dict[str, Setting]]:
    """The settings in effect, and for every dotted key its value and where it came from.

    `file` is YAML; in `environ` a key is `prefix` SECTION__KEY; each of `overrides` is
    section.key=value, and the last one wins. Raises SettingsError.
    """
    schema = _schema(cls())
    problems: list[str] = []
    values = dict(schema.defaults)
    sources = dict.fromkeys(values, "default")
    for given in (
        *(_from_file(file, schema) if file else ()),
        *_from_environment(environ, prefix, schema),
        *_from_overrides(overrides, schema),
    ):
        if isinstance(given, str):
            problems.append(given)
        elif given.key in schema.sections:
            problems.append(f"{given.place} is a section: set the keys in it")
        elif given.key not in schema.types:
            nearest = _nearest(given.key, schema)
            if nearest and given.source.startswith(prefix):
                nearest = _variable(prefix, nearest)
            hint = f"; did you mean {nearest}?" if nearest else ""
            problems.append(f"{given.place} is not a setting{hint}")
        else:
            try:
                values[given.key] = _convert(given.value, schema.types[given.key])
                sources[given.key] = given.source
            except ValidationError as error:
                problems.extend(_complaints(given, error))
    # Checks between fields come last: a value that was not understood would mislead them.
    settings = cls() if problems else _build(cls(), values, "", problems)
    if problems:
        raise SettingsError(problems)
    return settings, {
        key: Setting(_presentable(key, value), sources[key]) for key, value in values.items()
    }


def _schema(defaults: Any) -> _Schema:
    types: dict[str, Any] = {}
    values: dict[str, object] = {}
    sections: set[str] = set()

    def walk(section: Any, prefix: str) -> None:
        hints = get_type_hints(type(section), include_extras=True)
        for field in fields(section):
            key, value = prefix + field.name, getattr(section, field.name)
            if _is_section(value):
                sections.add(key)
                walk(value, key + ".")
            else:
                types[key], values[key] = hints[field.name], value

    walk(defaults, "")
    return _Schema(types, values, frozenset(sections))


def _is_section(value: object) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _build(defaults: Any, values: Mapping[str, object], prefix: str, problems: list[str]) -> Any:
    """`defaults` with `values` in the places of their keys; what `__post_init__` says is noted."""
    changes = {}
    for field in fields(defaults):
        key, value = prefix + field.name, getattr(defaults, field.name)
        if _is_section(value):
            changes[field.name] = _build(value, values, key + ".", problems)
        else:
            changes[field.name] = values[key]
    try:
        return replace(defaults, **changes)
    except ValueError as error:
        problems.append(f"{prefix.rstrip('.')}: {error}" if prefix else str(error))
        return defaults


# The sources. They yield what is given, and for what cannot be read the error's text.


def _from_file(file: Path, schema: _Schema) -> Iterator[_Given | str]:
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        yield f"{file}: there is no such file"
    except OSError as error:
        yield f"{file}: cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        yield f"{file}: is not UTF-8 text"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        yield f"{file}{f':{mark.line + 1}' if mark else ''}: is not YAML: {_reason(error)}"
    else:
        if isinstance(root, yaml.MappingNode):
            yield from _from_mapping(root, "", file, schema)
        elif root is not None and not _is_null(root):
            yield f"{file}:{_line(root)}: sections are expected, such as `server:`"


def _from_mapping(
    node: yaml.MappingNode, prefix: str, file: Path, schema: _Schema
) -> Iterator[_Given | str]:
    first: dict[str, int] = {}
    for name, value in node.value:
        source = f"{file}:{_line(name)}"
        if not isinstance(name, yaml.ScalarNode):
            yield f"{source}: the name of a key is expected"
            continue
        key = prefix + name.value
        if key in first:
            yield f"{source}: {key} was already set on line {first[key]}"
        first.setdefault(key, _line(name))
        if isinstance(value, yaml.MappingNode) and value.value and key not in schema.types:
            yield from _from_mapping(value, key + ".", file, schema)
        elif key not in schema.sections or not _is_empty(value):
            yield _Given(key, _plain(value), f"{source}: {key}", source)


def _from_environment(
    environ: Mapping[str, str], prefix: str, schema: _Schema
) -> Iterator[_Given | str]:
    slips = {_variable(prefix, key).replace("__", "_"): key for key in schema.types}
    for name in sorted(environ):
        key = name.removeprefix(prefix).lower().replace("__", ".")
        if name.startswith(prefix) and "." in key:
            yield _from_text(key, environ[name], name, name, schema)
        elif name in slips and not environ[name].startswith(("tcp://", "udp://")):
            # Other names without a "__" are not ours to judge: beside a service called vaani,
            # Kubernetes puts VAANI_PORT=tcp://… and a dozen more into every pod.
            yield f"{name} is not a setting; did you mean {_variable(prefix, slips[name])}?"


def _from_overrides(overrides: Sequence[str], schema: _Schema) -> Iterator[_Given | str]:
    for override in overrides:
        key, equals, text = override.partition("=")
        if equals:
            yield _from_text(key.strip(), text, f"--set {key.strip()}", "--set", schema)
        else:
            yield f"--set {override}: section.key=value is expected"


def _from_text(key: str, text: str, place: str, source: str, schema: _Schema) -> _Given | str:
    if key not in schema.types or _takes_text(schema.types[key]):
        return _Given(key, text, place, source)  # a password may well begin with # or [
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return f"{place} is not YAML: {_reason(error)}"
    return _Given(key, None if node is None else _plain(node), place, source)


def _takes_text(hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_takes_text(option) for option in get_args(hint))
    return hint is str


def _variable(prefix: str, key: str) -> str:
    return prefix + key.replace(".", "__").upper()


# YAML, without what it makes of scalars


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _is_empty(node: yaml.Node) -> bool:
    return _is_null(node) or (isinstance(node, yaml.MappingNode) and not node.value)


def _plain(node: yaml.Node) -> object:
    """Text, lists and mappings. `null` and `~` are None, but nothing at all is empty text."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(_plain(key)): _plain(value) for key, value in node.value}
    return None if _is_null(node) and node.value else node.value


def _reason(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error).partition("\n")[0]


# Values, and words about them


def _convert(value: object, hint: Any) -> object:
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return TypeAdapter[object](hint, config=config).validate_python(value)


_PLAIN_WORDS = {
    "a valid tuple": "a list such as [a, b]",
    "a valid list": "a list such as [a, b]",
    "a valid dictionary": "a mapping such as {a: b}",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
}


def _complaints(given: _Given, error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        inside = "".join(f"[{i}]" if isinstance(i, int) else f".{i}" for i in detail["loc"])
        said = json.dumps(_presentable(given.key + inside, detail["input"]), ensure_ascii=False)
        if detail["type"] == "unexpected_keyword_argument":
            yield f"{given.place}{inside} is not a setting"
        elif detail["msg"].startswith("Input should be "):
            expected = detail["msg"].removeprefix("Input should be ").partition(", unable")[0]
            expected = _PLAIN_WORDS.get(expected, expected)
            yield f"{given.place}{inside} should be {expected}, not {said}"
        else:
            yield f"{given.place}{inside}: {detail['msg']} (it is {said})"


def _nearest(key: str, schema: _Schema) -> str | None:
    """The known key that looks most like this one, or whose last name does."""
    keys = list(schema.types)
    last_names = {known.rpartition(".")[2]: known for known in reversed(keys)}
    near = get_close_matches(key, keys, 1, 0.75)
    near += [last_names[n] for n in get_close_matches(key.rpartition(".")[2], last_names, 1, 0.75)]
    near += get_close_matches(key, [*keys, *schema.sections], 1)
    return near[0] if near else None


def _presentable(key: str, value: object) -> object:
    """The value as JSON holds it, without the secrets in it; that a secret is empty is none."""
    if key.rpartition(".")[2] in SECRETS and value:
        return MASK
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(name): _presentable(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_presentable("", item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
