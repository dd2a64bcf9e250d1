"""A recurrent language model: an LSTM that reads one token after the other.

On the same tokens as `gpt`, with the same question. But each step of the recurrence waits for the
one before it, so that its time grows with the length of a window whatever the machine could do at
once: look at how far from the roofline it stays, and at how little a larger batch costs.
"""

from torch import Tensor, nn
from torch.optim import AdamW

from stepbench import DataChoice, Workload, right_answers

LENGTH = 64


class Recurrent(nn.Module):
    """Tokens (N, T) to the scores of the next one, (N, vocabulary, T).

    Args:
        vocabulary: How many tokens there are.
        width: How many numbers stand for a token, and for what was read so far.
        depth: How many recurrent layers there are.
    """

    def __init__(self, vocabulary: int, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.read = nn.LSTM(width, width, depth, batch_first=True)
        self.scores = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores; the classes come second, where the loss looks for them."""
        read, _ = self.read(self.tokens(tokens))
        scores: Tensor = self.scores(read).transpose(1, 2)
        return scores


def make(choice: DataChoice) -> Workload:
    """The model on drawn tokens, or on a user's own."""
    data = choice.tokens(LENGTH)
    return Workload(
        model=lambda: Recurrent(data.vocabulary),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=lambda parameters: AdamW(parameters, lr=1e-3),
        data=data,
    )
