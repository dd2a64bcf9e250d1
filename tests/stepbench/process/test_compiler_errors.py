"""Missing compilers and headers are recognized in real exceptions, as torch wraps them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stepbench.process.child import diagnose
from stepbench.process.compiler_errors import missing_tool
from stepbench_reports.schema.status import Status

NEEDS_GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def no_c_compiler(_: Path) -> None:
    """Fails as Triton does."""
    raise RuntimeError(
        "Failed to find C compiler. Please specify via CC environment variable or set "
        "triton.knobs.build.impl."
    )


def no_cxx_compiler(_: Path) -> None:
    """Fails as Inductor does."""
    from torch._inductor.exc import InvalidCxxCompiler

    raise InvalidCxxCompiler


def extension(directory: Path) -> list[str]:
    """The command that compiles an extension without Python's headers."""
    source = directory / "main.c"
    source.write_text("#include <Python.h>\n")
    headers = directory / "include" / "python3.11"
    return ["gcc", str(source), "-shared", "-o", str(directory / "a.so"), f"-I{headers}"]


def no_headers_for_triton(directory: Path) -> None:
    """Compiles as Triton does, whose exception lacks the compiler's words."""
    subprocess.check_call(extension(directory), stderr=subprocess.DEVNULL)


def no_headers_for_inductor(directory: Path) -> None:
    """Compiles with Inductor's function."""
    from torch._inductor.cpp_builder import run_compile_cmd

    run_compile_cmd(" ".join(extension(directory)), str(directory))


def no_headers_in_a_compile_worker(directory: Path) -> None:
    """Fails as a compile worker of Inductor does, whose exception arrives as text."""
    from torch._inductor.compile_worker.subproc_pool import SubprocException

    try:
        no_headers_for_triton(directory)
    except subprocess.CalledProcessError as error:
        raise SubprocException(f"Traceback ...\nsubprocess.CalledProcessError: {error}") from None


def alone(fail: Callable[[Path], None], directory: Path) -> None:
    fail(directory)


def in_backend(fail: Callable[[Path], None], directory: Path) -> None:
    def backend(*_: object) -> Callable[..., object]:
        fail(directory)
        raise AssertionError("did not fail")

    torch._dynamo.reset()
    torch.compile(torch.nn.Linear(2, 2), backend=backend)(torch.ones(1, 2))


def in_inductor(fail: Callable[[Path], None], directory: Path) -> None:
    from torch._inductor import exc

    if not hasattr(exc, "InductorError"):
        pytest.skip("this torch has no InductorError")
    try:
        fail(directory)
    except Exception as error:
        raise exc.InductorError(error, None) from error


@pytest.mark.parametrize("wrapped", [alone, in_backend, in_inductor])
@pytest.mark.parametrize(
    ("fail", "remedy"),
    [
        (no_c_compiler, "install gcc"),
        (no_cxx_compiler, "install g++"),
        pytest.param(no_headers_for_triton, "python3-dev", marks=NEEDS_GCC),
        pytest.param(no_headers_for_inductor, "python3-dev", marks=NEEDS_GCC),
        pytest.param(no_headers_in_a_compile_worker, "python3-dev", marks=NEEDS_GCC),
    ],
)
def test_a_missing_tool_is_unsupported_with_its_remedy(
    tmp_path: Path,
    wrapped: Callable[[Callable[[Path], None], Path], None],
    fail: Callable[[Path], None],
    remedy: str,
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # of various types
        wrapped(fail, tmp_path)
    status, reason = diagnose(raised.value)
    assert status is Status.UNSUPPORTED
    assert remedy in reason


@pytest.mark.parametrize(
    "message",
    [
        "In file included from /include/python3.11/Python.h:44:\na.cpp:3: error: expected ';'",
        "CalledProcessError: Command '['ls', '/nowhere']' returned non-zero exit status 2.",
    ],
)
def test_other_failures_are_no_missing_tool(message: str) -> None:
    assert missing_tool(message) is None


def test_a_compiler_that_fails_with_headers_is_no_missing_tool(tmp_path: Path) -> None:
    directory = tmp_path / "python3.11"
    message = f"Command '['gcc', '-I{directory}']' returned non-zero exit status 1."
    assert missing_tool(message) is not None
    directory.mkdir()
    (directory / "Python.h").touch()
    assert missing_tool(message) is None


@pytest.mark.parametrize(
    "complaint",
    [
        "main.c:1:10: fatal error: Python.h: No such file or directory",
        "main.c:1:10: schwerwiegender Fehler: Python.h: Datei oder Verzeichnis nicht gefunden",
        "main.c:1:10: fatal error: 'Python.h' file not found",
    ],
)
def test_a_compiler_s_complaint_about_missing_headers_is_recognized(complaint: str) -> None:
    assert "python3-dev" in str(missing_tool(f"InductorError: CppCompileError: {complaint}"))
