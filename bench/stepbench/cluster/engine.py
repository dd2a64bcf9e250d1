"""The protocol of an engine, which runs jobs on nodes, one job a node at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from stepbench.machine import NODE

NODE_ID = "STEPBENCH_NODE_ID"
"""The environment variable with the id that the engine has given the node of a job."""
LIFELINE = "STEPBENCH_LIFELINE"
"""The environment variable of a job that ends when its standard input does: its starter is gone."""


class EngineError(Exception):
    """Raised if an engine cannot be reached or refuses a request; the message names the remedy."""


@dataclass(frozen=True)
class Node:
    """A node of a cluster.

    Attributes:
        name: The name, unique among the nodes.
        id: The engine's id of the node; `None` if there is none but the name.
    """

    name: str
    id: str | None = None


@dataclass(frozen=True)
class JobSpec:
    """A job for an engine: a command that runs on a node.

    Attributes:
        number: The job's number in the run.
        command: The command. Its exit code is 0 if the command has written the job's outcome.
        directory: The working directory.
        log: The file for the command's output.
        node: The node that has to run the job; `None` for any node.
    """

    number: int
    command: tuple[str, ...]
    directory: Path
    log: Path
    node: Node | None = None


class JobPhase(StrEnum):
    """The phase of a job, as far as its engine knows it."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True)
class JobState:
    """The state of a job.

    Attributes:
        phase: The phase.
        node: The name of the node; `None` if the engine does not say.
        reason: For a job that has ended: the reason, unless its command has exited with 0. For a
            queued job: the reason why it waits, if the engine says it.
    """

    phase: JobPhase
    node: str | None = None
    reason: str | None = None


class Engine(Protocol):
    """Runs jobs on the nodes of a cluster, at most one of this run on a node at a time."""

    name: str

    def nodes(self) -> tuple[Node, ...]:
        """Lists the nodes that can run jobs.

        Raises:
            EngineError: The engine cannot be reached.
        """
        ...

    def submit(self, jobs: Sequence[JobSpec]) -> None:
        """Submits jobs.

        Raises:
            EngineError: The engine cannot be reached, or refuses the jobs.
        """
        ...

    def states(self) -> Mapping[int, JobState]:
        """The state of each submitted job, by its number.

        Raises:
            EngineError: The engine cannot be reached.
        """
        ...

    def cancel(self) -> None:
        """Cancels all jobs that are queued or running.

        Raises:
            EngineError: The engine cannot be reached.
        """
        ...

    def close(self) -> None:
        """Ends what the engine has started on this machine."""
        ...


def node_environment(node: Node) -> dict[str, str]:
    """The environment variables that tell a job its node."""
    return {NODE: node.name} | ({} if node.id is None else {NODE_ID: node.id})
