from typing import Any

import pytest

from stepbench_reports.read.axis_values import varying
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.wording import naming

PLAIN: dict[str, Any] = {
    "workload": "convnet", "dataset": "own", "loop": "train", "device": "cpu", "batch_size": 32,
    "accumulate": 1, "num_workers": 2, "prefetch_factor": 2, "persistent_workers": False,
    "pin_memory": False, "non_blocking": False, "compile": "off", "dynamic": "auto",
    "precision": "fp32", "channels_last": False,
}  # fmt: skip
SET: dict[str, Any] = {
    **PLAIN, "loop": "eval", "accumulate": 4, "prefetch_factor": 4, "persistent_workers": True,
    "pin_memory": True, "non_blocking": True, "compile": "default", "dynamic": "on",
    "precision": "bf16", "channels_last": True,
}  # fmt: skip


def test_a_case_in_the_words_of_its_id() -> None:
    assert naming.label(PLAIN, list(PLAIN)) == "convnet own cpu b32 w2 off fp32"
    assert naming.label(SET, list(SET)) == (
        "convnet own eval cpu b32 acc4 w2 pf4 persistent pin nonblocking default dynamic bf16 "
        "channels_last"
    )


def test_a_case_in_plain_words() -> None:
    assert (
        naming.setting_words(PLAIN, list(PLAIN)[3:]) == "cpu, batch size 32, 2 workers, eager, fp32"
    )
    assert naming.setting_words(SET, list(SET)[2:]) == (
        "evaluation, cpu, batch size 32, 4 batches a step, 2 workers, prefetch factor 4, "
        "persistent workers, pinned memory, non-blocking transfers, torch.compile default, "
        "dynamic shapes, bf16, channels last"
    )


@pytest.mark.parametrize(
    ("axis", "short", "long"),
    [
        ("loop", "train", "training"),
        ("accumulate", "acc1", "1 batch a step"),
        ("prefetch_factor", "pf2", "prefetch factor 2"),
        ("persistent_workers", "no-persistent", "no persistent workers"),
        ("pin_memory", "no-pin", "no pinned memory"),
        ("non_blocking", "no-nonblocking", "no non-blocking transfers"),
        ("dynamic", "auto-shapes", "shapes as torch decides"),
        ("channels_last", "no-channels_last", "no channels last"),
    ],
)
def test_a_default_is_named_if_the_name_would_be_empty(axis: str, short: str, long: str) -> None:
    assert naming.label(PLAIN, [axis]) == short
    assert naming.setting_words(PLAIN, [axis]) == long
    assert naming.label(PLAIN, [axis, "batch_size"]) == "b32"
    assert naming.named_axes(PLAIN, [axis]) == []


def test_static_shapes() -> None:
    axes = {**SET, "dynamic": "off"}
    assert naming.label(axes, ["dynamic"]) == "static"
    assert naming.setting_words(axes, ["dynamic"]) == "static shapes"


def test_cells_and_heads() -> None:
    names = ["loop", "accumulate", "prefetch_factor", "pin_memory", "dynamic"]
    assert [naming.cell(PLAIN, name) for name in names] == ["train", "1", "2", "off", "auto"]
    assert [naming.cell(SET, name) for name in names] == ["eval", "4", "4", "on", "on"]
    assert naming.cell({"workload": "lib/net.py:make"}, "workload") == "net"
    heads = ["batch_size", "num_workers", "prefetch_factor", "channels_last", "flavour_of_it"]
    assert [naming.head(name) for name in heads] == [
        "batch size", "workers", "prefetch", "channels last", "flavour of it",
    ]  # fmt: skip


def test_an_unknown_axis_has_its_own_name() -> None:
    assert naming.label({"flavour": "vanilla"}, ["flavour"]) == "vanilla"
    assert naming.setting_words({"flavour": "vanilla"}, ["flavour"]) == "flavour vanilla"


def test_cases_without_a_file_do_not_vary() -> None:
    cases = [
        Measurement("a", PLAIN, "oom"),
        Measurement("b", {**PLAIN, "pin_memory": True}, "oom"),
        Measurement("c", {}, "not measured"),
    ]
    assert varying(PLAIN, cases) == ("pin_memory",)
