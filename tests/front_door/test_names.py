"""`import onceover`: the public names, each imported when it is asked for, each with an example."""

import doctest
import subprocess
import sys

import pytest

import onceover
from engine.extract import main as extract

HEAVY = {"numpy", "sklearn", "onnxruntime", "onnx", "h5py", "PIL", "tensorflow", "keras", "tf2onnx"}


def modules_after(program):
    program = f"{program}\nimport sys; print(sorted(set({HEAVY}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_imports_nothing_heavy():
    assert modules_after("import onceover") == "[]"
    assert modules_after("from onceover import Failure") == "[]"


def test_no_name_imports_tensorflow_or_a_runtime():
    names = ", ".join(onceover.__all__)
    modules = modules_after(f"from onceover import {names}")
    assert not {"tensorflow", "keras", "tf2onnx", "onnxruntime"} & set(eval(modules))


def test_the_names_are_there_and_others_are_not():
    assert dir(onceover) == sorted(onceover.__all__)
    for name in onceover.__all__:
        assert getattr(onceover, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = onceover.Nothing


@pytest.mark.parametrize(
    "name", ["CachedBackbone", "Classifier", "FeatureCache", "load_classifier"]
)
def test_the_example_of_each_docstring_runs(name, pictures, tiny_backbone, tmp_path):
    cache = str(tmp_path / "cache")
    backbone = onceover.CachedBackbone(str(tiny_backbone), preprocessing="tf", cache=cache)
    arguments = ["--backbone", str(tiny_backbone), "--preprocessing", "tf", "--quiet"]
    assert extract([str(pictures), "--cache", cache, *arguments]) == 0
    head = backbone.extract(pictures).fit_head().save(tmp_path / "head")
    paths = sorted(str(path) for path in pictures.glob("*/*.jpg"))
    names = {
        "backbone_file": str(tiny_backbone),
        "cache": cache,
        "head": head,
        "paths": paths,
        "labels": ["spots"] * 12 + ["stripes"] * 12,
    }
    tests = doctest.DocTestFinder(recurse=False).find(getattr(onceover, name), name, globs=names)
    (test,) = tests
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
