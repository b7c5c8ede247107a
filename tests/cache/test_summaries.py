"""`cache info` shows what heads say of themselves, and learns nothing else of them."""

import json
import os

import pytest
from fit_samples import labelled_cache

from cache.__main__ import main
from cache.summaries import list_summaries
from engine import fit_head


def test_heads_are_listed_with_accuracy_and_date(tmp_path, capsys):
    labelled_cache(tmp_path / "c", {"cat": 40, "dog": 40})
    assert fit_head.main(["--cache", str(tmp_path / "c"), "--quiet", "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["test"]["accuracy"]
    assert main(["info", str(tmp_path / "c"), "--json"]) == 0
    (head,) = json.loads(capsys.readouterr().out)["heads"]
    assert head["text"].startswith(f"2 classes, accuracy {accuracy:.4f} on 12 test images, 20")
    assert main(["info", str(tmp_path / "c")]) == 0
    assert f"head {head['name']}: {head['text']}" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", "no JSON", '{"summary": ', "[" * 100_000])
def test_one_that_says_nothing_is_listed_too(tmp_path, content):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "metrics.json").write_text(content)
    (summary,) = list_summaries(tmp_path)
    assert summary.name == "odd"
    assert summary.text in ("metrics.json has no summary", "metrics.json cannot be read")


@pytest.mark.skipif(os.name == "nt", reason="no links for every user")
def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret.json").write_text('{"summary": "secret"}')
    (tmp_path / "heads" / "odd").mkdir(parents=True)
    (tmp_path / "heads" / "odd" / "metrics.json").symlink_to(tmp_path / "secret.json")
    assert list_summaries(tmp_path / "heads")[0].text == "metrics.json cannot be read"
