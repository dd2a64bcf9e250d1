from pathlib import Path

import pytest
import torch

from bench.batches import EndlessShuffle, make_loader
from bench.case import Case
from bench.errors import UnsupportedError, UsageError
from bench.measure import block_size, measure, why_stop
from bench.measurement import Findings
from bench.request import Request, Sampling
from bench.workload import DataChoice, load


def find(tmp_path: Path, sampling: Sampling, **values: object) -> Findings:
    case = Case(**{"workload": "convnet", **values})  # type: ignore[arg-type]
    return measure(lambda _: None, Request(case, sampling, tmp_path))


def test_exactly_the_steps_that_were_asked_for(tmp_path: Path) -> None:
    found = find(tmp_path, Sampling(steps=7))
    host = found.laps["host"]
    assert host is not None
    assert {len(laps) for laps in host.values()} == {7}
    assert found.sampling["stopped"] == "steps"
    assert found.model == {"name": "ConvNet", "parameters": 62_006, "trainable": 62_006}
    assert found.data["origin"] == "generated"
    assert found.compile is None
    assert found.laps["device"] is None
    kinds = [block.kind for block in found.blocks]
    assert kinds == ["lapped", "bare"] * (len(kinds) // 2)
    assert found.memory["host_peak_bytes"] > 50e6


def test_time_that_is_up_is_told(tmp_path: Path) -> None:
    found = find(tmp_path, Sampling(max_time_s=0.3, rel_error=1e-9))
    assert found.sampling["stopped"] == "time"
    assert found.sampling["rel_error"] > 1e-9


def test_a_median_that_is_precise_ends_sampling(tmp_path: Path) -> None:
    found = find(tmp_path, Sampling(max_time_s=60, rel_error=0.5))
    assert found.sampling["stopped"] == "precise"
    assert found.sampling["rel_error"] <= 0.5


def test_half_precision_and_another_backend(tmp_path: Path) -> None:
    found = find(tmp_path, Sampling(steps=3), precision="bf16", compile="backend:eager")
    assert found.compile is not None
    assert found.compile["backend"] == "eager"
    assert found.compile["graphs"] == 1


def test_what_a_machine_cannot_do_is_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnsupportedError, match="no TF32"):
        find(tmp_path, Sampling(steps=3), precision="tf32")
    import torch._inductor.config

    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/no/such/compiler",))
    with pytest.raises(UnsupportedError, match="install g\\+\\+"):
        find(tmp_path, Sampling(steps=3), compile="default")


def test_a_backend_that_torch_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torch knows no such backend"):
        find(tmp_path, Sampling(steps=3), compile="backend:nothing")


def test_shuffling_goes_on_from_epoch_to_epoch_in_whole_batches() -> None:
    indices = iter(EndlessShuffle(10, 4, seed=1))
    epochs = [[next(indices) for _ in range(8)] for _ in range(3)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1]
    again = iter(EndlessShuffle(10, 4, seed=1))
    assert [next(again) for _ in range(8)] == epochs[0]


def test_no_batch_is_short() -> None:
    workload = load("convnet", DataChoice("cifar10"))
    dataset = torch.utils.data.Subset(workload.dataset(), range(10))
    stream = iter(make_loader(workload, dataset, Case(workload="convnet"), seed=0))
    assert [len(next(stream)[1]) for _ in range(6)] == [4] * 6


def test_blocks_consume_many_times_what_the_loader_keeps_ready() -> None:
    assert block_size(Sampling(max_time_s=60), prefetched=4, step_s=0.1) == 32
    assert block_size(Sampling(max_time_s=60), prefetched=0, step_s=0.001) == 200
    assert block_size(Sampling(max_time_s=6), prefetched=0, step_s=10) == 1
    assert block_size(Sampling(steps=3), prefetched=0, step_s=0.001) == 3


def test_sampling_stops_only_after_a_lapped_and_its_bare_block() -> None:
    sampling = Sampling(max_time_s=1, rel_error=0.01)
    assert why_stop(sampling, 0.001, lapped=100, blocks=7, elapsed_s=9) is None
    assert why_stop(sampling, 0.001, lapped=100, blocks=8, elapsed_s=0.5) == "precise"
    assert why_stop(sampling, None, lapped=5, blocks=8, elapsed_s=0.5) is None
    assert why_stop(sampling, 0.5, lapped=100, blocks=8, elapsed_s=2) == "time"


@pytest.mark.parametrize("name", ["vit_b_16", "alexnet"])
def test_classifiers_are_fitted_to_the_data(name: str) -> None:
    workload = load(name, DataChoice("cifar10"))
    image = next(iter(workload.dataset()))[0]
    with torch.no_grad():
        assert workload.model().eval()(image[None]).shape == (1, 10)
