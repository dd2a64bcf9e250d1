from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from stepbench_reports.analysis.launches import fixed_cost_s
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run_directory import load
from stepbench_reports.sections.bottlenecks import section
from stepbench_reports.wording import bottleneck
from stepbench_reports.wording.headline import headline
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


def sentences(tmp_path: Path, measurement: Measurement) -> str:
    """The sentences about a case of the run that was written."""
    return bottleneck.sentences(load(tmp_path / "run"), measurement)


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
    assert sentences(tmp_path, m) == (
        "Data: 62 % of the step is waiting for the loader. The loader alone gives 7,410 "
        "samples/s; the rest of the step could use 8,420 samples/s. Without waiting for data, a "
        "step takes about 3.800 ms: 2.63× (2.63–2.64) as fast. Remedies: more --num-workers, "
        "cheaper transforms, data in memory."
    )
    assert bottleneck.short(m) == "data"
    assert bottleneck.cell(m) == "data 62 %"
    assert bottleneck.clause(m) == (
        "Its bottleneck is data (62 % of the step): about 2.63× (2.63–2.64) as fast without "
        "waiting for data."
    )


def test_data_without_loader_workers(tmp_path: Path) -> None:
    m = measured(
        tmp_path, {}, {"dataload": 8.0, "forward": 2.0}, loader=synthetic.loader(samples_per_s=0.0)
    )
    assert sentences(tmp_path, m).startswith(
        "Data: 80 % of the step is making the batch. The rest of the step could use 2,000 "
        "samples/s. Without waiting for data, a step takes about 2.000 ms: 5.00× (5.00–5.00) as "
        "fast."
    )


def test_two_bottlenecks_that_are_close(tmp_path: Path) -> None:
    ms = {"dataload": 4.5, "forward": 1.0, "backward": 3.0, "optimizer": 1.5}
    m = measured(tmp_path, {}, ms, launch_overhead=launch_overhead(0.0, 0.0))
    text = sentences(tmp_path, m)
    assert text.startswith("Data: 45 % of the step is making the batch.")
    assert (
        "Without waiting for data, a step takes about 5.500 ms: 1.82× (1.81–1.82) as fast." in text
    )
    assert (
        " Compute: 40 % of the step is forward and backward. The whole step reaches 17 % " in text
    )
    assert "of what memory allows at 3.9 FLOP per byte. Without compute, a step " in text
    assert "takes about 6.0 ms: 1.7× as fast. Remedies: a smaller model, " in text
    assert bottleneck.short(m) == "data+compute"
    assert bottleneck.cell(m) == "data 45 % + compute 40 %"
    assert bottleneck.clause(m) == (
        "Its bottleneck is data (45 % of the step) and compute (40 %): about 1.82× "
        "(1.81–1.82) as fast without waiting for data."
    )


def test_launch_overhead(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 1.0}
    m = measured(tmp_path, {}, ms, launch_overhead=launch_overhead(0.003, 0.004))
    assert sentences(tmp_path, m) == (
        "Fixed cost: 70 % of the step. Forward and backward take 7.0 ms even with next to no "
        "data. Without the fixed cost, a step takes about 3.0 ms: 3.3× as fast. Twice the "
        "--batch-size would give about 1.7× the samples/s. Remedies: a larger --batch-size, "
        "--compile default, fewer and larger operators."
    )


def on_device(
    tmp_path: Path, ms: dict[str, float], forward_s: float, backward_s: float, **axes: Any
) -> Measurement:
    """A case with these laps in ms on an asynchronous device."""
    usual = {name: values[0] for name, values in synthetic.AXES.items()}
    axes = {**usual, "device": "cuda", "batch_size": 32, **axes}
    device = {phase: [lap / 1e3] * 20 for phase, lap in {**ms, "step": sum(ms.values())}.items()}
    overhead = launch_overhead(forward_s, backward_s)
    file = synthetic.case_file(axes, device, device, launch_overhead=overhead)
    (measurement,) = load(synthetic.write_run(tmp_path / "run", [file])).measurements
    return measurement


def fixed_s(tiny_ms: float, full_ms: float) -> float:
    """The fixed cost of times on 1 and on 32 samples."""
    return fixed_cost_s(tiny_ms / 1e3, full_ms / 1e3, 1, 32)


def test_launches_that_the_device_hides_are_no_bottleneck(tmp_path: Path) -> None:
    ms = {"forward": 4.0, "backward": 6.0, "optimizer": 0.4}
    m = on_device(tmp_path, ms, fixed_s(2.5, 4.0), fixed_s(3.5, 6.0))
    assert m.fixed_cost_s == 0
    assert m.hidden_launch_s == pytest.approx(0.00587, rel=0.01)
    assert sentences(tmp_path, m) == (
        "Compute: 96 % of the step is forward and backward. Without compute, a step takes about "
        "6.3 ms: 1.7× as fast, and launches limit it. Remedies: a smaller model, --precision bf16, "
        "a faster device. 5.9 ms of kernel launches are hidden behind the device's work."
    )
    assert bottleneck.clause(m) == (
        "Its bottleneck is compute (96 % of the step): about 1.7× as fast without compute. "
        "5.9 ms of kernel launches are hidden behind the device's work."
    )


def test_hidden_launches_are_in_headline_section_and_table(tmp_path: Path) -> None:
    on_device(tmp_path, {"forward": 4.0, "backward": 6.0}, fixed_s(2.5, 4.0), fixed_s(3.5, 6.0))
    run = load(tmp_path / "run")
    text = "5.9 ms of kernel launches are hidden behind the device's work."
    assert text in headline(run)
    bottlenecks = section(run)
    assert bottlenecks is not None
    assert text in bottlenecks.lines[0]
    assert "Launches are hidden where" in bottlenecks.lead
    row = run.cases.iloc[0]
    assert row["bottleneck"] == "compute"
    assert row["fixed_cost_s"] == 0
    assert row["hidden_launch_s"] == pytest.approx(0.00587, rel=0.01)


def test_hidden_launches_count_every_micro_batch(tmp_path: Path) -> None:
    ms = {"forward": 16.0, "backward": 24.0}
    m = on_device(tmp_path, ms, fixed_s(2.5, 4.0), fixed_s(3.5, 6.0), accumulate=4)
    assert m.fixed_cost_s == 0
    assert m.hidden_launch_s == pytest.approx(4 * 0.00587, rel=0.01)


def test_launches_of_a_launch_bound_step_are_not_hidden(tmp_path: Path) -> None:
    ms = {"forward": 4.0, "backward": 6.0, "optimizer": 0.4}
    m = on_device(tmp_path, ms, fixed_s(4.0, 4.0), fixed_s(5.8, 6.0))
    assert bottleneck.cell(m) == "fixed 94 %"
    assert m.hidden_launch_s == 0
    assert "Forward and backward take 9.8 ms even with next to no data." in sentences(tmp_path, m)
    assert "hidden" not in sentences(tmp_path, m) + bottleneck.clause(m)


def test_the_host_s_launches_are_never_hidden(tmp_path: Path) -> None:
    ms = {"forward": 4.0, "backward": 6.0}
    overhead = launch_overhead(fixed_s(2.5, 4.0), fixed_s(3.5, 6.0))
    m = measured(tmp_path, {"batch_size": 32}, ms, launch_overhead=overhead)
    assert bottleneck.cell(m) == "fixed 59 %"
    assert m.hidden_launch_s == 0


def test_forward_may_hide_its_launches_while_backward_does_not(tmp_path: Path) -> None:
    ms = {"forward": 3.0, "backward": 6.0, "optimizer": 1.0}
    m = on_device(tmp_path, ms, fixed_s(2.0, 3.0), fixed_s(6.0, 6.0))
    assert m.fixed_cost_s == pytest.approx(0.006)
    assert sentences(tmp_path, m) == (
        "Fixed cost: 60 % of the step. Backward takes 6.0 ms even with next to no data. "
        "Without the fixed cost, a step takes about 4.0 ms: 2.5× as fast. Twice the "
        "--batch-size would give about 1.5× the samples/s. Remedies: a larger --batch-size, "
        "--compile default, fewer and larger operators. 2.0 ms of kernel launches in "
        "forward are hidden behind the device's work."
    )


def test_launch_overhead_counts_every_micro_batch(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 1.0}
    m = measured(tmp_path, {"accumulate": 4}, ms, launch_overhead=launch_overhead(0.001, 0.001))
    assert m.fixed_cost_s == pytest.approx(0.008)
    assert bottleneck.cell(m) == "fixed 80 %"


def test_launch_overhead_of_evaluation_has_no_backward(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 9.0}
    m = measured(tmp_path, {"loop": "eval"}, ms, launch_overhead=launch_overhead(0.002, None))
    assert m.fixed_cost_s == pytest.approx(0.002)
    text = sentences(tmp_path, m)
    assert "70 % of the step is forward and backward, without 2.0 ms of fixed cost." in text
    # 0.124 GFLOP in 10 ms, at 19 GB/s and 3.9 FLOP per byte.
    assert "The whole step reaches 17 % of what memory allows at 3.9 FLOP per byte." in text


def test_remedies_leave_out_settings_that_the_case_has(tmp_path: Path) -> None:
    m = measured(tmp_path, {"precision": "bf16"}, {"forward": 9.0, "optimizer": 1.0})
    assert sentences(tmp_path, m).endswith("Remedies: a smaller model, a faster device.")


def test_compute_of_a_compiled_case_includes_launch_overhead(tmp_path: Path) -> None:
    m = measured(tmp_path, {"compile": "default"}, {"forward": 9.0, "optimizer": 1.0})
    text = sentences(tmp_path, m)
    assert text.startswith("Compute or fixed cost: 90 % of the step is forward and backward;")
    assert "its fixed cost was not measured (a smaller batch would recompile the model)." in text
    assert bottleneck.short(m) == "comp./fixed"


def test_optimizer(tmp_path: Path) -> None:
    m = measured(tmp_path, {}, {"forward": 1.0, "backward": 1.0, "optimizer": 8.0})
    assert sentences(tmp_path, m) == (
        "Optimizer: 80 % of the step is the optimizer, which updates 62,006 parameters. Without "
        "the optimizer, a step takes about 2.000 ms: 5.00× (5.00–5.00) as fast. Remedies: a "
        "fused or "
        "foreach implementation, fewer trained parameters, a higher --accumulate."
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
    text = sentences(tmp_path, m)
    assert text.startswith("Transfer: 70 % of the step is moving batches to the device. Without")
    assert text.endswith(hints)


def test_the_loader_s_limit_is_named(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0)  # 6.4 ms for the 4 samples of a step of 10 ms
    ms = {"dataload": 0.5, "forward": 8.5, "optimizer": 1.0}
    m = measured(
        tmp_path, {"num_workers": 2}, ms, loader=loader, launch_overhead=launch_overhead(0.0)
    )
    text = sentences(tmp_path, m)
    assert "a step takes about 6.4 ms: 1.6× as fast, and the loader limits it." in text


def test_a_loader_rate_with_interference_is_no_limit(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0, interference=True)
    ms = {"dataload": 0.5, "forward": 8.5, "optimizer": 1.0}
    m = measured(
        tmp_path, {"num_workers": 2}, ms, loader=loader, launch_overhead=launch_overhead(0.0)
    )
    assert "a step takes about 1.5 ms: 6.7× as fast." in sentences(tmp_path, m)


def test_interference_with_the_loader_is_mentioned(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0, interference=True)
    m = measured(tmp_path, {"num_workers": 2}, {"dataload": 8.0, "forward": 2.0}, loader=loader)
    text = sentences(tmp_path, m)
    assert "The loader alone gives 625 samples/s, despite interference; the" in text


def test_compilation_is_a_remedy_if_launch_overhead_is_unknown(tmp_path: Path) -> None:
    unknown = {"batch_size": None, "forward_s": None, "backward_s": None, "reason": "too busy"}
    m = measured(tmp_path, {}, {"forward": 9.0, "optimizer": 1.0}, launch_overhead=unknown)
    assert "its fixed cost was not measured (too busy)." in sentences(tmp_path, m)
    assert sentences(tmp_path, m).endswith("a larger --batch-size, --compile default.")


def test_no_gain_is_printed_if_nothing_would_be_left(tmp_path: Path) -> None:
    m = measured(tmp_path, {}, {"forward": 9.0}, launch_overhead=launch_overhead(0.0))
    text = sentences(tmp_path, m)
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
    assert sentences(tmp_path, differ).endswith(text)
    assert "starves" not in sentences(tmp_path, agree)


def test_texts_are_empty_without_figures(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    file = synthetic.failed_file(axes, "oom", "no memory")
    (m,) = load(synthetic.write_run(tmp_path / "run", [file])).measurements
    texts = [sentences(tmp_path, m), bottleneck.clause(m), bottleneck.cell(m)]
    assert [*texts, bottleneck.short(m)] == [""] * 4


FIXED_MS = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 1.0}
WEIGHTS = {"name": "Big", "parameters": 5_000_000, "trainable": 4_000_000}
SIZES = {"parameter_bytes": 20_000_000, "trainable_bytes": 16_000_000, "optimizer_bytes": 0}


def test_the_fixed_cost_says_how_much_of_it_is_the_weights_traffic(tmp_path: Path) -> None:
    m = measured(
        tmp_path, {}, FIXED_MS,
        launch_overhead=launch_overhead(0.003, 0.004), model=WEIGHTS | SIZES,
    )  # fmt: skip
    # 20 MB read by forward; 16 MB read and written by backward; 19 GB/s.
    assert (
        "take 7.0 ms even with next to no data. Reading 20 MB of weights and writing their "
        "gradients is 2.7 ms of that, at the bandwidth of a copy." in sentences(tmp_path, m)
    )


def test_evaluation_writes_no_gradients(tmp_path: Path) -> None:
    m = measured(
        tmp_path, {"loop": "eval", "accumulate": 2}, {"forward": 9.0},
        launch_overhead=launch_overhead(0.004, None), model=WEIGHTS | SIZES,
    )  # fmt: skip
    assert "Reading 20 MB of weights is 2.1 ms of that, at the" in sentences(tmp_path, m)


def test_weights_that_fit_the_cache_need_not_come_from_memory(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 8.0}
    sizes = {"parameter_bytes": 250_000, "trainable_bytes": 250_000, "optimizer_bytes": 500_000}
    model, overhead = WEIGHTS | sizes, launch_overhead(0.003, 0.004)
    m = measured(tmp_path, {}, ms, launch_overhead=overhead, model=model)
    run = load(tmp_path / "run")
    peaks = structs.replace(run.facts.machine_peaks["cpu"], cache_bytes=32 * 2**20)
    facts = structs.replace(run.facts, machine_peaks={"cpu": peaks})
    text = bottleneck.sentences(replace(run, facts=facts), m)
    assert (
        "Moving 1.8 MB of parameters, gradients and state would be 0.092 ms of that if it came "
        "from memory; it fits the cache." in text
    )
    assert "Reading 250 kB of weights and writing their gradients would be less than 1 % of" in text


def test_weights_of_unknown_size_have_no_traffic(tmp_path: Path) -> None:
    m = measured(tmp_path, {}, FIXED_MS, launch_overhead=launch_overhead(0.003, 0.004))
    assert "bandwidth" not in sentences(tmp_path, m)
