"""Whole trainings, tested as the lesson tests them."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.errors import UsageError
from stepbench.parity.training_parity import train_and_test
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.run import SamplingOptions, Settings


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A training sets its process's threads, and this process goes on."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def request(directory: Path, workload: str, seed: int = 0) -> Request:
    case = Case(workload=workload)
    return Request(case, SamplingOptions(), directory, settings=Settings(seed=seed, threads=1))


def test_the_lesson_s_net_learns_the_generated_data(tmp_path: Path) -> None:
    messages: list[str] = []
    steps = TrainParityOptions().steps
    trained = train_and_test(messages.append, request(tmp_path, "convnet"), steps, 600.0)
    assert trained is not None
    assert trained.samples == 2000
    assert trained.accuracy > 0.9
    assert math.isfinite(trained.loss)
    assert f"training, step {steps - 500} of {steps}" in messages


def test_the_same_seed_gives_the_same_accuracy_and_another_one_another(tmp_path: Path) -> None:
    one, again, other = (
        train_and_test(lambda _: None, request(tmp_path, "convnet", seed), 60, 600.0)
        for seed in (3, 3, 4)
    )
    assert one is not None
    assert other is not None
    assert one == again
    assert one.loss != other.loss
    assert torch.get_num_threads() == 1


def test_a_training_ends_with_its_budget(tmp_path: Path) -> None:
    assert train_and_test(lambda _: None, request(tmp_path, "convnet"), 10**9, 0.5) is None


def test_a_workload_without_test_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "untested.py").write_text(
        "import torch\nfrom stepbench import Workload\n"
        "def make():\n"
        "    return Workload(model=lambda: torch.nn.Linear(2, 2),\n"
        "        dataset=lambda: torch.utils.data.TensorDataset(torch.ones(8, 2), torch.ones(8)),\n"
        "        loss=torch.nn.MSELoss(),\n"
        "        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))\n"
    )
    with pytest.raises(UsageError, match="has no test_dataset"):
        train_and_test(lambda _: None, request(tmp_path, f"{tmp_path}/untested.py:make"), 5, 600.0)
