"""The engine `ray`: tasks that start a fresh process, one a node at a time by a custom resource."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepbench.cluster.engine import (
    EngineError,
    JobPhase,
    JobSpec,
    JobState,
    Node,
    node_environment,
)
from stepbench.cluster.local import start_process
from stepbench.config.cluster import ClusterOptions, whole_option
from stepbench.errors import UsageError
from stepbench_reports.schema.names import file_name

RESOURCE = "stepbench"
"""The custom resource of which each node has 1, unless `--on-option resource` names another."""
OPTIONS = ("address", "resource", "num_gpus", "runtime_env")
END_S = 45.0
"""The time that cancelled tasks have to keep what they have measured, seconds."""
PORT_S = 10.0
"""The longest wait for a connection to the cluster's address, seconds."""
LOOK_S = 0.2
"""The time between two looks at a task's process, seconds."""
THREADS = "OMP_NUM_THREADS"
"""The variable that Ray sets in its workers, and that would change what is measured."""


class RayEngine:
    """Runs jobs on the nodes of a Ray cluster.

    Args:
        options: `address` of the cluster, `auto` by default; `resource`, the custom resource;
            `num_gpus` of a job; `runtime_env` as JSON.
        gpus: The number of GPUs of a job, unless `num_gpus` says it.

    Raises:
        UsageError: Ray is missing, or an option cannot be used.
        EngineError: The cluster cannot be reached.
    """

    name = "ray"

    def __init__(self, options: ClusterOptions, *, gpus: int) -> None:
        try:
            import ray  # noqa: F401, PLC0415  # needed with --on ray alone
        except ImportError:
            raise UsageError(
                "--on ray: Ray is not installed; install it with: pip install 'stepbench[ray]'"
            ) from None
        for key in options.values:
            if key not in OPTIONS:
                raise UsageError(
                    f"--on-option {key}: --on ray has no such option; choose from "
                    f"{', '.join(OPTIONS)}"
                )
        self._resource = options.values.get("resource", RESOURCE)
        self._gpus = whole_option(options, "num_gpus", gpus)
        self._references: dict[Any, int] = {}
        self._states: dict[int, JobState] = {}
        self._connect(options.values.get("address", "auto"), _runtime_env(options))

    def _connect(self, address: str, runtime_env: Mapping[str, Any] | None) -> None:
        import ray  # noqa: PLC0415  # needed with --on ray alone

        handler = signal.getsignal(signal.SIGTERM)
        try:
            _try_port(address)
            ray.init(
                address=address,
                runtime_env=None if runtime_env is None else dict(runtime_env),
                log_to_driver=False,
                logging_level="error",
                configure_logging=False,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineError(
                f"--on ray: there is no cluster at the address {address} "
                f"({str(error).strip().splitlines()[0][:200]}); start one with `ray start --head "
                f"--resources='{{\"{self._resource}\": 1}}'`, or give --on-option address=HOST:PORT"
            ) from None
        finally:
            signal.signal(signal.SIGTERM, handler)  # Ray's ends the process at once

    def nodes(self) -> tuple[Node, ...]:
        """The live nodes that have the custom resource.

        Raises:
            EngineError: No live node has it.
        """
        import ray  # noqa: PLC0415  # needed with --on ray alone

        alive = [node for node in ray.nodes() if node["Alive"]]
        usable = [node for node in alive if node["Resources"].get(self._resource, 0) >= 1]
        if not usable:
            raise EngineError(
                f"--on ray: none of the cluster's {len(alive)} nodes has the resource "
                f"{self._resource}, of which a job takes 1; start nodes with `ray start "
                f"--resources='{{\"{self._resource}\": 1}}'`, or name another with --on-option "
                f"resource=NAME"
            )
        hosts = [node["NodeManagerHostname"] for node in usable]
        return tuple(
            Node(
                file_name(host if hosts.count(host) == 1 else f"{host}-{node['NodeID'][:8]}"),
                node["NodeID"],
            )
            for host, node in sorted(
                zip(hosts, usable, strict=True), key=lambda pair: (pair[0], pair[1]["NodeID"])
            )
        )

    def submit(self, jobs: Sequence[JobSpec]) -> None:
        """Submits each job as a task that is not tried again.

        Raises:
            EngineError: No live node has the custom resource.
        """
        import ray  # noqa: PLC0415  # needed with --on ray alone
        from ray.util.scheduling_strategies import (  # noqa: PLC0415
            NodeAffinitySchedulingStrategy,
        )

        nodes = {node.id: node for node in self.nodes()}
        task = ray.remote(max_retries=0, num_cpus=0)(run_command)
        for job in jobs:
            strategy: Any = "SPREAD"
            if job.node is not None:
                strategy = NodeAffinitySchedulingStrategy(job.node.id, soft=False)
            reference = task.options(
                resources={self._resource: 1},
                num_gpus=self._gpus,
                scheduling_strategy=strategy,
                name=f"stepbench job {job.number}",
            ).remote(job, nodes, os.environ.get(THREADS))
            self._references[reference] = job.number
            self._states[job.number] = JobState(JobPhase.QUEUED)

    def states(self) -> Mapping[int, JobState]:
        """The state of each job. Ray does not say which tasks run; a job itself says it."""
        import ray  # noqa: PLC0415  # needed with --on ray alone

        left = list(self._references)
        if left:
            ended, _ = ray.wait(left, num_returns=len(left), timeout=0)
            for reference in ended:
                number = self._references.pop(reference)
                self._states[number] = JobState(JobPhase.ENDED, reason=_reason(reference))
        return dict(self._states)

    def cancel(self) -> None:
        """Cancels all tasks; those that run keep what they have measured."""
        import ray  # noqa: PLC0415  # needed with --on ray alone

        left = list(self._references)
        for reference in left:
            ray.cancel(reference, force=False)
        if left:
            ray.wait(left, num_returns=len(left), timeout=END_S)
        self.states()

    def close(self) -> None:
        """Disconnects from the cluster, which ends the tasks that are left."""
        import ray  # noqa: PLC0415  # needed with --on ray alone

        ray.shutdown()


def _try_port(address: str) -> None:
    """Connects to the port of an address `HOST:PORT`, for which Ray would wait for minutes.

    Raises:
        OSError: Nobody listens there.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), PORT_S).close()


def run_command(job: JobSpec, nodes: Mapping[str | None, Node], threads: str | None) -> str | None:
    """Runs a job's command in a process of its own, in a worker of Ray.

    Args:
        job: The job.
        nodes: The nodes by their ids.
        threads: The value of `OMP_NUM_THREADS` in the submitting process.

    Returns:
        The reason why the command failed; `None` if it exited with 0.
    """
    import ray  # noqa: PLC0415  # needed with --on ray alone

    node_id = ray.get_runtime_context().get_node_id()
    node = nodes.get(node_id) or Node(node_id[:8], node_id)
    if not job.log.parent.is_dir():
        return (
            f"cannot see {job.log.parent} on node {node.name}; the run directory has to lie on a "
            f"file system that all nodes share: give --output there"
        )
    if threads is None:
        os.environ.pop(THREADS, None)
    else:
        os.environ[THREADS] = threads
    directory = job.directory if job.directory.is_dir() else Path.cwd()
    command = (sys.executable, *job.command[1:])  # a runtime environment has an interpreter
    process = start_process(
        JobSpec(job.number, command, directory, job.log), node_environment(node)
    )
    try:
        while process.poll() is None:
            time.sleep(LOOK_S)
    except BaseException:  # Ray cancels a task by Ctrl-C
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        process.kill()
        raise
    return None if process.returncode == 0 else f"ended with exit code {process.returncode}"


def _reason(reference: Any) -> str | None:  # noqa: ANN401  # Ray's type
    """The reason why a task did not end in order; `None` if it did."""
    import ray  # noqa: PLC0415  # needed with --on ray alone
    from ray import exceptions  # noqa: PLC0415

    lost = (exceptions.NodeDiedError, exceptions.WorkerCrashedError)
    try:
        result: str | None = ray.get(reference)
    except exceptions.RayTaskError as error:  # what the worker raised is at the end
        return f"failed in Ray's worker: {str(error).strip().splitlines()[-1][:300]}"
    except exceptions.RayError as error:
        words = {
            exceptions.TaskCancelledError: "was cancelled",
            exceptions.OutOfMemoryError: "was ended by Ray, as the node's memory was full",
            exceptions.TaskUnschedulableError: "cannot run: its node is gone",
            **dict.fromkeys(lost, "lost its node, or Ray's worker there"),
        }
        told = next((text for kind, text in words.items() if isinstance(error, kind)), None)
        return told or f"failed in Ray: {str(error).strip().splitlines()[0][:300]}"
    return result


def _runtime_env(options: ClusterOptions) -> Mapping[str, Any] | None:
    """Reads `runtime_env`.

    Raises:
        UsageError: It is no JSON object.
    """
    text = options.values.get("runtime_env")
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(
            "--on-option runtime_env: give a JSON object as Ray's documentation has it, such as "
            '\'runtime_env={"env_vars": {"OMP_PROC_BIND": "true"}}\''
        )
    return value
