"""`python -m bench`: pytest with our plugin and our benchmarks, and nothing of the user's."""

import argparse
import os
import sys
from pathlib import Path

from bench.options import FLAGS
from bench.search_path import leave_out_current_directory

HERE = Path(__file__).resolve().parent

EPILOG = """\
examples:
  python -m bench                                      the default matrix, in a few minutes
  python -m bench --collect-only                       list its cases, and measure none
  python -m bench --batch-size 32 128 --num-workers 0 2 4 --compile off
  python -m bench --workload resnet18 --dataset jpeg --max-time 20
  python -m bench --workload my_bench.py:make -k "b32 and not w0"
  python -m bench --profile -k profile                 only profile, then: nox -s tensorboard
  python -m bench --resume results/latest              measure what is missing

Options that take several values span a matrix: every combination is a case, measured in a process
of its own and compared with eager execution in double precision. Every option of pytest and
pytest-benchmark works as well, among them -k, -x, --lf, --collect-only, --junitxml FILE,
--benchmark-json FILE, --benchmark-save NAME, --benchmark-compare.

A matrix of one's own, in pyproject.toml, for --matrix small:
  [tool.stepbench.matrix.small]
  batch-size = [32]
  compile = ["off", "default"]
  include = [{ batch-size = 128, num-workers = 4 }]
  exclude = [{ device = "cpu", compile = "default" }]

exit codes: 0 all cases measured and alike, 1 a case failed or departs, 2 interrupted, 4 wrong
usage, 5 no case selected.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmarks.

    Args:
        arguments: The command line without the program's name; `None` takes the process's own.

    Returns:
        pytest's exit code.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(given):
        _help().print_help()
        return 0
    leave_out_current_directory()
    # A run is stepbench's own session: the configuration of the repository that it stands in, and
    # of the user's other test suites, is not for it. As xdist's worker it would save nothing.
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"):
        os.environ.pop(variable, None)
    import pytest  # noqa: PLC0415  # --help need not wait for it

    return int(pytest.main([*_own_arguments(), *given]))


def _own_arguments() -> list[str]:
    return [
        *("-c", str(HERE / "pytest.ini")),
        f"--rootdir={HERE.parent}",  # so that a test's name is the same wherever it is run from
        "-o",
        f"cache_dir={Path.cwd() / '.pytest_cache'}",
        "--noconftest",
        "--import-mode=importlib",
        "--disable-plugin-autoload",
        *("-p", "pytest_benchmark.plugin"),
        *("-p", "bench.plugin"),
        "--no-header",
        *(str(HERE / f"test_{name}.py") for name in ("training_step", "parity", "profile")),
    ]


def _help() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Times a training step, phase by phase: dataload, transfer, forward, backward, "
        "optimizer. Writes a run directory with a report for pull requests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="python -m bench [OPTIONS]   (in this repository also: nox -s bench -- [OPTIONS])",
    )
    sections: dict[str, argparse._ArgumentGroup] = {}
    for flag in FLAGS:
        if flag.section not in sections:
            sections[flag.section] = parser.add_argument_group(flag.section)
        sections[flag.section].add_argument(flag.name, help=flag.help, **flag.arguments)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
