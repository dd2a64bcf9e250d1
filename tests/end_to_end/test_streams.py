"""An iterable dataset of a user, in a whole run."""

from pathlib import Path
from typing import Any

STREAM = """
import torch
from torch.utils.data import IterableDataset
from stepbench import Workload


class Lines(IterableDataset):
    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(50):
            x = torch.randn(8, generator=generator)
            yield {"x": x, "sign": (x.sum() > 0).long()}


def make():
    return Workload(
        model=lambda: torch.nn.Linear(8, 2),
        dataset=Lines,
        test_dataset=Lines,
        metric=lambda scores, sign: (scores.argmax(1) == sign).sum(),
        split=lambda batch: (batch["x"], batch["sign"]),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
        clip=lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 1.0),
        scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100),
    )
"""


def test_a_stream_is_measured_compared_and_profiled(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "stream.py").write_text(STREAM)
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{tmp_path / 'stream.py'}:make", "--batch-size", "4", "--num-workers",
        "0", "2", "--compile", "off", "--device", "cpu", "--steps", "10", "--parity-steps", "3",
        "--profile", "--profile-workers", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Lines" in done.stdout
    assert done.stdout.count(" pass ") == 2
