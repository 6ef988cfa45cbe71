"""A bad network between a caller and a server, for which nobody needs to be root.

A relay on loopback: both SDPs name it in place of the other end, so all UDP of the call goes
through it. RTP and RTCP are lost and delayed; ICE and DTLS pass, so that a call always comes up.
"""

import asyncio
import re
from dataclasses import dataclass

from bench.impairment import Conditions, Impairment
from signaling.ice import LOOPBACK

Address = tuple[str, int]

_CANDIDATE = re.compile(r"a=candidate:(\S+) (\d+) (udp) (\d+) (\S+) (\d+) typ .*", re.IGNORECASE)
_IDLE = re.compile(r"a=candidate:.*(\r?\n|$)")


@dataclass(frozen=True, slots=True)
class Passed:
    """RTP packets that came to the relay, and those it dropped, each way."""

    up: int
    up_lost: int
    down: int
    down_lost: int


class Relay:
    """One call's network. Up is towards the server."""

    def __init__(self, conditions: Conditions, name: str = "") -> None:
        self._up = _Way(Impairment(conditions, f"{name} up"))
        self._down = _Way(Impairment(conditions, f"{name} down"))

    async def open(self) -> None:
        """Take two ports."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self._up, local_addr=(LOOPBACK, 0))
        await loop.create_datagram_endpoint(lambda: self._down, local_addr=(LOOPBACK, 0))
        self._up.out, self._down.out = self._down, self._up

    def offer(self, sdp: str) -> str:
        """The caller's offer, in which the caller is to be reached through the relay."""
        self._down.to, changed = _redirect(sdp, self._down.port)
        return changed

    def answer(self, sdp: str) -> str:
        """The server's answer, likewise."""
        self._up.to, changed = _redirect(sdp, self._up.port)
        return changed

    def passed(self) -> Passed:
        """Counts so far."""
        return Passed(self._up.rtp, self._up.rtp_lost, self._down.rtp, self._down.rtp_lost)

    def close(self) -> None:
        self._up.close()
        self._down.close()


class _Way(asyncio.DatagramProtocol):
    """From the socket that one end sends to, out of the other way's socket, to the other end."""

    out: "_Way"
    to: Address | None = None  # not known before its SDP

    def __init__(self, impairment: Impairment) -> None:
        self._impairment = impairment
        self._loop = asyncio.get_running_loop()
        self._socket: asyncio.DatagramTransport | None = None
        self.rtp = 0
        self.rtp_lost = 0

    @property
    def port(self) -> int:
        assert self._socket is not None
        return int(self._socket.get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._socket = transport

    def datagram_received(self, data: bytes, address: Address) -> None:
        late: float | None = 0.0
        if 128 <= data[0] <= 191:  # RTP or RTCP (RFC 7983)
            late = self._impairment.pass_on()
            if not 64 <= data[1] & 0x7F <= 95:  # RTP (RFC 5761)
                self.rtp += 1
                self.rtp_lost += late is None
        if late is None:
            return
        if late:
            self._loop.call_later(late, self._send, data)
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        if self.to and self.out._socket and not self.out._socket.is_closing():
            self.out._socket.sendto(data, self.to)

    def close(self) -> None:
        if self._socket:
            self._socket.close()


def _redirect(sdp: str, port: int) -> tuple[Address, str]:
    """The address in this SDP that this machine reaches best, and the SDP with the relay's only.

    Raises ValueError.
    """
    found = [match for line in sdp.splitlines() if (match := _CANDIDATE.fullmatch(line))]
    usable = [match for match in found if ":" not in match[5]]
    if not usable:
        raise ValueError("the SDP has no UDP candidate of IPv4 to put the network before")
    best = max(usable, key=lambda match: (match[5] == LOOPBACK, int(match[4])))
    relay = f"a=candidate:relay 1 udp 2130706431 {LOOPBACK} {port} typ host\r\n"
    written = False

    def replaced(match: re.Match[str]) -> str:
        nonlocal written
        first, written = not written, True
        return relay if first else ""

    return (best[5], int(best[6])), _IDLE.sub(replaced, sdp)
