"""An HTTP server on 127.0.0.1 with configurable faults and a log of the requested paths."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_CHUNK_BYTES = 64 * 1024


@dataclass
class Fault:
    """Faults of one response.

    `breaks_at`: bytes of the body after which the connection is closed.
    `announces`: the Content-Length, if it is wrong; 0 for none.
    """

    status: int | None = None
    breaks_at: int | None = None
    announces: int | None = None
    redirect: str | None = None
    stalls_s: float = 0.0


class FaultyServer(ThreadingHTTPServer):
    """Serves files by path; the first responses of a file have its faults, later ones `always`.

    Attributes:
        files: path -> (content, faults of the next responses, fault of all later ones).
        pause_s: pause after each 64 KiB.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, tuple[bytes, list[Fault], Fault]] = {}
        self.log: list[str] = []
        self.pause_s = 0.0

    def url(self, path: str) -> str:
        """The URL of a path."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def serve(self, path: str, content: bytes, *faults: Fault, always: Fault | None = None) -> str:
        """Serve a file with faults. Returns: its URL."""
        self.files[path] = content, list(faults), always or Fault()
        return self.url(path)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def do_GET(self) -> None:
        self.server.log.append(self.path)
        self.close_connection = True
        body, faults, always = self.server.files.get(self.path, (b"", [], Fault(status=404)))
        fault = faults.pop(0) if faults else always
        time.sleep(fault.stalls_s)
        if fault.redirect is not None:
            self._send_head(302, {"Location": fault.redirect, "Content-Length": "0"})
        elif fault.status is not None:
            self._send_head(fault.status, {"Content-Length": "0"})
        else:
            length = len(body) if fault.announces is None else fault.announces
            self._send_head(200, {"Content-Length": str(length)} if length else {})
            body = body if fault.breaks_at is None else body[: fault.breaks_at]
            for begin in range(0, len(body), _CHUNK_BYTES):
                self.wfile.write(body[begin : begin + _CHUNK_BYTES])
                time.sleep(self.server.pause_s)

    do_POST = do_GET

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
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
