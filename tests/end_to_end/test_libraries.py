"""Models of other libraries in real runs: a `LightningModule`, and a model of timm."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Bench = Callable[..., subprocess.CompletedProcess[str]]

LIGHTNING = """
import lightning
import torch
from torch.utils.data import TensorDataset
from stepbench import Workload


class Lit(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 2)

    def training_step(self, batch, index):
        inputs, target = batch
        loss = torch.nn.functional.cross_entropy(self.layer(inputs), target)
        self.log("loss", loss)
        return loss


class Step(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.module = Lit()

    def forward(self, *batch):
        return self.module.training_step(batch, 0)


def make():
    return Workload(
        model=Step,
        dataset=lambda: TensorDataset(torch.randn(64, 8), torch.zeros(64).long()),
        split=lambda batch: (tuple(batch), None),
        loss=lambda loss, _: loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    )
"""
TIMM = """
import timm
import torch
from torch.utils.data import TensorDataset
from stepbench import Workload


def make():
    return Workload(
        model=lambda: timm.create_model("test_vit", pretrained=False, num_classes=3),
        dataset=lambda: TensorDataset(torch.randn(16, 3, 160, 160), torch.zeros(16).long()),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
    )
"""


@pytest.mark.integration
@pytest.mark.parametrize("code", [LIGHTNING, TIMM], ids=["lightning", "timm"])
def test_a_model_of_another_library_is_measured_and_passes_parity(
    bench: Bench, tmp_path: Path, code: str
) -> None:
    (tmp_path / "work.py").write_text(code)
    out = tmp_path / "out"
    done = bench(
        "--workload", "work.py:make", "--batch-size", "4", "--num-workers", "0", "--device", "cpu",
        "--compile", "off", "--steps", "3", "--parity-steps", "2", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (out / "parity").glob("*.json")
    assert json.loads(file.read_text())["judgement"]["verdict"] == "pass"
