from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from stepbench.config.case import Case
from stepbench.parity.checkpoint import reload, without_prefixes
from stepbench.training.build import Built, assemble
from stepbench.workload.workload import Workload

pytestmark = pytest.mark.usefixtures("nothing_compiled")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.dropout(x))
        return scores


class UnregisteredState(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.rand(1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class CallCounting(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x) * self.calls


class Unknown:
    """A class that `torch.load` refuses with `weights_only=True`."""


class ExtraState(Net):
    def get_extra_state(self) -> Any:
        return Unknown()

    def set_extra_state(self, state: Any) -> None:
        pass


def built(model: type[nn.Module], compile_: str = "off") -> Built:
    workload = Workload(
        model=model,
        dataset=list,  # type: ignore[arg-type]  # not used here
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    )
    case = Case(workload="net", compile=compile_)
    net, training = assemble(workload, case)
    return Built(workload, net, training, TensorDataset(torch.zeros(1)), 1)


BATCH = (torch.ones(3, 4), torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize("compile_", ["off", "backend:eager"])
def test_a_reloaded_model_gives_the_same_outputs(compile_: str) -> None:
    ready = built(Net, compile_)
    assert reload(ready, BATCH).identical is True
    assert ready.model.training


def test_state_outside_of_the_state_dict_is_found() -> None:
    facts = reload(built(UnregisteredState), BATCH)
    assert facts.identical is False
    assert facts.reason is not None
    assert "not in its state_dict" in facts.reason


def test_outputs_that_differ_from_call_to_call_are_not_compared() -> None:
    facts = reload(built(CallCounting), BATCH)
    assert facts.identical is None
    assert facts.reason is not None


def test_a_state_that_weights_only_refuses_fails() -> None:
    facts = reload(built(ExtraState), BATCH)
    assert facts.identical is False
    assert facts.reason is not None


def test_a_new_model_of_another_shape_fails() -> None:
    ready = built(Net)
    other = replace(ready, workload=replace(ready.workload, model=lambda: nn.Linear(4, 2)))
    facts = reload(other, BATCH)
    assert facts.identical is False
    assert "a new model cannot load its state_dict" in str(facts.reason)


def test_the_names_of_a_compiled_model_are_those_of_the_model() -> None:
    compiled: Any = torch.compile(Net(), backend="eager")
    state = compiled.state_dict()
    assert all(name.startswith("_orig_mod.") for name in state)
    assert set(without_prefixes(state)) == set(Net().state_dict())
