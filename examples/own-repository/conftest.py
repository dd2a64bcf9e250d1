"""This repository's own tests have a `--device` as well; it is not stepbench's."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    parser.addoption("--device", default="cpu", help="where the tests run")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """Where the tests run."""
    return str(request.config.getoption("--device"))
