"""A data set of noisy tones, to be classified by pitch."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

CLASSES = 5


class Tones(Dataset[dict[str, Tensor]]):
    """Signals of 512 samples, each with the number of its pitch.

    Args:
        count: The number of signals.
        seed: The random seed of pitches, phases and noise.
    """

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, CLASSES, (count,), generator=generator)
        phases = torch.rand(count, 1, generator=generator) * 6.28
        times = torch.arange(512) / 512
        pitches = 8 * 2 ** self.labels.unsqueeze(1).float()
        clean = torch.sin(6.28 * pitches * times + phases)
        self.signals = clean + torch.randn(count, 512, generator=generator)

    def __len__(self) -> int:
        """The number of signals."""
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """A signal and its label, by name."""
        return {"signal": self.signals[index], "label": self.labels[index]}
