"""Peers that talk: whatever is said to them, they answer with the same long speech.

They have no recogniser and no model, so what is measured is their turn-taking alone, as their
libraries have it by default: when they answer, and how they let themselves be interrupted.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.audio import write_audio
from bench.caller import RATE
from bench.dial import CallFailed
from bench.peers import HERE, PYTHON
from bench.target import running
from bench.voices import speak

PEERS = ("pipecat", "fastrtc")

VOICE = "en-gb-x-rp"  # none of the callers'
STORY = (
    "There was once a ferryman on a wide brown river who could not swim and told nobody so, "
    "and every morning he rowed the village to market and every evening he rowed it home again, "
    "with the goats in the bow and the grandmothers in the stern and the children hanging over "
    "the side to catch the water hyacinths as they drifted by, "
    "until one day in the month of rain the river rose higher than the oldest man had seen it, "
    "and took the landing with it and the rope and the bell that people rang to call the boat, "
    "so that the ferryman stood on the one bank and the village stood on the other, "
    "and for the first time in thirty years there was nothing between them that he could row, "
    "and he sat down on his upturned boat and began to laugh, "
    "because the river had come up to his knees while he was thinking and he had not been afraid."
)
"""Some forty seconds in one sentence: a pause of its own must not look like an interruption."""


@asynccontextmanager
async def peer(name: str) -> AsyncIterator[str]:
    """The URL that one of PEERS, started for this, takes offers at; ends it. Raises CallFailed."""
    if name not in PEERS:
        raise CallFailed(f"there is no peer {name}: known are {', '.join(PEERS)}")
    if not PYTHON.exists():
        raise CallFailed(f"the peers are not installed: run {HERE / 'install.sh'}")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        write_audio(path, speak(STORY, VOICE), RATE)
        async with running([str(PYTHON), str(HERE / f"{name}_talk.py"), str(path)]) as server:
            yield server.url
