"""The choice on the command line of the data that a shipped workload trains on."""

from dataclasses import dataclass
from pathlib import Path

from stepbench.config.axes import OWN_DATASET
from stepbench.data import sources, tokens
from stepbench.errors import UsageError

DEFAULT_DATASET = "cifar10"
"""The default data set of shipped image workloads."""


@dataclass(frozen=True)
class DataChoice:
    """The data for a shipped workload, as chosen on the command line.

    Attributes:
        name: A name from `stepbench.config.axes.DATASETS`, or `own` for the workload's default.
        directory: The directory of real data; `None` for data that stepbench generates.
        download: True if the published data set may be downloaded.
    """

    name: str
    directory: Path | None = None
    download: bool = False

    def source(self, image_size: int | None = None) -> sources.DataSource:
        """Returns images and their classes; `image_size` is the minimum width, pixels.

        Raises:
            UsageError: There is no such data set, or the directory does not contain the data.
        """
        name = DEFAULT_DATASET if self.name == OWN_DATASET else self.name
        return sources.source(
            name, data_dir=self.directory, download=self.download, image_size=image_size
        )

    def tokens(self, length: int) -> sources.DataSource:
        """Returns windows of `length` tokens: item i is (tokens, next tokens).

        Raises:
            UsageError: An image data set or a download was requested, or the directory lacks
                token files.
        """
        if self.name != OWN_DATASET:
            raise UsageError(
                f"--dataset {self.name}: this workload trains on tokens; leave out --dataset, or "
                f"give a directory with train.bin and test.bin as --data-dir"
            )
        if self.download:
            raise UsageError("--download: only CIFAR-10 can be downloaded; leave out --download")
        return tokens.source(length, self.directory)
