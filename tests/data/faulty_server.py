"""An HTTP server on 127.0.0.1 with configurable faults and a log of the requested paths."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """Faults of one response.

    `breaks_at`: bytes of the body after which the connection is closed.
    """

    status: int | None = None
    breaks_at: int | None = None
    announces: int | None = None
    redirect: str | None = None
    stalls_s: float = 0.0
    silent_about_length: bool = False


@dataclass
class Served:
    """A file, the faults of its next responses, and the fault of all later ones."""

    content: bytes
    faults: list[Fault] = field(default_factory=list)
    always: Fault = field(default_factory=Fault)
    pause_s: float = 0.0


class FaultyServer(ThreadingHTTPServer):
    """Serves `files` by path and logs the requested paths."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.log: list[str] = []

    def url(self, path: str) -> str:
        """The URL of a path."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def serve(self, path: str, content: bytes, *faults: Fault, **more: object) -> str:
        """Serve a file with faults. Returns: its URL."""
        self.files[path] = Served(content, faults=list(faults), **more)  # type: ignore[arg-type]
        return self.url(path)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def do_GET(self) -> None:
        self.server.log.append(self.path)
        self.close_connection = True
        served = self.server.files.get(self.path)
        if served is None:
            return self._head(404, {"Content-Length": "0"})
        fault = served.faults.pop(0) if served.faults else served.always
        time.sleep(fault.stalls_s if fault.breaks_at is None else 0)
        if fault.redirect is not None:
            return self._head(302, {"Location": fault.redirect, "Content-Length": "0"})
        if fault.status is not None:
            return self._head(fault.status, {"Content-Length": "0"})
        self._body(served, fault)

    do_POST = do_GET

    def _body(self, served: Served, fault: Fault) -> None:
        body = served.content
        announced = len(body) if fault.announces is None else fault.announces
        self._head(200, {} if fault.silent_about_length else {"Content-Length": str(announced)})
        self._send(body if fault.breaks_at is None else body[: fault.breaks_at], served.pause_s)
        if fault.breaks_at is not None and fault.stalls_s:
            time.sleep(fault.stalls_s)

    def _send(self, body: bytes, pause_s: float) -> None:
        step = 64 * 1024
        for begin in range(0, len(body), step):
            self.wfile.write(body[begin : begin + step])
            time.sleep(pause_s)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Do not write to standard error."""


@contextmanager
def running() -> Iterator[FaultyServer]:
    """A server in a thread."""
    server = FaultyServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """An unused port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
