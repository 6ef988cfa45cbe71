"""Whatever strangers and callers say on the shared ports, other calls do not notice."""

import asyncio
import socket

from aioice import Connection, stun
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signaling.ice_tcp import (
    attached,
    check,
    frame,
    message,
    open_ports,
    read_frame,
    rest,
    udp_socket,
)

# What strangers and callers may say: anything, and almost the right thing.

_BYTES = st.binary(max_size=2200)
_FRAMES = st.one_of(
    st.builds(lambda data: ("raw", data), _BYTES),
    st.builds(lambda data: ("frame", data), _BYTES),
    st.builds(
        lambda kind, parts: ("stun", message(kind, b"".join(parts))),
        st.sampled_from([0x001, 0x011, 0x101, 0x111, 0x003, 0x103]),
        st.lists(
            st.builds(
                lambda name, value: name.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value,
                st.sampled_from(sorted(stun.ATTRIBUTES_BY_TYPE)),
                st.integers(0, 6).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
            ),
            max_size=8,
        ),
    ),
    st.builds(
        lambda cut, at, byte: ("bent", bytes([cut % 256, at % 256, byte])),
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 255),
    ),
    st.builds(lambda password: ("wrong", password), st.binary(min_size=22, max_size=22)),
    st.just(("right", b"")),
)


def _said(call: Connection, kind: str, data: bytes) -> bytes:
    """The bytes of one of these, without a frame's length."""
    right = check(call)
    match kind:
        case "bent":
            bent = bytearray(right)
            bent[data[1] % len(bent)] ^= data[2] or 1
            return bytes(bent[: len(bent) - data[0] % 8])
        case "wrong":
            return check(call, data.hex())
        case "right":
            return right
    return data


async def answered_at_last(one: socket.socket, request: bytes) -> None:
    """Among other things that were to be answered."""
    one.send(request)
    data = b""
    while data[:2] != b"\1\1" or data[8:20] != request[8:20]:
        data = await asyncio.get_running_loop().sock_recv(one, 2048)


@settings(max_examples=60, deadline=None)
@given(st.lists(_FRAMES, max_size=8), st.booleans())
def test_whatever_is_said_the_neighbour_is_heard(
    said: list[tuple[str, bytes]], as_caller: bool
) -> None:
    """On TCP, from a stranger or from someone with the password, and on UDP."""
    unheard: list[dict[str, object]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unheard.append(what))
        async with open_ports(udp=True) as ports, attached(ports.mux) as neighbour:
            reader, writer = await asyncio.open_connection(*ports.tcp_address)
            writer.write(frame(check(neighbour)))
            await read_frame(reader)
            async with attached(ports.mux, connecting=True) as call:
                with udp_socket(ports) as udp:
                    answers, stranger = await asyncio.open_connection(*ports.tcp_address)
                    if as_caller:
                        stranger.write(frame(check(call)))
                        udp.send(check(call))
                    for kind, data in said:
                        data = _said(call, kind, data)
                        stranger.write(data if kind == "raw" else frame(data))
                        udp.send(data)
                    stranger.write_eof()
                    await rest(answers)
                    stranger.close()
                    await answered_at_last(udp, check(call))
                writer.write(frame(check(neighbour)))
                response = stun.parse_message(await read_frame(reader))
                assert response.message_class == stun.Class.RESPONSE
            writer.close()
            assert ports.mux.calls == 1
        assert ports.mux.calls == 0
        assert ports.tcp.connections == (0, 0)

    asyncio.run(run())
    assert unheard == []
