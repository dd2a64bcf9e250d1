from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from stepbench.scheduling.grouping import MAX_PLAYERS, next_group


def first_letter(name: str) -> str:
    return name[0]


def players(waiting: str, link: str | None = None, measured: Sequence[str] = ()) -> str:
    return " ".join(next_group(waiting.split(), link, measured, first_letter))


def test_all_that_have_a_place_play_in_one_group_variants_side_by_side() -> None:
    assert players("a1 b1 a2 b2") == "a1 a2 b1 b2"


def test_the_link_comes_first() -> None:
    assert players("a1 a2 b1 b2", "b2") == "b2 a1 a2 b1"
    assert players("c1 c2", "a1", ["a1", "a2", "b1"]) == "a1 c1 c2"


def test_variants_that_were_measured_play_again_after_those_that_wait() -> None:
    assert players("b2 c1", "a1", ["a1", "a2", "b1"]) == "a1 b2 b1 c1"


def test_variants_without_a_place_wait_and_others_take_it() -> None:
    many = " ".join(f"a{number}" for number in range(MAX_PLAYERS - 2))
    assert players(f"{many} b1 b2 b3 c1") == f"{many} c1"


def test_too_many_variants_have_a_group_of_their_own() -> None:
    many = " ".join(f"b{number}" for number in range(MAX_PLAYERS + 3))
    assert players(f"{many} c1", "a1") == f"a1 {many}"


NAMES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 20)).map(lambda pair: f"{pair[0]}{pair[1]}"),
    min_size=1,
    unique=True,
)


@given(NAMES, st.booleans())
def test_all_are_measured_in_the_end_and_variants_together(names: list[str], linked: bool) -> None:
    waiting, link = names, names[0] if linked else None
    groups: list[tuple[str, ...]] = []
    while waiting:
        group = next_group(waiting, link, [], first_letter)
        assert set(group) & set(waiting)
        groups.append(group)
        waiting = [name for name in waiting if name not in group]
    for letter in "abcd":
        variants = {name for name in names if name[0] == letter} - {link}
        assert sum(bool(variants & set(group)) for group in groups) == bool(variants)
