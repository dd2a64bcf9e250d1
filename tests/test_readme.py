"""The commands and the code that the README and the guides show are understood, or work."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stepbench_reports import commands as reading
from support import synthetic, synthetic_profile

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = README + "".join(page.read_text() for page in GUIDES)
SHELL = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
LINES = [line for block in SHELL for line in block.splitlines()]


def shown(subcommand: str) -> list[str]:
    """The arguments with which the README and the guides show a subcommand."""
    lines = re.findall(rf"^stepbench {subcommand}(?: (.*))?$", PAGES, flags=re.MULTILINE)
    return list(dict.fromkeys(line.partition("  #")[0].strip() for line in lines))


BENCH = shown("run")
READING = [
    *(("report", arguments) for arguments in shown("report")),
    # Those with --operators name cases of the run that is shown there.
    *(("compare", arguments) for arguments in shown("compare") if "--operators" not in arguments),
]
REGRESSION, SCRIPT = shown("regression"), shown("script")


def test_commands_are_found() -> None:
    assert all((BENCH, REGRESSION, READING, SCRIPT))
    assert {line.split()[1] for line in LINES if line.startswith("stepbench ")} == {
        "run", "regression", "tensorboard", "compare", "script"
    }  # fmt: skip


def test_the_first_two_commands_set_up_and_test() -> None:
    assert LINES[0].endswith(".venv/bin/nox -s bench")
    assert LINES[1] == ".venv/bin/nox -s tests"
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith(LINES[1])


def test_only_those_two_commands_need_nox() -> None:
    assert README.count("nox -s") == 2
    assert not [page.name for page in GUIDES if re.search(r"\bnox\b", page.read_text())]
    sources = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "reports").rglob("*.py")]
    assert not [file.name for file in sources if re.search(r"\bnox\b", file.read_text())]


def test_each_session_that_is_named_is_there() -> None:
    noxfile = (ROOT / "noxfile.py").read_text()
    sessions = set(re.findall(r"^def (\w+)\(session", noxfile, re.MULTILINE))
    assert set(re.findall(r"nox -s (\w+)", README)) <= sessions


@pytest.mark.parametrize("arguments", [line for line in BENCH if "--resume" not in line])
def test_each_set_of_options_is_understood(
    arguments: str, bench: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "my_bench.py").write_text("def make(): ...\n")
    done = bench(*shlex.split(arguments), "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr


def before_dashes(arguments: str) -> list[str]:
    """The arguments before those of a script, which follow `--`."""
    words = shlex.split(arguments)
    return words[: words.index("--")] if "--" in words else words


@pytest.mark.parametrize("arguments", SCRIPT)
def test_each_script_that_is_shown_is_understood(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stepbench.scripts.command import parsed
    from stepbench.scripts.options import read

    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    options = read(*parsed(shlex.split(arguments)))
    assert options.script.target in {"train.py", "mypackage.train"}


@pytest.mark.parametrize("arguments", REGRESSION)
def test_each_check_that_is_shown_is_understood(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stepbench.regression.command import BASE, INIT, parser
    from stepbench.regression.options import read

    monkeypatch.chdir(tmp_path)
    for name in ("train/bench.py", "train_bench.py", "my_bench.py", "old/bin/python"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch(mode=0o755)
    values = vars(parser().parse_args(before_dashes(arguments)))
    if values[INIT.destination]:
        values[BASE.destination] = "main"  # the workflow's own
    options = read(values, tmp_path)
    assert options.base or options.base_python


@pytest.mark.parametrize(("subcommand", "arguments"), READING)
def test_each_report_and_comparison_is_made(
    subcommand: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("latest", "20261124-123015-k3f9"):
        run = synthetic.write_run(tmp_path / "results" / name, synthetic.eight_cases())
        (run / "profiles").mkdir()
        for file in (run / "cases").iterdir():
            content = json.loads(file.read_text())
            profile = synthetic_profile.profile_file(
                content, synthetic_profile.profile(synthetic_profile.EAGER)
            )
            (run / "profiles" / file.name).write_text(json.dumps(profile))
    read = {"report": reading.report, "compare": reading.compare}[subcommand]
    assert read(shlex.split(arguments)) == 0


def test_the_workload_that_is_shown_is_one(
    bench: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (code,) = re.findall(r"```python\n# my_bench\.py\n(.*?)```", README, flags=re.DOTALL)
    definitions = (
        "class MyNet(torch.nn.Linear):\n    def __init__(self): super().__init__(4, 2)\n"
        "class MyDataset(torch.utils.data.TensorDataset):\n"
        "    def __init__(self, path): super().__init__(torch.ones(8, 4), torch.ones(8).long())\n"
    )
    (tmp_path / "my_bench.py").write_text(code + definitions)
    done = bench(
        "--workload", "my_bench.py:make", "--batch-size", "4", "--num-workers", "0",
        "--compile", "off", "--steps", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
