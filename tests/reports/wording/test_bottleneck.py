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


def fixed(forward_s: float, backward_s: float | None = 0.0) -> dict[str, Any]:
    return {"batch_size": 1, "forward_s": forward_s, "backward_s": backward_s, "reason": None}


def test_bound_by_a_loader_that_works_ahead(tmp_path: Path) -> None:
    ms = {"dataload": 6.2, "forward": 1.0, "backward": 2.0, "optimizer": 0.8}
    m = measured(tmp_path, {"num_workers": 2, "batch_size": 32}, ms, fixed=fixed(0.0001, 0.0001))
    assert bottleneck.sentences(m) == (
        "bound by data: 62 % of the step waits for the loader (7,410 samples/s by itself; the rest "
        "of the step could take 8,420); at best 3.8 ms a step, 2.6×, if batches were there at "
        "once: more --num-workers, cheaper transforms, the data in memory."
    )
    assert bottleneck.short(m) == "data"
    assert bottleneck.cell(m) == "data 62 %"
    assert bottleneck.clause(m) == (
        "It is bound by data (62 % of its step): at best 2.6× as fast without that."
    )


def test_bound_by_making_batches_without_workers(tmp_path: Path) -> None:
    m = measured(
        tmp_path, {}, {"dataload": 8.0, "forward": 2.0}, loader=synthetic.loader(samples_per_s=0.0)
    )
    assert bottleneck.sentences(m).startswith(
        "bound by data: 80 % of the step makes the batch itself (the rest of the step could take "
        "2,000); at best 2.0 ms a step, 5.0×"
    )


def test_bound_by_two_that_are_close(tmp_path: Path) -> None:
    ms = {"dataload": 4.5, "forward": 1.0, "backward": 3.0, "optimizer": 1.5}
    m = measured(tmp_path, {}, ms, fixed=fixed(0.0, 0.0))
    said = bottleneck.sentences(m)
    assert said.startswith("bound by data and compute: 45 % of the step makes the batch itself")
    assert "; 40 % of the step is forward and backward; at best 5.5 ms a step, 1.8×, if" in said
    assert "; at best 6.0 ms a step, 1.7×, if computing took no time: a smaller model, " in said
    assert bottleneck.short(m) == "data+compute"
    assert bottleneck.cell(m) == "data 45 % + compute 40 %"
    assert bottleneck.clause(m) == (
        "It is bound by data (45 % of its step) and compute (40 % of its step): at best 1.8× as "
        "fast without data."
    )


def test_bound_by_launching(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 1.0}
    m = measured(tmp_path, {}, ms, fixed=fixed(0.003, 0.004))
    assert bottleneck.sentences(m) == (
        "bound by launch overhead: 70 % of the step is what forward and backward take with next to "
        "no data (7.0 ms); at best 3.0 ms a step, 3.3×, if operators cost nothing to launch: a "
        "larger --batch-size, --compile default, fewer and larger operators."
    )


def test_every_micro_batch_is_launched(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 4.0, "backward": 4.0, "optimizer": 1.0}
    m = measured(tmp_path, {"accumulate": 4}, ms, fixed=fixed(0.001, 0.001))
    assert m.fixed_s == pytest.approx(0.008)
    assert bottleneck.cell(m) == "launch 80 %"


def test_evaluation_has_no_backward_to_launch(tmp_path: Path) -> None:
    ms = {"dataload": 1.0, "forward": 9.0}
    m = measured(tmp_path, {"loop": "eval"}, ms, fixed=fixed(0.002, None))
    assert m.fixed_s == pytest.approx(0.002)
    assert "70 % of the step is forward and backward beyond 2.0 ms" in bottleneck.sentences(m, 0.12)
    assert "at 12 % of the machine's ceiling over the whole step" in bottleneck.sentences(m, 0.12)


def test_bound_by_computing_hints_at_what_the_case_does_not_do_yet(tmp_path: Path) -> None:
    m = measured(tmp_path, {"precision": "bf16"}, {"forward": 9.0, "optimizer": 1.0})
    assert bottleneck.sentences(m).endswith(": a smaller model, a faster device.")


def test_compiled_cases_do_not_tell_computing_from_launching(tmp_path: Path) -> None:
    m = measured(tmp_path, {"compile": "default"}, {"forward": 9.0, "optimizer": 1.0})
    said = bottleneck.sentences(m)
    assert said.startswith("bound by compute or launch overhead: 90 % of the step is forward and")
    assert "launch overhead included (another batch size would be compiled anew)" in said
    assert bottleneck.short(m) == "comp./launch"


def test_bound_by_the_optimizer(tmp_path: Path) -> None:
    m = measured(tmp_path, {}, {"forward": 1.0, "backward": 1.0, "optimizer": 8.0})
    assert bottleneck.sentences(m) == (
        "bound by optimizer: 80 % of the step is the optimizer, for 62,006 parameters; at best "
        "2.0 ms a step, 5.0×, if the optimizer took no time: a fused or foreach implementation, "
        "fewer trained parameters, a higher --accumulate."
    )


@pytest.mark.parametrize(
    ("axes", "hints"),
    [
        ({}, "--pin-memory on, --non-blocking on, fewer bytes a sample."),
        ({"pin_memory": True}, ": --non-blocking on, fewer bytes a sample."),
        ({"pin_memory": True, "non_blocking": True}, ": fewer bytes a sample."),
    ],
)
def test_bound_by_transfers(tmp_path: Path, axes: dict[str, Any], hints: str) -> None:
    m = measured(tmp_path, {"device": "cuda", **axes}, {"transfer": 7.0, "forward": 3.0})
    said = bottleneck.sentences(m)
    assert said.startswith("bound by transfer: 70 % of the step moves batches to the device; at")
    assert said.endswith(hints)


def test_a_loader_at_its_limit_is_said(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0)  # 6.4 ms for the 4 samples of a step of 10 ms
    ms = {"dataload": 0.5, "forward": 8.5, "optimizer": 1.0}
    m = measured(tmp_path, {"num_workers": 2}, ms, loader=loader, fixed=fixed(0.0))
    assert "at best 6.4 ms a step, 1.6× (the loader gives no more), if" in bottleneck.sentences(m)


def test_a_loader_that_was_disturbed_is_no_limit(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0, disturbed=True)
    ms = {"dataload": 0.5, "forward": 8.5, "optimizer": 1.0}
    m = measured(tmp_path, {"num_workers": 2}, ms, loader=loader, fixed=fixed(0.0))
    assert "at best 1.5 ms a step, 6.7×, if computing took" in bottleneck.sentences(m)


def test_a_loader_s_rate_that_was_disturbed_is_said_to_be(tmp_path: Path) -> None:
    loader = synthetic.loader(samples_per_s=625.0, disturbed=True)
    m = measured(tmp_path, {"num_workers": 2}, {"dataload": 8.0, "forward": 2.0}, loader=loader)
    assert "(625 samples/s by itself, though others disturbed it; the" in bottleneck.sentences(m)


def test_an_eager_case_whose_launching_is_not_known_may_try_compiling(tmp_path: Path) -> None:
    unknown = {"batch_size": None, "forward_s": None, "backward_s": None, "reason": "too busy"}
    m = measured(tmp_path, {}, {"forward": 9.0, "optimizer": 1.0}, fixed=unknown)
    assert "launch overhead included (too busy)" in bottleneck.sentences(m)
    assert bottleneck.sentences(m).endswith("a larger --batch-size, --compile default.")


def test_no_gain_is_told_where_nothing_would_be_left(tmp_path: Path) -> None:
    m = measured(tmp_path, {}, {"forward": 9.0}, fixed=fixed(0.0))
    assert "; next to nothing would be left of the step if computing" in bottleneck.sentences(m)
    assert bottleneck.clause(m) == "It is bound by compute (100 % of its step)."


def test_starvation_and_waiting_are_told_where_they_differ(tmp_path: Path) -> None:
    axes = {**{name: values[0] for name, values in synthetic.AXES.items()}, "device": "cuda"}
    device = {"dataload": [0.001] * 8, "forward": [0.009] * 8, "step": [0.010] * 8}
    waiting = {"dataload": [0.007] * 8, "forward": [0.003] * 8, "step": [0.010] * 8}
    files = [
        synthetic.case_file({**axes, "batch_size": size}, host, device)
        for size, host in ((4, waiting), (8, device))
    ]
    differ, agree = load(synthetic.write_run(tmp_path / "run", files)).measurements
    said = " In dataload the device starves for 1.0 ms a step, and Python waits for 7.0 ms."
    assert bottleneck.sentences(differ).endswith(said)
    assert "starves" not in bottleneck.sentences(agree)


def test_without_figures_nothing_is_said(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    file = synthetic.failed_file(axes, "oom", "no memory")
    (m,) = load(synthetic.write_run(tmp_path / "run", [file])).measurements
    said = [bottleneck.sentences(m), bottleneck.clause(m), bottleneck.cell(m)]
    assert [*said, bottleneck.short(m)] == [""] * 4
