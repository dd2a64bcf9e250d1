"""Loops of libraries, each timed by hand at the functions that the libraries call.

Imported by `scripts.py`. Accelerate's loop is a script's own; Lightning and the `Trainer` of
transformers have theirs.
"""

import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from scripts_styles import BATCH, WIDTH, Hand, loss_of
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, dataloader

BATCHES = 2000
"""More batches than a study takes: an epoch does not end."""


@contextmanager
def by_hand(optimizer: Any, hand: Hand, on_step: Callable[[], None]) -> Iterator[None]:
    """Laps at the begin and the end of each fetch, backward and update.

    Args:
        optimizer: The optimizer.
        hand: The clock.
        on_step: Called after each update.
    """
    plain_backward, update = Tensor.backward, optimizer.step
    iterator_type: Any = dataloader._SingleProcessDataLoaderIter
    tensor_type: Any = Tensor

    def fetch(iterator: Any) -> Any:
        hand.lap("other")
        batch = dataloader._BaseDataLoaderIter.__next__(iterator)
        hand.lap("dataload")
        return batch

    def run_backward(tensor: Tensor, *args: Any, **options: Any) -> None:
        hand.lap("forward")
        plain_backward(tensor, *args, **options)  # type: ignore[no-untyped-call]
        hand.lap("backward")

    def step(_: Any, closure: Any = None) -> Any:
        hand.lap("other" if closure is None else "forward")
        result = update() if closure is None else update(closure)
        hand.lap("optimizer")
        on_step()
        return result

    optimizer.step = types.MethodType(step, optimizer)
    tensor_type.backward = run_backward
    iterator_type.__next__ = fetch
    try:
        yield
    finally:
        delattr(iterator_type, "__next__")
        tensor_type.backward = plain_backward
        del optimizer.step


def data() -> TensorDataset:
    """Samples for `BATCHES` batches."""
    samples = BATCHES * BATCH
    return TensorDataset(torch.randn(samples, WIDTH), torch.randint(0, 10, (samples,)))


Library = Callable[[nn.Module, Any, Hand, Callable[[], None]], None]
"""Trains a model until the last argument, which is called after each step, raises."""


def accelerate(model: nn.Module, optimizer: Any, hand: Hand, on_step: Callable[[], None]) -> None:
    """A loop with accelerate."""
    from accelerate import Accelerator  # noqa: PLC0415  # takes seconds

    accelerator = Accelerator(cpu=True)
    loader: Any = DataLoader(data(), batch_size=BATCH, shuffle=True)
    with by_hand(optimizer, hand, on_step):
        prepared, update, loader = accelerator.prepare(model, optimizer, loader)
        for batch in loader:
            update.zero_grad()
            accelerator.backward(loss_of(prepared, batch))
            update.step()


def lightning(model: nn.Module, optimizer: Any, hand: Hand, on_step: Callable[[], None]) -> None:
    """Lightning, which runs forward and backward in the update's closure."""
    from lightning import LightningModule, Trainer  # noqa: PLC0415  # takes seconds

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, _: int) -> Tensor:
            hand.lap("optimizer")
            return loss_of(self.model, batch)

        def configure_optimizers(self) -> Any:
            return optimizer

    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with by_hand(optimizer, hand, on_step):
        trainer.fit(Module(), DataLoader(data(), batch_size=BATCH, shuffle=True))


class _Items(Dataset[dict[str, Tensor]]):
    """Samples as mappings, which the `Trainer` takes."""

    def __init__(self) -> None:
        self._data = data()

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample, label = self._data[index]
        return {"sample": sample, "label": label}


class _WithLoss(nn.Module):
    """A model that computes its own loss, which the `Trainer` asks for."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, sample: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The loss of a batch."""
        return {"loss": loss_of(self.model, (sample, labels))}


def trainer(model: nn.Module, optimizer: Any, hand: Hand, on_step: Callable[[], None]) -> None:
    """The `Trainer` of transformers."""
    from transformers import Trainer, TrainingArguments  # noqa: PLC0415  # takes seconds

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, report_to=[], use_cpu=True,
            save_strategy="no", disable_tqdm=True, logging_strategy="no",
            dataloader_pin_memory=False,
        )  # fmt: skip
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
        with by_hand(optimizer, hand, on_step):
            Trainer(
                _WithLoss(model), arguments, train_dataset=_Items(),
                optimizers=(optimizer, schedule),
            ).train()  # fmt: skip


LIBRARIES: dict[str, Library] = {
    "accelerate": accelerate,
    "Lightning": lightning,
    "Trainer of transformers": trainer,
}
