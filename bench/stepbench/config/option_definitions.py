"""The options of the command line, defined once for argparse and for pytest."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stepbench.config.axes import AXES
from stepbench.config.cluster import ENGINES
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.run import ParityOptions, ProfilingOptions, SamplingOptions

_SAMPLING, _PROFILING = SamplingOptions(), ProfilingOptions()
_PARITY, _TRAINING = ParityOptions(), TrainParityOptions()
"""The default options, for the help texts."""


class OptionSection(StrEnum):
    """The purpose of an option: a heading of `stepbench run --help`."""

    CASES = "what to measure"
    SAMPLING = "how long, and how"
    LIMITS = "when to stop a case"
    PARITY = "checks: parity with eager execution"
    PROFILING = "profile"
    SETTINGS = "settings of PyTorch"
    FILES = "data and output"
    CLUSTER = "several machines"


MOST_USED = "most used"
"""The first heading of `--help`, which lists `MOST_USED_OPTIONS`, whatever they are for."""
MOST_USED_OPTIONS = (
    "--base",
    "--min-effect",
    "--budget",
    "--workload",
    "--device",
    "--batch-size",
    "--num-workers",
    "--compile",
    "--precision",
    "--max-time",
    "--steps",
    "--profile",
    "--output",
)
"""The ten most used options of a run, and those of a check, in the order of `--help`."""


@dataclass(frozen=True)
class Flag:
    """An option of the command line.

    Attributes:
        name: The option as it is typed, such as `--batch-size`.
        help: One or two lines for `--help`.
        section: What the option is for: the heading of `--help` for all but the most used options.
        arguments: Further arguments of `argparse.ArgumentParser.add_argument`.
    """

    name: str
    help: str
    section: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The heading of `--help` that lists the option."""
        return MOST_USED if self.name in MOST_USED_OPTIONS else self.section

    @property
    def key(self) -> str:
        """The option's key in `Options.named`, such as `batch_size`."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def destination(self) -> str:
        """The attribute of the parsed options, with a prefix to avoid clashes in pytest."""
        return f"stepbench_{self.key}"

    def add_to(self, add_argument: Callable[..., object]) -> None:
        """Adds the option to a parser.

        Args:
            add_argument: `add_argument` of an argparse group, or `addoption` of one of pytest's.
        """
        add_argument(self.name, dest=self.destination, help=self.help, **self.arguments)


def add_flags(parser: argparse.ArgumentParser, flags: Iterable[Flag]) -> None:
    """Adds options to an argparse parser, under their headings."""
    for heading, listed in by_heading(flags).items():
        group = parser.add_argument_group(heading)
        for flag in listed:
            flag.add_to(group.add_argument)


def by_heading(flags: Iterable[Flag]) -> dict[str, list[Flag]]:
    """Groups options by heading: the most used first, the others in the order of `flags`."""
    given = list(flags)
    by_name = {flag.name: flag for flag in given}
    groups = {MOST_USED: [by_name[name] for name in MOST_USED_OPTIONS if name in by_name]}
    for flag in given:
        if flag.heading != MOST_USED:
            groups.setdefault(flag.heading, []).append(flag)
    return groups


FLAGS: tuple[Flag, ...] = (
    *(
        Flag(axis.flag, axis.help, OptionSection.CASES, {"nargs": "+", "metavar": axis.metavar})
        for axis in AXES
    ),
    Flag(
        "--matrix",
        "the matrix [tool.stepbench.matrix.NAME] in pyproject.toml; an option of the command "
        "line, such as --batch-size, replaces its values",
        OptionSection.CASES,
        {"metavar": "NAME"},
    ),
    Flag(
        "--steps",
        "sample exactly N steps per case with laps, and N without, in a single generation, "
        "whatever the limits of time and precision are; there are no intervals",
        OptionSection.SAMPLING,
        {"metavar": "N"},
    ),
    Flag(
        "--max-time",
        "time of sampling per case, with the starts of its processes and without the first "
        "compilation; cases that take turns share it "
        f"(default {_SAMPLING.max_time_s:g} s)",
        OptionSection.SAMPLING,
        {"metavar": "TIME"},
    ),
    Flag(
        "--generations",
        "start the processes of all cases N times before looking at the precision; what differs "
        "from start to start makes the intervals "
        f"(default {_SAMPLING.generations})",
        OptionSection.SAMPLING,
        {"metavar": "N"},
    ),
    Flag(
        "--rel-error",
        "take as many more generations, in the time that is left, as are needed to know each "
        "compiled case's speed-up to within this share, with 95 %% confidence "
        f"(default {_SAMPLING.rel_error:g})",
        OptionSection.SAMPLING,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--one-at-a-time",
        "measure each case without the others beside it; comparisons are then not paired, and the "
        "machine's drift is in them",
        OptionSection.SAMPLING,
        {"action": "store_true"},
    ),
    Flag(
        "--sync-phases",
        "synchronize the device after each phase, to time each phase alone, without overlap",
        OptionSection.SAMPLING,
        {"action": "store_true"},
    ),
    Flag(
        "--cold",
        "compile each case with an empty cache; by default, cases that compile to the same code "
        "share a cache",
        OptionSection.SAMPLING,
        {"action": "store_true"},
    ),
    Flag(
        "--deadline",
        "stop a case that makes no progress for this long: a single step, or compiling, takes "
        f"longer; a slow case goes on (default {_SAMPLING.deadline_s:g} s)",
        OptionSection.LIMITS,
        {"metavar": "TIME"},
    ),
    Flag(
        "--memory-limit",
        "stop a case whose processes, with its loader workers and shared memory, use more host "
        "memory than this together (PSS, on Linux), such as 8GiB; its status is oom",
        OptionSection.LIMITS,
        {"metavar": "SIZE"},
    ),
    Flag(
        "--no-parity",
        "do not compare the tensors of each case with eager execution in double precision",
        OptionSection.PARITY,
        {"action": "store_true"},
    ),
    Flag(
        "--parity-steps",
        f"training steps whose tensors are compared (default {_PARITY.steps})",
        OptionSection.PARITY,
        {"metavar": "N"},
    ),
    Flag(
        "--parity-budget",
        f"maximum time to compare a case, without compilation (default {_PARITY.budget_s:g} s); "
        "if it is too short, fewer steps or smaller batches are compared",
        OptionSection.PARITY,
        {"metavar": "TIME"},
    ),
    Flag(
        "--train-parity",
        "also train each case, and the same model in eager fp32, with several seeds; test whether "
        "both reach the same test accuracy",
        OptionSection.PARITY,
        {"action": "store_true"},
    ),
    Flag(
        "--train-steps",
        f"steps of each training run (default {_TRAINING.steps})",
        OptionSection.PARITY,
        {"metavar": "N"},
    ),
    Flag(
        "--train-margin",
        "the largest difference in test accuracy that counts as equal (default "
        f"{_TRAINING.margin:g}, one percentage point)",
        OptionSection.PARITY,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--train-budget",
        f"maximum training time per case (default {_TRAINING.budget_s:g} s)",
        OptionSection.PARITY,
        {"metavar": "TIME"},
    ),
    Flag(
        "--profile",
        "also profile each case; the reports then list operators by phase, and stepbench "
        "tensorboard shows the trace, and curves of a few seconds of training",
        OptionSection.PROFILING,
        {"action": "store_true"},
    ),
    Flag(
        "--profile-steps",
        f"steps per trace (default {_PROFILING.steps}); long traces make TensorBoard slow",
        OptionSection.PROFILING,
        {"metavar": "N"},
    ),
    Flag(
        "--profile-stack",
        "also record Python call stacks and modules; traces become large",
        OptionSection.PROFILING,
        {"action": "store_true"},
    ),
    Flag(
        "--profile-workers",
        "also time reading, transforms and collation in each DataLoader worker",
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
        "--threads",
        "threads within an operator (torch.set_num_threads)",
        OptionSection.SETTINGS,
        {"metavar": "N"},
    ),
    Flag(
        "--interop-threads",
        "threads that run operators in parallel (torch.set_num_interop_threads)",
        OptionSection.SETTINGS,
        {"metavar": "N"},
    ),
    Flag(
        "--seed",
        "random seed of weights, shuffling and DataLoader workers (default 0)",
        OptionSection.SETTINGS,
        {"metavar": "N"},
    ),
    Flag(
        "--cudnn-benchmark",
        "let cuDNN benchmark its algorithms and use the fastest (torch.backends.cudnn.benchmark)",
        OptionSection.SETTINGS,
        {"action": "store_true"},
    ),
    Flag(
        "--deterministic",
        "use deterministic algorithms only (torch.use_deterministic_algorithms); an operator that "
        "has none fails",
        OptionSection.SETTINGS,
        {"action": "store_true"},
    ),
    Flag(
        "--allocator",
        "settings of the device's memory allocator (PYTORCH_ALLOC_CONF, which it overrides), such "
        "as expandable_segments:True",
        OptionSection.SETTINGS,
        {"metavar": "SETTINGS"},
    ),
    Flag(
        "--data-dir",
        "a directory with real data: cifar-10-batches-py/; for --dataset jpeg train/CLASS/*.jpg, "
        "and test/ or val/ with the same classes; without it, stepbench generates data in the same "
        "format",
        OptionSection.FILES,
        {"metavar": "DIR"},
    ),
    Flag(
        "--download",
        "download CIFAR-10, into --data-dir if it is given",
        OptionSection.FILES,
        {"action": "store_true"},
    ),
    Flag(
        "--output",
        "the run's directory (default results/TIME-ID; results/latest links to it)",
        OptionSection.FILES,
        {"metavar": "DIR"},
    ),
    Flag(
        "--resume",
        "resume the interrupted run in this directory: measure the cases that are missing or were "
        "not finished",
        OptionSection.FILES,
        {"metavar": "DIR"},
    ),
    Flag(
        "--on",
        "spread the cases over the nodes of a cluster: slurm, ray, or local to try the same way "
        "with processes on this machine; the directory of the run lies on a file system that all "
        "nodes share",
        OptionSection.CLUSTER,
        {"metavar": "ENGINE", "choices": ENGINES},
    ),
    Flag(
        "--on-option",
        "an option of the engine: any of sbatch for slurm (partition=gpu gres=gpu:1 account=me), "
        "address, num_gpus, resource or runtime_env for ray, nodes for local",
        OptionSection.CLUSTER,
        {"nargs": "+", "action": "extend", "metavar": "KEY=VALUE"},
    ),
    Flag(
        "--hosts-as-axis",
        "measure all cases on each node, and say which nodes are slow",
        OptionSection.CLUSTER,
        {"action": "store_true"},
    ),
)


def options_in(section: OptionSection) -> frozenset[str]:
    """The keys of a section's options, such as `batch_size`."""
    return frozenset(flag.key for flag in FLAGS if flag.section == section)
