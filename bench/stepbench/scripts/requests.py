"""The request to a script's process, and what the process tells at its end; torch is not needed."""

from dataclasses import dataclass, field
from pathlib import Path

from stepbench.config.turns import PlayerFacts
from stepbench_reports.schema.axes import AxisValue
from stepbench_reports.schema.profile import ProfileFindings


@dataclass(frozen=True)
class ScriptCommand:
    """A training script, as it is started on a command line.

    Attributes:
        target: The file's path, or a module's name.
        is_module: True for `-m package.module`.
        arguments: The arguments that the script finds in `sys.argv`.
    """

    target: str
    is_module: bool
    arguments: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The script as reports name it: the file's name or the module's."""
        return self.target if self.is_module else Path(self.target).name


@dataclass(frozen=True)
class ScriptTrace:
    """A trace to take of a script after its warm-up.

    Attributes:
        name: The trace's name: the case's id.
        steps: The number of steps to keep.
        trace: The file for the trace.
        tensorboard: The directory that TensorBoard reads.
        scratch: A directory for unfinished files.
    """

    name: str
    steps: int
    trace: Path
    tensorboard: Path
    scratch: Path


@dataclass(frozen=True)
class ScriptRequest:
    """A script to run in a fresh process.

    Attributes:
        script: The script.
        alone: True if no other player takes turns: then no step is left out at a turn's begin.
        warm_up_s: The longest duration of the warm-up, seconds.
        changes: The settings that `--set` changes, by axis.
        seed: The seed of Python's, NumPy's and torch's random numbers before the script draws any;
            `None` to leave them as they are.
        compared_steps: The number of first backward passes whose losses are kept.
        tree: The root of the files that the script runs in, and of the repository that they are a
            copy of: modules of the repository that come from elsewhere are told. `None` to tell
            none.
        repository: See `tree`.
        device: The device that the script must train on; `None` for any.
        trace: The trace to take before the script's end; `None` for none.
    """

    script: ScriptCommand
    alone: bool
    warm_up_s: float
    changes: dict[str, AxisValue] = field(default_factory=dict)
    seed: int | None = None
    compared_steps: int = 0
    device: str | None = None
    trace: ScriptTrace | None = None
    tree: Path | None = None
    repository: Path | None = None


@dataclass(frozen=True)
class ScriptEnd(PlayerFacts):
    """The facts of a script's process at its end.

    Attributes:
        axes: The script's value on each axis that was recognised.
        losses: The loss of each backward pass of the first steps.
        inputs: A checksum of the model's input for each of these passes.
        devices: The devices that torch can use, and the model of each.
        profile: The trace's findings; `None` without a trace.
        modules: The number of modules that were loaded from the request's tree.
        foreign: The files of the repository that were loaded from outside of it.
    """

    axes: dict[str, AxisValue] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    inputs: tuple[float, ...] = ()
    devices: dict[str, str] = field(default_factory=dict)
    profile: ProfileFindings | None = None
    modules: int = 0
    foreign: tuple[str, ...] = ()
