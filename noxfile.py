"""Sessions for running stepbench, its tests and its checks: `nox -s bench`, `nox -s tests`.

Each session has a virtual environment. uv links packages from its cache, so torch (5 GB) is
downloaded and stored once.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types"]

STUDIES = (
    "truth",
    "rounds",
    "matrices",
    "interference",
    "bottlenecks",
    "parity",
    "gate",
    "scripts",
    "cluster",
)
"""Scripts in `docs/studies/`; each writes a Markdown file of the same name there."""
TORCHVISIONS = {"2.6": "0.21", "2.11": "0.26"}
"""The torchvision that fits each older torch that is tested; the lowest first."""
VERSION_TESTS = (
    *(
        f"tests/stepbench/{room}"
        for room in (
            "measurement",
            "training",
            "parity",
            "profiling",
            "devices",
            "process",
            "runner",
            "scripts",
        )
    ),
    "tests/reports",
    "tests/end_to_end/test_run.py",
    "tests/end_to_end/test_profile.py",
)
"""The tests that depend on versions: of what calls torch, of what reads and draws with pandas and
matplotlib, and whole runs that compile, profile and write for TensorBoard. The others test options,
git and the workloads' own code."""
INTERRUPT_S, TERMINATE_S = 60, 20
"""On Ctrl-C, a run ends its child processes and writes its report; by default nox waits 0.3 s."""


def run(session: nox.Session, *command: str, env: Mapping[str, str] | None = None) -> None:
    """Runs a command; after Ctrl-C, the command has time to finish."""
    session.run(*command, env=env, interrupt_timeout=INTERRUPT_S, terminate_timeout=TERMINATE_S)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure a training step by phase; `nox -s bench -- --help` lists the options."""
    session.install("-e", ".")
    run(session, "stepbench", "run", *session.posargs)


@nox.session
def script(session: nox.Session) -> None:
    """Say where a training script's time goes: `nox -s script -- OPTIONS -- train.py ARGUMENTS`."""
    session.install("-e", ".")
    run(session, "stepbench", "script", *session.posargs)


@nox.session
def regression(session: nox.Session) -> None:
    """Fail if head trains slower than base: `nox -s regression -- --base main`."""
    session.install("-e", ".")
    run(session, "stepbench", "regression", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Write a run's reports again: `nox -s report -- results/latest`."""
    session.install("-e", ".")
    session.run("stepbench", "report", *session.posargs)


@nox.session
def compare(session: nox.Session) -> None:
    """Compare runs or cases: `nox -s compare -- RUN --against OTHER`."""
    session.install("-e", ".")
    session.run("stepbench", "compare", *session.posargs)


@nox.session
def tensorboard(session: nox.Session) -> None:
    """Open runs with a profile in TensorBoard: `nox -s tensorboard -- [RUN ...] [OPTIONS]`."""
    session.install("-e", ".")
    run(session, "stepbench", "tensorboard", *session.posargs)


@nox.session
def study(session: nox.Session) -> None:
    """Repeat studies of stepbench's accuracy: `nox -s study -- NAME ...`."""
    session.install("-e", ".", "--group", "studies")
    directory = Path("docs/studies")
    for name in session.posargs or STUDIES:
        if name not in STUDIES:
            session.error(f"no study is named {name!r}; choose from {', '.join(STUDIES)}")
        run(session, "python", str(directory / f"{name}.py"))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests in parallel; `nox -s tests -- ARGUMENTS` runs pytest with these arguments."""
    session.install("-e", ".", "--group", "tests")
    parallel = ["-n", "auto", "--dist", "loadfile"]
    run(session, "python", "-m", "pytest", *(session.posargs or parallel))


@nox.session(python="3.11")
@nox.parametrize("torch", [nox.param(version, id=f"torch{version}") for version in TORCHVISIONS])
def lowest(session: nox.Session, torch: str) -> None:
    """Run the tests that depend on versions with the lowest versions that are allowed.

    `nox -s "lowest(torch2.6)"` runs them with one torch.
    """
    session.install(
        *("--resolution", "lowest-direct", "-e", ".", "--group", "tests"),
        *(f"torch=={torch}.*", f"torchvision=={TORCHVISIONS[torch]}.*"),
    )
    run(
        session,
        *("python", "-m", "pytest", "-n", "auto", "--dist", "loadfile"),
        *("-W", "default"),  # old packages warn of each other; nox -s tests has warnings as errors
        *(session.posargs or VERSION_TESTS),
        # Torch 2.6 starts processes to compile in, which live as long as the process of the tests.
        env={"TORCHINDUCTOR_COMPILE_THREADS": "1"},
    )


@nox.session
def gpu(session: nox.Session) -> None:
    """Prove the figures on an NVIDIA card (8 minutes): `nox -s gpu -- [DIRECTORY] [--only STAGE]`.

    The exit code is 4 without a card, and 1 if a criterion does not pass.
    """
    session.install("-e", ".", "--group", "tests")
    command = (str(Path(session.bin, "python")), "tests/gpu/check.py", *session.posargs)
    code = subprocess.call(command)  # nox has no exit code but 1 for what fails
    if code:
        sys.exit(code)


@nox.session
def integration(session: nox.Session) -> None:
    """Test other libraries (Lightning, transformers, accelerate, timm), large to install."""
    session.install("-e", ".", "--group", "tests", "--group", "integration")
    run(session, "python", "-m", "pytest", "-m", "integration", *session.posargs)


@nox.session
def cluster(session: nox.Session) -> None:
    """Test `--on` with real SLURM and Ray clusters on this machine (about 5 minutes).

    SLURM takes root and Debian's packages `slurmctld slurmd slurm-client munge`.
    """
    session.install("-e", ".[slurm,ray]", "--group", "tests")
    run(session, "python", "-m", "pytest", "-m", "cluster", *(session.posargs or ["tests/cluster"]))


@nox.session
def workloads(session: nox.Session) -> None:
    """Compile every shipped workload, and compare it with eager execution (about 10 minutes)."""
    session.install("-e", ".", "--group", "tests")
    run(session, "python", "-m", "pytest", "-m", "exhaustive", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation as a site in `site/`; broken links fail."""
    session.install("--group", "docs")
    session.run("zensical", "build", "--strict", "--clean")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style; `nox -s lint -- --fix` fixes what it can."""
    session.install("--group", "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".", "--group", "tests", "--group", "studies", "--group", "types")
    session.run("mypy", *session.posargs)
