"""A small HTTP server on 127.0.0.1 for tests of cloud clients: routes, what was asked, answers that never come."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: query values by name, the raw body."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes back; drop: the work is done and the connection is cut before the answer."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def json_answer(data: Any, status: int = 200, **more: Any) -> Answer:
    """An object as JSON."""
    return Answer(json.dumps(data, default=str).encode(), status, **more)


class Vendor:
    """Base of the fake vendors: `answer` decides, `asked` remembers, `lose` cuts the next requests' answers."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""

    def answer(self, asked: Asked) -> Answer:
        """What the vendor says."""
        raise NotImplementedError


def chunks(stream: BufferedIOBase) -> bytes:
    """A body of chunks (RFC 9112, 7.1), without trailers."""
    found = b""
    while size := int(stream.readline().split(b";")[0], 16):
        found += stream.read(size)
        stream.readline()
    stream.readline()
    return found


@contextmanager
def serving(vendor: Vendor) -> Iterator[str]:
    """Serve on a free port of the loopback; yields the address without a slash at the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            chunked = self.headers.get("Transfer-Encoding") == "chunked"
            body = (
                chunks(self.rfile)
                if chunked
                else self.rfile.read(int(self.headers.get("Content-Length") or 0))
            )
            headers = {k.lower(): v for k, v in self.headers.items()}
            asked = Asked(self.command, parts.path, parse_qs(parts.query), headers, body)
            vendor.asked.append(asked)
            answer = vendor.answer(asked)
            if answer.drop:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    vendor.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield vendor.url
    finally:
        server.shutdown()
        server.server_close()
