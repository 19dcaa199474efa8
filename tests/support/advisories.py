"""A service of advisories on loopback that knows what a test tells it; it speaks the API of OSV."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Advisories:
    """Knows a hole of every version of some packages, by its id; `asked` has names and versions."""

    def __init__(self, holes: Mapping[str, str]) -> None:
        self._holes = holes
        self.asked: set[tuple[str, str]] = set()
        self.url = ""

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        """What OSV answers: an empty object where nothing is known."""
        name = query["package"]["name"]
        assert query["package"]["ecosystem"] == "PyPI"
        self.asked.add((name, query["version"]))
        if name not in self._holes:
            return {}
        events = [{"introduced": "0"}]
        affected = {
            "package": {"ecosystem": "PyPI", "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        return {"vulns": [{"id": self._holes[name], "summary": "known to a test alone", "affected": [affected]}]}


@contextmanager
def advisories(holes: Mapping[str, str]) -> Iterator[Advisories]:
    """Such a service at a free port; gone afterwards."""
    known = Advisories(holes)

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(known.answer(query)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what it was asked is in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    known.url = f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
