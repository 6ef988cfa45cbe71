"""The words that callers say over an answer: `configs/words.yaml`, or another file of its kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from media.phrases import Phrases, make_phrases
from server.settings import SettingsError

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Words:
    """One language's; see configs/words.yaml."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    backchannels: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()


_LANGUAGES = TypeAdapter(Mapping[str, Words])


def read_words(name: str) -> Words:
    """The words of all languages in the file, one after another; "" names no file, and no words.

    A relative name is looked for here and then in the project. Raises SettingsError.
    """
    if not name:
        return Words()
    path = Path(name) if Path(name).exists() else ROOT / name
    try:
        # As text: "yes" is a word here, where plain YAML would read True.
        text = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)
        languages = _LANGUAGES.validate_python(text)
    except OSError as error:
        raise SettingsError([f"interruption.words: {name}: {error.strerror}"]) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"interruption.words: {name} is not YAML: {error}"]) from None
    except ValidationError as error:
        problems = [
            f"interruption.words: {name}: {'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors()
        ]
        raise SettingsError(problems) from None
    return Words(
        tuple(phrase for words in languages.values() for phrase in words.backchannels),
        tuple(phrase for words in languages.values() for phrase in words.stops),
    )


def phrases(words: Words) -> Phrases:
    """As the turn-taking compares them."""
    return make_phrases(words.backchannels, words.stops)


def hints(words: Words) -> tuple[str, ...]:
    """As an engine is told of them: those that can be heard."""
    return (*words.backchannels, *words.stops)
