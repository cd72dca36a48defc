"""What stands before gradio: who may ask, how much, and which files may be named.

gradio lets a client name a file of its upload folder, or an address that the server then fetches.
Here a client names only what this server has kept for it, and asks under this machine's name: a
page elsewhere that gets a browser to speak to 127.0.0.1 under a name of its own is refused.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MOST_JSON_BYTES = 64 * 1024
_OWN_NAMES = ("127.0.0.1", "localhost")
# Scripts and styles stand in gradio's page itself; nothing may come from, or go to, elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'self'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Gate:
    """ASGI middleware: refuses strangers, long bodies and forged files.

    Args:
        app: what it stands before.
        uploads: the folder in which this server keeps what clients sent.
    """

    def __init__(self, app: App, uploads: Path) -> None:
        self.app, self.uploads = app, uploads.resolve()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass on, or answer with one sentence."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if _host(headers) not in _OWN_NAMES:
            await _refuse(send, 403, "This page answers to 127.0.0.1 alone.")
        elif scope["method"] != "POST" or _is_upload(headers):
            await self.app(scope, receive, _with_headers(send))
        else:
            await self._pass_checked(scope, receive, send)

    async def _pass_checked(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        body = await _read(receive)
        if body is None:
            await _refuse(send, 413, "A question has up to 64 KiB; photographs are uploaded.")
            return
        try:
            forged = next((path for path in _paths(json.loads(body)) if not self._owns(path)), None)
        except (ValueError, RecursionError):
            await _refuse(send, 400, "The question is no JSON.")
            return
        if forged is not None:
            await _refuse(send, 403, "The question names a file that was not uploaded here.")
            return
        await self.app(scope, _again(body, receive), _with_headers(send))

    def _owns(self, path: Any) -> bool:
        """Whether this is a file, no link, that stands in the upload folder."""
        if not isinstance(path, str) or "\0" in path:
            return False
        named = Path(path)
        inside = named.is_absolute() and named.resolve().is_relative_to(self.uploads)
        return inside and named.is_file() and not named.is_symlink()


def _host(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]


def _is_upload(headers: dict[bytes, bytes]) -> bool:
    """Files come as forms, whose size gradio limits."""
    return headers.get(b"content-type", b"").startswith(b"multipart/form-data")


def _paths(value: Any) -> Iterator[Any]:
    """Every `path` anywhere in a JSON value; an empty one is none."""
    if isinstance(value, dict):
        if value.get("path"):
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _paths(part)


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None where it is too long."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_JSON_BYTES:
            return None
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, to be read once more."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _with_headers(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *_HEADERS]}
        await send(message)

    return send_with


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
