"""The front door: `nox -s bench`, `nox -s tests`, and what keeps the code in order.

Each session has an environment of its own. uv links packages from its cache into it, so that torch
(5 GB) is fetched and stored once.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types"]

STUDIES = ("truth", "disturbance", "bounds", "parity", "gate")
"""Scripts in `docs/studies/`, each with its table beside it; what they share lies there too."""
REFERENCE = ("stepbench", "stepbench_reports")
"""The packages of the reference."""
INTERRUPT_S, TERMINATE_S = 60, 20
"""On Ctrl-C a run ends its child processes and writes its report; nox would wait for 0.3 s."""


def run(session: nox.Session, *command: str) -> None:
    """Runs a command that is given the time to end well."""
    session.run(*command, interrupt_timeout=INTERRUPT_S, terminate_timeout=TERMINATE_S)


@nox.session
def bench(session: nox.Session) -> None:
    """Time a training step, phase by phase: `nox -s bench -- --help` lists the options."""
    session.install("-e", ".")
    run(session, "stepbench", "run", *session.posargs)


@nox.session
def regression(session: nox.Session) -> None:
    """Fail where head trains slower than base: `nox -s regression -- --base main`."""
    session.install("-e", ".")
    run(session, "stepbench", "regression", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Make a run's reports again: `nox -s report -- results/latest`."""
    session.install("-e", ".")
    session.run("stepbench", "report", *session.posargs)


@nox.session
def compare(session: nox.Session) -> None:
    """Compare runs, or cases: `nox -s compare -- RUN --against OTHER`."""
    session.install("-e", ".")
    session.run("stepbench", "compare", *session.posargs)


@nox.session
def tensorboard(session: nox.Session) -> None:
    """Open runs with a profile in TensorBoard: `nox -s tensorboard -- [RUN ...] [OPTIONS]`."""
    session.install("-e", ".")
    run(session, "stepbench", "tensorboard", *session.posargs)


@nox.session
def study(session: nox.Session) -> None:
    """Repeat the studies of how well stepbench measures: `nox -s study -- NAME ...`."""
    session.install("-e", ".", "--group", "studies")
    place = Path("docs/studies")
    for name in session.posargs or STUDIES:
        if name not in STUDIES:
            session.error(f"there is no study {name!r}; there are {', '.join(STUDIES)}")
        run(session, "python", str(place / f"{name}.py"))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests: `nox -s tests -- ARGUMENTS` passes pytest's own, and runs one at a time."""
    session.install("-e", ".", "--group", "tests")
    at_once = ["-n", "auto", "--dist", "loadfile"]
    run(session, "python", "-m", "pytest", *(session.posargs or at_once))


@nox.session
def integration(session: nox.Session) -> None:
    """Run models of other libraries, which are large to install: Lightning's, timm's."""
    session.install("-e", ".", "--group", "tests", "--group", "integration")
    run(session, "python", "-m", "pytest", "-m", "integration", *session.posargs)


@nox.session
def workloads(session: nox.Session) -> None:
    """Compile every shipped workload, and compare it with eager execution (some 10 minutes)."""
    session.install("-e", ".", "--group", "tests")
    run(session, "python", "-m", "pytest", "-m", "exhaustive", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the reference of all that is public from its docstrings, into `site/`."""
    session.install("-e", ".", "--group", "docs")
    session.run("python", "-m", "pdoc", "-d", "google", "-o", "site", *REFERENCE)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style; `nox -s lint -- --fix` mends what can be mended."""
    session.install("--group", "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".", "--group", "tests", "--group", "studies", "--group", "types")
    session.run("mypy", *session.posargs)
