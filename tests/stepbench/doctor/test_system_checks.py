import os
import socket
from pathlib import Path

import pytest

from stepbench.doctor.diagnosis import Ability
from stepbench.doctor.system_checks import (
    check_cores,
    check_energy,
    check_shared_memory,
    check_tensorboard,
    cores,
    cpu_quota,
    shared_memory,
)


@pytest.mark.parametrize(
    ("usable", "present", "quota", "ability", "text"),
    [
        (8, 8, None, Ability.OK, "8 cores, without a quota."),
        (4, 8, 4.0, Ability.OK, "4 cores of 8"),
        (8, 8, 1.5, Ability.LIMITED, "quota of 1.5"),
        (1, 8, None, Ability.LIMITED, "1 core of 8"),
    ],
)
def test_cores_and_a_quota_below_them(
    usable: int, present: int, quota: float | None, ability: Ability, text: str
) -> None:
    diagnosis = cores(usable, present, quota)
    assert diagnosis.ability is ability
    assert text in diagnosis.finding
    assert (diagnosis.remedy is None) == (ability is Ability.OK)


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        (
            "0::/a/b\n",
            {"cpu.max": "max 100000", "a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"},
            2.0,
        ),
        ("0::/not/mounted\n", {"cpu.max": "50000 100000"}, 0.5),
        (
            "3:cpu,cpuacct:/a\n1:name=systemd:/\n",
            {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
    ],
)
def test_the_quota_is_the_smallest_of_all_groups(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None
) -> None:
    own_cgroup = tmp_path / "self"
    own_cgroup.write_text(groups)
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert cpu_quota(own_cgroup, tmp_path / "cgroup") == quota


def test_a_system_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "absent", tmp_path) is None


def test_little_shared_memory_is_told_with_what_to_do() -> None:
    assert shared_memory(8 * 2**30, 4 * 2**30).ability is Ability.OK
    diagnosis = shared_memory(64 * 2**20, 63 * 2**20)
    assert diagnosis.ability is Ability.LIMITED
    assert "has 64 MiB, 63 MiB free" in diagnosis.finding
    assert "--shm-size" in (diagnosis.remedy or "")


def test_energy_counters_are_found(tmp_path: Path) -> None:
    assert check_energy(tmp_path).ability is Ability.MISSING
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.parent.mkdir()
    counter.write_text("1\n")
    assert check_energy(tmp_path).ability is Ability.OK


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_energy_counters_that_only_root_may_read(tmp_path: Path) -> None:
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.parent.mkdir()
    counter.touch(mode=0o000)
    assert check_energy(tmp_path).ability is Ability.LIMITED


def test_hosts_that_cannot_be_reached_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert check_tensorboard(("127.0.0.1",), port).ability is Ability.OK
    diagnosis = check_tensorboard(("127.0.0.1",), port)
    assert diagnosis.ability is Ability.LIMITED
    assert diagnosis.finding.startswith("127.0.0.1 cannot be reached")


def test_this_machine_can_be_checked() -> None:
    assert check_cores().finding
    assert check_shared_memory().finding
