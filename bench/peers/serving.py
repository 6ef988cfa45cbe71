"""Serves an ASGI app on a free port of loopback, and says where its offers go."""

import json
import socket

import aioice.ice
import uvicorn


def serve(app: object, path: str) -> None:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
    print(json.dumps({"url": url}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
