from pathlib import Path
from typing import Any

import pytest

from stepbench.config import options
from stepbench.config.cluster import ClusterOptions
from stepbench.errors import UsageError


def read(directory: Path, **given: Any) -> ClusterOptions | None:
    words = {"device": ["cpu"], **given}
    found = options.read({f"stepbench_{name}": word for name, word in words.items()}, directory)
    return found.cluster


def test_without_on_there_is_no_cluster(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_options_of_the_engine_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, on="slurm", on_option=["partition=gpu", "--cpus-per-task=4", "x=a=b"])
    assert found == ClusterOptions(
        "slurm", {"partition": "gpu", "cpus_per_task": "4", "x": "a=b"}, hosts_as_axis=False
    )
    assert read(tmp_path, on="ray", hosts_as_axis=True) == ClusterOptions("ray", {}, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"on": "slrum"}, "--on slrum: there is no such engine; did you mean slurm"),
        (
            {"on_option": ["partition=gpu"]},
            "--on-option partition=gpu: takes effect only with --on",
        ),
        ({"hosts_as_axis": True}, "--hosts-as-axis: takes effect only with --on"),
        ({"on": "slurm", "on_option": ["partition"]}, "--on-option 'partition': give the name"),
        ({"on": "slurm", "on_option": ["a b=1"]}, "--on-option 'a b=1': give the name"),
        ({"on": "slurm", "on_option": ["a=1\n#SBATCH -x"]}, "--on-option .*: give the name"),
        ({"on": "slurm", "device": None}, "--on slurm: .* such as --device cuda"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, **given)


def test_a_resumed_run_knows_its_devices(tmp_path: Path) -> None:
    assert read(tmp_path, on="slurm", device=None, resume=str(tmp_path)) == ClusterOptions("slurm")
