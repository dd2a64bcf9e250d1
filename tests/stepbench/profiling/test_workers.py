import time
from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from torchvision.transforms import Compose

from stepbench.profiling import workers


def pause(seconds: float) -> None:
    """Spins for some time; unlike `time.sleep`, it is exact."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def slow(item: torch.Tensor) -> torch.Tensor:
    pause(0.002)
    return item


class Double:
    def __call__(self, item: torch.Tensor) -> torch.Tensor:
        pause(0.001)
        return item * 2


class Data(Dataset[Any]):
    def __init__(self) -> None:
        self.transform = Compose([slow, Double()])
        self.target_transform = abs

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pause(0.003)
        return self.transform(torch.ones(2)), self.target_transform(-index)


class AtOnce(Data):
    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self[index] for index in indices]


def collate(items: list[Any]) -> Any:
    pause(0.004)
    return torch.stack([item for item, _ in items]), [target for _, target in items]


def loader(data: Dataset[Any], number: int) -> DataLoader[Any]:
    workers.time_transforms(data)
    return DataLoader(
        workers.TimedData(data),
        batch_size=2,
        num_workers=number,
        collate_fn=workers.TimedCollation(collate),
    )


@pytest.mark.parametrize("kind", [Data, AtOnce])
@pytest.mark.parametrize("number", [0, 2])
def test_each_part_of_each_workers_time_is_measured(number: int, kind: type[Data]) -> None:
    facts = workers.time_workers(loader(kind(), number))
    assert [worker.worker for worker in facts] == list(range(max(1, number)))
    for worker in facts:
        assert worker.samples == 2 * worker.batches
        parts = worker.seconds
        assert list(parts) == ["read", "slow", "Double", "abs", "collate", "hand over"]
        assert sum(parts.values()) == pytest.approx(worker.elapsed_s)
        assert parts["read"] >= 0.003 * worker.samples  # each at least what it takes
        assert parts["slow"] >= 0.002 * worker.samples
        assert parts["Double"] >= 0.001 * worker.samples
        assert parts["collate"] >= 0.004 * worker.batches
        assert parts["abs"] >= 0
        assert parts["hand over"] >= 0


def test_batches_are_what_they_would_be() -> None:
    (inputs, targets), times = next(iter(loader(Data(), 0)))
    assert torch.equal(inputs, torch.full((2, 2), 2.0))
    assert targets == [0, 1]
    assert times.items == 2


def test_transforms_are_found_within_parts_of_data_sets() -> None:
    inner = Data()
    workers.time_transforms(ConcatDataset([Subset(inner, [0, 1])]))
    assert isinstance(inner.target_transform, workers.TimedTransform)
    timed = inner.target_transform
    workers.time_transforms(inner)
    assert inner.target_transform is timed  # and are timed once


class ByName(Data):
    """As data sets with albumentations have it: transforms are called with names."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = lambda image: {"image": image}
        self.classes = ("a", "b")

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        transform: Any = self.transform
        return transform(image=torch.ones(2))["image"], index


def test_transforms_may_be_called_by_name_and_data_sets_asked_for_more() -> None:
    data = ByName()
    (inputs, _), _ = next(iter(loader(data, 0)))
    assert inputs.shape == (2, 2)
    timed = workers.TimedData(data)
    assert timed.classes == ("a", "b")
    with pytest.raises(AttributeError):
        timed._nothing  # noqa: B018  # does not exist
