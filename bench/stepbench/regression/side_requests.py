"""Requests to a side's process, and the result of a survey; torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from stepbench.config.requests import ParityRequest, Request
from stepbench.regression.tree import Tree


@dataclass(frozen=True)
class SideRequest:
    """A side of a pair.

    Attributes:
        tree: The side's files.
        request: The case and its settings.
    """

    tree: Tree
    request: Request


@dataclass(frozen=True)
class TraceRequest:
    """A trace to take of a side.

    Attributes:
        request: The case and its settings, with paths in the side's tree.
        case: The case's id in the check.
        tree: The side's files.
        scratch: The directory for the trace.
    """

    request: Request
    case: str
    tree: Tree
    scratch: Path


SideJobRequest: TypeAlias = Request | ParityRequest | TraceRequest
"""The request of a job that runs in a side's process apart from pairs."""


@dataclass(frozen=True)
class Survey:
    """The survey of a side, before anything is measured.

    Attributes:
        devices: The model of each device present, by the device's name.
        problems: The reasons why cases cannot be measured, by the case's id.
        packages: The installed packages that the workloads import.
        modules: The number of the repository's modules that were loaded from the side's tree.
        foreign: The modules of the repository that were loaded from elsewhere.
    """

    devices: Mapping[str, str]
    problems: Mapping[str, str]
    packages: tuple[str, ...]
    modules: int
    foreign: tuple[str, ...]
