"""The front door: `nox -s bench`, `nox -s tests`, and what keeps the code in order.

Sessions that need torch share one environment, so that it is installed once (5 GB).
"""

from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types"]

SHARED = ".nox/torch"
"""The environment with torch in it."""
PATIENCE = {"interrupt_timeout": 60, "terminate_timeout": 20}
"""On Ctrl-C a run ends its child processes and writes its report; nox would wait for 0.3 s."""


def install(session: nox.Session) -> None:
    """Installs stepbench and what its tests and type checks need."""
    session.install("-e", ".", "--group", "tests", "--group", "types")


@nox.session(venv_location=SHARED)
def bench(session: nox.Session) -> None:
    """Time a training step, phase by phase: `nox -s bench -- --help` lists the options."""
    install(session)
    session.run("python", "-m", "bench", *session.posargs, **PATIENCE)


@nox.session(venv_location=SHARED)
def report(session: nox.Session) -> None:
    """Make a run's reports again: `nox -s report -- results/latest`."""
    install(session)
    session.run("python", "-m", "reports", *(session.posargs or ["results/latest"]))


@nox.session(venv_location=SHARED)
def study(session: nox.Session) -> None:
    """Repeat the studies of how well stepbench measures: `nox -s study -- NAME ...`."""
    install(session)
    place = Path("docs/studies")
    known = sorted(path.stem for path in place.glob("*.py"))
    for name in session.posargs or known:
        if name not in known:
            session.error(f"there is no study {name!r}; there are {', '.join(known)}")
        session.run("python", str(place / f"{name}.py"), **PATIENCE)


@nox.session(venv_location=SHARED)
def tests(session: nox.Session) -> None:
    """Run the tests."""
    install(session)
    session.run("python", "-m", "pytest", *session.posargs, **PATIENCE)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style; `nox -s lint -- --fix` mends what can be mended."""
    session.install("--group", "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session(venv_location=SHARED)
def types(session: nox.Session) -> None:
    """Check types."""
    install(session)
    session.run("mypy", *session.posargs)


