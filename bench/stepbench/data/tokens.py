"""Token data for language models: long sequences of token numbers in files, cut into windows.

`train.bin` and `test.bin` hold unsigned 16-bit numbers and nothing else, as in many small trainers.
The import of this module is cheap: only functions import NumPy and torch.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stepbench.data import cache
from stepbench.data.sources import DataSource, Report, generate, ignore_report, prepare_nothing
from stepbench.errors import UsageError

if TYPE_CHECKING:
    from torch.utils.data import Dataset

VOCABULARY = 256
"""The number of different tokens in generated data: as many as there are bytes."""
FILES = {True: "train.bin", False: "test.bin"}
_COUNTS = {True: 1_000_000, False: 100_000}
_SUCCESSORS = 8
"""The number of tokens that may follow a given token; the first of them is the most frequent."""
_SEED = 2026


def source(length: int, data_dir: Path | None = None) -> DataSource:
    """Token data, generated or from a user's directory.

    Args:
        length: The number of tokens in a window.
        data_dir: The directory with `train.bin` and `test.bin`; without it, data are generated.

    Raises:
        UsageError: The directory lacks one of the files.
    """
    if data_dir is None:
        directory = cache.location() / f"tokens-v{cache.VERSION}"
        prepare = partial(generate, directory, write, "generating tokens")
        return _source("tokens", "generated", prepare, directory, length)
    for file in FILES.values():
        if not (data_dir / file).is_file():
            raise UsageError(
                f"--data-dir {data_dir}: does not contain {file}, unsigned 16-bit token numbers; "
                f"give a directory that does, or leave out --data-dir for generated data"
            )
    return _source(
        f"tokens in {data_dir.resolve().name}", "user", prepare_nothing, data_dir, length
    )


def _source(
    name: str,
    origin: Literal["generated", "user"],
    prepare: Callable[[Report], None],
    directory: Path,
    length: int,
) -> DataSource:
    load = partial(_load, prepare, directory, length)
    return DataSource(
        name=name,
        origin=origin,
        prepare=prepare,
        train=partial(load, train=True),
        test=partial(load, train=False),
        vocabulary=VOCABULARY if origin == "generated" else 2**16,
    )


def write(directory: Path) -> None:
    """Writes tokens from a Markov chain of bytes, equal on every machine.

    A model that counts pairs of tokens predicts the next token correctly about every third time. A
    model that knows only the frequency of each token hardly ever does.
    """
    import numpy as np  # noqa: PLC0415  # see the module's docstring

    rng = np.random.RandomState(_SEED)  # its stream never changes
    successors = np.stack([rng.permutation(VOCABULARY)[:_SUCCESSORS] for _ in range(VOCABULARY)])
    for train, file in FILES.items():
        # The first follower comes in one of three cases; each further one is rarer.
        ranks = np.minimum(rng.geometric(1 / 3, _COUNTS[train]) - 1, _SUCCESSORS - 1)
        tokens = np.empty(_COUNTS[train], dtype=np.uint16)
        token = 0
        for number, rank in enumerate(ranks.tolist()):
            token = int(successors[token, rank])
            tokens[number] = token
        tokens.tofile(directory / file)


def _load(
    prepare: Callable[[Report], None], directory: Path, length: int, *, train: bool
) -> "Dataset[Any]":
    import numpy as np  # noqa: PLC0415  # see the module's docstring

    from stepbench.data.token_windows import Windows  # noqa: PLC0415

    prepare(ignore_report)
    return Windows(np.memmap(directory / FILES[train], dtype=np.uint16, mode="r"), length)
