"""engine.sources.load: what is in memory at a time, in bytes; what is logged and not read."""

import io
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from level_samples import Level
from PIL import Image

from engine.images.decode import Decoded
from engine.images.framing import Framing
from engine.sources import load
from engine.sources.base import Listing, Sample, Source
from engine.sources.load import Loader, none_cached
from engine.sources.open import open_source

MEMBER = 1000


class Members(Source):
    """Members of MEMBER bytes each."""

    sequential = True

    def __init__(self, count, heap):
        self.heap = heap
        super().__init__(Path(), Listing([Sample(f"{n}.jpg", None) for n in range(count)]))

    def read(self, sample):
        self.heap.add(MEMBER)
        return sample.path.encode().ljust(MEMBER)

    def close(self):
        pass


@pytest.fixture
def heap(monkeypatch):
    heap = Level()

    def decode(data, size, _):
        heap.add(-len(data))
        return Decoded(np.zeros((*size, 3), np.uint8), "", size)

    monkeypatch.setattr(load, "decode_with_remark", decode)
    return heap


def test_what_is_read_ahead_has_a_budget_in_bytes(heap, monkeypatch):
    monkeypatch.setattr(load, "READ_AHEAD_BYTES", 5 * MEMBER)
    source = Members(200, heap)
    with ThreadPoolExecutor(1) as pool:
        gate = threading.Event()
        pool.submit(gate.wait)
        threading.Timer(0.2, gate.set).start()
        loader = Loader(source, none_cached, (4, 4), Framing())
        loaded = list(loader.load(source.samples, pool, 128, threading.Event()))
    assert [item.sample for item in loaded] == source.samples
    assert heap.most <= 5 * MEMBER


def test_one_member_larger_than_the_budget_is_read_all_the_same(heap, monkeypatch):
    monkeypatch.setattr(load, "READ_AHEAD_BYTES", MEMBER // 2)
    source = Members(9, heap)
    with ThreadPoolExecutor(2) as pool:
        loader = Loader(source, none_cached, (4, 4), Framing())
        assert len(list(loader.load(source.samples, pool, 128, threading.Event()))) == 9
    assert heap.most == MEMBER


def test_large_pixels_are_fewer_ahead(heap, monkeypatch):
    monkeypatch.setattr(load, "PIXEL_BYTES", 3 * 3 * 100 * 100)
    source = Members(50, heap)
    begun = []
    read = source.read
    monkeypatch.setattr(source, "read", lambda sample: begun.append(sample) or read(sample))
    with ThreadPoolExecutor(2) as pool:
        loader = Loader(source, none_cached, (100, 100), Framing())
        for place, _ in enumerate(loader.load(source.samples, pool, 128, threading.Event())):
            assert len(begun) <= place + 3


def test_a_remark_is_logged_once(tmp_path, caplog):
    for number in range(5):
        image = Image.fromarray(np.full((9, 9), 4095 if number % 2 else 65535, np.uint16))
        image.save(tmp_path / f"{number}.png")
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, "PNG")  # black, and of 8 bits
    (tmp_path / "black.png").write_bytes(file.getvalue())
    with open_source(tmp_path) as source, ThreadPoolExecutor(2) as pool:
        loader = Loader(source, none_cached, (4, 4), Framing())
        with caplog.at_level(logging.WARNING):
            loaded = list(loader.load(source.samples, pool, 3, threading.Event()))
    assert sum(bool(sample.remark) for sample in loaded) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "1.png is nearly black: it has 16 bits, but no value above 4095; such images want scaling"
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\r\n<!DOCTYPE HTML><title>Sign in</title>", "a page of the web"),
        (b"%PDF-1.7\n", "a PDF; extract its pictures"),
        (b"", "empty"),
        (b"nonsense", "known format"),
    ],
)
def test_what_is_no_image_is_named_with_what_to_do(tmp_path, data, words):
    (tmp_path / "1.jpg").write_bytes(data)
    with open_source(tmp_path) as source, ThreadPoolExecutor(2) as pool:
        loader = Loader(source, none_cached, (4, 4), Framing())
        (loaded,) = loader.load(source.samples, pool, 3, threading.Event())
    assert words in loaded.reason


def test_a_dicom_file_is_called_by_its_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.dcm").write_bytes(bytes(128) + b"DICM" + bytes(200))
    with open_source(tmp_path) as source, ThreadPoolExecutor(1) as pool:
        loader = Loader(source, none_cached, (8, 8), Framing())
        (loaded,) = loader.load(source.samples, pool, 4, threading.Event())
    assert loaded.reason == "a DICOM file; save its picture as PNG or TIFF"
