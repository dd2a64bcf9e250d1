"""Settings are applied in a separate process, since torch keeps some of them for its lifetime."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from msgspec.structs import asdict

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.devices.cpu import CPU
from stepbench.errors import UsageError
from stepbench.training.build import build
from stepbench_reports.schema.case_facts import AppliedSettings
from stepbench_reports.schema.run import SamplingOptions, Settings

APPLY = """
import json, msgspec, sys
from stepbench.training import settings
from stepbench_reports.schema.run import Settings
requested = Settings(**json.loads(sys.argv[1]))
settings.apply(requested)
import numpy, random, torch
drawn = [torch.rand(1).item(), numpy.random.rand(), random.random()]
print(json.dumps([msgspec.to_builtins(settings.record(requested, "cpu", sync_phases=True)), drawn]))
"""


def applied(settings: Settings) -> tuple[AppliedSettings, list[float]]:
    process = subprocess.run(
        [sys.executable, "-c", APPLY, json.dumps(asdict(settings))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    recorded, drawn = json.loads(process.stdout)
    return msgspec.convert(recorded, AppliedSettings), drawn


def test_what_is_set_is_in_force_and_recorded() -> None:
    settings, _ = applied(
        Settings(
            threads=1,
            interop_threads=3,
            seed=5,
            cudnn_benchmark=True,
            deterministic=True,
        )
    )
    assert settings == AppliedSettings(
        threads=1,
        interop_threads=3,
        seed=5,
        deterministic=True,
        float32_matmul_precision="highest",
        cudnn_benchmark=True,
        sync_phases=True,
    )


def test_every_generator_follows_the_seed() -> None:
    (_, first), (_, again), (_, other) = (applied(Settings(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_what_is_not_set_is_torch_s_default() -> None:

    settings, _ = applied(Settings())
    assert settings.threads == torch.get_num_threads()
    assert settings.allocator is None


@pytest.mark.parametrize(
    ("in_force", "words"),
    [("max_split_size_mb:32", "has the settings max_split_size_mb:32"), ("", "has no settings")],
)
def test_an_allocator_with_other_settings_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_force: str, words: str
) -> None:
    monkeypatch.setattr(CPU, "allocator_settings", lambda _: in_force)
    case = Case(workload="mlp", batch_size=2)
    requested = Settings(allocator="max_split_size_mb:64")
    with pytest.raises(UsageError, match=f"--allocator max_split_size_mb:64: .*{words}"):
        build(Request(case, SamplingOptions(), tmp_path, settings=requested))


@pytest.mark.parametrize("in_force", ["max_split_size_mb:64", None])
def test_an_allocator_as_requested_or_without_settings_is_accepted(
    monkeypatch: pytest.MonkeyPatch, in_force: str | None
) -> None:
    from stepbench.training import settings

    monkeypatch.setattr(CPU, "allocator_settings", lambda _: in_force)
    requested = Settings(allocator="max_split_size_mb:64")
    settings.check_allocator(requested, "cpu")
    assert settings.record(requested, "cpu", sync_phases=False).allocator == in_force


@pytest.mark.parametrize("name", ["threads", "interop_threads", "allocator"])
def test_nothing_is_set_unless_it_is_requested(name: str) -> None:
    assert getattr(Settings(), name) is None
