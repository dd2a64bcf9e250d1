"""The data that a shipped workload trains on, as the command line chooses it."""

from dataclasses import dataclass
from pathlib import Path

from stepbench.config.axes import OWN_DATASET
from stepbench.data import sources, tokens
from stepbench.errors import UsageError

DEFAULT_DATASET = "cifar10"
"""What shipped workloads on images train on, unless told otherwise."""


@dataclass(frozen=True)
class DataChoice:
    """The choice of a shipped workload's data, from the command line.

    Attributes:
        name: A name from `stepbench.config.axes.DATASETS`; or `own`, the workload's own.
        directory: Where the real data lie; `None` for data that stepbench draws.
        download: Whether the published data set may be fetched.
    """

    name: str
    directory: Path | None = None
    download: bool = False

    def source(self, image_size: int | None = None) -> sources.DataSource:
        """Images and their classes, at least `image_size` pixels wide where that is given."""
        name = DEFAULT_DATASET if self.name == OWN_DATASET else self.name
        return sources.source(
            name, data_dir=self.directory, download=self.download, image_size=image_size
        )

    def tokens(self, length: int) -> sources.DataSource:
        """Windows of so many tokens, (tokens, next tokens) by index.

        Raises:
            UsageError: Images were asked for, or there are no tokens in the directory.
        """
        if self.name != OWN_DATASET:
            raise UsageError(
                f"--dataset {self.name}: this workload trains on tokens; leave the option out, or "
                f"name a directory with train.bin and test.bin by --data-dir"
            )
        if self.download:
            raise UsageError("--download: only CIFAR-10 can be fetched; leave it out")
        return tokens.source(length, self.directory)
