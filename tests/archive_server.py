"""An HTTP server on this machine that serves files well or badly, for tests of downloads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """One file, and how it is served."""

    content: bytes
    etag: str = '"one"'
    ranges: bool = True
    """Whether a part can be asked for."""
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the connection is cut, for each answer in turn; later ones are whole."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with each answer, to HEAD too."""
    moved_to: str = ""
    """Where else the file is: each answer is a redirect then."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request, and its `method`."""


@dataclass
class ArchiveServer:
    """Files by path, at `address`."""

    address: str
    files: dict[str, Served]

    def serve(self, path: str, content: bytes, **how: object) -> tuple[str, Served]:
        """Serves a file; returns its address and the record of what was asked."""
        served = Served(content, **how)  # type: ignore[arg-type]
        self.files[f"/{path}"] = served
        return self.address + path, served


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        served = self.server.files.get(self.path)
        if served is None:
            self.send_error(404)
            return
        served.asked.append({"method": self.command, **self.headers})
        if served.status != 200:
            self.send_error(served.status)
            return
        if served.moved_to:
            self.send_response(302)
            self.send_header("Location", served.moved_to)
            self._end_headers(served)
            return
        start, total = 0, len(served.content)
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range", served.etag) == served.etag
        if wanted and served.ranges and same:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= total:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        body = served.content[start:]
        self.send_header("Content-Length", str(len(body)))
        if served.etag:
            self.send_header("ETag", served.etag)
        self._end_headers(served)
        if self.command == "GET":
            self.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)

    def _end_headers(self, served: Served) -> None:
        for name, value in served.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: dict[str, Served]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files

    def handle_error(self, *_: object) -> None:
        pass  # a client that went away


@contextmanager
def archive_server() -> Iterator[ArchiveServer]:
    """A running server."""
    files: dict[str, Served] = {}
    with _Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield ArchiveServer(f"http://127.0.0.1:{server.server_address[1]}/", files)
        finally:
            server.shutdown()
            thread.join()
