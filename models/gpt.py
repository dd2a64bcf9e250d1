"""A small GPT-style language model: predicts the next token from the tokens so far.

Inputs and targets are token numbers, each of shape (N, T). The embedding matrix also computes the
scores (weight tying), so the embedding's gradient comes from both ends of the network. Look at
attention, whose work grows with the square of T, at how `torch.compile` fuses the many small
operators, and at the loader, which has next to nothing to do.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from stepbench import DataChoice, Workload, right_answers

LENGTH = 64


class TransformerBlock(nn.Module):
    """A transformer layer: causal self-attention, then a feed-forward network for each token.

    Args:
        width: The size of a token's vector.
        heads: The number of attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, T, width) to (N, T, width)."""
        queries, keys, values = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.attention(self.norm1(x)).chunk(3, dim=2)
        )
        attended = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).flatten(2))
        output: Tensor = x + self.feed_forward(self.norm2(x))
        return output


class GPT(nn.Module):
    """Tokens (N, T) to the scores of each next token, (N, vocabulary, T).

    Args:
        vocabulary: The number of distinct tokens.
        length: The maximum of T.
        width: The size of a token's vector.
        depth: The number of layers.
        heads: The number of attention heads.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int = LENGTH,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes the scores, with the classes in dimension 1 as `CrossEntropyLoss` expects."""
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        x = self.norm(self.blocks(x))
        return functional.linear(x, self.tokens.weight).transpose(1, 2)


def make(choice: DataChoice) -> Workload:
    """Makes the workload from synthetic tokens, or from the user's tokens."""
    data = choice.tokens(LENGTH)
    return Workload(
        model=lambda: GPT(data.vocabulary),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=lambda parameters: AdamW(parameters, lr=1e-3),
        data=data,
    )
