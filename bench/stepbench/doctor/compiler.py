"""Checks that torch.compile can compile for the CPU."""

import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from stepbench.doctor.diagnosis import Ability, Diagnosis
from stepbench.process.compiler_errors import missing_tool

NAME = "C++ compiler"
SOURCE = "#include <Python.h>\n#include <vector>\nint main() { return 0; }\n"
TIMEOUT_S = 60
_WITHOUT = "torch.compile cannot be measured on the CPU"


def check_compiler() -> Diagnosis:
    """Compiles a program that includes Python's headers, as torch.compile does on the CPU."""
    default = "clang++" if platform.system() == "Darwin" else "g++"
    name = os.environ.get("CXX") or default  # as Inductor chooses
    path = shutil.which(name)
    if path is None:
        remedy = missing_tool("Failed to find C++ compiler") or ""
        return Diagnosis(
            NAME,
            Ability.MISSING,
            f"There is no {name}: {_WITHOUT}.",
            f"{_after_semicolon(remedy)}.",
        )
    with tempfile.TemporaryDirectory(prefix="stepbench-doctor-") as directory:
        source = Path(directory, "probe.cpp")
        source.write_text(SOURCE, encoding="utf-8")
        command = [
            path, "-I", sysconfig.get_path("include"), "-shared", "-fPIC", str(source),
            "-o", str(source.with_suffix(".so")),
        ]  # fmt: skip
        try:
            compiled = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return Diagnosis(
                NAME,
                Ability.MISSING,
                f"{path} cannot be run ({error}): {_WITHOUT}.",
                "Set CXX to a C++ compiler that works.",
            )
    if compiled.returncode == 0:
        return Diagnosis(NAME, Ability.OK, f"{path} compiles for torch.compile on the CPU.")
    complaint = compiled.stderr.decode(errors="replace").strip()
    tool = missing_tool(complaint)
    first_line = next(iter(complaint.splitlines()), f"exit code {compiled.returncode}")
    return Diagnosis(
        NAME,
        Ability.MISSING,
        f"{path} cannot compile a small program: {_WITHOUT} ({first_line}).",
        f"{_after_semicolon(tool)}." if tool else "Set CXX to a C++ compiler that works.",
    )


def _after_semicolon(sentence: str) -> str:
    """The remedy of a sentence such as "there is none; install g++", with a capital."""
    remedy = sentence.partition("; ")[2]
    return remedy[:1].upper() + remedy[1:]
