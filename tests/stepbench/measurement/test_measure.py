from pathlib import Path

import pytest
import torch

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.errors import UnsupportedError, UsageError
from stepbench.interference import watch
from stepbench.measurement.measure import measure
from stepbench.training.dataloader import EndlessShuffle, make_loader
from stepbench.workload.data_choice import DataChoice
from stepbench.workload.loading import load
from stepbench_reports.schema.case_facts import ModelFacts
from stepbench_reports.schema.measurement import Findings
from stepbench_reports.schema.run import SamplingOptions

pytestmark = pytest.mark.usefixtures("nothing_compiled")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignores interference, since the tests assert no times."""
    monkeypatch.setattr(watch, "MAX_OTHERS", 1.0)
    monkeypatch.setattr(watch, "MAX_STEAL", 1.0)


def findings_of(tmp_path: Path, sampling: SamplingOptions, **values: object) -> Findings:
    case = Case(**{"workload": "convnet", **values})  # type: ignore[arg-type]
    return measure(lambda _: None, Request(case, sampling, tmp_path))


def test_exactly_the_requested_steps(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, SamplingOptions(steps=7))
    host = findings.laps.host
    assert {len(laps) for laps in host.values()} == {7}
    assert findings.sampling.stopped == "steps"
    assert findings.model == ModelFacts(name="ConvNet", parameters=62_006, trainable=62_006)
    assert findings.data.origin == "generated"
    assert findings.compile is None
    assert findings.laps.device is None
    kinds = [block.kind for block in findings.blocks]
    assert kinds == ["lapped", "bare"] * (len(kinds) // 2)
    assert findings.memory.host_peak_bytes > 50e6
    assert findings.memory.host_pinned_bytes is None


def test_the_loader_the_operations_and_the_fixed_cost_are_measured_separately(
    tmp_path: Path,
) -> None:
    findings = findings_of(
        tmp_path, SamplingOptions(steps=5), batch_size=8, num_workers=1, prefetch_factor=3
    )
    assert findings.loader.ready == 3
    assert findings.loader.samples_per_s > 0
    assert findings.loader.restart_s > 0
    # Two convolutions and three linear layers, forward and twice that backward, but for the
    # gradient of the images, which is not needed.
    layers = [28**2 * 6 * 75, 10**2 * 16 * 150, 400 * 120, 120 * 84, 84 * 10]
    assert findings.work.flops == 2 * 8 * (3 * sum(layers) - layers[0])
    assert findings.memory.saved_bytes is not None
    assert findings.memory.saved_bytes > 8 * 6 * 28 * 28 * 4
    assert findings.launch_overhead.batch_size == 1
    assert findings.launch_overhead.forward_s is not None
    assert len(findings.noise.blocks) == len(findings.blocks) + findings.noise.discarded


def test_evaluation_has_no_backward_and_no_optimizer(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, SamplingOptions(steps=5), loop="eval")
    assert findings.phases == ("dataload", "forward")
    assert set(findings.laps.host) == {"dataload", "forward", "step"}
    assert findings.memory.saved_bytes is None
    assert findings.launch_overhead.backward_s == 0
    layers = [28**2 * 6 * 75, 10**2 * 16 * 150, 400 * 120, 120 * 84, 84 * 10]
    assert findings.work.flops == 2 * 4 * sum(layers)


def test_a_step_that_accumulates_has_a_lap_for_each_of_its_batches(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, SamplingOptions(steps=6), accumulate=3, num_workers=1)
    assert findings.micro_laps is not None
    assert set(findings.micro_laps) == {"dataload", "forward", "backward"}
    host = findings.laps.host
    for phase, laps in findings.micro_laps.items():
        assert [len(step) for step in laps] == [3] * 6
        assert [sum(step) for step in laps] == pytest.approx(host[phase])


def test_channels_last_and_sync_phases_are_measured(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, SamplingOptions(steps=5, sync_phases=True), channels_last=True)
    assert findings.settings.sync_phases
    assert "synchronized" in findings.clock.name
    assert findings.laps.device is None


def test_a_model_whose_operators_cannot_be_counted_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("no such mode")

    monkeypatch.setattr("stepbench.measurement.dispatch_counter.count", refuse)
    findings = findings_of(tmp_path, SamplingOptions(steps=5))
    assert findings.work.flops is None
    assert "no such mode" in str(findings.work.reason)
    assert findings.memory.saved_bytes is None


def test_sampling_ends_at_the_time_limit(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, SamplingOptions(max_time_s=0.3, rel_error=1e-9))
    assert findings.sampling.stopped == "time"
    rel_error = findings.sampling.rel_error
    assert rel_error is None or rel_error > 1e-9  # None: too few steps on a slow machine


def test_a_median_that_is_precise_ends_sampling(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, SamplingOptions(max_time_s=600, rel_error=100.0))
    assert findings.sampling.stopped == "precise"
    assert findings.sampling.rel_error is not None


def test_half_precision_and_another_backend(tmp_path: Path) -> None:
    findings = findings_of(
        tmp_path, SamplingOptions(steps=3), precision="bf16", compile="backend:eager"
    )
    assert findings.compile is not None
    assert findings.compile.backend == "eager"
    assert findings.compile.graphs == 1


def test_what_a_machine_cannot_do_is_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnsupportedError, match="does not support TF32"):
        findings_of(tmp_path, SamplingOptions(steps=3), precision="tf32")
    import torch._inductor.config

    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/no/such/compiler",))
    with pytest.raises(UnsupportedError, match="install g\\+\\+"):
        findings_of(tmp_path, SamplingOptions(steps=3), compile="default")


def test_an_unknown_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torch has no such backend"):
        findings_of(tmp_path, SamplingOptions(steps=3), compile="backend:nothing")


def test_shuffling_continues_over_epochs_in_whole_batches() -> None:
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


@pytest.mark.parametrize("name", ["vit_b_16", "alexnet"])
def test_classifiers_are_fitted_to_the_data(name: str) -> None:
    workload = load(name, DataChoice("cifar10"))
    image = next(iter(workload.dataset()))[0]
    with torch.no_grad():
        assert workload.model().eval()(image[None]).shape == (1, 10)
