"""Is it still the same training? A case beside what it should compute.

Runs in the case's own child process, apart from the timing. `docs/parity.md` says how it is judged.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.amp import GradScaler

from bench import compilation, optimizers, reference
from bench.build import Built, build
from bench.case import Case
from bench.checkpoint import reload
from bench.cycle import Training
from bench.departure import (
    FLOORS,
    MEANINGLESS,
    MULTIPLE,
    Departure,
    Errors,
    departed,
    judged,
    middle,
    middle_errors,
    own_errors,
    worst_by_kind,
)
from bench.errors import UsageError
from bench.judgement import Judgement, Verdict
from bench.randomness import drawn_as_in_eager
from bench.reference import Kept, Own, Subject
from bench.request import Examination

DRAWS = 3
"""A departure counts where it is there in the median of so many draws of weights and batches."""
SHAKEN = 3
"""How many more eager runs show, in each draw, what rounding can come to."""
SCALE = 2.0**8
"""Of the loss, in fp16: low enough that no step is skipped, as the first ones of a training are."""

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
    examiner = _Examiner(report, asked)
    judgement = examiner.judge()
    return replace(judgement, elapsed_s=time.perf_counter() - began)


@dataclass(frozen=True)
class _Draw:
    """One draw of weights and batches: what was found from it."""

    kept: Kept
    own: Own
    errors: Errors


class _Examiner:
    """Looks at one case, from several sides."""

    def __init__(self, report: Report, asked: Examination) -> None:
        self._report = report
        self._asked = asked
        self._case = asked.request.case
        report("building")
        request = replace(asked.request, case=self._case.arithmetic)
        self._built: Built = build(request)
        if self._built.workload.model() is self._built.model:
            raise UsageError(
                f"--workload {self._case.workload}: its model() gives the same model at each call; "
                f"have it make a new one, or compare nothing by --no-parity"
            )
        workload, dataset, length = self._built.workload, self._built.dataset, self._built.length
        self._subject = Subject(workload, dataset, length, request.case)

    def judge(self) -> Judgement:
        """The case's judgement, but for how long it took."""
        self._report("taking the reference")
        kept = reference.take(self._subject, self._asked, 0)
        own = reference.own(self._subject, kept)
        facts = self._facts(kept, own)
        lost = next((p for p, e in own_errors(own.runs).items() if not math.isfinite(e)), None)
        if lost is not None:
            reason = f"{lost} is not finite in eager {self._case.precision} itself"
            return replace(facts, verdict=Verdict.FAIL, reason=reason)
        doubt = self._doubt(own)
        if doubt is not None:
            return replace(facts, verdict=Verdict.UNDECIDED, reason=doubt)
        if own.random:
            drawn_as_in_eager()
        self._report("comparing" if self._case.compile == "off" else "compiling, comparing")
        first = _Draw(kept, own, self._errors(self._built.training, kept))
        self._report("saving and reloading")
        reloaded = reload(self._built, kept.batches()[0])
        found = self._judged([first])
        draws = [first]
        if departed(found) and all(map(math.isfinite, first.errors.values())):
            draws = self._drawn_again(first)
            found = self._judged(draws)
        off = departed(found)
        facts = replace(
            facts,
            draws=len(draws),
            worst={str(kind): _told(each) for kind, each in worst_by_kind(found)},
            first=_told(off[0]) if off else None,
            departed=len(off),
            compared=len(found),
            reload=asdict(reloaded),
        )
        if off:
            blame = self._blame(first)
            return replace(
                facts, verdict=Verdict.FAIL, blame=blame, reason=_sentence(off, len(found), blame)
            )
        if reloaded.identical is False:
            return replace(facts, verdict=Verdict.FAIL, reason=reloaded.reason)
        return replace(facts, verdict=Verdict.PASS)

    def _facts(self, kept: Kept, own: Own) -> Judgement:
        plan = kept.plan
        return Judgement(
            verdict=Verdict.UNDECIDED,
            reason=None,
            reference={
                **asdict(plan),
                "asked_steps": self._asked.parity.steps,
                "asked_batch_size": self._case.batch_size,
            },
            random=own.random,
            rule={"multiple": MULTIPLE, "floor": FLOORS[self._case.precision]},
        )

    def _doubt(self, own: Own) -> str | None:
        """Why nothing can be said of the case; `None` where something can."""
        unlike = own.random if self._case.device != "cpu" else own.unlike
        if unlike:
            return (
                f"its random numbers cannot be made alike: {', '.join(unlike)} draws otherwise in "
                f"{self._case.precision} on {self._case.device} than in double precision on the "
                f"CPU; go by --train-parity"
            )
        first, second = own.runs[:2]
        again = departed(judged(second, own_errors([first]), self._case.precision))
        if again:
            return (
                f"eager does not agree with itself: {again[0].place} is {again[0].error:.1g} off "
                f"in a second run; try --deterministic"
            )
        middles = middle_errors(own_errors(own.runs))
        (step, kind), error = max(middles.items(), key=lambda each: each[1])
        if error > MEANINGLESS[self._case.precision]:
            return (
                f"eager in {self._case.precision} is itself {error:.1g} off double precision (most "
                f"{kind}s at step {step}), so that no departure could be told; go by --train-parity"
            )
        return None

    def _errors(self, training: Training, kept: Kept) -> Errors:
        """What the case computes from a draw, beside the reference."""
        torch.manual_seed(kept.seed)
        model = self._built.model
        model.load_state_dict(kept.start())
        model.zero_grad()
        ready = fresh(self._built, training, self._case)
        return reference.run(model, ready, self._case.loop, kept)

    def _drawn_again(self, first: _Draw) -> list[_Draw]:
        """Two more draws, each with eager runs that show what rounding can come to."""
        kept = [first.kept]
        kept += [reference.take(self._subject, self._asked, draw) for draw in range(1, DRAWS)]
        draws = []
        for number, each in enumerate(kept):
            self._report(f"confirming: draw {number + 1} of {len(kept)}")
            own = reference.own(self._subject, each, shaken=SHAKEN)
            known = first.errors if each is first.kept else None
            draws.append(_Draw(each, own, known or self._errors(self._built.training, each)))
        return draws

    def _judged(self, draws: list[_Draw]) -> list[Departure]:
        own = own_errors(errors for draw in draws for errors in draw.own.runs)
        return judged(middle([draw.errors for draw in draws]), own, self._case.precision)

    def _blame(self, first: _Draw) -> Mapping[str, Any] | None:
        """For a compiled case, whether it departs without compiling, or when only traced."""
        if self._case.compile == "off":
            return None
        self._report("looking for what is to blame")
        for compile_ in ("off", "backend:aot_eager"):
            found = self._tried(compile_, first)
            if found != "agrees":
                return {"compile": compile_, "found": found}
        return {"compile": "backend:aot_eager", "found": "agrees"}

    def _tried(self, compile_: str, first: _Draw) -> str:
        """`agrees` or `departs`: what the case does if it is compiled in another way."""
        torch._dynamo.reset()
        case = replace(self._case, compile=compile_).settled()
        try:
            call = compilation.compile_model(self._built.model, case)
            errors = self._errors(replace(self._built.training, model=call), first.kept)
        except Exception as error:  # noqa: BLE001  # whatever the compiler raises is the answer
            return f"failed: {' '.join(repr(error).split())[:300]}"
        off = departed(judged(errors, own_errors(first.own.runs), self._case.precision))
        return "departs" if off else "agrees"


def fresh(built: Built, training: Training, case: Case) -> Training:
    """A training as at its start: its optimizer has not stepped, its scaler not scaled."""
    optimizer = optimizers.implemented(
        built.workload.optimizer(built.model.parameters()), case.optimizer
    )
    scaler = training.scaler
    if scaler is not None:
        scaler = GradScaler(training.device.type, init_scale=SCALE)
    return replace(training, optimizer=optimizer, scaler=scaler)


def _told(each: Departure) -> dict[str, Any]:
    return {
        "step": each.place.step,
        "kind": str(each.place.kind),
        "name": each.place.name,
        "error": _finite(each.error),
        "allowed": _finite(each.allowed),
        "own": _finite(each.own),
    }


def _finite(number: float) -> float | None:
    """For JSON, which has no infinity: `None` where a tensor was not finite, or missing."""
    return number if math.isfinite(number) else None


def _sentence(off: list[Departure], compared: int, blame: Mapping[str, Any] | None) -> str:
    first = off[0]
    if math.isfinite(first.error):
        how = f"is {first.error:.2g} off, where {first.allowed:.2g} is allowed"
    else:
        how = "is not finite, or is missing"
    said = f"{first.place} {how} ({len(off)} of {compared} tensors depart)"
    return said + _BLAMES.get((blame or {}).get("compile"), {}).get((blame or {}).get("found"), "")


_BLAMES: Mapping[Any, Mapping[Any, str]] = {
    "off": {"departs": "; it departs without compiling as well: its other settings are to blame"},
    "backend:aot_eager": {
        "departs": "; aot_eager departs as well: tracing is to blame",
        "agrees": "; aot_eager agrees: the code that the backend generates is to blame",
    },
}
