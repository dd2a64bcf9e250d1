"""Jobs for the children of servers, and waits for processes to end."""

import time
from typing import Any

import psutil

from stepbench.process.job import Job
from stepbench.process.server import Server

JOBS = """
import os, signal, subprocess, sys, time
from stepbench.errors import UnsupportedError, UsageError

def double(report, number):
    report("doubling")
    return 2 * number

def fail(report):
    raise ValueError("no such thing")

def misuse(report):
    raise UsageError("--batch-size 0: give more")

def unsupported(report):
    raise UnsupportedError("precision", "no TF32 here")

def killed(report):
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def segfault(report):
    os.kill(os.getpid(), signal.SIGSEGV)

def leave(report):
    os._exit(3)

def sleep(report, pids):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report(f"{os.getpid()} {worker.pid}")
    time.sleep(600)

def slow(report, seconds, times):
    for step in range(times):
        report(f"step {step}")
        time.sleep(seconds)
    return times

def sleep_alone(report):
    report(str(os.getpid()))
    time.sleep(600)

def leave_a_worker(report):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    return worker.pid

def leave_sessions(report, number):
    for _ in range(number):
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        report(str(subprocess.Popen(command, start_new_session=True).pid))
    reader, writer = os.pipe()
    if os.fork() == 0:  # a daemon: its parent ends at once
        if os.fork() == 0:
            os.setsid()
            report(str(os.getpid()))
            os.write(writer, b"reported")
            time.sleep(600)
        os._exit(0)
    os.wait()
    os.read(reader, 8)  # else the job may end before the daemon has reported

def hang_with_a_session(report):
    leave_sessions(report, 1)
    time.sleep(600)

def open_listener(report):
    from multiprocessing.connection import Listener
    address = Listener(family="AF_UNIX").address
    open(f"/dev/shm/torch_{os.getpid()}_1_0", "w").close()
    report(f"{os.getpid()} {address}")
    os.kill(os.getpid(), signal.SIGKILL)

def reserve(report):
    return len(bytearray(64 << 30))

def data_limit(report):
    import resource
    return resource.getrlimit(resource.RLIMIT_DATA)

def use(report, size):
    data = b"x" * size
    time.sleep(1)  # longer than the time between looks
    return len(data)

def share(report, size, workers):
    import mmap
    shared = mmap.mmap(-1, size)
    for start in range(0, size, 4096):
        shared[start] = 1
    for _ in range(workers):
        if os.fork() == 0:
            private = bytearray(size)
            for start in range(0, size, 4096):
                private[start] = 1
            time.sleep(600)
    report("allocated")
    time.sleep(600)

def group(report):
    return os.getpgid(0) == os.getpid()

def signals(report):
    return signal.getsignal(signal.SIGCHLD), signal.set_wakeup_fd(-1)

def obey(parent):
    while True:
        command = parent.next_command()
        if command == "end":
            return "ended"
        if command == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if command == "hang":
            time.sleep(600)
        parent("working")
        parent.answer((command, os.getpid()))

def loads(report):
    import reports, models
    return reports.__file__, models.__file__
"""
"""The module `jobs`, which a test writes into the directory of its server."""


def run(server: Server, name: str, *arguments: Any, deadline_s: float = 60, **job: Any) -> Any:
    return server.run(
        Job(f"jobs:{name}", arguments, **job), deadline_s=deadline_s, on_progress=lambda _: None
    )


def wait_until_gone(pids: list[int]) -> None:
    until = time.monotonic() + 120
    while any(map(_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in pids if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
