"""What a request holds, checked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

BODY_SECONDS = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(Exception):
    """The request's body is not what this endpoint takes; the text says why."""


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object that is the body. Raises BadRequest."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.json()
    except TimeoutError:
        raise BadRequest(f"the body did not come within {BODY_SECONDS:g} s") from None
    except (ValueError, LookupError, RecursionError) as error:  # LookupError: no such charset
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def read_field(body: dict[str, Any], key: str, kind: type, optional: bool = False) -> Any:
    """A field of it. Raises BadRequest."""
    value = body.get(key)
    if type(value) is kind or (optional and value is None):  # True is an int, but not in JSON
        return value
    names = {str: "a string", bool: "true or false", int: "an integer", list: "a list"}
    raise BadRequest(f'"{key}" must be {names[kind]}')
