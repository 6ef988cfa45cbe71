"""A server of its own for whoever calls from the laboratory."""

import contextlib
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.lab.parts import PUNCTUAL, free_port, running

RUN = Path(__file__).parents[2] / "run.py"


@contextlib.contextmanager
def server(
    directory: Path,
    settings: Mapping[str, object],
    address: str = "127.0.0.1",
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Runs Vaani with these settings ("section.key") and gives its URL once it is ready."""
    url = f"http://{address}:{(port := free_port(address))}"
    words = [*PUNCTUAL, sys.executable, str(RUN), "serve", "--json"]
    words += [f"--host={address}", f"--port={port}"]
    # The port of its own that it would take may be another server's.
    for key, value in {"webrtc.tcp_port": None, **settings}.items():
        words += ["--set", f"{key}={json.dumps(value)}"]

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    with running(words, directory / "server.txt", ready, environment):
        yield url
