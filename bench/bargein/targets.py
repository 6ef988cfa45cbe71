"""Whom a suite is played to: how each is called, and what can be done to its network."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.caller import Caller, connect
from bench.dial import CallFailed
from bench.load import UNLIMITED
from bench.relay import Relay
from bench.target import started

REALTIME_PATH = "/v1/realtime"


@dataclass(frozen=True, slots=True)
class Target:
    """`label` as a report names it; `impairable`: whether a relay can come between."""

    label: str
    connect: Callable[[Relay | None], AbstractAsyncContextManager[Caller]]
    impairable: bool


@asynccontextmanager
async def reached(
    url: str | None, peer: str | None, transport: str, overrides: Sequence[str]
) -> AsyncIterator[Target]:
    """The target at a URL, a peer of this name, or else a server of our own that is started.

    Raises CallFailed.
    """
    if peer is not None:
        from bench.peers.talkers import peer as talking

        async with talking(peer) as offer:
            yield _offered(peer, offer)
    elif url is None:
        async with started([*UNLIMITED, *overrides]) as server:
            yield _vaani(server.url, transport)
    elif is_realtime(url):
        from bench.bargein.openai_line import connect_openai

        yield Target(f"openai {_shown(url)}", lambda relay: connect_openai(url), False)
    elif urlsplit(url).path.strip("/"):
        yield _offered(_shown(url), url)
    else:
        yield _vaani(url, transport)


def is_realtime(url: str) -> bool:
    """Whether OpenAI's Realtime protocol is spoken there. Raises CallFailed."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise CallFailed(f"{url}: {error}") from None
    return parts.scheme in ("ws", "wss") or parts.path.rstrip("/").endswith(REALTIME_PATH)


def _vaani(url: str, transport: str) -> Target:
    return Target(
        f"vaani over {transport}",
        lambda relay: connect(url, transport, relay),
        transport == "webrtc",
    )


def _offered(label: str, url: str) -> Target:
    return Target(label, lambda relay: connect(url, "webrtc", relay), True)


def _shown(url: str) -> str:
    """Without its query and its user, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
