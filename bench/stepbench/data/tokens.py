"""Token data for language models: long rows of token numbers in files, cut into windows.

The files are those of many small trainers: unsigned 16-bit numbers and nothing else, `train.bin`
and `test.bin`. Importing this costs next to nothing, as with `stepbench.data.sources`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stepbench.data import cache
from stepbench.data.sources import DataSource, Report, generate, lies_there, unheard
from stepbench.errors import UsageError

if TYPE_CHECKING:
    from torch.utils.data import Dataset

VOCABULARY = 256
"""How many tokens the drawn language has: as many as there are bytes."""
FILES = {True: "train.bin", False: "test.bin"}
_COUNTS = {True: 1_000_000, False: 100_000}
_SUCCESSORS = 8
"""Each token is followed by one of so many, the first of them most often."""
_SEED = 2026


def source(length: int, data_dir: Path | None = None) -> DataSource:
    """Token data, drawn or a user's own.

    Args:
        length: How many tokens a window has that is trained on.
        data_dir: The directory with `train.bin` and `test.bin`; without it they are drawn.

    Raises:
        UsageError: The directory has no such files.
    """
    if data_dir is None:
        place = cache.location() / f"tokens-v{cache.VERSION}"
        drawn = partial(generate, place, write, "drawing tokens")
        return _source("tokens", "generated", drawn, place, length)
    for file in FILES.values():
        if not (data_dir / file).is_file():
            raise UsageError(
                f"--data-dir {data_dir}: there is no {file} in it, of unsigned 16-bit token "
                f"numbers; name a directory that has it, or leave it out for generated data"
            )
    return _source(f"tokens in {data_dir.resolve().name}", "user", lies_there, data_dir, length)


def _source(
    name: str,
    origin: Literal["generated", "user"],
    prepare: Callable[[Report], None],
    place: Path,
    length: int,
) -> DataSource:
    load = partial(_load, prepare, place, length)
    return DataSource(
        name=name,
        origin=origin,
        prepare=prepare,
        train=partial(load, train=True),
        test=partial(load, train=False),
        vocabulary=VOCABULARY if origin == "generated" else 2**16,
    )


def write(directory: Path) -> None:
    """Draws a language of whole numbers, alike on each machine: a Markov chain of bytes.

    A model that counts pairs of tokens guesses the next one right about every third time, and one
    that knows only how frequent each is, next to never.
    """
    import numpy as np  # noqa: PLC0415  # see the module's docstring

    draws = np.random.RandomState(_SEED)  # its stream never changes
    followers = np.stack([draws.permutation(VOCABULARY)[:_SUCCESSORS] for _ in range(VOCABULARY)])
    for train, file in FILES.items():
        # The first follower in one of three cases, and the others ever more rarely.
        ranks = np.minimum(draws.geometric(1 / 3, _COUNTS[train]) - 1, _SUCCESSORS - 1)
        tokens = np.empty(_COUNTS[train], dtype=np.uint16)
        token = 0
        for number, rank in enumerate(ranks.tolist()):
            token = int(followers[token, rank])
            tokens[number] = token
        tokens.tofile(directory / file)


def _load(
    prepare: Callable[[Report], None], place: Path, length: int, *, train: bool
) -> "Dataset[Any]":
    import numpy as np  # noqa: PLC0415  # see the module's docstring

    from stepbench.data.windows import Windows  # noqa: PLC0415

    prepare(unheard)
    return Windows(np.memmap(place / FILES[train], dtype=np.uint16, mode="r"), length)
