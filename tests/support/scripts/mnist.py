"""A script in the style of the MNIST example of pytorch/examples: `Net`, `train`, `main`."""

import argparse

import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


class Net(nn.Module):
    """Images (N, 1, 28, 28) to logarithms of the probabilities of ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(2304, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the logarithms."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = self.dropout(functional.max_pool2d(x, 2)).flatten(1)
        return functional.log_softmax(self.fc(x), dim=1)


def train(
    model: nn.Module,
    device: torch.device,
    loader: DataLoader[tuple[Tensor, Tensor]],
    optimizer: optim.Optimizer,
) -> None:
    """Trains for an epoch."""
    model.train()
    for data, target in loader:
        data, target = data.to(device), target.to(device)  # noqa: PLW2901  # as the example does
        optimizer.zero_grad()
        output = model(data)
        loss = functional.nll_loss(output, target)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()


def main() -> None:
    """Parses the command line, and trains."""
    parser = argparse.ArgumentParser(description="PyTorch MNIST Example")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--lr", type=float, default=1.0, metavar="LR")
    parser.add_argument("--gamma", type=float, default=0.7, metavar="M")
    parser.add_argument("--epochs", type=int, default=14, metavar="N")
    args = parser.parse_args()
    device = torch.device("cpu")
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )
    dataset1 = datasets.MNIST("data", train=True, transform=transform)
    train_loader = DataLoader(dataset1, batch_size=args.batch_size, shuffle=True)
    model = Net().to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=args.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
    for _ in range(args.epochs):
        train(model, device, train_loader, optimizer)
        scheduler.step()


if __name__ == "__main__":
    main()
