"""What Keras prints of a download, shown as progress: Keras' own code, over a local server."""

import logging
import threading
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.exporters.keras_progress import KerasOutput

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


@pytest.mark.slow
def test_a_download_by_keras_is_progress(address, tmp_path, capsys, monkeypatch, caplog):
    from engine.exporters.keras import import_keras

    caplog.set_level(logging.INFO)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    keras = import_keras()
    told = []
    with redirect_stdout(KerasOutput(lambda *counts: told.append(counts))):
        for name in ("one.h5", "two.h5"):
            got = keras.utils.get_file(name, f"{address}/{name}", cache_dir=tmp_path)
            assert Path(got).stat().st_size == _SIZE
    assert capsys.readouterr() == ("", "")
    assert told[-1] == (12, 12)
    assert {total for _, total in told} == {12}
    assert told.index((12, 12)) < len(told) - 1  # the second file begins anew
    assert [line for line in caplog.messages if f"{address}/two.h5" in line]


def test_counts_in_colours_are_told_from_other_text(caplog):
    caplog.set_level(logging.INFO)
    told = []
    output = KerasOutput(lambda *counts: told.append(counts))
    for text in (
        "Downloading data from https://example.org/v1/2 files\n",
        "\n\x1b[1m        0/553467096\x1b[0m \x1b[37m----\x1b[0m \x1b[1m0s\x1b[0m 0s/step",
        "\n\x1b[1m 41000000/553467096\x1b[0m \x1b[32m-\x1b[0m \x1b[1m9s\x1b[0m 1us/step",
        "\b\b\b\b\r\x1b[1m 41000001/553467096\x1b[0m \x1b[32m-\x1b[0m 9s 1us/step",
        "\n41000000/Unknown 3s",
    ):
        assert output.write(text) == len(text)
        output.flush()
    assert told == [(0, 553), (41, 553), (41, 553)]
    assert caplog.messages == [
        "Downloading data from https://example.org/v1/2 files",
        "41000000/Unknown 3s",
    ]
