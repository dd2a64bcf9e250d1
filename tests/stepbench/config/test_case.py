import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.config.axes import AXES, AXIS
from stepbench.config.case import Case
from stepbench.config.matrix import Matrix, default_matrix
from stepbench.errors import UsageError, suggestion
from stepbench_reports.schema.axis_labels import workload_label


def test_the_id_is_readable_and_omits_the_default_data_set() -> None:
    case = Case(workload="convnet", batch_size=32, num_workers=2, compile="default")
    assert case.id == "convnet-cpu-b32-w2-default-fp32"


def test_an_id_with_data_set_device_index_and_backend_is_safe_in_file_names() -> None:
    case = Case(
        workload="lib/my_bench.py:small", dataset="jpeg", device="cuda:1", compile="backend:eager"
    )
    assert case.id == "my_bench.small-jpeg-cuda1-b4-w0-backend.eager-fp32"


def test_variants_compute_the_same_step_in_other_ways() -> None:
    case = Case(workload="convnet", batch_size=32, num_workers=2)
    for values in (
        {"compile": "default"}, {"compile": "default", "dynamic": "on"}, {"precision": "bf16"},
        {"optimizer": "fused"},
    ):  # fmt: skip
        assert case.changed(**values).normalized().variant_key == case.variant_key
    for other in ({"batch_size": 4}, {"num_workers": 0}, {"loop": "eval"}, {"workload": "mlp"}):
        assert case.changed(**other).normalized().variant_key != case.variant_key


def test_the_default_matrix_has_two_values_on_each_main_axis() -> None:
    cases = default_matrix().on(("cpu", "cuda")).cases
    assert len(cases) == 16
    for axis in ("device", "batch_size", "num_workers", "compile"):
        assert len({getattr(case, axis) for case in cases}) == 2


def test_a_matrix_without_devices_is_the_same_on_any() -> None:
    matrix = Matrix({"workload": ("convnet",), "batch_size": (4, 8)})
    assert matrix.on(("cuda",)) == matrix
    assert [case.device for case in matrix.cases] == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("axis", "word", "message"),
    [
        ("batch_size", "0", "--batch-size 0: a batch holds at least one sample"),
        ("batch_size", "9" * 20, "is too large"),
        ("batch_size", "-4", "--batch-size -4"),
        ("batch_size", "many", "--batch-size many"),
        ("num_workers", "-1", "--num-workers -1"),
        ("compile", "defalt", "did you mean default?"),
        ("compile", "backend:", "is not a mode of torch.compile"),
        ("precision", "fp64", "did you mean fp"),
        ("device", "gpu!", "a device is written cpu, cuda"),
        ("dataset", "cifar", "did you mean cifar10?"),
        ("workload", "file.py", "name the function that makes the workload"),
        ("workload", ":make", "give a shipped name"),
    ],
)
def test_an_error_names_the_option_the_value_and_the_remedy(
    axis: str, word: str, message: str
) -> None:
    with pytest.raises(UsageError, match=r"^--") as raised:
        AXIS[axis].read([word])
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{AXIS[axis].flag} {word}:")


def test_values_are_separate_words_or_comma_separated_and_unique() -> None:
    assert AXIS["batch_size"].read(["4,32", "4", "128"]) == (4, 32, 128)


def test_exclude_removes_cases_and_include_adds_cases() -> None:
    matrix = Matrix(
        {**default_matrix().axes, "device": ("cpu",)},
        include=({"batch_size": 256},),
        exclude=({"compile": "default", "num_workers": 2},),
    )
    ids = [case.id for case in matrix.cases]
    assert len(ids) == 8 - 2 + 1
    assert ids[-1] == "convnet-cpu-b256-w0-off-fp32"
    assert not [name for name in ids if "w2-default" in name]


def test_a_matrix_without_cases_is_refused() -> None:
    matrix = Matrix(default_matrix().axes, exclude=({"workload": "convnet"},))
    with pytest.raises(UsageError, match="exclude leaves no case"):
        _ = matrix.cases


def test_two_workloads_of_one_name_are_refused() -> None:
    axes = {**default_matrix().axes, "workload": ("a/net.py:make", "b/net.py:make")}
    with pytest.raises(UsageError, match="rename one"):
        _ = Matrix(axes).cases


def test_labels_of_workloads() -> None:
    assert workload_label("resnet18") == "resnet18"
    assert workload_label("path/to/file.py:make") == "file"
    assert workload_label("package.module:make") == "module"


def test_a_suggestion_without_a_match_lists_all_choices() -> None:
    assert suggestion("zzz", ["a", "b"]) == "choose from a, b"


CHOICES: dict[str, list[object]] = {
    "workload": ["convnet", "resnet18"],
    "dataset": ["own", "cifar10", "jpeg"],
    "loop": ["train", "eval"],
    "device": ["cpu", "cuda", "cuda:1"],
    "batch_size": [1, 4, 32],
    "accumulate": [1, 4],
    "num_workers": [0, 1, 2],
    "prefetch_factor": [1, 2, 4],
    "persistent_workers": [False, True],
    "pin_memory": [False, True],
    "non_blocking": [False, True],
    "compile": ["off", "default", "backend:eager"],
    "dynamic": ["auto", "on", "off"],
    "precision": ["fp32", "bf16"],
    "channels_last": [False, True],
    "optimizer": ["own", "fused"],
}


def cases() -> st.SearchStrategy[Case]:
    return st.fixed_dictionaries(
        {name: st.sampled_from(values) for name, values in CHOICES.items()}
    ).map(lambda values: Case(**values))  # type: ignore[arg-type]  # sampled per axis


def test_choices_cover_every_axis() -> None:
    assert [axis.name for axis in AXES] == list(CHOICES)


@given(cases(), cases())
def test_different_cases_have_different_ids(first: Case, second: Case) -> None:
    assert (first.id == second.id) == (first == second)


@given(cases())
def test_normalization_and_compile_keys_are_idempotent(case: Case) -> None:
    normalized = case.normalized()
    assert normalized.normalized() == normalized
    assert normalized.compile_key.compile_key == normalized.compile_key


def test_values_of_an_axis_without_meaning_make_one_case() -> None:
    axes = {**default_matrix().axes, "device": ("cpu",), "batch_size": (4,), "compile": ("off",)}
    matrix = Matrix({**axes, "num_workers": (0, 2), "prefetch_factor": (2, 8)})
    assert [case.id for case in matrix.cases] == [
        "convnet-cpu-b4-w0-off-fp32",
        "convnet-cpu-b4-w2-off-fp32",
        "convnet-cpu-b4-w2-pf8-off-fp32",
    ]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"prefetch_factor": (8,), "num_workers": (0,)}, "--prefetch-factor 8: needs loader"),
        ({"pin_memory": (True,)}, "--pin-memory on: applies only to transfers"),
        ({"dynamic": ("on",), "compile": ("off",)}, "--dynamic on: applies only to torch.compile"),
        ({"accumulate": (1, 4), "loop": ("eval",)}, "--accumulate 4: applies only to training"),
    ],
)
def test_a_value_without_meaning_in_any_case_is_refused(
    axes: dict[str, tuple[object, ...]], message: str
) -> None:
    matrix = Matrix({**default_matrix().axes, "device": ("cpu",), **axes})
    with pytest.raises(UsageError) as raised:
        _ = matrix.cases
    assert message in str(raised.value)


def test_cases_that_differ_only_in_loading_have_one_compile_key() -> None:
    case = Case(workload="convnet", compile="default", num_workers=2, accumulate=4)
    assert case.compile_key == Case(workload="convnet", compile="default")
    assert case.compile_key != Case(workload="convnet", compile="default", batch_size=8).compile_key
    assert case.has_compile_cache
    assert not Case(workload="convnet", compile="backend:aot_eager").has_compile_cache
    assert not case.changed(compile="off").has_compile_cache


def test_a_switch_is_on_or_off() -> None:
    assert AXIS["pin_memory"].read(["on", "off", "true"]) == (True, False)
    with pytest.raises(UsageError, match="--pin-memory maybe: give on, off or both"):
        AXIS["pin_memory"].read(["maybe"])


def test_cases_that_differ_only_in_loading_have_one_numerics_key() -> None:
    case = Case(workload="net", batch_size=8, num_workers=2, prefetch_factor=4, compile="default")
    assert case.numerics_key == Case(workload="net", batch_size=8, compile="default")
    assert case.changed(num_workers=0, prefetch_factor=2).numerics_key == case.numerics_key
    assert case.changed(optimizer="fused").numerics_key != case.numerics_key


def test_the_cases_that_a_case_is_compared_with() -> None:
    case = Case(
        workload="convnet", device="cuda", compile="default", precision="bf16", num_workers=2,
        channels_last=True, optimizer="fused", accumulate=2,
    )  # fmt: skip
    plain = Case(workload="convnet", accumulate=2)
    assert case.reference == plain
    assert case.eager_same_precision == plain.changed(device="cuda", precision="bf16")
    assert case.eager_fp32 == plain.changed(device="cuda")
    # In fp32 the measure is the CPU's rounding, whatever the device does.
    fp32 = case.changed(precision="fp32")
    assert fp32.eager_same_precision == plain
    assert fp32.eager_on_device == plain.changed(device="cuda")
    assert case.eager_on_device == case.eager_same_precision
