"""A proxy before an S3 server that counts requests and can refuse them."""

import threading
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Unreliable(ThreadingHTTPServer):
    """Proxy on 127.0.0.1 before a server there; it runs while its context does.

    It forwards requests as they are, so that their signatures, which include the host, hold.
    """

    request_queue_size = 128
    refusing = False  # True: requests are answered 503, SlowDown
    requests = 0  # also refused ones

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", 0), Forwarder)
        self.port = port  # of the server
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "Unreliable":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Forwarder(BaseHTTPRequestHandler):
    server: Unreliable
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.requests += 1
        if self.server.refusing:
            self.answer(503, [("Content-Type", "application/xml")], SLOW_DOWN, len(SLOW_DOWN))
            return
        connection = HTTPConnection("127.0.0.1", self.server.port)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
            length = response.headers.get("Content-Length", len(content))  # HEAD: that of the object
            self.answer(response.status, response.getheaders(), content, length)
        finally:
            connection.close()

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes, length: object) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        with suppress(ConnectionError):  # the client may have left
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815
