"""Adds `--device` to the tests of this repository; stepbench's `--device` is separate."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option `--device`."""
    parser.addoption("--device", default="cpu", help="the device that the tests run on")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """The device that the tests run on."""
    return str(request.config.getoption("--device"))
