"""The options of `stepbench script`, read once from the command line into a frozen object."""

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbench.config.axes import AXIS
from stepbench.config.option_definitions import Flag
from stepbench.config.options import MAX_COMPARED_STEPS, MAX_GENERATIONS, MAX_SEED, MAX_STEPS
from stepbench.config.values import (
    count,
    duration,
    is_file,
    path,
    positive_share,
    shown,
    whole_number,
)
from stepbench.errors import UsageError, suggestion
from stepbench.scripts.requests import ScriptCommand
from stepbench_reports.schema.axes import AxisValue
from stepbench_reports.schema.run import ProfilingOptions, SamplingOptions

SETTINGS = (
    "num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "batch_size", "compile",
    "precision", "optimizer",
)  # fmt: skip
"""The axes that `--set` can replace in a script."""
SCRIPT_DEADLINE_S = 1800.0
"""The longest silence of a script, seconds: it may prepare data before its first step."""
CASE_S = 60.0
"""The time for each setting of `--set`, seconds, with the starts of its processes."""
Changes = dict[str, AxisValue]

_WHAT, _LENGTH, _FILES = "what to measure", "for how long", "files and output"
_PROFILE = "profile"
FLAGS: tuple[Flag, ...] = (
    Flag(
        "--set",
        "settings to replace as the script constructs its DataLoader, optimizer and model, such as "
        "num_workers=0,2 compile=off,default; every combination is compared with the unchanged "
        f"script. Settings: {', '.join(SETTINGS)}",
        _WHAT,
        {"metavar": "NAME=VALUES", "nargs": "+", "action": "extend"},
    ),
    Flag(
        "--device",
        "fail unless the script trains on this device, such as cuda; the script is not moved",
        _WHAT,
        {"metavar": "DEVICE"},
    ),
    Flag(
        "--steps",
        "stop the script at a step's end after this number of steps with laps and as many without, "
        "beyond the warm-up (default: run it to its end)",
        _LENGTH,
        {"metavar": "N"},
    ),
    Flag(
        "--max-time",
        f"stop measuring after this time (default: no limit; with --set {CASE_S:g} s for "
        "each setting)",
        _LENGTH,
        {"metavar": "TIME"},
    ),
    Flag(
        "--generations",
        "with --set: how often each setting is started anew, at least (default 6)",
        _LENGTH,
        {"metavar": "N"},
    ),
    Flag(
        "--rel-error",
        "with --set: the precision of comparisons that is aimed at (default 0.02)",
        _LENGTH,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--deadline",
        "end a script that takes no step for this time (default "
        f"{SCRIPT_DEADLINE_S / 60:g} min)",
        _LENGTH,
        {"metavar": "TIME"},
    ),
    Flag(
        "--seed",
        "seed the random numbers of Python, NumPy and torch before the script draws any (default: "
        "0 with --set, else not)",
        _LENGTH,
        {"metavar": "N"},
    ),
    Flag(
        "--profile",
        "then run the script again, and trace some steps under torch.profiler: operators by phase, "
        "for TensorBoard and Perfetto",
        _PROFILE,
        {"action": "store_true"},
    ),
    Flag(
        "--profile-steps",
        f"with --profile: the number of steps in a trace (default {ProfilingOptions().steps})",
        _PROFILE,
        {"metavar": "N"},
    ),
    Flag(
        "--in-place",
        "run in the current directory, which is the default without --set; with --set each script "
        "runs in a copy of it, and this option is refused",
        _FILES,
        {"action": "store_true"},
    ),
    Flag(
        "--share",
        "with --set: folders that copies only link to, such as data; the script must not write "
        "there",
        _FILES,
        {"metavar": "PATH", "nargs": "+"},
    ),
    Flag(
        "--output", "the run's directory (default: a new one in results/)", _FILES,
        {"metavar": "DIR"},
    ),
    Flag(
        "--resume",
        "go on with the interrupted run in this directory; the script follows -- again, and the "
        "options are the run's own",
        _FILES,
        {"metavar": "DIR"},
    ),
    Flag(
        "-q",
        "write what the script prints to the run directory, not to the terminal",
        _FILES,
        {"action": "store_true"},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class ScriptOptions:
    """The options of measuring a script.

    Attributes:
        script: The script.
        changes: The settings of each variant beside the unchanged script; empty without `--set`.
        device: The device that the script must train on; `None` for any.
        sampling: The length and precision.
        limited: True if `--max-time` was given.
        seed: The seed of random numbers; `None` to leave them as they are.
        share: The folders that copies of the working tree only link to.
        profiling: The options of traces; `None` to take none.
        output: The run's directory; `None` for a new one.
        resume: The directory of the run that is resumed; `None` for a new run.
        quiet: True to write the script's output to the run directory.
    """

    script: ScriptCommand
    changes: tuple[Changes, ...]
    device: str | None
    sampling: SamplingOptions
    limited: bool
    seed: int | None
    share: tuple[Path, ...]
    profiling: ProfilingOptions | None
    output: Path | None
    resume: Path | None
    quiet: bool


def read(value: Mapping[str, Any], words: Sequence[str]) -> ScriptOptions:
    """Reads the options.

    Args:
        value: The values of `FLAGS` by name, such as `--steps`.
        words: The script and its arguments, which follow `--`.

    Raises:
        UsageError: A value cannot be used.
    """
    varied = _settings(value["--set"] or ())
    changes = tuple(
        dict(zip(varied, combination, strict=True))
        for combination in itertools.product(*varied.values())
        if varied
    )
    if changes and value["--in-place"]:
        raise UsageError(
            "--in-place: with --set several scripts live at once, and would write the same files; "
            "leave it out, and each runs in a copy of the current directory"
        )
    for option in ("--generations", "--share", "--rel-error"):
        if value[option] is not None and not changes:
            raise UsageError(f"{option}: takes effect only with --set; leave it out")
    return ScriptOptions(
        script=script_of(words),
        changes=changes,
        device=_device(value["--device"]),
        sampling=_sampling(value, compares=bool(changes)),
        limited=value["--max-time"] is not None,
        seed=_seed(value["--seed"], default=0 if changes else None),
        share=tuple(_shared(word) for word in value["--share"] or ()),
        profiling=_profiling(value),
        output=path("--output", value["--output"]),
        resume=None,
        quiet=bool(value["-q"]) or bool(changes),
    )


def script_of(words: Sequence[str]) -> ScriptCommand:
    """The script that follows `--`.

    Raises:
        UsageError: There is none, or no such file.
    """
    if not words:
        raise UsageError(
            "-- train.py: give the script and its arguments after --, such as "
            "stepbench script -- train.py --epochs 1"
        )
    first, *rest = words
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):  # as Python has such bytes
            raise UsageError(
                f"-- {word!a}: is not UTF-8, and cannot be recorded; give the script another name "
                f"for it"
            )
    if first == "-m":
        if not rest:
            raise UsageError("-m: give a module's name, such as -- -m package.train")
        return ScriptCommand(rest[0], is_module=True, arguments=tuple(rest[1:]))
    if first in {"python", "python3"}:
        raise UsageError(
            f"-- {shlex.join(words)}: leave {first} out; the script runs in the Python that "
            f"stepbench is installed in"
        )
    if not is_file(Path(first)):
        names = [each.name for each in Path.cwd().glob("*.py")]
        hint = suggestion(first, names) if names else "give the path of a .py file"
        raise UsageError(f"-- {shown(first)}: there is no such file; {hint}")
    return ScriptCommand(first, is_module=False, arguments=tuple(rest))


def _settings(words: Sequence[str]) -> dict[str, tuple[AxisValue, ...]]:
    """Reads `num_workers=0,2`; a name that comes twice has the values of both."""
    given: dict[str, list[str]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.replace("-", "_")
        if not equals or not text:
            raise UsageError(
                f"--set {shown(word)}: give NAME=VALUES, with commas between values, such as "
                f"num_workers=0,2"
            )
        if name not in SETTINGS:
            raise UsageError(
                f"--set {shown(word)}: cannot be replaced in a script; {suggestion(name, SETTINGS)}"
            )
        given.setdefault(name, []).append(text)
    found: dict[str, tuple[AxisValue, ...]] = {}
    for name, texts in given.items():
        try:
            found[name] = AXIS[name].read(texts)
        except UsageError as error:
            raise UsageError(f"--set {name}={','.join(texts)}: {error}") from None
    if "tf32" in found.get("precision", ()):
        raise UsageError("--set precision=tf32: is set by torch alone; give fp32, bf16 or fp16")
    return found


def _device(word: str | None) -> str | None:
    return None if word is None else str(AXIS["device"].read([word])[0])


def _sampling(value: Mapping[str, Any], *, compares: bool) -> SamplingOptions:
    defaults, steps = SamplingOptions(), value["--steps"]
    generations = defaults.generations if compares else 1
    if value["--generations"] is not None:
        generations = count("--generations", value["--generations"], MAX_GENERATIONS)
    return SamplingOptions(
        steps=None if steps is None else count("--steps", steps, MAX_STEPS),
        generations=generations,
        max_time_s=duration("--max-time", value["--max-time"], CASE_S),
        rel_error=positive_share("--rel-error", value["--rel-error"], defaults.rel_error),
        deadline_s=duration("--deadline", value["--deadline"], SCRIPT_DEADLINE_S),
    )


def _profiling(value: Mapping[str, Any]) -> ProfilingOptions | None:
    steps = value["--profile-steps"]
    if not value["--profile"]:
        if steps is not None:
            raise UsageError(
                f"--profile-steps {shown(steps)}: takes effect only with --profile; add --profile"
            )
        return None
    if steps is None:
        return ProfilingOptions()
    return ProfilingOptions(steps=count("--profile-steps", steps, MAX_COMPARED_STEPS))


def _seed(word: str | None, *, default: int | None) -> int | None:
    if word is None:
        return default
    try:
        return whole_number(word, 0, MAX_SEED)
    except ValueError as error:
        raise UsageError(f"--seed {shown(word)}: {error}") from None


def _shared(word: str) -> Path:
    shared = path("--share", word)
    if shared is None or not shared.exists():
        raise UsageError(f"--share {word}: does not exist; give an existing folder")
    if not shared.is_relative_to(Path.cwd()):
        raise UsageError(
            f"--share {word}: is outside of the current directory, so every copy reads it already; "
            f"leave it out"
        )
    return shared
