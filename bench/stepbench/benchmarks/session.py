"""`stepbench run`: pytest with stepbench's plugin and benchmarks, without user configuration."""

import argparse
import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from stepbench.config.option_definitions import FLAGS, Flag, add_flags
from stepbench_reports.command_line import USAGE_ERROR, print_error

SPELLED_ALIKE = 0.85
"""The similarity of names, by `difflib`, from which an option is taken for a misspelt one."""
HERE = Path(__file__).resolve().parent

_PYTEST = "any option of pytest and pytest-benchmark, such as"
PYTEST_FLAGS: tuple[Flag, ...] = (
    Flag(
        "-k",
        'only what has these words in its name, such as -k "b32 and not w0" or -k profile',
        _PYTEST,
        {"metavar": "WORDS"},
    ),
    Flag("-x", "stop at the first failure", _PYTEST, {"action": "store_true"}),
    Flag("--lf", "only what failed in the last run", _PYTEST, {"action": "store_true"}),
    Flag("--collect-only", "list the cases, and end", _PYTEST, {"action": "store_true"}),
    Flag("-v", "name each test, with its outcome", _PYTEST, {"action": "store_true"}),
    Flag("-q", "print failures only", _PYTEST, {"action": "store_true"}),
    Flag("--junitxml", "also write a JUnit report", _PYTEST, {"metavar": "FILE"}),
    Flag("--benchmark-json", "pytest-benchmark's JSON file", _PYTEST, {"metavar": "FILE"}),
    Flag("--benchmark-save", "save for --benchmark-compare", _PYTEST, {"metavar": "NAME"}),
    Flag(
        "--benchmark-compare",
        "compare with a saved run, in pytest-benchmark's table",
        _PYTEST,
        {"metavar": "NUMBER", "nargs": "?"},
    ),
)
"""Options of pytest that are of use in a run, for the help and for shell completion."""
EPILOG = """\
examples:
  stepbench run                                      measure the default matrix (a few minutes)
  stepbench run --steps 20                           the same in a minute, without intervals
  stepbench run --collect-only                       list its cases
  stepbench run --batch-size 32 128 --num-workers 0 2 4 --compile off
  stepbench run --workload resnet18 --dataset jpeg --max-time 60
  stepbench run --workload my_bench.py:make -k "b32 and not w0"
  stepbench run --profile -k profile                 profile only; then stepbench tensorboard
  stepbench run --resume results/latest              measure the missing cases

Options that take several values span a matrix: each combination is a case, which runs in processes
of its own and is compared with eager execution in double precision. The cases take turns of some
60 ms in rounds, and all processes are started anew several times. So comparisons are paired: what
else the machine does meets all cases, and intervals hold from process to process.

--matrix small reads this table in pyproject.toml:
  [tool.stepbench.matrix.small]
  batch-size = [32]
  compile = ["off", "default"]
  include = [{ batch-size = 128, num-workers = 4 }]
  exclude = [{ device = "cpu", compile = "default" }]

exit codes: 0 all cases are measured and in tolerance, 1 a case failed or is out of tolerance,
2 interrupted, 4 wrong usage, 5 no case selected.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the benchmarks.

    Args:
        arguments: The command line after `stepbench run`.

    Returns:
        pytest's exit code.
    """
    if {"-h", "--help"} & set(arguments):
        parser().print_help()
        return 0
    refusal = _misspelt(arguments)
    if refusal is not None:
        print_error(refusal)
        return USAGE_ERROR
    # The pytest options of the user's test suite must not apply to this session. A user's test may
    # run in a worker of pytest-xdist; as such a worker the session would write no report.
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"):
        os.environ.pop(variable, None)
    import pytest  # noqa: PLC0415  # keeps --help fast

    return int(pytest.main([*stepbench_arguments(), *arguments]))


def _misspelt(arguments: Sequence[str]) -> str | None:
    """The error for an option that is nearly one of stepbench's; `None` if there is none.

    pytest, whose options may be given as well, would answer with its own usage.
    """
    known = [flag.name for flag in FLAGS]
    for word in arguments:
        name = word.partition("=")[0]
        alike = difflib.get_close_matches(name, known, 1, SPELLED_ALIKE)
        if name.startswith("--") and alike and not alike[0].startswith(name):
            return f"{name}: there is no such option; did you mean {alike[0]}?"
    return None


def stepbench_arguments() -> list[str]:
    """The pytest arguments for stepbench's configuration, plugins and tests; the user's follow."""
    return [
        *("-c", str(HERE / "pytest.ini")),
        f"--rootdir={HERE.parent}",  # keeps test names the same in any directory
        "-o",
        f"cache_dir={Path.cwd() / '.pytest_cache'}",
        "--noconftest",
        "--import-mode=importlib",
        "--disable-plugin-autoload",
        *("-p", "pytest_benchmark.plugin"),
        *("-p", "stepbench.benchmarks.plugin"),
        "--no-header",
        *(str(HERE / f"test_{name}.py") for name in ("training_step", "parity", "profile")),
    ]


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the help and of shell completion; pytest parses the arguments."""
    command_line = argparse.ArgumentParser(
        prog="stepbench run",
        description="Times each phase of a training step: dataload, transfer, forward, backward,\n"
        "optimizer. Writes a run directory with a report for pull requests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="stepbench run [OPTIONS]",
    )
    add_flags(command_line, (*FLAGS, *PYTEST_FLAGS))
    return command_line
