"""A laptop: the microphone hears the loudspeaker, and only the browser can take that away.

It can from the first word of the first answer on, because the chime has taught it the room.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.audio import read_audio
from bench.lab.browsers import chromium, wait_for
from bench.lab.room import RATE, room
from bench.lab.visitor import ask, press_call
from tests.network.calls import reply_of

if TYPE_CHECKING:
    from tests.network.conftest import Enter

PERSON = Path(__file__).parents[3] / "shared/audio/speech/weather_question.flac"
LONG = 150  # characters of a story, some ten seconds


@pytest.mark.skipif(not PERSON.exists(), reason="the recordings are not here")
@pytest.mark.parametrize("transport", ["webrtc", "websocket"])
def test_a_person_interrupts_an_answer_but_its_echo_does_not(
    enter: Enter, server_url: str, transport: str, tmp_path: Path
) -> None:
    caller = enter(room(tmp_path / "room", echo=True))
    tab = enter(chromium(caller.environment, tmp_path))
    press_call(tab, f"{server_url}?transport={transport}")
    story = reply_of(ask(tab, caller, "tell me a story"))
    wait_for(tab, f"{story}.interrupted || {story}.heard.length > {LONG}")
    assert not tab.evaluate(f"{story}.interrupted")
    caller.say(read_audio(PERSON, RATE))
    wait_for(tab, f"{story}.interrupted")
