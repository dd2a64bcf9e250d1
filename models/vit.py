"""A small vision transformer: self-attention over the patches of an image.

The model runs many small operators, but spends most of the time in matrix products. Look at which
small operators `torch.compile` fuses, at bf16, and at AdamW, which keeps two values per parameter,
twice as many as SGD with momentum. Torchvision's vision transformers, such as `vit_b_16`, are
workloads by their torchvision names.
"""

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from stepbench import DataChoice, Workload, right_answers


class VisionTransformer(nn.Module):
    """Images (N, 3, S, S) to scores (N, classes).

    Args:
        classes: The number of classes.
        image_size: S, a multiple of the patch width.
        patch: The width and height of a patch, pixels.
        width: The size of a patch's vector.
        depth: The number of layers.
        heads: The number of attention heads.
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
        self.positions = nn.Parameter(torch.randn((image_size // patch) ** 2, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of a batch of images."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        x = self.norm(self.layers(x)).mean(1)
        scores: Tensor = self.scores(x)
        return scores


def make(choice: DataChoice) -> Workload:
    """Makes the workload from the chosen images."""
    data = choice.source()
    # Larger images have larger patches, so each image has 64 patches.
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
