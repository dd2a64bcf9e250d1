"""A small language model with the interface of nanoGPT's `model.py` and `train.py`.

The model returns scores and loss, makes its optimizer from its parameters by name, and batches are
drawn from a memory-mapped file of tokens, without a data set and a `DataLoader`.
"""

import inspect
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass
class GPTConfig:
    """The sizes of a model."""

    block_size: int = 16
    vocab_size: int = 64
    n_layer: int = 1
    n_head: int = 2
    n_embd: int = 16
    dropout: float = 0.0


class Block(nn.Module):
    """A layer: causal attention, then a feed-forward network."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        width = config.n_embd
        self.n_head = config.n_head
        self.ln_1 = nn.LayerNorm(width)
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, T, width) to (N, T, width)."""
        q, k, v = (
            part.unflatten(-1, (self.n_head, -1)).transpose(1, 2)
            for part in self.c_attn(self.ln_1(x)).chunk(3, dim=-1)
        )
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(attended.transpose(1, 2).flatten(2))
        output: Tensor = x + self.mlp(self.ln_2(x))
        return output


class GPT(nn.Module):
    """Tokens (N, T) to scores (N, T, vocabulary), and their loss if targets are given."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Computes scores and loss."""
        positions = torch.arange(idx.shape[1], device=idx.device)
        x = self.wte(idx) + self.wpe(positions)
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        if targets is None:
            return logits, None
        return logits, functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def configure_optimizers(
        self,
        weight_decay: float,
        learning_rate: float,
        betas: tuple[float, float],
        device_type: str,
    ) -> torch.optim.AdamW:
        """Makes AdamW, with weight decay for matrices only."""
        named = {name: p for name, p in self.named_parameters() if p.requires_grad}
        groups = [
            {
                "params": [p for p in named.values() if p.dim() >= 2],
                "weight_decay": weight_decay,
            },
            {"params": [p for p in named.values() if p.dim() < 2], "weight_decay": 0.0},
        ]
        has_fused = "fused" in inspect.signature(torch.optim.AdamW).parameters
        extra = {"fused": True} if has_fused and device_type == "cuda" else {}
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, **extra)


data_dir = Path(__file__).parent / "data"
block_size = 16
batch_size = 12
weight_decay, learning_rate, betas, grad_clip = 0.1, 6e-4, (0.9, 0.95), 1.0
warmup_iters, lr_decay_iters, min_lr = 10, 100, 6e-5


def get_batch(split: str) -> tuple[Tensor, Tensor]:
    """Draws windows of tokens, and the tokens that follow."""
    data = np.memmap(data_dir / f"{split}.bin", dtype=np.uint16, mode="r")
    starts = torch.randint(len(data) - block_size, (batch_size,))
    x = torch.stack([torch.from_numpy(data[i : i + block_size].astype(np.int64)) for i in starts])
    y = torch.stack(
        [torch.from_numpy(data[i + 1 : i + 1 + block_size].astype(np.int64)) for i in starts]
    )
    return x, y


def get_lr(it: int) -> float:
    """The learning rate of a step: linear warm-up, then a cosine down to a minimum."""
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)


def train(iterations: int) -> GPT:
    """Trains as nanoGPT's `train.py` does, without its logging."""
    model = GPT(GPTConfig())
    optimizer = model.configure_optimizers(weight_decay, learning_rate, betas, "cpu")
    x, y = get_batch("train")
    for iteration in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = get_lr(iteration)
        _, loss = model(x, y)
        x, y = get_batch("train")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model
