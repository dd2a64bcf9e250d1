from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch

from stepbench.profiling import snapshot


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The calls of torch's functions: each one's name, and its arguments by torch's own names."""
    recorded: list[tuple[str, dict[str, Any]]] = []

    def record(owner: Any, name: str, then: Callable[..., object] = lambda **_: None) -> None:
        parameters = signature(getattr(owner, name))

        def call(*args: Any, **kwargs: Any) -> None:
            arguments = parameters.bind(*args, **kwargs).arguments  # as torch itself checks them
            recorded.append((name, arguments))
            then(**arguments)

        monkeypatch.setattr(owner, name, call)

    record(torch.cuda.memory, "_record_memory_history")
    record(torch.cuda, "synchronize")
    record(
        torch.cuda.memory,
        "_dump_snapshot",
        lambda filename, **_: Path(filename).write_bytes(b"snapshot"),
    )
    return recorded


def test_a_snapshot_has_python_stacks_alone(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    file = tmp_path / "case.pickle"
    assert snapshot.take(lambda: calls.append(("run", {})), file) == len(b"snapshot")
    assert file.read_bytes() == b"snapshot"
    assert [name for name, _ in calls] == [
        "_record_memory_history", "run", "synchronize", "_dump_snapshot", "_record_memory_history",
    ]  # fmt: skip
    assert calls[0][1] == {"stacks": "python", "max_entries": snapshot.MAX_ENTRIES}
    assert calls[-1][1] == {"enabled": None}


def test_a_failed_run_leaves_no_file_and_no_recording(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    def fail() -> None:
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        snapshot.take(fail, tmp_path / "case.pickle")
    assert calls[-1] == ("_record_memory_history", {"enabled": None})
    assert not list(tmp_path.iterdir())
