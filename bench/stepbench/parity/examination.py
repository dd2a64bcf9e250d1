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
from stepbench.config.requests import Examination
from stepbench.errors import UsageError
from stepbench.parity import eager_error, reference
from stepbench.parity.checkpoint import reload
from stepbench.parity.eager_error import EagerError
from stepbench.parity.randomness import drawn_as_in_eager
from stepbench.parity.reference import Plan, StoredReference, TrajectorySource
from stepbench.parity.reference_errors import Errors
from stepbench.parity.tolerance import (
    FLOORS,
    MULTIPLE,
    TensorDeviation,
    deviations,
    eager_errors,
    horizon,
    least,
    middle_errors,
    out_of_tolerance,
    worst_by_kind,
)
from stepbench.training import compilation
from stepbench.training.build import Built, build, updates_of
from stepbench.training.training import Training
from stepbench_reports.analysis.stats import known
from stepbench_reports.schema.parity import (
    Blame,
    Judgement,
    ParityVerdict,
    ReferenceFacts,
    Rule,
    TensorError,
    TensorKind,
)

DRAWS = 4
"""The most draws of weights and batches; the draw that rounding affects least is compared."""
DRAWS_SHARE = 0.5
"""The share of the budget after which no further draw is made."""
STRIDE = 1_000_003
"""The difference between the seeds of two successive draws."""
CALM = 1e-4
"""The relative error of eager's first step, in fp32, up to which no further draw is made."""
WATCHED, CONFIRMING = 2, 8
"""The numbers of perturbed starts. Eager runs from the first number of them; if a tensor is out of
tolerance, eager and the case run from the second."""
Report = Callable[[str], None]


def judge(report: Report, asked: Examination) -> Judgement:
    """Judges a case.

    Args:
        report: Called with a few words on the current activity.
        asked: The case to judge.

    Raises:
        UsageError: The case asks for something that is not there, or the workload's `model()`
            returns the same model at each call.
        UnsupportedError: This machine cannot run the case.
    """
    began = time.perf_counter()
    judgement = Examiner(report, asked).judge(asked.request.settings.seed)
    return structs.replace(judgement, elapsed_s=time.perf_counter() - began)


class _NoReferenceError(Exception):
    """The reason why the reference could not be computed."""


class Examiner:
    """Judges one case: its tensors, its saved state, and the cause of a mismatch.

    Args:
        report: Called with a few words on the current activity.
        asked: The case, with the steps and the budget.

    Raises:
        UsageError: The case asks for something that is not there, or the workload's `model()`
            returns the same model at each call.
        UnsupportedError: This machine cannot run the case.
    """

    def __init__(self, report: Report, asked: Examination) -> None:
        self._report = report
        self._asked = asked
        self._case = asked.request.case
        report("building")
        request = replace(asked.request, case=self._case.numerics_key)
        self._built: Built = build(request)
        if self._built.workload.model() is self._built.model:
            raise UsageError(
                f"--workload {self._case.workload}: its model() gives the same model at each call; "
                f"have it make a new one, or compare nothing by --no-parity"
            )
        self._subject = TrajectorySource(self._built.workload, self._built.dataset, request.case)

    def judge(self, seed: int) -> Judgement:
        """Judges the case; leaves the elapsed time unset.

        Args:
            seed: The seed of the first draw of weights and batches.
        """
        try:
            kept, own = self._draw(seed)
        except _NoReferenceError as error:
            return self._without_reference(str(error))
        facts = self._facts(kept, own)
        barred = self._barred(facts, own)
        if barred is not None:
            return barred
        if own.random:
            drawn_as_in_eager()
        self._report("comparing" if self._case.compile == "off" else "compiling, comparing")
        runs = [self._errors(self._built.training, kept, kept.start())]
        self._report("saving and reloading")
        reloaded = reload(self._built, kept.batches()[0])
        found = deviations(runs[0], eager_errors(own.runs), self._precision)
        if out_of_tolerance(found) and all(map(math.isfinite, runs[0].values())):
            own, runs = self._confirmed(kept, runs)
            facts = self._facts(kept, own)
            barred = self._barred(facts, own)
            if barred is not None:
                return barred
            found = deviations(least(runs), eager_errors(own.runs), self._precision)
        off = out_of_tolerance(found)
        facts = structs.replace(
            facts,
            starts=len(runs),
            worst={kind: _told(each) for kind, each in worst_by_kind(found)},
            first=_told(off[0]) if off else None,
            departed=len(off),
            compared=len(found),
            reload=reloaded,
        )
        if off:
            blame = self._blame(kept, own)
            reason = _sentence(off, len(found), blame)
            return structs.replace(facts, verdict=ParityVerdict.FAIL, blame=blame, reason=reason)
        if reloaded.identical is False:
            return structs.replace(facts, verdict=ParityVerdict.FAIL, reason=reloaded.reason)
        return structs.replace(facts, verdict=ParityVerdict.PASS)

    @property
    def _precision(self) -> str:
        return self._case.precision

    @property
    def _rule(self) -> Rule:
        return Rule(multiple=MULTIPLE, floor=FLOORS[self._precision])

    def _draw(self, seed: int) -> tuple[StoredReference, EagerError]:
        """Selects the draw on which eager's error is least, whatever the case computes.

        Except in fp32, rounding affects every draw, so the first draw is taken.
        """
        best: tuple[float, StoredReference, EagerError] | None = None
        began = time.perf_counter()
        for draw in range(DRAWS):
            self._report("taking the reference" + (f", draw {draw + 1}" if draw else ""))
            like = best[1].plan if best else None
            kept = self._taken(seed + draw * STRIDE, like)
            own = eager_error.eager_error(self._subject, kept, shaken=WATCHED)
            error = _first_step(own)
            if best is None or error < best[0]:
                best = error, kept, own
            # Another draw mends neither values that are not finite nor differing random numbers.
            spent = time.perf_counter() - began > self._asked.parity.budget_s * DRAWS_SHARE
            if spent or self._precision != "fp32" or error <= CALM or not error < 1:
                break
        if best is None:
            raise RuntimeError("there was no draw")
        return best[1:]

    def _taken(self, seed: int, like: Plan | None) -> StoredReference:
        try:
            return reference.take(self._subject, self._asked, seed, like)
        except (RuntimeError, TypeError, ValueError) as error:
            # Models and losses that cannot run in double precision raise these.
            told = " ".join("".join(traceback.format_exception_only(error)).split())
            raise _NoReferenceError(told[:300]) from error

    def _facts(self, kept: StoredReference, own: EagerError) -> Judgement:
        plan = kept.plan
        until = min(horizon(eager_errors(own.runs), self._precision), plan.steps)
        blurred = f"since eager {self._precision} rounds to another trajectory from there on"
        return Judgement(
            verdict=ParityVerdict.UNDECIDED,
            reference=ReferenceFacts(
                steps=until,
                batch_size=plan.batch_size,
                cut=plan.cut if until == plan.steps else blurred,
                asked_steps=self._asked.parity.steps,
                asked_batch_size=self._case.batch_size,
                seed=kept.seed,
            ),
            random=own.random,
            rule=self._rule,
        )

    def _without_reference(self, told: str) -> Judgement:
        """Makes the judgement `undecided` of a case that has no reference."""
        return Judgement(
            verdict=ParityVerdict.UNDECIDED,
            reason=f"it could not be run in double precision on the CPU: {told}",
            rule=self._rule,
        )

    def _barred(self, facts: Judgement, own: EagerError) -> Judgement | None:
        """The judgement if eager's runs decide it, or if they allow none; `None` otherwise."""
        lost = next((p for p, e in eager_errors(own.runs).items() if not math.isfinite(e)), None)
        if lost is not None:
            reason = f"{lost} is not finite, or missing, in eager {self._precision} itself"
            return structs.replace(facts, verdict=ParityVerdict.FAIL, reason=reason)
        doubt = self._doubt(own)
        if doubt is not None:
            return structs.replace(facts, verdict=ParityVerdict.UNDECIDED, reason=doubt)
        return None

    def _doubt(self, own: EagerError) -> str | None:
        """The reason why the case cannot be judged; `None` if it can."""
        unlike = own.random if self._case.device != "cpu" else own.unlike
        if self._case.channels_last:
            unlike = tuple(sorted({*unlike, *own.by_layout}))
        if unlike:
            return (
                f"its random numbers cannot be made alike: {', '.join(unlike)} draws otherwise in "
                f"{self._precision} on {self._case.device} than in double precision on the CPU; "
                f"go by --train-parity"
            )
        first, second = own.runs[:2]
        again = out_of_tolerance(deviations(second, eager_errors([first]), self._precision))
        if again:
            return (
                f"eager does not agree with itself: {again[0].place} is {again[0].error:.1g} off "
                f"in a second run; try --deterministic"
            )
        if horizon(eager_errors(own.runs), self._precision) < 1:
            middles = middle_errors(eager_errors(own.runs))
            worst, kind = max((e, kind) for (step, kind), e in middles.items() if step == 1)
            return (
                f"eager in {self._precision} is itself {worst:.1g} off double precision in the "
                f"first step (most {kind}s), so that no departure could be told; go by "
                f"--train-parity"
            )
        return None

    def _errors(
        self, training: Training, kept: StoredReference, start: Mapping[str, Tensor]
    ) -> Errors:
        """Runs the case from a start and returns its errors against the reference."""
        torch.manual_seed(kept.seed)
        self._built.model.zero_grad()
        ready = fresh(self._built, training, self._case)
        return eager_error.run(self._built.model, ready, self._case.loop, kept, start)

    def _confirmed(
        self, kept: StoredReference, runs: list[Errors]
    ) -> tuple[EagerError, list[Errors]]:
        """Runs eager and the case from more starts, each perturbed by rounding.

        If rounding has switched a unit, such as a ReLU, some of these starts do not switch it. Any
        other mismatch occurs from all starts.
        """
        self._report("confirming a departure")
        own = eager_error.eager_error(self._subject, kept, shaken=CONFIRMING)
        more = [
            self._errors(self._built.training, kept, kept.shaken_start(2 + number))
            for number in range(CONFIRMING)
        ]
        return own, [*runs, *more]

    def _blame(self, kept: StoredReference, own: EagerError) -> Blame | None:
        """Runs a compiled case without compiling, then by `aot_eager`, to find the faulty part."""
        if self._case.compile == "off":
            return None
        self._report("looking for what is to blame")
        for compile_ in ("off", "backend:aot_eager"):
            found = self._tried(compile_, kept, own)
            if found != "agrees":
                return Blame(compile=compile_, found=found)
        return Blame(compile="backend:aot_eager", found="agrees")

    def _tried(self, compile_: str, kept: StoredReference, own: EagerError) -> str:
        """Runs the case compiled in another way: `agrees`, `departs`, or `failed: ...`."""
        torch._dynamo.reset()
        case = self._case.changed(compile=compile_).normalized()
        try:
            call = compilation.compile_model(self._built.model, case)
            training = replace(self._built.training, model=call)
            errors = self._errors(training, kept, kept.start())
        except Exception as error:  # noqa: BLE001  # the compiler may raise anything
            return f"failed: {' '.join(repr(error).split())[:300]}"
        off = out_of_tolerance(deviations(errors, eager_errors(own.runs), self._precision))
        return "departs" if off else "agrees"


def _first_step(own: EagerError) -> float:
    """Eager's error in the first step: the larger of the medians over outputs and gradients.

    Parameters do not count: their change in a step is small against their value, and is rounded.
    """
    middles = middle_errors(eager_errors(own.runs))
    kinds = {TensorKind.OUTPUT, TensorKind.GRADIENT}
    found = (e for (step, kind), e in middles.items() if step == 1 and kind in kinds)
    return max(found, default=0.0)


def fresh(built: Built, training: Training, case: Case) -> Training:
    """Resets a training: gives it an optimizer that has not stepped and a fresh gradient scaler."""
    updates = updates_of(built.workload, built.model, case)
    return eager_error.unscaled(replace(training, updates=updates))


def _told(each: TensorDeviation) -> TensorError:
    return TensorError(
        step=each.place.step,
        kind=each.place.kind,
        name=each.place.name,
        error=known(each.error),
        allowed=known(each.allowed),
        own=known(each.own),
    )


def _sentence(off: list[TensorDeviation], compared: int, blame: Blame | None) -> str:
    first = off[0]
    if math.isfinite(first.error):
        how = f"is {first.error:.2g} off, where {first.allowed:.2g} is allowed"
    else:
        how = "is not finite, or is missing"
    said = f"{first.place} {how} ({len(off)} of {compared} tensors depart)"
    if blame is None:
        return said
    return said + _BLAMES.get(blame.compile, {}).get(blame.found, "")


_BLAMES: Mapping[str, Mapping[str, str]] = {
    "off": {"departs": "; it departs without compiling as well: its other settings are to blame"},
    "backend:aot_eager": {
        "departs": "; aot_eager departs as well: tracing is to blame",
        "agrees": "; aot_eager agrees: the code that the backend generates is to blame",
    },
}
