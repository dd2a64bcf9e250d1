"""Chooses the players of a group where a run has more cases than one group can hold."""

from collections.abc import Callable, Hashable, Sequence

from stepbench.scheduling.rounds import Name

MAX_PLAYERS = 16
"""The most players of a group: turns that are compared should lie close together in time."""


def next_group(
    waiting: Sequence[Name],
    link: Name | None,
    measured: Sequence[Name],
    variant_key: Callable[[Name], Hashable],
) -> tuple[Name, ...]:
    """Chooses the players of the next group, in the order in which they are admitted.

    Variants of one another are compared more than others are, and stay together: a group may have
    more than `MAX_PLAYERS` if these are too many.

    Args:
        waiting: The players that have not been measured, in order; at least one.
        link: The player that comes first in every group, so that players of different groups can be
            compared; `None` if there is none.
        measured: The players of earlier groups. They play again beside variants that had no place.
        variant_key: The same for all variants of one another.
    """
    variants: dict[Hashable, list[Name]] = {}
    for name in waiting:
        variants.setdefault(variant_key(name), []).append(name)
    for name in measured:
        variants.get(variant_key(name), []).append(name)
    linked = [] if link is None else [link]
    players = list(linked)
    for names in variants.values():
        new = [name for name in names if name not in linked]
        if players == linked or len(players) + len(new) <= MAX_PLAYERS:
            players += new
    return tuple(players)
