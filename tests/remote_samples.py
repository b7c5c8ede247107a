"""Sources on other file systems, for tests: a web server of a folder, and files in memory."""

import re
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and parts of its files; fails as often as it is told to.

    server.faults: how many further requests end with 503. server.requests: what was asked for.
    server.parts: whether Range is understood.
    """

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if server.faults:
            server.faults -= 1
            self.send_error(503)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        path = self.translate_path(self.path)
        if not (asked and server.parts) or path.endswith("/"):
            super().do_GET()
            return
        try:
            data = Path(path).read_bytes()
        except OSError:
            self.send_error(404)
            return
        first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
        if first > last:
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def log_message(self, *_):
        pass


@contextmanager
def web_server(folder, *, parts=True):
    """Serve a folder; give the server, whose `url` is that of the folder, while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.faults, server.requests, server.parts = 0, [], parts
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def put(address, files):
    """Write files below an address by fsspec."""
    from fsspec.core import url_to_fs

    system, top = url_to_fs(address)
    for name, data in files.items():
        system.pipe_file(f"{top}/{name}", data)


def copied(folder, address):
    """Write a folder's files below an address by fsspec; return the address."""
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*"))
             if p.is_file()}  # fmt: skip
    put(address, files)
    return address
