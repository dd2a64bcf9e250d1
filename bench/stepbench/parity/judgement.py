"""Compares the tensors that a case computes with the reference, and gives the verdict.

Runs in a child process of the case, apart from the timing. `docs/parity.md` gives the rules.
"""

import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from msgspec import structs
from torch import Tensor

from stepbench.config.case import Case
from stepbench.config.requests import ParityRequest
from stepbench.errors import UsageError
from stepbench.parity import eager_error
from stepbench.parity.checkpoint import reload
from stepbench.parity.eager_error import EagerError
from stepbench.parity.randomness import use_eager_random_numbers
from stepbench.parity.reference import (
    Plan,
    StoredReference,
    TrajectorySource,
    load_or_compute,
)
from stepbench.parity.reference_errors import Errors
from stepbench.parity.tolerance import (
    FLOORS,
    MULTIPLE,
    TensorDeviation,
    deviations,
    largest_eager_errors,
    last_judged_step,
    median_errors,
    out_of_tolerance,
    smallest_errors,
    worst_by_kind,
)
from stepbench.training import compilation
from stepbench.training.build import Built, build, updates_of
from stepbench.training.training import Training
from stepbench_reports.analysis.stats import finite_or_none
from stepbench_reports.schema.parity import (
    Blame,
    Judgement,
    ParityVerdict,
    ReferenceFacts,
    Rule,
    TensorError,
    TensorKind,
)

MAX_SEEDS = 4
"""The maximum number of seeds that are tried; the seed that rounding affects least is used."""
SEEDS_BUDGET_SHARE = 0.5
"""The share of the budget after which no further seed is tried."""
SEED_STRIDE = 1_000_003
"""The difference between two successive seeds."""
SMALL_ERROR = 1e-4
"""The relative error of eager's first step, in fp32, up to which no further seed is tried."""
PERTURBED_STARTS = 2
"""The number of perturbed starts from which eager runs."""
CONFIRMATION_STARTS = 8
"""The number of perturbed starts from which eager and the case run if a tensor is out of
tolerance."""
Report = Callable[[str], None]


def judge(report: Report, request: ParityRequest) -> Judgement:
    """Judges a case.

    Args:
        report: Called with a few words on the current activity.
        request: The case to judge.

    Raises:
        UsageError: The case asks for something that is not there, or the workload's `model()`
            returns the same model at each call.
        UnsupportedError: This machine cannot run the case.
    """
    began = time.perf_counter()
    judgement = CaseJudge(report, request).judge(request.request.settings.seed)
    return structs.replace(judgement, elapsed_s=time.perf_counter() - began)


class _NoReferenceError(Exception):
    """The reason why the reference could not be computed."""


class CaseJudge:
    """Judges one case: its tensors, its saved state, and the cause of a mismatch.

    Args:
        report: Called with a few words on the current activity.
        request: The case, with the steps and the budget.

    Raises:
        UsageError: The case asks for something that is not there, or the workload's `model()`
            returns the same model at each call.
        UnsupportedError: This machine cannot run the case.
    """

    def __init__(self, report: Report, request: ParityRequest) -> None:
        self._report = report
        self._request = request
        self._case = request.request.case
        report("building")
        key = self._case.numerics_key
        self._built: Built = build(replace(request.request, case=key))
        if self._built.workload.model() is self._built.model:
            raise UsageError(
                f"--workload {self._case.workload}: model() returns the same model at each call; "
                f"return a new model, or skip the parity check with --no-parity"
            )
        self._source = TrajectorySource(self._built.workload, self._built.dataset, key)

    def judge(self, seed: int) -> Judgement:
        """Judges the case; leaves the elapsed time unset.

        Args:
            seed: The first seed of weights and batches to try.
        """
        try:
            reference, eager = self._select_seed(seed)
        except _NoReferenceError as error:
            return self._without_reference(str(error))
        judgement = self._undecided(reference, eager)
        early_judgement = self._early_judgement(judgement, eager)
        if early_judgement is not None:
            return early_judgement
        if eager.random:
            use_eager_random_numbers()
        self._report("comparing" if self._case.compile == "off" else "compiling, comparing")
        runs = [self._errors(self._built.training, reference, reference.start())]
        self._report("saving and reloading")
        reloaded = reload(self._built, reference.batches()[0])
        tensors = self._deviations(runs[0], eager)
        if out_of_tolerance(tensors) and all(map(math.isfinite, runs[0].values())):
            eager, runs = self._confirm(reference, runs)
            judgement = self._undecided(reference, eager)
            early_judgement = self._early_judgement(judgement, eager)
            if early_judgement is not None:
                return early_judgement
            tensors = self._deviations(smallest_errors(runs), eager)
        mismatches = out_of_tolerance(tensors)
        judgement = structs.replace(
            judgement,
            starts=len(runs),
            worst={kind: _tensor_error(tensor) for kind, tensor in worst_by_kind(tensors)},
            first=_tensor_error(mismatches[0]) if mismatches else None,
            mismatches=len(mismatches),
            compared=len(tensors),
            reload=reloaded,
        )
        verdict, blame, reason = ParityVerdict.PASS, None, None
        if mismatches:
            blame = self._blame(reference, eager)
            verdict, reason = ParityVerdict.FAIL, _reason(mismatches, len(tensors), blame)
        elif reloaded.identical is False:
            verdict, reason = ParityVerdict.FAIL, reloaded.reason
        return structs.replace(judgement, verdict=verdict, blame=blame, reason=reason)

    @property
    def _precision(self) -> str:
        return self._case.precision

    @property
    def _rule(self) -> Rule:
        return Rule(multiple=MULTIPLE, floor=FLOORS[self._precision])

    def _select_seed(self, seed: int) -> tuple[StoredReference, EagerError]:
        """Selects the seed for which eager's error is smallest, whatever the case computes.

        Except in fp32, rounding affects all seeds, so the first seed is used.
        """
        best: tuple[float, StoredReference, EagerError] | None = None
        began = time.perf_counter()
        for number in range(MAX_SEEDS):
            self._report("computing the reference" + (f", seed {number + 1}" if number else ""))
            reference = self._reference(seed + number * SEED_STRIDE, best[1].plan if best else None)
            eager = eager_error.measure(self._source, reference, perturbed=PERTURBED_STARTS)
            error = _first_step_error(eager)
            if best is None or error < best[0]:
                best = error, reference, eager
            # Another seed does not help if values are not finite or random numbers differ.
            elapsed_s = time.perf_counter() - began
            spent = elapsed_s > self._request.parity.budget_s * SEEDS_BUDGET_SHARE
            if spent or self._precision != "fp32" or error <= SMALL_ERROR or not error < 1:
                break
        if best is None:
            raise RuntimeError("no seed was tried")
        return best[1:]

    def _reference(self, seed: int, plan: Plan | None) -> StoredReference:
        try:
            return load_or_compute(self._source, self._request, seed, plan)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            # Models and losses that cannot run in double precision raise these, and a full disk.
            message = " ".join("".join(traceback.format_exception_only(error)).split())
            raise _NoReferenceError(message[:300]) from error

    def _undecided(self, reference: StoredReference, eager: EagerError) -> Judgement:
        """Makes an `undecided` judgement without a reason."""
        plan = reference.plan
        eager_errors = largest_eager_errors(eager.runs)
        steps = min(last_judged_step(eager_errors, self._precision), plan.steps)
        inaccurate = f"because eager {self._precision} is too inaccurate in later steps"
        return Judgement(
            verdict=ParityVerdict.UNDECIDED,
            reference=ReferenceFacts(
                steps=steps,
                batch_size=plan.batch_size,
                cut=plan.cut if steps == plan.steps else inaccurate,
                requested_steps=self._request.parity.steps,
                requested_batch_size=self._case.batch_size,
                seed=reference.seed,
            ),
            random=eager.random,
            rule=self._rule,
        )

    def _without_reference(self, message: str) -> Judgement:
        """Makes the judgement `undecided` of a case that has no reference."""
        return Judgement(
            verdict=ParityVerdict.UNDECIDED,
            reason=f"the reference (double precision on the CPU) failed: {message}",
            rule=self._rule,
        )

    def _early_judgement(self, judgement: Judgement, eager: EagerError) -> Judgement | None:
        """The judgement if eager's runs decide it, or if they allow none; `None` otherwise."""
        eager_name = f"eager {self._precision}"
        for name, runs in (
            (eager_name, eager.runs),
            (f"{eager_name} on {self._case.device}", eager.device_runs),
        ):
            for place, error in largest_eager_errors(runs).items():
                if not math.isfinite(error):
                    reason = f"{place} is not finite, or is missing, already in {name}"
                    return structs.replace(judgement, verdict=ParityVerdict.FAIL, reason=reason)
        undecided_reason = self._undecided_reason(eager)
        if undecided_reason is not None:
            return structs.replace(judgement, reason=undecided_reason)
        return None

    def _undecided_reason(self, eager: EagerError) -> str | None:
        """The reason why the case cannot be judged; `None` if it can."""
        differing = eager.random if self._case.device != "cpu" else eager.reference_differs
        if self._case.channels_last:
            differing = tuple(sorted({*differing, *eager.layout_differs}))
        if differing:
            return (
                f"{', '.join(differing)} in {self._precision} on {self._case.device} cannot draw "
                f"the random numbers of the reference; use --train-parity"
            )
        irreproducible_reason = self._irreproducible_reason(eager)
        if irreproducible_reason is not None:
            return irreproducible_reason
        eager_errors = largest_eager_errors(eager.runs)
        if last_judged_step(eager_errors, self._precision) < 1:
            medians = median_errors(eager_errors)
            worst, kind = max((error, kind) for (step, kind), error in medians.items() if step == 1)
            return (
                f"eager {self._precision} is too inaccurate to detect a mismatch: in the first "
                f"step the median relative error of {kind}s is {worst:.1g}; use --train-parity"
            )
        return None

    def _irreproducible_reason(self, eager: EagerError) -> str | None:
        """The reason if a second run of eager is out of the first one's tolerance.

        On the device in fp32 (`device_runs`), the tolerance is here without its limit: a device
        that rounds too much, but always alike, is reproducible, and fails.
        """
        first, second = eager.runs[:2]
        checks: list[tuple[str, Errors, list[Errors]]] = [("", second, [first])]
        if eager.device_runs:
            first, second = eager.device_runs[:2]
            checks.append((f" on {self._case.device}", second, [*eager.runs, first]))
        for where, again, runs in checks:
            tensors = deviations(again, largest_eager_errors(runs), self._precision)
            for tensor in out_of_tolerance(tensors)[:1]:
                return (
                    f"eager execution is not reproducible{where}: {tensor.place} has a relative "
                    f"error of {tensor.error:.1g} in a second run; try --deterministic"
                )
        return None

    def _deviations(self, errors: Errors, eager: EagerError) -> list[TensorDeviation]:
        eager_errors, device_errors = map(largest_eager_errors, (eager.runs, eager.device_runs))
        return deviations(errors, eager_errors, self._precision, device_errors)

    def _errors(
        self, training: Training, reference: StoredReference, start: Mapping[str, Tensor]
    ) -> Errors:
        """Runs the case from a start and returns its errors against the reference."""
        torch.manual_seed(reference.seed)
        self._built.model.zero_grad()
        fresh = fresh_training(self._built, training, self._case)
        return eager_error.run(self._built.model, fresh, self._case.loop, reference, start)

    def _confirm(
        self, reference: StoredReference, runs: list[Errors]
    ) -> tuple[EagerError, list[Errors]]:
        """Runs eager and the case from more starts, each perturbed by rounding.

        If rounding has switched a unit, such as a ReLU, some of these starts do not switch it. Any
        other mismatch occurs from all starts.
        """
        self._report("confirming a mismatch")
        eager = eager_error.measure(self._source, reference, perturbed=CONFIRMATION_STARTS)
        perturbed_runs = [
            self._errors(self._built.training, reference, reference.perturbed_start(2 + number))
            for number in range(CONFIRMATION_STARTS)
        ]
        return eager, [*runs, *perturbed_runs]

    def _blame(self, reference: StoredReference, eager: EagerError) -> Blame | None:
        """Runs a compiled case without compiling, then by `aot_eager`, to find the faulty part."""
        if self._case.compile == "off":
            return None
        self._report("searching for the cause")
        for compile_ in ("off", "backend:aot_eager"):
            outcome = self._outcome_with(compile_, reference, eager)
            if outcome != "agrees":
                return Blame(compile=compile_, outcome=outcome)
        return Blame(compile="backend:aot_eager", outcome="agrees")

    def _outcome_with(self, compile_: str, reference: StoredReference, eager: EagerError) -> str:
        """Runs the case with `compile_` as the value of its axis `compile`.

        Returns:
            `agrees` or `mismatch` with the reference, or `failed: ...`.
        """
        torch._dynamo.reset()
        case = self._case.changed(compile=compile_).normalized()
        try:
            model = compilation.compile_model(self._built.model, case)
            training = replace(self._built.training, model=model)
            errors = self._errors(training, reference, reference.start())
        except Exception as error:  # noqa: BLE001  # the compiler may raise anything
            return f"failed: {' '.join(repr(error).split())[:300]}"
        return "mismatch" if out_of_tolerance(self._deviations(errors, eager)) else "agrees"


def _first_step_error(eager: EagerError) -> float:
    """Eager's error in the first step: the larger of the medians over outputs and gradients.

    Parameters do not count: their change in a step is small against their value, and is rounded.
    """
    medians = median_errors(largest_eager_errors(eager.runs))
    kinds = (TensorKind.OUTPUT, TensorKind.GRADIENT)
    return max(medians.get((1, kind), 0.0) for kind in kinds)


def fresh_training(built: Built, training: Training, case: Case) -> Training:
    """Resets a training: gives it an optimizer that has not stepped and a fresh gradient scaler."""
    updates = updates_of(built.workload, built.model, case)
    return eager_error.unscaled(replace(training, updates=updates))


def _tensor_error(tensor: TensorDeviation) -> TensorError:
    return TensorError(
        step=tensor.place.step,
        kind=tensor.place.kind,
        name=tensor.place.name,
        error=finite_or_none(tensor.error),
        allowed=finite_or_none(tensor.allowed),
        eager_error=finite_or_none(tensor.eager_error),
    )


def _reason(mismatches: list[TensorDeviation], compared: int, blame: Blame | None) -> str:
    """The first mismatch, the number of mismatches, and the cause if it is known."""
    first = mismatches[0]
    if math.isfinite(first.error):
        error = f"has a relative error of {first.error:.2g}; {first.allowed:.2g} is allowed"
    else:
        error = "is not finite, or is missing"
    cause = "" if blame is None else _CAUSES.get((blame.compile, blame.outcome), "")
    count = f"{len(mismatches)} of {compared} tensors are out of tolerance"
    return f"{first.place} {error} ({count}){cause}"


_CAUSES: Mapping[tuple[str, str], str] = {
    ("off", "mismatch"): "; the uncompiled case fails as well: another setting is to blame",
    ("backend:aot_eager", "mismatch"): "; aot_eager fails as well: tracing is to blame",
    ("backend:aot_eager", "agrees"): (
        "; aot_eager passes: the code that the backend generates is to blame"
    ),
}
