from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run_directory import load
from stepbench_reports.wording import bottleneck
from support import synthetic


def measured(
    tmp_path: Path, axes: dict[str, Any], ms: dict[str, float], **fields: Any
) -> Measurement:
    """A case whose every step has these laps in ms, on the host."""
    axes = {**{name: values[0] for name, values in synthetic.AXES.items()}, **axes}
    laps = {phase: [lap / 1e3] * 20 for phase, lap in {**ms, "step": sum(ms.values())}.items()}
    file = synthetic.case_file(axes, laps, **fields)
    (measurement,) = load(synthetic.write_run(tmp_path / "run", [file])).measurements
    return measurement


def launch_overhead(forward_s: float, backward_s: float | None = 0.0) -> dict[str, Any]:
    return {"batch_size": 1, "forward_s": forward_s, "backward_s": backward_s, "reason": None}


def test_data_with_loader_workers(tmp_path: Path) -> None:
    ms = {"dataload": 6.2, "forward": 1.0, "backward": 2.0, "optimizer": 0.8}
    m = measured(
        tmp_path,
        {"num_workers": 2, "batch_size": 32},
        ms,
        launch_overhead=launch_overhead(0.0001, 0.0001),
    )
    assert bottleneck.sentences(m) == (
        "Data: 62 % of the step is waiting for the loader. The loader alone gives 7,410 "
        "samples/s; the rest of the step could use 8,420 samples/s. Without waiting for data, a "
        "step takes at best 3.8 ms (2.6× as fast). Remedies: more --num-workers, cheaper "
        "transforms, data in memory."
    )
    assert bottleneck.short(m) == "data"
    assert bottleneck.cell(m) == "data 62 %"
    assert bottleneck.clause(m) == (
        "Its bottleneck is data (62 % of the step): at best 2.6× as fast without waiting for data."
    )


def test_data_without_loader_workers(tmp_path: Path) -> None:
    m = measured(
        tmp_path, {}, {"dataload": 8.0, "forward": 2.0}, loader=synthetic.loader(samples_per_s=0.0)
    )
    assert bottleneck.sentences(m).startswith(
        "Data: 80 % of the step is making the batch. The rest of the step could use 2,000 "
        "samples/s. Without waiting for data, a step takes at best 2.0 ms (5.0× as fast)."
    )


def test_two_bottlenecks_that_are_close(tmp_path: Path) -> None:
    ms = {"dataload": 4.5, "forward": 1.0, "backward": 3.0, "optimizer": 1.5}
    m = measured(tmp_path, {}, ms, launch_overhead=launch_overhead(0.0, 0.0))
    text = bottleneck.sentences(m)
    assert text.startswith("Data: 45 % of the step is making the batch.")
    assert "Without waiting for data, a step takes at best 5.5 ms (1.8× as fast)." in text
    assert " Compute: 40 % of the step is forward and backward. Without compute, a step " in text
    assert "takes at best 6.0 ms (1.7× as fast). Remedies: a smaller model, " in text
    assert bottleneck.short(m) == "data+compute"
    assert bottleneck.cell(m) == "data 45 % + compute 40 %"
    assert bottleneck.clause(m) == (
        "Its bottleneck is data (45 % of the step) and compute (40 %): at best 1.8× as fast "
        "without waiting for data."
    )


def test_launch_overhead(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 1.0}
    m = measured(tmp_path, {}, ms, launch_overhead=launch_overhead(0.003, 0.004))
    assert bottleneck.sentences(m) == (
        "Launch overhead: 70 % of the step. Forward and backward take 7.0 ms even with next to no "
        "data. Without launch overhead, a step takes at best 3.0 ms (3.3× as fast). Remedies: a "
        "larger --batch-size, --compile default, fewer and larger operators."
    )


def test_launch_overhead_counts_every_micro_batch(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 1.0}
    m = measured(tmp_path, {"accumulate": 4}, ms, launch_overhead=launch_overhead(0.001, 0.001))
    assert m.launch_overhead_s == pytest.approx(0.008)
    assert bottleneck.cell(m) == "launch 80 %"


def test_launch_overhead_of_evaluation_has_no_backward(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 9.0}
    m = measured(tmp_path, {"loop": "eval"}, ms, launch_overhead=launch_overhead(0.002, None))
    assert m.launch_overhead_s == pytest.approx(0.002)
    text = bottleneck.sentences(m, 0.12)
    assert "70 % of the step is forward and backward, without 2.0 ms of launch overhead." in text
    assert "The whole step reaches 12 % of the machine's peak throughput." in text


def test_remedies_leave_out_settings_that_the_case_has(tmp_path: Path) -> None:
    m = measured(tmp_path, {"precision": "bf16"}, {"forward": 9.0, "optimizer": 1.0})
    assert bottleneck.sentences(m).endswith("Remedies: a smaller model, a faster device.")


def test_compute_of_a_compiled_case_includes_launch_overhead(tmp_path: Path) -> None:
    m = measured(tmp_path, {"compile": "default"}, {"forward": 9.0, "optimizer": 1.0})
    text = bottleneck.sentences(m)
    assert text.startswith("Compute or launch overhead: 90 % of the step is forward and backward;")
    assert "launch overhead was not measured (a smaller batch would recompile the model)." in text
    assert bottleneck.short(m) == "comp./launch"


def test_optimizer(tmp_path: Path) -> None:
    m = measured(tmp_path, {}, {"forward": 1.0, "backward": 1.0, "optimizer": 8.0})
    assert bottleneck.sentences(m) == (
        "Optimizer: 80 % of the step is the optimizer, which updates 62,006 parameters. Without "
        "the optimizer, a step takes at best 2.0 ms (5.0× as fast). Remedies: a fused or foreach "
        "implementation, fewer trained parameters, a higher --accumulate."
    )


@pytest.mark.parametrize(
    ("axes", "hints"),
    [
        ({}, "--pin-memory on, --non-blocking on, fewer bytes per sample."),
        ({"pin_memory": True}, ": --non-blocking on, fewer bytes per sample."),
        ({"pin_memory": True, "non_blocking": True}, ": fewer bytes per sample."),
    ],
)
def test_transfer(tmp_path: Path, axes: dict[str, Any], hints: str) -> None:
    m = measured(tmp_path, {"device": "cuda", **axes}, {"transfer": 7.0, "forward": 3.0})
    text = bottleneck.sentences(m)
    assert text.startswith("Transfer: 70 % of the step is moving batches to the device. Without")
    assert text.endswith(hints)


def test_the_loader_s_limit_is_named(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0)  # 6.4 ms for the 4 samples of a step of 10 ms
    ms = {"dataload": 0.5, "forward": 8.5, "optimizer": 1.0}
    m = measured(
        tmp_path, {"num_workers": 2}, ms, loader=loader, launch_overhead=launch_overhead(0.0)
    )
    text = bottleneck.sentences(m)
    assert "a step takes at best 6.4 ms (1.6× as fast; the loader limits it)." in text


def test_a_loader_rate_with_interference_is_no_limit(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0, interference=True)
    ms = {"dataload": 0.5, "forward": 8.5, "optimizer": 1.0}
    m = measured(
        tmp_path, {"num_workers": 2}, ms, loader=loader, launch_overhead=launch_overhead(0.0)
    )
    assert "a step takes at best 1.5 ms (6.7× as fast)." in bottleneck.sentences(m)


def test_interference_with_the_loader_is_mentioned(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0, interference=True)
    m = measured(tmp_path, {"num_workers": 2}, {"dataload": 8.0, "forward": 2.0}, loader=loader)
    text = bottleneck.sentences(m)
    assert "The loader alone gives 625 samples/s, despite interference; the" in text


def test_compilation_is_a_remedy_if_launch_overhead_is_unknown(tmp_path: Path) -> None:
    unknown = {"batch_size": None, "forward_s": None, "backward_s": None, "reason": "too busy"}
    m = measured(tmp_path, {}, {"forward": 9.0, "optimizer": 1.0}, launch_overhead=unknown)
    assert "launch overhead was not measured (too busy)." in bottleneck.sentences(m)
    assert bottleneck.sentences(m).endswith("a larger --batch-size, --compile default.")


def test_no_gain_is_printed_if_nothing_would_be_left(tmp_path: Path) -> None:
    m = measured(tmp_path, {}, {"forward": 9.0}, launch_overhead=launch_overhead(0.0))
    text = bottleneck.sentences(m)
    assert "Without compute, next to nothing of the step would be left." in text
    assert bottleneck.clause(m) == "Its bottleneck is compute (100 % of the step)."


def test_starvation_and_waiting_are_printed_if_they_differ(tmp_path: Path) -> None:
    axes = {**{name: values[0] for name, values in synthetic.AXES.items()}, "device": "cuda"}
    device = {"dataload": [0.001] * 8, "forward": [0.009] * 8, "step": [0.010] * 8}
    waiting = {"dataload": [0.007] * 8, "forward": [0.003] * 8, "step": [0.010] * 8}
    files = [
        synthetic.case_file({**axes, "batch_size": size}, host, device)
        for size, host in ((4, waiting), (8, device))
    ]
    differ, agree = load(synthetic.write_run(tmp_path / "run", files)).measurements
    text = " In dataload, the device starves for 1.0 ms a step, and Python waits for 7.0 ms."
    assert bottleneck.sentences(differ).endswith(text)
    assert "starves" not in bottleneck.sentences(agree)


def test_texts_are_empty_without_figures(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    file = synthetic.failed_file(axes, "oom", "no memory")
    (m,) = load(synthetic.write_run(tmp_path / "run", [file])).measurements
    texts = [bottleneck.sentences(m), bottleneck.clause(m), bottleneck.cell(m)]
    assert [*texts, bottleneck.short(m)] == [""] * 4
