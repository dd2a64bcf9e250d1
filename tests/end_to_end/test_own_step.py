"""Workloads with a custom step, in whole runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.training.dataloader import check_loader_options
from stepbench.workload.data_choice import DataChoice
from stepbench.workload.loading import load

OWN = """
import torch
from torch.utils.data import TensorDataset
from stepbench import Workload


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 2)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x, scale):
        return self.layer(x) * scale


def step(at):
    for number in range(2):
        x, y = at.batch()
        with at.forward():
            loss = torch.nn.functional.cross_entropy(at.model(x, scale=number + 1.0), y)
        at.backward(loss)
    at.update()
    if EVERY:
        NETS[-1].steps += 1
        if NETS[-1].steps % EVERY == 0:  # a second update of the same parameters
            with at.forward():
                loss = at.model(x, scale=1.0).square().mean()
            at.backward(loss)
            at.update()
    return loss


NETS = []


def model():
    NETS.append(Net())
    return NETS[-1]


def make():
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(64, 8), torch.randint(0, 2, (64,)))
    return Workload(
        model=model,
        dataset=lambda: data,
        optimizer=lambda parameters: torch.optim.Adam(parameters),
        step=step,
    )
"""


def test_a_step_of_two_batches_is_measured_and_compared(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN + "\n\nEVERY = 0\n")
    out = tmp_path / "out"
    done = bench(
        "--workload", "own.py:make", "--batch-size", "4", "--num-workers", "0", "--device", "cpu",
        "--compile", "off", "backend:aot_eager", "--precision", "fp32", "--steps", "6",
        "--profile", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (out / "cases").glob("*.json"):
        case = json.loads(path.read_text())
        assert case["loader"]["batches_per_step"] == 2
        assert case["micro_laps"] is None
        judgement = json.loads((out / "parity" / path.name).read_text())["judgement"]
        assert judgement["verdict"] == "pass"
        assert judgement["reload"] == {"identical": True, "reason": None}
        profile = json.loads((out / "profiles" / path.name).read_text())["profile"]
        assert {row["phase"] for row in profile["breakdown"]["rows"]} >= {"forward", "optimizer"}


def test_steps_that_differ_are_measured(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN + "\n\nEVERY = 3\n")
    done = bench(
        "--workload", "own.py:make", "--batch-size", "4", "--num-workers", "0", "--device", "cpu",
        "--compile", "off", "--steps", "6", "--no-parity", "--output", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loop": "eval"}, "--loop eval: --workload gan has neither a loss nor a metric"),
        ({"accumulate": 2}, "--accumulate 2: --workload gan defines step="),
    ],
)
def test_options_that_a_custom_step_does_not_support_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    case = Case(workload="gan", **changes)
    with pytest.raises(UsageError, match=message):
        check_loader_options(case, load("gan", DataChoice("own")), 100)
