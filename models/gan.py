"""A generative adversarial network (DCGAN): a custom step with two optimizers.

Each step first trains the discriminator to tell the data set's images from the generator's, and
then the generator to deceive the discriminator: two forward phases, two backward passes and two
updates. Look in the report at forward and backward, which are the sums of both passes; `--profile`
shows each pass separately. The generator's backward pass goes through the discriminator, and the
step discards the gradients that the pass leaves there.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam, Optimizer

from stepbench import DataChoice, Step, Workload

LATENT = 64
"""The number of random numbers from which the generator makes an image."""


def generator(pixels: int, width: int = 32) -> nn.Sequential:
    """Makes the generator: noise (N, LATENT, 1, 1) to images (N, 3, pixels, pixels) in [-1, 1].

    Args:
        pixels: The images' width and height, a multiple of 8.
        width: The output channels of the second-to-last layer; each earlier layer has twice the
            channels of the next.
    """
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, 4 * width, pixels // 8)]
    for channels in (4 * width, 2 * width):
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1))
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    layers.append(nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1))
    return nn.Sequential(*layers, nn.Tanh())


def discriminator(pixels: int, width: int = 32) -> nn.Sequential:
    """Makes the discriminator: images (N, 3, pixels, pixels) to scores (N,), high if real."""
    layers: list[nn.Module] = []
    in_channels = 3
    for channels in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(in_channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        in_channels = channels
    return nn.Sequential(*layers, nn.Conv2d(in_channels, 1, pixels // 8), nn.Flatten(0))


class GAN(nn.Module):
    """The generator and the discriminator as one model.

    Args:
        pixels: The images' width and height, a multiple of 8.
    """

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.generator = generator(pixels)
        self.discriminator = discriminator(pixels)

    def forward(self, x: Tensor, part: str = "discriminator") -> Tensor:
        """Runs the network that `part` names on `x`; `torch.compile` compiles both networks."""
        output: Tensor = self.generator(x) if part == "generator" else self.discriminator(x)
        return output


def optimizers(model: nn.Module) -> dict[str, Optimizer]:
    """Makes an optimizer for each of the two networks, by name."""
    return {
        name: Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for name, network in model.named_children()
    }


def step(at: Step) -> Tensor:
    """Trains the discriminator, then the generator; returns the generator's loss."""
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
    """Makes the workload from the chosen images; the classes are not used."""
    data = choice.source()
    return Workload(
        model=lambda: GAN(data.image_size),
        dataset=data.train,
        optimizers=optimizers,
        step=step,
        data=data,
    )
