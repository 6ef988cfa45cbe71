"""Calls are offered on the addresses that were asked for, and on no others."""

import re

from aiortc import RTCPeerConnection

from signaling.ice import LOOPBACK, default_addresses, use_addresses


async def gathered(addresses: list[str], *, with_channel: bool = True) -> set[str]:
    """The host addresses in an offer that gathers on these."""
    pc = RTCPeerConnection()
    try:
        pc.addTransceiver("audio")
        if with_channel:
            pc.createDataChannel("events")
        offer = await pc.createOffer()
        use_addresses(pc, addresses)
        await pc.setLocalDescription(offer)
        sdp = pc.localDescription.sdp
    finally:
        await pc.close()
    return set(re.findall(r"a=candidate:\S+ \d udp \d+ (\S+) \d+ typ host", sdp))


async def test_loopback_alone() -> None:
    assert await gathered([LOOPBACK]) == {LOOPBACK}
    assert await gathered([LOOPBACK], with_channel=False) == {LOOPBACK}


async def test_several_addresses() -> None:
    assert await gathered(["127.0.0.2", "127.0.0.3"]) == {"127.0.0.2", "127.0.0.3"}


async def test_an_address_that_this_machine_lacks_is_left_out() -> None:
    assert await gathered(["192.0.2.1", LOOPBACK]) == {LOOPBACK}  # TEST-NET-1, RFC 5737


async def test_two_connections_have_their_own() -> None:
    assert await gathered(["127.0.0.2"]) == {"127.0.0.2"}
    assert await gathered(["127.0.0.3"]) == {"127.0.0.3"}


def test_loopback_is_among_the_defaults() -> None:
    assert default_addresses()[-1] == LOOPBACK
    assert len(set(default_addresses())) == len(default_addresses())
