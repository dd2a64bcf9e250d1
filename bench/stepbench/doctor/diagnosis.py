"""The result of a check of the machine."""

from dataclasses import dataclass
from enum import StrEnum


class Ability(StrEnum):
    """The extent to which the machine can do what a check is about."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True)
class Diagnosis:
    """The result of a check.

    Attributes:
        name: The name of what was checked.
        ability: The extent to which the machine can do it.
        finding: One sentence: what was found, and what it means for measurements.
        remedy: One sentence: what to do about it; `None` if there is nothing to do.
        essential: True if stepbench cannot measure anything where this is missing.
    """

    name: str
    ability: Ability
    finding: str
    remedy: str | None = None
    essential: bool = False

    @property
    def prevents_measuring(self) -> bool:
        """True if stepbench cannot measure anything on this machine."""
        return self.essential and self.ability is Ability.MISSING
