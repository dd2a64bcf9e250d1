"""Torchvision's classifiers by their own names: `resnet18`, `mobilenet_v3_small`, `vit_b_16`, ...

Loss, optimizer and transforms are the lesson's; the model is given as many classes as the data
have. A network that accepts CIFAR-10's 32-pixel images gets them as they are; one that needs larger
ones (AlexNet, Inception) gets them scaled up to the smallest size that it accepts.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torchvision import models as zoo

from stepbench import DataChoice, Workload, right_answers

_PLAIN_OUTPUT = {
    # In training these two return auxiliary scores as well, unless they are told not to.
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def names() -> list[str]:
    """Every classifier that the installed torchvision has."""
    listed: list[str] = zoo.list_models(module=zoo)
    return listed


def smallest_image(name: str) -> int:
    """The smallest width that a network accepts, in pixels, as its published weights state it."""
    weights = zoo.get_model_weights(name)
    sizes: list[int] = [max(entry.meta["min_size"]) for entry in weights]
    return min(sizes)


def _sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.001, momentum=0.9)


def make(choice: DataChoice, name: str) -> Workload:
    """The named classifier on the data that were chosen."""
    options: dict[str, object] = dict(_PLAIN_OUTPUT.get(name, {}))
    if name.startswith("vit_"):
        # A vision transformer takes its image size as an argument: any multiple of its patch.
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
