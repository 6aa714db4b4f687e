"""The live explorer: one page and two requests, on this machine only.

It listens on the loopback address. Every address begins with a random token, without which nothing is found; requests
that name another host are refused, so that no other web page can reach it under a name of its own; uploads are limited
in bytes and pixels, and decoded by the one function that opens images. No request names a file.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ventralstream.errors import VentralError, about_memory
from ventralstream.explore.page import live_page
from ventralstream.explore.request import asked
from ventralstream.explore.studio import Cancelled, Studio

HOST = "127.0.0.1"
MOST_UPLOAD = 10_000_000  # bytes
MOST_REQUEST = 10_000  # bytes of a request that is no upload
AT_ONCE = 2  # traces that are computed at the same time
_CLIENT = re.compile(r"[0-9a-f]{8,64}")
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class _OwnHost:
    """Refuses requests that name another host than this one, or come from another page."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if host not in self.hosts or (origin and origin.removeprefix("http://") not in self.hosts):
            refusal = PlainTextResponse("This server answers on 127.0.0.1 only.", 421)
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)


def application(studio: Studio, port: int, token: str) -> Starlette:
    """The application.

    Args:
        studio: The networks and images.
        port: Where it will listen.
        token: What every address begins with.
    """
    limit = asyncio.Semaphore(AT_ONCE)

    def guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            if not secrets.compare_digest(request.path_params["token"].encode(), token.encode()):
                return PlainTextResponse("Not found.", 404)
            try:
                response = await answer(request)
            except VentralError as error:
                response = JSONResponse({"error": str(error)}, 400)
            except Cancelled:
                response = JSONResponse({"cancelled": True}, 409)
            except ClientDisconnect:  # in the middle of what it sent: nobody reads this
                response = Response(status_code=400)
            except Exception as error:
                if not about_memory(error):
                    raise
                response = JSONResponse({"error": "there is too little memory for that"}, 400)
            response.headers.update(_HEADERS)
            return response

        return respond

    async def page(request: Request) -> Response:
        options = {"models": list(studio.models), "most_upload": MOST_UPLOAD}
        return HTMLResponse(live_page(options, studio.models[0]))

    async def image(request: Request) -> Response:
        data = await _body(request, MOST_UPLOAD, "an image")
        name = unquote(request.headers.get("x-name", "")) or "image"
        return JSONResponse({"image": await run_in_threadpool(studio.upload, data, name)})

    async def trace(request: Request) -> Response:
        wanted = asked(_json(await _body(request, MOST_REQUEST, "a request")))
        client = request.headers.get("x-client", "")
        if not _CLIENT.fullmatch(client):
            raise VentralError("a request names its client, by 8 to 64 digits")
        over = studio.turns.begin(client)
        async with limit:
            data = await run_in_threadpool(studio.answer, wanted, over)
        return Response(data, media_type="application/octet-stream")

    hosts = frozenset(f"{name}:{port}" for name in (HOST, "localhost"))
    routes = [
        Route("/{token}/", guarded(page), methods=["GET"]),
        Route("/{token}/image", guarded(image), methods=["POST"]),
        Route("/{token}/trace", guarded(trace), methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_OwnHost, hosts=hosts)])


def serve(studio: Studio, port: int = 0, say: Callable[[str], None] = print) -> None:
    """Serves the page until it is interrupted.

    Args:
        studio: The networks and images.
        port: Where to listen; 0 for any that is free.
        say: Told the address, as soon as it answers there.

    Raises:
        VentralError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise VentralError(f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}") from None
    port = listening.getsockname()[1]
    token = secrets.token_urlsafe(16)
    app = application(studio, port, token)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, lifespan="off", ws="none")
    server = _Server(config, studio, lambda: say(f"http://{HOST}:{port}/{token}/"))
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # how such a server is stopped
        pass
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Says when it listens, and ends what is being computed when it stops."""

    def __init__(self, config: uvicorn.Config, studio: Studio, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.studio, self.ready = studio, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.studio.turns.end_all()
        await super().shutdown(sockets)


async def _body(request: Request, most: int, what: str) -> bytes:
    """A request's body, read no further than it may be long."""
    too_long = VentralError(f"{what} has at most {most / 1e6:g} MB")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise too_long
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_long
        parts.append(part)
    return b"".join(parts)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise VentralError("a request is a JSON object") from None
