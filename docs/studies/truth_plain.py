"""A training loop timed by hand, without stepbench, for part D of `truth.py`.

Prints the median step in seconds. The arguments are the batch size and the number of steps.
"""

import itertools
import sys
import time
from statistics import median

import torch
from torch import nn
from torch.utils.data import DataLoader

from stepbench import DataChoice
from stepbench.workload.loading import load

WARM_UP = 20


def main() -> None:
    """Trains for some steps, and prints the median step."""
    batch_size, steps = map(int, sys.argv[1:])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    choice = DataChoice("cifar10")
    data = choice.source()
    loader = DataLoader(data.train(), batch_size=batch_size, shuffle=True, drop_last=True)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    model = load("convnet", choice).model()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    times = []
    for _ in range(WARM_UP + steps):
        began = time.perf_counter()
        inputs, labels = next(batches)
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    print(median(times[WARM_UP:]))


if __name__ == "__main__":
    main()
