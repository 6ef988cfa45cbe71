"""Which of this machine's addresses a call may use."""

import re
from collections.abc import Awaitable, Callable, Sequence

from aioice import Candidate, Connection
from aioice.ice import get_host_addresses
from aiortc import RTCPeerConnection

LOOPBACK = "127.0.0.1"
GATHER_TIMEOUT = 1.5  # seconds that the answer waits for STUN and TURN servers

Gather = Callable[..., Awaitable[list[Candidate]]]


def default_addresses() -> list[str]:
    """Every interface's addresses, and loopback, which aioice leaves out.

    Without loopback a machine that is off the network could not even talk to itself.
    """
    return [*get_host_addresses(use_ipv4=True, use_ipv6=True), LOOPBACK]


def use_addresses(pc: RTCPeerConnection, addresses: Sequence[str]) -> None:
    """Gather host candidates on exactly these.

    Call when the connection has its transports and has not yet gathered: just before
    setLocalDescription.
    """
    for connection in connections(pc):
        gather = _gather_on(list(addresses), connection.get_component_candidates)
        setattr(connection, "get_component_candidates", gather)  # noqa: B010 - a method, replaced


def _gather_on(chosen: list[str], gather: Gather) -> Gather:
    async def gather_chosen(
        component: int, addresses: list[str], **options: float
    ) -> list[Candidate]:
        options.setdefault("timeout", GATHER_TIMEOUT)
        return await gather(component=component, addresses=chosen, **options)

    return gather_chosen


def mark(connection: Connection, prefix: str) -> None:
    """Have our user name begin so: every check of the caller's then says whose call it is of.

    Call before the answer is made, which tells the caller the name.
    """
    connection._local_username = prefix + connection.local_username


def connections(pc: RTCPeerConnection) -> list[Connection]:
    """What aioice keeps for each of the peer connection's transports; bundled media share one."""
    transports = [t.receiver.transport.transport for t in pc.getTransceivers()]
    if pc.sctp:
        transports.append(pc.sctp.transport.transport)
    return [transport.iceGatherer._connection for transport in dict.fromkeys(transports)]


def without_idle_candidates(offer: str) -> str:
    """The SDP without what only delays an answer, or ends a call that could still come.

    Names under .local take a second to look up and mean no more than the address that a check
    will come from. A browser's TCP candidates are active: it is they who call. And once the end of
    candidates is said, aioice gives up when it has none to check, though a check may be on its way.
    """
    idle = r"a=(end-of-candidates\b|candidate:\S+ \d+ (tcp |\S+ \d+ \S+\.local )).*(\r?\n|$)"
    return re.sub(idle, "", offer, flags=re.IGNORECASE)
