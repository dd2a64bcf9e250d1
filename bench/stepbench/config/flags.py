"""The options of the command line, defined once for argparse and for pytest."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stepbench.config.axes import AXES
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.run import ParityOptions, ProfilingOptions, SamplingOptions

_SAMPLING, _PROFILING = SamplingOptions(), ProfilingOptions()
_PARITY, _TRAINING = ParityOptions(), TrainParityOptions()
"""The default options, for the help texts."""


class OptionSection(StrEnum):
    """A heading of `stepbench run --help`."""

    CASES = "what to measure"
    SAMPLING = "how to measure"
    SETTINGS = "under which settings"
    PARITY = "is it still the same training?"
    PROFILING = "where the time goes within a phase"
    FILES = "data and results"


@dataclass(frozen=True)
class Flag:
    """An option of the command line.

    Attributes:
        name: The option as it is typed, such as `--batch-size`.
        help: One or two lines for `--help`.
        section: The heading of `--help` that lists the option.
        arguments: Further arguments of `argparse.ArgumentParser.add_argument`.
    """

    name: str
    help: str
    section: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """The name as `Options.named` lists it, such as `batch_size`."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def destination(self) -> str:
        """The attribute of the parsed options, with a prefix to avoid clashes in pytest."""
        return f"stepbench_{self.word}"

    def add_to(self, add_argument: Callable[..., object]) -> None:
        """Adds the option to a parser.

        Args:
            add_argument: `add_argument` of an argparse group, or `addoption` of one of pytest's.
        """
        add_argument(self.name, dest=self.destination, help=self.help, **self.arguments)


def add_flags(parser: argparse.ArgumentParser, flags: Iterable[Flag]) -> None:
    """Adds options to an argparse parser, with a heading for each section."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for flag in flags:
        if flag.section not in groups:
            groups[flag.section] = parser.add_argument_group(flag.section)
        flag.add_to(groups[flag.section].add_argument)


FLAGS: tuple[Flag, ...] = (
    *(
        Flag(axis.flag, axis.help, OptionSection.CASES, {"nargs": "+", "metavar": axis.metavar})
        for axis in AXES
    ),
    Flag(
        "--matrix",
        "a matrix of [tool.stepbench.matrix.NAME] in pyproject.toml; options given beside it "
        "replace its axes",
        OptionSection.CASES,
        {"metavar": "NAME"},
    ),
    Flag(
        "--steps", "exactly N lapped steps for each case", OptionSection.SAMPLING, {"metavar": "N"}
    ),
    Flag(
        "--max-time",
        "sample each case for at most so long, not counting warm-up and compilation "
        f"(default {_SAMPLING.max_time_s:g})",
        OptionSection.SAMPLING,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--rel-error",
        "stop earlier once half the width of the median step's 95 %% interval is at most this "
        f"share of it (default {_SAMPLING.rel_error:g})",
        OptionSection.SAMPLING,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--sync-phases",
        "wait for the device at every lap: shows what each phase costs by itself, without the "
        "overlap that training has",
        OptionSection.SAMPLING,
        {"action": "store_true"},
    ),
    Flag(
        "--cold",
        "an empty compile cache for each compiled case, where those that compile the same would "
        "share one",
        OptionSection.SAMPLING,
        {"action": "store_true"},
    ),
    Flag(
        "--deadline",
        f"give a case up after so long, compilation included (default {_SAMPLING.deadline_s:g})",
        OptionSection.SAMPLING,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--memory-limit",
        "give a case up as oom once it wants more host memory than this, such as 8GiB",
        OptionSection.SAMPLING,
        {"metavar": "SIZE"},
    ),
    Flag(
        "--threads",
        "threads that compute within an operator",
        OptionSection.SETTINGS,
        {"metavar": "N"},
    ),
    Flag(
        "--interop-threads",
        "threads that run operators side by side",
        OptionSection.SETTINGS,
        {"metavar": "N"},
    ),
    Flag(
        "--seed",
        "of weights, shuffling and loader workers (default 0)",
        OptionSection.SETTINGS,
        {"metavar": "N"},
    ),
    Flag(
        "--cudnn-benchmark",
        "let cuDNN try its algorithms and keep the fastest",
        OptionSection.SETTINGS,
        {"action": "store_true"},
    ),
    Flag(
        "--deterministic",
        "use deterministic algorithms only; what has none fails",
        OptionSection.SETTINGS,
        {"action": "store_true"},
    ),
    Flag(
        "--allocator",
        "settings of the device's allocator, such as expandable_segments:True (see "
        "PYTORCH_ALLOC_CONF)",
        OptionSection.SETTINGS,
        {"metavar": "SETTINGS"},
    ),
    Flag(
        "--no-parity",
        "measure only, and compare no tensors",
        OptionSection.PARITY,
        {"action": "store_true"},
    ),
    Flag(
        "--parity-steps",
        f"compare the tensors of N training steps (default {_PARITY.steps})",
        OptionSection.PARITY,
        {"metavar": "N"},
    ),
    Flag(
        "--parity-budget",
        "compare for at most so long a case, compilation apart, with fewer steps or smaller "
        f"batches if need be (default {_PARITY.budget_s:g})",
        OptionSection.PARITY,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--train-parity",
        "also train each case and its eager twin over several seeds, and test whether they come "
        "to the same test accuracy",
        OptionSection.PARITY,
        {"action": "store_true"},
    ),
    Flag(
        "--train-steps",
        f"steps of each training (default {_TRAINING.steps})",
        OptionSection.PARITY,
        {"metavar": "N"},
    ),
    Flag(
        "--train-margin",
        "the difference in test accuracy that still counts as none (default "
        f"{_TRAINING.margin:g}: one percentage point)",
        OptionSection.PARITY,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--train-budget",
        f"train each case for at most so long (default {_TRAINING.budget_s:g})",
        OptionSection.PARITY,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--profile",
        "also profile each case once it has been measured: operators by phase in the reports, a "
        "trace and every other tab in TensorBoard (stepbench tensorboard)",
        OptionSection.PROFILING,
        {"action": "store_true"},
    ),
    Flag(
        "--profile-steps",
        f"steps of each trace (default {_PROFILING.steps}); many make TensorBoard slow",
        OptionSection.PROFILING,
        {"metavar": "N"},
    ),
    Flag(
        "--profile-stack",
        "record Python's call stacks and the modules as well; traces become large",
        OptionSection.PROFILING,
        {"action": "store_true"},
    ),
    Flag(
        "--profile-workers",
        "also time reading, each transform and collation in each loader worker",
        OptionSection.PROFILING,
        {"action": "store_true"},
    ),
    Flag(
        "--memory-snapshot",
        "also record a CUDA device's allocations, for pytorch.org/memory_viz",
        OptionSection.PROFILING,
        {"action": "store_true"},
    ),
    Flag(
        "--data-dir",
        "real data: a directory with cifar-10-batches-py/, or with train/CLASS/*.jpg for "
        "--dataset jpeg. Without it stepbench generates its own, in the same format",
        OptionSection.FILES,
        {"metavar": "DIR"},
    ),
    Flag(
        "--download",
        "fetch the published CIFAR-10 into --data-dir first",
        OptionSection.FILES,
        {"action": "store_true"},
    ),
    Flag(
        "--output",
        "the run's directory (default results/TIME-ID, with results/latest pointing at it)",
        OptionSection.FILES,
        {"metavar": "DIR"},
    ),
    Flag(
        "--resume",
        "resume a run that was cut off: measure the cases that it has no figures for",
        OptionSection.FILES,
        {"metavar": "DIR"},
    ),
)


def words_of(section: OptionSection) -> frozenset[str]:
    """The options of a section, such as `batch_size`."""
    return frozenset(flag.word for flag in FLAGS if flag.section == section)
