"""A SLURM cluster of two nodes on this machine, for as long as a test needs it."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
UP_S = 60.0
"""The longest wait for a daemon or a state of the cluster, seconds."""
CONFIG = """\
ClusterName=stepbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={path}/munge.socket
StateSaveLocation={path}/state
SlurmdSpoolDir={path}/spool-%n
SlurmctldPidFile={path}/slurmctld.pid
SlurmdPidFile={path}/slurmd-%n.pid
SlurmctldLogFile={path}/slurmctld.log
SlurmdLogFile={path}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
KillWait=10
InactiveLimit=0
MinJobAge=300
SlurmctldTimeout=10
SlurmdTimeout=6
MessageTimeout=5
TCPTimeout=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first_port} CPUs=24
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second_port} CPUs=24
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=CANCEL State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF State=UP
"""
"""`low` is the default partition; jobs in `high` preempt those in `low`. Nodes pretend to have 24
cores, so that many small jobs run at once."""


def absence_reason() -> str | None:
    """The reason why no cluster can be started here; `None` if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"there is no {missing[0]}: install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "slurmd needs root"
    return None


@dataclass
class SlurmCluster:
    """A running cluster.

    Attributes:
        path: The directory of the daemons' files.
        daemons: The daemons' processes, by name; those of nodes are `n1` and `n2`.
    """

    path: Path
    daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which SLURM's programs find the cluster."""
        return {"SLURM_CONF": str(self.path / "slurm.conf")}

    def output(self, *command: str) -> str:
        """The output of one of SLURM's programs."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_node(self, name: str) -> None:
        self._start(name, "slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """Kills a node's daemon and all that it has started, as if the machine were gone."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        processes = _of_node(self.path, name)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # so that none sees another one's end
            for process in processes:
                _signal(process, number)

    def states(self) -> dict[str, str]:
        """The state of each node."""
        lines = self.output("sinfo", "-h", "-N", "-p", "low", "-o", "%N|%T").splitlines()
        return dict(line.strip().split("|") for line in lines)

    def _start(self, name: str, *command: str) -> None:
        with (self.path / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **self.environment},
            )  # fmt: skip


def _of_node(path: Path, name: str) -> list[int]:
    """The processes of the jobs that run on a node, and those that watch over them."""
    marks = {"SLURMD_NODENAME": name, "SLURM_CONF": f"{path}/slurm.conf"}
    found = set()
    for process in psutil.process_iter():
        try:
            if marks.items() <= process.environ().items():
                found.add(process.pid)
                found |= {up.pid for up in process.parents() if up.name() == "slurmstepd"}
        except psutil.Error:
            continue
    return sorted(found)


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


@contextmanager
def running() -> Iterator[SlurmCluster]:
    """A cluster, for as long as the context lasts."""
    path = Path(tempfile.mkdtemp(prefix="stepbench-slurm-"))
    path.chmod(0o755)
    cluster = SlurmCluster(path)
    ports = _free_ports(3)
    (path / "state").mkdir()
    for name in ("n1", "n2"):
        (path / f"spool-{name}").mkdir()
    (path / "slurm.conf").write_text(
        CONFIG.format(
            host=socket.gethostname().partition(".")[0], path=path, controller_port=ports[0],
            first_port=ports[1], second_port=ports[2],
        )
    )  # fmt: skip
    try:
        _start_munge(cluster)
        cluster._start("slurmctld", "slurmctld", "-D", "-c", "-i")
        for name in ("n1", "n2"):
            cluster.start_node(name)
        wait_until(lambda: set(cluster.states().values()) == {"idle"}, "the nodes are idle")
        yield cluster
    finally:
        for name in ("n1", "n2"):
            for process in _of_node(path, name):
                _signal(process, signal.SIGKILL)
        for daemon in reversed(cluster.daemons.values()):
            daemon.terminate()
        for daemon in cluster.daemons.values():
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(path, ignore_errors=True)


def _start_munge(cluster: SlurmCluster) -> None:
    user = pwd.getpwnam("munge")
    private = cluster.path / "munge"
    private.mkdir(mode=0o700)
    key = private / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    for file in (private, key):
        os.chown(file, user.pw_uid, user.pw_gid)
    os.chown(cluster.path, user.pw_uid, user.pw_gid)  # where the socket is
    with (cluster.path / "munged.out").open("ab") as log:
        cluster.daemons["munged"] = subprocess.Popen(
            [
                "munged", "--foreground", "--force", f"--key-file={key}",
                f"--socket={cluster.path}/munge.socket", f"--pid-file={private}/pid",
                f"--log-file={private}/log", f"--seed-file={private}/seed",
            ],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=user.pw_uid, group=user.pw_gid,
            extra_groups=[], start_new_session=True,
        )  # fmt: skip
    wait_until((cluster.path / "munge.socket").exists, "munged is up")
    os.chown(cluster.path, 0, 0)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(holds: Callable[[], bool], what: str, limit_s: float = UP_S) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if holds():
                return
        except AssertionError:  # a program of SLURM failed, as it may before all is up
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.2)
