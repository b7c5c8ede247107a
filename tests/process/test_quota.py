"""engine.process.quota: what the control groups leave a process."""

import math

import pytest

import engine.process.quota
from engine.process.quota import core_quota


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a function that makes this process a member of groups with such files."""

    def made(membership, **files):
        (tmp_path / "cgroup").write_text(membership)
        for place, text in files.items():
            path = tmp_path / "groups" / place.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    monkeypatch.setattr(engine.process.quota, "_MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(engine.process.quota, "_GROUPS", tmp_path / "groups")
    return made


def test_without_groups_or_quotas_there_is_no_bound(groups):
    assert core_quota() == math.inf
    groups("0::/a/b\n", **{"a__b__cpu.max": "max 100000\n", "cpu.max": "garbage"})
    assert core_quota() == math.inf


def test_the_least_quota_of_a_group_and_those_around_it_counts(groups):
    groups("0::/a/b\n", **{"a__b__cpu.max": "max 100000", "a__cpu.max": "150000 100000"})
    assert core_quota() == 1.5


def test_a_container_sees_its_group_as_the_root(groups):
    groups("0::/docker/123\n", **{"cpu.max": "200000 100000"})
    assert core_quota() == 2.0


def test_version_1_has_a_tree_for_each_controller(groups):
    files = {"cpu__x__cpu.cfs_quota_us": "50000", "cpu__x__cpu.cfs_period_us": "100000"}
    groups("4:memory:/y\n3:cpu,cpuacct:/x\n", **files)
    assert core_quota() == 0.5
    groups("3:cpu:/x\n", cpu__x__cpu__dummy="", **{"cpu__x__cpu.cfs_quota_us": "-1"})
    assert core_quota() == math.inf
