"""A small vision transformer: pictures cut into patches, and each patch looks at all the others.

Many small operators in a row, and most of the time in matrix products: look at what
`torch.compile` fuses of the former, at bf16, and at the optimizer, which has twice as many
numbers to update as SGD would. Torchvision's own, such as `vit_b_16`, are workloads by their
names.
"""

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from stepbench import DataChoice, Workload, right_answers


class VisionTransformer(nn.Module):
    """Images (N, 3, S, S) to the scores (N, classes).

    Args:
        classes: How many classes there are.
        image_size: S, a multiple of the patches' width.
        patch: Width of a patch, in pixels.
        width: How many numbers stand for a patch.
        depth: How many layers there are.
        heads: How many heads attention has.
    """

    def __init__(
        self,
        classes: int,
        image_size: int,
        *,
        patch: int = 4,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.places = nn.Parameter(torch.randn((image_size // patch) ** 2, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of a batch of images."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        x = self.norm(self.layers(x)).mean(1)
        scores: Tensor = self.scores(x)
        return scores


def make(choice: DataChoice) -> Workload:
    """The transformer on the images that were chosen."""
    data = choice.source()
    # Larger pictures are cut into larger patches, so that there are always 64 of them.
    return Workload(
        model=lambda: VisionTransformer(
            len(data.classes), data.image_size, patch=data.image_size // 8
        ),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=lambda parameters: AdamW(parameters, lr=1e-3),
        data=data,
    )
