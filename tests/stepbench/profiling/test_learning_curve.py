import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.profiling import learning_curve
from stepbench.training import dataloader
from stepbench.training.build import Built, build
from stepbench_reports.schema.run import SamplingOptions, Settings

Tiny = Callable[..., Path]


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def built_case(file: Path, **axes: int) -> tuple[Built, Iterator[object]]:
    case = Case(workload=f"{file}:make", batch_size=4, **axes)  # type: ignore[arg-type]  # counts
    built = build(Request(case, SamplingOptions(), file.parent, settings=Settings(threads=1)))
    return built, iter(dataloader.make_loader(built.workload, built.dataset, case, 0))


def test_a_training_that_diverges_has_curves_until_then(tiny: Tiny) -> None:
    file = tiny(
        "diverges.py",
        "import dataclasses\nold = make\n"
        "def make(): return dataclasses.replace(old(),\n"
        "    optimizer=lambda parameters: torch.optim.SGD(parameters, lr=3e38))\n",
    )
    curves = learning_curve.train(*built_case(file), lambda _: None)
    assert 0 < len(curves.loss) < learning_curve.STEPS
    assert all(map(math.isfinite, curves.loss))


def test_the_time_for_curves_ends_within_a_step_of_it(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_curve, "LIMIT_S", 0.0)
    curves = learning_curve.train(*built_case(tiny("short.py")), lambda _: None)
    assert len(curves.loss) == 1
    assert curves.accuracy == ()


def test_a_loss_is_as_large_however_many_batches_make_a_step(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_curve, "STEPS", 1)
    monkeypatch.setattr(learning_curve, "TESTS", 1)
    losses = [
        learning_curve.train(*built_case(tiny(f"of{n}.py"), accumulate=n), lambda _: None).loss[0]
        for n in (1, 4)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.5)  # other samples, and not a quarter
