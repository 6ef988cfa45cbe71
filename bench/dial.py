"""How a bench's call reaches a server: by an offer, a WebSocket or a TCP connection."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from bench.relay import Relay
from signaling.channel import Channel, TcpChannel
from signaling.ice import LOOPBACK, default_addresses
from signaling.stream_caller import CallRefused, dial_tcp
from signaling.websocket import WebSocketChannel

TRANSPORTS = ("webrtc", "websocket", "tcp")
CONNECT_TIMEOUT = 15.0


class CallFailed(Exception):
    """The call could not be made or broke; the text says why."""


class Peer(Protocol):
    """The caller's end of a call over any transport."""

    connected: asyncio.Event
    closed: asyncio.Event

    async def close(self) -> None: ...


class OfferPeer(Peer, Protocol):
    """One that calls by an offer."""

    async def offer(self) -> str: ...
    async def accept(self, answer: str) -> None: ...


class StreamPeer(Peer, Protocol):
    """One that calls over a channel."""

    async def run(self, channel: Channel) -> None: ...


@asynccontextmanager
async def offer_line(url: str, peer: OfferPeer, relay: Relay | None = None) -> AsyncIterator[None]:
    """Have the peer in a call over WebRTC that is up, through the relay if there is one; hangs up.

    Raises CallFailed.
    """
    pc_id = None
    async with aiohttp.ClientSession() as http:
        try:
            sdp = await peer.offer()
            if relay:
                await relay.open()
                sdp = relay.offer(sdp)
            body = {"sdp": sdp, "type": "offer", "pc_id": None}
            # FastRTC wants a name from the caller, the others give one.
            answer = await post(http, offer_url(url), {**body, "webrtc_id": secrets.token_hex(8)})
            pc_id = answer.get("pc_id")
            try:
                sdp = answer["sdp"]
                await peer.accept(relay.answer(sdp) if relay else sdp)
            except Exception as error:  # aiortc raises whatever its parser trips over
                raise CallFailed(f"{url} answered no SDP: {error!r}") from error
            await _connected(peer)
            yield
        finally:
            await peer.close()
            if relay:
                relay.close()
            if pc_id:
                # The server may be gone, or know no such request; then there is nothing to free.
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with http.delete(f"{offer_url(url)}/{pc_id}"):
                        pass


@asynccontextmanager
async def stream_line(url: str, transport: str, peer: StreamPeer) -> AsyncIterator[None]:
    """The same over a WebSocket or TCP. Raises CallFailed."""
    dial = _dial_websocket if transport == "websocket" else _dial_tcp
    async with aiohttp.ClientSession() as http:
        running = asyncio.create_task(peer.run(await dial(http, url)))
        try:
            await _connected(peer)
            yield
        finally:
            await peer.close()
            try:
                await running
            except CallRefused as refusal:
                raise CallFailed(f"the server refused: {refusal}") from None


async def _connected(peer: Peer) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await _either(peer.connected, peer.closed)
    except TimeoutError:
        raise CallFailed(f"no media connection within {CONNECT_TIMEOUT:g} s") from None


async def _dial_websocket(http: aiohttp.ClientSession, url: str) -> WebSocketChannel:
    try:
        return WebSocketChannel(await http.ws_connect(_joined(url, "/ws/call")))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CallFailed(f"{url}: {str(error) or 'no answer in time'}") from None


async def _dial_tcp(http: aiohttp.ClientSession, url: str) -> TcpChannel:
    try:
        host = urlsplit(url).hostname or ""
        async with http.get(f"{url}/api/config") as response:
            port = (await response.json())["tcp_port"]
        if port is None:
            raise CallFailed(f"{url} has no TCP port: webrtc.tcp_port is not set there")
        return await dial_tcp(host, port)
    except (OSError, aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        raise CallFailed(f"{url}: {str(error) or 'no answer in time'}") from None


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def post(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        async with http.post(url, json=body) as response:
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise CallFailed(f"{url}: {str(error) or 'no answer in time'}") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("sdp"), str):
        reason = answer.get("error", answer) if isinstance(answer, dict) else answer
        if isinstance(reason, dict):
            reason = reason.get("message", reason)
        raise CallFailed(f"{url} refused: {reason}")
    return answer


async def status(url: str) -> dict[str, Any]:
    """What our server says of itself; nothing where the offer's URL says it is another's."""
    if _has_path(url):
        return {}
    try:
        async with aiohttp.ClientSession() as http, http.get(_joined(url, "/status")) as response:
            return dict(await response.json())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise CallFailed(f"{url}/status: {str(error) or 'no answer in time'}") from None


def offer_url(url: str) -> str:
    """Where the offer goes: `url` itself if it has a path, as other servers' offers do."""
    return _joined(url, "/api/offer")


def _joined(url: str, path: str) -> str:
    return url if _has_path(url) else url.rstrip("/") + path


def _has_path(url: str) -> bool:
    try:
        return bool(urlsplit(url).path.strip("/"))
    except ValueError as error:
        raise CallFailed(f"{url}: {error}") from None


def addresses(url: str) -> list[str]:
    """A server on this machine is called over loopback alone."""
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return [LOOPBACK] if local else default_addresses()
