"""Messages on a WebSocket, aiohttp's, from either end."""

from asyncio import WriteTransport
from typing import cast

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from signaling.channel import ChannelClosed, limit_unsent, sent
from signaling.packets import MAX_MESSAGE

PING_SECONDS = 20.0  # some proxies close a connection that is silent for longer than 25 to 100 s
HUNG_UP = (1000, 1001)  # close codes: the caller is done, or leaves the page


class WebSocketChannel:
    """See `signaling.channel.Channel`."""

    def __init__(self, ws: web.WebSocketResponse | ClientWebSocketResponse) -> None:
        self._ws = ws

    async def receive(self) -> str | bytes:
        message = await self._ws.receive()
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        if message.type is WSMsgType.BINARY:
            return bytes(message.data)
        code = self._ws.close_code or 0
        raise ChannelClosed(code in HUNG_UP, code, str(message.extra or ""))

    async def send(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._ws.send_str(message)
            else:
                await self._ws.send_bytes(message)
            await sent(self._ws.get_extra_info("socket"))
        except (OSError, RuntimeError) as error:  # RuntimeError: already closing
            raise ChannelClosed(reason=str(error)) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._ws.close(code=code, message=reason.encode()[:120])


async def accept_websocket(
    request: web.Request,
) -> tuple[web.WebSocketResponse, WebSocketChannel]:
    """Answer the upgrade. Raises what aiohttp raises for a request that is none."""
    ws = web.WebSocketResponse(
        heartbeat=PING_SECONDS,
        max_msg_size=MAX_MESSAGE + 1,  # the size that aiohttp refuses
        compress=False,
        writer_limit=1,
        timeout=2,
    )
    await ws.prepare(request)
    if request.transport:
        limit_unsent(cast(WriteTransport, request.transport))  # uvloop's does not say that it is
    return ws, WebSocketChannel(ws)
