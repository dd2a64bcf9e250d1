"""Lines about a run: writes all to the run's log, and the important ones to the terminal."""

import platform
from collections.abc import Mapping

from rich.console import Console

from stepbench import machine
from stepbench.config.case import Case
from stepbench.results.run_directory import RunDirectory
from stepbench.runner.equivalence import difference_sentence
from stepbench.runner.progress import Progress
from stepbench_reports.schema.parity import ParityVerdict, TrainingVerdict
from stepbench_reports.schema.paths import relative_path
from stepbench_reports.schema.results import (
    MeasurementRecord,
    ParityRecord,
    ProfileRecord,
    TrainingParityRecord,
)
from stepbench_reports.schema.status import Status
from stepbench_reports.wording.with_noun import with_noun


class RunLog:
    """Writes lines about the start of a run and about the results of each case.

    Args:
        directory: The run's directory; its log receives every line.
        progress: Prints the lines about a case.
        console: The terminal.
    """

    def __init__(self, directory: RunDirectory, progress: Progress, console: Console) -> None:
        self._directory = directory
        self._progress = progress
        self._console = console

    def add_header(
        self,
        cases: int,
        measured: int,
        duration: str,
        devices: Mapping[str, str],
        import_s: float | None,
    ) -> None:
        """Writes what will be measured, how long it takes, with which versions, on which devices.

        Args:
            cases: The number of cases.
            measured: The number of cases that are already measured, in a resumed run.
            duration: How long the run takes, in words, and what makes it shorter.
            devices: The devices present, and the model of each.
            import_s: Seconds that the server's imports took; `None` if it imports nothing.
        """
        models = ", ".join(f"{name} ({model})" for name, model in devices.items())
        imported = "" if import_s is None else f", imported in {import_s:.1f} s"
        torch, cores = machine.packages().get("torch", "?"), machine.usable_cores()
        case_count = with_noun(cases, "case")
        core_count = with_noun(cores, "core")
        lines = [
            f"{case_count}: {duration}",
            f"stepbench {machine.own_version()} on {models}",
            f"torch {torch}{imported}; Python {platform.python_version()}; {core_count}",
            f"results in {relative_path(self._directory.path)}",
        ]
        if measured:
            lines.append(f"already measured: {measured} of {case_count}")
        for line in lines:
            self.add_line(line)

    def add_line(self, line: str) -> None:
        """Writes a line to the terminal and to the log."""
        self._console.print(line, soft_wrap=True)
        self._directory.log(line)

    def add_note(self, note: str) -> None:
        """Writes a sentence on what happened to the run from outside."""
        self._directory.log(note)
        self._console.print(f"note: {note}", style="yellow", soft_wrap=True, markup=False)

    def add_left_behind(self, label: str, names: Mapping[str, int], *, quiet: bool) -> None:
        """Writes which processes outlived a process of the run.

        Args:
            label: The case's id, or the name of another process.
            names: The number of processes of each name.
            quiet: True to write to the log only.
        """
        count = sum(names.values())
        processes = "1 process" if count == 1 else f"{count} processes"
        listed = ", ".join(f"{name} ({number})" for name, number in sorted(names.items()))
        note = f"{label}: left {processes} running, and stepbench ended them: {listed}"
        if quiet:
            self._directory.log(note)
        else:
            self.add_note(note)

    def add_measurement(self, case: Case, measurement: MeasurementRecord) -> None:
        """Writes the result of measuring a case."""
        self._progress.add_measurement(case, measurement)
        start_s = measurement.start_s
        started = "not started" if start_s is None else f"started in {start_s * 1e3:.1f} ms"
        reason = "" if measurement.reason is None else f": {measurement.reason}"
        self._directory.log(
            f"{case.id}: process {started}, {measurement.status} after "
            f"{measurement.elapsed_s:.1f} s{reason}"
        )

    def add_parity(self, case: Case, result: ParityRecord) -> None:
        """Writes the verdict on a case's tensors; to the terminal only if it is not `pass`."""
        judgement = result.judgement
        if judgement is None:
            self._add_result(case, "parity", str(result.status), result.reason, quiet=False)
        else:
            quiet = judgement.verdict is ParityVerdict.PASS
            reason = result.reason or judgement.reason
            self._add_result(case, "parity", str(judgement.verdict), reason, quiet=quiet)

    def add_training_parity(self, case: Case, result: TrainingParityRecord) -> None:
        """Writes the verdict on a case's trained model; that on eager fp32 only to the log."""
        verdict = result.facts.verdict
        if verdict is TrainingVerdict.EAGER_FP32:
            reason, quiet = result.reason, True
        else:
            reason = result.reason if verdict is None else difference_sentence(result.facts)
            quiet = False
        outcome = str(verdict or result.status)
        self._add_result(case, "training parity", outcome, reason, quiet=quiet)

    def add_profile(self, case: Case, result: ProfileRecord) -> None:
        """Writes the result of profiling a case; to the terminal only if profiling failed."""
        quiet = result.status is Status.OK
        self._add_result(case, "profile", str(result.status), result.reason, quiet=quiet)

    def _add_result(
        self, case: Case, task: str, outcome: str, reason: str | None, *, quiet: bool
    ) -> None:
        result = outcome if reason is None else f"{outcome}: {reason}"
        self._directory.log(f"{case.id}: {task}: {result}")
        if not quiet:
            style = "green" if outcome == TrainingVerdict.EQUIVALENT else "red"
            self._progress.add_result(case, task, result, style)
