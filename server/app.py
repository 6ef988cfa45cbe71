"""The HTTP application: signaling, calls over a WebSocket, health and the page."""

import asyncio
import json
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from aiohttp import web

from inference.host_link import HostLink, HostProcess
from inference.hosted import HostedEngine
from inference.local import local_engine
from inference.protocol import ServedEngine
from server.admission import CallRefused
from server.calls import CallExists, Calls, UnknownCall, nowhere_else
from server.config import Config, engine_settings
from server.crew.neighbours import ELSEWHERE, Neighbours, id_prefix, is_forwarded
from server.crew.overview import whole_exposition, whole_status
from server.metrics import process_figures
from server.ports import AnswerStream, Ports, open_ports
from server.prometheus import CONTENT_TYPE, exposition
from server.requests import BadRequest, Handler, read_field, read_object
from server.session import ResumeRefused
from signaling.messages import MessageError, Resume, decode_resume, decode_say
from signaling.public_address import environment
from signaling.turn import with_credentials
from signaling.webrtc import OfferError
from signaling.websocket import accept_websocket

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent.parent / "static"
IDLE_SECONDS = 30.0  # a connection whose next request is not complete by then is closed
MAX_BODY = 256 * 1024  # bytes; an offer of a browser with a dozen interfaces has 8 KB

CALLS = web.AppKey("calls", Calls)
ENGINE = web.AppKey("engine", ServedEngine)
CONFIG = web.AppKey("config", Config)
PORTS = web.AppKey("ports", Ports)
NEIGHBOURS = web.AppKey("neighbours", Neighbours)


def make_app(
    config: Config,
    environ: Mapping[str, str],
    host: HostLink | None = None,
    neighbours: Neighbours | None = None,
    listeners: Sequence[socket.socket] | None = None,
) -> web.Application:
    """The application; its engine host and its other ports start and stop with it.

    `environ` may tell a public address. For one of several workers: the engine host that they
    share, the others, and the TCP port's sockets, which all of them listen on.
    """
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_report_errors])
    app[CONFIG] = config
    if neighbours:
        app[NEIGHBOURS] = neighbours
        app.middlewares.append(neighbours.middleware)

    async def run(app: web.Application) -> AsyncIterator[None]:
        engine: ServedEngine = local_engine(config.engine) or HostedEngine(
            host or HostProcess(engine_settings(config))
        )
        if neighbours:
            calls = Calls(config, engine, neighbours.board.tally, id_prefix(neighbours.number))
            answer: AnswerStream = partial(neighbours.answer_program, calls)
        else:
            calls = Calls(config, engine)
            answer = calls.answer_stream
        async with open_ports(config, environ, answer, listeners) as ports:
            engine.start()
            calls.mux = ports.mux
            app[ENGINE], app[CALLS], app[PORTS] = engine, calls, ports
            yield
            await engine.stop()

    async def end_calls(app: web.Application) -> None:
        await app[CALLS].close()  # before the requests that carry WebSockets are waited for

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(end_calls)
    app.on_response_prepare.append(_revalidate)
    app.add_routes(
        [
            web.get("/", _page),
            web.static("/static", STATIC),
            web.get("/health", _health),
            web.get("/ready", _ready),
            web.get("/ping", _ping),
            web.get("/status", _status),
            web.get("/metrics", _metrics),
            web.get("/api/config", _client_config),
            web.post("/api/offer", _offer),
            web.patch("/api/offer", _trickle),
            web.delete("/api/offer/{pc_id}", _hang_up),
            web.post("/api/sessions/{session_id}/say", _say),
            web.get("/ws/call", _websocket),
        ]
    )
    return app


def _error(status: int, code: str, message: str, **headers: str) -> web.Response:
    body = {"error": {"code": code, "message": message}}
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def _report_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is JSON that says what is wrong: {"error": {"code", "message"}}."""
    try:
        return await handler(request)
    except (BadRequest, OfferError, MessageError) as error:
        return _error(400, "bad_request", str(error))
    except ResumeRefused as error:
        return _error(403, "resume_refused", str(error))
    except UnknownCall as error:
        return _error(404, "unknown_call", f"there is no call {error.args[0]!r}")
    except CallExists as error:
        message = f"call {error.args[0]!r} is up: set restart_pc to replace it"
        return _error(409, "call_exists", message)
    except CallRefused as error:
        return _error(503, "refused", str(error), **{"Retry-After": str(error.retry_after)})
    except web.HTTPRequestEntityTooLarge:
        return _error(413, "too_large", f"a request has at most {MAX_BODY} bytes")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error(error.status, "http", error.reason)
    except Exception:
        logger.exception("%s %s", request.method, request.path)
        return _error(500, "internal", "the server failed at this; its log says more")


async def _revalidate(request: web.Request, response: web.StreamResponse) -> None:
    """A page and modules of different versions would not fit each other: ask before using old."""
    response.headers.setdefault("Cache-Control", "no-cache")


async def _page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    if not request.app[ENGINE].ready:
        return _error(503, "not_ready", "the engine is starting")
    return web.json_response({"status": "ready"})


async def _ping(request: web.Request) -> web.Response:
    """What RunPod's load balancer asks: 200 to be given calls, 204 while starting."""
    return web.Response(status=200 if request.app[ENGINE].ready else 204)


async def _status(request: web.Request) -> web.Response:
    own = _own_status(request.app)
    neighbours = request.app.get(NEIGHBOURS)
    if neighbours is None or is_forwarded(request):
        return web.json_response(own)
    told = {n: json.loads(text) for n, text in (await neighbours.ask("/status")).items()}
    return web.json_response(whole_status(own, {neighbours.number: own, **told}))


def _own_status(app: web.Application) -> dict[str, object]:
    engine, calls = app[ENGINE], app[CALLS]
    return {
        "engine": {
            "name": app[CONFIG].engine.name,
            "ready": engine.ready,
            "pid": engine.pid,
            "starts": engine.generation,
        },
        "calls": calls.status(),
        "max_sessions": app[CONFIG].server.max_sessions,
        "load": calls.load.snapshot(),
        "since_start": calls.metrics.snapshot(),
        "process": process_figures(),
    }


async def _metrics(request: web.Request) -> web.Response:
    app = request.app
    body = exposition(app[CALLS], app[ENGINE], app[CONFIG].server.max_sessions)
    neighbours = app.get(NEIGHBOURS)
    if neighbours and not is_forwarded(request):
        told = await neighbours.ask("/metrics")
        body = whole_exposition({neighbours.number: body.decode(), **told})
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def _client_config(request: web.Request) -> web.Response:
    settings = request.app[CONFIG].webrtc
    servers = [
        {key: value for key, value in asdict(server).items() if value is not None}
        for server in with_credentials(settings.ice_servers, time.time())
    ]
    policy = settings.ice_transport_policy
    tcp_port = request.app[PORTS].tcp
    return web.json_response(
        {"ice_servers": servers, "ice_transport_policy": policy, "tcp_port": tcp_port}
    )


async def _offer(request: web.Request) -> web.Response:
    body = await read_object(request)
    if body.get("type") != "offer":
        raise BadRequest('"type" must be "offer"')
    pc_id = read_field(body, "pc_id", str, optional=True)
    restart = read_field(body, "restart_pc", bool, optional=True) or False
    resume: Resume | None = decode_resume(body.get("resume"))
    answer = await request.app[CALLS].offer(read_field(body, "sdp", str), pc_id, restart, resume)
    return web.json_response(
        {
            "sdp": answer.sdp,
            "type": "answer",
            "pc_id": answer.pc_id,
            "session_id": answer.session_id,
        }
    )


async def _websocket(request: web.Request) -> web.StreamResponse:
    ws, channel = await accept_websocket(request)
    elsewhere = request.get(ELSEWHERE, nowhere_else)
    await request.app[CALLS].answer_stream(channel, "websocket", elsewhere=elsewhere)
    return ws


async def _trickle(request: web.Request) -> web.Response:
    body = await read_object(request)
    pc_id = read_field(body, "pc_id", str)
    for candidate in read_field(body, "candidates", list):
        if not isinstance(candidate, dict):
            raise BadRequest('each of "candidates" must be an object')
        await request.app[CALLS].add_candidate(
            pc_id,
            read_field(candidate, "candidate", str),
            read_field(candidate, "sdp_mid", str, optional=True),
            read_field(candidate, "sdp_mline_index", int, optional=True),
        )
    return web.json_response({"status": "success"})


async def _hang_up(request: web.Request) -> web.Response:
    await request.app[CALLS].hang_up(request.match_info["pc_id"])
    return web.json_response({"status": "success"})


async def _say(request: web.Request) -> web.Response:
    say = decode_say(await read_object(request))
    session_id = request.match_info["session_id"]
    request.app[CALLS].say(session_id, say.text, say.allow_interruptions)
    return web.json_response({"status": "success"})


@dataclass(frozen=True, slots=True)
class Listening:
    """What the server offers, once it listens; as text it is the banner."""

    event: str
    url: str
    engine: str
    transports: tuple[str, ...]
    tcp_port: int | None
    udp_port: int | None
    workers: int = 1

    def __str__(self) -> str:
        return "\n".join(
            (
                "",
                f"  వాణి  Vaani is listening at {self.url}",
                "",
                f"    page        {self.url}/",
                f"    offer       {self.url}/api/offer",
                f"    websocket   {self.url.replace('http', 'ws', 1)}/ws/call",
                f"    status      {self.url}/status   /health   /ready",
                f"    engine      {self.engine}",
                *([f"    workers     {self.workers}"] if self.workers > 1 else []),
                f"    transports  {', '.join(self.transports)}",
                "",
            )
        )


async def serve(config: Config, announce: Callable[[Listening], None]) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError if the address cannot be had."""
    stop = interrupted()  # before anyone is told that there is something to end
    app = make_app(config, environment())
    with bind(config.server.host, config.server.port) as listener:
        async with running(app) as runner:
            await web.SockSite(runner, listener).start()
            ports = app[PORTS]
            announce(
                Listening(
                    event="listening",
                    url=url(listener),
                    engine=config.engine.name,
                    transports=transports(ports),
                    tcp_port=ports.tcp,
                    udp_port=ports.udp,
                )
            )
            await stop.wait()


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[web.AppRunner]:
    """The application at work, for sites to be opened; at the end its calls are."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=IDLE_SECONDS)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


def transports(ports: Ports) -> tuple[str, ...]:
    """What a caller may choose from, in words."""
    udp = f"WebRTC over UDP port {ports.udp}" if ports.udp else "WebRTC over UDP"
    media = f"WebRTC over TCP port {ports.tcp}" if ports.media_over_tcp else None
    programs = f"TCP port {ports.tcp}" if ports.tcp else None
    return tuple(filter(None, (udp, media, "WebSocket", programs)))


def bind(host: str, port: int) -> socket.socket:
    """Bound before anything is started, so that a taken port is known at once."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=128)
    except OSError as error:
        raise OSError(error.errno, f"{host} port {port}: {error.strerror}") from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def url(listener: socket.socket) -> str:
    """By which the page is opened."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def interrupted() -> asyncio.Event:
    """Set by SIGINT and SIGTERM, from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
