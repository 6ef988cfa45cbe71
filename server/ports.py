"""The ports besides HTTP's: one TCP port for media and programs' calls, perhaps one UDP port."""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from server.config import Config
from signaling import rtp
from signaling.channel import Channel, TcpChannel
from signaling.ice import default_addresses
from signaling.ice_mux import IceMux, unsupported
from signaling.public_address import PortPlan, listens_at, plan, tcp_hosts
from signaling.tcp_port import TcpPort, bind

logger = logging.getLogger(__name__)

AnswerStream = Callable[[Channel, str, Callable[[], None]], Awaitable[None]]


class Ports:
    """What is open; `tcp` and `udp` are the port numbers, None where there is none."""

    def __init__(self) -> None:
        self.mux = IceMux()
        self.tcp_port: TcpPort
        self.tcp: int | None = None
        self.udp: int | None = None
        self.media_over_tcp = False


def bind_tcp(config: Config, environ: Mapping[str, str]) -> list[socket.socket]:
    """Listen on what the configuration asks for as the TCP port, if it does. Raises OSError,
    which names the port."""
    planned, hosts = _plan_tcp(config, environ, _own_addresses(config))
    if planned.listen is None:
        return []
    try:
        return bind(hosts, planned.listen)
    except OSError as error:
        raise _taken("tcp", planned.listen, error) from None


@asynccontextmanager
async def open_ports(
    config: Config,
    environ: Mapping[str, str],
    answer: AnswerStream,
    listeners: Sequence[socket.socket] | None = None,
) -> AsyncIterator[Ports]:
    """Open what the configuration asks for. Raises OSError, which names the port.

    `listeners`: the TCP port's, where it is open already.
    """
    if moved := await rtp.unsupported():
        raise OSError(errno.ENOTSUP, f"no WebRTC: {moved}; `make setup` installs the right one")
    ports = Ports()
    own = _own_addresses(config)
    wrong = await unsupported()
    if wrong:
        logger.warning("no WebRTC over TCP and no single UDP port: in this aioice %s", wrong)

    async def answer_program(
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        proven: Callable[[], None],
    ) -> None:
        # Nothing guards these but what guards HTTP: they are taken where it is.
        if listens_at(config.server.host, writer.get_extra_info("sockname")[0]):
            await answer(TcpChannel(reader, writer, head), "tcp", proven)

    tcp = ports.tcp_port = TcpPort(None if wrong else ports.mux.accept, answer_program)
    try:
        tcp_plan, _ = _plan_tcp(config, environ, own)
        if listeners is None:
            listeners = bind_tcp(config, environ)
        if listeners:
            ports.tcp = await tcp.serve(listeners)
            ports.media_over_tcp = not wrong
            ports.mux.tcp = () if wrong else tcp_plan.advertise(ports.tcp)
        udp_plan = plan("udp", config.webrtc, environ, own)
        if udp_plan.listen is not None and not wrong:
            try:
                ports.udp = await ports.mux.listen_udp(own, udp_plan.listen)
            except OSError as error:
                raise _taken("udp", udp_plan.listen, error) from None
            ports.mux.udp = udp_plan.advertise(ports.udp)
        for note in (*tcp_plan.notes, *udp_plan.notes):
            logger.warning("%s", note)
        yield ports
    finally:
        await tcp.close()
        ports.mux.close()


def _own_addresses(config: Config) -> list[str]:
    return list(config.webrtc.host_addresses) or default_addresses()


def _plan_tcp(
    config: Config, environ: Mapping[str, str], own: Sequence[str]
) -> tuple[PortPlan, Sequence[str]]:
    """The plan, and the addresses to listen on."""
    hosts = tcp_hosts(config.server.host, config.webrtc, own)
    called = [address for address in own if any(listens_at(host, address) for host in hosts)]
    return plan("tcp", config.webrtc, environ, called), hosts


def _taken(kind: str, port: int, error: OSError) -> OSError:
    told = error.strerror or error
    reason = f"{kind.upper()} port {port}: {told}; choose another with webrtc.{kind}_port"
    return OSError(error.errno or errno.EADDRNOTAVAIL, reason)
