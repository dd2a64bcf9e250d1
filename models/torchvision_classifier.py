"""Torchvision's classifiers by name: `resnet18`, `mobilenet_v3_small`, `vit_b_16`, ...

Loss, optimizer and transforms are the lesson's; the model has as many classes as the data.
CIFAR-10's images stay at 32 pixels if the network accepts that size. For a network that needs
larger images (AlexNet, Inception), they are scaled up to the smallest size that it accepts.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torchvision import models as zoo

from stepbench import DataChoice, Workload, right_answers

_PLAIN_OUTPUT = {
    # By default these two networks also return auxiliary scores in training mode.
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def names() -> list[str]:
    """The names of all classifiers in the installed torchvision."""
    classifiers: list[str] = zoo.list_models(module=zoo)
    return classifiers


def smallest_image(name: str) -> int:
    """The smallest image width that a network accepts, pixels, from its published weights."""
    weights = zoo.get_model_weights(name)
    sizes: list[int] = [max(entry.meta["min_size"]) for entry in weights]
    return min(sizes)


def _sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.001, momentum=0.9)


def make(choice: DataChoice, name: str) -> Workload:
    """Makes the workload of the named classifier from the chosen data."""
    options: dict[str, object] = dict(_PLAIN_OUTPUT.get(name, {}))
    if name.startswith("vit_"):
        # A vision transformer takes the image size as an argument: any multiple of its patch size.
        patch = int(name.rpartition("_")[2])
        data = choice.source(patch * math.ceil(choice.source().image_size / patch))
        options["image_size"] = data.image_size
    else:
        data = choice.source(smallest_image(name))
    return Workload(
        model=lambda: zoo.get_model(name, weights=None, num_classes=len(data.classes), **options),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=_sgd,
        data=data,
    )
