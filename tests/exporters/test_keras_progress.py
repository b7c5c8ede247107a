"""What Keras prints of a download, shown as progress: Keras' own code, over a local server."""

import threading
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.exporters import keras_progress as keras_downloads
from engine.exporters.keras_progress import shown_downloads
from engine.process.progress import is_progress

_SIZE = 12_000_000


class _Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(_SIZE))
        self.end_headers()
        for _ in range(12):
            self.wfile.write(bytes(_SIZE // 12))

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_download_by_keras_is_lines_of_progress(address, tmp_path, capsys, monkeypatch, quiet):
    from engine.exporters.keras import _keras

    monkeypatch.setattr(keras_downloads, "_INTERVAL", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    keras = _keras()
    with shown_downloads(quiet=quiet) as shown, redirect_stdout(shown):
        for name in ("one.h5", "two.h5"):
            got = keras.utils.get_file(name, f"{address}/{name}", cache_dir=tmp_path)
            assert Path(got).stat().st_size == _SIZE
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    if quiet:
        assert lines == []
        return
    counts = [line.split(",")[0] for line in lines if is_progress(line)]
    assert counts[-1] == "12/12 megabytes"
    assert counts.count("12/12 megabytes") == 2  # the second file has a bar of its own
    assert [line for line in lines if f"{address}/two.h5" in line]


def test_counts_in_colours_are_told_from_other_text(capsys, monkeypatch):
    monkeypatch.setattr(keras_downloads, "_INTERVAL", 0.0)
    with shown_downloads(quiet=False) as shown:
        for text in (
            "Downloading data from https://example.org/v1/2 files\n",
            "\n\x1b[1m        0/553467096\x1b[0m \x1b[37m----\x1b[0m \x1b[1m0s\x1b[0m 0s/step",
            "\n\x1b[1m 41000000/553467096\x1b[0m \x1b[32m-\x1b[0m \x1b[1m9s\x1b[0m 1us/step",
            "\b\b\b\b\r\x1b[1m 41000001/553467096\x1b[0m \x1b[32m-\x1b[0m 9s 1us/step",
            "\n41000000/Unknown 3s",
        ):
            assert shown.write(text) == len(text)
            shown.flush()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Downloading data from https://example.org/v1/2 files"
    assert [line for line in lines if is_progress(line)] == [lines[1]]
    assert lines[1].startswith("41/553 megabytes, ")
    assert len(lines) == 4
