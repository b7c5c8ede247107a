"""The console script `onceover`, and what every command has in common."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import write_pictures
from fit_samples import labelled_cache

from cache.commandline.options import path
from cache.store import FeatureCache
from engine import compare, export, extract, fit_head, predict, review
from engine.demo import __main__ as demo
from engine.estimators.cached_backbone import CachedBackbone
from onceover.__main__ import COMMANDS, main

HEAVY = ("numpy", "onnxruntime", "onnx", "h5py", "PIL", "tqdm", "tensorflow", "sklearn", "scipy")


def python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_help_is_quick_for_it_imports_nothing_heavy(name):
    arguments = [name, "--help"] if name else ["--help"]
    out = python(
        "import sys\nfrom onceover.__main__ import main\n"
        f"try:\n    print('code', main({arguments}))\n"
        "except SystemExit as stop:\n    print('code', stop.code)\n"
        f"print('heavy', sorted(set({HEAVY}) & sys.modules.keys()))"
    )
    assert out.startswith(f"usage: onceover {name}" if name else "usage: onceover ")
    assert "example:\n  onceover " in out
    assert out.endswith("code 0\nheavy []\n")


def test_no_tensorflow_from_images_to_labels(tmp_path, pictures, tiny_backbone):
    """The backbone is exported before: that is the one thing that may need TensorFlow."""
    cache, head = tmp_path / "cache", tmp_path / "head"
    options = ["--backbone", str(tiny_backbone), "--preprocessing", "none", "--quiet"]
    assert main(["extract", str(pictures), "--cache", str(tmp_path / "first"), *options]) == 0
    jobs = [
        ["extract", str(pictures), "--cache", str(cache), *options],
        ["fit", "--cache", str(cache), "--out", str(head), "--quiet"],
        ["predict", str(pictures), "--head", str(head), "--quiet"],
    ]
    out = python(
        "import sys\nfrom onceover.__main__ import main\n"
        f"print('codes', [main(job) for job in {jobs}])\n"
        "print('heavy', sorted({'tensorflow', 'keras', 'tf2onnx'} & sys.modules.keys()))"
    )
    assert out.endswith("codes [0, 0, 0]\nheavy []\n")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_run_that_finds_everything_cached_imports_no_runtime(
    tmp_path, pictures, tiny_backbone, precision
):
    options = ["--backbone", str(tiny_backbone), "--preprocessing", "none", "--quiet"]
    options += ["--precision", precision, "--cache", str(tmp_path / "cache")]
    job = ["extract", str(pictures), *options]
    assert main(job) == 0
    out = python(
        "import sys\nfrom onceover.__main__ import main\n"
        f"print('code', main({job}))\n"
        "print('heavy', sorted({'onnx', 'onnxruntime', 'tqdm'} & sys.modules.keys()))"
    )
    assert out.endswith("code 0\nheavy []\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_module_is_a_command_of_its_own(name):
    module = COMMANDS[name][0].removesuffix(".__main__")
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: python -m {module} ")


def test_the_commands_are_listed_and_the_version_is_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"onceover {version('onceover')}\n"


def test_help_is_wrapped_between_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--help"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 50
    assert "write it with its" in " ".join(out.split())
    assert out.endswith("\nexample:\n  onceover fit --cache pets\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no command; choose from: extract, fit"),
        (["train"], "no command train; choose from: extract, fit"),
        (["extrct", "x"], "no command extrct; did you mean extract?"),
        (["--json", "fit"], "no command --json"),
        (["fit"], "onceover fit: the following arguments are required: --cache"),
        (["fit", "--cache"], "onceover fit: argument --cache: expected one argument"),
        (["cache"], "onceover cache: the following arguments are required: COMMAND"),
        (["predict", "x", "--head", "h", "--heat"], "unrecognized arguments: --heat"),
    ],
)
def test_wrong_usage_is_one_line_and_2(capsys, arguments, message):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_failure_goes_by_the_name_of_the_script(capsys, tmp_path):
    assert main(["fit", "--cache", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("onceover fit: ")


def test_the_next_command_can_be_typed_as_it_stands(capsys, tmp_path, tiny_backbone, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "my pets", 1)
    backbone = ["--backbone", str(tiny_backbone), "--preprocessing", "none", "--precision", "fp32"]
    assert main(["extract", "my pets", "--cache", "my cache", *backbone]) == 0
    out = capsys.readouterr().out
    assert "2 images: 2 computed, 0 already in the cache, 0 duplicates, 0 rejected\n" in out
    assert out.endswith("\nnext: onceover fit --cache 'my cache'\n")
    assert main(["extract", "my pets/spots", "--cache", "no labels", *backbone]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 image: 1 computed, ")
    assert "next: " not in out
    labelled_cache(tmp_path / "your cache", {"cat": 9, "dog": 9})
    assert main(["fit", "--cache", "your cache", "--out", "a head"]) == 0
    assert capsys.readouterr().out.endswith("\nnext: onceover predict IMAGE --head 'a head'\n")
    again = subprocess.run(
        [sys.executable, "-m", "engine.extract", "my pets", "--cache", "c", *backbone],
        capture_output=True,
        encoding="utf-8",
    )
    assert again.stdout.endswith("\nnext: python -m engine.fit_head --cache c\n")


def test_the_next_command_fits_what_was_extracted_and_nothing_else(
    capsys, tmp_path, tiny_backbone, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    backbone = ["--backbone", str(tiny_backbone), "--preprocessing", "none", "--precision", "fp32"]
    for name in ("pets", "more pets"):
        write_pictures(tmp_path / name, 12)
        assert main(["extract", name, "--cache", "c", *backbone]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == "next: onceover fit --cache c --dataset 'more pets'"
    transformed = CachedBackbone(
        str(tiny_backbone), preprocessing="none", precision="fp32", cache="other"
    )
    transformed.transform(sorted(map(str, (tmp_path / "pets").glob("*/*.jpg"))))
    assert main(["extract", "pets", "--cache", "other", *backbone]) == 0
    assert capsys.readouterr().out.endswith("\nnext: onceover fit --cache other\n")
    assert main(["extract", "pets", "--cache", "c", *backbone, "--interpolation", "nearest"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    (space,) = (
        s for s in FeatureCache.open("c").spaces() if s.description["interpolation"] == "nearest"
    )
    assert line == f"next: onceover fit --cache c --space {space.id}"
    assert main([*shlex.split(line)[2:], "--no-report"]) == 0


PATHS = {"DIR", "FILE.onnx", "SOURCE", "IMAGE", "PATH", "REVIEW.CSV", "NAME|FILE"}


@pytest.mark.parametrize(
    "command", [extract, fit_head, predict, export, compare, review, demo], ids=lambda m: m.__name__
)
def test_each_path_may_begin_with_the_home_folder(command):
    """Where no shell writes it out: in `--cache=~/pets`, and on Windows."""
    options = [a for a in command.build_parser()._actions if a.metavar in PATHS]
    assert options
    assert [a.dest for a in options if a.type is not path] == []


# Sends Ctrl-C to the process where it imports a module of this name.
STRIKE = """
import os, signal, sys

class Strike:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["STRIKE"]:
            os.kill(os.getpid(), signal.SIGINT)

if sys.argv[0] == "-m" or sys.argv[0].endswith("onceover"):
    sys.meta_path.insert(0, Strike())
"""


def struck(arguments, module, folder):
    (folder / "sitecustomize.py").write_text(STRIKE)
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": paths, "STRIKE": module},
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to oneself")
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("module", ["argparse", "cache.failures"])
def test_ctrl_c_while_modules_are_imported_is_one_line_and_130(name, module, tmp_path):
    own = COMMANDS[name][0].removesuffix(".__main__")
    for arguments in (["-m", own, "--help"], ["-m", "onceover", name, "--help"]):
        done = struck(arguments, module, tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to oneself")
def test_ctrl_c_early_in_the_console_script_is_one_line_and_130(tmp_path):
    script = tmp_path / "onceover"  # as installers write it
    script.write_text("import sys\nfrom onceover.__main__ import main\nsys.exit(main())\n")
    for arguments in ([], ["extract", "--help"], ["extrct"]):
        done = struck([str(script), *arguments], "argparse", tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="written for a shell of POSIX")
@pytest.mark.parametrize("streams", [">&-", ">/dev/full", ">&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize("words", ["--version", "--help", "extrct"])
def test_closed_and_full_streams_are_no_traceback_before_a_command_either(words, streams):
    if "/dev/full" in streams and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = f"exec {sys.executable} -m onceover {words} {streams}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, encoding="utf-8")
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if words == "extrct" else 0)


@pytest.mark.parametrize("columns", ["20", "40", "80"])
def test_the_first_line_of_help_names_what_a_command_needs(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        extract.main(["--help"], "onceover extract")
    usage, _, rest = capsys.readouterr().out.partition("\n\n")
    assert " ".join(usage.split()) == "usage: onceover extract [options] SOURCE [SOURCE ...]"
    assert "which of the images" in " ".join(rest.split())
