"""Are the configured STUN and TURN servers there?"""

import os
import socket
import ssl
from dataclasses import dataclass

from server.doctor.finding import Finding, within
from server.doctor.network import LIMIT


@dataclass(frozen=True, slots=True)
class IceUrl:
    """`stun:host:3478`, `turns:host:5349?transport=tcp` and the like (RFC 7064, RFC 7065)."""

    scheme: str
    host: str
    port: int
    transport: str


def parse_ice_url(url: str) -> IceUrl:
    """Raises ValueError; its text says what is wrong."""
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in ("stun", "stuns", "turn", "turns"):
        raise ValueError("begins with none of stun:, stuns:, turn:, turns:")
    address, _, query = rest.partition("?")
    secure = scheme.endswith("s")
    transport = "tcp" if secure else "udp"
    if query:
        name, _, transport = query.partition("=")
        if name != "transport" or transport not in ("udp", "tcp"):
            raise ValueError("after ? only transport=udp or transport=tcp is known")
        if secure and transport == "udp":
            raise ValueError("asks for TLS over UDP, which browsers do not speak")
    if address.startswith("//") or "@" in address:
        raise ValueError("is host:port after the scheme, without // and without a user")
    name, port = _host_and_port(address, 5349 if secure else 3478)
    return IceUrl(scheme, name, port, transport)


def _host_and_port(address: str, default: int) -> tuple[str, int]:
    if address.startswith("["):
        name, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = address.partition(":")
    if not name:
        raise ValueError("has no host")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"has no port between 1 and 65535: {port!r}")
    return name, int(port or default)


def check_ice_url(url: str, credentials: bool) -> Finding:
    """Is the server there? It is asked for nothing but a sign of life."""
    name = "STUN server" if url.lower().startswith("stun") else "TURN server"
    try:
        server = parse_ice_url(url)
    except ValueError as error:
        return Finding(name, "problem", f"{url} {error}", "Correct webrtc.ice_servers.")
    if server.scheme.startswith("turn") and not credentials:
        advice = "Give it a username and a credential in webrtc.ice_servers."
        return Finding(name, "problem", f"{url} has no credentials", advice)
    try:
        within(LIMIT, lambda: _ask(server))
    except ssl.SSLCertVerificationError as error:
        text = f"{url}: its certificate is not trusted: {error.verify_message}"
        advice = f"Give {server.host} a certificate that browsers trust; they say nothing of it."
        return Finding(name, "problem", text, advice)
    except (OSError, ValueError) as error:
        text = f"{url} does not answer: {_reason(error)}"
        advice = f"Is {server.host} up, and {server.transport} port {server.port} open?"
        return Finding(name, "problem", text, advice)
    return Finding(name, "ok", f"{url} answers")


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _ask(server: IceUrl) -> None:
    """Connect, with TLS where asked; a STUN binding request where it is UDP. Raises OSError."""
    if server.transport == "tcp":
        with socket.create_connection((server.host, server.port), LIMIT) as connection:
            if server.scheme.endswith("s"):
                context = ssl.create_default_context()
                context.wrap_socket(connection, server_hostname=server.host).close()
        return
    found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    transaction = os.urandom(12)
    cookie = 0x2112A442.to_bytes(4, "big")
    with socket.socket(family, kind, protocol) as asker:
        asker.connect(address)
        for seconds in (0.4 * LIMIT, 0.5 * LIMIT):  # the first of them may be lost
            asker.settimeout(seconds)
            asker.send(b"\x00\x01\x00\x00" + cookie + transaction)
            try:
                answer = asker.recv(2048)
            except TimeoutError:
                continue
            if answer[4:20] != cookie + transaction:
                raise ValueError("what answers is no STUN server")
            return
        raise TimeoutError(f"nothing within {LIMIT:g} s")
