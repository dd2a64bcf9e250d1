from pathlib import Path

import pytest

from stepbench.interference.cpu_quota import CpuQuota

V2 = "usage_usec 9000000\nuser_usec 8000000\nsystem_usec 1000000\n"
"""`cpu.stat` of version 2 without the CPU controller, as a root has it."""
THROTTLED_V2 = V2 + "nr_periods 40\nnr_throttled 3\nthrottled_usec {}\nnr_bursts 0\nburst_usec 0\n"
THROTTLED_V1 = "nr_periods 40\nnr_throttled 3\nthrottled_time {}\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def quota(directory: Path, membership: str) -> CpuQuota:
    return CpuQuota(write(directory / "membership", membership), directory / "cgroup")


def test_version_2_counts_microseconds(tmp_path: Path) -> None:
    stat = write(tmp_path / "cgroup/pod/job/cpu.stat", THROTTLED_V2.format(1_500_000))
    write(tmp_path / "cgroup/cpu.stat", V2)
    found = quota(tmp_path, "0::/pod/job\n")
    assert found.stopped_s() == pytest.approx(1.5)
    stat.write_text(THROTTLED_V2.format(2_000_000))
    assert found.stopped_s() == pytest.approx(2.0)


def test_the_quota_may_be_that_of_a_group_above(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/pod/cpu.stat", THROTTLED_V2.format(250_000))
    write(tmp_path / "cgroup/pod/job/cpu.stat", THROTTLED_V2.format(0))
    assert quota(tmp_path, "0::/pod/job\n").stopped_s() == pytest.approx(0.25)


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_version_1_counts_nanoseconds(tmp_path: Path, mount: str) -> None:
    write(tmp_path / "cgroup" / mount / "docker/0815/cpu.stat", THROTTLED_V1.format(3_000_000_000))
    if mount != "cpu":  # another name of the same directory does not count twice
        (tmp_path / "cgroup/cpu").symlink_to("cpu,cpuacct")
    write(tmp_path / "cgroup/memory/docker/0815/cpu.stat", THROTTLED_V1.format(9_000_000_000))
    membership = "7:memory:/docker/0815\n4:cpu,cpuacct:/docker/0815\n1:name=systemd:/docker/0815\n"
    assert quota(tmp_path, membership).stopped_s() == pytest.approx(3.0)


def test_in_a_container_the_root_is_the_group_s_own(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpu/cpu.stat", THROTTLED_V1.format(1_000_000_000))
    assert quota(tmp_path, "4:cpu:/kubepods/pod1/0815\n0::/\n").stopped_s() == pytest.approx(1.0)


@pytest.mark.parametrize("membership", ["0::/\n", "4:memory:/\n", ""])
def test_a_system_that_counts_nothing_gives_none(tmp_path: Path, membership: str) -> None:
    write(tmp_path / "cgroup/cpu.stat", V2)
    assert quota(tmp_path, membership).stopped_s() is None


def test_a_system_without_groups_gives_none(tmp_path: Path) -> None:
    assert CpuQuota(tmp_path / "none", tmp_path / "none").stopped_s() is None


def test_a_damaged_file_gives_none(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpu.stat", "throttled_usec\n")
    assert quota(tmp_path, "0::/\n").stopped_s() is None
