"""A small head that was trained on small pictures with the tiny backbone, by the commands."""

from dataclasses import dataclass
from pathlib import Path

from conftest import write_pictures

from engine.extract import main as extract
from engine.fit_head import main as fit_head


@dataclass(frozen=True)
class Trained:
    """Where everything lies; pictures/CLASS/NUMBER.jpg."""

    pictures: Path
    cache: Path
    head: Path


def train(folder: Path, backbone: Path, *more: str) -> Trained:
    pictures, cache = write_pictures(folder / "pictures", 30), folder / "cache"
    options = [
        "--backbone",
        str(backbone),
        "--preprocessing",
        "caffe",
        "--precision",
        "fp32",
        *more,
    ]
    assert extract([str(pictures), "--cache", str(cache), *options, *more, "--quiet"]) == 0
    assert fit_head(["--cache", str(cache), "--no-report", "--quiet"]) == 0
    (head,) = (cache / "heads").iterdir()
    return Trained(pictures, cache, head)
