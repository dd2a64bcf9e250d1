"""Real scripts in processes of their own, which take turns or end too early."""

from pathlib import Path

import pytest

from stepbench_reports.schema.status import Status
from support.started_scripts import loop, measure, run


def test_a_script_takes_turns_and_is_stopped(tmp_path: Path) -> None:
    measured = measure(tmp_path, loop() + "\n    print('epoch', epoch)\n")
    assert [len((turn.host or {})["step"]) for turn in measured.turns] == [20, 20]
    for turn in measured.turns:
        track = dict(turn.host or {})
        steps = track.pop("step")
        assert set(track) == {"dataload", "forward", "backward", "optimizer", "other"}
        for laps in zip(steps, *track.values(), strict=True):
            assert laps[0] == pytest.approx(sum(laps[1:]))
    end = measured.end
    assert end.axes["batch_size"] == 8
    assert end.model.name == "Sequential"
    assert end.script is not None
    assert end.script.exit_code is None
    found = {part.name: part.found for part in end.script.parts}
    assert found["model call"] == "Sequential"
    assert found["data loader"] == "DataLoader of TensorDataset, batch size 8, no workers"
    assert found["gradient scaler"] is None
    assert measured.exit_codes == [0]


def test_a_script_that_ends_in_a_turn_keeps_what_it_had(tmp_path: Path) -> None:
    # Longer than the longest warm-up, whether or not it becomes steady
    source = loop(10) + "import sys\nsys.exit(3)\n"
    measured = measure(tmp_path, source, turns=3, steps=100_000)
    assert measured.turns[0].ended
    assert measured.turns[0].steps
    assert [turn.reason for turn in measured.turns[1:]] == ["the script has ended"] * 2
    assert measured.end.script is not None
    assert measured.end.script.exit_code == 3
    assert measured.end.script.ended == "called sys.exit(3)"
    assert measured.end.script.steps == 5120
    assert measured.exit_codes == [3]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import torch\n", "no optimizer of torch.optim took a step"),
        (loop(1).replace("4096", "16"), "took 2 optimizer steps, too few"),
        (
            loop(1).replace("4096", "16") + "raise ValueError('bad')\n",
            "raised ValueError: bad (exit code 1) before it was warm, after 2 steps",
        ),
    ],
)
def test_a_script_that_cannot_be_measured_says_why(tmp_path: Path, source: str, words: str) -> None:
    ended = run(tmp_path, source)
    assert ended.outcome.status is Status.ERROR
    assert words in str(ended.outcome.reason)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_workers": 1}, "num_workers=1: the script constructed nothing"),
        ({"optimizer": "fused"}, "Rprop has no such implementation"),
    ],
)
def test_a_setting_that_finds_nothing_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    source = """
        import torch
        parameter = torch.nn.Parameter(torch.ones(2))
        optimizer = torch.optim.Rprop([parameter])
        for _ in range(100):
            parameter.sum().backward()
            optimizer.step()
    """
    ended = run(tmp_path, source, changes=changes)
    assert ended.outcome.usage
    assert words in str(ended.outcome.reason)


def test_another_device_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, loop(), device="cuda")
    assert ended.outcome.usage
    assert "--device cuda: the script trains on cpu" in str(ended.outcome.reason)
