"""What a check of the doctor's says, and what it is given to look at."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from server.config import Config
from signaling.ice import default_addresses
from signaling.public_address import Kind, PortPlan, lookup, plan

T = TypeVar("T")

Status = Literal["ok", "note", "problem"]
"""`problem`: something that is configured does not work; `note`: worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice` says what to change, and is empty if there is nothing."""

    name: str
    status: Status
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Host:
    """What the checks look at: the settings, the environment, this machine's own addresses, and
    where the TCP and the UDP port are to listen and to be reached."""

    config: Config
    environ: Mapping[str, str]
    addresses: tuple[str, ...]
    plans: Mapping[Kind, PortPlan]

    @property
    def on_runpod(self) -> bool:
        return any(self.environ.get(name) for name in ("RUNPOD_POD_ID", "RUNPOD_PUBLIC_IP"))

    @property
    def proxy(self) -> str:
        """The page as RunPod's proxy serves it, without a slash at the end; empty elsewhere."""
        pod = self.environ.get("RUNPOD_POD_ID")
        return f"https://{pod}-{self.config.server.port}.proxy.runpod.net" if pod else ""


def look_at(config: Config, environ: Mapping[str, str]) -> Host:
    """The host as the checks want it. A `public_address` that is a name is looked up."""
    addresses = config.webrtc.host_addresses or tuple(default_addresses())
    kinds: tuple[Kind, ...] = ("tcp", "udp")
    return Host(
        config,
        environ,
        tuple(addresses),
        {kind: plan(kind, config.webrtc, environ, addresses, _lookup) for kind in kinds},
    )


def _lookup(name: str) -> list[str]:
    return within(5.0, lambda: lookup(name))


Check = Callable[[Host], Finding]


def within(seconds: float, act: Callable[[], T]) -> T:
    """What `act` returns or raises; TimeoutError if it takes longer, and then it is left alone."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(act())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]
