"""From photographs to a head: MobileNetV2 with its ImageNet weights on cats and dogs."""

import json
import zipfile

import numpy as np
import pytest

from cache.store import FeatureCache
from engine import extract, fit_head

ARCHIVE = "cats-dogs-2000.zip"
WEIGHTS = "mobilenet_v2_1.00_224_imagenet_notop.weights.h5"


@pytest.fixture(scope="module")
def photographs(shared_data):
    for name in (ARCHIVE, WEIGHTS):
        if not (shared_data / name).exists():
            pytest.skip(f"{name} is not in ../shared/data")
    return shared_data


@pytest.fixture(scope="module")
def options(photographs):
    weights = str(photographs / WEIGHTS)
    return ["--backbone", "mobilenet_v2", "--weights", weights, "--precision", "fp32"]


def run_json(main, capsys, *arguments):
    code = main([*map(str, arguments), "--json", "--quiet"])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    return json.loads(captured.out)


def test_a_few_hundred_photographs_train_an_accurate_head(photographs, options, tmp_path, capsys):
    source = [photographs / ARCHIVE, "--cache", tmp_path, *options]
    result = run_json(extract.main, capsys, *source, "--limit-per-class", 150)
    assert result["samples"] == 300
    assert result["ignored"] == 2
    assert result["computed"] + len(result["rejected"]) == 300
    (space,) = FeatureCache.open(tmp_path).spaces()
    assert space.dimension == 1280
    right = tested = 0
    for seed in range(3):  # of 45 images, three happen to be wrong in one draw of twenty
        arguments = ["--cache", tmp_path, "--no-report", "--seed", seed]
        fitted = run_json(fit_head.main, capsys, *arguments)
        assert fitted["classes"] == ["Cat", "Dog"]
        assert fitted["validation"]["accuracy"] >= 0.95
        right += sum(fitted["test"]["confusion"][n][n] for n in range(2))
        tested += fitted["split"]["test"]
    assert right >= 0.95 * tested
    again = run_json(extract.main, capsys, *source, "--limit-per-class", 150)
    assert (again["computed"], again["hits"]) == (0, result["computed"])


def test_the_two_that_do_not_decode_are_rejected_with_reasons(
    photographs, options, tmp_path, capsys
):
    """A table of the two and two sound ones: the whole archive would take a minute."""
    names = [f"PetImages/{kind}/{n}.jpg" for kind in ("Cat", "Dog") for n in (1001, 1)]
    with zipfile.ZipFile(photographs / ARCHIVE) as archive:
        for name in names:
            archive.extract(name, tmp_path / "unpacked")
    arguments = [tmp_path / "unpacked", "--cache", tmp_path / "cache", *options]
    result = run_json(extract.main, capsys, *arguments)
    assert (result["samples"], result["computed"]) == (4, 2)
    reasons = {entry["path"].split("/", 1)[1]: entry["reason"] for entry in result["rejected"]}
    assert reasons["Cat/1001.jpg"] == "the file is empty"
    assert reasons["Dog/1001.jpg"].startswith("damaged JPEG")


def test_bits_do_not_depend_on_batch_and_threads(photographs, options, tmp_path, capsys):
    vectors = []
    for number, more in enumerate((("1", "1"), ("5", "2"), ("16", "3"))):
        cache = tmp_path / str(number)
        arguments = [photographs / ARCHIVE, "--cache", cache, *options, "--limit-per-class", 10]
        result = run_json(
            extract.main, capsys, *arguments, "--batch-size", more[0], "--threads", more[1]
        )
        assert result["computed"] + len(result["rejected"]) == 20
        (space,) = FeatureCache.open(cache).spaces()
        rows = sorted(space.rows(), key=lambda row: row.path)
        digests = b"".join(row.digest for row in rows if row.status == "cached")
        keys = np.frombuffer(digests, np.uint8).reshape(-1, 32)
        vectors.append(space.index().read(keys))
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
