"""`stepbench run`: pytest with stepbench's plugin and benchmarks, without user configuration."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from stepbench.config.flags import FLAGS, add_flags

HERE = Path(__file__).resolve().parent

EPILOG = """\
examples:
  stepbench run                                      the default matrix, in a few minutes
  stepbench run --collect-only                       list its cases, and measure none
  stepbench run --batch-size 32 128 --num-workers 0 2 4 --compile off
  stepbench run --workload resnet18 --dataset jpeg --max-time 20
  stepbench run --workload my_bench.py:make -k "b32 and not w0"
  stepbench run --profile -k profile                 only profile, then: stepbench tensorboard
  stepbench run --resume results/latest              measure what is missing

Options that take several values span a matrix: every combination is a case, measured in a process
of its own and compared with eager execution in double precision. Every option of pytest and
pytest-benchmark works as well, among them -k, -x, --lf, --collect-only, --junitxml FILE,
--benchmark-json FILE, --benchmark-save NAME, --benchmark-compare.

A named matrix in pyproject.toml, for --matrix small:
  [tool.stepbench.matrix.small]
  batch-size = [32]
  compile = ["off", "default"]
  include = [{ batch-size = 128, num-workers = 4 }]
  exclude = [{ device = "cpu", compile = "default" }]

exit codes: 0 all cases measured and in tolerance, 1 a case failed or is out of tolerance,
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
        _parser().print_help()
        return 0
    # The pytest options of the user's test suite must not apply to this session. A user's test may
    # run in a worker of pytest-xdist; as such a worker the session would write no report.
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"):
        os.environ.pop(variable, None)
    import pytest  # noqa: PLC0415  # keeps --help fast

    return int(pytest.main([*own_arguments(), *arguments]))


def own_arguments() -> list[str]:
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


def _parser() -> argparse.ArgumentParser:
    """The parser that prints the help; pytest parses the arguments."""
    parser = argparse.ArgumentParser(
        prog="stepbench run",
        description="Times a training step, phase by phase: dataload, transfer, forward, backward, "
        "optimizer. Writes a run directory with a report for pull requests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="stepbench run [OPTIONS]   (in this repository also: nox -s bench -- [OPTIONS])",
    )
    add_flags(parser, FLAGS)
    return parser
