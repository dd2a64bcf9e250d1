import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stepbench.interruption import signals_as_ctrl_c, signals_ignored

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
WAITS = """
    import sys, time
    from stepbench import cli

    def wait(arguments):
        print("waiting", flush=True)
        time.sleep(600)

    cli.SUBCOMMANDS = (cli.Subcommand("wait", "", "__main__:wait", "", cli.MEASURE),)
    sys.exit(cli.main(["wait"]))
"""


@needs_signals
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_signal_ends_a_command_as_ctrl_c_does(name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WAITS)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(  # noqa: PLW1509  # there is one thread
            signal.SIGINT, signal.default_int_handler
        ),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.Signals[name])
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2
    assert errors == "interrupted\n"


PRINTS = """
    import sys, time
    from pathlib import Path
    from stepbench import cli

    def wait(arguments):
        try:
            print("waiting", flush=True)
            time.sleep(600)
        finally:
            print("the table of cases", flush=True)
            Path("printed").touch()

    cli.SUBCOMMANDS = (cli.Subcommand("wait", "", "__main__:wait", "", cli.MEASURE),)
    sys.exit(cli.main(["wait"]))
"""


@needs_signals
def test_a_command_whose_terminal_is_closed_ends_in_order(tmp_path: Path) -> None:
    import fcntl
    import pty
    import termios

    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PRINTS)],
        cwd=tmp_path, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one thread
    )  # fmt: skip
    os.close(its_end)
    assert os.read(terminal, 100).startswith(b"waiting")
    os.close(terminal)
    assert process.wait(timeout=300) == 2
    assert (tmp_path / "printed").exists()


@needs_signals
def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_as_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@needs_signals
def test_handlers_are_put_back() -> None:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = [signal.getsignal(signal.Signals[name]) for name in names]
    with signals_as_ctrl_c():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with signals_ignored():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(signal.Signals[name]) for name in names] == before
