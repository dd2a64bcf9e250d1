import pytest
import torch

from stepbench.config.case import Case
from stepbench.training.dataloader import EndlessShuffle, make_loader, training_data
from stepbench.workload.data_choice import DataChoice
from stepbench.workload.loading import load


def test_shuffling_continues_over_epochs_in_whole_batches() -> None:
    indices = iter(EndlessShuffle(10, 4, seed=1))
    epochs = [[next(indices) for _ in range(8)] for _ in range(3)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1]
    again = iter(EndlessShuffle(10, 4, seed=1))
    assert [next(again) for _ in range(8)] == epochs[0]


def test_no_batch_is_short() -> None:
    workload = load("convnet", DataChoice("cifar10"))
    case = Case(workload="convnet")
    dataset = torch.utils.data.Subset(training_data(workload, case), range(10))
    stream = iter(make_loader(workload, dataset, case, seed=0))
    assert [len(next(stream)[1]) for _ in range(6)] == [4] * 6


@pytest.mark.parametrize("name", ["vit_b_16", "alexnet"])
def test_classifiers_are_fitted_to_the_data(name: str) -> None:
    workload = load(name, DataChoice("cifar10"))
    image = next(iter(training_data(workload, Case(workload=name))))[0]
    with torch.no_grad():
        assert workload.model().eval()(image[None]).shape == (1, 10)
