from hypothesis import given
from hypothesis import strategies as st

from stepbench.scripts.classify import ScriptStep, split
from stepbench.scripts.marks import Mark, MarkKind, code_of, mark_of
from stepbench.scripts.roles import recognise
from stepbench_reports.schema.script import EVALUATION
from support.marked import BEGINS, Tape


def steps_of(tape: Tape) -> list[ScriptStep]:
    return split(tape.marks, recognise(tape.marks))


def parts_of(tape: Tape, index: int = 1) -> dict[str, float]:
    """The parts of a step, from the end of one update to that of the next."""
    return {name: ns for name, ns in steps_of(tape)[index].parts.items() if ns}


PLAIN = {"other": 2 + 3, "dataload": 5, "forward": 20, "backward": 30, "optimizer": 7}


def test_a_plain_loop_has_its_phases() -> None:
    tape = Tape().train().train().train()
    assert parts_of(tape) == PLAIN
    assert [step.micro_batches for step in steps_of(tape)] == [1, 1, 1]


def test_without_calls_forward_is_what_follows_the_fetch() -> None:
    tape = Tape().train(calls=False).train(calls=False)
    assert parts_of(tape) == PLAIN


def test_without_a_loader_the_batch_is_made_in_other() -> None:
    tape = Tape().train(loader=None).train(loader=None)
    # The 1 ns before the call is in `other`: nothing tells that it makes a batch.
    assert parts_of(tape) == {"other": 2 + 1 + 3, "forward": 19, "backward": 30, "optimizer": 7}


def test_without_a_loader_and_calls_forward_is_all_before_backward() -> None:
    tape = Tape().train(loader=None, calls=False).train(loader=None, calls=False)
    assert parts_of(tape) == {"forward": 2 + 20, "backward": 30, "other": 3, "optimizer": 7}


def test_the_next_batch_may_be_fetched_between_forward_and_backward() -> None:
    tape = Tape()
    for _ in range(3):
        tape.do("call", 20, 1).wait(2).do("fetch", 5, 0).wait(1).do("backward", 30).do("update", 7)
        tape.wait(4)
    assert parts_of(tape) == {
        "forward": 23, "dataload": 5, "backward": 30, "optimizer": 7, "other": 4,
    }  # fmt: skip


def test_a_batch_fetched_before_the_update_does_not_make_clipping_forward() -> None:
    tape = Tape()
    for _ in range(3):
        tape.do("call", 20, 1).do("backward", 30).do("fetch", 5, 0).wait(6).do("update", 7)
    assert parts_of(tape) == {
        "forward": 20, "backward": 30, "dataload": 5, "other": 6, "optimizer": 7,
    }  # fmt: skip


def test_micro_batches_are_the_backward_passes_between_updates() -> None:
    tape = Tape()
    for _ in range(3):
        for _ in range(4):
            tape.do("fetch", 5).do("call", 20, 1).do("backward", 30).wait(1)
        tape.do("update", 7)
    assert parts_of(tape) == {
        "dataload": 20, "forward": 80, "backward": 120, "other": 4, "optimizer": 7,
    }  # fmt: skip
    assert recognise(tape.marks).micro_batches == 4


def test_all_micro_batches_may_be_fetched_first() -> None:
    tape = Tape()
    for _ in range(3):
        for _ in range(4):
            tape.do("fetch", 5)
        for _ in range(4):
            tape.do("call", 20, 1).do("backward", 30)
        tape.do("update", 7)
    assert parts_of(tape) == {
        "dataload": 20, "forward": 80, "backward": 120, "optimizer": 7,
    }  # fmt: skip


def test_evaluation_is_no_part_of_a_step() -> None:
    tape = Tape().train().train().wait(8).evaluate(3).wait(9).train().train()
    evaluated = steps_of(tape)[2]
    assert evaluated.parts[EVALUATION] == 3 * (4 + 6 + 1) + 2
    assert evaluated.parts["other"] == 2 + 8 + 9 + 3
    assert evaluated.duration == 5 + 20 + 30 + 7 + 2 + 8 + 9 + 3
    assert evaluated.evaluations == 1
    assert steps_of(tape)[3].evaluations == 0


def test_evaluation_without_a_loader_is_told_by_gradients() -> None:
    tape = Tape().train(loader=None).evaluate(5, loader=None).train(loader=None)
    evaluated = steps_of(tape)[1]
    assert evaluated.parts[EVALUATION] == 5 * 6 + 4
    assert evaluated.parts["forward"] == 19


def test_a_call_without_gradients_within_a_step_is_forward() -> None:
    tape = Tape()
    for _ in range(2):
        tape.do("fetch", 5).do("call", 10, 0).do("call", 20, 1).do("backward", 30).do("update", 7)
    assert parts_of(tape) == {"dataload": 5, "forward": 30, "backward": 30, "optimizer": 7}


def test_a_closure_has_forward_and_backward_in_the_update() -> None:
    tape = Tape()
    for _ in range(3):
        tape.do("fetch", 5).wait(1).begin("update").wait(2)
        for _ in range(2):
            tape.do("call", 20, 1).wait(3).do("backward", 30).wait(4)
        tape.end("update")
    assert parts_of(tape) == {
        "dataload": 5, "forward": 1 + 2 * 23, "optimizer": 2 + 2 * 4, "backward": 60,
    }  # fmt: skip


def test_a_skipped_update_ends_a_step() -> None:
    tape = Tape()
    for skipped in (False, True, False):
        tape.do("fetch", 5).do("call", 20, 1).do("backward", 30).begin("scaler").wait(2)
        if not skipped:
            tape.do("update", 7)
        tape.wait(1).end("scaler")
    steps = steps_of(tape)
    assert [step.parts["optimizer"] for step in steps] == [10, 3, 10]
    assert recognise(tape.marks).skipped == 1
    assert recognise(tape.marks).scaled


def test_the_last_of_two_equal_optimizers_ends_the_step() -> None:
    tape = Tape()
    for _ in range(4):
        tape.do("fetch", 5)
        for number in (0, 1):
            tape.do("call", 20, 1).do("backward", 30).do("update", 7, number)
    roles = recognise(tape.marks)
    assert roles.main_optimizer == 1
    assert roles.micro_batches == 2
    assert parts_of(tape) == {"dataload": 5, "forward": 40, "backward": 60, "optimizer": 14}


def test_a_recording_may_end_within_a_step_of_two_optimizers() -> None:
    tape = Tape()
    for _ in range(3):
        tape.do("update", 7, 0).do("update", 7, 1)
    tape.do("update", 7, 0)
    assert recognise(tape.marks).main_optimizer == 1


def test_the_most_frequent_optimizer_counts_steps() -> None:
    tape = Tape()
    for _ in range(3):
        for _ in range(5):
            tape.do("call", 20, 1).do("backward", 30).do("update", 7, 0)
        tape.do("call", 20, 1).do("backward", 30).do("update", 7, 1)
    assert recognise(tape.marks).main_optimizer == 0


def test_a_transfer_is_one_outside_of_the_model() -> None:
    tape = Tape()
    for _ in range(2):
        tape.do("fetch", 5).do("move", 4).begin("call", 1).do("move", 3).wait(1).end("call")
        tape.do("backward", 30).do("update", 7)
    assert parts_of(tape) == {
        "dataload": 5, "transfer": 4, "forward": 4, "backward": 30, "optimizer": 7,
    }  # fmt: skip


def test_an_exception_in_a_boundary_leaves_none_open() -> None:
    tape = Tape().train().begin("call", 1).wait(3).begin("move").wait(1).end("call")
    tape.do("backward", 30).do("update", 7).train()
    assert parts_of(tape, 2) == {**PLAIN, "other": 3}


def test_an_end_without_its_begin_is_ignored() -> None:
    tape = Tape().end("fetch").wait(1).train().train()
    assert parts_of(tape) == PLAIN


def test_another_clock_may_time_the_marks() -> None:
    tape = Tape().train().train()
    times = [mark.ns / 10 for mark in tape.marks]
    steps = split(tape.marks, recognise(tape.marks), times)
    assert round(steps[1].parts["backward"], 6) == 3.0


WORDS = st.sampled_from(sorted(BEGINS))


@st.composite
def nested(draw: st.DrawFn) -> Tape:
    """Any recording of nested boundaries, of which each is left again."""
    tape = Tape()
    open_words: list[str] = []
    for _ in range(draw(st.integers(1, 60))):
        tape.wait(draw(st.integers(0, 50)))
        leaves = draw(st.booleans())
        if open_words and leaves:
            tape.end(open_words.pop())
        elif len(open_words) < 4:
            word = draw(WORDS)
            open_words.append(word)
            tape.begin(word, draw(st.integers(0, 2)))
    while open_words:
        tape.end(open_words.pop())
    return tape


@given(nested())
def test_parts_add_up_to_the_time_until_the_last_step_s_end(tape: Tape) -> None:
    roles = recognise(tape.marks)
    steps = split(tape.marks, roles)
    ends = [
        mark.ns for mark in tape.marks if mark.kind in {MarkKind.OPTIMIZER_END, MarkKind.SCALER_END}
    ]
    total = sum(sum(step.parts.values()) for step in steps)
    assert total <= tape.marks[-1].ns - tape.marks[0].ns
    if steps:
        assert total + tape.marks[0].ns in ends
    assert all(ns >= 0 for step in steps for ns in step.parts.values())


@given(st.integers(0, 2**63), st.integers(0, 2**40), st.sampled_from(MarkKind))
def test_a_mark_is_one_number(ns: int, detail: int, kind: MarkKind) -> None:
    assert mark_of(code_of(kind, detail), ns) == Mark(kind, ns, detail)


@given(st.lists(st.sampled_from(["train", "evaluate"]), min_size=2, max_size=20))
def test_evaluation_never_changes_the_other_phases(words: list[str]) -> None:
    words = ["train", "train", *words, "train"]
    tape, plain = Tape(), Tape()
    for word in words:
        if word == "train":
            tape.train()
            plain.train()
        else:
            tape.evaluate(2)
    with_evaluation, without = steps_of(tape), steps_of(plain)
    assert [step.duration for step in with_evaluation] == [step.duration for step in without]


def test_iterators_that_appear_later_are_recognised_then() -> None:
    roles = recognise(Tape().train().train().marks)
    later = recognise(Tape().train().evaluate(2).train().marks)
    assert not roles.evaluating
    assert roles.joined(later).evaluating == {1}
    assert roles.joined(later).main_optimizer == roles.main_optimizer
