from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepbench.data import tokens
from stepbench.data.windows import Windows
from stepbench.errors import UsageError


def test_drawn_tokens_are_alike_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tokens.write(tmp_path / name)
    for file in ("train.bin", "test.bin"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_there_is_something_to_learn_from_pairs_and_not_from_single_tokens() -> None:
    data: Any = tokens.source(64).train()
    row = np.concatenate([data[i][0].numpy() for i in range(2000)])
    single = np.bincount(row, minlength=256).max() / len(row)
    pairs = np.zeros((256, 256))
    np.add.at(pairs, (row[:-1], row[1:]), 1)
    best = pairs.max(1).sum() / pairs.sum()
    assert single < 0.05
    assert best > 0.3


def test_a_window_s_targets_are_the_next_tokens() -> None:
    data = Windows(np.arange(10, dtype=np.uint16), 3)
    assert len(data) == 3
    window, following = data[1]
    assert window.tolist() == [3, 4, 5]
    assert following.tolist() == [4, 5, 6]
    assert window.dtype == torch.int64


def test_a_user_s_own_tokens_are_read(tmp_path: Path) -> None:
    for file in ("train.bin", "test.bin"):
        np.arange(100, dtype=np.uint16).tofile(tmp_path / file)
    source = tokens.source(8, tmp_path)
    data: Any = source.train()
    assert (source.origin, len(data)) == ("user", 12)
    assert data[0][1].tolist() == list(range(1, 9))


def test_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--data-dir .*there is no train\.bin in it"):
        tokens.source(8, tmp_path)
