"""Compares what a case computes with what it should: is it still the same training?

Runs in the case's own child process, apart from the timing. `docs/parity.md` says how it is judged.
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
"""Of so many draws of weights and batches, that one is compared on which rounding matters least."""
DRAWS_SHARE = 0.5
"""No further draw is made once this share of the budget is spent."""
STRIDE = 1_000_003
"""Between the seeds of two draws."""
CALM = 1e-4
"""In fp32 no other draw is looked for once eager's first step is right to within this."""
WATCHED, CONFIRMING = 2, 8
"""From how many starts that are off by rounding eager is run as well: at first, and where something
departs, and then the case is, too."""
Report = Callable[[str], None]


def judge(report: Report, asked: Examination) -> Judgement:
    """Judges a case.

    Args:
        report: Is told in a word what is being done.
        asked: What to judge.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
    """
    began = time.perf_counter()
    judgement = Examiner(report, asked).judge(asked.request.settings.seed)
    return structs.replace(judgement, elapsed_s=time.perf_counter() - began)


class _NoReferenceError(Exception):
    """The reason why the reference could not be taken."""


class Examiner:
    """Looks at one case, from several sides.

    Args:
        report: Is told in a word what is being done.
        asked: The case, and how far to go.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
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
        """The case's judgement, but for how long it took.

        Args:
            seed: Of the first draw of weights and batches.
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
        """The draw on which rounding matters least to eager; what the case does is not looked at.

        In half precision it matters everywhere, and the first will do.
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
            # What is not finite, or drawn otherwise, another draw does not mend.
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
            # What a model, or its loss, raises that cannot be in double precision.
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
        """Nothing can be said where the reference could not be had."""
        return Judgement(
            verdict=ParityVerdict.UNDECIDED,
            reason=f"it could not be run in double precision on the CPU: {told}",
            rule=self._rule,
        )

    def _barred(self, facts: Judgement, own: EagerError) -> Judgement | None:
        """The judgement where eager's own runs settle it, or allow none."""
        lost = next((p for p, e in eager_errors(own.runs).items() if not math.isfinite(e)), None)
        if lost is not None:
            reason = f"{lost} is not finite, or missing, in eager {self._precision} itself"
            return structs.replace(facts, verdict=ParityVerdict.FAIL, reason=reason)
        doubt = self._doubt(own)
        if doubt is not None:
            return structs.replace(facts, verdict=ParityVerdict.UNDECIDED, reason=doubt)
        return None

    def _doubt(self, own: EagerError) -> str | None:
        """The reason why nothing can be said of the case; `None` where something can."""
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
        """The errors of what the case computes from a start, beside the reference."""
        torch.manual_seed(kept.seed)
        self._built.model.zero_grad()
        ready = fresh(self._built, training, self._case)
        return eager_error.run(self._built.model, ready, self._case.loop, kept, start)

    def _confirmed(
        self, kept: StoredReference, runs: list[Errors]
    ) -> tuple[EagerError, list[Errors]]:
        """Eager and the case from more starts, each off by rounding.

        A unit that rounding has switched is not switched from every one of them; what departs for
        another reason departs from all.
        """
        self._report("confirming a departure")
        own = eager_error.eager_error(self._subject, kept, shaken=CONFIRMING)
        more = [
            self._errors(self._built.training, kept, kept.shaken_start(2 + number))
            for number in range(CONFIRMING)
        ]
        return own, [*runs, *more]

    def _blame(self, kept: StoredReference, own: EagerError) -> Blame | None:
        """For a compiled case, whether it departs without compiling, or when only traced."""
        if self._case.compile == "off":
            return None
        self._report("looking for what is to blame")
        for compile_ in ("off", "backend:aot_eager"):
            found = self._tried(compile_, kept, own)
            if found != "agrees":
                return Blame(compile=compile_, found=found)
        return Blame(compile="backend:aot_eager", found="agrees")

    def _tried(self, compile_: str, kept: StoredReference, own: EagerError) -> str:
        """`agrees` or `departs`: what the case does if it is compiled in another way."""
        torch._dynamo.reset()
        case = self._case.changed(compile=compile_).normalized()
        try:
            call = compilation.compile_model(self._built.model, case)
            training = replace(self._built.training, model=call)
            errors = self._errors(training, kept, kept.start())
        except Exception as error:  # noqa: BLE001  # whatever the compiler raises is the answer
            return f"failed: {' '.join(repr(error).split())[:300]}"
        off = out_of_tolerance(deviations(errors, eager_errors(own.runs), self._precision))
        return "departs" if off else "agrees"


def _first_step(own: EagerError) -> float:
    """Eager's own error in the first step: of most outputs or gradients, whichever is larger.

    That of parameters is not looked at: their change is so small beside them that it is rounded.
    """
    middles = middle_errors(eager_errors(own.runs))
    kinds = {TensorKind.OUTPUT, TensorKind.GRADIENT}
    found = (e for (step, kind), e in middles.items() if step == 1 and kind in kinds)
    return max(found, default=0.0)


def fresh(built: Built, training: Training, case: Case) -> Training:
    """A training as at its start: its optimizer has not stepped, its scaler not scaled."""
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
