"""What a run was asked to do: the command line's options, read once into one frozen object."""

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.case import AXES, AXIS, Matrix, near
from bench.errors import UsageError
from bench.request import Parity, Profiling, Sampling, TrainParity
from bench.settings import Settings

DEADLINE_S = 300.0
"""After how long a case is given up, unless told otherwise."""


@dataclass(frozen=True)
class Flag:
    """An option of the command line, for pytest's parser and for our own help alike.

    Attributes:
        name: As it is written.
        help: What it does; a line or two.
        section: Under which heading the help shows it.
        arguments: Further arguments of `argparse.ArgumentParser.add_argument`.
    """

    name: str
    help: str
    section: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def destination(self) -> str:
        """The attribute of the parsed options. Prefixed, since pytest has a `--steps`-like many."""
        return "stepbench_" + self.name.lstrip("-").replace("-", "_")


_WHAT, _HOW, _UNDER, _SAME, _WITHIN, _WHERE = (
    "what to measure",
    "how to measure",
    "under which settings",
    "is it still the same training?",
    "where the time goes within a phase",
    "data and results",
)

FLAGS: tuple[Flag, ...] = (
    *(Flag(axis.flag, axis.help, _WHAT, {"nargs": "+", "metavar": axis.metavar}) for axis in AXES),
    Flag(
        "--matrix",
        "a matrix of [tool.stepbench.matrix.NAME] in pyproject.toml; options given beside it "
        "replace its axes",
        _WHAT,
        {"metavar": "NAME"},
    ),
    Flag("--steps", "exactly N lapped steps for each case", _HOW, {"metavar": "N"}),
    Flag(
        "--max-time",
        "sample each case for at most so long, not counting warm-up and compilation "
        f"(default {Sampling.max_time_s:g})",
        _HOW,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--rel-error",
        "stop earlier once half the width of the median step's 95 %% interval is at most this "
        f"share of it (default {Sampling.rel_error:g})",
        _HOW,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--sync-phases",
        "wait for the device at every lap: shows what each phase costs by itself, without the "
        "overlap that training has",
        _HOW,
        {"action": "store_true"},
    ),
    Flag(
        "--cold",
        "an empty compile cache for each compiled case, where those that compile the same would "
        "share one",
        _HOW,
        {"action": "store_true"},
    ),
    Flag(
        "--deadline",
        f"give a case up after so long, compilation included (default {DEADLINE_S:g})",
        _HOW,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--memory-limit",
        "give a case up as oom once it wants more host memory than this, such as 8GiB",
        _HOW,
        {"metavar": "SIZE"},
    ),
    Flag("--threads", "threads that compute within an operator", _UNDER, {"metavar": "N"}),
    Flag("--interop-threads", "threads that run operators side by side", _UNDER, {"metavar": "N"}),
    Flag(
        "--seed",
        "of weights, shuffling and loader workers (default 0)",
        _UNDER,
        {"metavar": "N"},
    ),
    Flag(
        "--cudnn-benchmark",
        "let cuDNN try its algorithms and keep the fastest",
        _UNDER,
        {"action": "store_true"},
    ),
    Flag(
        "--deterministic",
        "use deterministic algorithms only; what has none fails",
        _UNDER,
        {"action": "store_true"},
    ),
    Flag(
        "--allocator",
        "settings of the device's allocator, such as expandable_segments:True (see "
        "PYTORCH_ALLOC_CONF)",
        _UNDER,
        {"metavar": "SETTINGS"},
    ),
    Flag("--no-parity", "measure only, and compare no tensors", _SAME, {"action": "store_true"}),
    Flag(
        "--parity-steps",
        f"compare the tensors of N training steps (default {Parity.steps})",
        _SAME,
        {"metavar": "N"},
    ),
    Flag(
        "--parity-budget",
        "compare for at most so long a case, compilation apart, with fewer steps or smaller "
        f"batches if need be (default {Parity.budget_s:g})",
        _SAME,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--train-parity",
        "also train each case and its eager twin over several seeds, and test whether they come "
        "to the same test accuracy",
        _SAME,
        {"action": "store_true"},
    ),
    Flag(
        "--train-steps",
        f"steps of each training (default {TrainParity.steps})",
        _SAME,
        {"metavar": "N"},
    ),
    Flag(
        "--train-margin",
        "the difference in test accuracy that still counts as none (default "
        f"{TrainParity.margin:g}: one percentage point)",
        _SAME,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--train-budget",
        f"train each case for at most so long (default {TrainParity.budget_s:g})",
        _SAME,
        {"metavar": "SECONDS"},
    ),
    Flag(
        "--profile",
        "also profile each case once it has been measured: operators by phase in the reports, a "
        "trace and every other tab in TensorBoard (nox -s tensorboard)",
        _WITHIN,
        {"action": "store_true"},
    ),
    Flag(
        "--profile-steps",
        f"steps of each trace (default {Profiling.steps}); many make TensorBoard slow",
        _WITHIN,
        {"metavar": "N"},
    ),
    Flag(
        "--profile-stack",
        "record Python's call stacks and the modules as well; traces become large",
        _WITHIN,
        {"action": "store_true"},
    ),
    Flag(
        "--profile-workers",
        "also time reading, each transform and collation in each loader worker",
        _WITHIN,
        {"action": "store_true"},
    ),
    Flag(
        "--memory-snapshot",
        "also record a CUDA device's allocations, for pytorch.org/memory_viz",
        _WITHIN,
        {"action": "store_true"},
    ),
    Flag(
        "--data-dir",
        "real data: a directory with cifar-10-batches-py/, or with train/CLASS/*.jpg for "
        "--dataset jpeg. Without it stepbench draws its own, in the same format",
        _WHERE,
        {"metavar": "DIR"},
    ),
    Flag(
        "--download",
        "fetch the published CIFAR-10 into --data-dir first",
        _WHERE,
        {"action": "store_true"},
    ),
    Flag(
        "--output",
        "the run's directory (default results/TIME-ID, with results/latest pointing at it)",
        _WHERE,
        {"metavar": "DIR"},
    ),
    Flag(
        "--resume",
        "go on with a run that was cut off: measure what it has no figures for",
        _WHERE,
        {"metavar": "DIR"},
    ),
)


@dataclass(frozen=True)
class Options:
    """What a run was asked to do.

    Attributes:
        matrix: The axes; its devices may still be `bench.case.EVERY_DEVICE`.
        sampling: How long each case is sampled, and how.
        settings: What bears upon every case alike.
        parity: How tensors are compared; `None` where they are not.
        train_parity: How trained models are compared; `None` where they are not.
        profiling: What is profiled; `None` where nothing is.
        cold: Whether each compiled case has a compile cache of its own.
        deadline_s: After how long a case is given up.
        memory_limit_bytes: What a case may allocate on the host; `None` for no limit.
        data_dir: Where real data lie.
        download: Whether the published data set may be fetched.
        output: The run's directory; `None` for one beneath `results/`.
        resume: The directory of the run to go on with.
        named: The options that were given on the command line, such as `batch_size`.
    """

    matrix: Matrix
    sampling: Sampling
    settings: Settings
    parity: Parity | None
    train_parity: TrainParity | None
    profiling: Profiling | None
    cold: bool
    deadline_s: float
    memory_limit_bytes: int | None
    data_dir: Path | None
    download: bool
    output: Path | None
    resume: Path | None
    named: frozenset[str]


def read(given: Mapping[str, Any], directory: Path) -> Options:
    """Options from the values of `FLAGS`, by destination; absent and `None` are the same.

    Args:
        given: What the command line says.
        directory: Where `pyproject.toml` is looked for.

    Raises:
        UsageError: A value is not to be used. Nothing has been measured, and torch not imported.
    """
    value = {flag.name: given.get(flag.destination) for flag in FLAGS}
    named = frozenset(flag.name[2:].replace("-", "_") for flag in FLAGS if value[flag.name])
    base = (
        default_matrix()
        if value["--matrix"] is None
        else named_matrix(value["--matrix"], directory)
    )
    axes = {
        axis.name: axis.read(value[axis.flag] or ()) if axis.name in named else base.axes[axis.name]
        for axis in AXES
    }
    matrix = replace(base, axes=axes)
    for case in matrix.cases:  # also raises where there are none
        _refuse_missing_file(case.workload, directory)
    if value["--output"] is not None and value["--resume"] is not None:
        raise UsageError("--output and --resume: a resumed run stays where it is; give one of them")
    data_dir = _path(value["--data-dir"])
    if data_dir is not None and not data_dir.is_dir() and not value["--download"]:
        raise UsageError(
            f"--data-dir {data_dir}: is no directory; name one, add --download to fill it, "
            f"or leave it out for data that stepbench draws"
        )
    return Options(
        matrix=matrix,
        sampling=Sampling(
            steps=None if value["--steps"] is None else _count("--steps", value["--steps"]),
            max_time_s=positive("--max-time", value["--max-time"], Sampling.max_time_s, "seconds"),
            rel_error=positive("--rel-error", value["--rel-error"], Sampling.rel_error, "a share"),
            sync_phases=bool(value["--sync-phases"]),
        ),
        settings=_settings(value),
        parity=_parity(value),
        train_parity=_train_parity(value),
        profiling=_profiling(value),
        cold=bool(value["--cold"]),
        deadline_s=positive("--deadline", value["--deadline"], DEADLINE_S, "seconds"),
        memory_limit_bytes=_size("--memory-limit", value["--memory-limit"]),
        data_dir=data_dir,
        download=bool(value["--download"]),
        output=_path(value["--output"]),
        resume=_path(value["--resume"]),
        named=named,
    )


def _parity(value: Mapping[str, Any]) -> Parity | None:
    steps, budget = value["--parity-steps"], value["--parity-budget"]
    if value["--no-parity"]:
        if steps is not None or budget is not None:
            raise UsageError("--no-parity: leave it out, or --parity-steps and --parity-budget")
        return None
    return Parity(
        steps=Parity.steps if steps is None else _count("--parity-steps", steps),
        budget_s=positive("--parity-budget", budget, Parity.budget_s, "seconds"),
    )


def _train_parity(value: Mapping[str, Any]) -> TrainParity | None:
    told = {name: value[name] for name in ("--train-steps", "--train-margin", "--train-budget")}
    if not value["--train-parity"]:
        needless = next((name for name, word in told.items() if word is not None), None)
        if needless is not None:
            raise UsageError(f"{needless} {told[needless]}: is for trainings; add --train-parity")
        return None
    steps, margin, budget = told.values()
    return TrainParity(
        steps=TrainParity.steps if steps is None else _count("--train-steps", steps),
        margin=positive("--train-margin", margin, TrainParity.margin, "a share"),
        budget_s=positive("--train-budget", budget, TrainParity.budget_s, "seconds"),
    )


def _profiling(value: Mapping[str, Any]) -> Profiling | None:
    steps = value["--profile-steps"]
    options = ("--profile-stack", "--profile-workers", "--memory-snapshot")
    if not value["--profile"]:
        needless = next((name for name in options if value[name]), None)
        if steps is not None:
            needless = f"--profile-steps {steps}"
        if needless is not None:
            raise UsageError(f"{needless}: is for profiling; add --profile")
        return None
    stack, workers, snapshot = (bool(value[name]) for name in options)
    return Profiling(
        steps=Profiling.steps if steps is None else _count("--profile-steps", steps),
        stack=stack,
        workers=workers,
        memory_snapshot=snapshot,
    )


def _settings(value: Mapping[str, Any]) -> Settings:
    counts = {
        option: None if value[option] is None else _count(option, value[option])
        for option in ("--threads", "--interop-threads")
    }
    seed, allocator = value["--seed"], value["--allocator"]
    if seed is not None and not seed.isdecimal():
        raise UsageError(f"--seed {seed}: give a whole number of 0 or more")
    if allocator is not None and not _ALLOCATOR.fullmatch(allocator):
        raise UsageError(
            f"--allocator {allocator}: give name:value pairs with commas between them, such as "
            f"expandable_segments:True,max_split_size_mb:128"
        )
    return Settings(
        threads=counts["--threads"],
        interop_threads=counts["--interop-threads"],
        seed=int(seed or 0),
        cudnn_benchmark=bool(value["--cudnn-benchmark"]),
        deterministic=bool(value["--deterministic"]),
        allocator=allocator,
    )


_ALLOCATOR = re.compile(r"\w+:[^,]+(,\w+:[^,]+)*")


def default_matrix() -> Matrix:
    """The matrix of a run that names no axis."""
    return Matrix({axis.name: axis.default for axis in AXES})


def named_matrix(name: str, directory: Path) -> Matrix:
    """A matrix from `[tool.stepbench.matrix.NAME]`.

    Raises:
        UsageError: It is not there, or something in it is not to be used.
    """
    place = directory / "pyproject.toml"
    try:
        content = tomllib.loads(place.read_text())
    except FileNotFoundError:
        raise UsageError(
            f"--matrix {name}: there is no pyproject.toml in {directory}; "
            f"run where it lies, or name the axes as options"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--matrix {name}: {place} is not valid TOML: {error}") from None
    matrices = content.get("tool", {}).get("stepbench", {}).get("matrix", {})
    if name not in matrices:
        hint = near(name, matrices) if matrices else "add [tool.stepbench.matrix.NAME]"
        raise UsageError(f"--matrix {name}: {place} has no such matrix; {hint}")
    table = dict(matrices[name])
    include = tuple(_point(name, point) for point in table.pop("include", ()))
    exclude = tuple(_point(name, point) for point in table.pop("exclude", ()))
    axes = {
        **default_matrix().axes,
        **{_axis(name, key): _values(name, key, values) for key, values in table.items()},
    }
    return Matrix(axes, include, exclude)


def _axis(matrix: str, key: str) -> str:
    axis = key.replace("-", "_")
    if axis not in AXIS:
        known = [*(axis.flag[2:] for axis in AXES), "include", "exclude"]
        raise UsageError(f"--matrix {matrix}: there is no axis {key!r}; {near(key, known)}")
    return axis


def _values(matrix: str, key: str, values: object) -> tuple[Any, ...]:
    words = values if isinstance(values, list) else [values]
    if not words:
        raise UsageError(f"--matrix {matrix}: {key} has no values; give at least one")
    try:
        return AXIS[_axis(matrix, key)].read(words)
    except UsageError as error:
        raise UsageError(f"--matrix {matrix}: {error}") from None


def _point(matrix: str, point: object) -> dict[str, Any]:
    if not isinstance(point, dict) or not point:
        raise UsageError(
            f"--matrix {matrix}: include and exclude are lists of tables, such as "
            f"[{{ device = 'cpu', compile = 'max-autotune' }}]; got {point!r}"
        )
    return {_axis(matrix, key): _values(matrix, key, value)[0] for key, value in point.items()}


def _refuse_missing_file(workload: str, directory: Path) -> None:
    place, colon, _ = workload.rpartition(":")
    if colon and place.endswith(".py") and not (directory / place).is_file():
        beside = [path.name for path in directory.glob("*.py")]
        matches = difflib.get_close_matches(Path(place).name, beside, n=1)
        hint = f"did you mean {matches[0]}?" if matches else "give the path of a .py file"
        raise UsageError(f"--workload {workload}: there is no file {place}; {hint}")


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value).expanduser().absolute()


def _count(option: str, word: str) -> int:
    number = int(word) if word.isdecimal() else 0
    if number < 1:
        raise UsageError(f"{option} {word}: give a whole number of 1 or more")
    return number


def positive(option: str, word: str | None, default: float, unit: str) -> float:
    """A number above 0 from the command line, or the default where none is given.

    Raises:
        UsageError: It is none.
    """
    if word is None:
        return default
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{option} {word}: give {unit} above 0, such as {default:g}")
    return number


_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def _size(option: str, word: str | None) -> int | None:
    if word is None:
        return None
    digits = word.rstrip("BKMGibkmg")
    unit = word[len(digits) :].upper()
    try:
        size = float(digits) * _UNITS[unit]
    except (KeyError, ValueError):
        size = 0
    if not 1 <= size < math.inf:
        raise UsageError(f"{option} {word}: give a size above 0, such as 8GiB or 500MB")
    return int(size)
