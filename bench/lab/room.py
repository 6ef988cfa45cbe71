"""A room with a loudspeaker and a microphone, for a browser that knows nothing of it.

    browser ──▶ speaker ─(with an echo)─▶ room ──▶ microphone ──▶ browser
                   │                       ▲
                   ▼                       │
                  ear                  the caller

A PulseAudio server of its own: what an ear there hears is what a person would have heard, jitter
buffer, concealment and sound card included.
"""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.lab.parts import PUNCTUAL, end, require, running, wait_until
from media.frames import Samples

RATE = 24_000
"""Hz, of all that is said and heard; mono."""

_FORMAT = ("--raw", f"--rate={RATE}", "--channels=1", "--format=s16le", "--latency-msec=20")


class Ear:
    """Remembers what it hears from now on, and when."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._chunks: list[bytes] = []
        self._length = 0
        self._origin = float("inf")
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while chunk := os.read(self._process.stdout.fileno(), 1 << 16):
            with self._lock:
                self._chunks.append(chunk)
                self._length += len(chunk) // 2
                # The chunk that came soonest after its sound tells best when all began.
                self._origin = min(self._origin, time.monotonic() - self._length / RATE)

    @property
    def origin(self) -> float:
        """When the first sample was heard, on the monotonic clock."""
        return self._origin

    def recording(self, since: float = 0.0) -> Samples:
        """All that was heard, or what was since then on the monotonic clock."""
        with self._lock:
            heard = b"".join(self._chunks)
        samples = np.frombuffer(heard[: len(heard) // 2 * 2], np.int16)
        return samples[max(0, round((since - self._origin) * RATE)) :] if since else samples

    def close(self) -> None:
        end(self._process)
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Room:
    """Give `environment` to the browser that is to be in it."""

    environment: dict[str, str]
    silent_since: float = 0.0  # when the caller's latest words end, on the monotonic clock
    _voices: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def say(self, samples: Samples) -> float:
        """The caller begins to say this, mono at RATE Hz; gives the time on the monotonic clock.

        Returns at once. The sound is in the room some 20 to 60 ms later.
        """
        voice = subprocess.Popen(
            ["pacat", "--playback", "--device=room", *_FORMAT],
            stdin=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
        )
        self._voices.append(voice)
        threading.Thread(target=_feed, args=(voice, samples.tobytes())).start()
        began = time.monotonic()
        self.silent_since = began + len(samples) / RATE
        return began

    def silence(self) -> None:
        """The caller says no more, whatever was begun."""
        while self._voices:
            end(self._voices.pop())

    @contextlib.contextmanager
    def ear(self, device: str = "speaker") -> Iterator[Ear]:
        """An ear at the loudspeaker, or at the `room`, where the microphone is."""
        ear = Ear(
            subprocess.Popen(
                ["parec", f"--device={device}.monitor", *_FORMAT],
                stdout=subprocess.PIPE,
                env=self.environment,
                start_new_session=True,
            )
        )
        try:
            wait_until(lambda: ear.origin < float("inf"))
            yield ear
        finally:
            ear.close()


@contextlib.contextmanager
def room(directory: Path, *, echo: bool = False) -> Iterator[Room]:
    """A room. With `echo` the microphone hears the loudspeaker, as on a laptop."""
    require("pulseaudio", "pactl", "pacat", "parec")
    directory.mkdir(parents=True, exist_ok=True)
    socket = directory / "native"
    script = directory / "room.pa"
    script.write_text(_SCRIPT.format(socket=socket) + (_ECHO if echo else ""))
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(directory),
        "XDG_RUNTIME_DIR": str(directory),
        "PULSE_SERVER": f"unix:{socket}",
        "PULSE_COOKIE": str(directory / "cookie"),
    }
    words = [
        *PUNCTUAL,
        "pulseaudio",
        "-n",
        "--daemonize=no",
        "--exit-idle-time=-1",
        "--use-pid-file=no",
    ]
    words += ["--log-target=stderr", "-F", str(script)]

    def ready() -> bool:
        if not socket.exists():
            return False
        answer = subprocess.run(
            ["pactl", "info"], env=environment, capture_output=True, text=True, timeout=10
        )
        return "Default Source: microphone" in answer.stdout

    with running(words, directory / "pulseaudio.txt", ready, environment):
        made = Room(environment)
        try:
            yield made
        finally:
            made.silence()


def _feed(voice: "subprocess.Popen[bytes]", sound: bytes) -> None:
    assert voice.stdin is not None
    with contextlib.suppress(BrokenPipeError), voice.stdin as mouth:
        mouth.write(sound)


_SCRIPT = """\
load-module module-null-sink sink_name=speaker rate=48000 channels=2
load-module module-null-sink sink_name=room rate=48000 channels=2
load-module module-remap-source master=room.monitor source_name=microphone
set-default-sink speaker
set-default-source microphone
load-module module-native-protocol-unix socket={socket} auth-anonymous=1
"""
# Air has one delay: the module is not to mend its own.
_ECHO = (
    "load-module module-loopback source=speaker.monitor sink=room latency_msec=50 adjust_time=0\n"
)
