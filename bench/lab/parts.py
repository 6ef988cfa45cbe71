"""Programs that run for a while beside us, and what all parts of the laboratory need of them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE = 30.0  # seconds that a part may take to be ready on a busy machine
END_SECONDS = 5.0

PUNCTUAL = ("nice", "-n", "-15")
"""Before what makes or plays sound: where it is late echo cancellers lose their way, as they would
not on a caller's own machine. Not being root it is only not as punctual."""

PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "turnserver": "coturn",
    "paplay": "pulseaudio-utils",
    "WebKitWebDriver": "webkit2gtk-driver",
    "Xvfb": "xvfb",
}


class PartMissing(Exception):
    """A part of the laboratory cannot be had here; the text says which and why."""


class PartFailed(Exception):
    """A part did not do what it was asked; the text has what it said."""


def require(*programs: str) -> None:
    """Raises PartMissing for the first of these programs that is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            package = PACKAGES.get(program, program)
            raise PartMissing(f"there is no {program}; on Debian: apt install {package}")


def command(*words: str, stdin: str | None = None) -> str:
    """Runs a command that ends by itself, and gives what it printed. Raises PartFailed."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise PartFailed(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextlib.contextmanager
def running(
    words: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program until the block ends. Its output goes to `log`. Raises PartFailed."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        try:
            wait_until(lambda: process.poll() is not None or ready())
        except TimeoutError:
            raise PartFailed(f"{words[0]} is not ready: {_tail(log)}") from None
        if process.poll() is not None:
            raise PartFailed(f"{words[0]} ended: {_tail(log)}")
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that leads a session of its own, and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Looks again and again. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def listens(host: str, port: int) -> bool:
    """Does anything accept TCP connections there?"""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]
