"""A generative adversarial network (DCGAN): a step of its own, with two optimizers.

The discriminator learns to tell drawn images from generated ones, and then the generator to deceive
it, so that each step has two forward passes, two backward passes and two updates. Look in the
report at forward and backward, which are the sums of both; `--profile` shows each by itself. The
generator's backward pass goes through the discriminator, whose gradients from it are thrown away.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam, Optimizer

from stepbench import DataChoice, Step, Workload

LATENT = 64
"""How many random numbers an image is generated from."""


def generator(pixels: int, width: int = 32) -> nn.Sequential:
    """Noise (N, LATENT, 1, 1) to images (N, 3, pixels, pixels) from -1 to 1.

    Args:
        pixels: A multiple of 8.
        width: Channels of the last layer but one; each layer before has twice as many.
    """
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, 4 * width, pixels // 8)]
    for channels in (4 * width, 2 * width):
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1))
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    layers.append(nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1))
    return nn.Sequential(*layers, nn.Tanh())


def discriminator(pixels: int, width: int = 32) -> nn.Sequential:
    """Images (N, 3, pixels, pixels) to scores (N,): high where they are taken for real."""
    layers: list[nn.Module] = []
    before = 3
    for channels in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(before, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        before = channels
    return nn.Sequential(*layers, nn.Conv2d(before, 1, pixels // 8), nn.Flatten(0))


class GAN(nn.Module):
    """Both networks, as one model.

    Args:
        pixels: How wide the images are.
    """

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.generator = generator(pixels)
        self.discriminator = discriminator(pixels)

    def forward(self, x: Tensor, part: str = "discriminator") -> Tensor:
        """What one of the two makes of its input; `torch.compile` compiles each."""
        made: Tensor = self.generator(x) if part == "generator" else self.discriminator(x)
        return made


def optimizers(model: nn.Module) -> dict[str, Optimizer]:
    """An optimizer for each of the two networks."""
    return {
        name: Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for name, network in model.named_children()
    }


def step(at: Step) -> Tensor:
    """One step of both; the loss is the generator's."""
    real, _ = at.batch()
    noise = torch.randn(len(real), LATENT, 1, 1, device=at.device)
    with at.forward():
        fake = at.model(noise, "generator")
        loss = softplus(-at.model(real)).mean() + softplus(at.model(fake.detach())).mean()
    at.backward(loss)
    at.update("discriminator")
    with at.forward():
        loss = softplus(-at.model(fake)).mean()
    at.backward(loss)
    at.clear("discriminator")
    at.update("generator")
    return loss


def make(choice: DataChoice) -> Workload:
    """The network on the images that were chosen; their classes are not looked at."""
    data = choice.source()
    return Workload(
        model=lambda: GAN(data.image_size),
        dataset=data.train,
        optimizers=optimizers,
        step=step,
        data=data,
    )
