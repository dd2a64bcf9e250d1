"""Writes a GitHub workflow that checks pull requests: `stepbench regression --init`."""

import json
import math
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from stepbench import machine
from stepbench.errors import UsageError

WORKFLOW = Path(".github") / "workflows" / "stepbench.yml"
"""The workflow's file, relative to the repository's root."""
MARK = "<!-- stepbench regression -->"
"""The first line of the comment, by which the next run of the job finds it."""
EXTRA_MINUTES = 50
"""The time of the job beyond the check's budget, minutes: installing, importing, tracing."""
OUTPUT = "results/stepbench"
"""The check's directory in the job."""
_TEMPLATE = Path(__file__).with_suffix(".yml")
"""The workflow, with a placeholder such as `@PYTHON@` for each value of `text`."""


def write(repository: Path, arguments: Sequence[str], *, budget_s: float, overwrite: bool) -> Path:
    """Writes the workflow into a repository.

    Args:
        repository: The repository's root.
        arguments: The options of `stepbench regression` in the workflow, without `--base`.
        budget_s: The time budget of the check, seconds.
        overwrite: True if the file may be replaced.

    Returns:
        The file.

    Raises:
        UsageError: The file exists, or cannot be written.
    """
    file = repository / WORKFLOW
    if file.exists() and not overwrite:
        raise UsageError(f"--init: {file} exists; edit it, or replace it with --overwrite")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text(arguments, budget_s), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--init: {file} cannot be written ({error.strerror}); make the directory writable"
        ) from None
    return file


def text(arguments: Sequence[str], budget_s: float) -> str:
    """The workflow, which runs the check with some options, and a budget in seconds."""
    values = {
        "@MINUTES@": str(math.ceil(budget_s / 60) + EXTRA_MINUTES),
        "@ARGUMENTS@": shlex.join(arguments),
        "@STEPBENCH@": _requirement(),
        "@PYTHON@": f"{sys.version_info.major}.{sys.version_info.minor}",
        "@OUTPUT@": OUTPUT,
        "@MARK@": MARK,
    }
    workflow = _TEMPLATE.read_text(encoding="utf-8")
    for placeholder, value in values.items():
        workflow = workflow.replace(placeholder, value)
    return workflow.replace(f"{OUTPUT} \n", f"{OUTPUT}\n").replace("--init \n", "--init\n")


def _requirement() -> str:
    """The requirement of this stepbench for pip: its git address if it has one, or its version."""
    origin = json.loads(metadata.distribution("stepbench").read_text("direct_url.json") or "{}")
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return f"stepbench @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    return f"stepbench=={machine.own_version()}"
