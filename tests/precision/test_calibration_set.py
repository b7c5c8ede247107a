"""Which images int8 is calibrated on, and which it is compared on."""

import shutil
from hashlib import sha256

import numpy as np
import pytest
from conftest import write_pictures

import engine.precision.calibration_set
from engine.images.decode import DECODE_RULE, decode
from engine.images.framing import Framing
from engine.precision.calibration_set import Images, calibration_set
from engine.precision.handover import CalibrationPixels
from engine.sources.load import Loader
from engine.sources.open import open_source
from engine.sources.order import interleave

SIZE = (32, 32)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    for name, value in (("CALIBRATION", {"int8": 8}), ("HELD_OUT", 12), ("_SPARE", 4)):
        monkeypatch.setattr(engine.precision.calibration_set, name, value)


def pixels_of(path, seed=0, threads=2, size=SIZE):
    with open_source(path) as source:
        images = Images(source, source.samples, Framing(), DECODE_RULE, seed, threads)
        found = calibration_set(images, size)
        return found and CalibrationPixels(found.calibration, *found.first(None))


def as_bytes(found):
    return found.calibration.tobytes(), found.held_out.tobytes(), found.labels.tolist()


def test_they_are_the_first_of_the_order_that_is_extracted(tmp_path):
    pictures = write_pictures(tmp_path / "p", 20)
    found = pixels_of(pictures)
    assert found.calibration.shape == (8, *SIZE, 3)
    assert found.held_out.shape == (12, *SIZE, 3)
    with open_source(pictures) as source:
        order = interleave(source.samples, 0)
        pixels = [decode(source.read(sample), SIZE, "bilinear") for sample in order[:20]]
    np.testing.assert_array_equal(found.calibration, pixels[:8])
    np.testing.assert_array_equal(found.held_out, pixels[8:])
    codes = {"spots": 0, "stripes": 1}
    assert found.labels.tolist() == [codes[sample.label] for sample in order[8:20]]
    assert sorted(found.labels.tolist()) == [0] * 6 + [1] * 6


def test_the_order_of_the_samples_does_not_matter(tmp_path):
    with open_source(write_pictures(tmp_path / "p", 20)) as source:
        one, other = (
            calibration_set(Images(source, samples, Framing(), DECODE_RULE, 0, 2), SIZE)
            for samples in (source.samples, interleave(source.samples, 3))
        )
        assert one.calibration.tobytes() == other.calibration.tobytes()
        np.testing.assert_array_equal(one.first(None)[0], other.first(None)[0])


def test_seed_and_nothing_else_chooses_them(tmp_path):
    pictures = write_pictures(tmp_path / "p", 20)
    first = as_bytes(pixels_of(pictures))
    assert as_bytes(pixels_of(pictures, threads=5)) == first
    assert as_bytes(pixels_of(pictures, seed=1)) != first


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_archives_give_what_their_folder_gives(tmp_path, kind):
    pictures = write_pictures(tmp_path / "p", 20)
    archive = shutil.make_archive(str(tmp_path / "archive"), kind, pictures)
    assert as_bytes(pixels_of(archive)) == as_bytes(pixels_of(pictures))


def test_damaged_ones_and_copies_are_passed_over(tmp_path):
    pictures = write_pictures(tmp_path / "p", 12)
    for number in range(2):
        (pictures / "spots" / f"empty{number}.jpg").touch()
        shutil.copy(pictures / "stripes" / "0.jpg", pictures / "stripes" / f"copy{number}.jpg")
    found = pixels_of(pictures)
    every = [*found.calibration, *found.held_out]
    assert len({one.tobytes() for one in every}) == len(every) == 20


@pytest.mark.parametrize(("count", "calibrated"), [(15, None), (16, 8), (19, 8)])
def test_few_images_are_halved_and_too_few_are_none(tmp_path, count, calibrated):
    pictures = write_pictures(tmp_path / "p", 10)
    for file in sorted(pictures.rglob("*.jpg"))[count:]:
        file.unlink()
    found = pixels_of(pictures)
    assert (found and len(found.calibration)) == calibrated
    if found:
        assert len(found.held_out) == len(found.labels) == count - calibrated


def test_images_without_labels_have_none(tmp_path):
    pictures = write_pictures(tmp_path / "p", 20)
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(pictures.rglob("*.jpg"))):
        shutil.copy(file, flat / f"{number}.jpg")
    assert set(pixels_of(flat).labels.tolist()) == {-1}


def test_they_have_the_size_that_the_network_takes(tmp_path):
    found = pixels_of(write_pictures(tmp_path / "p", 10), size=(24, 40))
    assert found.calibration.shape == (8, 24, 40, 3)


def test_images_held_out_are_decoded_as_they_are_asked_for(tmp_path, monkeypatch):
    """And those of a stage are the first of the next one, with their digests."""
    decoded = []
    load = Loader.load

    def counted(self, samples, *rest):
        decoded.extend(samples)
        return load(self, samples, *rest)

    monkeypatch.setattr(Loader, "load", counted)
    with open_source(write_pictures(tmp_path / "p", 20)) as source:
        images = Images(source, source.samples, Framing(), DECODE_RULE, 0, 2)
        found = calibration_set(images, SIZE)
        order = interleave(source.samples, 0)
        assert len(decoded) == 16  # as many as are calibrated on are held out without asking
        few, labels = found.first(5)
        assert (len(few), len(labels), len(decoded)) == (5, 5, 16)
        more, _ = found.first(10)
        assert len(decoded) == 18
        np.testing.assert_array_equal(more[:5], few)
        assert decoded == order[:18]
        digests = [sha256(source.read(sample)).digest() for sample in order[8:18]]
        assert found.digests(10).tobytes() == b"".join(digests)
        assert len(found.first(None)[0]) == len(found.first(100)[1]) == 12
