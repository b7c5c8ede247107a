"""Exported backbones are made once, whole or not at all, and kept by what they are."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import write_tiny_backbone
from transformer_samples import transformer

from cache.failures import Failure, Interrupted, UsageFailure
from engine.backbones import store as model_store
from engine.backbones.backbone import Backbone
from engine.backbones.request import BackboneRequest, backbone_request
from engine.backbones.store import exported_model

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of its own for a test, which is not there yet."""
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "cache" / "models"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def request_tiny(tiny_backbone):
    return backbone_request(str(tiny_backbone), "imagenet", None, "tf")


def no_export(*_):
    raise AssertionError("exported again")


def test_a_model_is_exported_once(store, request_tiny, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    model = exported_model(request_tiny)
    (message,) = caplog.messages
    assert "is exported to ONNX, once, to" in message
    assert model.path.parent.parent == store
    assert Backbone(model).features(PIXELS).shape == (2, 24)
    monkeypatch.setattr(model_store, "run_in_child", no_export)
    assert exported_model(request_tiny) == model
    assert len(caplog.messages) == 1
    assert [path.name for path in store.iterdir()] == [model.path.parent.name]
    assert sorted(path.name for path in model.path.parent.iterdir()) == [
        *("model.json", "model.onnx", "model.onnx.data")
    ]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("damage", ["byte", "truncated", "gone"])
def test_a_damaged_model_is_refused_with_what_to_do(request_tiny, damage):
    model = exported_model(request_tiny)
    data = bytearray(model.path.read_bytes())
    data[len(data) // 2] ^= 1
    model.path.write_bytes(data if damage == "byte" else data[:-100])
    if damage == "gone":
        model.path.unlink()
    with pytest.raises(Failure, match="SHA-256; delete its folder and run again"):
        Backbone(exported_model(request_tiny))
    shutil.rmtree(model.path.parent)
    Backbone(exported_model(request_tiny))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("record", [None, b"", b"[]", b"{}", b"\xff", b'{"sha256": "x"}'])
def test_a_damaged_record_is_refused_with_what_to_do(request_tiny, record):
    path = exported_model(request_tiny).path.with_name("model.json")
    path.unlink() if record is None else path.write_bytes(record)
    with pytest.raises(Failure, match=r"model\.json is damaged; delete its folder and run again"):
        exported_model(request_tiny)


@pytest.mark.usefixtures("store")
def test_an_edited_record_is_refused(request_tiny):
    """Another preprocessing would put its features into a space that is named by that one."""
    path = exported_model(request_tiny).path.with_name("model.json")
    data = path.read_bytes()
    edited = data.replace(b'"preprocessing": "tf"', b'"preprocessing": "no"')
    assert edited != data
    path.write_bytes(edited)
    with pytest.raises(Failure, match=r"model\.json is damaged; delete its folder and run again"):
        exported_model(request_tiny)
    path.write_bytes(json.dumps(json.loads(data)["model"]).encode())  # as it once was, unsealed
    with pytest.raises(Failure, match=r"model\.json is damaged"):
        exported_model(request_tiny)


def test_a_store_that_cannot_be_written_is_named(request_tiny, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(Failure, match=r"cannot be kept in .*models \(.*name .* ONCEOVER_MODELS"):
        exported_model(request_tiny)


@pytest.mark.slow
def test_two_exports_at_once_leave_one_model(store, request_tiny, monkeypatch):
    both = threading.Barrier(2)
    export = model_store.run_in_child

    def export_together(*arguments):
        both.wait(30)
        record = export(*arguments)
        both.wait(30)
        return record

    monkeypatch.setattr(model_store, "run_in_child", export_together)
    models = []
    threads = [
        threading.Thread(target=lambda: models.append(exported_model(request_tiny)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) == 2
    for model in models:
        Backbone(model)
    assert [path.name for path in store.iterdir()] == [models[0].path.parent.name]


def command(store, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "engine.extract", *map(str, arguments)],
        env={**os.environ, "ONCEOVER_MODELS": str(store)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# A stand-in for TensorFlow's long work: an exporter that begins a file and does not end.
SLOW_EXPORT = """
import sys, time
from pathlib import Path
import engine.exporters.backbone
def begin(request, path, *_, **options):
    path.write_bytes(b"half a model")
    time.sleep(60)
engine.exporters.backbone.export_backbone = begin
from engine.exporters.__main__ import main
sys.exit(main())
"""

SLOW_STORE = """
import subprocess, sys
popen = subprocess.Popen
def slow(command, **options):
    return popen([sys.executable, "-c", {export!r}, *command[4:]], **options)
subprocess.Popen = slow
from engine.extract import main
sys.exit(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
@pytest.mark.slow
def test_what_ends_in_mid_export_leaves_nothing_that_counts(
    store, tiny_backbone, pictures, tmp_path, number
):
    arguments = [pictures, "--cache", tmp_path / "c", "--backbone", tiny_backbone]
    arguments += ["--preprocessing", "tf", "--precision", "fp32"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_STORE.format(export=SLOW_EXPORT), *map(str, arguments)],
        env={**os.environ, "ONCEOVER_MODELS": str(store)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not list(store.glob(".new-*/made/model.onnx")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    os.killpg(process.pid, getattr(signal, number))
    _, err = process.communicate(timeout=30)
    left = list(store.iterdir())
    if number == "SIGINT":
        assert process.returncode == 130
        assert "run the same command" in err.splitlines()[-1]
        assert "Traceback" not in err
        assert left == []
    else:
        assert [path.name[:5] for path in left] == [".new-"]
    request = backbone_request(str(tiny_backbone), "imagenet", None, "tf")
    Backbone(exported_model(request))


def test_what_was_left_long_ago_is_removed_and_what_is_under_way_is_not(store, request_tiny):
    for name, age in ((".new-old", 90_000), (".new-young", 80_000)):
        (store / name / "made").mkdir(parents=True)
        (store / name / "made" / "model.onnx").write_bytes(b"half")
        then = time.time() - age
        os.utime(store / name, (then, then))
    model = exported_model(request_tiny)
    assert {path.name for path in store.iterdir()} == {".new-young", model.path.parent.name}


def test_the_key_is_what_the_model_is_made_of(tmp_path):
    one = write_tiny_backbone(tmp_path / "one.onnx", seed=0)
    copy = shutil.copy(one, tmp_path / "copy.onnx")
    other = write_tiny_backbone(tmp_path / "other.onnx", seed=1)
    requests = [
        backbone_request("vgg16", "random:0", None, None),
        backbone_request("vgg16", "random:1", None, None),
        backbone_request("vgg16", "imagenet", None, None),
        backbone_request("vgg16", "random:0", "fc1", None),
        backbone_request("vgg16", "random:0", None, "tf"),
        backbone_request("mobilenet_v2", "random:0", None, None),
        backbone_request("vgg16", str(one), None, None),
        backbone_request("vgg16", str(other), None, None),
        backbone_request(str(one), "imagenet", None, "tf"),
        backbone_request(str(one), "imagenet", None, "caffe"),
        backbone_request(str(one), "imagenet", "pooled", "tf"),
        backbone_request(str(other), "imagenet", None, "tf"),
    ]
    assert len({model_store._key(request) for request in requests}) == len(requests)
    same = [
        (backbone_request("vgg16", "random:0", "fc2", "caffe"), requests[0]),
        (backbone_request("vgg16", str(copy), None, None), requests[6]),
        (backbone_request(str(copy), "imagenet", None, "tf"), requests[8]),
    ]
    for given, wanted in same:
        assert model_store._key(given) == model_store._key(wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("vgg-19", "imagenet", None, None),
            r"backbone vgg-19: did you mean vgg19\? choose the name",
        ),
        (("no.onnx", "imagenet", None, "tf"), r"backbone no.onnx: there is no such file"),
        (("vgg16", "no.h5", None, None), r"weights no.h5: there is no such file"),
        (("vgg16", "random:", None, None), r"the seed is a number, as in random:0"),
        (("vgg16", "random:-1", None, None), r"the seed is a number, as in random:0"),
        (("vgg16", "imagenet", "fc3", None), r"no layer 'fc3'.*: fc2, fc1, block5_pool"),
        (("mobilenet_v2", "imagenet", "fc2", None), r"no layer 'fc2'.*: avg_pool"),
        (("vgg16", "imagenet", None, "rgb"), r"no preprocessing 'rgb'"),
    ],
)
def test_what_does_not_fit_together_is_a_usage_error(arguments, message):
    with pytest.raises(UsageFailure, match=message):
        backbone_request(*arguments)


def test_weights_beside_a_file_that_has_its_own_are_refused(tiny_backbone):
    with pytest.raises(UsageFailure, match=r"weights random:0: .*tiny\.onnx brings its own"):
        backbone_request(str(tiny_backbone), "random:0", None, "tf")


def finished(monkeypatch, code, stderr):
    end = f"sys.exit({code})" if code >= 0 else f"os.kill(os.getpid(), {-code})"
    program = f"import os, sys; sys.stderr.write({stderr!r}); {end}"
    popen = subprocess.Popen

    def run(_, **options):
        return popen([sys.executable, "-c", program], **options)

    monkeypatch.setattr(subprocess, "Popen", run)


@pytest.mark.parametrize(
    ("code", "stderr", "kind", "message"),
    [
        (1, "python -m engine.exporters: no weights", Failure, "^no weights$"),
        (1, "1/9 downloaded\npython -m engine.exporters: no network", Failure, "^no network$"),
        (2, "python -m engine.exporters: choose one", UsageFailure, "^choose one$"),
        (130, "python -m engine.exporters: interrupted", Interrupted, "run the same command again"),
        (1, "Traceback\nKeyError: 'x'", Failure, "^the export failed: KeyError: 'x'$"),
        (9, "", Failure, r"the export was killed \(exit code 9\); .*memory"),
        pytest.param(
            -9,
            "",
            Failure,
            r"the export was killed \(exit code -9\); .*memory",
            marks=pytest.mark.skipif(os.name == "nt", reason="no signals"),
        ),
    ],
)
def test_the_exports_own_line_and_exit_code_come_through(
    store, request_tiny, monkeypatch, code, stderr, kind, message
):
    finished(monkeypatch, code, stderr)
    with pytest.raises(kind, match=message) as caught:
        exported_model(request_tiny)
    assert type(caught.value) is kind
    assert list(store.iterdir()) == []


def test_a_failed_export_is_one_line_of_the_command_that_asked(store, tmp_path, pictures):
    two = tmp_path / "two.onnx"
    two.write_bytes(b"no network")
    arguments = [pictures, "--cache", tmp_path / "c", "--backbone", two, "--preprocessing", "tf"]
    process = command(store, *arguments, "--quiet", "--json", "--precision", "fp32")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "two.onnx is not a valid ONNX file" in err
    assert list(store.iterdir()) == []


def test_the_request_of_a_file_says_no_weights(tiny_backbone):
    request = BackboneRequest(str(tiny_backbone), "own", "pooled", "tf")
    assert request.options() == [
        *("--backbone", str(tiny_backbone), "--layer", "pooled", "--preprocessing", "tf")
    ]


@pytest.mark.usefixtures("store")
def test_the_record_holds_the_description_and_its_hash(request_tiny):
    model = exported_model(request_tiny)
    record = json.loads(model.path.with_name("model.json").read_text())["model"]
    assert (record["sha256"], record["data_sha256"]) == (model.digests.model, model.digests.data)
    assert record["backbone"] == "onnx"
    assert (record["height"], record["width"], record["features"]) == (32, 32, 24)
    assert Path(request_tiny.backbone).name == record["provenance"]["source"]


def test_what_an_export_said_is_said_each_time(tmp_path, monkeypatch, caplog):
    """It is of what is taken of the file, which a second user of the model may not know."""
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "models"))
    onnx.save(transformer(), tmp_path / "vit.onnx")
    asked = backbone_request(str(tmp_path / "vit.onnx"), "imagenet", None, "none")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            exported_model(asked)
        (told,) = (r for r in caplog.records if "which are flattened to 408" in r.getMessage())
        assert told.levelno == logging.WARNING


def test_the_store_may_be_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ONCEOVER_MODELS", "~/models")
    assert model_store.store_folder() == tmp_path / "models"
