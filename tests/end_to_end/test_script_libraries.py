"""Scripts with the real libraries: HF Trainer, accelerate and Lightning, held at steps' ends."""

from pathlib import Path

import pytest

from support.started_scripts import Measured, measure

pytestmark = pytest.mark.integration

DATA = """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    data = TensorDataset(torch.randn(65536, 8), torch.randint(0, 4, (65536,)))
"""
TRAINER = """
    import torch
    from torch import nn
    from transformers import Trainer, TrainingArguments

    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return 65536

        def __getitem__(self, index):
            return {"x": torch.full((8,), index / 65536), "labels": index % 4}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, x, labels=None):
            logits = self.layer(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    arguments = TrainingArguments(
        "out", per_device_train_batch_size=8, gradient_accumulation_steps=4, report_to=[],
        use_cpu=True, max_steps=4000, eval_strategy="steps", eval_steps=25, save_strategy="no",
        disable_tqdm=True, logging_steps=1000, dataloader_pin_memory=False,
    )
    small = torch.utils.data.Subset(Items(), range(32))
    Trainer(Net(), arguments, train_dataset=Items(), eval_dataset=small).train()
"""
ACCELERATE = (
    DATA
    + """
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    optimizer = torch.optim.AdamW(net.parameters())
    loader = DataLoader(data, batch_size=8, shuffle=True)
    net, optimizer, loader = accelerator.prepare(net, optimizer, loader)
    for epoch in range(10):
        for x, y in loader:
            with accelerator.accumulate(net):
                loss = nn.functional.cross_entropy(net(x), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
"""
)
LIGHTNING = (
    DATA
    + """
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch, index):
            self.log("loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters())

    small = TensorDataset(*(tensor[:32] for tensor in data.tensors))
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, val_check_interval=25,
    )
    trainer.fit(Module(), DataLoader(data, batch_size=8, shuffle=True), DataLoader(small, 8))
"""
)


def found(measured: Measured) -> dict[str, str | None]:
    script = measured.end.script
    assert script is not None
    return {part.name: part.found for part in script.parts}


def check(measured: Measured) -> None:
    """All phases are there, and none is lost: the laps of a step add up to it."""
    track = dict(measured.turns[0].host or {})
    steps = track.pop("step")
    assert {"dataload", "forward", "backward", "optimizer"} <= set(track)
    assert sum(steps) == pytest.approx(sum(map(sum, track.values())))
    assert all(sum(laps) > 0 for laps in track.values())


def test_the_trainer_of_transformers(tmp_path: Path) -> None:
    measured = measure(tmp_path, TRAINER, turns=3, steps=40)
    check(measured)
    assert measured.end.axes["accumulate"] == 4
    assert measured.end.axes["batch_size"] == 8
    assert found(measured)["model call"] == "Net"
    assert found(measured)["evaluation"] is not None


def test_accelerate(tmp_path: Path) -> None:
    measured = measure(tmp_path, ACCELERATE)
    check(measured)
    assert measured.end.axes["accumulate"] == 2
    assert found(measured)["model call"] == "Sequential"


def test_lightning(tmp_path: Path) -> None:
    measured = measure(tmp_path, LIGHTNING, turns=3, steps=40)
    check(measured)
    assert measured.end.axes["accumulate"] == 1
    assert found(measured)["model call"] == "Sequential"
    assert found(measured)["evaluation"] is not None
