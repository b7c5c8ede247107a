"""Small pictures of images, from any source, in their own proportions."""

import base64
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from engine.pages.thumbnails import SIDE, thumbnails
from engine.sources.again import origin_of
from engine.sources.base import SourceOptions

SHAPES = {"wide": (30, 120), "tall": (400, 100), "square": (20, 20), "line": (1, 900)}


@pytest.fixture
def folder(tmp_path):
    """Pictures by shape: the left half is red, the right one is blue."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, (height, width) in SHAPES.items():
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
        Image.fromarray(pixels).save(photos / f"{name}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (120, 30)).save(photos / "turned.jpg", exif=exif)
    (photos / "broken.jpg").write_bytes(b"no picture")
    return photos


def pictures(source, names):
    found = thumbnails(((str(source), name) for name in names), {})
    return {
        name: Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
        for (_, name), address in found.items()
    }


def test_pictures_keep_their_proportions(folder):
    names = [path.name for path in folder.iterdir()]
    found = pictures(folder, names)
    assert {name: picture.size for name, picture in found.items()} == {
        "wide.png": (SIDE, SIDE // 4),
        "tall.png": (SIDE // 4, SIDE),
        "square.png": (SIDE, SIDE),
        "line.png": (SIDE, 1),
        "turned.jpg": (SIDE // 4, SIDE),
    }
    pixels = np.asarray(found["wide.png"]).astype(int)
    assert pixels[12, 8, 0] > 200 > 60 > pixels[12, 8, 2]
    assert pixels[12, 88, 2] > 200 > 60 > pixels[12, 88, 0]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_packed_archive_has_pictures_too(folder, tmp_path, mode):
    archive = tmp_path / f"photos.tar{mode[1:].replace(':', '.')}"
    with tarfile.open(archive, mode) as file:
        for name in ("square.png", "broken.jpg", "wide.png", "tall.png"):
            file.add(folder / name, name)
    found = pictures(archive, ["tall.png", "square.png", "broken.jpg"])
    assert found.keys() == {"tall.png", "square.png"}
    assert found["tall.png"].size == (SIDE // 4, SIDE)


def test_a_source_that_is_gone_has_none(tmp_path):
    assert thumbnails([(str(tmp_path / "gone"), "a.jpg")], {}) == {}


def test_a_table_is_opened_by_the_columns_and_the_base_that_it_was_read_by(folder, tmp_path):
    table = tmp_path / "odd" / "odd.csv"
    table.parent.mkdir()
    table.write_text("Nummer,Foto,Tierart\n1,wide.png,breit\n2,tall.png,hoch\n", encoding="utf-8")
    options = SourceOptions(path_column="Foto", label_column="Tierart", base=str(folder))
    place = (str(table), "wide.png")
    assert thumbnails([place], {}) == {}
    assert list(thumbnails([place], {str(table): origin_of(options)})) == [place]
