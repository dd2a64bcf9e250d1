"""A bench on which a measurer of cases works with fake players and without files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stepbench.config.case import Case
from stepbench.config.turns import TakeTurn, TurnKind, TurnResult
from stepbench.process.job import Job, Outcome
from stepbench.runner.measuring import CaseMeasurer
from stepbench.runner.progress import GenerationDone
from stepbench_reports.schema.compilation import ColdStart
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status
from support import played
from support.fake_players import Stage


class Files:
    """A run's directory in memory, which keeps all records that were ever written."""

    def __init__(self) -> None:
        self.written: list[MeasurementRecord] = []

    def write(self, record: MeasurementRecord) -> None:
        """Keeps a record."""
        self.written.append(record)

    def read(self, _: Any, case: Case) -> MeasurementRecord | None:
        """The last record of a case."""
        return self.history(case)[-1] if self.history(case) else None

    def history(self, case: Case) -> list[MeasurementRecord]:
        """All records of a case."""
        return [record for record in self.written if record.id == case.id]


class Bench:
    """What a measurer needs, without processes.

    Attributes:
        stage: The stage of the players.
        files: The run's directory.
        ran: The functions of the jobs that were run.
        cold: The outcome of compiling with an empty cache.
        left: The number of generations to come, after each generation.
        waiting: The number of cases of later groups, after each generation.
        compilations: The number of compilations that were reported.
        room: The number of players that memory has room for; more than any.
    """

    def __init__(self, tmp_path: Path) -> None:
        stage: Any = Stage()
        self.stage = stage
        self.stage.result = self._result
        self.files = Files()
        self.ran: list[str] = []
        self.cold = Outcome(Status.OK, ColdStart(compile_s=3.0, first_step_s=4.0))
        self.left: list[int] = []
        self.waiting: list[int] = []
        self.compilations = 0
        self.room = 100
        self._tmp_path = tmp_path

    def measurer(self, **sampling: Any) -> CaseMeasurer:
        """A measurer of a run that begins or is resumed."""
        given = {"generations": 2, "max_time_s": 100.0, **sampling}
        jobs: Any = SimpleNamespace(
            request=lambda case: case,
            compile_cache=lambda case: self._tmp_path / case.compile_key.id,
            run=self._run,
            server=None,
            on_progress=lambda _: None,
            directory=self.files,
            options=SimpleNamespace(
                sampling=SamplingOptions(**given), memory_limit_bytes=None, deadline_s=9.0
            ),
        )
        return CaseMeasurer(jobs, self._note, self._note_compilation, lambda _: {"sleep": 2})

    def _note(self, done: GenerationDone) -> None:
        self.left.append(done.left)
        self.waiting.append(done.waiting)

    def _note_compilation(self) -> None:
        self.compilations += 1

    def _run(self, job: Job) -> Outcome:
        self.ran.append(job.function.rpartition(":")[2])
        return self.cold

    def _result(self, _: Case, command: TakeTurn) -> TurnResult:
        steps = command.steps
        host = played.laps([0.001] * steps, dataload=[0.0] * steps)
        return TurnResult(
            0.001 * steps,
            host=None if command.kind is TurnKind.BARE else host,
            machine_use=played.use(),
            samples=1 if command.kind is TurnKind.TINY else 0,
        )
