from pathlib import Path

import pytest
from rich.console import Console

from stepbench.process.server import ServerLostError
from stepbench.regression import conclusion, github
from stepbench.regression.directory import reopened
from stepbench_reports import regression
from stepbench_reports.regression.decision import Decision
from stepbench_reports.schema.check import SCHEMA, CaseReason, FailedPairLine, PairLine
from stepbench_reports.schema.files import VERDICT, read_record
from stepbench_reports.schema.verdict import VerdictFile
from support import synthetic_check as made

SLOWED = [
    *made.entries(6, 0.05),
    *made.entries(24, 0.05, first=7, stage="confirm"),
]


def decision(path: Path, pairs: list[PairLine | FailedPairLine], *, strict: bool) -> Decision:
    made.write(path, pairs, strict=strict)
    return regression.write(path)


@pytest.mark.parametrize(
    ("pairs", "strict", "code", "annotation"),
    [
        (made.entries(6), False, 0, None),
        (made.entries(3), False, 0, "::warning title=stepbench regression::Could not tell: "),
        (SLOWED, False, 1, "::error title=stepbench regression::Regression: "),
        ([made.failed()] * 2, False, 2, "::error title=stepbench regression::Could not compare: "),
        (made.entries(3), True, 3, "::warning title=stepbench regression::Could not tell: "),
    ],
)
def test_the_code_the_last_line_the_file_and_github_agree(
    pairs: list[PairLine | FailedPairLine],
    strict: bool,
    code: int,
    annotation: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv(github.ACTIONS, "true")
    monkeypatch.setenv(github.SUMMARY, str(summary))
    decided = decision(tmp_path / "check", pairs, strict=strict)
    assert conclusion.finish(decided, Console(width=80)) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith(f"exit code {code}: ")
    assert read_record(tmp_path / "check" / VERDICT, VerdictFile, SCHEMA).exit_code == code
    assert summary.read_text().splitlines()[-2].startswith(f"Exit code {code}: ")
    annotations = [line for line in lines if line.startswith("::")]
    assert [line[: len(annotation or "")] for line in annotations] == (
        [annotation] if annotation else []
    )


def test_text_of_others_begins_no_command_of_github(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(github.ACTIONS, "true")
    monkeypatch.delenv(github.SUMMARY, raising=False)
    failing = (CaseReason(case=made.OTHER, reason="100 %\n::stop-commands::x"),)
    made.write(tmp_path, made.entries(6), failing=failing)
    conclusion.finish(regression.write(tmp_path), Console(width=80))
    (annotation,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("::error")
    ]
    assert "100 %25%0A::stop-commands::x" in annotation


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("broken"), "stepbench failed: RuntimeError('broken')"),
        (
            ServerLostError("the fork server has ended"),
            "the fork server has ended. The results so far are kept; continue with --resume",
        ),
    ],
    ids=["internal", "lost server"],
)
def test_a_failure_is_in_the_verdict(tmp_path: Path, error: Exception, reason: str) -> None:
    made.write(tmp_path, SLOWED)
    with reopened(tmp_path) as directory:
        conclusion.record_failure(directory, error)
    verdict = read_record(tmp_path / VERDICT, VerdictFile, SCHEMA)
    assert verdict.exit_code == 2
    assert verdict.fatal == reason
