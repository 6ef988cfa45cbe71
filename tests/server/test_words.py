"""The file of the words that callers say over an answer."""

from pathlib import Path

import pytest

from media.phrases import has_stop, is_backchannel, normalize
from server.config import Config, engine_settings
from server.settings import SettingsError
from server.words import Words, hints, phrases, read_words


def test_the_projects_own_words() -> None:
    words = read_words(Config().interruption.words)
    known = phrases(words)
    for text in ("Uh-huh.", "okay okay", "haan ji", "achha", "avunu", "సరే", "yes", "true"):
        assert is_backchannel(normalize(text), known), text
    for text in ("stop", "Wait a moment!", "ruko", "aagandi", "okay stop"):
        assert has_stop(normalize(text), known), text
    for text in ("no", "what", "hello", "thank you", "what time is it", ""):
        assert not is_backchannel(normalize(text), known), text
        assert not has_stop(normalize(text), known), text


def test_the_engine_is_told_of_all_of_them() -> None:
    words = read_words(Config().interruption.words)
    assert engine_settings(Config()).hints == hints(words) == (*words.backchannels, *words.stops)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "words.yaml"
    file.write_text("fr: {backchannels: [ouais, 'oui'], stops: [arrête]}\nde: {stops: [halt]}")
    assert read_words(str(file)) == Words(("ouais", "oui"), ("arrête", "halt"))
    assert read_words("") == Words()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("en: {backchannel: [okay]}", "en.backchannel"),
        ("en: {stops: stop}", "en.stops"),
        ("- okay", "dictionary"),
        ("", "dictionary"),
        ("en: [", "is not YAML"),
        ("en: {stops: [{a: b}]}", "en.stops.0"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "words.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=problem) as error:
        read_words(str(file))
    assert str(file) in str(error.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: No such file"):
        read_words("nowhere.yaml")
