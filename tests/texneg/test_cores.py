"""The core count: affinity, and the quota of the control groups that the process is in."""

import os

import pytest

from texneg import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Eight cores, a made-up tree of control groups, and a function that writes files into it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cores, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_OWN", tmp_path / "own")

    def write(own, **files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_max", ".max")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_without_control_groups_the_affinity_counts(machine):
    assert cores.available_cores() == 8


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("990000 100000", 8),
    ],
)
def test_version_2(machine, quota, count):
    machine("0::/kubepods/pod\n", kubepods__pod__cpu_max=quota)
    assert cores.available_cores() == count


def test_the_least_quota_on_the_way_up_counts(machine):
    machine("0::/a/b\n", a__b__cpu_max="max 100000", a__cpu_max="300000 100000", cpu_max="500000 100000")
    assert cores.available_cores() == 3


def test_a_container_that_sees_only_its_own_mount(machine):
    machine("0::/docker/0123\n", cpu_max="250000 100000")
    assert cores.available_cores() == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1(machine, tmp_path, mount):
    machine("5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n")
    folder = tmp_path / "cgroup" / mount / "job"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores.available_cores() == 8
    (folder / "cpu.cfs_quota_us").write_text("400000\n")
    assert cores.available_cores() == 4


@pytest.mark.parametrize("quota", ["", "two of them", "0 100000", "100000 0"])
def test_a_quota_that_makes_no_sense_is_passed_over(machine, quota):
    machine("nonsense\n0::/\n", cpu_max=quota)
    assert cores.available_cores() == 8
