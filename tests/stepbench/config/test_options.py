import tomllib
from pathlib import Path
from typing import Any

import pytest

from stepbench.config.options import Options, read
from stepbench.errors import UsageError
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.run import ParityOptions, ProfilingOptions, Settings


def options(directory: Path, **given: Any) -> Options:
    return read({f"stepbench_{name}": value for name, value in given.items()}, directory)


def test_without_options_the_matrix_is_the_default(tmp_path: Path) -> None:
    run_options = options(tmp_path)
    assert run_options.matrix.axes["batch_size"] == (4, 32)
    assert run_options.sampling.steps is None
    assert run_options.given == frozenset()


def test_an_option_replaces_its_axis_and_is_named(tmp_path: Path) -> None:
    run_options = options(tmp_path, batch_size=["8"], max_time="2.5", memory_limit="2GiB")
    assert run_options.matrix.axes["batch_size"] == (8,)
    assert run_options.sampling.max_time_s == 2.5
    assert run_options.memory_limit_bytes == 2 * 2**30
    assert run_options.given == {"batch_size", "max_time", "memory_limit"}


def test_settings_are_parsed_and_named(tmp_path: Path) -> None:
    run_options = options(
        tmp_path, threads="1", seed="7", deterministic=True, cudnn_benchmark=False,
        allocator="expandable_segments:True,max_split_size_mb:64", sync_phases=True,
    )  # fmt: skip
    assert run_options.settings == Settings(
        threads=1, seed=7, deterministic=True,
        allocator="expandable_segments:True,max_split_size_mb:64",
    )  # fmt: skip
    assert run_options.sampling.sync_phases
    assert run_options.given == {"threads", "seed", "deterministic", "allocator", "sync_phases"}


def test_tensors_are_compared_by_default_and_trainings_on_request(tmp_path: Path) -> None:
    assert options(tmp_path).parity == ParityOptions()
    assert options(tmp_path).train_parity is None
    assert options(tmp_path, no_parity=True).parity is None
    given = options(tmp_path, parity_steps="7", parity_budget="90")
    assert given.parity == ParityOptions(steps=7, budget_s=90)
    trained = options(tmp_path, train_parity=True, train_steps="50", train_margin="0.02")
    assert trained.train_parity == TrainParityOptions(steps=50, margin=0.02)


def test_profiling_is_off_by_default(tmp_path: Path) -> None:
    assert options(tmp_path).profiling is None
    assert options(tmp_path, profile=True).profiling == ProfilingOptions()
    given = options(tmp_path, profile=True, profile_steps="5", profile_stack=True)
    assert given.profiling == ProfilingOptions(steps=5, stack=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile_steps": "5"}, "--profile-steps 5: takes effect only with --profile; add"),
        ({"profile_workers": True}, "--profile-workers: takes effect only with --profile"),
        ({"profile": True, "profile_steps": "none"}, "--profile-steps none: give a whole number"),
        (
            {"no_parity": True, "parity_steps": "3"},
            "--no-parity: cannot be combined with --parity-steps",
        ),
        ({"train_steps": "9"}, "--train-steps 9: takes effect only with --train-parity; add"),
        ({"train_parity": True, "train_margin": "0"}, "--train-margin 0: give a share above 0"),
        ({"optimizer": ["fusd"]}, "did you mean fused"),
        ({"steps": "0"}, "--steps 0: give a whole number"),
        ({"steps": "ten"}, "--steps ten: give a whole number"),
        (
            {"steps": "9" * 5000},
            "(5,000 characters): is too large; give a whole number of 10000000",
        ),
        ({"max_time": "1e9"}, "--max-time 1e9: is too long; give a time up to 278h"),
        (
            {"num_workers": ["9999"]},
            "--num-workers 9999: is too large; give a whole number of 1024",
        ),
        ({"interop_threads": "5000"}, "--interop-threads 5000: is too large; give a whole number"),
        ({"seed": str(2**64)}, "--seed 18446744073709551616: is too large; give a whole number of"),
        ({"memory_limit": "16000000GiB"}, "--memory-limit 16000000GiB: is more than any machine"),
        ({"data_dir": "a\0b"}, "--data-dir 'a\\x00b': embedded null byte; give a path"),
        (
            {"output": "~nosuch/x"},
            "--output ~nosuch/x: there is no such user; give a path without ~",
        ),
        ({"output": "x" * 300}, "cannot be used (File name too long); give another path"),
        ({"workload": ["caf\udce9.py:make"]}, "is not UTF-8; rename the file or its folder"),
        ({"output": ""}, "--output '': is empty; give a path"),
        ({"max_time": "-1"}, "--max-time -1: give a time above 0"),
        ({"max_time": "inf"}, "--max-time inf: give a time above 0"),
        ({"rel_error": "0"}, "--rel-error 0: give a share above 0"),
        ({"deadline": "soon"}, "--deadline soon: give a time above 0"),
        ({"memory_limit": "8 apples"}, "--memory-limit 8 apples: give a size"),
        ({"threads": "0"}, "--threads 0: give a whole number"),
        ({"seed": "-3"}, "--seed -3: give a whole number of 0 or more"),
        ({"allocator": "fast"}, "--allocator fast: give name:value pairs"),
        ({"device": ["cpu"], "non_blocking": ["on"]}, "--non-blocking on: applies only"),
        ({"workload": ["absent.py:make"]}, "--workload absent.py:make: there is no file absent.py"),
        ({"data_dir": "/nowhere/at/all"}, "--data-dir /nowhere/at/all: is not a directory"),
        ({"output": "a", "resume": "b"}, "--output and --resume"),
        ({"matrix": "small"}, "--matrix small: there is no pyproject.toml"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        options(tmp_path, **given)
    assert message in str(raised.value)


def test_a_misspelled_workload_file_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "my_bench.py").touch()
    with pytest.raises(UsageError, match=r"did you mean my_bench\.py\?"):
        options(tmp_path, workload=["my_bnch.py:make"])


def project(directory: Path, text: str) -> Path:
    tomllib.loads(text)
    (directory / "pyproject.toml").write_text(text)
    return directory


def test_a_named_matrix_is_read_and_options_replace_its_axes(tmp_path: Path) -> None:
    project(
        tmp_path,
        """
        [tool.stepbench.matrix.small]
        device = "cpu"
        batch-size = [8, 16]
        compile = ["off"]
        include = [{ batch-size = 64, num-workers = 0 }]
        exclude = [{ num-workers = 2 }]
        """,
    )
    ids = [case.id for case in options(tmp_path, matrix="small").matrix.cases]
    assert ids == [
        "convnet-cpu-b8-w0-off-fp32",
        "convnet-cpu-b16-w0-off-fp32",
        "convnet-cpu-b64-w0-off-fp32",
    ]
    narrowed = options(tmp_path, matrix="small", batch_size=["8"]).matrix.cases
    assert [case.batch_size for case in narrowed] == [8, 64]


def test_a_request_contains_the_options_of_the_run(tmp_path: Path) -> None:
    run_options = options(tmp_path, batch_size=["8"], num_workers=["2"], threads="1", max_time="2")
    case = run_options.matrix.cases[0]
    request = run_options.request(case, tmp_path / "cache")
    assert (request.case.batch_size, request.case.num_workers) == (8, 2)
    assert request.sampling == run_options.sampling
    assert request.settings == run_options.settings
    assert request.compile_cache == tmp_path / "cache"
