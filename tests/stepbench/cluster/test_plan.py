from hypothesis import given
from hypothesis import strategies as st

from stepbench.cluster.plan import plan
from stepbench.config.case import Case
from stepbench.scheduling.grouping import MAX_PLAYERS

CASES = st.builds(
    Case,
    workload=st.sampled_from(["net", "mlp"]),
    batch_size=st.sampled_from([1, 2, 4]),
    num_workers=st.sampled_from([0, 2, 4]),
    accumulate=st.sampled_from([1, 2]),
    compile=st.sampled_from(["off", "default", "max-autotune"]),
)


def case(**axes: object) -> Case:
    return Case(workload="net").changed(**axes)


@given(st.lists(CASES, max_size=40, unique=True), st.integers(1, 1000))
def test_each_case_is_in_one_job_and_variants_stay_together(cases: list[Case], nodes: int) -> None:
    jobs = plan(cases, nodes)
    assert sorted(c.id for job in jobs for c in job) == sorted(c.id for c in cases)
    assert all(jobs)
    job_of = {c: number for number, job in enumerate(jobs) for c in job}
    for a in cases:
        for b in cases:
            assert a.variant_key != b.variant_key or job_of[a] == job_of[b]
    for job in jobs:
        assert len(job) <= MAX_PLAYERS or len({c.variant_key for c in job}) == 1


def test_more_nodes_make_smaller_jobs() -> None:
    cases = [case(batch_size=2**i) for i in range(8)]
    assert [len(job) for job in plan(cases, 1)] == [8]
    assert [len(job) for job in plan(cases, 2)] == [4, 4]
    assert [len(job) for job in plan(cases, 100)] == [1] * 8


def test_cases_that_compile_to_the_same_code_are_on_one_node_if_they_fit() -> None:
    cases = [
        case(batch_size=size, num_workers=workers, compile="default")
        for workers in (0, 2)
        for size in (1, 2, 4)
    ]
    jobs = plan(cases, 3)
    assert [{c.batch_size for c in job} for job in jobs] == [{1}, {2}, {4}]
    assert all(len({c.compile_key for c in job}) == 1 for job in jobs)


def test_many_cases_of_one_compilation_are_split() -> None:
    cases = [case(num_workers=workers, compile="default") for workers in range(6)]
    assert [len(job) for job in plan(cases, 3)] == [2, 2, 2]


def test_cases_that_share_a_compilation_through_others_are_together() -> None:
    first = [
        case(num_workers=0, batch_size=1),
        case(num_workers=0, batch_size=1, compile="default"),
    ]
    other = case(num_workers=2, batch_size=9)
    last = case(num_workers=4, batch_size=1, compile="default")
    jobs = plan([*first, other, last], 1)
    assert jobs == [(*first, last, other)]
