"""Settings are applied in a process of its own, since torch keeps some of them for its lifetime."""

import json
import subprocess
import sys

import msgspec
import pytest
from msgspec.structs import asdict

from stepbench_reports.schema.case_facts import AppliedSettings
from stepbench_reports.schema.run import Settings

APPLY = """
import json, msgspec, sys
from stepbench.training import settings
from stepbench_reports.schema.run import Settings
asked = Settings(**json.loads(sys.argv[1]))
settings.apply(asked)
import numpy, random, torch
drawn = [torch.rand(1).item(), numpy.random.rand(), random.random()]
print(json.dumps([msgspec.to_builtins(settings.record(asked, sync_phases=True)), drawn]))
"""


def applied(asked: Settings) -> tuple[AppliedSettings, list[float]]:
    done = subprocess.run(
        [sys.executable, "-c", APPLY, json.dumps(asdict(asked))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, drawn = json.loads(done.stdout)
    return msgspec.convert(found, AppliedSettings), drawn


def test_what_is_set_is_in_force_and_recorded() -> None:
    found, _ = applied(
        Settings(
            threads=1,
            interop_threads=3,
            seed=5,
            cudnn_benchmark=True,
            deterministic=True,
            allocator="max_split_size_mb:64",
        )
    )
    assert found == AppliedSettings(
        threads=1,
        interop_threads=3,
        seed=5,
        deterministic=True,
        float32_matmul_precision="highest",
        cudnn_benchmark=True,
        allocator="max_split_size_mb:64",
        sync_phases=True,
    )


def test_every_generator_follows_the_seed() -> None:
    (_, first), (_, again), (_, other) = (applied(Settings(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_what_is_not_set_is_torch_s_own_choice() -> None:
    import torch

    found, _ = applied(Settings())
    assert found.threads == torch.get_num_threads()
    assert found.allocator is None


@pytest.mark.parametrize("name", ["threads", "interop_threads", "allocator"])
def test_nothing_is_set_unless_it_is_asked_for(name: str) -> None:
    assert getattr(Settings(), name) is None
