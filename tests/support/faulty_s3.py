"""A proxy on loopback that stands before an object store and lets requests fail by a seeded plan."""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

UPSTREAM_TIMEOUT_S = 30
PAUSE_S = 0.05
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
_NAME_OF_AN_UPLOAD = re.compile("uploadId=[^&]*")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(Enum):
    """What can happen to a request."""

    SLOW_DOWN = "503 SlowDown: the store throttles"
    INTERNAL_ERROR = "500 InternalError"
    RESET = "the connection is reset before the store hears of the request"
    CUT = "the body breaks off in the middle: that of the request, or of the answer if the request has none"
    LOST_ANSWER = "the store does what it was asked, then the connection is reset"
    PAUSE = "the answer comes late"


@dataclass(frozen=True)
class Rule:
    """A share of `rate` of the requests of these methods, for keys (`bucket/key`) like `keys`, suffers `fault`.

    Which ones follows from the seed, the request and how often it was made, in whatever order clients come. The first
    `spared` of them are spared, and `at_most` are struck.
    """

    fault: Fault
    rate: float = 1.0
    methods: Collection[str] = METHODS
    keys: str = "*"
    spared: int = 0
    at_most: int | None = None


Watch = Callable[[str, str, int], Fault | None]
"""Is told of a request before anything becomes of it: method, key, the client's port. May choose what happens to it."""


class FaultyProxy:
    """`address` is where clients go; `injected` counts the faults, `requests` all requests by method.

    `watch` sees every request first, and holds it as long as it does not return.
    """

    def __init__(self, upstream: str, rules: Collection[Rule], seed: int, pause_s: float) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.rules, self.seed, self.pause_s = list(rules), seed, pause_s
        self.watch: Watch = lambda method, key, client_port: None
        self.injected: Counter[Fault] = Counter()
        self.requests: Counter[str] = Counter()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._chosen: Counter[int] = Counter()
        self._outage: Fault | None = None
        self._lock = threading.Lock()
        self.server = _Server(self)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    @contextmanager
    def outage(self, fault: Fault = Fault.RESET) -> Iterator[None]:
        """Meanwhile every request fails."""
        self._outage = fault
        try:
            yield
        finally:
            self._outage = None

    def fault_for(self, method: str, target: str, client_port: int) -> Fault | None:
        """What happens to the next request of this kind; it is counted."""
        chosen = self.watch(method, _key(target), client_port)
        with self._lock:
            self.requests[method] += 1
            fault = chosen or self._outage or self._planned(method, target)
            if fault is not None:
                self.injected[fault] += 1
            return fault

    def _planned(self, method: str, target: str) -> Fault | None:
        key = _key(target)
        request = _NAME_OF_AN_UPLOAD.sub("", target)
        self._asked[method, request] += 1
        dice = random.Random(f"{self.seed} {method} {request} {self._asked[method, request]}")
        for number, rule in enumerate(self.rules):
            if dice.random() < rule.rate and method in rule.methods and fnmatchcase(key, rule.keys):
                self._chosen[number] += 1
                struck = self._chosen[number] - rule.spared
                if struck > 0 and (rule.at_most is None or struck <= rule.at_most):
                    return rule.fault
        return None


def _key(target: str) -> str:
    return unquote(urlsplit(target).path).lstrip("/")


def some_of_each(rate: float) -> list[Rule]:
    """Every fault, each for a share of `rate` of the requests that no other has struck."""
    return [Rule(fault, rate) for fault in Fault]


@contextmanager
def faulty(upstream: str, *rules: Rule, seed: int = 0, pause_s: float = PAUSE_S) -> Iterator[FaultyProxy]:
    """Stands before the store at the address `upstream` until the end of the block."""
    proxy = FaultyProxy(upstream, rules, seed, pause_s)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.close_connections()
        proxy.server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, proxy: FaultyProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        request.close()  # a shutdown before it would end in good order what is to be reset

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is its own business."""

    def close_connections(self) -> None:
        self.stopping.set()
        for one in list(self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        proxy = self.server.proxy
        fault = proxy.fault_for(self.command, self.path, self.client_address[1])
        if fault is Fault.RESET or (fault is Fault.CUT and self._reads_half_a_body()):
            return self._reset()
        body = self._body()
        if fault is Fault.SLOW_DOWN:
            return self._refuse(503, "SlowDown", "Please reduce your request rate.")
        if fault is Fault.INTERNAL_ERROR:
            return self._refuse(500, "InternalError", "We encountered an internal error. Please try again.")
        if fault is Fault.PAUSE:
            self.server.stopping.wait(proxy.pause_s)
        status, headers, answer = self._forwarded(body)
        if fault is Fault.LOST_ANSWER or (fault is Fault.CUT and not answer):
            return self._reset()
        self._answer(status, headers, answer[: len(answer) // 2] if fault is Fault.CUT else answer)
        self.close_connection = self.close_connection or fault is Fault.CUT

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _reads_half_a_body(self) -> bool:
        """False for a request without a body; of one in chunks, half of the first is read."""
        length = self._chunk_bytes() if self._is_chunked else int(self.headers.get("Content-Length", 0))
        self.rfile.read(length // 2)
        return length > 0

    def _body(self) -> bytes:
        if not self._is_chunked:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = bytearray()
        while length := self._chunk_bytes():
            body += self.rfile.read(length)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bytes(body)

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "")

    def _chunk_bytes(self) -> int:
        return int(self.rfile.readline().partition(b";")[0], 16)

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = HTTPConnection(self.server.proxy.upstream, timeout=UPSTREAM_TIMEOUT_S)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect", "content-length", "transfer-encoding"):
                    upstream.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            kept = [one for one in answer.getheaders() if one[0].lower() not in ("connection", "transfer-encoding")]
            content = answer.read()
            if "content-length" not in (name.lower() for name, _ in kept):
                kept.append(("Content-Length", str(len(content))))
            return answer.status, kept, content
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        content = body.encode() if self.command != "HEAD" else b""
        self._answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], content)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
