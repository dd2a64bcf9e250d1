from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepbench.data import tokens
from stepbench.data.token_windows import Windows
from stepbench.errors import UsageError


def test_generated_tokens_are_reproducible(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tokens.write(tmp_path / name)
    for file in ("train.bin", "test.bin"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_pairs_of_tokens_predict_better_than_single_tokens() -> None:
    data: Any = tokens.source(64).train()
    sequence = np.concatenate([data[i][0].numpy() for i in range(2000)])
    single = np.bincount(sequence, minlength=256).max() / len(sequence)
    pairs = np.zeros((256, 256))
    np.add.at(pairs, (sequence[:-1], sequence[1:]), 1)
    best = pairs.max(1).sum() / pairs.sum()
    assert single < 0.05
    assert best > 0.3


def test_a_window_s_targets_are_the_next_tokens() -> None:
    data = Windows(np.arange(10, dtype=np.uint16), 3)
    assert len(data) == 3
    window, targets = data[1]
    assert window.tolist() == [3, 4, 5]
    assert targets.tolist() == [4, 5, 6]
    assert window.dtype == torch.int64


def test_a_user_s_tokens_are_read(tmp_path: Path) -> None:
    for file in ("train.bin", "test.bin"):
        np.arange(100, dtype=np.uint16).tofile(tmp_path / file)
    source = tokens.source(8, tmp_path)
    data: Any = source.train()
    assert (source.origin, len(data)) == ("user", 12)
    assert data[0][1].tolist() == list(range(1, 9))


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--data-dir .*does not contain train\.bin"):
        tokens.source(8, tmp_path)
