"""What a run prints into a log and on a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

FAILS_AT_8 = """
def fails_at_8(output, target):
    assert len(output) < 8, "a batch of 8"
    return output.sum()
import dataclasses
old = make
def make(): return dataclasses.replace(old(), loss=fails_at_8)
"""
OPTIONS = ("--workload", "tiny.py:make", "--batch-size", "4", "8", "--num-workers", "0",
           "--compile", "off", "--steps", "3", "--no-parity", "--output", "out")  # fmt: skip
COMMAND = [sys.executable, "-m", "stepbench", "run", *OPTIONS]
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38|48)\b[0-9;]*m")
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(command: list[str], columns: int, **arguments: object) -> tuple[int, str]:
    """Runs a command on a terminal of so many columns; returns the exit code and the output."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, **arguments  # type: ignore[call-overload]
    ) as process:  # fmt: skip
        os.close(follower)
        output = b""
        try:
            while chunk := os.read(leader, 65536):
                output += chunk
        except OSError:  # Linux says so when the last process has closed the terminal
            pass
        os.close(leader)
        return process.wait(), output.decode()


@pytest.mark.parametrize("colours", [False, True])
def test_a_log_has_one_line_a_case_and_nothing_is_redrawn(
    tiny: Callable[..., Path], tmp_path: Path, colours: bool
) -> None:
    tiny(more=FAILS_AT_8)
    environment = {**os.environ, "FORCE_COLOR": "1"} if colours else dict(os.environ)
    done = subprocess.run(
        [*COMMAND, "--junitxml", "junit.xml"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert ("\x1b" in done.stdout) == colours
    text = STYLE.sub("", done.stdout)
    assert "\x1b" not in text
    assert "\r" not in text
    assert len(re.findall(r"^\[[12]/2\] tiny-cpu-b[48]", text, re.MULTILINE)) == 2
    assert re.search(
        r"^\[\d/2\] tiny-cpu-b8-\S+ +error: AssertionError: a batch of 8", text, re.MULTILINE
    )
    assert not re.search(r"FAILED|FAILURES|test session|collected|test_phase|Traceback \(", text)
    assert "The traceback of each failed case is in out/report.md." in text
    assert "a batch of 8" in (tmp_path / "out" / "report.md").read_text()
    assert len(ET.parse(tmp_path / "junit.xml").findall(".//failure")) == 5  # noqa: S314  # own file


def test_a_terminal_of_60_columns_without_colours(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    tiny(more=FAILS_AT_8)
    # A shell that exports COLUMNS would overrule the terminal's own width.
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    environment = {**inherited, "NO_COLOR": "1", "TERM": "xterm-256color"}
    code, output = on_terminal(COMMAND, 60, cwd=tmp_path, env=environment)
    assert code == 1
    assert not COLOUR.search(output)
    # Heads may be broken in two, "bottle-" and "neck": cells are as wide as the figures need.
    _, head, table = STYLE.sub("", output).partition("\ncase")
    assert head
    assert max(map(len, table.splitlines())) <= 60


def test_v_names_each_failed_phase(bench: Callable[..., subprocess.CompletedProcess[str]],
                                   tiny: Callable[..., Path]) -> None:  # fmt: skip
    tiny(more=FAILS_AT_8)
    done = bench(*OPTIONS, "-v")
    assert done.returncode == 1
    assert done.stdout.count("\nFAILED ") == 5
    assert "Traceback (most recent call last)" in done.stdout
