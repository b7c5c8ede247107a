"""engine.sources.file_stats: which files can be taken to be as they were."""

import pytest

from cache.rows import Stat
from engine.sources import file_stats
from engine.sources.file_stats import GRAIN_NS, FileStats, is_settled

MOUNTS = """\
22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 35 0:50 / /net rw,relatime shared:7 - nfs4 host:/export rw,vers=4.2
41 35 0:51 / /ssh rw,relatime - fuse.sshfs me@host: rw
42 35 8:3 / /win rw - fuseblk /dev/sda3 rw
"""


@pytest.mark.parametrize(
    ("device", "remote"),
    [("98:0", False), ("0:50", True), ("0:51", True), ("8:3", False), ("7:7", False)],
)
def test_network_file_systems_are_told_by_their_mounts(device, remote):
    assert file_stats._remote_in(MOUNTS, device) is remote


def test_what_is_on_a_network_has_no_stat(tmp_path, monkeypatch):
    (tmp_path / "1.jpg").write_bytes(b"x")
    assert FileStats().of(tmp_path / "1.jpg").size == 1
    asked = []
    monkeypatch.setattr(file_stats, "_is_remote", lambda *found: asked.append(found) or True)
    stats = FileStats()
    assert stats.of(tmp_path / "1.jpg") is None
    assert stats.of(tmp_path / "1.jpg") is None
    assert len(asked) == 1


def test_what_is_not_there_has_no_stat(tmp_path):
    assert FileStats().of(tmp_path / "1.jpg") is None
    assert FileStats().of("a\0b") is None


def test_a_file_is_settled_once_its_clock_has_ticked():
    stat = Stat(1, 10**18, 10**18, 1)
    assert not is_settled(stat, 10**18 + GRAIN_NS)
    assert is_settled(stat, 10**18 + GRAIN_NS + 1)
    assert not is_settled(Stat(1, 0, 10**18, 1), 10**18)
    assert not is_settled(stat, 0)  # a clock ahead of ours


def test_an_archive_that_was_replaced_while_it_was_opened_has_no_stat(tmp_path, monkeypatch):
    monkeypatch.setattr(file_stats, "GRAIN_NS", -(10**18))
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        assert FileStats().of_open(path, file.fileno()).size == 3
        path.unlink()
        path.write_bytes(b"new")
        (tmp_path / "other").write_bytes(b"")  # so that the number of the old is not taken again
        assert FileStats().of_open(path, file.fileno()) is None
