"""Loops in the styles of scripts, with hooks in this process."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from stepbench.scripts.classify import ScriptStep, split
from stepbench.scripts.marks import Mark, MarkKind
from stepbench.scripts.roles import recognise
from stepbench.scripts.worker.boundaries import Boundaries, Observer
from stepbench.scripts.worker.discovery import CallMarker, roots_of
from stepbench.scripts.worker.recorder import Recorder

STEPS = 6


class Hooked:
    """Hooks in this process, and the ends of steps."""

    def __init__(self) -> None:
        self.ends = 0
        self.recorder = Recorder(self._end)
        self.boundaries = Boundaries(self.recorder, Observer())
        self.boundaries.install()

    def _end(self) -> None:
        self.ends += 1

    def watch(self, *modules: nn.Module) -> None:
        marker = CallMarker(self.recorder, lambda *_: False)
        for module in modules:
            marker.watch(module)

    def marks(self) -> list[Mark]:
        return self.recorder.take()[0]

    def steps(self) -> list[ScriptStep]:
        marks = self.marks()
        return split(marks, recognise(marks))


@pytest.fixture
def hooked() -> Iterator[Hooked]:
    made = Hooked()
    yield made
    made.boundaries.remove()


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def batches(workers: int = 0) -> DataLoader[tuple[torch.Tensor, ...]]:
    data = TensorDataset(torch.randn(4 * STEPS, 8), torch.randint(0, 2, (4 * STEPS,)))
    return DataLoader(data, batch_size=4, num_workers=workers)


def backward(loss: torch.Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def loss_of(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def test_a_plain_loop(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooked.watch(model)
    for batch in batches():
        backward(loss_of(model, batch))
        optimizer.step()
    steps = hooked.steps()
    assert len(steps) == hooked.ends == STEPS
    assert set(steps[1].parts) == {"dataload", "forward", "backward", "optimizer", "other"}
    assert all(step.micro_batches == 1 for step in steps)


def test_the_loader_keeps_its_type(hooked: Hooked) -> None:
    iterator = iter(batches())
    assert type(iterator).__name__ == "_SingleProcessDataLoaderIter"
    next(iterator)
    assert [mark.kind for mark in hooked.marks()] == [MarkKind.FETCH, MarkKind.FETCH_END]


def test_an_iterator_s_end_is_told(hooked: Hooked) -> None:
    assert len(list(batches())) == STEPS
    assert hooked.marks()[-1].kind is MarkKind.FETCH_EMPTY


def test_accumulation(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, batch in enumerate(batches(), 1):
        backward(loss_of(model, batch))
        if number % 3 == 0:
            optimizer.step()
    assert [step.micro_batches for step in hooked.steps()] == [3, 3]


def test_a_scaler_that_skips(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        backward(scaler.scale(loss * (float("inf") if number == 2 else 1.0)))
        scaler.step(optimizer)
        scaler.update()
    marks = hooked.marks()
    roles = recognise(marks)
    assert len(split(marks, roles)) == hooked.ends == STEPS
    assert (roles.scaled, roles.skipped, roles.main_optimizer) == (True, 1, 0)


def test_two_optimizers(hooked: Hooked) -> None:
    one, two = net(), net()
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (one, two)]
    for batch in batches():
        for model, optimizer in zip((one, two), optimizers, strict=True):
            backward(loss_of(model, batch))
            optimizer.step()
    marks = hooked.marks()
    roles = recognise(marks)
    assert roles.main_optimizer == 1
    assert roles.micro_batches == 2
    assert len(split(marks, roles)) == STEPS


def test_a_closure(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    hooked.watch(model)
    for batch in batches():

        def closure(batch: list[torch.Tensor] = batch) -> float:
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            backward(loss)
            return float(loss.detach())

        optimizer.step(closure)  # type: ignore[no-untyped-call]
    steps = hooked.steps()
    assert len(steps) == STEPS
    assert all({"forward", "backward", "optimizer"} <= set(step.parts) for step in steps)
    assert steps[0].micro_batches > 1


def test_an_update_that_fails_leaves_none_open(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters())

    def fail() -> float:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        optimizer.step(fail)  # type: ignore[no-untyped-call]
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in batches():
        backward(loss_of(model, batch))
        plain.step()
    assert hooked.ends == STEPS


def test_evaluation_without_gradients(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooked.watch(model)
    for _ in range(2):
        for batch in batches():
            backward(loss_of(model, batch))
            optimizer.step()
        with torch.no_grad():
            for batch in batches():
                model(batch[0])
    for batch in batches():
        backward(loss_of(model, batch))
        optimizer.step()
    steps = hooked.steps()
    assert [step.evaluations for step in steps] == [
        int(index in {STEPS, 2 * STEPS}) for index in range(3 * STEPS)
    ]


def test_the_model_is_the_outermost_module(hooked: Hooked) -> None:
    del hooked

    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

    inner, other = net(), net()
    wrapper = Wrapper(inner)
    optimizer = torch.optim.SGD(inner.parameters(), lr=0.1)
    assert roots_of([optimizer]) == [wrapper]
    assert other not in roots_of([optimizer])


def test_compiled_code_has_no_break_and_is_not_compiled_again(hooked: Hooked) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    compiled = torch.compile(model, backend="eager")
    for number, batch in enumerate(batches()):
        backward(loss_of(compiled, batch))  # type: ignore[arg-type]
        optimizer.step()
        if number == 0:
            hooked.watch(*roots_of([optimizer]))
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    calls = [mark for mark in hooked.marks() if mark.kind is MarkKind.CALL]
    assert len(calls) == STEPS - 1


def test_what_calls_a_watched_model_compiles_without_a_break(hooked: Hooked) -> None:
    torch._dynamo.reset()
    model = net()
    hooked.watch(model)
    compiled = torch.compile(lambda x: model(x) + 1, backend="eager", fullgraph=True)
    assert compiled(torch.randn(4, 8)).shape == (4, 2)
    assert hooked.marks() == []


def test_a_compiled_update_has_no_more_breaks_than_without_hooks(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    backward(model(torch.randn(4, 8)).sum())

    def update() -> None:
        optimizer.step()

    def breaks() -> int:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        torch.compile(update, backend="eager")()
        return int(torch._dynamo.utils.counters["graph_break"].total())

    with_hooks = breaks()
    hooked.boundaries.remove()
    assert with_hooks == breaks()


def test_another_iterator_in_the_place_of_one_that_ended_has_its_own_number(
    hooked: Hooked,
) -> None:
    loader = batches()
    for _ in range(50):
        next(iter(loader))
    details = [mark.detail for mark in hooked.marks() if mark.kind is MarkKind.FETCH]
    assert details == list(range(50))


def test_hooks_are_removed_without_a_trace() -> None:
    before = (
        torch.autograd.backward,
        torch.utils.data.dataloader._BaseDataLoaderIter.__next__,
        torch.amp.grad_scaler.GradScaler.step,
        torch.Tensor.to,
    )
    made = Hooked()
    made.boundaries.remove()
    assert before == (
        torch.autograd.backward,
        torch.utils.data.dataloader._BaseDataLoaderIter.__next__,
        torch.amp.grad_scaler.GradScaler.step,
        torch.Tensor.to,
    )
    model = net()
    for batch in batches():
        backward(loss_of(model, batch))
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert made.marks() == []


def test_marks_of_other_threads_do_not_count(hooked: Hooked) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = next(iter(batches()))
    backward(loss_of(model, batch))
    optimizer.step()
    hooked.marks()
    thread = threading.Thread(target=lambda: backward(loss_of(model, batch)))
    thread.start()
    thread.join()
    assert hooked.marks() == []
