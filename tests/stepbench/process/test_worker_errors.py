import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from torch.utils.data import DataLoader, Dataset

from stepbench.process.child import diagnose
from stepbench_reports.schema.status import Status


@pytest.fixture(autouse=True)
def workers_end() -> Iterator[None]:
    """Collects the data loader that its error's traceback keeps, so that its workers end."""
    yield
    gc.collect()


class Failing(Dataset[int]):
    """A data set whose samples cannot be read."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        samples: dict[int, int] = {}
        try:
            return samples[index]
        except KeyError:
            raise FileNotFoundError(f"no sample {index}\n  look again") from None


class Killed(Failing):
    """A data set whose worker ends itself."""

    def __getitem__(self, index: int) -> int:
        os._exit(7)


def error_of(dataset: Dataset[int]) -> Exception:
    with pytest.raises((RuntimeError, FileNotFoundError)) as caught:
        next(iter(DataLoader(dataset, num_workers=1)))
    return caught.value


def test_the_error_that_a_worker_raised_is_the_reason() -> None:
    status, reason = diagnose(error_of(Failing()))
    assert status is Status.ERROR
    assert reason == "FileNotFoundError: no sample 0 (in DataLoader worker process 0)"


def test_a_worker_that_ends_is_a_crash_and_no_lack_of_shared_memory() -> None:
    status, reason = diagnose(error_of(Killed()))
    assert status is Status.CRASHED
    assert "a DataLoader worker died; try --num-workers 0" in reason
    assert "shared memory" not in reason


def test_an_error_outside_workers_keeps_its_first_line() -> None:
    assert diagnose(ValueError("one\ntwo")) == (Status.ERROR, "ValueError: one")


BUS_ERROR = RuntimeError(
    "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that "
    "dataloader's workers are out of shared memory. Please try to raise your shared memory limit."
)
ENDED = RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")
ENDED.__cause__ = BUS_ERROR


@pytest.mark.parametrize("error", [BUS_ERROR, ENDED])
def test_a_worker_killed_where_shared_memory_is_full_lacks_shared_memory(
    error: RuntimeError,
) -> None:
    status, reason = diagnose(error)
    assert status is Status.OOM
    assert "--shm-size" in reason
    assert "Bus error" in reason


@pytest.mark.parametrize(
    "reason",
    ["No space left on device (28)", "Resource temporarily unavailable (11)", "Success (0)"],
)
def test_space_that_is_not_reserved_is_a_lack_of_shared_memory_whatever_torch_names(
    reason: str,
) -> None:
    """`posix_fallocate` returns its error and leaves `errno`, which torch 2.11 names, as it was."""
    said = f"unable to allocate shared memory(shm) for file </torch_8670_34_0>: {reason}"
    status, told = diagnose(RuntimeError(said))
    assert status is Status.OOM
    assert told.endswith(f"(docker run --shm-size 2g) ({said.rpartition(' (')[0]})")


LOADS = """
import subprocess
import torch
from stepbench.process.child import diagnose

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.ones(250_000)

for size in ("1m", "4k"):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", "/dev/shm"], check=True)
    try:
        for batch in torch.utils.data.DataLoader(Data(), batch_size=4, num_workers=2):
            pass
    except Exception as error:
        print(*diagnose(error), sep=": ")
"""


def test_a_small_shared_memory_says_what_to_do() -> None:
    alone = ["unshare", "-m"]
    mount = [*alone, "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]  # noqa: S108
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small /dev/shm needs root and a mount namespace")
    done = subprocess.run(
        [*alone, sys.executable, "-c", LOADS],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    tensors, locks = done.stdout.splitlines()
    for reason in (tensors, locks):
        assert reason.startswith("oom: shared memory (/dev/shm) is full; use --num-workers 0")
        assert "--shm-size" in reason
    # torch 2.6 writes first, and is ended
    assert "unable to allocate shared memory" in tensors or "Bus error" in tensors
    assert "OSError: [Errno 28]" in locks
