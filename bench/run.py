"""A run: one invocation, its cases measured one after the other, each kept as soon as it is known.

This is the parent's side. It never imports torch and never touches a device.
"""

import platform
import shlex
import shutil
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from bench import child, devices, host, store
from bench.case import Case, Matrix
from bench.child import Job, Outcome, Server, Status
from bench.errors import UsageError
from bench.judgement import Judged, TrainJudged, Verdict
from bench.judging import Judging
from bench.measurement import Measurement
from bench.options import Options
from bench.profiling.parent import Profiler
from bench.profiling.profile import Profiled
from bench.progress import Progress, short
from bench.request import Parity, Profiling, Request, Sampling, TrainParity
from bench.settings import Settings

PRELOAD = (
    "bench.measuring",
    "bench.parity",
    "bench.training",
    "bench.preflight",
    "bench.ceilings",
    "torchvision.datasets",
)
"""What every child needs."""
PRELOAD_COMPILE = (
    "bench.cold",
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "torch._inductor.codegen.cpp",
)
"""What a child that compiles needs as well."""
PRELOAD_PROFILE = ("bench.profiling.job",)
"""What a child that profiles needs as well."""
PREFLIGHT_DEADLINE_S = 1800.0
"""Preflight may download or draw a data set."""
CEILINGS_DEADLINE_S = 300.0
"""A machine's ceilings take seconds for each device, once."""


class Run:
    """Measures the cases of a matrix and keeps what they give.

    Args:
        options: What was asked for.
        arguments: The command line, for the record.
        console: Where progress is drawn.
    """

    def __init__(self, options: Options, arguments: list[str], console: Console) -> None:
        self._options = options
        self._arguments = arguments
        self._measured: dict[Case, Measurement] = {}
        self._compiled: dict[Path, Outcome] = {}
        self._server: Server | None = None
        self._directory: store.RunDirectory | None = None
        self._judging: Judging | None = None
        self._profiler: Profiler | None = None
        self._console = console
        self.facts: dict[str, Any] = {}
        self.progress = Progress(console, 0, options.sampling.max_time_s)
        self.cases: tuple[Case, ...] = ()

    def list_only(self) -> None:
        """Finds the cases without measuring any: no torch, no child, no directory of its own.

        Raises:
            UsageError: The directory to go on with cannot be.
        """
        if self._options.resume is not None:
            self.claim()
            self.directory.close()
        self.cases = self._options.matrix.on(devices.listed_without_torch()).cases

    def claim(self) -> None:
        """Takes the run's directory.

        Raises:
            UsageError: It cannot be had.
        """
        resume = self._options.resume
        if resume is None:
            self._directory = store.create(self._options.output)
        else:
            self._directory = store.reopen(resume)
            self._adopt(self.directory.read_run() or {})

    @property
    def directory(self) -> store.RunDirectory:
        """Where the run keeps what it finds out."""
        if self._directory is None:
            raise RuntimeError("claim() comes first")
        return self._directory

    @property
    def has_begun(self) -> bool:
        """Whether anything was, or could have been, measured."""
        return bool(self.facts)

    def open(self) -> None:
        """Starts the fork server and tries what can be tried before anything is measured.

        Raises:
            UsageError: Something that was asked for cannot be done.
        """
        self._server = self._start_server()
        found = self._preflight()
        self._refuse_missing_cuda(found)
        self.cases = self._options.matrix.on(found).cases
        if self._options.profiling is not None:
            self._profiler = Profiler(
                self.directory, self._request, self._run_job, self._options.profiling, self.cases
            )
        self._judging = Judging(
            self.directory,
            self._request,
            self._run_job,
            self._options.parity,
            self._options.train_parity,
        )
        self._judging.adopt(self.cases)
        if self._options.resume is None:
            self.facts = self._new_facts(found)
            self.directory.write_run(self.facts)
            if self._options.output is None:
                store.point_latest_at(self.directory.path)
        else:
            self.facts = self.directory.read_run() or {}

    def _refuse_missing_cuda(self, found: dict[str, str]) -> None:
        """A memory snapshot that no case could have is not passed over."""
        profiling = self._options.profiling
        used = dict.fromkeys(case.device for case in self._options.matrix.on(found).cases)
        if profiling is None or not profiling.memory_snapshot:
            return
        if not any(device.startswith("cuda") for device in used):
            raise UsageError(
                f"--memory-snapshot: only CUDA records its allocations, and --device is "
                f"{' '.join(used)}; leave it out: every trace has the memory's curve"
            )

    def _start_server(self) -> Server:
        compiles = any(case.compile != "off" for case in self._options.matrix.cases)
        preload = PRELOAD + (PRELOAD_COMPILE if compiles else ())
        preload += () if self._options.profiling is None else PRELOAD_PROFILE
        return child.start_server(preload, sys.path, Path.cwd())

    def _preflight(self) -> dict[str, str]:
        server = self._running()
        requests = tuple(self._request(case) for case in self._options.matrix.cases)
        with self.progress.preparing():
            self.progress.doing("importing torch")
            server.wait_until_ready()
            outcome = server.run(
                Job("bench.preflight:preflight", (requests,)),
                deadline_s=PREFLIGHT_DEADLINE_S,
                on_progress=self.progress.doing,
            )
        if outcome.usage:
            raise UsageError(outcome.reason or "")
        if outcome.status is not Status.OK:
            workloads = " ".join(self._options.matrix.axes["workload"])
            raise UsageError(
                f"--workload {workloads}: could not be tried: {outcome.reason}\n"
                f"{outcome.detail or ''}"
            )
        found: dict[str, str] = outcome.result.devices
        return found

    def _ceilings(self, used: tuple[str, ...]) -> dict[str, Any]:
        """What this machine reaches at best, by device.

        Raises:
            UsageError: It could not be measured.
        """
        with self.progress.preparing():
            outcome = self._running().run(
                Job("bench.ceilings:known", (used, self._options.settings.threads)),
                deadline_s=CEILINGS_DEADLINE_S,
                on_progress=self.progress.doing,
            )
        if outcome.status is not Status.OK:
            raise UsageError(
                f"--device {' '.join(used)}: its ceilings could not be measured: {outcome.reason}"
                f"\n{outcome.detail or ''}"
            )
        found: dict[str, Any] = outcome.result
        return found

    def _request(self, case: Case) -> Request:
        options = self._options
        return Request(
            case=case,
            sampling=options.sampling,
            compile_cache=self._compile_cache(case),
            data_dir=options.data_dir,
            download=options.download,
            settings=options.settings,
        )

    def _new_facts(self, found: dict[str, str]) -> dict[str, Any]:
        matrix = self._options.matrix.on(found)
        return {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "bench", *self._arguments]),
            "stepbench": metadata.version("stepbench"),
            "axes": dict(matrix.axes),
            "include": list(matrix.include),
            "exclude": list(matrix.exclude),
            "cases": [case.id for case in matrix.cases],
            "sampling": {**asdict(self._options.sampling), "deadline_s": self._options.deadline_s},
            "settings": asdict(self._options.settings),
            "parity": _asked(self._options.parity),
            "train_parity": _asked(self._options.train_parity),
            "profiling": _asked(self._options.profiling),
            "cold": self._options.cold,
            "data_dir": None if self._options.data_dir is None else str(self._options.data_dir),
            "machine": {**host.machine(), "devices": found},
            "ceilings": self._ceilings(tuple(matrix.axes["device"])),
            "packages": host.packages(),
            "server": {"import_s": self._running().wait_until_ready()},
        }

    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("open() comes first")
        return self._server

    def _adopt(self, stored: dict[str, Any]) -> None:
        """Takes over what the run that is gone on with was asked to do.

        Raises:
            UsageError: This invocation asks for something else, or this is another machine.
        """
        place, named = self._options.resume, self._options.named
        matrix = Matrix(
            {name: tuple(values) for name, values in stored["axes"].items()},
            tuple(stored["include"]),
            tuple(stored["exclude"]),
        )
        sampling = Sampling(**{k: v for k, v in stored["sampling"].items() if k != "deadline_s"})
        asked = self._options.matrix.on(matrix.axes["device"])
        if named & {*matrix.axes, "matrix"} and asked.cases != matrix.cases:
            raise UsageError(
                f"--resume {place}: it was run with another matrix ({len(matrix.cases)} cases, "
                f"{stored['command']}); leave the axes out to go on with it, or begin a new run"
            )
        if named & set(vars(sampling)) and self._options.sampling != sampling:
            raise UsageError(
                f"--resume {place}: it was sampled otherwise ({stored['command']}); leave --steps, "
                f"--max-time, --rel-error and --sync-phases out to go on with it, or begin a new "
                f"run"
            )
        settings = Settings(**stored["settings"])
        if named & set(vars(settings)) and self._options.settings != settings:
            raise UsageError(
                f"--resume {place}: it ran under other settings ({stored['command']}); leave "
                f"{', '.join('--' + name.replace('_', '-') for name in vars(settings))} out to go "
                f"on with it, or begin a new run"
            )
        parity = _stored(Parity, stored.get("parity"))
        train_parity = _stored(TrainParity, stored.get("train_parity"))
        if named & _PARITY_OPTIONS and (parity, train_parity) != (
            self._options.parity,
            self._options.train_parity,
        ):
            raise UsageError(
                f"--resume {place}: its parity was judged otherwise ({stored['command']}); leave "
                f"{', '.join('--' + name.replace('_', '-') for name in sorted(_PARITY_OPTIONS))} "
                f"out to go on with it, or begin a new run"
            )
        profiling = _stored(Profiling, stored.get("profiling"))
        if named & _PROFILE_OPTIONS and profiling != self._options.profiling:
            raise UsageError(
                f"--resume {place}: it was profiled otherwise, or not at all "
                f"({stored['command']}); leave --profile and what goes with it out to go on with "
                f"it, or begin a new run"
            )
        here = {"cpu": host.cpu_name(), **host.packages()}
        there = {"cpu": stored["machine"]["cpu"], **stored["packages"]}
        differing = [
            f"{name} {there.get(name)} there, {here.get(name)} here"
            for name in ("cpu", "torch", "torchvision")
            if there.get(name) != here.get(name)
        ]
        if differing:
            raise UsageError(
                f"--resume {place}: figures of two kinds would be mixed ({'; '.join(differing)}); "
                f"begin a new run"
            )
        data_dir = None if stored["data_dir"] is None else Path(stored["data_dir"])
        self._options = replace(
            self._options,
            matrix=matrix,
            sampling=sampling,
            settings=settings,
            parity=parity,
            train_parity=train_parity,
            profiling=profiling,
            cold=stored["cold"],
            data_dir=data_dir,
        )
        for case in matrix.cases:
            kept = self.directory.read(case)
            if kept is not None and kept.status in {Status.OK, Status.UNSUPPORTED}:
                self._measured[case] = kept

    def introduce(self) -> None:
        """Says what is going to be measured, on what."""
        import_s = self._running().wait_until_ready()
        found = self.facts["machine"]["devices"]
        started = "" if import_s is None else f", imported in {import_s:.1f} s"
        torch, cores = host.packages().get("torch", "?"), host.usable_cores()
        lines = [
            f"stepbench {metadata.version('stepbench')}: {len(self.cases)} cases on "
            + ", ".join(f"{name} ({model})" for name, model in found.items()),
            f"torch {torch}{started}; Python {platform.python_version()}; {cores} cores",
            f"results in {short(self.directory.path)}",
        ]
        if self._measured:
            lines.append(f"{len(self._measured)} of {len(self.cases)} cases are there already")
        for line in lines:
            self._console.print(line, soft_wrap=True)
            self.directory.log(line)

    def expect(self, cases: list[Case]) -> None:
        """Says which cases will be asked for, so that the time left can be told."""
        self.progress.expect([case for case in cases if case not in self._measured])

    def measure(self, case: Case) -> Measurement:
        """A case's measurement; taken at the first call, and kept in the run directory.

        Raises:
            StoreError: It could not be kept.
        """
        if case not in self._measured:
            with self.progress.measuring(case):
                measurement = self._take(case)
            self.directory.write(measurement)
            self._measured[case] = measurement
            self.progress.done(measurement)
            self._log(measurement)
        return self._measured[case]

    def _take(self, case: Case) -> Measurement:
        cold = self._compile_cold(case) if case.has_compile_cache else None
        if cold is not None and cold.status is not Status.OK:
            return Measurement.of(case, cold)
        outcome = self._child("bench.measuring:measure", case)
        return Measurement.of(case, outcome, None if cold is None else cold.result)

    def _compile_cold(self, case: Case) -> Outcome:
        """What became of compiling a case with an empty cache; once for all that share it."""
        cache = self._compile_cache(case)
        if cache not in self._compiled:
            # A run that was cut off may have left some of it.
            shutil.rmtree(cache, ignore_errors=True)
            self._compiled[cache] = self._child("bench.cold:compile_cold", case)
        return self._compiled[cache]

    def _compile_cache(self, case: Case) -> Path:
        """Where a case's compiler keeps its results: with all that compile as it does."""
        owner = case if self._options.cold else case.compiled_as
        return self.directory.compile_cache / owner.id

    def _child(self, function: str, case: Case) -> Outcome:
        return self._run_job(Job(function, (self._request(case),)))

    def _run_job(self, job: Job, more_s: float = 0.0) -> Outcome:
        return self._running().run(
            replace(job, memory_limit_bytes=self._options.memory_limit_bytes),
            deadline_s=self._options.deadline_s + more_s,
            on_progress=self.progress.doing,
        )

    @property
    def compares(self) -> bool:
        """Whether tensors are compared (no `--no-parity`)."""
        return self._options.parity is not None

    @property
    def compares_trainings(self) -> bool:
        """Whether trained models are compared (`--train-parity`)."""
        return self._options.train_parity is not None

    def measured(self, case: Case) -> Measurement | None:
        """A case's measurement, where it has been taken already."""
        return self._measured.get(case)

    def judge(self, case: Case) -> Judged:
        """Whether a case computes what it should; kept in the run directory.

        Raises:
            StoreError: It could not be kept.
        """
        with self.progress.examining(case, "parity"):
            judged = self._examining().judged(case)
        word = str(judged.verdict or judged.status)
        reason = judged.reason or (judged.judgement or {}).get("reason")
        self._tell(case, "parity", word, reason, quiet=judged.verdict is Verdict.PASS)
        return judged

    def judge_training(self, case: Case) -> TrainJudged:
        """Whether a case trains to the same accuracy as its eager twin; likewise.

        Raises:
            StoreError: It could not be kept.
        """
        with self.progress.examining(case, "training parity"):
            judged = self._examining().train_judged(case)
        word = judged.verdict or str(judged.status)
        reason = judged.sentence if "accuracies" in judged.facts else judged.reason
        self._tell(case, "training parity", word, reason, quiet=word == "twin")
        return judged

    @property
    def profiles(self) -> bool:
        """Whether cases are profiled (`--profile`)."""
        return self._options.profiling is not None

    def profile(self, case: Case) -> Profiled:
        """What profiling a measured case found; kept in the run directory.

        Raises:
            StoreError: It could not be kept.
        """
        if self._profiler is None:
            raise RuntimeError("only --profile profiles")
        with self.progress.examining(case, "profile"):
            found = self._profiler.profiled(case)
        ok = found.status is Status.OK
        self._tell(case, "profile", str(found.status), found.reason, quiet=ok)
        return found

    def _examining(self) -> Judging:
        if self._judging is None:
            raise RuntimeError("open() comes first")
        return self._judging

    def _tell(self, case: Case, what: str, word: str, reason: str | None, *, quiet: bool) -> None:
        """Logs what was come to, and prints what a reader would not take for granted."""
        told = word if reason is None else f"{word}: {reason}"
        self.directory.log(f"{case.id}: {what}: {told}")
        if not quiet:
            self.progress.told(case, what, told, "green" if word == "equivalent" else "red")

    def _log(self, measurement: Measurement) -> None:
        start_s = measurement.start_s
        begun = "not started" if start_s is None else f"started in {start_s * 1e3:.1f} ms"
        reason = "" if measurement.reason is None else f": {measurement.reason}"
        self.directory.log(
            f"{measurement.case.id}: process {begun}, {measurement.status} after "
            f"{measurement.elapsed_s:.1f} s{reason}"
        )

    def asked_by_name(self, axis: str | None) -> bool:
        """Whether an unsupported value was asked for on the command line, by its axis."""
        return axis in self._options.named

    def report(self, ledger: Path) -> None:
        """Has the reports written from the run's directory.

        Args:
            ledger: Where pytest-benchmark wrote; the directory is given a copy.
        """
        if ledger.exists() and ledger.resolve() != self.directory.ledger:
            shutil.copyfile(ledger, self.directory.ledger)
        import reports  # noqa: PLC0415  # pandas takes a second, which --help need not

        reports.write(self.directory.path)

    def show(self) -> None:
        """Prints the table of cases."""
        import reports  # noqa: PLC0415

        reports.show(self.directory.path, self._console)

    def close(self) -> None:
        """Ends the fork server with its children, and lets go of the directory."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._directory is not None:
            # What was compiled, and compared with, is of use to this run alone.
            shutil.rmtree(self._directory.compile_cache, ignore_errors=True)
            shutil.rmtree(self._directory.references, ignore_errors=True)
            shutil.rmtree(self._directory.scratch, ignore_errors=True)
        if self._directory is not None and not self.has_begun and self._options.resume is None:
            self._directory.discard()
        elif self._directory is not None:
            self._directory.close()


_PARITY_OPTIONS = {
    "no_parity", "parity_steps", "parity_budget", "train_parity", "train_steps", "train_margin",
    "train_budget",
}  # fmt: skip

_PROFILE_OPTIONS = {
    "profile", "profile_steps", "profile_stack", "profile_workers", "memory_snapshot",
}  # fmt: skip

Asked = TypeVar("Asked", Parity, TrainParity, Profiling)


def _asked(options: Parity | TrainParity | Profiling | None) -> dict[str, Any] | None:
    """What a run is asked to do apart from measuring, for `run.json`; `None` where it is not."""
    return None if options is None else asdict(options)


def _stored(kind: type[Asked], stored: dict[str, Any] | None) -> Asked | None:
    """The same from `run.json`."""
    return None if stored is None else kind(**stored)
