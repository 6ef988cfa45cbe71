"""Echo by aiohttp and aiortc alone, as their examples have it: a track goes straight back."""

import asyncio
import json

import aioice.ice
from aiohttp import web
from aiortc import RTCPeerConnection, RTCSessionDescription

CALLS = web.AppKey("calls", set)


async def offer(request: web.Request) -> web.Response:
    params = await request.json()
    pc = RTCPeerConnection()
    request.app[CALLS].add(pc)
    pc.on("track", pc.addTrack)

    @pc.on("connectionstatechange")
    async def follow_state() -> None:
        if pc.connectionState in ("failed", "closed"):
            await pc.close()
            request.app[CALLS].discard(pc)

    await pc.setRemoteDescription(RTCSessionDescription(params["sdp"], params["type"]))
    await pc.setLocalDescription(await pc.createAnswer())
    local = pc.localDescription
    return web.json_response({"sdp": local.sdp, "type": local.type})


async def main() -> None:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    app = web.Application()
    app[CALLS] = set()
    app.router.add_post("/offer", offer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}/offer"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
