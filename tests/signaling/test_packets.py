"""Twelve bytes and what follows them: as the protocol has it, and nothing else is a packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.packets import MAX_MESSAGE, Kind, Packet, PacketError, decode_packet, encode_packet

UINT32 = st.integers(0, 2**32 - 1)


def test_a_packet_on_the_wire() -> None:
    packet = Packet(Kind.OPUS, 0x01020304, 0xA0B0C0D0, b"opus")
    data = bytes.fromhex("02 000000 01020304 a0b0c0d0") + b"opus"
    assert encode_packet(packet) == data
    assert decode_packet(data) == packet


@pytest.mark.parametrize(("kind", "byte"), [(Kind.PCM, 1), (Kind.OPUS, 2), (Kind.SILENCE, 3)])
def test_a_kind_on_the_wire(kind: Kind, byte: int) -> None:
    assert encode_packet(Packet(kind, 0, 0))[0] == byte


@given(st.builds(Packet, st.sampled_from(Kind), UINT32, UINT32, st.binary(max_size=200)))
def test_a_packet_comes_back_as_it_was(packet: Packet) -> None:
    assert decode_packet(encode_packet(packet)) == packet


@given(st.integers(), st.integers())
def test_numbers_wrap(sequence: int, timestamp: int) -> None:
    packet = decode_packet(encode_packet(Packet(Kind.PCM, sequence, timestamp)))
    assert (packet.sequence, packet.timestamp) == (sequence % 2**32, timestamp % 2**32)


def test_the_longest_packet() -> None:
    packet = Packet(Kind.PCM, 1, 2, bytes(MAX_MESSAGE - 12))
    assert decode_packet(encode_packet(packet)) == packet


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "at least 12 bytes, this has 0"),
        (b"\1" + bytes(10), "at least 12 bytes, this has 11"),
        (bytes(12), "begins with its kind"),
        (b"\4" + bytes(11), "begins with its kind"),
        (b"\1\0\0\1" + bytes(8), "three zeros"),
        (b"\1\1\0\0" + bytes(8), "three zeros"),
        (b"\1" + bytes(MAX_MESSAGE), "at most 65536 bytes, this has 65537"),
    ],
)
def test_what_is_no_packet(data: bytes, complaint: str) -> None:
    with pytest.raises(PacketError) as caught:
        decode_packet(data)
    assert complaint in str(caught.value)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda rest: b"\1\0\0\0" + rest))
def test_nothing_but_a_packet_or_a_packet_error(data: bytes) -> None:
    try:
        packet = decode_packet(data)
    except PacketError as error:
        str(error).encode()
    else:
        assert encode_packet(packet) == data
