"""Runs one side of a check in a separate process, from the side's own files."""

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from stepbench.config.requests import Request
from stepbench.config.turns import PlayerLink
from stepbench.devices import kinds
from stepbench.errors import UnsupportedError, UsageError
from stepbench.measurement.player import CasePlayer, play_until_finished
from stepbench.regression.side_requests import SideJobRequest, SideRequest, Survey
from stepbench.regression.tree import Tree, activate, installed, provenance, workload_in
from stepbench.training import compilation
from stepbench.training.preflight import preflight
from stepbench.workload.shipped import SHIPPED
from stepbench_reports.schema.check import SideEnd


def play(link: PlayerLink, side_request: SideRequest) -> SideEnd:
    """Plays a side of a pair until its end.

    Args:
        link: The connection to the process that commands the turns.
        side_request: The side's files and request.

    Returns:
        The facts of the side after its last turn.

    Raises:
        UsageError: The case's workload or data cannot be used.
        UnsupportedError: This machine cannot run the case.
    """
    initial_modules = set(sys.modules)
    request = prepare_process(side_request.tree, side_request.request)
    player = CasePlayer(link, request)
    play_until_finished(link, player)
    host_peak_bytes, device_peak_bytes = player.peak_memory()
    origin = provenance(side_request.tree)
    return SideEnd(
        host_peak_bytes=host_peak_bytes,
        device_peak_bytes=device_peak_bytes,
        compile=compilation.facts(request.case),
        modules=origin.from_tree,
        foreign=origin.foreign,
        packages=installed(set(sys.modules) - initial_modules),
    )


def run_alone(link: PlayerLink, side_request: SideRequest) -> None:
    """Builds a side and warms it up, while no opposite side is alive."""
    request = prepare_process(side_request.tree, side_request.request)
    CasePlayer(link, request).prepare(thorough=False)


def prepare_process(tree: Tree, request: Request) -> Request:
    """Sets this process up for a side; returns the request with paths in the side's tree."""
    activate(tree)
    spec = workload_in(tree, request.case.workload)
    return replace(
        request,
        case=request.case.changed(workload=spec),
        shipped=tree.side_path(request.shipped or SHIPPED),
    )


def call_in_side(
    report: Callable[[str], None], tree: Tree, function: str, request: SideJobRequest
) -> Any:  # noqa: ANN401  # the function's result
    """Runs a function of stepbench in a side's process, such as a cold start's measurement.

    Args:
        report: Called with a few words on the current activity.
        tree: The side's files.
        function: `module:function`, called as `function(report, request)`.
        request: The function's request, with the paths of the repository.
    """
    module, _, name = function.partition(":")
    target = getattr(import_module(module), name)
    if isinstance(request, Request):
        return target(report, prepare_process(tree, request))
    return target(report, replace(request, request=prepare_process(tree, request.request)))


def survey(report: Callable[[str], None], requests: tuple[SideRequest, ...]) -> Survey:
    """Tries a side's workloads and data before anything is measured.

    Args:
        report: Called with a few words on the current activity.
        requests: The side's files and a request, for each case.
    """
    initial_modules = set(sys.modules)
    problems: dict[str, str] = {}
    for side_request in requests:
        try:
            preflight(report, (prepare_process(side_request.tree, side_request.request),))
        except (UsageError, UnsupportedError) as error:
            problems[side_request.request.case.id] = str(error)
    origin = provenance(requests[0].tree)
    return Survey(
        kinds.present(),
        problems,
        installed(set(sys.modules) - initial_modules),
        origin.from_tree,
        origin.foreign,
    )
