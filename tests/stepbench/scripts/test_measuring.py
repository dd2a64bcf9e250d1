"""Which settings of `--set` make a difference."""

import itertools

import pytest

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.scripts.measuring import _refuse_without_effect, with_effect
from stepbench_reports.schema.axes import AxisValue

SCRIPT = Case(workload="train.py", num_workers=0, device="cpu").normalized()


def grid(**values: tuple[AxisValue, ...]) -> list[dict[str, AxisValue]]:
    return [
        dict(zip(values, combination, strict=True))
        for combination in itertools.product(*values.values())
    ]


def cases(changes: list[dict[str, AxisValue]]) -> list[Case]:
    return [SCRIPT.changed(**each).normalized() for each in changes]


def test_settings_of_workers_have_no_effect_in_the_cases_without_any() -> None:
    changes = grid(num_workers=(0, 2), prefetch_factor=(2, 4))
    found = cases(changes)
    _refuse_without_effect(changes, found)
    effects = [with_effect(each, case) for each, case in zip(changes, found, strict=True)]
    assert {**effects[1]} == {"num_workers": 0}  # the same case as the first one
    assert {**effects[3]} == {"num_workers": 2, "prefetch_factor": 4}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prefetch_factor": (4, 8)}, r"--set prefetch_factor=4: .* with 0 loader workers on cpu"),
        ({"pin_memory": (True,), "num_workers": (0, 2)}, r"--set pin_memory=True: makes no"),
    ],
)
def test_what_makes_no_difference_anywhere_is_refused(
    values: dict[str, tuple[AxisValue, ...]], message: str
) -> None:
    changes = grid(**values)
    with pytest.raises(UsageError, match=message):
        _refuse_without_effect(changes, cases(changes))


def test_what_the_script_has_already_is_no_error() -> None:
    changes = grid(num_workers=(0,), compile=("off", "default"), optimizer=("own",))
    _refuse_without_effect(changes, cases(changes))
