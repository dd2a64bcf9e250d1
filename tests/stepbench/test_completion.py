import subprocess
from pathlib import Path

import pytest

from stepbench.cli import SUBCOMMANDS
from stepbench.completion import SHELLS, command_line, main
from stepbench.config.axes import AXES, SHIPPED_WORKLOADS

ASK = """
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_shtab_stepbench
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Does what bash does at Tab: the last word is to be completed."""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["bash"]) == 0
    path = tmp_path / "completion.bash"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ([""], {subcommand.name for subcommand in SUBCOMMANDS}),
        (["run", "--batch"], {"--batch-size"}),
        (["run", "--compile", "off", "max"], {"max-autotune", "max-autotune-no-cudagraphs"}),
        (["run", "--device", "c"], {"cpu", "cuda"}),
        (["run", "--workload", ""], {*SHIPPED_WORKLOADS, "my_bench.py", "results"}),
        (["run", "--pin-memory", ""], {"on", "off"}),
        (["run", "--output", ""], {"results"}),
        (["regression", "--precision", "b"], {"bf16"}),
        (["compare", "--by", "batch"], {"batch_size"}),
        (["report", ""], {"results"}),
        (["tensorboard", "res"], {"results"}),
        (["completion", ""], set(SHELLS)),
    ],
)
def test_bash_completes(
    words: list[str], completed: set[str], script: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "results").mkdir(parents=True)
    for name in ("my_bench.py", "notes.txt"):
        (home / name).touch()
    done = subprocess.run(
        ["bash", "--norc", "-c", f'source "{script}"\n{ASK}', "bash", "stepbench", *words],
        cwd=home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == completed
    assert not done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_each_subcommand_and_the_values_of_each_axis(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([shell]) == 0
    script = capsys.readouterr().out
    assert all(subcommand.name in script for subcommand in SUBCOMMANDS)
    assert all(value in script for axis in AXES for value in axis.choices)


def test_another_shell_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["powershell"])
    assert stopped.value.code == 4
    assert "choose from" in capsys.readouterr().err


def test_the_parser_of_all_subcommands_has_the_options_of_each() -> None:
    parser = command_line()
    assert parser.parse_args(["run", "--batch-size", "4"]).stepbench_batch_size == ["4"]
    assert parser.parse_args(["compare", "--by", "batch_size"]).by == "batch_size"


def test_each_value_that_is_offered_is_a_value_of_its_axis() -> None:
    for axis in AXES:
        assert len(axis.read(axis.choices)) == len(axis.choices)
