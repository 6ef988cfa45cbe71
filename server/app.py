"""The HTTP application: signaling, health and the page."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from inference.hosted import HostedEngine
from server.calls import CallExists, CallRefused, Calls, UnknownCall
from server.config import Config
from server.metrics import process_figures
from signaling.webrtc import OfferError

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent.parent / "static"
MAX_BODY = 256 * 1024  # bytes; an offer of a browser with a dozen interfaces has 8 KB

CALLS = web.AppKey("calls", Calls)
ENGINE = web.AppKey("engine", HostedEngine)
CONFIG = web.AppKey("config", Config)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(Exception):
    """The request's body is not what this endpoint takes; the text says why."""


def make_app(config: Config) -> web.Application:
    """The application; its engine host starts and stops with it."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_report_errors])
    app[CONFIG] = config
    app.cleanup_ctx.append(_run_engine)
    app.add_routes(
        [
            web.get("/", _page),
            web.static("/static", STATIC),
            web.get("/health", _health),
            web.get("/ready", _ready),
            web.get("/status", _status),
            web.get("/api/config", _client_config),
            web.post("/api/offer", _offer),
            web.patch("/api/offer", _trickle),
            web.delete("/api/offer/{pc_id}", _hang_up),
        ]
    )
    return app


async def _run_engine(app: web.Application) -> Any:
    engine = HostedEngine(app[CONFIG].engine)
    engine.start()
    app[ENGINE] = engine
    app[CALLS] = Calls(app[CONFIG], engine)
    yield
    await app[CALLS].close()
    await engine.stop()


def _error(status: int, code: str, message: str, **headers: str) -> web.Response:
    body = {"error": {"code": code, "message": message}}
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def _report_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is JSON that says what is wrong: {"error": {"code", "message"}}."""
    try:
        return await handler(request)
    except (BadRequest, OfferError) as error:
        return _error(400, "bad_request", str(error))
    except UnknownCall as error:
        return _error(404, "unknown_call", f"there is no call {error.args[0]!r}")
    except CallExists as error:
        message = f"call {error.args[0]!r} is up: set restart_pc to replace it"
        return _error(409, "call_exists", message)
    except CallRefused as error:
        return _error(503, "refused", str(error), **{"Retry-After": "5"})
    except web.HTTPRequestEntityTooLarge:
        return _error(413, "too_large", f"a request has at most {MAX_BODY} bytes")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error(error.status, "http", error.reason)
    except Exception:
        logger.exception("%s %s", request.method, request.path)
        return _error(500, "internal", "the server failed at this; its log says more")


async def _page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    if not request.app[ENGINE].ready:
        return _error(503, "not_ready", "the engine is starting")
    return web.json_response({"status": "ready"})


async def _status(request: web.Request) -> web.Response:
    engine, calls = request.app[ENGINE], request.app[CALLS]
    return web.json_response(
        {
            "engine": {
                "name": request.app[CONFIG].engine.name,
                "ready": engine.ready,
                "pid": engine.pid,
                "starts": engine.generation,
            },
            "calls": calls.status(),
            "max_sessions": request.app[CONFIG].server.max_sessions,
            "since_start": calls.metrics.snapshot(),
            "process": process_figures(),
        }
    )


async def _client_config(request: web.Request) -> web.Response:
    servers = [
        {key: value for key, value in asdict(server).items() if value is not None}
        for server in request.app[CONFIG].webrtc.ice_servers
    ]
    return web.json_response({"ice_servers": servers})


async def _offer(request: web.Request) -> web.Response:
    body = await _object(request)
    if body.get("type") != "offer":
        raise BadRequest('"type" must be "offer"')
    pc_id = _field(body, "pc_id", str, optional=True)
    restart = _field(body, "restart_pc", bool, optional=True) or False
    pc_id, answer = await request.app[CALLS].offer(_field(body, "sdp", str), pc_id, restart)
    return web.json_response({"sdp": answer, "type": "answer", "pc_id": pc_id})


async def _trickle(request: web.Request) -> web.Response:
    body = await _object(request)
    pc_id = _field(body, "pc_id", str)
    for candidate in _field(body, "candidates", list):
        if not isinstance(candidate, dict):
            raise BadRequest('each of "candidates" must be an object')
        await request.app[CALLS].add_candidate(
            pc_id,
            _field(candidate, "candidate", str),
            _field(candidate, "sdp_mid", str, optional=True),
            _field(candidate, "sdp_mline_index", int, optional=True),
        )
    return web.json_response({"status": "success"})


async def _hang_up(request: web.Request) -> web.Response:
    await request.app[CALLS].hang_up(request.match_info["pc_id"])
    return web.json_response({"status": "success"})


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, LookupError, RecursionError) as error:  # LookupError: no such charset
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _field(body: dict[str, Any], key: str, kind: type, optional: bool = False) -> Any:
    value = body.get(key)
    if type(value) is kind or (optional and value is None):  # True is an int, but not in JSON
        return value
    names = {str: "a string", bool: "true or false", int: "an integer", list: "a list"}
    raise BadRequest(f'"{key}" must be {names[kind]}')


@dataclass(frozen=True, slots=True)
class Listening:
    """What the server offers, once it listens; as text it is the banner."""

    event: str
    url: str
    engine: str
    transports: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            (
                "",
                f"  వాణి  Vaani is listening at {self.url}",
                "",
                f"    page        {self.url}/",
                f"    offer       {self.url}/api/offer",
                f"    status      {self.url}/status   /health   /ready",
                f"    engine      {self.engine}",
                f"    transports  {', '.join(self.transports)}",
                "",
            )
        )


async def serve(config: Config, announce: Callable[[Listening], None]) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError if the address cannot be had."""
    interrupted = _interrupted()  # before anyone is told that there is something to end
    runner = web.AppRunner(make_app(config), access_log=None)
    with _bind(config.server.host, config.server.port) as listener:
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            announce(
                Listening(
                    event="listening",
                    url=_url(*listener.getsockname()[:2]),
                    engine=config.engine.name,
                    transports=("WebRTC over UDP",),
                )
            )
            await interrupted.wait()
        finally:
            await runner.cleanup()


def _bind(host: str, port: int) -> socket.socket:
    """Bound before anything is started, so that a taken port is known at once."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=128)
    except OSError as error:
        raise OSError(error.errno, f"{host} port {port}: {error.strerror}") from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _interrupted() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
