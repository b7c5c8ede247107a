"""Sources on other file systems, from one run to the next: what is unchanged is not read again."""

import json

import pytest
from conftest import write_pictures
from fsspec.implementations.memory import MemoryFileSystem
from remote_samples import copied, put

from cache.rows import Row
from cache.store import FeatureCache
from engine.extract import main as extract_main
from engine.runner.outcome import Outcome
from engine.runner.survey import survey
from engine.runner.tally import Tally

STORE = "memory://bucket/pets"


@pytest.fixture
def reads(monkeypatch):
    """Have files in memory told with their hashes, as object stores do; note which are read."""
    ls, cat_file, names = MemoryFileSystem.ls, MemoryFileSystem.cat_file, []

    def listed(self, path, detail=True, **options):
        entries = ls(self, path, detail=True, **options)
        for entry in entries:
            if entry["type"] == "file":
                entry["ETag"] = str(hash(self.store[entry["name"]].getvalue()))
        return entries if detail else [entry["name"] for entry in entries]

    def noted(self, path, *part, **options):
        names.append(path)
        return cat_file(self, path, *part, **options)

    monkeypatch.setattr(MemoryFileSystem, "ls", listed)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", noted)
    MemoryFileSystem.store.clear()
    yield names
    MemoryFileSystem.store.clear()


def extract(capsys, *arguments):
    assert extract_main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_only_what_has_changed_is_read_again(tmp_path, reads, tiny_backbone, capsys):
    copied(write_pictures(tmp_path / "pictures", 4), STORE)
    options = ["--cache", tmp_path / "c", "--backbone", tiny_backbone, "--preprocessing", "torch"]
    first = extract(capsys, STORE, *options, "--precision", "fp32")
    assert (first["computed"], len(reads)) == (8, 8)
    reads.clear()
    again = extract(capsys, STORE, *options, "--precision", "fp32")
    assert (again["computed"], again["hits"], reads) == (0, 8, [])
    other = MemoryFileSystem.store["/bucket/pets/spots/1.jpg"].getvalue() + b"other"
    put(STORE, {"spots/1.jpg": other})
    third = extract(capsys, STORE, *options, "--precision", "fp32")
    assert third["computed"] == 1
    assert reads == ["/bucket/pets/spots/1.jpg"]
    (space,) = FeatureCache.open(tmp_path / "c").spaces()
    assert space.datasets() == [STORE]


def test_the_stats_of_a_worker_s_rows_are_the_listing_s(tmp_path, reads):
    copied(write_pictures(tmp_path / "pictures", 1), STORE)
    written = []

    class Table:
        append = staticmethod(written.extend)

    with survey(STORE) as images:
        rows = [Row(sample.path, sample.label, b"1" * 32, "cached") for sample in images.samples]
        Outcome(Table, Tally(), images.source).add(rows)
        assert [row.stat for row in written] == [images.source.stat(s) for s in images.samples]
        assert None not in [row.stat for row in written]
    assert reads == []
