"""The stages of the check: what is run, for how long at most, and what it writes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REFERENCE, OUTCOMES = "reference.json", "stages.json"
TOTAL_S = 450.0
"""The time for all stages together, seconds; ending one, and judging, may take 20 s more."""
GRACE_S = 8.0
"""The time that a stage has to end its children and write its report after its limit, seconds."""
CONVNETS = ("off", "default", "reduce-overhead")
"""The values of `compile` of the stage `convnet`."""
RESNETS = ("fp32", "tf32", "bf16")
"""The precisions of the stage `resnet18`."""
KNOWN = ("--device", "cuda", "--batch-size", "4", "--num-workers", "0", "--pin-memory", "on",
         "--non-blocking", "on", "--compile", "off", "--no-parity")  # fmt: skip
"""The options of cases with known work."""
CONVNET = ("run", "--device", "cuda", "--workload", "convnet", "--batch-size", "32",
           "--num-workers", "0", "--compile")  # fmt: skip
BUDGETS = ("--max-time", "3", "--parity-budget", "15")


@dataclass(frozen=True)
class Stage:
    """A part of the check.

    Attributes:
        name: The stage's name.
        result: The file or directory that the stage writes in the check's directory.
        limit_s: The most time that the stage may take, seconds.
        command: The arguments of Python.
        directory: The directory to run in, below the check's.
    """

    name: str
    result: str
    limit_s: float
    command: tuple[str, ...]
    directory: str = "."


@dataclass(frozen=True)
class Ended:
    """How a stage ended: its exit code (`None` at its limit), in words, and its time in seconds."""

    code: int | None
    outcome: str
    elapsed_s: float


def stepbench(*arguments: str) -> tuple[str, ...]:
    """The arguments of Python that run stepbench."""
    return ("-m", "stepbench", *arguments)


STAGES = (
    Stage("reference", REFERENCE, 60, (str(HERE / "reference.py"), REFERENCE)),
    Stage(
        "truth", "truth", 60,
        stepbench(
            "run", *KNOWN, "--workload", *(f"truth_gpu.py:{f}" for f in ("fast", "slow", "greedy")),
            "--steps", "60", "--output", "truth",
        ),
    ),
    Stage(
        "profile", "prof", 45,
        stepbench(*CONVNET, "off", "--steps", "20", "--no-parity", "--profile", "--output", "prof"),
    ),
    Stage(
        "gate", "check", 105,
        stepbench(
            "regression", "--base", "HEAD~1", "--workload", "work.py:fast", *KNOWN,
            "--budget", "80s", "--pair-time", "1", "--output", "../check",
        ),
        "gate",
    ),
    Stage(
        "resnet18", "big", 100,
        stepbench(
            "run", "--device", "cuda", "--workload", "resnet18", "--batch-size", "512",
            "--num-workers", "8", "--compile", "off", "--precision", *RESNETS, *BUDGETS,
            "--output", "big",
        ),
    ),
    Stage(  # last: compiling takes the longest, and this stage has all the time that is left
        "convnet", "real", 200, stepbench(*CONVNET, *CONVNETS, *BUDGETS, "--output", "real")
    ),
)  # fmt: skip


def run_stages(
    stages: Sequence[Stage], directory: Path, total_s: float = TOTAL_S
) -> dict[str, Ended]:
    """Runs stages one after the other; a stage that fails does not end the rest.

    Args:
        stages: The stages.
        directory: The check's directory; gets `stages.json` after each stage.
        total_s: The time for all stages together, seconds.
    """
    end = time.monotonic() + total_s
    path = directory / OUTCOMES
    ended: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    now: dict[str, Ended] = {}
    for stage in stages:
        remove(directory / stage.result)
        now[stage.name] = run_stage(stage, directory, min(stage.limit_s, end - time.monotonic()))
        ended[stage.name] = asdict(now[stage.name])
        path.write_text(json.dumps(ended, indent=1))
        print(f"{stage.name} {now[stage.name].outcome}", flush=True)
    return now


def remove(path: Path) -> None:
    """Removes a file or a directory, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run_stage(stage: Stage, directory: Path, limit_s: float) -> Ended:
    """Runs a stage, and ends it at its limit; its output goes to a file of its name."""
    if limit_s <= 0:
        return Ended(None, "was not run: the time for all stages was over", 0.0)
    began = time.monotonic()
    with (directory / f"{stage.name}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *stage.command],
            cwd=directory / stage.directory,
            env=environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(process)
    elapsed_s = time.monotonic() - began
    if code is None:
        return Ended(None, f"was ended at its limit of {limit_s:.0f} s", elapsed_s)
    return Ended(code, f"ended with exit code {code} after {elapsed_s:.0f} s", elapsed_s)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that still runs: first so that it can end its children, then at once."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment(directory: Path) -> dict[str, str]:
    """The environment of a stage: this checkout's stepbench, with a cache of its own."""
    path = [str(ROOT / "bench"), str(ROOT / "reports"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONUNBUFFERED": "1",
        "STEPBENCH_CACHE_DIR": str(directory / "cache"),
    }
