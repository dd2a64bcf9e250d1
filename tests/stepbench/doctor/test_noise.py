import pytest

from stepbench.doctor.diagnosis import Ability
from stepbench.doctor.noise import check_noise, noise
from stepbench_reports.schema.machine_use import MachineUse

STEADY = [1.0, 1.01] * 10
RESTLESS = [1.0] * 15 + [3.0] * 5


@pytest.mark.parametrize(
    ("others", "steal", "blocks_s", "ability"),
    [
        (0.02, 0.0, STEADY, Ability.OK),
        (None, None, STEADY, Ability.OK),
        (0.4, 0.0, STEADY, Ability.LIMITED),
        (0.02, 0.2, STEADY, Ability.LIMITED),
        (0.02, 0.0, RESTLESS, Ability.LIMITED),
    ],
)
def test_noise_is_what_others_take_and_how_much_the_same_work_differs(
    others: float | None, steal: float | None, blocks_s: list[float], ability: Ability
) -> None:
    use = MachineUse(
        others=others, steal=steal, pressure=None, cpu_per_wall=1.0, involuntary_switches=0
    )
    diagnosis = noise(use, blocks_s)
    assert diagnosis.ability is ability
    assert (diagnosis.remedy is None) == (ability is Ability.OK)


def test_this_machine_is_watched() -> None:
    assert "of the cores" in check_noise(0.02).finding
