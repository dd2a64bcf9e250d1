import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepbench.errors import UsageError
from stepbench.regression import workflow
from stepbench.regression.command import main
from support import repositories

ARGUMENTS = ["--workload", "train.py:make", "--min-effect", "3%", "*-b4-*=5%"]
FAKE_GH = """\
#!/bin/sh
echo "$@" >> calls
case "$*" in *--paginate*) cat ids;; esac
"""
"""A `gh` that records its calls, and lists the comments in the file `ids`."""


def steps() -> dict[str, Any]:
    """The steps of the job that have a name."""
    job = yaml.safe_load(workflow.text(ARGUMENTS, 600.0))["jobs"]["regression"]
    return {step["name"]: step for step in job["steps"] if "name" in step}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repository = repositories.make(tmp_path / "repository")
    monkeypatch.chdir(repository)
    return repository


def test_every_script_is_valid_and_holds_no_expression_of_others() -> None:
    for step in steps().values():
        script = step.get("run", "")
        subprocess.run(["bash", "-n", "-c", script], check=True)
        assert "${{" not in script  # a branch's name could be a command


def test_the_check_gets_base_and_the_options(tmp_path: Path) -> None:
    fake = tmp_path / "stepbench"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > arguments\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "BASE": "$(touch hacked)"}
    script = steps()["Compare with base"]["run"]
    subprocess.run(["bash", "-e", "-c", script], check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / "arguments").read_text().splitlines() == [
        "regression", "--base", "origin/$(touch hacked)", "--output", workflow.OUTPUT, *ARGUMENTS,
    ]  # fmt: skip
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("ids", "call"),
    [
        ("", "api --method POST repos/me/net/issues/7/comments -F body=@comment.md"),
        ("12\n13\n", "api --method PATCH repos/me/net/issues/comments/12 -F body=@comment.md"),
    ],
    ids=["first", "again"],
)
def test_the_comment_is_updated_in_place(tmp_path: Path, ids: str, call: str) -> None:
    (tmp_path / "gh").write_text(FAKE_GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "ids").write_text(ids)
    (tmp_path / workflow.OUTPUT).mkdir(parents=True)
    (tmp_path / workflow.OUTPUT / "report.md").write_text("### stepbench\n")
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "NUMBER": "7", "GITHUB_REPOSITORY": "me/net"
    }  # fmt: skip
    script = steps()["Comment on the pull request"]["run"]
    subprocess.run(["bash", "-e", "-c", script], check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / "calls").read_text().splitlines()[-1] == call
    assert (tmp_path / "comment.md").read_text() == f"{workflow.MARK}\n### stepbench\n"


def test_without_a_report_nothing_is_commented(tmp_path: Path) -> None:
    script = steps()["Comment on the pull request"]["run"]
    done = subprocess.run(
        ["bash", "-e", "-c", script], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "no report to comment\n"


def test_a_file_that_exists_is_kept_unless_told(repository: Path) -> None:
    file = workflow.write(repository, ARGUMENTS, budget_s=600.0, overwrite=False)
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"exists; edit it, or replace it with --overwrite"):
        workflow.write(repository, ARGUMENTS, budget_s=600.0, overwrite=False)
    assert file.read_text() == "mine"
    workflow.write(repository, ARGUMENTS, budget_s=600.0, overwrite=True)
    assert yaml.safe_load(file.read_text())["name"] == "stepbench"


def test_the_command_writes_the_workflow_with_its_options(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--workload", "train.py:make", "--batch-size", "4", "--compile", "off"]
    assert main(["--init", *given]) == 0
    assert f"wrote {repository / workflow.WORKFLOW}" in capsys.readouterr().out
    text = (repository / workflow.WORKFLOW).read_text()
    assert (
        "--output results/stepbench --workload train.py:make --batch-size 4 --compile off" in text
    )
    assert "timeout-minutes: 60\n" in text
    assert main(["--init", *given]) == 4
    assert main(["--init", "--overwrite", "--budget", "90m", *given]) == 0
    assert "timeout-minutes: 140\n" in (repository / workflow.WORKFLOW).read_text()


def test_a_script_keeps_its_arguments(repository: Path) -> None:
    assert main(["--init", "--script", "train.py", "--", "--init", "a b"]) == 0
    text = (repository / workflow.WORKFLOW).read_text()
    assert "--output results/stepbench --script train.py -- --init 'a b'\n" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base", "main"], "--base: --init sets it in the workflow"),
        (["--budget", "soon"], "--budget soon: give a time"),
        ([], "--workload convnet: belongs to stepbench"),
        (
            ["--workload", "train.py:make", "--min-effect", "foward=5%"],
            "--min-effect foward=5%: foward is no phase and fits no case",
        ),
    ],
)
def test_options_that_the_workflow_cannot_use_are_refused(
    repository: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--init", *arguments]) == 4
    assert message in capsys.readouterr().err
    assert not (repository / workflow.WORKFLOW).exists()


def test_the_workflow_is_for_the_root(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "deep").mkdir()
    monkeypatch.chdir(repository / "deep")
    assert main(["--init"]) == 4
    assert f"go to {repository}" in capsys.readouterr().err
