"""engine.sources.load: what is logged while samples are loaded."""

import io
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from engine.sources.load import Loader, none_cached
from engine.sources.open import open_source


def test_a_remark_is_logged_once(tmp_path, caplog):
    for number in range(5):
        image = Image.fromarray(np.full((9, 9), 4095 if number % 2 else 65535, np.uint16))
        image.save(tmp_path / f"{number}.png")
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, "PNG")  # black, and of 8 bits
    (tmp_path / "black.png").write_bytes(file.getvalue())
    with open_source(tmp_path) as source, ThreadPoolExecutor(2) as pool:
        loader = Loader(source, none_cached, (4, 4), "bilinear")
        with caplog.at_level(logging.WARNING):
            loaded = list(loader.load(source.samples, pool, 3, threading.Event()))
    assert sum(bool(sample.remark) for sample in loaded) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "1.png is nearly black: it has 16 bits, but no value above 4095; such images want scaling"
    ]
