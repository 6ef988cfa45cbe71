"""What is asked of a connection that others share a server with: how much it may do, and hold."""

import fcntl
import sys
from typing import Protocol

_SIOCOUTQNSD = 0x894B  # Linux: the bytes of a TCP socket that were not sent even once


class Budget:
    """A token bucket: so much a second, and so much at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._left, self._at = rate, burst, burst, now

    def take(self, amount: float, now: float) -> bool:
        """Pay for this if there is enough."""
        self._fill(now)
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def spend(self, amount: float, now: float) -> float:
        """Pay for this in any case; how many seconds one is in debt after that, or 0."""
        self._fill(now)
        self._left -= amount
        return max(0.0, -self._left / self._rate)

    def _fill(self, now: float) -> None:
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now


class Socket(Protocol):
    def fileno(self) -> int: ...


def unsent_bytes(connection: Socket | None) -> int:
    """What the kernel holds of a TCP connection and has not sent: its buffer has room for minutes
    of audio, and TCP_NOTSENT_LOWAT does not bound small writes. 0 where that cannot be known.
    """
    if connection is None:
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), _SIOCOUTQNSD, bytes(4))
    except (OSError, ValueError):  # not Linux; closed
        return 0
    return int.from_bytes(answer, sys.byteorder)
