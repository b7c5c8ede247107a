"""--list-backbones, which needs nothing else."""

import json
import sys

import pytest

from engine import extract
from engine.backbones.architectures import ARCHITECTURES


def test_names_are_listed_without_a_source(capsys):
    with pytest.raises(SystemExit) as ended:
        extract.main(["--list-backbones"])
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert lines[1].split() == ["vgg16", "fc2", "224x224", "134,260,544", "4,096", "537.0"]
    assert {line.split()[0] for line in lines[1:]} == set(ARCHITECTURES)
    assert len(ARCHITECTURES) == 40


def test_they_are_json_where_that_is_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["extract", "--list-backbones", "--json"])
    with pytest.raises(SystemExit):
        extract.main(["--list-backbones", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["parameters"] == 134_260_544
    assert {row["backbone"] for row in rows} == set(ARCHITECTURES)
