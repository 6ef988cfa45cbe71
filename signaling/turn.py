"""STUN and TURN servers: what the page is given, and which of them the server itself uses."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aiortc.rtcicetransport import parse_stun_turn_uri

LIFETIME = 86_400  # seconds; a relay is refreshed with the same credential, so longer than a call


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server, handed to the browser and used by the server itself.

    With `secret`, shared with the TURN server (coturn's `static-auth-secret`), every call gets a
    credential of its own that expires, and `credential` is left out.
    """

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None
    secret: str | None = None

    def __post_init__(self) -> None:
        if self.secret and self.credential:
            raise ValueError("an ICE server has a credential or a secret to make them, not both")


def with_credentials(
    servers: Iterable[IceServer], now: float, lifetime: float = LIFETIME
) -> tuple[IceServer, ...]:
    """The servers with credentials in place of secrets: these may be shown. `now` is Unix time."""
    return tuple(_with_credential(server, round(now + lifetime)) for server in servers)


def _with_credential(server: IceServer, expiry: int) -> IceServer:
    if not server.secret:
        return replace(server, secret=None)
    username = f"{expiry}:{server.username}" if server.username else str(expiry)
    code = hmac.digest(server.secret.encode(), username.encode(), hashlib.sha1)
    credential = base64.b64encode(code).decode()
    return replace(server, username=username, credential=credential, secret=None)


def usable_servers(servers: Iterable[IceServer]) -> tuple[IceServer, ...]:
    """The first STUN and the first TURN server that aiortc can use, each with one URL.

    It takes one of each kind, no stuns:, TURN over UDP, TCP and TLS, and no IPv6 literals.
    """
    chosen: dict[str, IceServer] = {}
    for server in servers:
        for url in server.urls:
            kind = _kind(url)
            if kind == "turn" and not (server.username and server.credential):
                continue
            if kind:
                chosen.setdefault(kind, replace(server, urls=(url,)))
    return tuple(chosen.values())


def _kind(url: str) -> str | None:
    """ "stun" or "turn"; None if aiortc has no use for it."""
    try:
        parsed = parse_stun_turn_uri(url)
    except ValueError:
        return None
    match parsed["scheme"], parsed.get("transport"):
        case "stun", _:
            return "stun"
        case ("turn", "udp" | "tcp") | ("turns", "tcp"):
            return "turn"
    return None
