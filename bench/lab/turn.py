"""A TURN server: coturn, over TLS."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.lab.parts import free_port, listens, require, running
from bench.lab.tls import Certificate

USER, PASSWORD = "lab", "laboratory"


@contextlib.contextmanager
def coturn(address: str, certificate: Certificate, directory: Path) -> Iterator[dict[str, object]]:
    """An entry for `webrtc.ice_servers`: a relay that is reached over TLS alone."""
    require("turnserver")
    port = free_port(address)
    words = [
        *(
            "turnserver",
            "-n",
            "--log-file=stdout",
            "--simple-log",
            "--no-cli",
            "--no-software-attribute",
        ),
        *(f"--listening-ip={address}", f"--relay-ip={address}", f"--tls-listening-port={port}"),
        *(f"--listening-port={free_port(address)}", "--no-udp", "--no-tcp", "--no-dtls"),
        *(f"--cert={certificate.certificate}", f"--pkey={certificate.key}"),
        *("--lt-cred-mech", "--realm=lab", f"--user={USER}:{PASSWORD}"),
        *(f"--pidfile={directory}/turn.pid", f"--userdb={directory}/turn.db"),
    ]
    with running(words, directory / "turn.txt", lambda: listens(address, port)):
        yield {
            "urls": [f"turns:{address}:{port}?transport=tcp"],
            "username": USER,
            "credential": PASSWORD,
        }
