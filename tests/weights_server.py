"""A local HTTP server for weights that can simulate faults."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Server whose attributes set the files it serves and the faults it simulates."""

    files: dict[str, bytes]  # by path
    drop_after: int | None = None  # bytes after which every response breaks off
    ranges = True  # support for Range requests
    status = 200
    redirect_to: str | None = None  # redirect target of every request

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.ranges_requested: list[str | None] = []  # Range header of each request

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        requested = self.headers.get("Range")
        self.server.ranges_requested.append(requested)
        if self.server.redirect_to:
            self.send_response(302)
            self.send_header("Location", self.server.redirect_to)
            self.end_headers()
            return
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        resumes = requested and self.server.ranges
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if resumes else 0
        body = self.server.files[self.path][start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.drop_after])

    def log_message(self, *_):
        pass


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    """Serve `files` (content by path) on 127.0.0.1 until the context ends."""
    server = Server(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
