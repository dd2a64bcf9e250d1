import os
import pickle
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.config.turns import Finish, Prepare, TakeTurn, TurnKind, TurnResult
from stepbench.process.job import Job, Outcome
from stepbench.process.messages import MessageError, RecordMessages
from stepbench.regression.side_requests import SideRequest
from stepbench.regression.tree import Tree
from stepbench_reports.schema.check import SideEnd
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status
from support import played

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Ends = tuple[RecordMessages, "Connection[Any, Any]"]
TREE = Tree("base", Path("r"), Path("c"), Path())
REQUEST = Request(Case(workload="train.py:make"), SamplingOptions(), Path("cache"))
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda values: (
        st.lists(values)
        | st.lists(values).map(tuple)
        | st.dictionaries(st.text() | st.integers(0, 9), values)
    ),
    max_leaves=12,
)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Messages, and the connection to what sends and receives them."""
    one, other = Pipe()
    with one, other:
        yield RecordMessages(one), other


def through(value: Any) -> Any:
    one, other = Pipe()
    with one, other:
        RecordMessages(one).send(value)
        return RecordMessages(other).recv()


@pytest.mark.parametrize(
    "message",
    [
        Job(
            "module:function", (SideRequest(Tree("base", Path("r"), Path("c"), Path()), REQUEST), 3)
        ),
        Prepare(thorough=False),
        TakeTurn(TurnKind.LAPPED, 3, (0, 1)),
        Finish(thorough=True),
        ("answer", played.ready()),
        ("answer", TurnResult(0.5, host={"step": [0.25, 0.25]}, machine_use=played.use())),
        ("outcome", Outcome(Status.OK, SideEnd(host_peak_bytes=3, packages=("numpy",)))),
        ("outcome", Outcome(Status.CRASHED, reason="why", detail="Traceback")),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_a_player_is_told_and_answers_arrives_as_it_was(message: Any) -> None:
    received = through(message)
    assert received == message
    assert type(received) is type(message)


@given(plain)
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    assert through(value) == value


class Attack:
    """Makes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._file),)


def test_a_pickle_runs_no_code(ends: Ends, tmp_path: Path) -> None:
    messages, attacker = ends
    attacked = tmp_path / "attacked"
    attacker.send_bytes(pickle.dumps(Attack(attacked)))
    with pytest.raises(MessageError, match="could not be read"):
        messages.recv()
    assert not attacked.exists()


@pytest.mark.parametrize(
    "content",
    [
        ["record", "subprocess:Popen", {"args": ["touch", "attacked"]}],
        ["record", "pathlib:Path", {}],
        ["record", "stepbench.process.job:Path", {}],  # an import of a module of stepbench
        ["record", "stepbench.process.fork_server:ForkServer", {}],
        ["record", "stepbench.process.start:start_server", {}],
        ["record", "stepbench.process.missing:Job", {}],
        ["record", "stepbench.process.job:Job", {"surplus": 1}],
        ["record", "stepbench.config.turns:TurnKind", {"value": "lapped"}],
        ["enum", "stepbench.config.turns:TurnKind", "sideways"],
        ["odd", "stepbench.config.turns:TurnKind", 1],
        ["dict", 3],
        [],
    ],
    ids=str,
)
def test_anything_but_records_of_stepbench_is_refused(ends: Ends, content: Any) -> None:
    messages, attacker = ends
    attacker.send_bytes(msgspec.msgpack.encode(content))
    with pytest.raises(MessageError):
        messages.recv()


def test_what_is_no_record_is_not_sent(ends: Ends) -> None:
    messages, _ = ends
    with pytest.raises(MessageError, match="Attack: is no record"):
        messages.send(Attack(Path()))


def test_a_closed_connection_is_told(ends: Ends) -> None:
    messages, attacker = ends
    attacker.close()
    with pytest.raises(EOFError):
        messages.recv()
