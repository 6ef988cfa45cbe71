"""Which of this machine's addresses a call may use."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

from aioice import Candidate, Connection
from aioice.ice import get_host_addresses
from aiortc import RTCPeerConnection

LOOPBACK = "127.0.0.1"

_Gather = Callable[..., Awaitable[list[Candidate]]]


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
    for connection in _connections(pc):
        gather = _gather_on(list(addresses), connection.get_component_candidates)
        setattr(connection, "get_component_candidates", gather)  # noqa: B010 - a method, replaced


def _gather_on(chosen: list[str], gather: _Gather) -> _Gather:
    async def gather_chosen(
        component: int, addresses: list[str], **options: int
    ) -> list[Candidate]:
        return await gather(component=component, addresses=chosen, **options)

    return gather_chosen


def _connections(pc: RTCPeerConnection) -> Iterator[Connection]:
    transports = {t.receiver.transport.transport for t in pc.getTransceivers()}
    if pc.sctp:
        transports.add(pc.sctp.transport.transport)
    for transport in transports:
        yield transport.iceGatherer._connection
