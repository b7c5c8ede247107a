"""Paths, counts and mistyped options, and how commands are put into words."""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cache.__main__ import main
from cache.commandline.command import command_parser
from cache.commandline.options import count, path
from cache.commandline.words import command_line, counted, quoted


def test_the_home_folder_stands_at_the_beginning_of_a_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert path("~/pets") == str(tmp_path / "pets")
    assert path("~") == str(tmp_path)
    assert path("./~") == "./~"
    assert path("a/~/b/") == "a/~/b/"
    assert path("~nobody-of-that-name/x") == "~nobody-of-that-name/x"


@pytest.mark.skipif(sys.platform == "win32", reason="has no pwd")
def test_so_does_another_users():
    import pwd

    user = pwd.getpwuid(os.getuid())
    assert path(f"~{user.pw_name}/pets") == f"{user.pw_dir}/pets"


def test_every_path_of_the_commands_on_a_cache_knows_home(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["info", "~/pets"]) == 1
    assert str(tmp_path / "pets") in capsys.readouterr().err
    assert not Path("~").exists()


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x"])
def test_a_count_is_a_whole_number_from_1_on(text):
    assert count("12") == 12
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        count(text)


def parser():
    top = command_parser("prog", "A command.", "prog")
    top.add_argument("--cache", required=True)
    top.add_argument("--limit-per-class")
    return top


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cach", "x"], "required: --cache; did you mean --cache?"),
        (["--cach=x"], "required: --cache; did you mean --cache?"),
        (["--cache", "x", "--limit-pre-class", "3"], "did you mean --limit-per-class?"),
        (["--cache", "x", "--jsno", "--quite"], "did you mean --json and --quiet?"),
        (["--cache", "x", "--zzzzzz"], "unrecognized arguments: --zzzzzz (see prog --help)"),
        (["--cache", "x", "--", "--jsno"], "--jsno (see prog"),
    ],
)
def test_a_mistyped_option_is_asked_after(capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(words)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_so_is_one_of_a_command_below(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["gc", "c", "--min-ago", "3"])
    assert "did you mean --min-age?" in capsys.readouterr().err


def test_counts_are_in_the_singular_where_they_are_one():
    assert [counted(n, "part") for n in (0, 1, 2)] == ["0 parts", "1 part", "2 parts"]
    assert counted(2002, "image") == "2,002 images"
    assert counted(2, "class", "classes") == "2 classes"
    assert counted(1, "class", "classes") == "1 class"


@pytest.mark.skipif(sys.platform == "win32", reason="quotes as POSIX shells do")
@pytest.mark.parametrize(
    "word",
    [
        "plain",
        "a b",
        "it's",
        '"',
        "$HOME",
        "a\nb",
        "\x1b[31m",
        "\\",
        "'\\\n",
        "é",
        "\udcff\u202e",
        "~",
    ],
)
def test_a_quoted_word_is_printable_and_the_shell_reads_it_back(word):
    assert quoted(word).isprintable()
    printed = subprocess.run(
        ["bash", "-c", f"printf %s {quoted(word)}"], capture_output=True, check=True
    )
    assert printed.stdout == os.fsencode(word)


def test_the_next_command_speaks_as_this_one_was_called():
    fit = ("engine.fit_head", "fit", ["--cache", "my pets"])
    said = command_line("onceover extract", *fit)
    assert shlex.split(said) == ["onceover", "fit", "--cache", "my pets"]
    said = command_line("python -m engine.extract", *fit)
    assert shlex.split(said) == ["python", "-m", "engine.fit_head", "--cache", "my pets"]


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 images"), (1, "1 image"), (2002, "2,002 images")]
)
def test_counts_are_in_one_form_in_every_message(number, words):
    assert counted(number, "image") == words
