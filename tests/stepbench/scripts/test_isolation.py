"""A script sees itself as it would alone; these scripts import no torch, so they are fast."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stepbench.scripts.server import MAX_OUTPUT_BYTES, keep_output
from stepbench_reports.schema.status import Status
from support.started_scripts import run

STATE = """
    import json, os, sys
    print(json.dumps({
        "argv": sys.argv, "name": __name__, "file": __file__, "path": sys.path,
        "directory": os.getcwd(), "doc": __doc__, "spec": __spec__ is None,
        "package": __package__, "main": sys.modules["__main__"].__dict__ is globals(),
        "torch": "torch" in sys.modules, "flags": list(sys.flags), "isatty": sys.stdin.isatty(),
    }))
"""


def state(text: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(text)
    return result


def test_a_script_sees_what_it_sees_alone(tmp_path: Path) -> None:
    ended = run(tmp_path, STATE, "--epochs", "3")
    alone = subprocess.run(
        [sys.executable, "train.py", "--epochs", "3"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert state(ended.output) == state(alone.stdout)


def test_a_module_sees_what_it_sees_alone(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "train.py").write_text(
        "import json, sys\n"
        "from . import __name__ as parent\n"
        "print(json.dumps({'argv': sys.argv, 'path': sys.path, 'name': __name__, 'file': __file__,"
        "'package': __package__, 'spec': __spec__.name, 'parent': parent}))\n"
    )
    ended = run(tmp_path, "", "x", module="pkg.train")
    alone = subprocess.run(
        [sys.executable, "-m", "pkg.train", "x"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert state(ended.output) == state(alone.stdout)


@pytest.mark.parametrize("name", ["bench", "models", "reports", "utils", "tests", "stepbench_own"])
@pytest.mark.parametrize("shape", ["file", "folder", "package"])
def test_a_script_imports_its_own_modules(tmp_path: Path, name: str, shape: str) -> None:
    if shape == "file":
        place = tmp_path / f"{name}.py"
        place.write_text("OWN = True")
        statement = f"from {name} import OWN"
    else:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.py").write_text("OWN = True")
        if shape == "package":
            (tmp_path / name / "__init__.py").touch()
        statement = f"from {name}.part import OWN"
    ended = run(tmp_path, f"{statement}\nprint(OWN)\n")
    assert ended.output == "True\n"


def test_classes_of_a_script_are_pickled_and_spawned(tmp_path: Path) -> None:
    source = """
        import multiprocessing, pickle

        class Item:
            pass

        def work(queue):
            queue.put(Item.__module__)

        if __name__ == "__main__":
            assert type(pickle.loads(pickle.dumps(Item()))) is Item
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=work, args=(queue,))
            process.start()
            print(queue.get())
            process.join()
    """
    assert run(tmp_path, source).output == "__mp_main__\n"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("sys.exit(3)", 3, "called sys.exit(3) (exit code 3)"),
        ("sys.exit()", 0, "called sys.exit()"),
        ("sys.exit('no data')", 1, "called sys.exit with a message (exit code 1)"),
        ("os._exit(5)", 5, "exit code 5"),
        ("os.kill(os.getpid(), 9)", -9, "SIGKILL"),
        ("pass", 0, "ran to its end"),
    ],
)
def test_the_exit_code_is_the_script_s_own(
    tmp_path: Path, line: str, code: int, words: str
) -> None:
    ended = run(tmp_path, f"import os, sys\n{line}\n")
    assert ended.exit_codes == [code]
    assert ended.outcome.status is not Status.OK
    assert words in str(ended.outcome.reason)


def test_a_message_of_exit_is_printed(tmp_path: Path) -> None:
    assert run(tmp_path, "import sys; sys.exit('no data')").output == "no data\n"


def test_a_traceback_is_the_script_s_own(tmp_path: Path) -> None:
    source = "def fail():\n    raise ValueError('bad')\n\nfail()\n"
    ended = run(tmp_path, source)
    alone = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    lines = [line for line in alone.stderr.splitlines() if "/" not in line]
    assert ended.exit_codes == [alone.returncode] == [1]
    assert lines == [line for line in ended.output.splitlines() if "/" not in line]
    assert "stepbench" not in ended.output
    assert "raised ValueError: bad" in str(ended.outcome.reason)
    assert "ValueError: bad" in str(ended.outcome.detail)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("print('no Python", "train.py: is no Python"),
        ("print(1)", "never imported torch"),
        ("\0", "train.py: is no Python"),
    ],
)
def test_what_cannot_train_is_refused(tmp_path: Path, source: str, words: str) -> None:
    assert words in str(run(tmp_path, source).outcome.reason)


def test_a_module_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "", module="nowhere.train")
    assert ended.outcome.usage
    assert "-m nowhere.train" in str(ended.outcome.reason)


def test_a_script_that_changes_directory_and_forks_keeps_its_outcome(tmp_path: Path) -> None:
    source = """
        import os
        os.chdir("/")
        if os.fork() == 0:
            print("child", flush=True)
            os._exit(0)
        os.wait()
        print("parent")
    """
    ended = run(tmp_path, source)
    assert ended.output.splitlines() == ["child", "parent"]
    assert "never imported torch" in str(ended.outcome.reason)


def test_a_process_that_a_script_forks_may_exit_as_python_does(tmp_path: Path) -> None:
    source = """
        import os, sys
        if os.fork() == 0:
            sys.exit(3)
        _, status = os.wait()
        print("child", os.waitstatus_to_exitcode(status))
        sys.exit(5)
    """
    ended = run(tmp_path, source)
    assert ended.output == "child 3\n"
    assert ended.exit_codes == [5]
    assert "exit code 5" in (ended.outcome.reason or "")


def test_what_a_script_does_at_its_exit_is_waited_for(tmp_path: Path) -> None:
    source = """
        import threading, time

        def save():
            time.sleep(1.5)
            print("saved", flush=True)

        threading.Thread(target=save).start()
    """
    assert run(tmp_path, source).output == "saved\n"


def test_a_parent_that_ignores_its_children_learns_of_the_end(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        ended = run(tmp_path, "print('done')")
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert ended.output == "done\n"
    assert "never imported torch" in (ended.outcome.reason or "")


def test_output_without_end_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "output.txt"
    file.write_bytes(b"x" * (MAX_OUTPUT_BYTES - 10))
    process = subprocess.Popen([sys.executable, "-c", "print('y' * 10**6)"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    keep_output(process.stdout, file).join(10)
    process.wait()
    content = file.read_bytes()
    assert len(content) < MAX_OUTPUT_BYTES + 100
    assert content.endswith(b"[stepbench keeps no more of this output]\n")
